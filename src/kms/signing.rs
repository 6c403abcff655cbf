//! Which messages a key signs: the algorithm has to be one of its kind's, the message of a type that
//! the algorithm takes, and a digest as long as the algorithm's.

use super::{
    KmsError,
    api::{KeySpec, KeyUsage, MessageType, SigningAlgorithm},
    keypair::{Failed, Hash, KeyPair, Message, Mu, Padding},
};
use crate::crypto::Forged;

/// A message that may be signed, or have been signed, with keys of one kind.
#[derive(Clone, Copy)]
pub(super) struct Signable<'a>(Scheme<'a>);

#[derive(Clone, Copy)]
enum Scheme<'a> {
    Rsa(Padding, Hash, Message<'a>),
    Ecdsa(Message<'a>),
    Ed25519(&'a [u8]),
    Ed25519Prehashed(&'a [u8]),
    MlDsa(&'a [u8]),
    MlDsaMu(&'a Mu),
}

impl<'a> Signable<'a> {
    /// Checks in the order of AWS: algorithm, message type, length.
    pub(super) fn check(
        spec: KeySpec,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        message: &'a [u8],
    ) -> Result<Self, KmsError> {
        use SigningAlgorithm as A;
        let known = spec.signing_algorithms(KeyUsage::SignVerify);
        if !known.contains(&algorithm) {
            return Err(KmsError::incompatible(algorithm, spec));
        }
        let digested = |hash| digested(spec, algorithm, hash, message_type, message);
        Ok(Self(match algorithm {
            A::RsassaPssSha256 => rsa(Padding::Pss, Hash::Sha256, digested)?,
            A::RsassaPssSha384 => rsa(Padding::Pss, Hash::Sha384, digested)?,
            A::RsassaPssSha512 => rsa(Padding::Pss, Hash::Sha512, digested)?,
            A::RsassaPkcs1V15Sha256 => rsa(Padding::Pkcs1, Hash::Sha256, digested)?,
            A::RsassaPkcs1V15Sha384 => rsa(Padding::Pkcs1, Hash::Sha384, digested)?,
            A::RsassaPkcs1V15Sha512 => rsa(Padding::Pkcs1, Hash::Sha512, digested)?,
            A::EcdsaSha256 => Scheme::Ecdsa(digested(Hash::Sha256)?),
            A::EcdsaSha384 => Scheme::Ecdsa(digested(Hash::Sha384)?),
            A::EcdsaSha512 => Scheme::Ecdsa(digested(Hash::Sha512)?),
            A::Ed25519Sha512 => match message_type {
                MessageType::Raw => Scheme::Ed25519(message),
                other => return Err(wrong_type(other, "algorithm", &algorithm)),
            },
            // What it is given as a digest is hashed once more, as RFC 8032 has it.
            A::Ed25519PhSha512 => match message_type {
                MessageType::Digest if message.len() == Hash::Sha512.len() => {
                    Scheme::Ed25519Prehashed(message)
                }
                MessageType::Digest => return Err(wrong_length(algorithm)),
                other => return Err(wrong_type(other, "algorithm", &algorithm)),
            },
            A::MlDsaShake256 => match message_type {
                MessageType::Raw => Scheme::MlDsa(message),
                MessageType::ExternalMu => {
                    let mu = message.try_into().map_err(|_| wrong_length(algorithm))?;
                    Scheme::MlDsaMu(mu)
                }
                MessageType::Digest => return Err(wrong_type(message_type, "key spec", &spec)),
            },
            A::Sm2Dsa => return Err(KmsError::incompatible(algorithm, spec)),
        }))
    }

    /// Signs with a key of the kind that the message was checked for.
    pub(super) fn sign(self, key: &KeyPair) -> Result<Vec<u8>, Failed> {
        match (self.0, key) {
            (Scheme::Rsa(padding, hash, message), KeyPair::Rsa(key)) => {
                key.sign(padding, hash, message)
            }
            (Scheme::Ecdsa(message), KeyPair::Ec(key)) => key.sign(message),
            (Scheme::Ed25519(message), KeyPair::Ed25519(key)) => key.sign(message),
            (Scheme::Ed25519Prehashed(message), KeyPair::Ed25519(key)) => {
                key.sign_prehashed(message)
            }
            (Scheme::MlDsa(message), KeyPair::MlDsa(key)) => key.sign(message),
            (Scheme::MlDsaMu(mu), KeyPair::MlDsa(key)) => key.sign_mu(mu),
            _ => Err(Failed),
        }
    }

    /// Whether `signature` is one by a key of the kind that the message was checked for.
    pub(super) fn verify(self, key: &KeyPair, signature: &[u8]) -> Result<(), Forged> {
        match (self.0, key) {
            (Scheme::Rsa(padding, hash, message), KeyPair::Rsa(key)) => {
                key.verify(padding, hash, message, signature)
            }
            (Scheme::Ecdsa(message), KeyPair::Ec(key)) => key.verify(message, signature),
            (Scheme::Ed25519(message), KeyPair::Ed25519(key)) => key.verify(message, signature),
            (Scheme::Ed25519Prehashed(message), KeyPair::Ed25519(key)) => {
                key.verify_prehashed(message, signature)
            }
            (Scheme::MlDsa(message), KeyPair::MlDsa(key)) => key.verify(message, signature),
            (Scheme::MlDsaMu(mu), KeyPair::MlDsa(key)) => key.verify_mu(mu, signature),
            _ => Err(Forged),
        }
    }
}

fn rsa<'a>(
    padding: Padding,
    hash: Hash,
    digested: impl FnOnce(Hash) -> Result<Message<'a>, KmsError>,
) -> Result<Scheme<'a>, KmsError> {
    Ok(Scheme::Rsa(padding, hash, digested(hash)?))
}

fn digested(
    spec: KeySpec,
    algorithm: SigningAlgorithm,
    hash: Hash,
    message_type: MessageType,
    message: &[u8],
) -> Result<Message<'_>, KmsError> {
    match message_type {
        MessageType::Raw => Ok(Message::Raw(message)),
        MessageType::Digest if message.len() == hash.len() => Ok(Message::Digest(message)),
        MessageType::Digest => Err(wrong_length(algorithm)),
        MessageType::ExternalMu => Err(wrong_type(message_type, "key spec", &spec)),
    }
}

fn wrong_type(message_type: MessageType, what: &str, which: &impl std::fmt::Display) -> KmsError {
    KmsError::Validation(format!(
        "Message type {message_type} is incompatible with {what} {which}."
    ))
}

fn wrong_length(algorithm: SigningAlgorithm) -> KmsError {
    KmsError::Validation(format!(
        "Digest is invalid length for algorithm {algorithm}."
    ))
}

#[cfg(test)]
mod tests {
    use super::Signable;
    use crate::kms::{
        KmsError,
        api::{KeySpec, KeyUsage, MessageType, SigningAlgorithm},
    };

    fn check(
        spec: KeySpec,
        algorithm: SigningAlgorithm,
        message_type: MessageType,
        length: usize,
    ) -> Result<(), KmsError> {
        Signable::check(spec, algorithm, message_type, &vec![7; length]).map(drop)
    }

    /// Algorithm, its digest's length, and what a message of type `RAW`, `DIGEST` and `EXTERNAL_MU` is to
    /// it: accepted, or refused for the algorithm's or the key spec's sake.
    const TYPES: [(SigningAlgorithm, usize, [Option<&str>; 3]); 12] = {
        use SigningAlgorithm as A;
        const HASHED: [Option<&str>; 3] = [None, None, Some("key spec")];
        const MESSAGE: [Option<&str>; 3] = [None, Some("algorithm"), Some("algorithm")];
        const DIGEST: [Option<&str>; 3] = [Some("algorithm"), None, Some("algorithm")];
        const LATTICE: [Option<&str>; 3] = [None, Some("key spec"), None];
        [
            (A::RsassaPssSha256, 32, HASHED),
            (A::RsassaPssSha384, 48, HASHED),
            (A::RsassaPssSha512, 64, HASHED),
            (A::RsassaPkcs1V15Sha256, 32, HASHED),
            (A::RsassaPkcs1V15Sha384, 48, HASHED),
            (A::RsassaPkcs1V15Sha512, 64, HASHED),
            (A::EcdsaSha256, 32, HASHED),
            (A::EcdsaSha384, 48, HASHED),
            (A::EcdsaSha512, 64, HASHED),
            (A::Ed25519Sha512, 64, MESSAGE),
            (A::Ed25519PhSha512, 64, DIGEST),
            (A::MlDsaShake256, 64, LATTICE),
        ]
    };

    #[test]
    fn every_kind_of_key_takes_its_own_algorithms_and_no_other() {
        for &spec in KeySpec::ALL {
            for (algorithm, length, _) in TYPES {
                let own = spec
                    .signing_algorithms(KeyUsage::SignVerify)
                    .contains(&algorithm);
                let expected = (!own).then(|| {
                    KmsError::InvalidKeyUsage(format!(
                        "Algorithm {algorithm} is incompatible with key spec {spec}."
                    ))
                });
                let fitting = if algorithm == SigningAlgorithm::Ed25519PhSha512 {
                    MessageType::Digest
                } else {
                    MessageType::Raw
                };
                let checked = check(spec, algorithm, fitting, length).err();
                assert_eq!(checked, expected, "{spec} {algorithm}");
                // The kind is checked before the digest's length.
                let digest = check(spec, algorithm, MessageType::Digest, 20).unwrap_err();
                assert_eq!(
                    matches!(digest, KmsError::InvalidKeyUsage(_)),
                    !own,
                    "{digest}"
                );
            }
            let sm2 = check(spec, SigningAlgorithm::Sm2Dsa, MessageType::Raw, 7);
            assert!(matches!(sm2, Err(KmsError::InvalidKeyUsage(_))), "{spec}");
        }
    }

    #[test]
    fn every_algorithm_takes_its_own_message_types_and_digests_of_its_length() {
        for &spec in KeySpec::ALL {
            let own = spec.signing_algorithms(KeyUsage::SignVerify);
            for (algorithm, length, types) in TYPES.iter().filter(|(a, ..)| own.contains(a)) {
                for (message_type, refused) in MessageType::ALL.iter().zip(types) {
                    let checked = |length| check(spec, *algorithm, *message_type, length);
                    if let Some(for_the_sake_of) = refused {
                        let which: &dyn std::fmt::Display = match *for_the_sake_of {
                            "algorithm" => algorithm,
                            _ => &spec,
                        };
                        let why = format!(
                            "Message type {message_type} is incompatible with {for_the_sake_of} \
                             {which}."
                        );
                        assert_eq!(checked(*length), Err(KmsError::Validation(why)));
                        continue;
                    }
                    assert_eq!(
                        checked(*length),
                        Ok(()),
                        "{spec} {algorithm} {message_type}"
                    );
                    for other in [1, 20, length - 1, length + 1, 4096] {
                        let why = format!("Digest is invalid length for algorithm {algorithm}.");
                        let expected = match message_type {
                            MessageType::Raw => Ok(()),
                            _ => Err(KmsError::Validation(why)),
                        };
                        assert_eq!(checked(other), expected, "{spec} {algorithm} {other}");
                    }
                }
            }
        }
    }
}

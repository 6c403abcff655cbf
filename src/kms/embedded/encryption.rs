//! How plaintexts become ciphertexts and back: blobs of symmetric keys, and RSAES-OAEP.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::{
    Embedded, Named,
    checks::{MAX_BLOB, check_length},
};
use crate::kms::{
    KmsError,
    api::{CiphertextBlob, EncryptionAlgorithm, EncryptionContext},
    blob::{self, Unverified},
    key::{Key, Usable},
    keypair::{KeyPair, Kind, Oaep, RsaKey},
    name::Place,
};

/// Whether `key` encrypts by `algorithm`, and takes an encryption context if there is one.
pub(super) fn check_algorithm(
    key: &Key,
    algorithm: EncryptionAlgorithm,
    context: &EncryptionContext,
) -> Result<(), KmsError> {
    let known = key.spec.encryption_algorithms(key.usage);
    if !known.contains(&algorithm) {
        return Err(KmsError::incompatible(algorithm, key.spec));
    }
    if key.spec.is_asymmetric() && !context.is_empty() {
        return Err(KmsError::Validation(
            "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
                .to_owned(),
        ));
    }
    Ok(())
}

/// Whether data keys may be generated under `key`.
pub(super) fn check_generates(key: &Key) -> Result<(), KmsError> {
    if key.spec.is_asymmetric() {
        return Err(KmsError::InvalidKeyUsage(
            "You cannot generate a data key with an asymmetric CMK".to_owned(),
        ));
    }
    Ok(())
}

/// Whether `length` bytes are not too many for RSA.
pub(super) fn check_plaintext(
    key: &Key,
    algorithm: EncryptionAlgorithm,
    length: usize,
) -> Result<(), KmsError> {
    match (oaep(algorithm), key.spec.key_pair()) {
        (Some(oaep), Some(Kind::Rsa(bits))) if length > oaep.max_plaintext(bits) => {
            Err(KmsError::Validation(format!(
                "Algorithm {algorithm} and key spec {} cannot encrypt data larger than {} bytes.",
                key.spec,
                oaep.max_plaintext(bits)
            )))
        }
        _ => Ok(()),
    }
}

/// Encrypts `plaintext`, once [`check_algorithm`] and [`check_plaintext`] have passed.
pub(super) fn encrypt(
    key: Usable<'_>,
    algorithm: EncryptionAlgorithm,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<CiphertextBlob, KmsError> {
    match oaep(algorithm) {
        Some(oaep) => {
            let pair = key.key_pair()?;
            Ok(CiphertextBlob(rsa(&pair)?.encrypt(oaep, plaintext)?))
        }
        None => seal(key, context, plaintext),
    }
}

/// Encrypts `plaintext` under a symmetric encryption key.
pub(super) fn seal(
    key: Usable<'_>,
    context: &EncryptionContext,
    plaintext: &[u8],
) -> Result<CiphertextBlob, KmsError> {
    let (id, material) = (key.key().id, key.current());
    let secret = material.symmetric().ok_or_else(|| {
        KmsError::Internal(format!("{} has no symmetric material", key.key().arn))
    })?;
    Ok(blob::seal(
        id,
        (material.version(), secret),
        context,
        plaintext,
    ))
}

/// A ciphertext with the key that is to open it. Whether it does is not known yet.
pub(super) struct Source<'b> {
    pub(super) named: Named,
    algorithm: EncryptionAlgorithm,
    ciphertext: &'b CiphertextBlob,
    /// `None`: not one of our symmetric ciphertexts.
    blob: Option<Unverified<'b>>,
}

/// What a ciphertext held.
pub(super) struct Opened {
    pub(super) plaintext: Zeroizing<Vec<u8>>,
    /// The id of the material that had encrypted it, of a symmetric encryption key.
    pub(super) material: Option<String>,
}

impl Embedded {
    /// The key to open `ciphertext` with: the one `named` in the request, else the one in the blob.
    /// The ciphertexts of asymmetric keys name none.
    pub(super) fn find_source<'b>(
        &self,
        place: &Place,
        ciphertext: &'b CiphertextBlob,
        named: Option<&str>,
        algorithm: EncryptionAlgorithm,
    ) -> Result<Source<'b>, KmsError> {
        check_length("ciphertextBlob", ciphertext.0.len(), MAX_BLOB)?;
        let symmetric = algorithm == EncryptionAlgorithm::SymmetricDefault;
        let blob = blob::parse(ciphertext).filter(|_| symmetric);
        let named = match (named, &blob) {
            (Some(text), _) => self.find(place, text)?,
            (None, None) if symmetric => return Err(KmsError::InvalidCiphertext),
            (None, None) => return Err(key_is_required()),
            (None, Some(blob)) => match self.state.read().key(&place.region, blob.key_id) {
                Some(key) => Named {
                    key: Arc::clone(key).as_of(self.now()),
                    alias: None,
                },
                None => {
                    return Err(KmsError::AccessDenied(
                        "The ciphertext refers to a customer master key that does not exist, does \
                         not exist in this region, or you are not allowed to access."
                            .to_owned(),
                    ));
                }
            },
        };
        Ok(Source {
            named,
            algorithm,
            ciphertext,
            blob,
        })
    }
}

/// The request has to name the key, since its ciphertext does not.
pub(super) fn key_is_required() -> KmsError {
    KmsError::Validation("KeyId must not be null".to_owned())
}

impl Source<'_> {
    /// Whether the key that the request names is the one that made the ciphertext. Asked after
    /// policy, so that nobody learns it who may not decrypt, and before all else of the key: AWS
    /// reads the ciphertext first.
    pub(super) fn check_key(&self) -> Result<(), KmsError> {
        match &self.blob {
            Some(blob) if blob.key_id != self.named.key.id => Err(KmsError::IncorrectKey(
                "The key ID in the request does not identify a CMK that can perform this operation."
                    .to_owned(),
            )),
            None if self.algorithm == EncryptionAlgorithm::SymmetricDefault => {
                Err(KmsError::InvalidCiphertext)
            }
            _ => Ok(()),
        }
    }

    /// What the ciphertext holds, once [`check_algorithm`] has passed.
    pub(super) fn open(
        &self,
        key: Usable<'_>,
        context: &EncryptionContext,
    ) -> Result<Opened, KmsError> {
        if let Some(oaep) = oaep(self.algorithm) {
            let pair = key.key_pair()?;
            let plaintext = rsa(&pair)?.decrypt(oaep, &self.ciphertext.0);
            return Ok(Opened {
                plaintext: plaintext.map_err(|_| KmsError::InvalidCiphertext)?,
                material: None,
            });
        }
        let opened = self.blob.as_ref().and_then(|blob| {
            let material = key.material(blob.key_version)?;
            let plaintext = blob.open(material.symmetric()?, context)?;
            Some(Opened {
                plaintext,
                material: Some(material.id().to_string()),
            })
        });
        opened.ok_or(KmsError::InvalidCiphertext)
    }
}

/// The padding; `None`: the algorithm is not RSA's.
fn oaep(algorithm: EncryptionAlgorithm) -> Option<Oaep> {
    match algorithm {
        EncryptionAlgorithm::RsaesOaepSha1 => Some(Oaep::Sha1),
        EncryptionAlgorithm::RsaesOaepSha256 => Some(Oaep::Sha256),
        EncryptionAlgorithm::SymmetricDefault | EncryptionAlgorithm::Sm2Pke => None,
    }
}

fn rsa(pair: &KeyPair) -> Result<&RsaKey, KmsError> {
    match pair {
        KeyPair::Rsa(key) => Ok(key),
        _ => Err(KmsError::Internal("no key to encrypt with".to_owned())),
    }
}

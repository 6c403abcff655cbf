//! Import tokens: what ties wrapped key material to the key that it is for.
//!
//! A token holds the private half of its wrapping key, sealed under the root key, so the key service
//! keeps nothing between `GetParametersForImport` and `ImportKeyMaterial` and tokens outlive a restart.
//!
//! ```text
//! offset  bytes
//!  0       1     format version: 1
//!  1       n     envelope of: expiry (8, milliseconds since 1970, big-endian) ‖ bits (1) ‖
//!                wrapping (1) ‖ the wrapping key's PKCS #8
//! ```
//! Authenticated with it: the version and the ARN of the KMS key.

use zeroize::Zeroizing;

use super::{
    KmsError,
    api::{CiphertextBlob, Timestamp},
    envelope::{self, Purpose},
    keypair::{Bits, KeyPair, Kind, Oaep, RsaKey},
    wrapping::Wrapping,
};
use crate::crypto::SecretKey;

const VERSION: u8 = 1;

/// How long a token is good for: 24 hours.
const LIFETIME: i64 = 24 * 60 * 60 * 1000;

/// The numbers of sizes and wrappings in a token.
const BITS: [Bits; 3] = [Bits::B2048, Bits::B3072, Bits::B4096];
const WRAPPINGS: [Wrapping; 4] = [
    Wrapping::Rsa(Oaep::Sha1),
    Wrapping::Rsa(Oaep::Sha256),
    Wrapping::RsaAes(Oaep::Sha1),
    Wrapping::RsaAes(Oaep::Sha256),
];

/// A wrapping key pair, and how it is to be used.
pub(super) struct ImportParameters {
    bits: Bits,
    wrapping: Wrapping,
    key: KeyPair,
    pub(super) valid_to: Timestamp,
}

impl ImportParameters {
    /// Makes the key pair, which takes its time.
    pub(super) fn generate(
        bits: Bits,
        wrapping: Wrapping,
        now: Timestamp,
    ) -> Result<Self, KmsError> {
        Ok(Self {
            bits,
            wrapping,
            key: KeyPair::generate(Kind::Rsa(bits))?,
            valid_to: Timestamp {
                millis: now.millis + LIFETIME,
            },
        })
    }

    /// DER-encoded `SubjectPublicKeyInfo`.
    pub(super) fn public_key(&self) -> Result<Vec<u8>, KmsError> {
        Ok(self.key.public_key()?)
    }

    /// The token, for the KMS key of this ARN.
    pub(super) fn seal(&self, root: &SecretKey, arn: &str) -> Result<CiphertextBlob, KmsError> {
        let number = |at: Option<usize>| u8::try_from(at.expect("all are listed")).expect("few");
        let mut content = Zeroizing::new(Vec::new());
        content.extend_from_slice(&self.valid_to.millis.to_be_bytes());
        content.push(number(BITS.iter().position(|bits| *bits == self.bits)));
        content.push(number(WRAPPINGS.iter().position(|w| *w == self.wrapping)));
        content.extend_from_slice(&self.key.to_pkcs8()?);
        let mut token = vec![VERSION];
        let bound = bound_to(arn);
        envelope::seal(root, Purpose::IMPORT_TOKEN, &bound, &content, &mut token);
        Ok(CiphertextBlob(token))
    }

    /// What a token for the KMS key of this ARN holds, if it is good at `now`.
    pub(super) fn open(
        token: &CiphertextBlob,
        root: &SecretKey,
        arn: &str,
        now: Timestamp,
    ) -> Result<Self, KmsError> {
        let parameters =
            Self::read(token, root, arn).ok_or(KmsError::InvalidImportToken(String::new()))?;
        if parameters.valid_to <= now {
            return Err(KmsError::ExpiredImportToken(String::new()));
        }
        Ok(parameters)
    }

    fn read(token: &CiphertextBlob, root: &SecretKey, arn: &str) -> Option<Self> {
        let envelope = token.0.strip_prefix(&[VERSION])?;
        let content = envelope::open(root, Purpose::IMPORT_TOKEN, &bound_to(arn), envelope).ok()?;
        let (expiry, rest) = content.split_first_chunk::<8>()?;
        let ([bits, wrapping], document) = rest.split_first_chunk::<2>()?;
        let bits = *BITS.get(usize::from(*bits))?;
        Some(Self {
            bits,
            wrapping: *WRAPPINGS.get(usize::from(*wrapping))?,
            key: KeyPair::from_pkcs8(Kind::Rsa(bits), document).ok()?,
            valid_to: Timestamp {
                millis: i64::from_be_bytes(*expiry),
            },
        })
    }

    /// The material in `wrapped`.
    pub(super) fn unwrap(&self, wrapped: &CiphertextBlob) -> Result<Zeroizing<Vec<u8>>, KmsError> {
        use super::wrapping::Unwrap;
        let unwrapped = self.wrapping.unwrap(self.rsa(), &wrapped.0);
        unwrapped.map_err(|why| match why {
            Unwrap::Size => KmsError::Validation("Invalid encrypted key size.".to_owned()),
            Unwrap::Forged => KmsError::InvalidCiphertext,
        })
    }

    fn rsa(&self) -> &RsaKey {
        match &self.key {
            KeyPair::Rsa(key) => key,
            _ => unreachable!("made and read as RSA"),
        }
    }
}

fn bound_to(arn: &str) -> Vec<u8> {
    [&[VERSION], arn.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::{ImportParameters, LIFETIME};
    use crate::{
        crypto::SecretKey,
        kms::{
            KmsError,
            api::{CiphertextBlob, Timestamp},
            keypair::{Bits, Oaep},
            wrapping::Wrapping,
        },
    };

    const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    const NOW: Timestamp = Timestamp {
        millis: 1_700_000_000_000,
    };

    fn later(millis: i64) -> Timestamp {
        Timestamp {
            millis: NOW.millis + millis,
        }
    }

    fn parameters() -> ImportParameters {
        let wrapping = Wrapping::RsaAes(Oaep::Sha1);
        ImportParameters::generate(Bits::B2048, wrapping, NOW).unwrap()
    }

    fn refusal(opened: Result<ImportParameters, KmsError>) -> KmsError {
        opened.err().unwrap()
    }

    #[test]
    fn a_token_brings_its_wrapping_key_and_algorithm_back() {
        let (root, made) = (SecretKey::generate(), parameters());
        let token = made.seal(&root, ARN).unwrap();
        let read = ImportParameters::open(&token, &root, ARN, later(LIFETIME - 1)).unwrap();
        assert_eq!(read.wrapping, made.wrapping);
        assert_eq!(read.valid_to, made.valid_to);
        assert_eq!(read.public_key().unwrap(), made.public_key().unwrap());
    }

    #[test]
    fn a_token_is_good_for_a_day_and_for_one_key_under_one_root_key() {
        let (root, made) = (SecretKey::generate(), parameters());
        let token = made.seal(&root, ARN).unwrap();
        let expired = KmsError::ExpiredImportToken(String::new());
        let at = later(LIFETIME);
        assert_eq!(
            refusal(ImportParameters::open(&token, &root, ARN, at)),
            expired
        );
        let invalid = KmsError::InvalidImportToken(String::new());
        let other = ARN.replace("us-east-1", "us-west-2");
        assert_eq!(
            refusal(ImportParameters::open(&token, &root, &other, NOW)),
            invalid
        );
        let root = SecretKey::generate();
        assert_eq!(
            refusal(ImportParameters::open(&token, &root, ARN, NOW)),
            invalid
        );
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let (root, made) = (SecretKey::generate(), parameters());
        let token = made.seal(&root, ARN).unwrap().0;
        let mut altered = token.clone();
        *altered.last_mut().unwrap() ^= 1;
        for bytes in [
            vec![],
            b"wrong-token".to_vec(),
            token[..60].to_vec(),
            altered,
        ] {
            let opened = ImportParameters::open(&CiphertextBlob(bytes), &root, ARN, NOW);
            assert_eq!(refusal(opened), KmsError::InvalidImportToken(String::new()));
        }
    }
}

//! The values that requests and responses carry: secret and sealed bytes, times.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::crypto::SecretKey;

/// Name and value pairs that a ciphertext is bound to: exact, case-sensitive, without an order.
/// They are not secret and appear in audit records.
pub type EncryptionContext = BTreeMap<String, String>;

/// Secret bytes that a client sends or receives, wiped when dropped. Base64 on the wire.
///
/// Like [`SecretKey`] it has no `Clone` and no `Debug`; serialising it is the wire's business alone.
#[derive(Default, ZeroizeOnDrop)]
pub struct Plaintext(Vec<u8>);

impl Plaintext {
    /// Takes `bytes` over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The key these bytes are, if they are 32.
    pub fn into_key(mut self) -> Option<SecretKey> {
        SecretKey::take_from(&mut self.0)
    }
}

impl From<Zeroizing<Vec<u8>>> for Plaintext {
    fn from(mut bytes: Zeroizing<Vec<u8>>) -> Self {
        Self(std::mem::take(&mut *bytes))
    }
}

impl Serialize for Plaintext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(STANDARD.encode(&self.0)))
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(&text);
        text.zeroize();
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom("the plaintext is not base64"))
    }
}

/// Bytes that only the key service can open or has made: ciphertexts, signatures, message
/// authentication codes; at most 6144. Base64 on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CiphertextBlob(pub Vec<u8>);

impl Serialize for CiphertextBlob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for CiphertextBlob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text);
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom("the ciphertext is not base64"))
    }
}

/// A public key: DER-encoded `SubjectPublicKeyInfo`. Base64 on the wire.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PublicKey(pub Vec<u8>);

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text);
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom("the public key is not base64"))
    }
}

/// A point in time with millisecond precision; on the wire seconds since 1970 as a JSON number, as
/// the AWS JSON 1.1 protocol has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp {
    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub millis: i64,
}

impl Timestamp {
    /// The present.
    pub fn now() -> Self {
        Self {
            millis: jiff::Timestamp::now().as_millisecond(),
        }
    }
}

impl Timestamp {
    /// So many days of 24 hours later.
    pub(in crate::kms) fn plus_days(self, days: i32) -> Self {
        Self {
            millis: self.millis + i64::from(days) * 24 * 60 * 60 * 1000,
        }
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339, in UTC.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_millisecond(self.millis) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} ms since 1970", self.millis),
        }
    }
}

impl Serialize for Timestamp {
    #[expect(
        clippy::cast_precision_loss,
        reason = "2^53 milliseconds are 285 000 years"
    )]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.millis as f64 / 1000.0)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    #[expect(clippy::cast_possible_truncation, reason = "`as` saturates")]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Ok(Self {
            millis: (seconds * 1000.0).round() as i64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{CiphertextBlob, Plaintext, Timestamp};

    #[test]
    fn times_keep_their_milliseconds_on_the_wire() {
        let time = Timestamp {
            millis: 1_700_000_000_123,
        };
        let text = serde_json::to_string(&time).unwrap();
        assert_eq!(text, "1700000000.123");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), time);
        assert_eq!(time.to_string(), "2023-11-14T22:13:20.123Z");
    }

    #[test]
    fn bytes_are_base64_on_the_wire() {
        let secret = Plaintext::new(b"key".to_vec());
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"a2V5\"");
        let back: Plaintext = serde_json::from_str("\"a2V5\"").unwrap();
        assert_eq!(back.expose(), b"key");
        assert!(serde_json::from_str::<CiphertextBlob>("\"a2V5=\"").is_err());
    }

    #[test]
    fn only_32_bytes_are_a_key() {
        assert!(Plaintext::new(vec![7; 31]).into_key().is_none());
        assert_eq!(
            Plaintext::new(vec![7; 32]).into_key().unwrap().expose(),
            &[7; 32]
        );
    }
}

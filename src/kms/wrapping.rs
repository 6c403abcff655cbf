//! How key material travels into the key service: wrapped under an RSA key made for the purpose.

use aws_lc_rs::key_wrap::{AES_128, AES_256, AesKek, KeyWrapPadded};
use zeroize::Zeroizing;

use super::keypair::{Oaep, RsaKey};
use crate::crypto::Forged;

/// What is done to the material
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-get-public-key-and-token.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// The RSA key encrypts the material.
    Rsa(Oaep),
    /// The RSA key encrypts an AES key, and that wraps the material (RFC 5649); the two follow each
    /// other.
    RsaAes(Oaep),
}

/// Why material does not unwrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unwrap {
    /// It has not the length that the RSA key's makes.
    Size,
    /// It was wrapped otherwise, under another key, or altered since.
    Forged,
}

impl From<Forged> for Unwrap {
    fn from(_: Forged) -> Self {
        Self::Forged
    }
}

impl Wrapping {
    /// The material in `wrapped`, which `key`'s public half wrapped.
    pub(super) fn unwrap(self, key: &RsaKey, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unwrap> {
        let modulus = key.bytes();
        match self {
            Self::Rsa(_) if wrapped.len() != modulus => Err(Unwrap::Size),
            Self::Rsa(oaep) => Ok(key.decrypt(oaep, wrapped)?),
            // The shortest wrapping is of 1 to 8 bytes: two blocks of 8.
            Self::RsaAes(_) if wrapped.len() < modulus + 16 => Err(Unwrap::Size),
            Self::RsaAes(oaep) => {
                let (wrapped_key, wrapped) = wrapped.split_at(modulus);
                let aes = key.decrypt(oaep, wrapped_key)?;
                Ok(unwrap_padded(&aes, wrapped)?)
            }
        }
    }
}

fn unwrap_padded(key: &[u8], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, Forged> {
    let cipher = match key.len() {
        16 => &AES_128,
        32 => &AES_256,
        _ => return Err(Forged),
    };
    let key = AesKek::new(cipher, key).map_err(|_| Forged)?;
    let mut material = Zeroizing::new(vec![0; wrapped.len()]);
    let length = key
        .unwrap_with_padding(wrapped, &mut material)
        .map_err(|_| Forged)?
        .len();
    material.truncate(length);
    Ok(material)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrapPadded};

    use super::{Unwrap, Wrapping, unwrap_padded};
    use crate::kms::keypair::{Bits, KeyPair, Kind, Oaep, RsaKey};

    fn wrapping_key() -> RsaKey {
        match KeyPair::generate(Kind::Rsa(Bits::B2048)) {
            Ok(KeyPair::Rsa(key)) => key,
            _ => unreachable!(),
        }
    }

    /// What a client does.
    fn wrap(key: &RsaKey, wrapping: Wrapping, material: &[u8]) -> Vec<u8> {
        match wrapping {
            Wrapping::Rsa(oaep) => key.encrypt(oaep, material).unwrap(),
            Wrapping::RsaAes(oaep) => {
                let aes = [7; 32];
                let mut wrapped = vec![0; material.len() + 15];
                let kek = AesKek::new(&AES_256, &aes).unwrap();
                let wrapped = kek.wrap_with_padding(material, &mut wrapped).unwrap();
                [key.encrypt(oaep, &aes).unwrap(), wrapped.to_vec()].concat()
            }
        }
    }

    #[test]
    fn what_was_wrapped_unwraps_and_nothing_else() {
        let (key, other) = (wrapping_key(), wrapping_key());
        for oaep in [Oaep::Sha1, Oaep::Sha256] {
            for wrapping in [Wrapping::Rsa(oaep), Wrapping::RsaAes(oaep)] {
                let material = [9; 32];
                let wrapped = wrap(&key, wrapping, &material);
                assert_eq!(*wrapping.unwrap(&key, &wrapped).unwrap(), material);
                let forged = Err(Unwrap::Forged);
                assert_eq!(wrapping.unwrap(&other, &wrapped), forged);
                let mut altered = wrapped.clone();
                *altered.last_mut().unwrap() ^= 1;
                assert_eq!(wrapping.unwrap(&key, &altered), forged);
                let cut = wrapping.unwrap(&key, &wrapped[..255]);
                assert_eq!(cut, Err(Unwrap::Size));
            }
        }
    }

    #[test]
    fn only_an_aes_key_carries_more_than_the_modulus() {
        let key = wrapping_key();
        let long = vec![9; 2400];
        let wrapping = Wrapping::RsaAes(Oaep::Sha256);
        let wrapped = wrap(&key, wrapping, &long);
        assert_eq!(*wrapping.unwrap(&key, &wrapped).unwrap(), long);
        assert!(key.encrypt(Oaep::Sha256, &long).is_err());
        let other = Wrapping::Rsa(Oaep::Sha256);
        assert_eq!(other.unwrap(&key, &wrapped), Err(Unwrap::Size));
    }

    /// The vectors of RFC 5649 are for AES-192, which is not offered; this one was made with Python's
    /// `cryptography`.
    #[test]
    fn the_padded_key_wrap_is_the_one_of_another_library() {
        let wrapped = KWP;
        assert_eq!(*unwrap_padded(&[7; 32], &wrapped).unwrap(), *b"nine byte");
        assert!(unwrap_padded(&[8; 32], &wrapped).is_err());
        assert!(unwrap_padded(&[7; 24], &wrapped).is_err());
    }

    const KWP: [u8; 24] = [
        0x4, 0x56, 0x2e, 0x7d, 0xdb, 0xb4, 0xb4, 0x83, 0xa2, 0x88, 0xf7, 0xed, 0xcc, 0x9c, 0x45,
        0xd0, 0x7a, 0x36, 0xfa, 0xea, 0x57, 0x71, 0xf7, 0x72,
    ];
}

//! HMAC (FIPS 198-1) under the secret of an HMAC key.

use aws_lc_rs::hmac;

use super::api::{KeySpec, MacAlgorithm};
use crate::crypto::Forged;

/// The code of `message`.
pub(super) fn sign(algorithm: MacAlgorithm, secret: &[u8], message: &[u8]) -> Vec<u8> {
    let key = hmac::Key::new(hash(algorithm), secret);
    hmac::sign(&key, message).as_ref().to_vec()
}

/// Whether `mac` is the code of `message`, in a time that does not depend on where they differ.
pub(super) fn verify(
    algorithm: MacAlgorithm,
    secret: &[u8],
    message: &[u8],
    mac: &[u8],
) -> Result<(), Forged> {
    let key = hmac::Key::new(hash(algorithm), secret);
    hmac::verify(&key, message, mac).map_err(|_| Forged)
}

fn hash(algorithm: MacAlgorithm) -> hmac::Algorithm {
    match algorithm {
        MacAlgorithm::HmacSha224 => hmac::HMAC_SHA224,
        MacAlgorithm::HmacSha256 => hmac::HMAC_SHA256,
        MacAlgorithm::HmacSha384 => hmac::HMAC_SHA384,
        MacAlgorithm::HmacSha512 => hmac::HMAC_SHA512,
    }
}

/// How many bytes imported material of an HMAC key may have
/// (<https://docs.aws.amazon.com/kms/latest/developerguide/importing-keys-conceptual.html>).
/// `None`: it is no HMAC key.
pub(super) fn lengths(spec: KeySpec) -> Option<std::ops::RangeInclusive<usize>> {
    match spec {
        KeySpec::Hmac224 => Some(28..=64),
        KeySpec::Hmac256 => Some(32..=64),
        KeySpec::Hmac384 => Some(48..=128),
        KeySpec::Hmac512 => Some(64..=128),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{sign, verify};
    use crate::kms::api::MacAlgorithm;

    fn unhex(text: &str) -> Vec<u8> {
        (0..text.len() / 2)
            .map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap())
            .collect()
    }

    /// RFC 4231, test case 2: key "Jefe".
    #[test]
    fn the_codes_are_those_of_rfc_4231() {
        let message = b"what do ya want for nothing?";
        for (algorithm, expected) in [
            (
                MacAlgorithm::HmacSha224,
                "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44",
            ),
            (
                MacAlgorithm::HmacSha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                MacAlgorithm::HmacSha384,
                "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
                 8e2240ca5e69e2c78b3239ecfab21649",
            ),
            (
                MacAlgorithm::HmacSha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
                 9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let expected = unhex(expected);
            assert_eq!(sign(algorithm, b"Jefe", message), expected);
            verify(algorithm, b"Jefe", message, &expected).unwrap();
            verify(algorithm, b"Jeff", message, &expected).unwrap_err();
            verify(algorithm, b"Jefe", b"nothing", &expected).unwrap_err();
            // A cut code is no code.
            verify(algorithm, b"Jefe", message, &expected[..16]).unwrap_err();
        }
    }
}

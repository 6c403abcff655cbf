//! Sealing small secrets: one construction for the root key, for key material at rest and for
//! ciphertext blobs.
//!
//! AES-256-GCM under a key and nonce that HKDF-SHA256 (RFC 5869) derives from the secret and a fresh
//! random salt of 32 bytes. So no two envelopes share a key, no count of messages has to be kept
//! (NIST SP 800-38D allows 2^32 random nonces under one key), and a restored backup cannot repeat a
//! nonce.
//!
//! ```text
//! salt (32) ‖ ciphertext (as long as the plaintext) ‖ tag (16)
//! ```

use aes_gcm::{
    Aes256Gcm, KeyInit,
    aead::{AeadInOut, inout::InOutBuf},
};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::crypto::{SecretKey, random};

/// Bytes of salt before the ciphertext.
pub(super) const SALT: usize = 32;
/// Bytes of tag after it.
const TAG: usize = 16;
/// Bytes an envelope is longer than what it holds.
pub(super) const OVERHEAD: usize = SALT + TAG;

const KEY: usize = 32;
const NONCE: usize = 12;

/// What an envelope is for; a secret used for two purposes yields unrelated keys.
#[derive(Clone, Copy)]
pub(super) struct Purpose(&'static str);

impl Purpose {
    /// A home's root key under the key from a passphrase or key file.
    pub(super) const ROOT_KEY: Self = Self("kmsfs v1 home root key");
    /// A KMS key's material in the store, under the root key.
    pub(super) const KEY_MATERIAL: Self = Self("kmsfs v1 key material");
    /// An import token, under the root key.
    pub(super) const IMPORT_TOKEN: Self = Self("kmsfs v1 import token");
    /// A secret access key in the store, under the root key.
    pub(super) const ACCESS_KEY: Self = Self("kmsfs v1 access key");
    /// A backup of a home, under its root key.
    pub(super) const BACKUP: Self = Self("kmsfs v1 backup");
    /// A ciphertext blob under a KMS key's material.
    pub(super) const BLOB: Self = Self("kmsfs v1 ciphertext blob");
}

/// The envelope does not open: another secret, other associated data, or damage.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DoesNotOpen;

/// Appends the envelope of `plaintext` to `out`, bound to `associated`.
pub(super) fn seal(
    secret: &SecretKey,
    purpose: Purpose,
    associated: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    let mut salt = [0; SALT];
    random::fill(&mut salt);
    seal_with_salt(secret, purpose, &salt, associated, plaintext, out);
}

/// As [`seal`], with a given salt: for golden vectors, which must be reproducible.
pub(super) fn seal_with_salt(
    secret: &SecretKey,
    purpose: Purpose,
    salt: &[u8; SALT],
    associated: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) {
    let (cipher, nonce) = derive(secret, purpose, salt);
    out.reserve(plaintext.len() + OVERHEAD);
    out.extend_from_slice(salt);
    let start = out.len();
    out.extend_from_slice(plaintext);
    let tag = cipher
        .encrypt_inout_detached(
            (&*nonce).into(),
            associated,
            InOutBuf::from(&mut out[start..]),
        )
        .expect("far below the 64 GiB that AES-GCM encrypts at once");
    out.extend_from_slice(&tag);
}

/// Opens an envelope. The plaintext is at most as long as `envelope` and wiped by its owner.
pub(super) fn open(
    secret: &SecretKey,
    purpose: Purpose,
    associated: &[u8],
    envelope: &[u8],
) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
    let (salt, rest) = envelope.split_first_chunk::<SALT>().ok_or(DoesNotOpen)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>().ok_or(DoesNotOpen)?;
    let (cipher, nonce) = derive(secret, purpose, salt);
    let mut plaintext = Zeroizing::new(ciphertext.to_vec());
    cipher
        .decrypt_inout_detached(
            (&*nonce).into(),
            associated,
            InOutBuf::from(&mut plaintext[..]),
            tag.into(),
        )
        .map_err(|_| DoesNotOpen)?;
    Ok(plaintext)
}

fn derive(
    secret: &SecretKey,
    purpose: Purpose,
    salt: &[u8; SALT],
) -> (Aes256Gcm, Zeroizing<[u8; NONCE]>) {
    let mut okm = Zeroizing::new([0; KEY + NONCE]);
    Hkdf::<Sha256>::new(Some(salt), secret.expose())
        .expand(purpose.0.as_bytes(), &mut okm[..])
        .expect("44 bytes are within what SHA-256 expands to");
    let (key, nonce) = okm
        .split_first_chunk::<KEY>()
        .expect("the buffer holds both");
    let mut own = Zeroizing::new([0; NONCE]);
    own.copy_from_slice(nonce);
    (Aes256Gcm::new(key.into()), own)
}

#[cfg(test)]
mod tests {
    use super::{DoesNotOpen, OVERHEAD, Purpose, open, seal};
    use crate::crypto::SecretKey;

    #[test]
    fn what_was_sealed_opens() {
        let secret = SecretKey::generate();
        let mut envelope = Vec::new();
        seal(&secret, Purpose::BLOB, b"bound", b"secret", &mut envelope);
        assert_eq!(envelope.len(), 6 + OVERHEAD);
        assert_eq!(
            *open(&secret, Purpose::BLOB, b"bound", &envelope).unwrap(),
            b"secret"
        );
    }

    #[test]
    fn another_secret_purpose_or_binding_does_not_open_it() {
        let secret = SecretKey::generate();
        let mut envelope = Vec::new();
        seal(&secret, Purpose::BLOB, b"bound", b"secret", &mut envelope);
        let other = SecretKey::generate();
        assert_eq!(
            open(&other, Purpose::BLOB, b"bound", &envelope),
            Err(DoesNotOpen)
        );
        assert_eq!(
            open(&secret, Purpose::ROOT_KEY, b"bound", &envelope),
            Err(DoesNotOpen)
        );
        assert_eq!(
            open(&secret, Purpose::BLOB, b"unbound", &envelope),
            Err(DoesNotOpen)
        );
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let secret = SecretKey::generate();
        let mut envelope = Vec::new();
        seal(&secret, Purpose::BLOB, b"", b"secret", &mut envelope);
        for bit in 0..envelope.len() * 8 {
            let mut damaged = envelope.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&secret, Purpose::BLOB, b"", &damaged),
                Err(DoesNotOpen)
            );
        }
        for length in 0..envelope.len() {
            assert_eq!(
                open(&secret, Purpose::BLOB, b"", &envelope[..length]),
                Err(DoesNotOpen)
            );
        }
    }
}

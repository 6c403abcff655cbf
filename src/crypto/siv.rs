//! AES-256-SIV (RFC 5297): deterministic authenticated encryption for names and small records.

use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use zeroize::Zeroizing;

use super::Forged;

/// A 512-bit key for AES-256-SIV. Equal input gives equal output, which is what makes an encrypted
/// name findable; there is no nonce to exhaust.
pub struct SivKey(Zeroizing<[u8; 64]>);

impl SivKey {
    /// How much longer a ciphertext is than its plaintext, in bytes.
    pub const OVERHEAD: usize = 16;

    pub(super) fn new(bytes: &Zeroizing<[u8; 64]>) -> Self {
        Self(bytes.clone())
    }

    /// Encrypts `plaintext`, bound to each of `bound_to` in order (each is a vector of its own in
    /// S2V, so no two lists are confused).
    pub fn seal(&self, bound_to: &[&[u8]], plaintext: &[u8]) -> Vec<u8> {
        self.cipher()
            .encrypt(bound_to, plaintext)
            .expect("at most 126 associated vectors")
    }

    /// Decrypts what [`SivKey::seal`] made with the same `bound_to`.
    ///
    /// # Errors
    /// [`Forged`] when it was not.
    pub fn open(&self, bound_to: &[&[u8]], ciphertext: &[u8]) -> Result<Vec<u8>, Forged> {
        self.cipher()
            .decrypt(bound_to, ciphertext)
            .map_err(|_| Forged)
    }

    fn cipher(&self) -> Aes256Siv {
        Aes256Siv::new((&*self.0).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SivKey {
        SivKey::new(&Zeroizing::new([7; 64]))
    }

    #[test]
    fn a_ciphertext_opens_only_where_it_was_sealed() {
        let sealed = key().seal(&[b"directory", b"a"], b"name");
        assert_eq!(sealed.len(), 4 + SivKey::OVERHEAD);
        assert_eq!(key().open(&[b"directory", b"a"], &sealed).unwrap(), b"name");
        assert_eq!(key().open(&[b"directory", b"b"], &sealed), Err(Forged));
        assert_eq!(key().open(&[b"directorya"], &sealed), Err(Forged));
        assert_eq!(
            key().open(&[b"directory", b"a"], &sealed[..15]),
            Err(Forged)
        );
        assert_eq!(key().open(&[b"directory", b"a"], b""), Err(Forged));
    }
}

//! XAES-256-GCM (<https://c2sp.org/XAES-256-GCM>): AES-256-GCM with a 192-bit nonce.
//!
//! The first half of the nonce derives a key for the block, the second half is its GCM nonce. The
//! derivation is the CMAC of one counter block each (NIST SP 800-108r1 in counter mode), so two AES
//! operations under the file's content key, whose schedule is kept.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce as GcmNonce, UnboundKey};
use zeroize::Zeroizing;

use super::{Forged, Nonce};

/// The tag of a sealed block.
pub type Tag = [u8; 16];

/// A file's content key with its AES key schedule.
pub struct ContentKey {
    cipher: Aes256,
    subkey: Zeroizing<[u8; 16]>,
}

impl ContentKey {
    pub(super) fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        let cipher = Aes256::new((&**key).into());
        let mut subkey = [0; 16];
        cipher.encrypt_block((&mut subkey).into());
        // CMAC's K1: doubling in GF(2^128) (NIST SP 800-38B, section 6.1).
        let value = u128::from_be_bytes(subkey);
        let doubled = (value << 1) ^ (0x87 * (value >> 127));
        Self {
            cipher,
            subkey: Zeroizing::new(doubled.to_be_bytes()),
        }
    }

    /// Encrypts `block` in place and returns its tag.
    pub fn seal(&self, nonce: &Nonce, bound_to: &[u8], block: &mut [u8]) -> Tag {
        let (key, nonce) = self.derive(nonce);
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(bound_to), block)
            .expect("a block is far below the limit of GCM");
        tag.as_ref()
            .try_into()
            .expect("the tag of GCM has 16 bytes")
    }

    /// Decrypts `ciphertext` into `plaintext` of the same length.
    ///
    /// # Errors
    /// [`Forged`] when it does not authenticate; `plaintext` then holds nothing of it.
    pub fn open(
        &self,
        nonce: &Nonce,
        bound_to: &[u8],
        ciphertext: &[u8],
        tag: &Tag,
        plaintext: &mut [u8],
    ) -> Result<(), Forged> {
        let (key, nonce) = self.derive(nonce);
        key.open_separate_gather(nonce, Aad::from(bound_to), ciphertext, tag, plaintext)
            .map_err(|_| {
                plaintext.fill(0);
                Forged
            })
    }

    fn derive(&self, nonce: &Nonce) -> (LessSafeKey, GcmNonce) {
        let (key_part, gcm_part) = nonce.as_bytes().split_at(12);
        let mut key = Zeroizing::new([0; 32]);
        for (counter, half) in (1..).zip(key.chunks_exact_mut(16)) {
            half[..4].copy_from_slice(&[0, counter, b'X', 0]);
            half[4..].copy_from_slice(key_part);
            for (byte, mask) in half.iter_mut().zip(self.subkey.iter()) {
                *byte ^= mask;
            }
            self.cipher
                .encrypt_block(half.try_into().expect("a half has 16 bytes"));
        }
        let key = UnboundKey::new(&AES_256_GCM, &key[..]).expect("the key has 32 bytes");
        let nonce = gcm_part.try_into().expect("the rest has 12 bytes");
        (
            LessSafeKey::new(key),
            GcmNonce::assume_unique_for_key(nonce),
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use xaes_256_gcm::Xaes256Gcm;
    use xaes_256_gcm::aead::{Aead as _, KeyInit as _, Payload};

    use super::*;

    fn seal(key: [u8; 32], nonce: [u8; 24], bound_to: &[u8], plaintext: &[u8]) -> Vec<u8> {
        let mut block = plaintext.to_vec();
        let key = ContentKey::new(&Zeroizing::new(key));
        let tag = key.seal(&Nonce::from_stored(nonce), bound_to, &mut block);
        block.extend(tag);
        block
    }

    fn hex(bytes: &[u8]) -> String {
        use std::fmt::Write as _;
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    }

    /// The two vectors of the C2SP specification: one for each value of the bit that decides
    /// whether K1 is reduced.
    #[test]
    fn it_gives_the_vectors_of_the_specification() {
        let nonce = *b"ABCDEFGHIJKLMNOPQRSTUVWX";
        let sealed = seal([1; 32], nonce, b"", b"XAES-256-GCM");
        assert_eq!(
            hex(&sealed),
            "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"
        );
        let sealed = seal([3; 32], nonce, b"c2sp.org/XAES-256-GCM", b"XAES-256-GCM");
        assert_eq!(
            hex(&sealed),
            "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"
        );
    }

    proptest! {
        #[test]
        fn it_agrees_with_an_independent_implementation(
            key: [u8; 32],
            nonce: [u8; 24],
            bound_to in prop::collection::vec(any::<u8>(), 0..64),
            plaintext in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let theirs = Xaes256Gcm::new(&key.into())
                .encrypt(&nonce.into(), Payload { msg: &plaintext, aad: &bound_to })
                .unwrap();
            prop_assert_eq!(seal(key, nonce, &bound_to, &plaintext), theirs);
        }

        #[test]
        fn any_flipped_bit_is_refused(bit in 0..(100 + 16 + 24) * 8_usize) {
            let key = ContentKey::new(&Zeroizing::new([5; 32]));
            let nonce = [6; 24];
            let mut stored = [&nonce[..], &seal([5; 32], nonce, b"here", &[9; 100])].concat();
            stored[bit / 8] ^= 1 << (bit % 8);
            let (nonce, rest) = stored.split_first_chunk().unwrap();
            let (ciphertext, tag) = rest.split_last_chunk().unwrap();
            let mut plaintext = [1; 100];
            let result =
                key.open(&Nonce::from_stored(*nonce), b"here", ciphertext, tag, &mut plaintext);
            prop_assert_eq!(result, Err(Forged));
            prop_assert_eq!(plaintext, [0; 100]);
        }
    }
}

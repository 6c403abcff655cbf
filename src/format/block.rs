//! One block: nonce ‖ ciphertext ‖ tag, bound to its file and its number.

use crate::crypto::{ContentKey, Forged, Nonce, NonceSource, Tag};

use super::geometry::sealed_len;
use super::{BlockIndex, FileId, purpose};

/// What a block is bound to: a purpose, its file and its number, 32 bytes. The file's part is
/// written once a request, the number once a block.
pub struct BlockBinding([u8; 32]);

impl BlockBinding {
    /// The binding of blocks of `file`.
    pub fn new(file: &FileId) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(purpose::BLOCK);
        bytes[8..24].copy_from_slice(file.as_bytes());
        Self(bytes)
    }

    fn at(&mut self, index: BlockIndex) -> &[u8] {
        self.0[24..].copy_from_slice(&index.0.to_le_bytes());
        &self.0
    }
}

/// Seals `plaintext` (1 to 4096 bytes) into `sealed` under a fresh nonce.
///
/// # Panics
/// When `sealed` is not 40 bytes longer than `plaintext`.
pub fn seal_block(
    key: &ContentKey,
    binding: &mut BlockBinding,
    index: BlockIndex,
    plaintext: &[u8],
    sealed: &mut [u8],
) {
    assert_eq!(
        sealed.len(),
        sealed_len(plaintext.len()),
        "a sealed block has 40 bytes more"
    );
    let nonce = NonceSource::draw();
    let (stored_nonce, rest) = sealed.split_at_mut(Nonce::LEN);
    let (ciphertext, tag) = rest.split_at_mut(plaintext.len());
    stored_nonce.copy_from_slice(nonce.as_bytes());
    ciphertext.copy_from_slice(plaintext);
    tag.copy_from_slice(&key.seal(&nonce, binding.at(index), ciphertext));
}

/// Opens `sealed` into `plaintext`, 40 bytes shorter.
///
/// # Errors
/// [`Forged`] when the block is not this one of this file, or its length is not the one given.
pub fn open_block(
    key: &ContentKey,
    binding: &mut BlockBinding,
    index: BlockIndex,
    sealed: &[u8],
    plaintext: &mut [u8],
) -> Result<(), Forged> {
    if plaintext.is_empty() || sealed.len() != sealed_len(plaintext.len()) {
        return Err(Forged);
    }
    let (nonce, rest) = sealed.split_first_chunk::<{ Nonce::LEN }>().ok_or(Forged)?;
    let (ciphertext, tag) = rest
        .split_last_chunk::<{ size_of::<Tag>() }>()
        .ok_or(Forged)?;
    key.open(
        &Nonce::from_stored(*nonce),
        binding.at(index),
        ciphertext,
        tag,
        plaintext,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SecretKey;
    use crate::crypto::derive::FileKeys;

    #[test]
    fn a_block_opens_only_at_its_place_in_its_file_and_at_its_length() {
        let key = FileKeys::new(&SecretKey::take_from(&mut [1; 32]).unwrap()).content;
        let (file, other) = (FileId::from_bytes([2; 16]), FileId::from_bytes([3; 16]));
        let mut sealed = [0; 140];
        seal_block(
            &key,
            &mut BlockBinding::new(&file),
            BlockIndex(7),
            &[9; 100],
            &mut sealed,
        );

        let open = |file, index, sealed: &[u8], len| {
            let mut plaintext = vec![0; len];
            open_block(
                &key,
                &mut BlockBinding::new(file),
                BlockIndex(index),
                sealed,
                &mut plaintext,
            )
            .map(|()| plaintext)
        };
        assert_eq!(open(&file, 7, &sealed, 100), Ok(vec![9; 100]));
        assert_eq!(open(&file, 8, &sealed, 100), Err(Forged));
        assert_eq!(open(&other, 7, &sealed, 100), Err(Forged));
        assert_eq!(open(&file, 7, &sealed[..139], 99), Err(Forged));
        assert_eq!(open(&file, 7, &sealed, 99), Err(Forged));
        assert_eq!(open(&file, 7, &[], 0), Err(Forged));
    }
}

//! Where plaintext lies in the backing file: arithmetic only.
//!
//! ```text
//! backing:  | header region 4096 | sealed block 0: 4136 | sealed block 1: 4136 | ... | last: 41..=4136 |
//! plain:                         | block 0: 4096        | block 1: 4096        | ... | last: 1..=4096  |
//! ```

use std::ops::Range;

use crate::crypto::{Nonce, Tag};

/// Plaintext bytes in a full block.
pub const BLOCK_LEN: usize = 4096;
/// What a block grows by: its nonce before and its tag behind.
const OVERHEAD: usize = Nonce::LEN + size_of::<Tag>();
/// Bytes of a full block in the backing file.
pub const SEALED_BLOCK_LEN: usize = BLOCK_LEN + OVERHEAD;
/// Bytes of the header region, before the first block.
pub const HEADER_LEN: usize = 4096;
/// The longest plaintext whose backing file has a length that `off_t` can hold.
pub const MAX_LENGTH: u64 =
    (i64::MAX as u64 - HEADER_LEN as u64) / SEALED_BLOCK_LEN as u64 * BLOCK_LEN as u64;

/// A position in the backing file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackingOffset(pub u64);

/// The length of a backing file, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BackingLen(pub u64);

/// The number of a block in its file, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlockIndex(pub u64);

/// A range that reaches beyond [`MAX_LENGTH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("beyond the largest possible file length of {MAX_LENGTH} bytes")]
pub struct TooLarge;

impl BlockIndex {
    /// The block that holds the plaintext byte at `offset`.
    pub fn of(offset: u64) -> Self {
        Self(offset / BLOCK_LEN as u64)
    }

    /// The plaintext offset of the block's first byte.
    pub fn start(self) -> u64 {
        self.0 * BLOCK_LEN as u64
    }

    /// Where the sealed block begins.
    pub fn backing_offset(self) -> BackingOffset {
        BackingOffset(HEADER_LEN as u64 + self.0 * SEALED_BLOCK_LEN as u64)
    }

    /// How many plaintext bytes the block holds in a file of `length` bytes: 0 beyond its end.
    pub fn plain_len_within(self, length: u64) -> usize {
        length.saturating_sub(self.start()).min(BLOCK_LEN as u64) as usize
    }
}

/// The sealed length of a block of `plain` bytes; an empty block is not stored at all.
pub(super) const fn sealed_len(plain: usize) -> usize {
    if plain == 0 { 0 } else { plain + OVERHEAD }
}

/// The length of the backing file of a plaintext of `length` bytes.
///
/// # Errors
/// [`TooLarge`] beyond [`MAX_LENGTH`].
pub fn backing_len(length: u64) -> Result<BackingLen, TooLarge> {
    if length > MAX_LENGTH {
        return Err(TooLarge);
    }
    let last = BlockIndex::of(length);
    let rest = sealed_len(last.plain_len_within(length));
    Ok(BackingLen(last.backing_offset().0 + rest as u64))
}

/// The plaintext length that a backing file of this length holds; `None` where no plaintext has it
/// (a cut header, or a last block too short for nonce, tag and a byte).
pub fn plain_len(backing: BackingLen) -> Option<u64> {
    let body = backing.0.checked_sub(HEADER_LEN as u64)?;
    let (full, rest) = (
        body / SEALED_BLOCK_LEN as u64,
        body % SEALED_BLOCK_LEN as u64,
    );
    let last = match rest {
        0 => 0,
        _ => rest
            .checked_sub(OVERHEAD as u64)
            .filter(|&plain| plain > 0)?,
    };
    Some(full * BLOCK_LEN as u64 + last).filter(|&length| length <= MAX_LENGTH)
}

/// The blocks that a plaintext range touches, contiguous in the backing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedSpan {
    /// The first block touched.
    pub first: BlockIndex,
    /// How many blocks are touched.
    pub count: u64,
}

impl SealedSpan {
    /// The blocks of `range`, which is not empty.
    pub fn covering(range: &Range<u64>) -> Self {
        debug_assert!(range.start < range.end);
        let first = BlockIndex::of(range.start);
        Self {
            first,
            count: BlockIndex::of(range.end - 1).0 - first.0 + 1,
        }
    }

    /// The blocks in order.
    pub fn blocks(self) -> impl DoubleEndedIterator<Item = BlockIndex> + Clone {
        (self.first.0..self.first.0 + self.count).map(BlockIndex)
    }

    /// How many bytes the span's blocks have in the backing file when the plaintext is `length` long.
    pub fn sealed_len(self, length: u64) -> usize {
        let last = BlockIndex(self.first.0 + self.count - 1);
        (self.count as usize - 1) * SEALED_BLOCK_LEN + sealed_len(last.plain_len_within(length))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lengths_around_a_block_are_as_the_format_says() {
        let backing = |length| backing_len(length).unwrap().0;
        assert_eq!(backing(0), 4096);
        assert_eq!(backing(1), 4096 + 41);
        assert_eq!(backing(4096), 4096 + 4136);
        assert_eq!(backing(4097), 4096 + 4136 + 41);
        assert_eq!(plain_len(BackingLen(0)), None);
        assert_eq!(plain_len(BackingLen(4095)), None);
        assert_eq!(
            plain_len(BackingLen(4096 + 40)),
            None,
            "no byte between nonce and tag"
        );
        assert_eq!(backing_len(MAX_LENGTH + 1), Err(TooLarge));
        assert!(i64::try_from(backing(MAX_LENGTH)).is_ok());
    }

    proptest! {
        #[test]
        fn the_backing_length_tells_the_plaintext_length(length in 0..=MAX_LENGTH) {
            prop_assert_eq!(plain_len(backing_len(length).unwrap()), Some(length));
        }

        #[test]
        fn no_two_backing_lengths_tell_the_same_plaintext_length(backing in 0..u64::MAX / 2) {
            if let Some(length) = plain_len(BackingLen(backing)) {
                prop_assert_eq!(backing_len(length).unwrap().0, backing);
            }
        }

        #[test]
        fn a_span_covers_its_range_and_no_block_more(start in 0..1_u64 << 40, len in 1..1_u64 << 22) {
            let range = start..start + len;
            let span = SealedSpan::covering(&range);
            let last = BlockIndex(span.first.0 + span.count - 1);
            prop_assert!(span.first.start() <= start && start < span.first.start() + 4096);
            prop_assert!(last.start() < range.end && range.end <= last.start() + 4096);
            prop_assert_eq!(
                span.first.backing_offset().0 + span.sealed_len(range.end) as u64,
                backing_len(range.end).unwrap().0
            );
        }
    }
}

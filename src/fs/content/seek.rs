//! Data and holes. What is a hole in the backing file is one here as far as it covers whole blocks.

use crate::format::{BlockIndex, HEADER_LEN, SEALED_BLOCK_LEN};
use crate::sys;

use super::{Content, State};
use crate::fs::FsError;

impl Content {
    /// The first byte at or behind `offset` that is no hole's.
    pub(in crate::fs) fn next_data(&self, offset: u64) -> Result<Option<u64>, FsError> {
        let state = self.state.read();
        if offset >= state.length || !state.header.sparse {
            return Ok((offset < state.length).then_some(offset));
        }
        let mut index = BlockIndex::of(offset);
        while index.start() < state.length {
            let Some(data) = sys::next_data(&self.file, index.backing_offset().0)? else {
                return Ok(None);
            };
            index = index.max(block_at(data));
            if !self.is_hole(&state, index)? {
                return Ok(Some(offset.max(index.start())).filter(|at| *at < state.length));
            }
            index = BlockIndex(index.0 + 1);
        }
        Ok(None)
    }

    /// The first byte at or behind `offset` that is a hole's; there is one behind the end.
    pub(in crate::fs) fn next_hole(&self, offset: u64) -> Result<Option<u64>, FsError> {
        let state = self.state.read();
        if offset >= state.length || !state.header.sparse {
            return Ok((offset < state.length).then_some(state.length));
        }
        let mut index = BlockIndex::of(offset);
        while index.start() < state.length {
            if self.is_hole(&state, index)? {
                return Ok(Some(offset.max(index.start())));
            }
            let hole = sys::next_hole(&self.file, index.backing_offset().0)?;
            index = BlockIndex(index.0 + 1).max(block_at(hole));
        }
        Ok(Some(state.length))
    }

    fn is_hole(&self, state: &State, index: BlockIndex) -> Result<bool, FsError> {
        let len = index.plain_len_within(state.length);
        let mut sealed = [0; SEALED_BLOCK_LEN];
        let sealed = &mut sealed[..len + super::write::OVERHEAD];
        let read = sys::read_up_to(&self.file, sealed, index.backing_offset().0)?;
        Ok(sealed[..read].iter().all(|&byte| byte == 0))
    }
}

/// The block that has the byte at `offset` of the backing file.
fn block_at(offset: u64) -> BlockIndex {
    BlockIndex(offset.saturating_sub(HEADER_LEN as u64) / SEALED_BLOCK_LEN as u64)
}

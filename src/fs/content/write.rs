//! Writing: whole blocks are sealed as they come, those at the edges are read, changed and sealed anew.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

use crate::format::{
    BLOCK_LEN, BlockBinding, BlockIndex, SEALED_BLOCK_LEN, SealedSpan, backing_len, seal_block,
};
use crate::sys;

use super::{Content, State, Wanted, open_or_hole};
use crate::fs::{Damage, FsError};

/// What a sealed block has more than its plaintext.
pub(super) const OVERHEAD: usize = SEALED_BLOCK_LEN - BLOCK_LEN;

/// A block as it was before a write.
struct Before {
    index: BlockIndex,
    plaintext: Vec<u8>,
    sealed: Vec<u8>,
}

impl Content {
    /// Writes `data` over `range`, which begins at or before the end of the file's last block and has
    /// at most [`CHANGE_MAX`](super::CHANGE_MAX) bytes.
    pub(super) fn write_range(
        &self,
        state: &mut State,
        range: &Range<u64>,
        data: &[u8],
    ) -> Result<(), FsError> {
        let length = state.length.max(range.end);
        let span = SealedSpan::covering(range);
        let edges = self.read_edges(state, &span, range)?;
        let keys = state.keys()?;
        let mut slot = self.journal.slot();
        let sealed = slot.data(span.sealed_len(length));
        let total = sealed.len();
        let mut binding = BlockBinding::new(&state.header.file);
        let mut edge = [0; BLOCK_LEN];
        for (index, sealed) in span.blocks().zip(sealed.chunks_mut(SEALED_BLOCK_LEN)) {
            let len = index.plain_len_within(length);
            let wanted = Wanted::of(index, len, range);
            let source = &data[wanted.in_range];
            if source.len() == len {
                seal_block(&keys.content, &mut binding, index, source, sealed);
                continue;
            }
            let edge = &mut edge[..len];
            edge.fill(0);
            if let Some(before) = edges.iter().find(|before| before.index == index) {
                edge[..before.plaintext.len()].copy_from_slice(&before.plaintext);
            }
            edge[wanted.in_block].copy_from_slice(source);
            seal_block(&keys.content, &mut binding, index, edge, sealed);
        }
        let offset = span.first.backing_offset();
        if state.header.sparse && range.start < state.length {
            // A hole takes space when it is written to: refused before anything is changed, since a
            // block half written over zeros would be neither.
            reserve(&self.file, offset.0, total as u64)?;
        }
        state.touch();
        if let Err(cut) = slot.apply(&self.file, self.place, None, offset, total) {
            let sealed = slot.data(total);
            self.mend(state, &span, sealed, cut.written, &edges);
            if length > state.length {
                self.undo_growth(state, &edges);
            }
            return Err(cut.error.into());
        }
        state.length = length;
        state.fill_gaps(&(span.first.0..span.first.0 + span.count));
        Ok(())
    }

    /// The first and last block of `span`, where they exist and `range` covers them in part, and the
    /// file's short last block, where `range` makes it longer.
    fn read_edges(
        &self,
        state: &State,
        span: &SealedSpan,
        range: &Range<u64>,
    ) -> Result<Vec<Before>, FsError> {
        let last = BlockIndex(span.first.0 + span.count - 1);
        let mut edges: Vec<Before> = Vec::new();
        let end = BlockIndex::of(state.length);
        let longer = Some(end).filter(|end| (span.first..=last).contains(end));
        for index in [span.first, last].into_iter().chain(longer) {
            let len = index.plain_len_within(state.length);
            let end = index.start() + len as u64;
            let covered = range.start <= index.start() && end <= range.end;
            let grows = len < BLOCK_LEN && range.end > end;
            if len == 0 || (covered && !grows) || edges.iter().any(|edge| edge.index == index) {
                continue;
            }
            let (before, opened) = self.read_before(state, index)?;
            // What is wholly written over need not be readable.
            if !covered {
                opened?;
            }
            edges.push(before);
        }
        Ok(edges)
    }

    /// The block `index` as it is, and whether it could be opened.
    fn read_before(
        &self,
        state: &State,
        index: BlockIndex,
    ) -> Result<(Before, Result<(), FsError>), FsError> {
        let len = index.plain_len_within(state.length);
        let mut sealed = vec![0; len + OVERHEAD];
        match sys::read_at(&self.file, &mut sealed, index.backing_offset().0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(Damage::Missing(index).into());
            }
            other => other?,
        }
        let mut plaintext = vec![0; len];
        let mut binding = BlockBinding::new(&state.header.file);
        let opened = open_or_hole(
            state,
            state.keys()?,
            &mut binding,
            index,
            &sealed,
            &mut plaintext,
        );
        let before = Before {
            index,
            plaintext,
            sealed,
        };
        Ok((before, opened))
    }

    /// Cuts the block `last` to its first `keep` bytes, and the file behind it. A shorter block is
    /// another one: sealed anew.
    pub(super) fn cut_in_block(
        &self,
        state: &mut State,
        last: BlockIndex,
        keep: usize,
    ) -> Result<(), FsError> {
        let (before, opened) = self.read_before(state, last)?;
        opened?;
        let mut slot = self.journal.slot();
        let len = keep + OVERHEAD;
        let mut binding = BlockBinding::new(&state.header.file);
        let sealed = slot.data(len);
        let block = &before.plaintext[..keep];
        seal_block(&state.keys()?.content, &mut binding, last, block, sealed);
        let (start, cut) = (last.backing_offset(), last.backing_offset().0 + len as u64);
        slot.apply(&self.file, self.place, Some(cut), start, len)
            .map_err(|cut| {
                if cut.written > 0
                    && let Err(error) = sys::write_at(&self.file, &before.sealed, start.0)
                {
                    state.note_not_undone(&error);
                }
                cut.error.into()
            })
    }

    /// A write failed after `written` bytes of `sealed`, perhaps within a block that was there: as that
    /// would be neither, it is made the new one, or else the old one.
    fn mend(
        &self,
        state: &State,
        span: &SealedSpan,
        sealed: &[u8],
        written: usize,
        edges: &[Before],
    ) {
        let (number, part) = (written / SEALED_BLOCK_LEN, written % SEALED_BLOCK_LEN);
        let torn = BlockIndex(span.first.0 + number as u64);
        if part == 0 || torn.start() >= state.length {
            return;
        }
        let start = torn.backing_offset().0;
        let end = sealed.len().min((number + 1) * SEALED_BLOCK_LEN);
        let mended = sys::write_at(&self.file, &sealed[written..end], start + part as u64).or_else(
            |error| match edges.iter().find(|before| before.index == torn) {
                Some(before) => sys::write_at(&self.file, &before.sealed, start),
                None => Err(error),
            },
        );
        if let Err(error) = mended {
            let file = state.header.file;
            tracing::error!(%file, block = torn.0, %error, "a failed write left a torn block");
        }
    }

    /// A write beyond the end failed half-way (no space, quota): the file ends where it did, and its
    /// short last block is what it was.
    fn undo_growth(&self, state: &mut State, edges: &[Before]) {
        let last = BlockIndex::of(state.length);
        let undone = || -> io::Result<()> {
            if let Some(before) = edges.iter().find(|before| before.index == last) {
                sys::write_at(&self.file, &before.sealed, last.backing_offset().0)?;
            }
            let length = backing_len(state.length).map_err(io::Error::other)?;
            sys::truncate(&self.file, length.0)
        };
        if let Err(error) = undone() {
            state.note_not_undone(&error);
        }
    }
}

/// Reserves space, where the filesystem can: elsewhere the write says what is wrong.
fn reserve(file: &OwnedFd, offset: u64, length: u64) -> io::Result<()> {
    match sys::allocate(file, sys::Allocate::KeepSize, offset, length) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::OPNOTSUPP) => Ok(()),
        other => other,
    }
}

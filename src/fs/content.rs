//! The content of an open file: plaintext ranges to sealed blocks and back.
//!
//! One [`Content`] serves all handles of an inode. Its lock covers header, length and data.

use std::cell::RefCell;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use rustix::io::Errno;

use crate::crypto::derive::FileKeys;
use crate::format::{
    BLOCK_LEN, BlockBinding, BlockIndex, CopySlot, Header, SEALED_BLOCK_LEN, SealedSpan,
    backing_len, open_block,
};
use crate::sys;

use super::journal::{CHANGE_MAX, Journal, Place};
use super::{Damage, FsError};

mod seek;
mod write;

thread_local! {
    /// Sealed bytes on their way in or out: grows to the largest request and is then reused.
    static SEALED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An open file's content.
pub(super) struct Content {
    file: OwnedFd,
    journal: Arc<Journal>,
    place: Place,
    state: RwLock<State>,
    /// How often it was written to.
    writes: AtomicU64,
    /// One at a time makes it durable, so that nobody is told so while another is at it.
    syncing: Mutex<()>,
}

/// More gaps than this are holes.
const GAPS_MAX: usize = 64;

#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, with its own consequence"
)]
struct State {
    /// None once all handles are revoked.
    keys: Option<Arc<FileKeys>>,
    /// The newest header copy on disk, and its place.
    header: Header,
    slot: CopySlot,
    /// The other copy records a synced state.
    other_is_synced: bool,
    /// Plaintext length now; the header's is that of its writing.
    length: u64,
    /// Blocks that were skipped by writes and not yet written: the kernel writes pages back in any
    /// order, and mostly fills them.
    gaps: Vec<Range<u64>>,
    /// There are holes that nobody is about to fill.
    has_holes: bool,
    /// Blocks were written since the last sync.
    unsynced: bool,
    /// Blocks were written since the header was. A header's generation stands for the content too:
    /// the audit log's record of it tells a file that was put back from the one that was left.
    changed: bool,
    failed: Failed,
}

/// What failed, and has consequences.
#[derive(Default)]
struct Failed {
    /// A sync. The kernel then takes what it could not write for written, and the next sync would
    /// succeed without it.
    sync: bool,
    /// The last writing of a header, which may have left a torn copy.
    header: bool,
    /// The undoing of a change that failed: the backing file is not what the state says.
    undoing: bool,
}

/// The header of a file as it is on disk.
pub(super) struct OnDisk {
    /// The newest authentic copy, and its place.
    pub(super) header: Header,
    pub(super) slot: CopySlot,
    /// The other copy records a synced state.
    pub(super) other_is_synced: bool,
}

impl State {
    fn keys(&self) -> Result<&FileKeys, FsError> {
        self.keys.as_deref().ok_or(FsError::Revoked)
    }

    /// A change that failed could not be undone, because of `error`.
    fn note_not_undone(&mut self, error: &io::Error) {
        let file = self.header.file;
        tracing::error!(%file, %error, "a change that failed could not be undone");
        self.failed.undoing = true;
    }

    fn is_stale(&self) -> bool {
        self.failed.header
            || self.changed
            || self.header.length != self.length
            || self.header.sparse != self.is_sparse()
    }

    /// Blocks are about to change.
    fn touch(&mut self) {
        self.unsynced = true;
        self.changed = true;
    }

    fn is_sparse(&self) -> bool {
        self.has_holes || !self.gaps.is_empty()
    }

    fn add_gap(&mut self, blocks: Range<u64>) {
        self.gaps.push(blocks);
        if self.gaps.len() > GAPS_MAX {
            self.gaps.clear();
            self.has_holes = true;
        }
    }

    /// The blocks `written` are no gap any more.
    fn fill_gaps(&mut self, written: &Range<u64>) {
        let touched = |gap: &Range<u64>| gap.start < written.end && written.start < gap.end;
        if !self.gaps.iter().any(touched) {
            return;
        }
        let rests = self.gaps.iter().flat_map(|gap| {
            [
                gap.start..gap.end.min(written.start),
                gap.start.max(written.end)..gap.end,
            ]
        });
        self.gaps = rests.filter(|rest| !rest.is_empty()).collect();
    }
}

impl Content {
    /// The content behind `file`, which has the inode number `ino` and the header `on_disk`. Changes
    /// go through `journal`.
    pub(super) fn new(
        file: OwnedFd,
        ino: u64,
        keys: Arc<FileKeys>,
        on_disk: OnDisk,
        journal: Arc<Journal>,
    ) -> Self {
        let OnDisk {
            header,
            slot,
            other_is_synced,
        } = on_disk;
        let place = Place {
            ino,
            file: header.file,
        };
        let length = header.length;
        let state = RwLock::new(State {
            keys: Some(keys),
            has_holes: header.sparse,
            header,
            slot,
            other_is_synced,
            length,
            gaps: Vec::new(),
            unsynced: false,
            changed: false,
            failed: Failed::default(),
        });
        Self {
            file,
            journal,
            place,
            state,
            writes: AtomicU64::new(0),
            syncing: Mutex::new(()),
        }
    }

    /// The backing file.
    pub(super) fn file(&self) -> &OwnedFd {
        &self.file
    }

    pub(super) fn length(&self) -> u64 {
        self.state.read().length
    }

    /// Reads up to `len` bytes from `offset` into `plaintext`, which is emptied first.
    pub(super) fn read(
        &self,
        offset: u64,
        len: usize,
        plaintext: &mut Vec<u8>,
    ) -> Result<(), FsError> {
        plaintext.clear();
        let state = self.state.read();
        let range = offset..offset.saturating_add(len as u64).min(state.length);
        if range.is_empty() {
            return Ok(());
        }
        plaintext.resize((range.end - range.start) as usize, 0);
        self.read_range(&state, &range, plaintext)
    }

    fn read_range(
        &self,
        state: &State,
        range: &Range<u64>,
        plaintext: &mut [u8],
    ) -> Result<(), FsError> {
        let span = SealedSpan::covering(range);
        let keys = state.keys()?;
        let mut binding = BlockBinding::new(&state.header.file);
        SEALED.with_borrow_mut(|sealed| {
            sealed.resize(span.sealed_len(state.length), 0);
            let read = sys::read_up_to(&self.file, sealed, span.first.backing_offset().0)?;
            if read < sealed.len() {
                let missing = BlockIndex(span.first.0 + (read / SEALED_BLOCK_LEN) as u64);
                return Err(Damage::Missing(missing).into());
            }
            let mut edge = [0; BLOCK_LEN];
            for (index, sealed) in span.blocks().zip(sealed.chunks(SEALED_BLOCK_LEN)) {
                let len = index.plain_len_within(state.length);
                let wanted = Wanted::of(index, len, range);
                let target = &mut plaintext[wanted.in_range];
                if target.len() == len {
                    open_or_hole(state, keys, &mut binding, index, sealed, target)?;
                } else {
                    let edge = &mut edge[..len];
                    open_or_hole(state, keys, &mut binding, index, sealed, edge)?;
                    target.copy_from_slice(&edge[wanted.in_block]);
                }
            }
            Ok(())
        })
    }

    /// Runs `work` while nobody else changes or reads the file.
    pub(super) fn exclusively<T>(&self, work: impl FnOnce() -> T) -> T {
        let _state = self.state.write();
        work()
    }

    /// Writes `data` at `offset`, making the file longer where it reaches beyond the end. With
    /// `append_only` nothing that is there may be written over.
    pub(super) fn write(&self, offset: u64, data: &[u8], append_only: bool) -> Result<(), FsError> {
        let range = offset..offset.saturating_add(data.len() as u64);
        backing_len(range.end)?;
        if range.is_empty() {
            return Ok(());
        }
        self.writes.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.write();
        if append_only && offset < state.length {
            return Err(Errno::PERM.into());
        }
        self.all_or_no_growth(&mut state, |state| {
            if offset > state.length {
                self.fill_gap(state, offset)?;
            }
            let mut start = offset;
            for part in data.chunks(CHANGE_MAX) {
                let range = start..start + part.len() as u64;
                self.write_range(state, &range, part)?;
                start = range.end;
            }
            Ok(())
        })
    }

    /// Sets the length: what is cut off is gone, what is added reads as zeros.
    pub(super) fn set_length(&self, length: u64) -> Result<(), FsError> {
        backing_len(length)?;
        let mut state = self.state.write();
        if length >= state.length {
            self.all_or_no_growth(&mut state, |state| self.grow(state, length, false))
        } else {
            self.shrink(&mut state, length)
        }
    }

    /// Makes `range` read as zeros, giving back the space of whole blocks. The file becomes as long as
    /// it reaches unless `keep_length`: then what lies beyond the end stays beyond it.
    pub(super) fn zero(&self, range: Range<u64>, keep_length: bool) -> Result<(), FsError> {
        let end = backing_len(range.end);
        let mut state = self.state.write();
        self.all_or_no_growth(&mut state, |state| {
            if !keep_length && range.end > state.length {
                end?;
                self.grow(state, range.end, false)?;
            }
            self.zero_range(state, range)
        })
    }

    fn zero_range(&self, state: &mut State, range: Range<u64>) -> Result<(), FsError> {
        let range = range.start..range.end.min(state.length);
        if range.is_empty() {
            return Ok(());
        }
        let block = BLOCK_LEN as u64;
        let whole_start = range.start.next_multiple_of(block);
        let whole_end = if range.end == state.length {
            range.end
        } else {
            range.end / block * block
        };
        if whole_start >= whole_end {
            return self.write_zeros(state, range);
        }
        state.has_holes = true;
        self.mark_sparse(state)?;
        let whole = SealedSpan::covering(&(whole_start..whole_end));
        sys::allocate(
            &self.file,
            sys::Allocate::PunchHole,
            whole.first.backing_offset().0,
            whole.sealed_len(state.length) as u64,
        )?;
        state.touch();
        self.write_zeros(state, range.start..whole_start)?;
        self.write_zeros(state, whole_end..range.end)
    }

    /// Reserves space for `range`; makes the file as long as it reaches unless `keep_length`.
    pub(super) fn reserve(&self, range: Range<u64>, keep_length: bool) -> Result<(), FsError> {
        let end = backing_len(range.end)?.0;
        let mut state = self.state.write();
        let start = BlockIndex::of(range.start).backing_offset().0;
        sys::allocate(&self.file, sys::Allocate::KeepSize, start, end - start)?;
        if !keep_length && range.end > state.length {
            self.all_or_no_growth(&mut state, |state| self.grow(state, range.end, false))
        } else {
            Ok(())
        }
    }

    /// Makes data and header durable. Others read and write meanwhile. Returns the header, if that is a
    /// new one.
    pub(super) fn sync(&self) -> Result<Option<Header>, FsError> {
        let _turn = self.syncing.lock();
        let mut state = self.state.write();
        let mut written = None;
        if state.failed.sync {
            return Err(Errno::IO.into());
        }
        if state.is_stale() || !state.header.synced {
            self.write_header(&mut state, |header| header.synced = true)?;
            state.unsynced = true;
            written = Some(state.header.clone());
        }
        if !std::mem::take(&mut state.unsynced) {
            return Ok(None);
        }
        drop(state);
        sys::sync_data(&self.file).inspect_err(|_| {
            let mut state = self.state.write();
            state.failed.sync = true;
            state.header.synced = false;
        })?;
        Ok(written)
    }

    /// Writes the header if the file was changed since. Due before the last handle goes.
    pub(super) fn settle_header(&self) -> Result<(), FsError> {
        let mut state = self.state.write();
        if state.is_stale() {
            self.write_header(&mut state, |header| header.synced = false)?;
        }
        if state.failed.undoing {
            return Err(Errno::IO.into());
        }
        Ok(())
    }

    /// How often it was written to.
    pub(super) fn writes(&self) -> u64 {
        self.writes.load(Ordering::Relaxed)
    }

    /// Wipes the keys; from now on only [`Content::restore`] makes it usable. The header is brought up
    /// to date before, if it may be: without the keys nobody could.
    pub(super) fn wipe(&self, may_change: bool) -> Result<(), FsError> {
        let settled = if may_change {
            self.settle_header()
        } else {
            Ok(())
        };
        self.state.write().keys = None;
        settled
    }

    /// Takes the keys of a file that was wiped, for somebody who was let have them.
    pub(super) fn restore(&self, keys: Arc<FileKeys>) {
        self.state.write().keys.get_or_insert(keys);
    }

    /// What the newest header copy on disk says.
    pub(super) fn header(&self) -> Header {
        self.state.read().header.clone()
    }

    /// Does `work`; if that fails, the file is not longer than it was.
    fn all_or_no_growth(
        &self,
        state: &mut State,
        work: impl FnOnce(&mut State) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        let before = state.length;
        let done = work(state);
        if done.is_err()
            && state.length > before
            && let Err(error) = self.shrink(state, before)
        {
            let file = state.header.file;
            tracing::error!(%file, %error, "a file that failed to grow stays longer than it was");
        }
        done
    }

    /// Makes the file end at `length`. What comes to lie between reads as zeros: a gap that is about
    /// to be filled, if it comes from a `write` beyond the end.
    fn grow(&self, state: &mut State, length: u64, by_write: bool) -> Result<(), FsError> {
        let last = BlockIndex::of(state.length);
        if state.length > last.start() {
            // The last block is short: zeros are sealed into it, up to its end or the new length.
            let full = last.start() + BLOCK_LEN as u64;
            self.write_zeros(state, state.length..length.min(full))?;
        }
        if length > state.length {
            if by_write {
                state.add_gap(BlockIndex::of(state.length).0..BlockIndex::of(length).0);
            } else {
                state.has_holes = true;
            }
            self.mark_sparse(state)?;
            sys::truncate(&self.file, backing_len(length)?.0)?;
            state.length = length;
            state.touch();
        }
        Ok(())
    }

    /// Makes the file end at the start of the block of `offset`, or in that block already.
    fn fill_gap(&self, state: &mut State, offset: u64) -> Result<(), FsError> {
        let start = BlockIndex::of(offset).start();
        if start > state.length {
            self.grow(state, start, true)
        } else {
            Ok(())
        }
    }

    fn shrink(&self, state: &mut State, length: u64) -> Result<(), FsError> {
        let last = BlockIndex::of(length);
        let keep = (length - last.start()) as usize;
        if keep == 0 {
            sys::truncate(&self.file, last.backing_offset().0)?;
        } else {
            self.cut_in_block(state, last, keep)?;
        }
        state.length = length;
        state.touch();
        // What was skipped beyond the new end is gone, and with all blocks all holes.
        let end = last.0 + u64::from(keep > 0);
        state
            .gaps
            .iter_mut()
            .for_each(|gap| gap.end = gap.end.min(end));
        state.gaps.retain(|gap| !gap.is_empty());
        state.has_holes &= length > 0;
        Ok(())
    }

    fn write_zeros(&self, state: &mut State, range: Range<u64>) -> Result<(), FsError> {
        if range.is_empty() {
            return Ok(());
        }
        // Called for parts of one block, or of two neighbours.
        let zeros = [0; 2 * BLOCK_LEN];
        let len = (range.end - range.start) as usize;
        self.write_range(state, &range, &zeros[..len])
    }

    /// The flag goes to disk before the first hole is made, so that a kill between keeps the hole
    /// readable.
    fn mark_sparse(&self, state: &mut State) -> Result<(), FsError> {
        if state.header.sparse {
            return Ok(());
        }
        self.write_header(state, |header| header.synced = false)
    }

    fn write_header(
        &self,
        state: &mut State,
        change: impl FnOnce(&mut Header),
    ) -> Result<(), FsError> {
        let mut header = state.header.clone();
        header.length = state.length;
        header.sparse = state.is_sparse();
        header.generation += 1;
        change(&mut header);
        let slot = state
            .slot
            .for_update(state.header.synced, state.other_is_synced);
        let copy = header
            .encode(&state.keys()?.header)
            .map_err(Damage::Header)?;
        // The file's times are its content's: a header of ours does not change them.
        let before = sys::stat(&self.file)?;
        state.failed.header = true;
        sys::write_at(&self.file, &copy, slot.offset())?;
        state.failed.header = false;
        if slot != state.slot {
            state.other_is_synced = state.header.synced;
        }
        state.header = header;
        state.slot = slot;
        state.changed = false;
        sys::restore_times(&self.file, &before)?;
        Ok(())
    }
}

/// The part of a block that a range wants, seen from the range and from the block.
struct Wanted {
    in_range: Range<usize>,
    in_block: Range<usize>,
}

impl Wanted {
    fn of(index: BlockIndex, len: usize, range: &Range<u64>) -> Self {
        let start = range.start.max(index.start());
        let end = range.end.min(index.start() + len as u64);
        Self {
            in_range: (start - range.start) as usize..(end - range.start) as usize,
            in_block: (start - index.start()) as usize..(end - index.start()) as usize,
        }
    }
}

fn open_or_hole(
    state: &State,
    keys: &FileKeys,
    binding: &mut BlockBinding,
    index: BlockIndex,
    sealed: &[u8],
    plaintext: &mut [u8],
) -> Result<(), FsError> {
    // A nonce of zeros is drawn once in 2^192: the first bytes decide, the rest is looked at for holes.
    let is_hole = sealed.starts_with(&[0; 8]) && sealed.iter().all(|&byte| byte == 0);
    if is_hole && state.header.sparse {
        plaintext.fill(0);
        return Ok(());
    }
    open_block(&keys.content, binding, index, sealed, plaintext)
        .map_err(|_| Damage::Block(index).into())
}

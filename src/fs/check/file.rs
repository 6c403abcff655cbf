//! Files: both copies of the header, the key, the length, every block.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::crypto::derive::FileKeys;
use crate::format::{
    BLOCK_LEN, BackingLen, BlockIndex, CopySlot, CopyState, Header, RawHeader, SEALED_BLOCK_LEN,
    XattrBinding, plain_len,
};
use crate::keyring::KeyringError;
use crate::sys;

use super::super::boundary::refuse_other_label;
use super::super::content::{Content, OnDisk};
use super::super::inode::Inode;
use super::super::open::read_region;
use super::super::settle::plain_or_whole;
use super::super::{Damage, FsError};
use super::{Job, Kind, Pool, Walk};

/// How many blocks make a job: 16 MiB.
const AT_ONCE: u64 = 4096;
/// How many blocks are read at once: 1 MiB.
const READ: u64 = 256;
/// What a sealed block has more than its plaintext.
const OVERHEAD: usize = SEALED_BLOCK_LEN - BLOCK_LEN;
/// How many ranges of bad blocks a message names.
const NAMED: usize = 8;

/// A file whose blocks are being read.
struct Reading {
    inode: Arc<Inode>,
    content: Content,
    /// The backing inode, as the journal names it.
    number: u64,
    header: Header,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    bad: Vec<Range<u64>>,
    /// Bad, and under way when the last mount was killed.
    redone: Vec<Range<u64>>,
    unreadable: Option<String>,
}

/// Blocks of a file, to be read.
pub(super) struct Blocks {
    file: Arc<Reading>,
    blocks: Range<u64>,
}

/// A file's header and what it stands for, as far as they could be read.
struct Whole {
    file: OwnedFd,
    header: Header,
    slot: CopySlot,
    keys: Arc<FileKeys>,
}

impl Walk<'_> {
    /// Checks a file, up to its blocks, which may become jobs of their own.
    pub(super) fn file(
        &self,
        pool: &Pool<Job>,
        inode: Arc<Inode>,
        node: &OwnedFd,
        stat: &sys::Stat,
    ) {
        let whole = match self.header(&inode, node) {
            Ok(whole) => whole,
            Err(error) => return self.report_error(Kind::Header, &inode, &error),
        };
        self.is_first(|seen| &mut seen.files, whole.header.file, &inode);
        if let Err(error) = refuse_other_label(&inode, &whole.header) {
            self.report_error(Kind::Label, &inode, &error);
        }
        self.compare_with_log(&inode, &whole.header);
        self.attributes(&inode, node, XattrBinding::File(whole.header.file));
        let length = match self.length(&inode, node, stat, &whole) {
            Ok(length) => length,
            Err(error) => return self.report_error(Kind::Length, &inode, &error),
        };
        if self.check.options.blocks && length > 0 {
            self.read(pool, inode, stat.st_ino, whole, length);
        }
    }

    /// Reads and authenticates both copies of the header.
    fn header(&self, inode: &Inode, node: &OwnedFd) -> Result<Whole, FsError> {
        let file = sys::reopen(node, sys::Access::Read)?;
        let raw = read_region(&file)?;
        let (slot, newest) = raw.newest();
        *inode.file.lock() = Some(newest.unverified().file);
        let keys = self.keys(newest.unverified())?;
        let header = newest
            .authenticate(&keys.header)
            .map_err(|_| Damage::ForgedHeader)?;
        let damaged = [CopySlot::First, CopySlot::Second]
            .into_iter()
            .find(|slot| *raw.copy(*slot) == CopyState::Damaged);
        if let Some(damaged) = damaged
            && !self.check.unclean
        {
            let at = damaged.offset();
            let message = format!("the copy of the header at {at} is not whole, the other one is");
            self.report(Kind::HeaderCopy, inode, message);
        }
        self.older_copy(inode, &raw, &header, &keys);
        Ok(Whole {
            file,
            header,
            slot,
            keys,
        })
    }

    fn keys(&self, header: &Header) -> Result<Arc<FileKeys>, KeyringError> {
        let keeper = self.fs.settling.keeper();
        self.fs.keyring.unwrap_for_upkeep(keeper, header)
    }

    fn older_copy(&self, inode: &Inode, raw: &RawHeader, newest: &Header, keys: &Arc<FileKeys>) {
        let Some((slot, older)) = raw.older() else {
            return;
        };
        let unverified = older.unverified();
        let authentic = || {
            // A rewrapped header may still have its older copy under the key before.
            let keys = if unverified.key == newest.key {
                keys.clone()
            } else {
                self.keys(unverified)?
            };
            older
                .authenticate(&keys.header)
                .map_err(|_| Damage::ForgedHeader)?;
            Ok::<_, FsError>(())
        };
        let at = slot.offset();
        if let Err(error) = authentic() {
            let (kind, reason) = super::judge(Kind::HeaderCopy, &error);
            let message = format!("the older copy of the header, at {at}: {reason}");
            self.report(kind, inode, message);
        } else if unverified.generation == newest.generation && unverified != newest {
            let generation = newest.generation;
            let message =
                format!("two different copies of the header have generation {generation}");
            self.report(Kind::HeaderCopy, inode, message);
        }
    }

    /// Whether the file is as new as the audit log says.
    fn compare_with_log(&self, inode: &Inode, header: &Header) {
        let Some(left) = self.recorded.get(&header.file.to_string()) else {
            return;
        };
        if header.generation >= left.generation {
            return;
        }
        let path = match &left.path {
            Some(path) => format!(" as {}", super::shown(path)),
            None => String::new(),
        };
        let message = format!(
            "it was put back to an older state: generation {} of {} bytes, while the audit log \
             records generation {} of {} bytes, left{path} by {} at {}",
            header.generation, header.length, left.generation, left.length, left.user, left.time
        );
        self.report(Kind::Rollback, inode, message);
    }

    /// Up to which length the file's blocks can be read.
    fn length(
        &self,
        inode: &Inode,
        node: &OwnedFd,
        stat: &sys::Stat,
        whole: &Whole,
    ) -> Result<u64, FsError> {
        let backing = stat.st_size.unsigned_abs();
        let header = &whole.header;
        if self.check.unclean
            && let Some(found) = self.fs.find_out(node)?
        {
            let length = found.settled_length()?;
            self.report(
                Kind::Settle,
                inode,
                format!(
                    "the next mount settles it at {length} bytes: its header says {} bytes, its \
                     backing file has {backing}",
                    header.length
                ),
            );
            return Ok(length);
        }
        let by_size = plain_len(BackingLen(backing));
        if by_size != Some(header.length) {
            let damage = Damage::Length {
                header: header.length,
                backing: by_size,
            };
            self.report_error(Kind::Length, inode, &damage.into());
        }
        Ok(header.length.min(plain_or_whole(backing)))
    }

    fn read(&self, pool: &Pool<Job>, inode: Arc<Inode>, number: u64, whole: Whole, length: u64) {
        let header = Header {
            length,
            ..whole.header
        };
        let journal = self.fs.journal.clone();
        let on_disk = OnDisk {
            header: header.clone(),
            slot: whole.slot,
            // Nothing is written.
            other_is_synced: false,
        };
        let content = Content::new(whole.file, number, whole.keys, on_disk, journal);
        let file = Arc::new(Reading {
            inode,
            content,
            number,
            header,
            found: Mutex::default(),
        });
        let end = length.div_ceil(BLOCK_LEN as u64);
        self.watch.watch.expect(end * SEALED_BLOCK_LEN as u64);
        for start in (0..end).step_by(AT_ONCE as usize) {
            let blocks = Blocks {
                file: file.clone(),
                blocks: start..(start + AT_ONCE).min(end),
            };
            if let Some(Job::Blocks(blocks)) = pool.offer(Job::Blocks(blocks)) {
                self.blocks(blocks);
            }
        }
        self.finish(file);
    }

    /// Reads blocks of a file.
    pub(super) fn blocks(&self, Blocks { file, blocks }: Blocks) {
        let mut next = blocks.start;
        while next < blocks.end && !self.watch.is_cancelled() {
            let done = match self.read_some(&file, next..blocks.end) {
                Ok(done) => done,
                Err(error) => {
                    let mut found = file.found.lock();
                    found.unreadable.get_or_insert_with(|| error.to_string());
                    READ.min(blocks.end - next)
                }
            };
            next += done;
            self.watch.watch.advance(done * SEALED_BLOCK_LEN as u64);
        }
        self.finish(file);
    }

    /// Reads the first of `blocks`, or passes over those that lie in a hole; how many.
    fn read_some(&self, file: &Reading, blocks: Range<u64>) -> Result<u64, FsError> {
        let content = &file.content;
        let offset = BlockIndex(blocks.start).backing_offset().0;
        let data = sys::next_data(content.file(), offset)?;
        // All blocks that lie in a hole as a whole.
        let hole = data.map_or(blocks.end - blocks.start, |data| {
            ((data - offset) / SEALED_BLOCK_LEN as u64).min(blocks.end - blocks.start)
        });
        if hole > 0 {
            if !file.header.sparse {
                let bad = blocks.start..blocks.start + hole;
                file.found.lock().bad.push(bad);
            }
            return Ok(hole);
        }
        let count = READ.min(blocks.end - blocks.start);
        self.checked.lock().bytes += count * SEALED_BLOCK_LEN as u64;
        let mut plaintext = Vec::new();
        let mut read = |first: u64, count: u64| {
            let start = BlockIndex(first).start();
            content.read(start, count as usize * BLOCK_LEN, &mut plaintext)
        };
        match read(blocks.start, count) {
            Ok(()) => return Ok(count),
            Err(FsError::Integrity(_)) => {}
            Err(error) => return Err(error),
        }
        for block in blocks.start..blocks.start + count {
            match read(block, 1) {
                Ok(()) => {}
                Err(FsError::Integrity(_)) => {
                    let found = &mut *file.found.lock();
                    let kind = if self.is_under_way(file, block) {
                        &mut found.redone
                    } else {
                        &mut found.bad
                    };
                    kind.push(block..block + 1);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }

    /// With the last of a file's jobs: reports what came of all.
    fn finish(&self, file: Arc<Reading>) {
        let Some(file) = Arc::into_inner(file) else {
            return;
        };
        let found = file.found.into_inner();
        if let Some(error) = found.unreadable {
            let message = format!("some of its blocks could not be read: {error}");
            self.report(Kind::Unreadable, &file.inode, message);
        }
        if !found.redone.is_empty() {
            let message = format!(
                "the next mount writes {} again, whose change was under way",
                named(found.redone)
            );
            self.report(Kind::Redo, &file.inode, message);
        }
        if !found.bad.is_empty() {
            let message = format!("{} cannot be authenticated", named(found.bad));
            self.report(Kind::Blocks, &file.inode, message);
        }
        let ino = file.inode.ino;
        drop(file.inode);
        self.fs.inodes.forget(ino, 0);
    }

    /// Whether a change of this block was under way when the last mount was killed.
    fn is_under_way(&self, file: &Reading, block: u64) -> bool {
        let block = BlockIndex(block);
        let start = block.backing_offset().0;
        let end = start + (block.plain_len_within(file.header.length) + OVERHEAD) as u64;
        self.check.under_way.iter().any(|change| {
            let written = change.offset..change.offset + change.data.len() as u64;
            change.ino == file.number
                && change.file == file.header.file
                && written.start <= start
                && end <= written.end
        })
    }
}

/// Blocks in words: `block 3`, `blocks 3-7, 12 and 4 more ranges`.
fn named(mut ranges: Vec<Range<u64>>) -> String {
    ranges.sort_by_key(|range| range.start);
    let mut merged: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => merged.push(range),
        }
    }
    let one = |range: &Range<u64>| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{}-{}", range.start, range.end - 1),
    };
    let noun = match &merged[..] {
        [range] if range.end - range.start == 1 => "block",
        _ => "blocks",
    };
    let (shown, rest) = merged.split_at(merged.len().min(NAMED));
    let shown: Vec<String> = shown.iter().map(one).collect();
    let more = match rest.len() {
        0 => String::new(),
        more => format!(" and {more} more ranges"),
    };
    format!("{noun} {}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn blocks_are_named_by_ranges_and_not_without_end() {
        assert_eq!(named(std::iter::once(3..4).collect()), "block 3");
        assert_eq!(named(vec![12..13, 3..5, 5..8]), "blocks 3-7, 12");
        let many = (0..20).map(|number| 2 * number..2 * number + 1).collect();
        assert!(named(many).ends_with("12, 14 and 12 more ranges"));
    }
}

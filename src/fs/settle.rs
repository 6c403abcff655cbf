//! After an unclean end: each file's header and size are brought to agree before its size is told.
//!
//! What authenticates is kept; what was synced is never cut off. Every settlement is recorded.
//!
//! A killed process leaves all that it wrote. A power loss may leave any part of what was not synced,
//! also within the length that a header tells: in files that the ended session made, everything from
//! the last synced length on is looked at. In older ones it is not: what was there before the session
//! is durable although no header says so, and cutting them could take it.

use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::crypto::derive::FileKeys;
use crate::format::{
    BLOCK_LEN, BackingEntry, BackingLen, BlockBinding, BlockIndex, CopySlot, CopyState, HEADER_LEN,
    Header, HeaderError, LONG_SIDECAR_SUFFIX, RawHeader, SEALED_BLOCK_LEN, backing_len, classify,
    open_block, plain_len,
};
use crate::kms;
use crate::sys;

use super::walk::{Walk, is_out_of_reach};
use super::{Damage, FileSystem, FsError};

/// A time of the backing filesystem: seconds and nanoseconds since 1970.
pub(super) type Time = (i64, u32);

/// Whether files may have to be settled.
pub(super) struct Settling {
    lenient: AtomicBool,
    /// A header of this mount's own could not be written. Stays: no sweep of this mount mends it.
    header_left: AtomicBool,
    /// One file is settled at a time, and none while it is being looked up.
    turn: Mutex<()>,
    /// A directory was moved while the sweep was under way: it may have gone where the sweep has been.
    moved: AtomicBool,
    /// When files were made that may miss any part of what was not synced.
    suspect: Option<Range<Time>>,
    /// Settling is the mount's own doing, in the name of who mounted.
    mounter: kms::Caller,
}

impl Settling {
    pub(super) fn new(unclean: bool, suspect: Option<Range<Time>>, mounter: kms::Caller) -> Self {
        Self {
            suspect,
            lenient: AtomicBool::new(unclean),
            header_left: AtomicBool::new(false),
            turn: Mutex::new(()),
            moved: AtomicBool::new(false),
            mounter,
        }
    }

    /// In whose name the volume is kept.
    pub(super) fn keeper(&self) -> &kms::Caller {
        &self.mounter
    }

    /// A file's header was left out of date: the volume keeps its mark, and the next mount settles it.
    pub(super) fn need(&self) {
        self.header_left.store(true, Ordering::Release);
    }

    /// A directory changes its place.
    pub(super) fn note_moved_directory(&self) {
        self.moved.store(true, Ordering::Release);
    }

    /// Whether the volume was left unclean and the sweep has not been through it.
    pub(super) fn is_lenient(&self) -> bool {
        self.lenient.load(Ordering::Acquire) || self.header_left.load(Ordering::Acquire)
    }

    /// Held from a file's settlement until its inode is known, so that the sweep does not touch a
    /// file in use. Costs nothing on a volume that was left cleanly.
    pub(super) fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        self.is_lenient().then(|| self.turn.lock())
    }
}

/// What became of a file that was to be settled.
enum Settled {
    /// Header and size agree.
    Done,
    /// Its key is not to be had now.
    Later,
    /// It was made, but not so far that it had a header: nobody was told of it.
    Unfinished,
}

/// A file's state on disk, read once.
pub(super) struct Found {
    file: OwnedFd,
    raw: RawHeader,
    slot: CopySlot,
    header: Header,
    older: Option<Header>,
    keys: Arc<FileKeys>,
    backing: u64,
    is_suspect: bool,
}

impl FileSystem {
    /// Whether [`FileSystem::sweep`] has something to do.
    pub fn needs_sweep(&self) -> bool {
        self.settling.is_lenient()
    }

    /// Settles every file of the volume, so that it can be left cleanly. `keep_going` is asked
    /// before each file.
    ///
    /// # Errors
    /// The backing filesystem; what could not be settled stays for the next time.
    pub fn sweep(&self, keep_going: impl Fn() -> bool) -> Result<(), FsError> {
        loop {
            self.settling.moved.store(false, Ordering::Release);
            let Some(unsettled) = self.sweep_once(&keep_going)? else {
                return Ok(());
            };
            if self.settling.moved.load(Ordering::Acquire) {
                continue;
            }
            if unsettled > 0 {
                // Left for the next mount: until then these files say EIO, and lose nothing.
                tracing::warn!(
                    files = unsettled,
                    "files whose keys are not to be had are not settled"
                );
                return Ok(());
            }
            self.settling.lenient.store(false, Ordering::Release);
            self.guard.record_service("VolumeSettled", |event| event)?;
            return Ok(());
        }
    }

    /// Goes through the volume once: how many files could not be settled for want of their keys;
    /// `None` when it was told to stop.
    fn sweep_once(&self, keep_going: &impl Fn() -> bool) -> Result<Option<usize>, FsError> {
        let mut unsettled = 0;
        let root = self.root()?;
        let mut walk = Walk::new(&root);
        while let Some((way, directory)) = walk.next() {
            let directory = match directory {
                Err(error) if is_out_of_reach(&error) => {
                    // What is in a closed one is not settled.
                    unsettled += usize::from(error.kind() == io::ErrorKind::PermissionDenied);
                    continue;
                }
                other => other?,
            };
            let mut names = Vec::new();
            sys::list(&directory, 0, |entry| {
                if let BackingEntry::Short(name) | BackingEntry::Long(name) = classify(entry.name) {
                    names.push(name.to_owned());
                }
                Ok::<_, FsError>(true)
            })?;
            for name in names {
                if !keep_going() {
                    return Ok(None);
                }
                let _turn = self.settling.turn.lock();
                let node = match sys::open_node(&directory, &name) {
                    Ok(node) => node,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error.into()),
                };
                let stat = sys::stat(&node)?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => walk.visit(way.to(name)),
                    // One that the kernel knows was settled when it was looked up.
                    FileType::RegularFile if self.inodes.find(&stat).is_none() => {
                        match self.settle(&node)? {
                            Settled::Done => {}
                            Settled::Later => unsettled += 1,
                            Settled::Unfinished => self.remove_unfinished(&directory, &name)?,
                        }
                    }
                    _ => {}
                }
            }
        }
        Ok(Some(unsettled))
    }

    /// The attributes of `node`, the entry `name` of `directory`, which is settled first if need be.
    /// The caller holds [`Settling::turn`].
    pub(super) fn settled_stat(
        &self,
        directory: &OwnedFd,
        name: &str,
        node: &OwnedFd,
    ) -> Result<sys::Stat, FsError> {
        let stat = sys::stat(node)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || !self.settling.is_lenient() || self.inodes.find(&stat).is_some() {
            return Ok(stat);
        }
        if let Settled::Unfinished = self.settle(node)? {
            self.remove_unfinished(directory, name)?;
            return Err(Errno::NOENT.into());
        }
        Ok(sys::stat(node)?)
    }

    fn remove_unfinished(&self, directory: &OwnedFd, name: &str) -> Result<(), FsError> {
        let entry = name.to_owned();
        self.guard
            .record_service("UnfinishedFileRemoved", |event| {
                event.parameter("backingName", entry)
            })?;
        sys::unlink(directory, name)?;
        if let BackingEntry::Long(_) = classify(name.as_bytes()) {
            let sidecar = format!("{name}{LONG_SIDECAR_SUFFIX}");
            // Without its entry it stands for nothing.
            let _ = sys::unlink(directory, &sidecar);
        }
        Ok(())
    }

    /// Settles one file. One that cannot be is left as it is, and opening it says why: for good when
    /// its header is damaged, for now when its key is not to be had.
    fn settle(&self, node: &OwnedFd) -> Result<Settled, FsError> {
        let found = match self.find_out(node) {
            Ok(None) => return Ok(Settled::Done),
            Ok(Some(found)) => found,
            Err(FsError::Integrity(Damage::Header(HeaderError::Damaged)))
                if self.is_unfinished(node)? =>
            {
                return Ok(Settled::Unfinished);
            }
            Err(error @ (FsError::Integrity(_) | FsError::Key(_))) => {
                tracing::warn!(%error, "a file could not be settled");
                return Ok(match error {
                    FsError::Integrity(_) => Settled::Done,
                    _ => Settled::Later,
                });
            }
            Err(error) => return Err(error),
        };
        let length = found.settled_length()?;
        let sealed = backing_len(length)?.0;
        if sealed == found.backing && length == found.header.length && !found.raw.has_damage() {
            return Ok(Settled::Done);
        }
        if sealed != found.backing {
            sys::truncate(&found.file, sealed)?;
        }
        let header = Header {
            length,
            generation: found.header.generation + 1,
            synced: false,
            ..found.header.clone()
        };
        let copy = header.encode(&found.keys.header).map_err(Damage::Header)?;
        let before = sys::stat(&found.file)?;
        let damaged = [CopySlot::First, CopySlot::Second]
            .into_iter()
            .find(|slot| *found.raw.copy(*slot) == CopyState::Damaged);
        let other_is_synced = found.older.as_ref().is_some_and(|older| older.synced);
        let slot =
            damaged.unwrap_or_else(|| found.slot.for_update(found.header.synced, other_is_synced));
        sys::write_at(&found.file, &copy, slot.offset())?;
        sys::restore_times(&found.file, &before)?;
        self.guard.record_service("FileSettled", |event| {
            event
                .file_id(header.file.to_string())
                .parameter("generation", header.generation)
                .parameter("headerLength", found.header.length)
                .parameter("backingLength", found.backing)
                .parameter("length", length)
        })?;
        Ok(Settled::Done)
    }

    /// Whether a file has no header because it never had one: not a byte was written, or none reached
    /// the disk. One that was ever synced has a header.
    fn is_unfinished(&self, node: &OwnedFd) -> Result<bool, FsError> {
        let file = self.open_backing(node)?;
        let mut start = [0; HEADER_LEN + 1];
        let read = sys::read_up_to(&file, &mut start, 0)?;
        Ok(read <= HEADER_LEN && start.iter().all(|&byte| byte == 0))
    }

    /// Whether a file was made when what it has may not all have reached the disk.
    fn is_suspect(&self, node: &OwnedFd) -> Result<bool, FsError> {
        let Some(suspect) = &self.settling.suspect else {
            return Ok(false);
        };
        Ok(sys::created(node)?.is_some_and(|created| suspect.contains(&created)))
    }

    /// What is on disk, if it needs settling.
    pub(super) fn find_out(&self, node: &OwnedFd) -> Result<Option<Found>, FsError> {
        let backing = sys::stat(node)?.st_size.unsigned_abs();
        let (file, raw) = self.read_header(node)?;
        let (slot, newest) = raw.newest();
        let header = newest.unverified();
        let agree = !raw.has_damage() && plain_len(BackingLen(backing)) == Some(header.length);
        let is_suspect = self.is_suspect(node)?;
        if agree && (header.synced || !is_suspect) {
            return Ok(None);
        }
        let keys = self
            .keyring
            .unwrap_for_upkeep(&self.settling.mounter, newest.unverified())?;
        let header = newest
            .authenticate(&keys.header)
            .map_err(|_| Damage::ForgedHeader)?;
        let older = raw
            .older()
            .and_then(|(_, copy)| copy.authenticate(&keys.header).ok());
        Ok(Some(Found {
            file,
            raw,
            slot,
            header,
            older,
            keys,
            backing,
            is_suspect,
        }))
    }
}

impl Found {
    /// The length that the file has from now on.
    pub(super) fn settled_length(&self) -> Result<u64, FsError> {
        let expected = backing_len(self.header.length)?.0;
        if self.backing < expected
            && let Some(older) = &self.older
            && backing_len(older.length)?.0 == self.backing
        {
            return Ok(older.length);
        }
        // What was synced counts as there, whether it authenticates or not: reading it says so.
        let there = plain_or_whole(self.backing);
        let synced = [Some(&self.header), self.older.as_ref()]
            .into_iter()
            .flatten()
            .find(|header| header.synced)
            .map_or(0, |header| header.length.min(there));
        let trusted = if self.is_suspect {
            synced
        } else {
            self.header.length.min(there)
        };
        let mut index = BlockIndex::of(trusted);
        loop {
            match self.longest_at(index)? {
                Some(BLOCK_LEN) => index = BlockIndex(index.0 + 1),
                Some(len) => return Ok(index.start() + len as u64),
                None => return Ok(index.start().max(synced)),
            }
        }
    }

    /// The longest length at which the block at `index` authenticates, or is a hole.
    fn longest_at(&self, index: BlockIndex) -> Result<Option<usize>, FsError> {
        let mut sealed = [0; SEALED_BLOCK_LEN];
        let read = sys::read_up_to(&self.file, &mut sealed, index.backing_offset().0)?;
        let overhead = SEALED_BLOCK_LEN - BLOCK_LEN;
        let available = read.saturating_sub(overhead);
        let told = [Some(&self.header), self.older.as_ref()];
        let mut lengths: Vec<usize> = told
            .into_iter()
            .flatten()
            .map(|header| index.plain_len_within(header.length))
            .chain([available])
            .filter(|&len| len > 0 && len <= available)
            .collect();
        lengths.sort_unstable();
        lengths.dedup();
        let mut binding = BlockBinding::new(&self.header.file);
        let mut plaintext = [0; BLOCK_LEN];
        let opens = |&len: &usize| {
            let sealed = &sealed[..len + overhead];
            let is_hole = self.header.sparse && sealed.iter().all(|&byte| byte == 0);
            let plaintext = &mut plaintext[..len];
            is_hole
                || open_block(&self.keys.content, &mut binding, index, sealed, plaintext).is_ok()
        };
        Ok(lengths.into_iter().rev().find(opens))
    }
}

/// The plaintext length of a backing file, without the last block where that is cut.
pub(super) fn plain_or_whole(backing: u64) -> u64 {
    plain_len(BackingLen(backing)).unwrap_or_else(|| {
        let body = backing.saturating_sub(crate::format::HEADER_LEN as u64);
        body / SEALED_BLOCK_LEN as u64 * BLOCK_LEN as u64
    })
}

//! After an unclean end: each file's header and size are brought to agree before its size is told.
//!
//! What authenticates is kept; what was synced is never cut off. Every settlement is recorded.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::FileType;

use crate::crypto::derive::FileKeys;
use crate::format::{
    BLOCK_LEN, BackingEntry, BackingLen, BlockBinding, BlockIndex, CopySlot, CopyState, Header,
    RawHeader, SEALED_BLOCK_LEN, backing_len, classify, open_block, plain_len,
};
use crate::kms;
use crate::sys;

use super::walk::{Walk, is_out_of_reach};
use super::{Damage, FileSystem, FsError};

/// Whether files may have to be settled.
pub(super) struct Settling {
    lenient: AtomicBool,
    /// A header of this mount's own could not be written. Stays: no sweep of this mount mends it.
    header_left: AtomicBool,
    /// One file is settled at a time, and none while it is being looked up.
    turn: Mutex<()>,
    /// A directory was moved while the sweep was under way: it may have gone where the sweep has been.
    moved: AtomicBool,
    /// Settling is the mount's own doing, in the name of who mounted.
    mounter: kms::Caller,
}

impl Settling {
    pub(super) fn new(unclean: bool, mounter: kms::Caller) -> Self {
        Self {
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

/// A file's state on disk, read once.
pub(super) struct Found {
    file: OwnedFd,
    raw: RawHeader,
    slot: CopySlot,
    header: Header,
    older: Option<Header>,
    keys: Arc<FileKeys>,
    backing: u64,
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
                Err(error) if is_out_of_reach(&error) => continue,
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
                let Ok(node) = sys::open_node(&directory, &name) else {
                    continue;
                };
                let stat = sys::stat(&node)?;
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => walk.visit(way.to(name)),
                    // One that the kernel knows was settled when it was looked up.
                    FileType::RegularFile if self.inodes.find(&stat).is_none() => {
                        unsettled += usize::from(!self.settle(&node)?);
                    }
                    _ => {}
                }
            }
        }
        Ok(Some(unsettled))
    }

    /// The attributes of `node`, which is settled first if need be. The caller holds
    /// [`Settling::turn`].
    pub(super) fn settled_stat(&self, node: &OwnedFd) -> Result<sys::Stat, FsError> {
        let stat = sys::stat(node)?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        if !is_file || !self.settling.is_lenient() || self.inodes.find(&stat).is_some() {
            return Ok(stat);
        }
        self.settle(node)?;
        Ok(sys::stat(node)?)
    }

    /// Settles one file; whether that is done. One that cannot be is left as it is, and opening it
    /// says why: for good when its header is damaged, for now when its key is not to be had.
    fn settle(&self, node: &OwnedFd) -> Result<bool, FsError> {
        let found = match self.find_out(node) {
            Ok(None) => return Ok(true),
            Ok(Some(found)) => found,
            Err(error @ (FsError::Integrity(_) | FsError::Key(_))) => {
                tracing::warn!(%error, "a file could not be settled");
                return Ok(matches!(error, FsError::Integrity(_)));
            }
            Err(error) => return Err(error),
        };
        let length = found.settled_length()?;
        let sealed = backing_len(length)?.0;
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
        let slot = damaged.unwrap_or_else(|| found.slot.for_update(found.header.synced));
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
        Ok(true)
    }

    /// What is on disk, if it needs settling.
    pub(super) fn find_out(&self, node: &OwnedFd) -> Result<Option<Found>, FsError> {
        let backing = sys::stat(node)?.st_size.unsigned_abs();
        let (file, raw) = self.read_header(node)?;
        let (slot, newest) = raw.newest();
        if !raw.has_damage() && plain_len(BackingLen(backing)) == Some(newest.unverified().length) {
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
        let synced = [Some(&self.header), self.older.as_ref()]
            .into_iter()
            .flatten()
            .filter(|header| header.synced)
            .map(|header| header.length)
            .max()
            .unwrap_or(0)
            .min(plain_or_whole(self.backing));
        let mut index = BlockIndex::of(self.header.length.min(plain_or_whole(self.backing)));
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

//! Open files: reading, writing, changing the length, making durable, closing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLockReadGuard;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::audit::Event;
use crate::format::Header;
use crate::sys;

use super::caller::{Caller, Who};
use super::content::Content;
use super::guard::{Action, Attempt, Target};
use super::handle::HandleId;
use super::inode::Inode;
use super::revocation::{Right, Standing};
use super::{FileSystem, FsError, Ino, SetIds};

pub(super) struct FileHandle {
    pub(super) inode: Arc<Inode>,
    pub(super) content: Arc<Content>,
    pub(super) who: Who,
    pub(super) right: Right,
    pub(super) standing: Standing,
    /// When it was opened, as [`sys::uptime`] tells it.
    pub(super) opened: Duration,
    /// The path it was opened by, for the records of this handle.
    target: Target,
    read: AtomicU64,
    written: AtomicU64,
    read_recorded: AtomicBool,
    refusal_recorded: AtomicBool,
}

impl FileHandle {
    pub(super) fn new(
        inode: Arc<Inode>,
        content: Arc<Content>,
        who: Who,
        target: Target,
        right: Right,
    ) -> Self {
        Self {
            inode,
            content,
            who,
            right,
            standing: Standing::new(),
            opened: sys::uptime(),
            target,
            read: AtomicU64::new(0),
            written: AtomicU64::new(0),
            read_recorded: AtomicBool::new(false),
            refusal_recorded: AtomicBool::new(false),
        }
    }

    /// Holds off the revoking of this handle; refuses one that is revoked. The first refusal is
    /// recorded, of a program that goes on asking.
    pub(super) fn hold(&self, attempt: &Attempt<'_>) -> Result<RwLockReadGuard<'_, ()>, FsError> {
        self.standing.hold().ok_or_else(|| {
            if self.refusal_recorded.swap(true, Ordering::Relaxed) {
                FsError::Revoked
            } else {
                attempt.refuse_revoked()
            }
        })
    }

    pub(super) fn note_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Writes `data` at `offset`, as far as the handle goes.
    pub(super) fn write(&self, offset: u64, data: &[u8]) -> Result<(), FsError> {
        let append_only = self.right.is_append_only();
        self.content.write(offset, data, append_only)?;
        self.written.fetch_add(data.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn ino(&self) -> Ino {
        self.inode.ino
    }
}

impl FileSystem {
    /// Reads up to `len` bytes from `offset` into `plaintext`, which is emptied first.
    ///
    /// # Errors
    /// An integrity failure, or the backing filesystem.
    pub fn read(
        &self,
        handle: HandleId,
        offset: u64,
        len: usize,
        plaintext: &mut Vec<u8>,
    ) -> Result<(), FsError> {
        let handle = self.files.get(handle)?;
        let attempt = self.guard.attempt("Read", &handle.who, &handle.target);
        let _held = handle.hold(&attempt)?;
        attempt.finish(handle.content.read(offset, len, plaintext))?;
        handle.note_read(plaintext.len());
        // The flag follows the record: a use that could not be recorded is tried anew.
        if !handle.read_recorded.load(Ordering::Relaxed) {
            attempt.record_use(|event| {
                event
                    .parameter("offset", offset)
                    .parameter("bytes", plaintext.len() as u64)
                    .read_only()
            })?;
            handle.read_recorded.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Writes `data` at `offset`.
    ///
    /// # Errors
    /// An integrity failure in a block that is written in part, or the backing filesystem.
    pub fn write(
        &self,
        handle: HandleId,
        offset: u64,
        data: &[u8],
        writer: Writer,
    ) -> Result<SetIds, FsError> {
        let handle = self.files.get(handle)?;
        let attempt = self.guard.attempt("Write", &handle.who, &handle.target);
        let _held = match writer {
            Writer::Cache => None,
            Writer::Program { .. } => Some(handle.hold(&attempt)?),
        };
        let takes_set_ids = match writer {
            Writer::Program {
                caller,
                takes_set_ids: true,
            } => Some(caller),
            Writer::Program { .. } | Writer::Cache => None,
        };
        let set_ids = self.prepare_write(&handle, takes_set_ids)?;
        if handle.inode.open.lock().write_recorded {
            attempt.finish(handle.write(offset, data))?;
            return Ok(set_ids);
        }
        attempt.record_use(|event| {
            event
                .parameter("offset", offset)
                .parameter("bytes", data.len() as u64)
        })?;
        handle.inode.open.lock().write_recorded = true;
        attempt.happened(handle.write(offset, data))?;
        Ok(set_ids)
    }

    /// Takes away what a write takes: the file's capability, and its set-id bits where `killer` is the
    /// one whose write does so.
    pub(super) fn prepare_write(
        &self,
        handle: &FileHandle,
        killer: Option<Caller>,
    ) -> Result<SetIds, FsError> {
        if !handle.inode.open.lock().capability_gone {
            let descriptor = self.inodes.descriptor(&handle.inode)?;
            self.drop_capability(&handle.inode, &descriptor)?;
            handle.inode.open.lock().capability_gone = true;
        }
        killer.map_or(Ok(SetIds::Kept), |caller| {
            self.drop_set_ids(caller, &handle.inode)
        })
    }

    /// Sets a file's length; policy is asked, with or without a handle.
    pub(super) fn set_length(
        &self,
        who: &Who,
        inode: &Arc<Inode>,
        length: u64,
    ) -> Result<(), FsError> {
        if inode.kind != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        let target = Target::of(inode);
        let attempt = self.guard.attempt("Truncate", who, &target);
        let allowed = attempt.check(Action::Write)?;
        let content = attempt.finish(self.acquire(who, &allowed, inode, length == 0))?;
        let before = content.header().generation;
        let cut = attempt.perform(
            &allowed,
            |event| event.parameter("length", length),
            || {
                content.set_length(length)?;
                let _told_by_the_reply = self.drop_privileges(who.caller, inode)?;
                Ok(())
            },
        );
        let closed = self.let_go(inode);
        let header = content.header();
        if header.generation > before {
            let closing = self.guard.attempt("Close", who, &target);
            closing.record_use(|event| state_of(&header, event))?;
        }
        cut.and(closed)
    }

    /// Reserves, zeroes or punches a range of an open file (`fallocate(2)`).
    ///
    /// # Errors
    /// `EOPNOTSUPP` for a mode that is not one of these; policy; the backing filesystem.
    pub fn allocate(
        &self,
        caller: Caller,
        handle: HandleId,
        range: Range<u64>,
        mode: Allocation,
    ) -> Result<SetIds, FsError> {
        self.refuse_if_read_only()?;
        let handle = self.files.get(handle)?;
        let who = self.guard.identify(caller)?;
        let attempt = self.guard.attempt("Allocate", &who, &handle.target);
        let _held = handle.hold(&attempt)?;
        let allowed = attempt.check(Action::Write)?;
        let content = &handle.content;
        let (offset, bytes) = (range.start, range.end - range.start);
        attempt.perform(
            &allowed,
            |event| event.parameter("offset", offset).parameter("bytes", bytes),
            || {
                match mode {
                    Allocation::Reserve { keep_length } => content.reserve(range, keep_length),
                    Allocation::Punch => content.zero(range, true),
                    Allocation::Zero { keep_length } => content.zero(range, keep_length),
                }?;
                self.drop_privileges(caller, &handle.inode)
            },
        )
    }

    /// Makes an open file durable: its data and header, and every directory record and name file
    /// above it that this mount made.
    ///
    /// # Errors
    /// The backing filesystem.
    pub fn fsync(&self, handle: HandleId) -> Result<(), FsError> {
        let handle = self.files.get(handle)?;
        for parent in handle.inode.parents() {
            self.sync_names(&parent)?;
        }
        if self.options.read_only {
            return Ok(());
        }
        let synced = handle.content.sync().inspect_err(|error| {
            if let FsError::Revoked = error {
                return; // Its header is as it was left.
            }
            // Until the next mount nobody can tell what of it is on disk.
            tracing::error!(%error, "a file could not be made durable");
            self.settling.need();
        })?;
        if let Some(header) = synced {
            let attempt = self.guard.attempt("Sync", &handle.who, &handle.target);
            let recorded = attempt.record_use(|event| state_of(&header, event));
            // It is on disk, and that is what was asked for.
            if let Err(error) = recorded {
                tracing::error!(%error, "an fsync could not be recorded");
            }
        }
        Ok(())
    }

    /// Closes a handle; with the last one the header is brought up to date.
    ///
    /// # Errors
    /// When the header or the record cannot be written; the handle is closed all the same.
    pub fn close(&self, handle: HandleId) -> Result<(), FsError> {
        let handle = self.files.remove(handle)?;
        self.stand_down(&handle);
        let closed = self.let_go(&handle.inode);
        let attempt = self.guard.attempt("Close", &handle.who, &handle.target);
        attempt.record_use(|event| {
            state_of(&handle.content.header(), event)
                .parameter("bytesRead", handle.read.load(Ordering::Relaxed))
                .parameter("bytesWritten", handle.written.load(Ordering::Relaxed))
                .read_only()
        })?;
        closed
    }
}

/// Which state of which file `header` says is on disk, for a record.
fn state_of<'a>(header: &Header, event: Event<'a>) -> Event<'a> {
    event
        .file_id(header.file.to_string())
        .parameter("generation", header.generation)
        .parameter("length", header.length)
}

/// Where a write comes from.
#[derive(Debug, Clone, Copy)]
pub enum Writer {
    /// The kernel's cache, which took it from a program when that was allowed to write. Whose handle
    /// it comes by says nothing.
    Cache,
    /// A program, now.
    Program {
        /// Whose write it is.
        caller: Caller,
        /// Whether it takes set-id bits away.
        takes_set_ids: bool,
    },
}

/// What `fallocate(2)` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// Reserve space.
    Reserve {
        /// Even beyond the end, the length stays.
        keep_length: bool,
    },
    /// Make a hole.
    Punch,
    /// Make it read as zeros.
    Zero {
        /// Even beyond the end, the length stays.
        keep_length: bool,
    },
}

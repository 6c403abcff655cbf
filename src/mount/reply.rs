//! From results to replies, and from whom: the thread that served the request, or the pool.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fuser::{
    Errno, Generation, INodeNo, Notifier, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr,
};

use crate::fs::{Attr, FileSystem, FsError, SetIds};

use super::convert::file_attr;
use super::errno::errno;
use super::pool::Pool;

/// How long the kernel may believe what it was told: the volume is ours alone, and what changes
/// comes through the kernel itself.
pub(super) const TTL: Duration = Duration::from_hours(1);
/// Inode numbers are not used again while the kernel knows them.
pub(super) const GENERATION: Generation = Generation(0);

/// A reply that may be an error.
pub(super) trait Fails: Send + 'static {
    fn fail(self, error: Errno);
}

macro_rules! fails {
    ($($reply:ty),*) => {
        $(impl Fails for $reply {
            fn fail(self, error: Errno) {
                self.error(error);
            }
        })*
    };
}

fails!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

/// Serves requests and sends what comes of them.
pub(super) struct Desk {
    filesystem: Arc<FileSystem>,
    slow: Pool,
    /// To the kernel, of its own accord; there once the session is.
    notifier: Arc<OnceLock<Notifier>>,
}

impl Desk {
    pub(super) fn new(
        filesystem: Arc<FileSystem>,
        notifier: Arc<OnceLock<Notifier>>,
    ) -> io::Result<Self> {
        Ok(Self {
            filesystem,
            slow: Pool::start()?,
            notifier,
        })
    }

    pub(super) fn filesystem(&self) -> &FileSystem {
        &self.filesystem
    }

    /// Serves one request. A panic in it is an EIO, a log line and a record, not a dead worker.
    pub(super) fn serve<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&FileSystem) -> Result<T, FsError>,
    ) -> Result<T, FsError> {
        serve(&self.filesystem, operation, work)
    }

    /// Serves one request on another thread, for what takes its time.
    pub(super) fn serve_slowly<R: Fails, T>(
        &self,
        operation: &'static str,
        reply: R,
        work: impl FnOnce(&FileSystem) -> Result<T, FsError> + Send + 'static,
        answer: impl FnOnce(R, T) + Send + 'static,
    ) {
        let filesystem = self.filesystem.clone();
        self.slow.run(move || {
            match serve(&filesystem, operation, work).map_err(|error| filesystem.wait(error)) {
                Ok(value) => answer(reply, value),
                Err(error) => reply.fail(errno(&error)),
            }
        });
    }

    /// Replies that the request failed: from the pool, if the error's record is on its way to the
    /// disk. Many denials at once would otherwise hold up everybody.
    pub(super) fn fail(&self, reply: impl Fails, error: FsError) {
        if matches!(error, FsError::OnceRecorded { .. }) {
            let filesystem = self.filesystem.clone();
            self.slow
                .run(move || reply.fail(errno(&filesystem.wait(error))));
        } else {
            reply.fail(errno(&error));
        }
    }

    pub(super) fn empty(&self, reply: ReplyEmpty, result: Result<(), FsError>) {
        match result {
            Ok(()) => reply.ok(),
            Err(error) => self.fail(reply, error),
        }
    }

    pub(super) fn xattr(&self, reply: ReplyXattr, size: u32, result: Result<Vec<u8>, FsError>) {
        match result {
            Ok(data) if size == 0 => reply.size(data.len() as u32),
            Ok(data) if data.len() > size as usize => reply.error(Errno::ERANGE),
            Ok(data) => reply.data(&data),
            Err(error) => self.fail(reply, error),
        }
    }

    pub(super) fn attr(&self, reply: ReplyAttr, result: Result<Attr, FsError>) {
        match result {
            Ok(attr) => reply.attr(&TTL, &file_attr(&attr)),
            Err(error) => self.fail(reply, error),
        }
    }

    pub(super) fn entry(&self, reply: ReplyEntry, result: Result<Attr, FsError>) {
        match result {
            Ok(attr) => found(reply, attr),
            Err(error) => self.fail(reply, error),
        }
    }

    /// Has the kernel forget a mode that is no longer true. It forgets attributes alone, which waits
    /// for no page; due before the reply, so that the caller finds it done.
    pub(super) fn forget_mode(&self, inode: INodeNo, set_ids: SetIds) {
        if set_ids == SetIds::Kept {
            return;
        }
        let Some(notifier) = self.notifier.get() else {
            return;
        };
        if let Err(error) = notifier.inval_inode(inode, -1, 0) {
            tracing::debug!(%error, "the kernel's attributes could not be invalidated");
        }
    }
}

pub(super) fn done(reply: ReplyEmpty, (): ()) {
    reply.ok();
}

pub(super) fn found(reply: ReplyEntry, attr: Attr) {
    reply.entry(&TTL, &file_attr(&attr), GENERATION);
}

fn serve<T>(
    filesystem: &FileSystem,
    operation: &'static str,
    work: impl FnOnce(&FileSystem) -> Result<T, FsError>,
) -> Result<T, FsError> {
    let Ok(result) = catch_unwind(AssertUnwindSafe(|| work(filesystem))) else {
        tracing::error!(operation, "panicked; please report this");
        filesystem.record_panic(operation);
        return Err(rustix::io::Errno::IO.into());
    };
    result.inspect_err(|error| tracing::debug!(operation, %error, "refused or failed"))
}

//! From results to replies, and from whom: the thread that served the request, or the pool.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use fuser::{
    Errno, Generation, INodeNo, Notifier, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr,
};

use crate::format::NAME_MAX;
use crate::fs::{Attr, FileSystem, FsError, Ino, SetIds};
use crate::sys;

use super::convert::{absent, file_attr};
use super::errno::errno;
use super::pool::Pool;

/// How long the kernel may believe what it was told: the volume is ours alone, and what changes
/// comes through the kernel itself.
const TTL: Duration = Duration::from_hours(1);
/// Inode numbers are not used again while the kernel knows them.
pub(super) const GENERATION: Generation = Generation(0);

/// Threads for what waits for the disk.
const SLOW: usize = 8;
/// Threads for what waits for the key service: apart from those, so that no fsync waits behind it.
const KEYED: usize = 32;
/// How long a request may wait for one of them: as long as the key service may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

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
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

/// Serves requests and sends what comes of them.
pub(super) struct Desk {
    filesystem: Arc<FileSystem>,
    slow: Pool,
    /// There if the key service is in another process.
    keyed: Option<Pool>,
    /// To the kernel, of its own accord; there once the session is.
    notifier: Arc<OnceLock<Notifier>>,
}

impl Desk {
    pub(super) fn new(
        filesystem: Arc<FileSystem>,
        notifier: Arc<OnceLock<Notifier>>,
    ) -> io::Result<Self> {
        let keyed = filesystem
            .keys_may_wait()
            .then(|| Pool::start("keys", KEYED));
        Ok(Self {
            filesystem,
            slow: Pool::start("slow", SLOW)?,
            keyed: keyed.transpose()?,
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
        answer: impl FnOnce(&FileSystem, R, T) + Send + 'static,
    ) {
        let filesystem = self.filesystem.clone();
        self.slow
            .run(move || finish(&filesystem, operation, reply, work, answer));
    }

    /// Serves one request that may need a key: on another thread, unless the key service answers at
    /// once.
    pub(super) fn serve_keyed<R: Fails, T>(
        &self,
        operation: &'static str,
        reply: R,
        work: impl FnOnce(&FileSystem) -> Result<T, FsError> + Send + 'static,
        answer: impl FnOnce(&FileSystem, R, T) + Send + 'static,
    ) {
        let keyed = self.keyed.as_ref();
        let Some(pool) = keyed.filter(|_| self.filesystem.keys_may_wait()) else {
            match self.serve(operation, work) {
                Ok(value) => answer(&self.filesystem, reply, value),
                Err(error) => self.fail(reply, error),
            }
            return;
        };
        let filesystem = self.filesystem.clone();
        let asked = Instant::now();
        pool.run(move || {
            if asked.elapsed() > PATIENCE {
                // Those before it waited in vain: so would this one.
                tracing::debug!(operation, "no turn at the key service in time");
                return reply.fail(Errno::ETIMEDOUT);
            }
            finish(&filesystem, operation, reply, work, answer);
        });
    }

    /// Whether looking up a file may need a key, and so may wait for another process.
    pub(super) fn lookups_may_wait(&self) -> bool {
        self.filesystem.needs_sweep() && self.filesystem.keys_may_wait()
    }

    /// To the kernel, of our own accord.
    pub(super) fn notifier(&self) -> Arc<OnceLock<Notifier>> {
        self.notifier.clone()
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

    /// Sends what came of a request.
    pub(super) fn answer<R: Fails, T>(
        &self,
        reply: R,
        result: Result<T, FsError>,
        answer: impl FnOnce(R, T),
    ) {
        match result {
            Ok(value) => answer(reply, value),
            Err(error) => self.fail(reply, error),
        }
    }

    pub(super) fn empty(&self, reply: ReplyEmpty, result: Result<(), FsError>) {
        self.answer(reply, result, |reply, ()| reply.ok());
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
            Ok(attr) => told(&self.filesystem, reply, attr),
            Err(error) => self.fail(reply, error),
        }
    }

    pub(super) fn entry(&self, reply: ReplyEntry, result: Result<Attr, FsError>) {
        match result {
            Ok(attr) => found(&self.filesystem, reply, attr),
            Err(error) => self.fail(reply, error),
        }
    }

    /// Has the kernel forget a mode that is no longer true. It forgets attributes alone, which waits
    /// for no page; due before the reply, so that the caller finds it done.
    pub(super) fn forget_mode(&self, inode: INodeNo, set_ids: SetIds) {
        forget_mode(&self.notifier, inode, set_ids);
    }
}

/// As [`Desk::forget_mode`].
pub(super) fn forget_mode(notifier: &OnceLock<Notifier>, inode: INodeNo, set_ids: SetIds) {
    if set_ids == SetIds::Kept {
        return;
    }
    let Some(notifier) = notifier.get() else {
        return;
    };
    if let Err(error) = notifier.inval_inode(inode, -1, 0) {
        tracing::debug!(%error, "the kernel's attributes could not be invalidated");
    }
}

pub(super) fn space(reply: ReplyStatfs, stat: &sys::StatFs) {
    reply.statfs(
        stat.f_blocks,
        stat.f_bfree,
        stat.f_bavail,
        stat.f_files,
        stat.f_ffree,
        stat.f_bsize as u32,
        NAME_MAX as u32,
        stat.f_frsize as u32,
    );
}

pub(super) fn done(_: &FileSystem, reply: ReplyEmpty, (): ()) {
    reply.ok();
}

pub(super) fn found(filesystem: &FileSystem, reply: ReplyEntry, attr: Attr) {
    reply.entry(&ttl(filesystem, attr.ino), &file_attr(&attr), GENERATION);
}

/// A name that is not there is an answer, too.
pub(super) fn or_absent(looked_up: Result<Attr, FsError>) -> Result<Option<Attr>, FsError> {
    match looked_up {
        Err(error) if i32::from(errno(&error)) == libc::ENOENT => Ok(None),
        found => found.map(Some),
    }
}

/// The kernel remembers both.
pub(super) fn found_or_absent(filesystem: &FileSystem, reply: ReplyEntry, attr: Option<Attr>) {
    match attr {
        Some(attr) => found(filesystem, reply, attr),
        None => reply.entry(&TTL, &absent(), GENERATION),
    }
}

pub(super) fn told(filesystem: &FileSystem, reply: ReplyAttr, attr: Attr) {
    reply.attr(&ttl(filesystem, attr.ino), &file_attr(&attr));
}

/// [`TTL`], but while open files may not be used, or not by everybody: then the kernel has to ask for
/// the attributes, by the handle, before each read and write that it would otherwise serve from its cache
/// by itself.
pub(super) fn ttl(filesystem: &FileSystem, ino: Ino) -> Duration {
    if filesystem.is_cut_off() || filesystem.is_contested(ino) {
        Duration::ZERO
    } else {
        TTL
    }
}

fn finish<R: Fails, T>(
    filesystem: &FileSystem,
    operation: &'static str,
    reply: R,
    work: impl FnOnce(&FileSystem) -> Result<T, FsError>,
    answer: impl FnOnce(&FileSystem, R, T),
) {
    match serve(filesystem, operation, work).map_err(|error| filesystem.wait(error)) {
        Ok(value) => answer(filesystem, reply, value),
        Err(error) => reply.fail(errno(&error)),
    }
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

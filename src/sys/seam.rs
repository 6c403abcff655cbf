//! Where a test comes between the filesystem and the kernel.
//!
//! Every call on a backing directory passes here. A test arms its own thread ([`watch`]): it sees each
//! call, may let it fail or transfer less, and so tells what a full disk, a broken one, or one that
//! loses power leaves behind. In any other build nothing of this is there.
//!
//! A call that a signal interrupts is made again: that is no failure of the backing filesystem.

use std::os::fd::BorrowedFd;

use rustix::fs::RenameFlags;

use super::Allocate;

/// A call on the backing directory.
#[derive(Debug, Clone, Copy)]
#[allow(
    dead_code,
    reason = "only a test looks at a call, and at what it needs"
)]
pub(crate) enum Call<'a> {
    /// One that changes nothing; its name.
    Look(&'static str),
    /// `pread(2)`.
    Read,
    /// `pwrite(2)`.
    Write {
        file: BorrowedFd<'a>,
        offset: u64,
        bytes: &'a [u8],
    },
    /// `ftruncate(2)`.
    Truncate { file: BorrowedFd<'a>, length: u64 },
    /// `fallocate(2)`.
    Allocate {
        file: BorrowedFd<'a>,
        what: Allocate,
        offset: u64,
        length: u64,
    },
    /// `fdatasync(2)`.
    SyncData(BorrowedFd<'a>),
    /// `sync_file_range(2)`.
    StartSync(BorrowedFd<'a>),
    /// `fsync(2)` of a directory.
    SyncDirectory(BorrowedFd<'a>),
    /// `syncfs(2)`.
    SyncFilesystem,
    /// A node comes to be: `open(2)` with `O_CREAT`, `mkdirat(2)`, `mknodat(2)`, `symlinkat(2)`.
    Make {
        parent: BorrowedFd<'a>,
        name: &'a str,
    },
    /// `linkat(2)`.
    Link {
        node: BorrowedFd<'a>,
        parent: BorrowedFd<'a>,
        name: &'a str,
    },
    /// `renameat2(2)`.
    Rename {
        from: BorrowedFd<'a>,
        name: &'a str,
        to: BorrowedFd<'a>,
        new_name: &'a str,
        flags: RenameFlags,
    },
    /// `unlinkat(2)`, of a directory too.
    Remove {
        parent: BorrowedFd<'a>,
        name: &'a str,
    },
    /// `fchmodat(2)`, `fchownat(2)`, `utimensat(2)`, `setxattr(2)`, `removexattr(2)`.
    Attributes(&'static str),
}

#[cfg(not(test))]
#[inline(always)]
#[allow(clippy::inline_always, reason = "this is where it must cost nothing")]
pub(super) fn pass<T>(
    _: Call<'_>,
    real: impl FnMut() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    rustix::io::retry_on_intr(real)
}

/// As much of a transfer of `len` bytes as happens at once.
#[cfg(not(test))]
#[inline(always)]
#[allow(clippy::inline_always, reason = "this is where it must cost nothing")]
pub(super) fn part(len: usize) -> usize {
    len
}

#[cfg(test)]
pub(crate) use watched::{Watch, watch};
#[cfg(test)]
pub(super) use watched::{part, pass};

#[cfg(test)]
mod watched {
    use std::cell::RefCell;
    use std::rc::Rc;

    use rustix::io::{Errno, retry_on_intr};

    use super::Call;

    /// What a test does about the calls of its thread.
    pub(crate) trait Watch {
        /// Whether a call happens, or fails without having done anything.
        fn before(&mut self, call: &Call<'_>) -> Result<(), Errno>;
        /// A call that succeeded.
        fn after(&mut self, _: &Call<'_>) {}
        /// How many bytes the next `pread` or `pwrite` of `len` bytes transfers.
        fn part(&mut self, len: usize) -> usize {
            len
        }
    }

    thread_local! {
        static WATCH: RefCell<Option<Rc<RefCell<dyn Watch>>>> = const { RefCell::new(None) };
    }

    /// Runs `work` with every call of this thread shown to `watch`.
    pub(crate) fn watch<T>(watch: Rc<RefCell<dyn Watch>>, work: impl FnOnce() -> T) -> T {
        struct Disarm;
        impl Drop for Disarm {
            fn drop(&mut self) {
                WATCH.set(None);
            }
        }
        WATCH.set(Some(watch));
        let _disarm = Disarm;
        work()
    }

    fn watching() -> Option<Rc<RefCell<dyn Watch>>> {
        WATCH.with_borrow(Clone::clone)
    }

    pub(in crate::sys) fn pass<T>(
        call: Call<'_>,
        mut real: impl FnMut() -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        let Some(watch) = watching() else {
            return retry_on_intr(real);
        };
        let done = retry_on_intr(|| {
            watch.borrow_mut().before(&call)?;
            real()
        })?;
        watch.borrow_mut().after(&call);
        Ok(done)
    }

    pub(in crate::sys) fn part(len: usize) -> usize {
        watching().map_or(len, |watch| watch.borrow_mut().part(len))
    }
}

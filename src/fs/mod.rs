//! The filesystem: names, inodes, open files, policy and audit at every operation that DESIGN's table
//! names. It knows nothing of FUSE and runs in a test without a mount.
//!
//! An operation here goes: who asks (`guard`) → may they → what is asked (`inode`, `content`) →
//! it is recorded → the answer.

mod attr;
mod boundary;
mod caller;
mod check;
mod content;
mod directory;
mod error;
mod executables;
mod file;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod handle;
mod inode;
mod journal;
mod lock;
mod mark;
mod namespace;
mod new_volume;
mod node;
mod number;
mod open;
mod place;
mod privileges;
mod rename;
mod revocation;
mod settle;
mod strict;
#[cfg(test)]
mod tests;
mod tree_policy;
mod unsynced;
mod volume;
mod walk;
mod xattrs;

use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::crypto::derive::VolumeKeys;
use crate::format::VolumeConfig;
use crate::keyring::Keyring;
use crate::sys;

pub use attr::{Attr, Change, NewTime};
pub use boundary::{BOUNDARY_ATTRIBUTE, BoundaryRequest, BoundaryTold};
pub use caller::Caller;
pub use check::{Check, CheckOptions, Checked, Class, Finding, Kind, Watch};
pub use directory::Listed;
pub use error::{Damage, FsError};
pub use file::{Allocation, Writer};
pub use guard::policy_path;
pub use handle::HandleId;
pub use inode::Ino;
pub use lock::is_locked;
pub use new_volume::NewVolume;
pub use open::{OpenFlags, Opened};
pub use privileges::SetIds;
pub use rename::RenameMode;
pub use revocation::Reviewed;
pub use strict::Seek;
pub use tree_policy::{PolicyError, TreePolicy, is_in_force};
pub use volume::{
    LockedVolume, Principals, Services, Volume, VolumeError, descriptor_share, is_unclean,
    volume_arn,
};
pub use xattrs::XattrCreate;

use boundary::Boundaries;
use directory::DirectoryHandle;
use file::FileHandle;
use guard::Guard;
use handle::Handles;
use inode::InodeTable;
use journal::Journal;
use revocation::Reviews;
use settle::Settling;
use unsynced::Unsynced;

/// A mounted volume, below the mount.
pub struct FileSystem {
    /// Holds the volume's lock for as long as the filesystem lives.
    volume: LockedVolume,
    config: VolumeConfig,
    keys: VolumeKeys,
    inodes: InodeTable,
    files: Handles<FileHandle>,
    directories: Handles<DirectoryHandle>,
    keyring: Keyring,
    guard: Guard,
    settling: Settling,
    unsynced: Unsynced,
    boundaries: Boundaries,
    journal: Arc<Journal>,
    options: Options,
    /// The key service could not be followed for longer than [`Options::offline_grace`].
    cut_off: AtomicBool,
    reviews: Reviews,
}

/// How a volume is used.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Nothing may be changed.
    pub read_only: bool,
    /// Every read and write is recorded.
    pub strict_audit: bool,
    /// Reading updates access times, by the rules of the backing filesystem's own mount.
    pub access_times: bool,
    /// How many descriptors of inodes are kept.
    pub descriptors: NonZeroUsize,
    /// How long open files stay usable while the key service does not answer.
    pub offline_grace: Duration,
}

impl FileSystem {
    /// The volume's configuration.
    pub fn config(&self) -> &VolumeConfig {
        &self.config
    }

    /// Whether every read and write is recorded, and so must be seen here.
    pub fn is_strict(&self) -> bool {
        self.options.strict_audit
    }

    /// Records that serving `operation` panicked.
    pub fn record_panic(&self, operation: &'static str) {
        let recorded = self.guard.record_service("Panic", |event| {
            event
                .parameter("operation", operation)
                .error("InternalFailure", "a request panicked")
        });
        if let Err(error) = recorded {
            tracing::error!(%error, "a panic could not be recorded");
        }
    }

    /// How many inodes the kernel knows, and how many files are open.
    pub fn usage(&self) -> (usize, usize) {
        (self.inodes.len(), self.files.len())
    }

    /// What may be told of `error`: one that is recorded waits here until its record is on disk. Takes
    /// as long as the disk does.
    #[must_use]
    pub fn wait(&self, error: FsError) -> FsError {
        self.guard.wait(error)
    }

    /// Space and inodes of the backing filesystem.
    ///
    /// # Errors
    /// Those of `fstatvfs(3)`.
    pub fn statfs(&self) -> Result<sys::StatFs, FsError> {
        Ok(sys::statfs(&*self.root()?)?)
    }

    /// What is due from time to time: wipes data keys that were not used for a while, and looks
    /// whether the key service answers. Returns the files whose content the kernel has to forget,
    /// because they are not to be read for the time being, or not by everybody.
    pub fn tick(&self) -> Vec<Ino> {
        self.keyring.expire();
        let silent = self.keyring.silent_for().max(self.reviews.astray_for());
        let was_cut_off = self.is_cut_off();
        // Once it is back open files are decided anew before they can be used.
        let cut_off =
            silent.is_some_and(|silent| was_cut_off || silent >= self.options.offline_grace);
        if self.cut_off.swap(cut_off, Ordering::AcqRel) == cut_off {
            return self.shared_with_revoked();
        }
        if !cut_off {
            tracing::info!("the key service answers again: open files can be used");
            self.record_connection("KeyServiceBack");
            return Vec::new();
        }
        tracing::error!(
            "no answer from the key service: open files are closed to use until it answers"
        );
        self.record_connection("KeyServiceLost");
        self.keyring.clear();
        let mut open = self.files.map(FileHandle::ino);
        open.sort_unstable();
        open.dedup();
        open
    }

    fn record_connection(&self, name: &'static str) {
        let grace = self.options.offline_grace.as_secs();
        let recorded = self.guard.record_service(name, |event| {
            event
                .parameter("offlineGraceSeconds", grace)
                .administration()
        });
        if let Err(error) = recorded {
            tracing::error!(%error, name, "could not be recorded");
        }
    }

    /// Whether a call that needs a key may wait for another process.
    pub fn keys_may_wait(&self) -> bool {
        self.keyring.may_wait()
    }

    /// Whether open files cannot be used, because the key service has not answered for too long.
    pub fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Acquire)
    }

    /// Refuses the use of an open file while the key service has not answered for too long.
    ///
    /// # Errors
    /// [`FsError::CutOff`].
    pub fn refuse_if_cut_off(&self) -> Result<(), FsError> {
        if self.is_cut_off() {
            return Err(FsError::CutOff);
        }
        Ok(())
    }

    fn root(&self) -> Result<Arc<OwnedFd>, FsError> {
        self.inodes.descriptor(self.inodes.root())
    }
}

//! Why a request is refused or fails.

use std::io;

use crate::audit::{AuditError, Unsynced};
use crate::format::{BlockIndex, HeaderError, NameError, TooLarge, XattrError};
use crate::keyring::KeyringError;

/// Every way in which a request can end other than well. `mount` maps each to an errno.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// The backing filesystem refused.
    #[error("the backing filesystem: {0}")]
    Backing(#[from] io::Error),
    /// Policy refused; the denial is recorded.
    #[error("policy does not allow it")]
    Denied,
    /// The system's user database could not be asked who the caller is.
    #[error("user {uid} cannot be looked up: {reason}")]
    UnknownCaller {
        /// The caller's user id.
        uid: u32,
        /// The system's reason.
        reason: io::Error,
    },
    /// The data key could not be had.
    #[error(transparent)]
    Key(#[from] KeyringError),
    /// The key service has not answered for longer than open files may be used without it.
    #[error("the key service does not answer")]
    CutOff,
    /// The handle was revoked: a right that it was opened by is gone. Opening the file anew asks anew.
    #[error("the open file was revoked")]
    Revoked,
    /// The access could not be recorded, so it does not happen.
    #[error("it could not be recorded: {0}")]
    Unrecorded(#[from] AuditError),
    /// What was read is not what was written.
    #[error("integrity failure: {0}")]
    Integrity(#[from] Damage),
    /// A name that no file can have.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An attribute that cannot be stored.
    #[error(transparent)]
    Xattr(#[from] XattrError),
    /// Beyond the largest possible length.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// An error whose record has to reach the disk before anyone is told: [`FileSystem::wait`].
    ///
    /// [`FileSystem::wait`]: super::FileSystem::wait
    #[error("{error}")]
    OnceRecorded {
        /// The error itself.
        error: Box<FsError>,
        /// Its record.
        record: Unsynced,
    },
    /// A plain errno of the operation's own: `ENOENT`, `ENOTEMPTY`, `ERANGE`, ...
    #[error("{0}")]
    Errno(rustix::io::Errno),
}

impl From<rustix::io::Errno> for FsError {
    fn from(errno: rustix::io::Errno) -> Self {
        Self::Errno(errno)
    }
}

/// What is wrong with something that was read from the backing directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// A block does not authenticate.
    #[error("block {} does not authenticate", .0.0)]
    Block(BlockIndex),
    /// A block is missing: the backing file ends before it.
    #[error("block {} is missing", .0.0)]
    Missing(BlockIndex),
    /// The header cannot be used.
    #[error("header: {0}")]
    Header(#[from] HeaderError),
    /// The header was not written under the file's data key.
    #[error("the header does not authenticate")]
    ForgedHeader,
    /// The key service says that the wrapped key is not this file's.
    #[error("the wrapped data key is not this file's")]
    WrappedKey,
    /// Header and backing file disagree on the length.
    #[error("the header says {header} bytes, the backing file {}", of_size(*backing))]
    Length {
        /// According to the header.
        header: u64,
        /// According to the backing file's size; `None` when no plaintext has that size.
        backing: Option<u64>,
    },
    /// A directory's record is missing, damaged or another volume's.
    #[error("the directory's record is missing or not this volume's")]
    DirectoryRecord,
    /// The file was made in a directory of another label.
    #[error(
        "the file has {} and its directory {}: it was moved here in the backing directory",
        shown_label(.header.as_deref()), shown_label(.directory.as_deref())
    )]
    Label {
        /// According to the file's header.
        header: Option<String>,
        /// Of the directory that it is in.
        directory: Option<String>,
    },
    /// An entry's name was not made in this directory.
    #[error("a name does not authenticate")]
    Name,
    /// A symbolic link's target was not made by this volume.
    #[error("the link's target does not authenticate")]
    Target,
    /// An attribute was not made for this object.
    #[error("an extended attribute does not authenticate")]
    Xattr,
    /// A node changed under its name while it was in use.
    #[error("another node took its place in the backing directory")]
    Replaced,
}

fn shown_label(label: Option<&str>) -> String {
    match label {
        Some(label) => format!("the label {label:?}"),
        None => "no label".to_owned(),
    }
}

fn of_size(plain: Option<u64>) -> String {
    match plain {
        Some(length) => format!("holds {length}"),
        None => "has a size that no plaintext has".to_owned(),
    }
}

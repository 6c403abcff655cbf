//! Errors as errno: one exhaustive match, so that a new error cannot be forgotten here.

use fuser::Errno;

use crate::format::{NameError, XattrError};
use crate::fs::FsError;
use crate::keyring::KeyringError;
use crate::kms::KmsError;

/// The errno that a program is told.
pub(super) fn errno(error: &FsError) -> Errno {
    match error {
        FsError::Backing(error) => error.raw_os_error().map_or(Errno::EIO, Errno::from_i32),
        FsError::Denied | FsError::CutOff | FsError::Revoked => Errno::EACCES,
        FsError::Key(error) => key_errno(error),
        FsError::UnknownCaller { .. } | FsError::Unrecorded(_) | FsError::Integrity(_) => {
            Errno::EIO
        }
        FsError::Name(NameError::TooLong) => Errno::ENAMETOOLONG,
        FsError::Name(NameError::Invalid) => Errno::EINVAL,
        FsError::Xattr(XattrError::Namespace) => Errno::EOPNOTSUPP,
        FsError::Xattr(XattrError::TooLong) => Errno::ERANGE,
        FsError::TooLarge(_) => Errno::EFBIG,
        FsError::OnceRecorded { error, .. } => errno(error),
        FsError::Errno(errno) => Errno::from_i32(errno.raw_os_error()),
    }
}

fn key_errno(error: &KeyringError) -> Errno {
    match error {
        KeyringError::Refused(_) => Errno::EACCES,
        // Not EIO: the file is sound, and the same open succeeds once the key service is back.
        KeyringError::Unavailable(KmsError::Unreachable(_)) => Errno::ETIMEDOUT,
        KeyringError::Unavailable(KmsError::Throttling(_)) => Errno::EAGAIN,
        KeyringError::Unavailable(KmsError::KeyUnavailable(_)) => Errno::from_i32(libc::EREMOTEIO),
        KeyringError::NotThisFiles(_)
        | KeyringError::Unavailable(_)
        | KeyringError::WrongLength => Errno::EIO,
    }
}

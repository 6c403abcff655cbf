//! What a command can fail of, and the exit code of each.

use std::io;
use std::path::PathBuf;

use crate::audit::AuditError;
use crate::format::{HeaderError, VolumeConfigError};
use crate::fs::VolumeError;
use crate::kms::{HomeError, KmsError, RemoteError};
use crate::mount::MountError;
use crate::policy::Refused;

use super::exit::Exit;
use super::home::NoHome;
use super::mount_options::OptionError;

/// Why a command failed: one line for the terminal.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    NoHome(#[from] NoHome),
    #[error(transparent)]
    Home(#[from] HomeError),
    #[error(
        "no passphrase: give --passfile FILE or --keyfile FILE, set KMSFS_PASSFILE, or run on a \
         terminal"
    )]
    NoSecret,
    /// The file with the passphrase cannot be used.
    #[error("{0}; name the right file with --passfile FILE")]
    Secret(HomeError),
    #[error("the two passphrases differ")]
    PassphrasesDiffer,
    #[error(transparent)]
    Option(#[from] OptionError),
    #[error(transparent)]
    Volume(#[from] VolumeError),
    #[error(transparent)]
    Mount(#[from] MountError),
    #[error("the key service refused: {0}")]
    Kms(#[from] KmsError),
    #[error(transparent)]
    Remote(#[from] RemoteError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error("the policy document {file} is refused, and nothing changed:\n{reason}")]
    Policy { file: String, reason: Refused },
    #[error("the policy document {file} is refused, and nothing changed: {reason}")]
    PolicyWouldLockOut { file: String, reason: String },
    #[error("{path}: {source}")]
    Header { path: PathBuf, source: HeaderError },
    #[error("{path}: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "the home {home} does not have the volume {volume}; name the right one with --home DIR"
    )]
    OtherHome { home: PathBuf, volume: String },
    #[error("{0} is not a mount of kmsfs")]
    NotMounted(PathBuf),
    #[error("{0}")]
    Failed(String),
    /// An argument of the command line that its grammar does not catch.
    #[error("{0}")]
    Usage(String),
    #[error("the pattern {pattern:?} is not valid: {reason}")]
    Pattern { pattern: String, reason: String },
    /// The process that serves has said why itself.
    #[error("the mount was not made")]
    Background(u8),
}

impl CliError {
    /// For `map_err` on something done to `path`.
    pub(super) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(super) fn exit(&self) -> Exit {
        match self {
            Self::NoHome(_) | Self::OtherHome { .. } => Exit::BadHome,
            Self::Home(error) => home_exit(error),
            Self::NoSecret | Self::Secret(_) | Self::PassphrasesDiffer => Exit::WrongSecret,
            Self::Option(_) | Self::Usage(_) | Self::Pattern { .. } => Exit::Usage,
            Self::Volume(error) => volume_exit(error),
            Self::Mount(MountError::MountPoint { .. }) | Self::NotMounted(_) => Exit::BadMountPoint,
            Self::Kms(_) | Self::Remote(_) => Exit::KeyService,
            Self::Policy { .. } | Self::PolicyWouldLockOut { .. } => Exit::PolicyRefused,
            Self::Header {
                source: HeaderError::NewerVersion(_) | HeaderError::UnknownFeatures(_),
                ..
            } => Exit::NewerFormat,
            Self::Header { .. } => Exit::DamagedHeader,
            Self::Background(code) => Exit::from_code(*code),
            Self::Mount(_) | Self::Audit(_) | Self::Io { .. } | Self::Failed(_) => Exit::Failure,
        }
    }
}

fn home_exit(error: &HomeError) -> Exit {
    match error {
        HomeError::WrongPassphrase { .. }
        | HomeError::WrongKeyFile { .. }
        | HomeError::ShortKeyFile { .. }
        | HomeError::OtherSeal { .. }
        | HomeError::EmptyPassphrase
        | HomeError::Sealed(_) => Exit::WrongSecret,
        _ => Exit::BadHome,
    }
}

fn volume_exit(error: &VolumeError) -> Exit {
    match error {
        VolumeError::NotAVolume(_) => Exit::NotAVolume,
        VolumeError::Config {
            source: VolumeConfigError::NewerVersion(_) | VolumeConfigError::UnknownFeatures(_),
            ..
        } => Exit::NewerFormat,
        VolumeError::Config { .. } | VolumeError::RootRecord(_) => Exit::CorruptVolume,
        VolumeError::Busy { .. } | VolumeError::Checked(_) => Exit::AlreadyMounted,
        VolumeError::Key { .. } => Exit::KeyService,
        VolumeError::Io { .. }
        | VolumeError::Exists(_)
        | VolumeError::NotEmpty(_)
        | VolumeError::Audit(_)
        | VolumeError::Fs { .. } => Exit::Failure,
    }
}

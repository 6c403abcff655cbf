//! What can be wrong with a home.

use std::{
    io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use super::KmsError;

/// Why a home cannot be created, opened or served. Each message says which file is meant and what
/// to do.
#[derive(Debug, Error)]
pub enum HomeError {
    /// There is no home at this path.
    #[error("no kmsfs home at {0}: run `kmsfs init` first, or name the right one with --home")]
    Missing(PathBuf),
    /// A home is there already.
    #[error("{0} is a kmsfs home already")]
    Exists(PathBuf),
    /// The directory holds something else.
    #[error("{0} is not empty and no kmsfs home: give --home a new or empty directory")]
    NotEmpty(PathBuf),
    /// Others than its owner may enter the home.
    #[error("the home {path} is open to others (mode {mode:04o}): run `chmod 700 {path}`")]
    NotPrivate {
        /// The home.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The home belongs to another user, who alone may own its key service.
    #[error("the home {path} belongs to user id {owner}: run as that user, or give --home")]
    NotOwner {
        /// The home.
        path: PathBuf,
        /// The user id that owns it.
        owner: u32,
    },
    /// A later version of kmsfs wrote it.
    #[error(
        "{path} has format {found}, and this kmsfs reads formats up to {supported}: use the kmsfs \
         that wrote it, or a newer one"
    )]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
        /// The newest format this version reads.
        supported: u64,
    },
    /// A file of the home is damaged.
    #[error("{path} is damaged: {reason}; restore it from a backup")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An account id or Region is not valid.
    #[error("{0}")]
    Settings(String),
    /// The passphrase does not open the home.
    #[error("wrong passphrase for the home {home}")]
    WrongPassphrase {
        /// The home.
        home: PathBuf,
    },
    /// The key file does not open the home.
    #[error("the key file {key_file} is not the one of the home {home}")]
    WrongKeyFile {
        /// The home.
        home: PathBuf,
        /// The file.
        key_file: PathBuf,
    },
    /// The key file is too short to be a key.
    #[error(
        "the key file {key_file} has {found} bytes and needs at least 32: make one with `head -c \
         32 /dev/urandom`"
    )]
    ShortKeyFile {
        /// The file.
        key_file: PathBuf,
        /// Its length.
        found: usize,
    },
    /// The home is sealed in the other way.
    #[error("the home {home} opens with {needs}")]
    OtherSeal {
        /// The home.
        home: PathBuf,
        /// What it needs.
        needs: &'static str,
    },
    /// A passphrase has at least one character.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// Argon2 does not accept these parameters.
    #[error("these Argon2id parameters are not possible")]
    PassphraseCost,
    /// Nothing was given to open the home with, and no other process serves it.
    #[error(
        "the home {0} is sealed and no process serves it: give --passfile FILE or --keyfile FILE"
    )]
    Sealed(PathBuf),
    /// Its identity policies cannot be had.
    #[error("the identity policies of the home {path} cannot be had: {reason}")]
    Attached {
        /// The home.
        path: PathBuf,
        /// The key service's reason.
        reason: KmsError,
    },
    /// Another process serves it.
    #[error(
        "another process serves the home {0}: end it first (`kmsfs kms status` names it; a mount \
         ends with `kmsfs umount`)"
    )]
    Served(PathBuf),
    /// The account was fixed before.
    #[error(
        "the home {path} is of account {account}, which cannot be changed to {named} any more; \
         another --home can have that account"
    )]
    OtherAccount {
        /// The home.
        path: PathBuf,
        /// Its account.
        account: String,
        /// What was asked for.
        named: String,
    },
    /// The sealed server did not take the root key.
    #[error("the server of the home {path} could not be unsealed: {reason}")]
    Unseal {
        /// The home.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A backup cannot be used.
    #[error("{path} is no backup that can be used: {reason}")]
    Backup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A system call failed.
    #[error("cannot {doing} {path}: {source}")]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// The key store failed.
    #[error("the key store {path} failed: {source}")]
    Store {
        /// The database.
        path: PathBuf,
        /// Why it failed.
        source: rusqlite::Error,
    },
    /// The audit log failed; without it the key service does not run.
    #[error(transparent)]
    Audit(#[from] crate::audit::AuditError),
}

impl HomeError {
    /// For `map_err` on a system call.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }

    /// For `map_err` on a database call.
    pub(super) fn store(path: &Path) -> impl FnOnce(rusqlite::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Store { path, source }
    }

    pub(super) fn corrupt(path: &Path, reason: &str) -> Self {
        Self::Corrupt {
            path: path.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

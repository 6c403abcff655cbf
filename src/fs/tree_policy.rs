//! The volume's own policy: a document in the home, taken into force while the volume is mounted.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use crate::policy::{Document, DocumentKind, Refused};

/// Why a tree policy is not in force. Everything is denied then.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// It cannot be read.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// The document's file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// It is not a valid document.
    #[error("{path} is refused: {reason}")]
    Refused {
        /// The document's file.
        path: PathBuf,
        /// What is wrong, and where.
        reason: Refused,
    },
}

/// The policy in force, and where it comes from.
pub struct TreePolicy {
    path: PathBuf,
    current: ArcSwap<Result<Document, PolicyError>>,
    seen: Mutex<Option<Version>>,
}

/// What tells that a file was replaced: `policy put` renames a new one into place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    ino: u64,
    size: i64,
    modified: (i64, u64),
}

impl TreePolicy {
    /// The policy in the file `path`.
    pub fn load(path: PathBuf) -> Self {
        let seen = version(&path);
        let current = ArcSwap::from_pointee(read(&path));
        Self {
            path,
            current,
            seen: Mutex::new(seen),
        }
    }

    /// The document in force.
    pub(super) fn current(&self) -> Arc<Result<Document, PolicyError>> {
        self.current.load_full()
    }

    /// Reads the file again if it is another one than before, and takes it into force once `record`
    /// has recorded it; tells whether it did. If recording fails, the one before stays, and the next
    /// call tries again.
    pub(super) fn reload<E>(
        &self,
        record: impl FnOnce(&Result<Document, PolicyError>) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut seen = self.seen.lock();
        let version = version(&self.path);
        if *seen == version {
            return Ok(false);
        }
        let changed = read(&self.path);
        record(&changed)?;
        *seen = version;
        self.current.store(Arc::new(changed));
        Ok(true)
    }

    /// Says beside the file that what was seen last is in force, open files included.
    pub(super) fn confirm(&self) -> io::Result<()> {
        let Some(seen) = *self.seen.lock() else {
            return Ok(());
        };
        let file = confirmation(&self.path);
        let temporary = file.with_extension("new-in-force");
        let mut options = File::options();
        let mut new = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        new.write_all(seen.to_string().as_bytes())?;
        std::fs::rename(temporary, file)
    }
}

/// Whether the mount of the volume whose policy is in the file at `path` acts on it as it is now, with
/// open files decided anew. Says nothing where there is no mount.
pub fn is_in_force(path: &Path) -> bool {
    let Some(version) = version(path) else {
        return false;
    };
    std::fs::read_to_string(confirmation(path)).is_ok_and(|text| text == version.to_string())
}

fn confirmation(path: &Path) -> PathBuf {
    path.with_extension("in-force")
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ino,
            size,
            modified: (seconds, nanoseconds),
        } = self;
        write!(out, "{ino} {size} {seconds}.{nanoseconds:09}")
    }
}

fn version(path: &Path) -> Option<Version> {
    let stat = rustix::fs::stat(path).ok()?;
    Some(Version {
        ino: stat.st_ino,
        size: stat.st_size,
        modified: (stat.st_mtime, stat.st_mtime_nsec),
    })
}

fn read(path: &PathBuf) -> Result<Document, PolicyError> {
    let text = std::fs::read_to_string(path).map_err(|source| PolicyError::Unreadable {
        path: path.clone(),
        source,
    })?;
    Document::parse(DocumentKind::Tree, &text).map_err(|reason| PolicyError::Refused {
        path: path.clone(),
        reason,
    })
}

//! The volume's own policy: a document in the home, taken into force while the volume is mounted.

use std::io;
use std::path::PathBuf;
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
    /// has recorded it. If that fails, the one before stays, and the next call tries again.
    pub(super) fn reload<E>(
        &self,
        record: impl FnOnce(&Result<Document, PolicyError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut seen = self.seen.lock();
        let version = version(&self.path);
        if *seen == version {
            return Ok(());
        }
        let changed = read(&self.path);
        record(&changed)?;
        *seen = version;
        self.current.store(Arc::new(changed));
        Ok(())
    }
}

fn version(path: &PathBuf) -> Option<Version> {
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

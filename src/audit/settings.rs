//! How the logs of a directory are kept: `settings.json` beside them.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::num::NonZeroU64;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::sink::Target;
use super::{AuditError, io_error};

const FILE: &str = "settings.json";
/// More is no settings file.
const MAX: u64 = 64 << 10;

/// How the logs of a directory are kept. They take effect when a log is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Settings {
    /// A segment is closed when it has so many bytes.
    pub rotate_bytes: NonZeroU64,
    /// A segment is closed so many seconds after its first record, with the next record.
    pub rotate_seconds: Option<NonZeroU64>,
    /// Closed segments are compressed.
    pub compress: bool,
    /// Closed segments are removed when their last record is so many seconds old.
    pub keep_seconds: Option<NonZeroU64>,
    /// The oldest closed segments are removed while all of them together take more bytes on disk.
    pub keep_bytes: Option<NonZeroU64>,
    /// Where copies of the records go as well.
    pub sinks: Vec<Target>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            rotate_bytes: const { NonZeroU64::new(64 << 20).unwrap() },
            rotate_seconds: None,
            compress: true,
            keep_seconds: None,
            keep_bytes: None,
            sinks: Vec::new(),
        }
    }
}

impl Settings {
    /// The settings of the logs in `directory`: the default ones, if none were written.
    ///
    /// # Errors
    /// [`AuditError::Settings`] for a file that is none.
    pub fn read(directory: &Path) -> Result<Self, AuditError> {
        let file = directory.join(FILE);
        let text = match std::fs::metadata(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(metadata) if metadata.len() <= MAX => std::fs::read(&file),
            Ok(_) => Err(io::ErrorKind::FileTooLarge.into()),
            Err(error) => Err(error),
        };
        let text = text.map_err(io_error("read", &file))?;
        serde_json::from_slice(&text).map_err(|error| AuditError::Settings {
            file,
            reason: error.to_string(),
        })
    }

    /// Replaces the settings of the logs in `directory`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(), AuditError> {
        let file = directory.join(FILE);
        let fresh = file.with_added_extension("tmp");
        let write = || {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            let mut opened = options.open(&fresh)?;
            opened.write_all(&serde_json::to_vec_pretty(self)?)?;
            opened.write_all(b"\n")?;
            opened.sync_data()?;
            std::fs::rename(&fresh, &file)
        };
        write().map_err(io_error("write", &file))
    }

    /// The file in `directory`.
    pub fn file(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    pub(super) fn rotate_after(&self) -> Option<Duration> {
        self.rotate_seconds
            .map(|seconds| Duration::from_secs(seconds.get()))
    }
}

//! The files of a log and the logs of a directory.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::event::Source;
use super::segments::is_same;
use super::{AuditError, io_error};

const LOG: &str = "jsonl";
const HEAD: &str = "head";
const CLOSED: &str = "closed";

/// Where one log keeps its files. A value of this type has a name that is safe in a path.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) name: String,
    pub(super) directory: PathBuf,
    /// The records, one per line: the segment that is written.
    pub(super) log: PathBuf,
    /// The directory of closed segments.
    pub(super) closed: PathBuf,
    /// The signed head.
    pub(super) head: PathBuf,
    /// Room that is kept for the alarm that the disk is full.
    pub(super) reserve: PathBuf,
    /// Unfinished lines found after a crash, kept as evidence.
    pub(super) torn: PathBuf,
}

impl Files {
    pub(super) fn new(directory: &Path, name: &str) -> Result<Self, AuditError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=100).contains(&name.len()) || name.starts_with('.') || !name.bytes().all(fits) {
            return Err(AuditError::Name(name.to_owned()));
        }
        let file = |extension: &str| directory.join(format!("{name}.{extension}"));
        Ok(Self {
            name: name.to_owned(),
            directory: directory.to_path_buf(),
            log: file(LOG),
            closed: file(CLOSED),
            head: file(HEAD),
            reserve: file("reserve"),
            torn: file("torn"),
        })
    }

    /// Which service's log it is.
    pub(super) fn source(&self) -> Source {
        if self.name == "kms" {
            Source::Kms
        } else {
            Source::Kmsfs
        }
    }

    /// Opens the segment that is written, locked, and makes it if there is none.
    pub(super) fn open_locked(&self) -> Result<File, AuditError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW);
        loop {
            let file = options
                .open(&self.log)
                .map_err(io_error("open", &self.log))?;
            flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(
                |error| match error {
                    rustix::io::Errno::WOULDBLOCK => AuditError::Busy {
                        file: self.log.clone(),
                    },
                    error => io_error("lock", &self.log)(error.into()),
                },
            )?;
            // Its writer may have closed the segment, and ended, between the two.
            if is_same(&file, &self.log).map_err(io_error("examine", &self.log))? {
                return Ok(file);
            }
        }
    }

    /// The logs of `directory` by name: those with a file of records, a head, or closed segments.
    pub(super) fn list(directory: &Path) -> Result<Vec<Self>, AuditError> {
        let failed = || io_error("list", directory);
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(directory).map_err(failed())? {
            let file = PathBuf::from(entry.map_err(failed())?.file_name());
            let extension = file.extension().and_then(|extension| extension.to_str());
            if let (Some(LOG | HEAD | CLOSED), Some(name)) = (extension, file.file_stem()) {
                names.extend(name.to_str().map(str::to_owned));
            }
        }
        // A file whose name no log can have is not ours.
        Ok(names
            .iter()
            .filter_map(|name| Self::new(directory, name).ok())
            .collect())
    }
}

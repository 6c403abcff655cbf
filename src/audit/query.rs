//! Searching the logs of a directory.

use std::fs::File;
use std::path::Path;

use jiff::Timestamp;

use super::event::Outcome;
use super::files::Files;
use super::lines::Lines;
use super::record::{Fields, Record};
use super::{AuditError, io_error};

/// Which records are wanted: those that pass every condition that is set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// The log's name.
    pub log: Option<String>,
    /// The user's name, ARN, or user id in decimal.
    pub user: Option<String>,
    /// A plaintext path relative to the volume's root: the file, or everything below the directory.
    /// For renames and links either path counts.
    pub path: Option<Vec<u8>>,
    /// The event's name.
    pub event: Option<String>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// A KMS key's ARN or id.
    pub key: Option<String>,
    /// A file's id.
    pub file_id: Option<String>,
    /// Only records made at this time or later.
    pub since: Option<Timestamp>,
}

impl Filter {
    /// The logs of `directory` that the filter lets pass.
    pub(super) fn logs(&self, directory: &Path) -> Result<Vec<Files>, AuditError> {
        let mut logs = Files::list(directory)?;
        logs.retain(|files| self.log.as_ref().is_none_or(|log| *log == files.name));
        // A head without a log is for `verify` to report; there is nothing to read.
        logs.retain(|files| files.log.exists());
        Ok(logs)
    }

    /// The record in `line`, if the filter lets it pass.
    pub(super) fn read(
        &self,
        files: &Files,
        line: &[u8],
        offset: u64,
    ) -> Result<Option<Record>, AuditError> {
        let fields = Fields::read(line).map_err(|error| AuditError::Malformed {
            file: files.log.clone(),
            offset,
            reason: error.to_string(),
        })?;
        Ok(fields
            .pass(self)
            .then(|| fields.into_record(&files.name, line)))
    }
}

/// Reads the logs of `directory`, all or the one the filter names, merged by time.
///
/// # Errors
/// When the directory or a log cannot be opened.
pub fn query(directory: &Path, filter: Filter) -> Result<Query, AuditError> {
    let mut logs = Vec::new();
    for files in filter.logs(directory)? {
        let opened = File::open(&files.log).and_then(|file| Lines::from(file, 0));
        let lines = opened.map_err(io_error("read", &files.log))?;
        logs.push(Reader {
            files,
            lines: Some(lines),
            next: None,
        });
    }
    let mut query = Query { filter, logs };
    query
        .logs
        .iter_mut()
        .for_each(|log| log.advance(&query.filter));
    Ok(query)
}

/// The records a [`query()`] finds, oldest first.
///
/// A line that is no record is given as an [`AuditError::Malformed`], and the reading goes on. An
/// unfinished last line is passed over.
pub struct Query {
    filter: Filter,
    logs: Vec<Reader>,
}

struct Reader {
    files: Files,
    /// `None` once the log could not be read.
    lines: Option<Lines>,
    next: Option<Result<Record, AuditError>>,
}

impl Reader {
    fn advance(&mut self, filter: &Filter) {
        self.next = self.find(filter).transpose();
    }

    fn find(&mut self, filter: &Filter) -> Result<Option<Record>, AuditError> {
        let Some(lines) = &mut self.lines else {
            return Ok(None);
        };
        loop {
            match lines.next() {
                Ok(Some(line)) if line.ended => {
                    if let Some(record) = filter.read(&self.files, line.bytes, line.start)? {
                        return Ok(Some(record));
                    }
                }
                Ok(_) => return Ok(None),
                Err(error) => {
                    self.lines = None;
                    return Err(io_error("read", &self.files.log)(error));
                }
            }
        }
    }
}

impl Iterator for Query {
    type Item = Result<Record, AuditError>;

    fn next(&mut self) -> Option<Self::Item> {
        // An error, which has no time, comes at once.
        let time = |log: &&mut Reader| match &log.next {
            Some(Ok(record)) => record.time.clone(),
            _ => String::new(),
        };
        let waiting = self.logs.iter_mut().filter(|log| log.next.is_some());
        let log = waiting.min_by_key(time)?;
        let found = log.next.take();
        log.advance(&self.filter);
        found
    }
}

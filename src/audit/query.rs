//! Searching the logs of a directory.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};
use jiff::Timestamp;

use super::AuditError;
use super::event::Outcome;
use super::files::Files;
use super::lines::Line;
use super::record::{Fields, Record};
use super::segments::LogLines;

/// Which records are wanted: those that pass every condition that is set.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The log's name.
    pub log: Option<String>,
    /// The user's name, ARN, or user id in decimal.
    pub user: Option<String>,
    /// The plaintext path. For renames and links either path counts.
    pub path: Option<Paths>,
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
    /// Only records made before this time.
    pub until: Option<Timestamp>,
}

/// Which plaintext paths are wanted, relative to the volume's root.
#[derive(Debug, Clone)]
pub enum Paths {
    /// The file, or everything at and below the directory.
    Below(Vec<u8>),
    /// What the pattern matches.
    Matching(GlobMatcher),
}

impl Paths {
    /// Reads a path or, with any of `*?[{` in it, a pattern whose `*` stands for any characters, `/`
    /// among them. A leading slash means the volume's root.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn parse(text: &str) -> Result<Self, globset::Error> {
        let text = text.strip_prefix('/').unwrap_or(text);
        if !text.contains(['*', '?', '[', '{']) {
            return Ok(Self::Below(text.as_bytes().to_vec()));
        }
        let glob = GlobBuilder::new(text).literal_separator(false).build()?;
        Ok(Self::Matching(glob.compile_matcher()))
    }

    pub(super) fn contain(&self, path: &[u8]) -> bool {
        match self {
            Self::Below(wanted) => is_at_or_below(path, wanted),
            Self::Matching(glob) => glob.is_match(OsStr::from_bytes(path)),
        }
    }
}

/// Whether `found` is `path` or lies below it. Leading and trailing slashes do not count.
fn is_at_or_below(found: &[u8], path: &[u8]) -> bool {
    let trim = |path: &'_ [u8]| -> Vec<u8> {
        let from = path
            .iter()
            .position(|&byte| byte != b'/')
            .unwrap_or(path.len());
        let to = path
            .iter()
            .rposition(|&byte| byte != b'/')
            .map_or(from, |last| last + 1);
        path[from..to].to_vec()
    };
    let (found, path) = (trim(found), trim(path));
    match found.strip_prefix(path.as_slice()) {
        Some(rest) => path.is_empty() || rest.is_empty() || rest[0] == b'/',
        None => false,
    }
}

impl Filter {
    /// The logs of `directory` that the filter lets pass.
    pub(super) fn logs(&self, directory: &Path) -> Result<Vec<Files>, AuditError> {
        let mut logs = Files::list(directory)?;
        logs.retain(|files| self.log.as_ref().is_none_or(|log| *log == files.name));
        Ok(logs)
    }

    /// The record in `line`, if the filter lets it pass.
    pub(super) fn read(
        &self,
        log: &str,
        file: &Path,
        line: &Line<'_>,
    ) -> Result<Option<Record>, AuditError> {
        let fields = Fields::read(line.bytes).map_err(|error| AuditError::Malformed {
            file: file.to_path_buf(),
            offset: line.start,
            reason: error.to_string(),
        })?;
        Ok(fields
            .pass(self)
            .then(|| fields.into_record(log, line.bytes)))
    }
}

/// Reads the logs of `directory`, all or the one the filter names, merged by time.
///
/// # Errors
/// When the directory or a log cannot be opened.
pub fn query(directory: &Path, filter: Filter) -> Result<Query, AuditError> {
    let mut logs = Vec::new();
    for files in filter.logs(directory)? {
        logs.push(Reader {
            lines: Some(LogLines::of(&files)?),
            name: files.name,
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
    name: String,
    /// `None` once the log could not be read.
    lines: Option<LogLines>,
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
                Ok(Some((file, line))) => {
                    if let Some(record) = filter.read(&self.name, file, &line)? {
                        return Ok(Some(record));
                    }
                }
                Ok(None) => return Ok(None),
                Err(error) => {
                    self.lines = None;
                    return Err(error);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_covers_itself_and_what_is_below_it() {
        for (found, path, covered) in [
            ("hr/a", "/hr/a", true),
            ("/hr/a/b", "hr/a/", true),
            ("hr/ab", "hr/a", false),
            ("hr", "hr/a", false),
            ("anything", "/", true),
            ("hr/a/b.ods", "/hr/*.ods", true),
            ("hr/a/b.odt", "/hr/*.ods", false),
        ] {
            let paths = Paths::parse(path).unwrap();
            assert_eq!(paths.contain(found.as_bytes()), covered, "{found} {path}");
        }
        assert!(Paths::parse("/hr/[").is_err());
    }
}

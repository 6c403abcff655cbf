//! What an auditor asks of the logs: who used a file, what a user touched, what was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Serialize, Serializer};

use super::event::Outcome;
use super::query::{Filter, query};
use super::{AuditError, Record, json};

/// Who a row is about, as the records name them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Who {
    /// As [`Record::user`].
    pub user: String,
    /// The filesystem user id.
    pub uid: Option<u32>,
}

/// What a row is about: a path of the volume, KMS keys, or the volume or service as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Subject {
    /// The plaintext path's bytes, base64 in JSON.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "base64")]
    pub path: Option<Vec<u8>>,
    /// ARNs of KMS keys, of a record without a path.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

impl Subject {
    fn of(record: &Record) -> Self {
        match &record.path {
            Some(path) => Self {
                path: Some(path.clone()),
                keys: Vec::new(),
            },
            None => Self {
                path: None,
                keys: record.keys.clone(),
            },
        }
    }
}

/// The times of the first and the last record of a row: RFC 3339, UTC, microseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Of the first.
    pub first: String,
    /// Of the last.
    pub last: String,
}

impl Span {
    fn note(&mut self, record: &Record) {
        if self.first.is_empty() {
            self.first.clone_from(&record.time);
        }
        self.last.clone_from(&record.time);
    }
}

/// What one user did with a file, or with the files below a directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Use {
    /// Opens that were let through, to create among them.
    pub opens: u64,
    /// Bytes read, as far as handles were closed.
    pub bytes_read: u64,
    /// Bytes written, as far as handles were closed.
    pub bytes_written: u64,
    /// Other operations that were let through and change something: renames, modes, truncation.
    pub changes: u64,
    /// What policy refused.
    pub denied: u64,
    /// What failed otherwise.
    pub failed: u64,
    /// When.
    pub span: Span,
    /// The names under which the files were used; base64 in JSON.
    #[serde(serialize_with = "base64_list")]
    pub paths: BTreeSet<Vec<u8>>,
}

/// Who used the files that `filter` selects, by path or by id. A file that has had a wanted path keeps
/// counting under the names it had before and has got since: it is followed by its id.
///
/// # Errors
/// When the logs cannot be read, or a line is no record.
pub fn users_of(directory: &Path, filter: &Filter) -> Result<BTreeMap<Who, Use>, AuditError> {
    let mut ids: BTreeSet<String> = filter.file_id.iter().cloned().collect();
    let ever = Filter {
        since: None,
        until: None,
        ..filter.clone()
    };
    for record in query(directory, ever)? {
        ids.extend(record?.file_id);
    }
    let everything = Filter {
        path: None,
        file_id: None,
        ..filter.clone()
    };
    let wanted = |record: &Record| {
        let paths = || [&record.path, &record.new_path].into_iter().flatten();
        let named = |filter: &Filter| {
            (filter.path.as_ref()).is_some_and(|wanted| paths().any(|path| wanted.contain(path)))
        };
        named(filter) || (record.file_id.as_ref()).is_some_and(|id| ids.contains(id))
    };
    let mut users = BTreeMap::<Who, Use>::new();
    for record in query(directory, everything)? {
        let record = record?;
        if !wanted(&record) {
            continue;
        }
        let used = users.entry(Who::of(&record)).or_default();
        match record.outcome {
            Outcome::Denied => used.denied += 1,
            Outcome::Failed => used.failed += 1,
            Outcome::Allowed => match &*record.name {
                "Open" | "Create" => used.opens += 1,
                _ if !record.read_only && !is_bookkeeping(&record.name) => used.changes += 1,
                _ => {}
            },
        }
        used.bytes_read += record.bytes_read;
        used.bytes_written += record.bytes_written;
        used.span.note(&record);
        used.paths.extend(record.path);
    }
    Ok(users)
}

/// Whether a record tells of a handle what its open has told already.
fn is_bookkeeping(name: &str) -> bool {
    matches!(name, "Read" | "Write" | "Sync" | "Close")
}

/// What a user did with one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Touched {
    /// How often each event was recorded, by its name.
    pub events: BTreeMap<String, u64>,
    /// How many of them policy refused.
    pub denied: u64,
    /// When.
    pub span: Span,
}

/// What the user of `filter` touched: paths and keys.
///
/// # Errors
/// When the logs cannot be read, or a line is no record.
pub fn touched_by(
    directory: &Path,
    filter: Filter,
) -> Result<BTreeMap<Subject, Touched>, AuditError> {
    let mut subjects = BTreeMap::<Subject, Touched>::new();
    for record in query(directory, filter)? {
        let record = record?;
        let touched = subjects.entry(Subject::of(&record)).or_default();
        touched.span.note(&record);
        touched.denied += u64::from(record.outcome == Outcome::Denied);
        *touched.events.entry(record.name).or_default() += 1;
    }
    Ok(subjects)
}

/// A denial that was repeated, or not: who was refused what, and by which statements.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Denial {
    /// Who.
    #[serde(flatten)]
    pub who: Who,
    /// The name of what was tried.
    pub event: String,
    /// On what.
    pub subject: Subject,
    /// The statements that refused it; none, if no statement allowed it.
    pub statements: Vec<String>,
    /// What was said.
    pub message: Option<String>,
}

/// How often a [`Denial`] was recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// How often.
    pub count: u64,
    /// When.
    pub span: Span,
}

/// What policy refused, of the records that `filter` selects.
///
/// # Errors
/// When the logs cannot be read, or a line is no record.
pub fn denials(directory: &Path, filter: Filter) -> Result<BTreeMap<Denial, Times>, AuditError> {
    let filter = Filter {
        outcome: Some(Outcome::Denied),
        ..filter
    };
    let mut denials = BTreeMap::<Denial, Times>::new();
    for record in query(directory, filter)? {
        let record = record?;
        let denial = Denial {
            who: Who::of(&record),
            subject: Subject::of(&record),
            event: record.name.clone(),
            statements: record.statements.clone(),
            message: record.error_message.clone(),
        };
        let times = denials.entry(denial).or_default();
        times.count += 1;
        times.span.note(&record);
    }
    Ok(denials)
}

impl Who {
    fn of(record: &Record) -> Self {
        Self {
            user: record.user.clone(),
            uid: record.uid,
        }
    }
}

// The signature is what `serialize_with` asks for.
#[allow(clippy::ref_option)]
fn base64<S: Serializer>(path: &Option<Vec<u8>>, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&json::base64(path.as_deref().unwrap_or_default()))
}

fn base64_list<S: Serializer>(paths: &BTreeSet<Vec<u8>>, out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(paths.iter().map(|path| json::base64(path).to_string()))
}

//! The audit log: who did what, in a form that cannot be altered unseen.
//!
//! A log is a chain of files of JSON lines, `<name>.jsonl` the one that is written (see `segments`), in
//! the shape of AWS `CloudTrail` records
//! (<https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html>).
//! Every line carries a sequence number and the hash of the line before it (see [`chain`] for the
//! rule), so no line can be edited, removed, inserted or moved without breaking the chain. What a
//! chain alone cannot show, a rewritten whole or a missing end, is found by three kinds of anchor:
//!
//! - checkpoints inside the log, signed with the key service's Ed25519 key,
//! - the signed head beside it, `<name>.head`, never more than a second behind while records come,
//! - the other log's checkpoints, which carry this log's head (filesystem and key service vouch for
//!   each other).
//!
//! [`Log`] writes, [`verify()`] judges, [`query()`] and [`tail()`] read.
//!
//! What it cannot show: the loss of records younger than the last signed head (at most a second, and
//! only by someone who can write the directory), if the writer was killed at that moment.

mod answers;
pub mod chain;
mod checkpoint;
mod deliver;
mod elsewhere;
mod event;
mod evidence;
mod files;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod generations;
mod head;
mod identity;
mod json;
mod lines;
mod log;
mod ocsf;
mod parallel;
mod query;
mod record;
mod recover;
mod report;
mod reserve;
mod rotate;
mod segments;
mod settings;
mod sink;
mod tail;
mod upkeep;
mod value;
mod verify;
mod walk;
mod writer;

#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

pub use answers::{Denial, Span, Subject, Times, Touched, Use, Who, denials, touched_by, users_of};
pub use checkpoint::{Anchor, Anchored, Head, signed_message};
pub use event::{Event, Origin, Outcome, Refusal, Source};
pub use generations::{Left, generations};
pub use identity::{Identity, IdentityKind, Process};
pub use log::{Durability, Log, Recorded, Unsynced};
pub use ocsf::ocsf;
pub use query::{Filter, Paths, Query, query};
pub use record::Record;
pub use report::{Finding, LogReport, Report, Verdict};
pub use settings::Settings;
pub use sink::Target;
pub use tail::{Follow, tail};
pub use value::{Value, truncated};
pub use verify::{verify, verify_with};

/// The JSON Schema (draft 2020-12) of a record, as `docs/audit.schema.json` has it.
pub const SCHEMA: &str = include_str!("../../docs/audit.schema.json");

/// Why the audit log could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The name would not make a file name of its own.
    #[error(
        "{0:?} cannot name an audit log: use 1 to 100 ASCII letters, digits, '-', '_' or '.', not \
         starting with '.'"
    )]
    Name(String),
    /// A file could not be opened, read or written while no event was waiting.
    #[error("cannot {action} {}: {source}", file.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory concerned.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process, or another [`Log`] of this one, has it open.
    #[error(
        "{} is being written by another process: one process writes a log; end it first",
        file.display()
    )]
    Busy {
        /// The log.
        file: PathBuf,
    },
    /// The log on disk is not the one that was left, so it is not continued.
    #[error(
        "the audit log {} is not as it was left: {reason}. Nothing is appended to it. Run `kmsfs \
         audit verify` for the whole picture; keep the file, its .head and its .closed as evidence by \
         moving them elsewhere, and the next start begins a new log",
        file.display()
    )]
    Damaged {
        /// The log.
        file: PathBuf,
        /// What was found, and where.
        reason: String,
    },
    /// The file that says how logs are kept cannot be used.
    #[error("the settings of the audit logs, {}, cannot be used: {reason}", file.display())]
    Settings {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The event could not be written. The next call tries again.
    #[error("the audit log {} cannot be written: {source}; make room or repair the disk", file.display())]
    Write {
        /// The log.
        file: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Written records may not have reached the disk. After a failed sync Linux forgets which pages
    /// were lost (<https://lwn.net/Articles/752063/>), so a later success would prove nothing and
    /// this log takes no more events until it is opened again.
    #[error(
        "the audit log {} could not be brought to disk: {reason}; repair the disk, then start again",
        file.display()
    )]
    Sync {
        /// The log.
        file: PathBuf,
        /// The system's reason at the first failure.
        reason: String,
    },
    /// The key service did not sign.
    #[error("the head of the audit log {log:?} could not be signed: {reason}")]
    Anchor {
        /// The log's name.
        log: String,
        /// The key service's reason.
        reason: String,
    },
    /// One event serialised to more than [`chain::MAX_LINE`] bytes.
    #[error("the {event} event takes {length} bytes, more than a record may have")]
    TooLarge {
        /// The event's name.
        event: &'static str,
        /// Its length in bytes.
        length: usize,
    },
    /// A line is no record; the lines around it can still be read.
    #[error("{}: the line at byte {offset} is no audit record: {reason}", file.display())]
    Malformed {
        /// The log.
        file: PathBuf,
        /// Where the line begins, in bytes from the start of the file.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// Makes an [`AuditError::Io`] out of what the system said.
fn io_error(action: &'static str, file: &Path) -> impl FnOnce(io::Error) -> AuditError {
    let file = file.to_path_buf();
    move |source| AuditError::Io {
        action,
        file,
        source,
    }
}

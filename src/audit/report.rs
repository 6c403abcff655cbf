//! What a verification found.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Serialize, Serializer};

use super::checkpoint::Head;

/// The first thing that is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file it is in.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// The line it is at, from 1. Of a log that was cut: its last line, 0 if there is none.
    pub line: u64,
    /// The record it is about: the number that belongs at `line`, or the first one missing.
    pub seq: u64,
    /// What is wrong.
    pub reason: String,
}

/// What can be said of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// Every record is as it was written, and none is missing as far as anything vouches.
    Intact,
    /// A record or the head is not as it was written.
    Tampered(Finding),
    /// Records are missing at the end.
    Truncated(Finding),
    /// The chain holds, but nothing vouches for its end.
    Unanchored(Finding),
}

impl Verdict {
    /// What is wrong, unless nothing is.
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Intact => None,
            Self::Tampered(finding) | Self::Truncated(finding) | Self::Unanchored(finding) => {
                Some(finding)
            }
        }
    }

    /// 0 intact, 3 tampered, 4 truncated, 5 unanchored.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Intact => 0,
            Self::Tampered(_) => 3,
            Self::Truncated(_) => 4,
            Self::Unanchored(_) => 5,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(match self {
            Self::Intact => "intact",
            Self::Tampered(_) => "TAMPERED",
            Self::Truncated(_) => "TRUNCATED",
            Self::Unanchored(_) => "UNANCHORED",
        })
    }
}

/// What was found in one log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LogReport {
    /// The log's name.
    pub log: String,
    /// Its file.
    #[serde(serialize_with = "as_text")]
    pub file: PathBuf,
    /// Records whose chain was followed: all, or those before the first that breaks it.
    pub records: u64,
    /// Signed checkpoints among them.
    pub checkpoints: u64,
    /// The last record that something vouches for: the signed head, a checkpoint or another log.
    pub anchored: u64,
    /// The last record whose chain was followed.
    pub end: Option<Head>,
    /// What can be said of the log.
    #[serde(flatten)]
    pub verdict: Verdict,
}

impl fmt::Display for LogReport {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            log,
            records,
            checkpoints,
            anchored,
            verdict,
            ..
        } = self;
        write!(
            out,
            "{log}: {verdict}: {records} records, {checkpoints} checkpoints"
        )?;
        write!(out, ", vouched for through record {anchored}")?;
        if let Some(Finding {
            file,
            line,
            seq,
            reason,
        }) = verdict.finding()
        {
            write!(
                out,
                "\n  {}, line {line} (seq {seq}): {reason}",
                file.display()
            )?;
        }
        Ok(())
    }
}

/// What was found in a directory of logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// One report for each log that is there, has a head, or is known to another log; by name.
    pub logs: Vec<LogReport>,
    /// Lines of the file of heads kept elsewhere that are no JSON, and vouch for nothing.
    pub unreadable_heads: u64,
}

impl Report {
    /// The gravest of the logs' exit codes: 3 before 4 before 5 before 0. 5 if there is no log, as
    /// nothing vouches for there having been none.
    pub fn exit_code(&self) -> u8 {
        let codes = self.logs.iter().map(|log| log.verdict.exit_code());
        codes
            .min_by_key(|&code| if code == 0 { u8::MAX } else { code })
            .unwrap_or(5)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.logs.is_empty() {
            return out.write_str("there is no audit log here");
        }
        for (number, log) in self.logs.iter().enumerate() {
            let newline = if number == 0 { "" } else { "\n" };
            write!(out, "{newline}{log}")?;
        }
        Ok(())
    }
}

fn as_text<S: Serializer>(path: &Path, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(&path.display())
}

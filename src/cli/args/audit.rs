//! `kmsfs audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Span, Timestamp, ZonedDateTime, civil};

use super::service::ServiceArgs;
use super::{Output, help};
use crate::cli::exit::Exit;

/// Verify and search the audit logs
///
/// The logs are under HOME/audit: one of the key service (kms.jsonl) and one of each volume
/// (volume-ID.jsonl), a JSON record of the AWS CloudTrail shape per line. Each record carries the
/// hash of the one before; signed checkpoints and heads, and the logs' heads in each other, vouch for
/// the end.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit verify
  kmsfs audit query --outcome denied --since 24h
  kmsfs audit query --user ann --path '/payroll/*' --json
  kmsfs audit tail --follow
  kmsfs audit report --rollbacks ~/vault",
    &[
        Exit::Tampered,
        Exit::Truncated,
        Exit::Unanchored,
        Exit::BadHome,
        Exit::RolledBack,
    ],
))]
pub struct AuditArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// The commands of `kmsfs audit`.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check that no record was edited, removed, inserted or moved
    Verify(VerifyArgs),
    /// Search the records of all logs, oldest first
    Query(QueryArgs),
    /// Show the last records of all logs
    Tail(TailArgs),
    /// Report what the logs tell of a volume
    Report(ReportArgs),
}

/// Report what the logs tell of a volume
///
/// --rollbacks: which files of the volume are older than the last state that its log vouches for.
/// Somebody put them back, from a backup or to undo what was done. The volume must not be mounted;
/// `kmsfs fsck` reports the same beside everything else.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit report --rollbacks ~/vault",
    &[
        Exit::RolledBack,
        Exit::NotAVolume,
        Exit::CorruptVolume,
        Exit::AlreadyMounted,
        Exit::KeyService,
        Exit::BadHome,
    ],
))]
pub struct ReportArgs {
    /// Name the files that were put back to an older state
    #[arg(long, required = true)]
    pub rollbacks: bool,
    /// Directory that holds the ciphertext
    pub backing: PathBuf,
    /// Where the volume's KMS key is.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Check that no record was edited, removed, inserted or moved
///
/// Names the log, the line and the reason of the first record that does not fit. Safe while
/// volumes are mounted.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit verify || alert 'audit log'
  kmsfs audit verify --json",
    &[Exit::Tampered, Exit::Truncated, Exit::Unanchored, Exit::BadHome],
))]
pub struct VerifyArgs {
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Search the records of all logs, oldest first
///
/// A record is shown when it matches every condition given. With --json each record is printed
/// as it is stored, one per line.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit query --outcome denied --since 24h
  kmsfs audit query --event Open --path '/payroll/*.ods' --limit 20
  kmsfs audit query --key alias/payroll --since 2026-01-31",
    &[Exit::BadHome],
))]
pub struct QueryArgs {
    /// User name, uid or ARN
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// Path inside the volume; * stands for any characters, / among them
    #[arg(long, value_name = "GLOB")]
    pub path: Option<String>,
    /// Event name, such as Open or Decrypt
    #[arg(long, value_name = "NAME")]
    pub event: Option<String>,
    /// How it ended
    #[arg(long, value_enum, value_name = "OUTCOME")]
    pub outcome: Option<Outcome>,
    /// KMS key: key id, ARN or alias/NAME
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// File id, as `kmsfs inspect` shows it
    #[arg(long, value_name = "FILE-ID")]
    pub file: Option<String>,
    /// Not before: a time (2026-01-31, 2026-01-31T09:30, 2026-01-31T09:30:00Z) or an age (90m,
    /// 24h, 7d)
    #[arg(long, value_name = "TIME|AGE", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Show only the last N records that match
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// How a recorded operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Outcome {
    /// It was done.
    Success,
    /// Policy refused it.
    Denied,
    /// It failed for another reason.
    Error,
}

/// Show the last records of all logs
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit tail
  kmsfs audit tail -n 100 --json
  kmsfs audit tail --follow",
    &[Exit::BadHome],
))]
pub struct TailArgs {
    /// How many
    #[arg(short = 'n', value_name = "N", default_value_t = 10)]
    pub count: usize,
    /// Go on showing records as they are written, until interrupted
    #[arg(long)]
    pub follow: bool,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

fn since(text: &str) -> Result<Timestamp, String> {
    since_at(text, &ZonedDateTime::now())
}

/// A time, or an age before `now`; a time without a zone is in that of `now`.
pub(super) fn since_at(text: &str, now: &ZonedDateTime) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    let local = if let Ok(local) = text.parse::<civil::DateTime>() {
        local.to_zoned_datetime(now.time_zone().clone())
    } else {
        let age: Span = text.parse().map_err(|_| {
            "neither a time (2026-01-31, 2026-01-31T09:30:00Z) nor an age (90m, 24h, 7d)".to_owned()
        })?;
        now.checked_sub(age.abs())
    };
    local
        .map(|zoned| zoned.timestamp())
        .map_err(|error| error.to_string())
}

//! `kmsfs audit`.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use jiff::{Span, Timestamp, ZonedDateTime, civil};

use super::service::ServiceArgs;
use super::{Output, help};
use crate::audit::Target;
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
  kmsfs audit report --path /payroll/june.ods
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
    /// Answer an auditor's questions: who used a file, what a user touched, what was denied
    Report(ReportArgs),
    /// Print records in a form that collectors take
    Export(ExportArgs),
    /// Print the JSON Schema of a record
    Schema,
    /// Show or change how the logs are kept
    Settings(SettingsArgs),
}

/// Answer an auditor's questions
///
/// --path and --file: who used a file, and how. A file is followed under every name it had.
/// --user: what a user touched, files and keys. --denials: what policy refused, to whom, and by which
/// statements. They read the logs as they are: run `kmsfs audit verify` first.
///
/// --rollbacks: which files of the volume are older than the last state that its log vouches for.
/// Somebody put them back, from a backup or to undo what was done. The volume must not be mounted;
/// `kmsfs fsck` reports the same beside everything else.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit report --path /payroll/june.ods
  kmsfs audit report --user ann --since 7d
  kmsfs audit report --denials --since 2026-01-01 --until 2026-02-01 --json
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
#[command(group = clap::ArgGroup::new("question").required(true))]
pub struct ReportArgs {
    /// Who used the file at this path, or the files below this directory; * stands for any characters
    #[arg(long, value_name = "GLOB", group = "question")]
    pub path: Option<String>,
    /// Who used the file of this id, as `kmsfs inspect` shows it
    #[arg(long, value_name = "FILE-ID", group = "question")]
    pub file: Option<String>,
    /// What this user touched: a name, uid or ARN
    #[arg(long, value_name = "USER", group = "question")]
    pub user: Option<String>,
    /// What policy refused
    #[arg(long, group = "question")]
    pub denials: bool,
    /// Name the files that were put back to an older state
    #[arg(long, group = "question", requires = "backing", conflicts_with_all = ["since", "until"])]
    pub rollbacks: bool,
    /// Directory that holds the ciphertext, of --rollbacks
    #[arg(conflicts_with_all = ["path", "file", "user", "denials"])]
    pub backing: Option<PathBuf>,
    /// When it was.
    #[command(flatten)]
    pub period: Period,
    /// Where the volume's KMS key is.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// What a report is about.
#[derive(Debug)]
pub enum Question {
    /// Who used what this path or pattern selects.
    Path(String),
    /// Who used the file of this id.
    File(String),
    /// What this user touched.
    User(String),
    /// What was refused.
    Denials,
    /// What was put back in the volume at this backing directory.
    Rollbacks(PathBuf),
}

impl ReportArgs {
    /// The one question that was asked: clap lets no command line pass that asks none, or two.
    pub fn question(&self) -> Question {
        let Self {
            path,
            file,
            user,
            backing,
            ..
        } = self;
        match (path, file, user, backing) {
            (Some(path), ..) => Question::Path(path.clone()),
            (_, Some(id), ..) => Question::File(id.clone()),
            (_, _, Some(user), _) => Question::User(user.clone()),
            (_, _, _, Some(backing)) => Question::Rollbacks(backing.clone()),
            (None, None, None, None) => Question::Denials,
        }
    }
}

/// Show or change how the logs are kept
///
/// A log is a chain of files. The one that is written is closed when it is large or old enough, and
/// compressed. Closed ones are kept for good unless told otherwise; what is removed is recorded, and the
/// rest stays verifiable. Settings are for all logs of the home, and in force for a log when it is opened
/// next: at the next mount, the next start of the key service.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit settings
  kmsfs audit settings --rotate-size 256M --rotate-age 7d
  kmsfs audit settings --keep-age 400d --keep-size 20G
  kmsfs audit settings --keep-age never
  kmsfs audit settings --sink journald --sink syslog:tcp:collector.example:601
  kmsfs audit settings --sink heads:/mnt/other-host/kmsfs.heads",
    &[Exit::BadHome],
))]
pub struct SettingsArgs {
    /// Close a file when it has this many bytes, 1M at least: a number, with K, M, G or T for the powers of 1024
    #[arg(long, value_name = "SIZE", value_parser = size)]
    pub rotate_size: Option<NonZeroU64>,
    /// Close a file with the first record that comes this long after its first (12h, 7d; 1m at least), or never
    #[arg(long, value_name = "AGE|never", value_parser = limit_of_age)]
    pub rotate_age: Option<Limit>,
    /// Compress closed files
    #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
    pub compress: Option<bool>,
    /// Remove closed files whose records are all older than this (90d, 2y), or never
    #[arg(long, value_name = "AGE|never", value_parser = limit_of_age)]
    pub keep_age: Option<Limit>,
    /// Remove the oldest closed files of a log while they take more than this, or never
    #[arg(long, value_name = "SIZE|never", value_parser = limit_of_size)]
    pub keep_size: Option<Limit>,
    /// Send each record there too: journald, syslog (/dev/log), syslog:/PATH, syslog:udp:HOST:PORT,
    /// syslog:tcp:HOST:PORT; heads:/PATH appends signed heads to a file for `audit verify --heads`.
    /// Repeat for several; these replace those before, and none is none
    #[arg(long, value_name = "SINK", value_parser = sink)]
    pub sink: Vec<Sink>,
    /// How to print the settings.
    #[command(flatten)]
    pub output: Output,
}

/// A sink, or that there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink(pub Option<Target>);

fn sink(text: &str) -> Result<Sink, String> {
    if text == "none" {
        return Ok(Sink(None));
    }
    text.parse().map(|target| Sink(Some(target)))
}

/// A limit that can be given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit(pub Option<NonZeroU64>);

/// With smaller files and shorter times, what a log records of its own upkeep would soon push out what it is
/// for. Bytes.
const LEAST_SIZE: u64 = 1 << 20;
/// Seconds.
const LEAST_AGE: f64 = 60.0;

fn size(text: &str) -> Result<NonZeroU64, String> {
    let digits = text.trim_end_matches(|unit: char| !unit.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("use a number with K, M, G or T".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "not a size".to_owned())?;
    let bytes = number.checked_mul(1 << shift).ok_or("too large")?;
    let enough = NonZeroU64::new(bytes).filter(|bytes| bytes.get() >= LEAST_SIZE);
    enough.ok_or_else(|| "less than 1M".to_owned())
}

fn limit_of_size(text: &str) -> Result<Limit, String> {
    if text == "never" {
        return Ok(Limit(None));
    }
    size(text).map(|bytes| Limit(Some(bytes)))
}

fn limit_of_age(text: &str) -> Result<Limit, String> {
    if text == "never" {
        return Ok(Limit(None));
    }
    let age: Span = text
        .parse()
        .map_err(|_| "neither an age (12h, 7d, 2y) nor never")?;
    // Days, months and years count from now.
    let seconds = age.total((jiff::Unit::Second, &ZonedDateTime::now()));
    let seconds = seconds.map_err(|error| error.to_string())?;
    if seconds < LEAST_AGE {
        return Err("less than a minute".to_owned());
    }
    #[allow(clippy::cast_sign_loss)] // checked just above
    Ok(Limit(NonZeroU64::new(seconds as u64)))
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("say yes or no".to_owned()),
    }
}

/// Print records in a form that collectors take
///
/// --ocsf: events of the Open Cybersecurity Schema Framework 1.3, a JSON object a line: File System
/// Activity and API Activity, with the record itself in `raw_data`.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit export --ocsf --since 24h > events.json",
    &[Exit::BadHome],
))]
pub struct ExportArgs {
    /// As events of the Open Cybersecurity Schema Framework
    #[arg(long, required = true)]
    pub ocsf: bool,
    /// Which records.
    #[command(flatten)]
    pub conditions: Conditions,
}

/// Check that no record was edited, removed, inserted or moved
///
/// Names the log, the line and the reason of the first record that does not fit. Safe while
/// volumes are mounted.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs audit verify || alert 'audit log'
  kmsfs audit verify --json
  kmsfs audit verify --heads /mnt/other-host/kmsfs.heads",
    &[Exit::Tampered, Exit::Truncated, Exit::Unanchored, Exit::BadHome],
))]
pub struct VerifyArgs {
    /// Compare with the signed heads in FILE, as `audit settings --sink heads:FILE` keeps them
    #[arg(long, value_name = "FILE")]
    pub heads: Option<PathBuf>,
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
  kmsfs audit query --key alias/payroll --since 2026-01-31 --until 2026-02-28
  kmsfs audit query --user ann --format csv > ann.csv
  kmsfs audit query --outcome denied --limit 0 --follow",
    &[Exit::BadHome],
))]
pub struct QueryArgs {
    /// Which records.
    #[command(flatten)]
    pub conditions: Conditions,
    /// Show only the last N records that match
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Go on showing records as they are written, until interrupted
    #[arg(long)]
    pub follow: bool,
    /// How to print the records
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value_t,
        conflicts_with = "json"
    )]
    pub format: Format,
    /// As --format json
    #[arg(long)]
    pub json: bool,
}

impl QueryArgs {
    /// How to print the records.
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

/// How records are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns under a header.
    #[default]
    Table,
    /// Each as it is stored, one per line.
    Json,
    /// Comma-separated values under a header.
    Csv,
}

/// Which records are wanted: those that match every condition given.
#[derive(Args, Debug)]
pub struct Conditions {
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
    /// One log only: kms, or volume-ID
    #[arg(long, value_name = "LOG")]
    pub log: Option<String>,
    /// When it was.
    #[command(flatten)]
    pub period: Period,
}

/// From when to when.
#[derive(Args, Debug)]
pub struct Period {
    /// Not before: a time (2026-01-31, 2026-01-31T09:30, 2026-01-31T09:30:00Z) or an age (90m,
    /// 24h, 7d)
    #[arg(long, value_name = "TIME|AGE", value_parser = since)]
    pub since: Option<Timestamp>,
    /// Before this time, given as for --since
    #[arg(long, value_name = "TIME|AGE", value_parser = since)]
    pub until: Option<Timestamp>,
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

//! `kmsfs audit`.

use std::num::NonZeroUsize;
use std::time::Duration;

use globset::{GlobBuilder, GlobMatcher};

use crate::audit::{self, Filter, Record};
use crate::fs::{Class, Kind};

use super::args::audit::{
    AuditArgs, AuditCommand, Outcome, QueryArgs, ReportArgs, TailArgs, VerifyArgs,
};
use super::connect::Access;
use super::error::CliError;
use super::exit::Exit;
use super::fsck::{self, Shown, Watcher};
use super::output;

/// How often new records are looked for.
const POLL: Duration = Duration::from_millis(250);

pub(super) fn run(access: &Access, arguments: AuditArgs) -> Result<Exit, CliError> {
    match arguments.command {
        AuditCommand::Verify(arguments) => verify(access, &arguments),
        AuditCommand::Query(arguments) => query(access, arguments),
        AuditCommand::Tail(arguments) => tail(access, &arguments),
        AuditCommand::Report(arguments) => report(access, &arguments),
    }
}

fn report(access: &Access, arguments: &ReportArgs) -> Result<Exit, CliError> {
    let watcher = Watcher::new(false)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    fsck::examine(
        access,
        &arguments.backing,
        &arguments.service,
        threads,
        false,
        &watcher,
    )?;
    let findings = watcher.into_findings();
    let of = |class: Class| {
        findings
            .iter()
            .filter(move |finding| finding.kind.class() == class)
    };
    let rollbacks: Vec<Shown> = of(Class::Damage)
        .filter(|finding| finding.kind == Kind::Rollback)
        .map(Shown::of)
        .collect();
    let unchecked: Vec<Shown> = of(Class::NotChecked).map(Shown::of).collect();
    if arguments.output.json {
        output::json(&serde_json::json!({ "rollbacks": rollbacks, "notChecked": unchecked }));
    } else {
        for finding in rollbacks.iter().chain(&unchecked) {
            println!("{}", finding.line());
        }
        println!(
            "{} files are older than the audit log says; {} could not be compared",
            rollbacks.len(),
            unchecked.len()
        );
    }
    Ok(match (rollbacks.len(), unchecked.len()) {
        (0, 0) => Exit::Success,
        (0, _) => Exit::Failure,
        _ => Exit::RolledBack,
    })
}

fn verify(access: &Access, arguments: &VerifyArgs) -> Result<Exit, CliError> {
    let home = access.look()?;
    let report = audit::verify(&home.audit_dir(), Some(&home.signing_public_key()))?;
    let (exit, verdict) = match report.exit_code() {
        0 => (Exit::Success, "intact"),
        3 => (Exit::Tampered, "tampered"),
        4 => (Exit::Truncated, "truncated"),
        _ => (Exit::Unanchored, "unanchored"),
    };
    if arguments.output.json {
        output::json(&serde_json::json!({ "verdict": verdict, "logs": report.logs }));
    } else {
        for log in &report.logs {
            println!("{log}");
        }
    }
    Ok(exit)
}

fn query(access: &Access, arguments: QueryArgs) -> Result<Exit, CliError> {
    let directory = access.look()?.audit_dir();
    let key = match arguments.key {
        Some(key) if key.contains("alias/") => Some(access.open()?.resolve_key(&key)?),
        key => key,
    };
    let (path, glob) = match arguments.path.as_deref().map(path_condition).transpose()? {
        None => (None, None),
        Some(PathCondition::Literal(path)) => (Some(path), None),
        Some(PathCondition::Glob(glob)) => (None, Some(glob)),
    };
    let filter = Filter {
        log: None,
        user: arguments.user,
        path,
        event: arguments.event,
        outcome: arguments.outcome.map(|outcome| match outcome {
            Outcome::Success => audit::Outcome::Allowed,
            Outcome::Denied => audit::Outcome::Denied,
            Outcome::Error => audit::Outcome::Failed,
        }),
        key,
        file_id: arguments.file,
        since: arguments.since,
    };
    let matches = |record: &Record| match &glob {
        None => true,
        Some(glob) => [&record.path, &record.new_path]
            .into_iter()
            .flatten()
            .any(|path| glob.is_match(as_path(path))),
    };
    let mut records = std::collections::VecDeque::new();
    let limit = arguments.limit.unwrap_or(usize::MAX);
    for record in audit::query(&directory, filter)? {
        let record = record?;
        if !matches(&record) {
            continue;
        }
        if records.len() == limit {
            records.pop_front();
        }
        records.push_back(record);
    }
    print(records.make_contiguous(), arguments.output.json);
    Ok(Exit::Success)
}

fn tail(access: &Access, arguments: &TailArgs) -> Result<Exit, CliError> {
    let directory = access.look()?.audit_dir();
    let (records, mut follow) = audit::tail(&directory, arguments.count, Filter::default())?;
    print(&records, arguments.output.json);
    if !arguments.follow {
        return Ok(Exit::Success);
    }
    loop {
        std::thread::sleep(POLL);
        let records = follow.poll()?;
        if !records.is_empty() {
            print(&records, arguments.output.json);
        }
    }
}

enum PathCondition {
    /// The file, or everything below the directory.
    Literal(Vec<u8>),
    Glob(GlobMatcher),
}

/// Paths are recorded relative to the volume's root; a leading slash means that root.
fn path_condition(pattern: &str) -> Result<PathCondition, CliError> {
    let pattern = pattern.strip_prefix('/').unwrap_or(pattern);
    if !pattern.contains(['*', '?', '[', '{']) {
        return Ok(PathCondition::Literal(
            pattern.trim_end_matches('/').as_bytes().to_vec(),
        ));
    }
    let glob = GlobBuilder::new(pattern)
        .literal_separator(false)
        .build()
        .map_err(|error| CliError::Pattern {
            pattern: pattern.to_owned(),
            reason: error.to_string(),
        })?;
    Ok(PathCondition::Glob(glob.compile_matcher()))
}

fn as_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).as_ref()
}

fn print(records: &[Record], json: bool) {
    if json {
        for record in records {
            println!("{}", record.line);
        }
        return;
    }
    for record in records {
        let path = record
            .path
            .as_deref()
            .map(output::shown)
            .unwrap_or_default();
        let new_path = record
            .new_path
            .as_deref()
            .map(|path| format!(" -> {}", output::shown(path)))
            .unwrap_or_default();
        let subject = if path.is_empty() && new_path.is_empty() {
            record.keys.join(" ")
        } else {
            format!("/{path}{new_path}")
        };
        let error = record
            .error_code
            .as_deref()
            .map(|code| format!(" {code}"))
            .unwrap_or_default();
        println!(
            "{} {:<12} {:<20} {:<8}{error} {subject}",
            record.time, record.user, record.name, record.outcome
        );
    }
}

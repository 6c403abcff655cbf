//! `kmsfs audit`.

mod print;
mod report;

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::Duration;

use indicatif::HumanBytes;

use crate::audit::{self, Filter, Paths, Settings};

use super::args::audit::{
    AuditArgs, AuditCommand, Conditions, ExportArgs, Format, Outcome, QueryArgs, SettingsArgs,
    TailArgs, VerifyArgs,
};
use super::connect::Access;
use super::error::CliError;
use super::exit::Exit;
use super::output;
use print::{Printer, Style};

/// How often new records are looked for.
const POLL: Duration = Duration::from_millis(250);

pub(super) fn run(access: &Access, arguments: AuditArgs) -> Result<Exit, CliError> {
    match arguments.command {
        AuditCommand::Verify(arguments) => verify(access, &arguments),
        AuditCommand::Query(arguments) => query(access, arguments),
        AuditCommand::Tail(arguments) => tail(access, &arguments),
        AuditCommand::Report(arguments) => report::run(access, &arguments),
        AuditCommand::Export(arguments) => export(access, arguments),
        AuditCommand::Schema => {
            print!("{}", audit::SCHEMA);
            Ok(Exit::Success)
        }
        AuditCommand::Settings(arguments) => settings(access, &arguments),
    }
}

fn verify(access: &Access, arguments: &VerifyArgs) -> Result<Exit, CliError> {
    let home = access.look()?;
    let (directory, key) = (home.audit_dir(), home.signing_public_key());
    let report = match &arguments.heads {
        Some(heads) => audit::verify_with(&directory, &key, heads)?,
        None => audit::verify(&directory, Some(&key))?,
    };
    if let (Some(heads), 1..) = (&arguments.heads, report.unreadable_heads) {
        let (file, count) = (heads.display(), report.unreadable_heads);
        eprintln!(
            "kmsfs: {file}: passed over {count} lines that are no heads, as a full disk leaves them"
        );
    }
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
    let mut printer = Printer::new(arguments.format().into());
    let filter = filter(access, arguments.conditions)?;
    if arguments.follow {
        let count = arguments.limit.unwrap_or(usize::MAX);
        let (records, follow) = audit::tail(&directory, count, filter)?;
        printer.print(&records);
        return go_on(printer, follow);
    }
    let records = audit::query(&directory, filter)?;
    match arguments.limit {
        None => {
            for record in records {
                printer.print(&[record?]);
            }
        }
        Some(limit) => {
            let mut last = VecDeque::new();
            for record in records {
                last.push_back(record?);
                if last.len() > limit {
                    last.pop_front();
                }
            }
            printer.print(last.make_contiguous());
        }
    }
    printer.finish();
    Ok(Exit::Success)
}

fn tail(access: &Access, arguments: &TailArgs) -> Result<Exit, CliError> {
    let directory = access.look()?.audit_dir();
    let (records, follow) = audit::tail(&directory, arguments.count, Filter::default())?;
    let mut printer = Printer::new(if arguments.output.json {
        Style::Json
    } else {
        Style::Lines
    });
    printer.print(&records);
    if arguments.follow {
        return go_on(printer, follow);
    }
    printer.finish();
    Ok(Exit::Success)
}

/// Prints what is recorded from now on, until interrupted.
fn go_on(mut printer: Printer, mut follow: audit::Follow) -> Result<Exit, CliError> {
    loop {
        printer.finish();
        std::thread::sleep(POLL);
        printer.print(&follow.poll()?);
    }
}

fn settings(access: &Access, arguments: &SettingsArgs) -> Result<Exit, CliError> {
    let directory = access.look()?.audit_dir();
    let before = Settings::read(&directory)?;
    let settings = Settings {
        rotate_bytes: arguments.rotate_size.unwrap_or(before.rotate_bytes),
        rotate_seconds: arguments
            .rotate_age
            .map_or(before.rotate_seconds, |age| age.0),
        compress: arguments.compress.unwrap_or(before.compress),
        keep_seconds: arguments.keep_age.map_or(before.keep_seconds, |age| age.0),
        keep_bytes: arguments.keep_size.map_or(before.keep_bytes, |size| size.0),
        sinks: if arguments.sink.is_empty() {
            before.sinks.clone()
        } else {
            let named = arguments.sink.iter();
            named.filter_map(|sink| sink.0.clone()).collect()
        },
    };
    if settings != before {
        settings.write(&directory)?;
    }
    if arguments.output.json {
        output::json(&settings);
        return Ok(Exit::Success);
    }
    let bytes = |bytes: u64| HumanBytes(bytes).to_string();
    let age = |limit: Option<NonZeroU64>| limit.map_or("never".to_owned(), duration);
    let size =
        |limit: Option<NonZeroU64>| limit.map_or("never".to_owned(), |limit| bytes(limit.get()));
    output::fields(&[
        ("Close a file at", bytes(settings.rotate_bytes.get())),
        ("Close a file after", age(settings.rotate_seconds)),
        (
            "Compress closed files",
            if settings.compress { "yes" } else { "no" }.to_owned(),
        ),
        ("Remove closed files after", age(settings.keep_seconds)),
        ("Remove closed files beyond", size(settings.keep_bytes)),
    ]);
    for sink in &settings.sinks {
        output::fields(&[("Send records to", sink.to_string())]);
    }
    Ok(Exit::Success)
}

/// A time in the largest unit that says it exactly.
fn duration(seconds: NonZeroU64) -> String {
    const UNITS: [(u64, &str); 3] = [(86400, "days"), (3600, "hours"), (60, "minutes")];
    let seconds = seconds.get();
    let exact = UNITS.iter().find(|(unit, _)| seconds.is_multiple_of(*unit));
    let (unit, name) = exact.copied().unwrap_or((1, "seconds"));
    format!("{} {name}", seconds / unit)
}

fn export(access: &Access, arguments: ExportArgs) -> Result<Exit, CliError> {
    let directory = access.look()?.audit_dir();
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map_err(CliError::io("/proc/sys/kernel/hostname"))?;
    for record in audit::query(&directory, filter(access, arguments.conditions)?)? {
        output::json(&audit::ocsf(&record?, host.trim_end()));
    }
    Ok(Exit::Success)
}

impl From<Format> for Style {
    fn from(format: Format) -> Self {
        match format {
            Format::Table => Self::Table,
            Format::Json => Self::Json,
            Format::Csv => Self::Csv,
        }
    }
}

/// Which records the command line asks for.
fn filter(access: &Access, conditions: Conditions) -> Result<Filter, CliError> {
    let key = match conditions.key {
        Some(key) if key.contains("alias/") => Some(access.open()?.resolve_key(&key)?),
        key => key,
    };
    let path = conditions.path.as_deref().map(paths).transpose()?;
    Ok(Filter {
        log: conditions.log,
        user: conditions.user,
        path,
        event: conditions.event,
        outcome: conditions.outcome.map(|outcome| match outcome {
            Outcome::Success => audit::Outcome::Allowed,
            Outcome::Denied => audit::Outcome::Denied,
            Outcome::Error => audit::Outcome::Failed,
        }),
        key,
        file_id: conditions.file,
        since: conditions.period.since,
        until: conditions.period.until,
    })
}

fn paths(pattern: &str) -> Result<Paths, CliError> {
    Paths::parse(pattern).map_err(|error| CliError::Pattern {
        pattern: pattern.to_owned(),
        reason: error.to_string(),
    })
}

//! `kmsfs audit report`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;

use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::json;

use crate::audit::{self, Filter, Subject};
use crate::cli::args::audit::{Question, ReportArgs};
use crate::cli::args::service::ServiceArgs;
use crate::cli::connect::Access;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::fsck::{self, Shown, Watcher};
use crate::cli::output;
use crate::fs::{Class, Kind};

use super::print::path;

pub(super) fn run(access: &Access, arguments: &ReportArgs) -> Result<Exit, CliError> {
    let json = arguments.output.json;
    let filter = Filter {
        since: arguments.period.since,
        until: arguments.period.until,
        ..Filter::default()
    };
    let directory = || Ok::<_, CliError>(access.look()?.audit_dir());
    match arguments.question() {
        Question::Rollbacks(backing) => {
            return rollbacks(access, &backing, &arguments.service, json);
        }
        Question::Path(pattern) => {
            let path = Some(super::paths(&pattern)?);
            users(&directory()?, &Filter { path, ..filter }, json)?;
        }
        Question::File(id) => {
            let file_id = Some(id);
            users(&directory()?, &Filter { file_id, ..filter }, json)?;
        }
        Question::User(user) => {
            let user = Some(user);
            touched(&directory()?, Filter { user, ..filter }, json)?;
        }
        Question::Denials => denials(&directory()?, filter, json)?,
    }
    Ok(Exit::Success)
}

/// The rows of a map as JSON: its keys' fields and its values'.
#[derive(Serialize)]
struct Row<'a, K, V> {
    #[serde(flatten)]
    about: &'a K,
    #[serde(flatten)]
    found: &'a V,
}

fn print_json<K: Serialize, V: Serialize>(name: &str, rows: &BTreeMap<K, V>) {
    let rows: Vec<_> = rows
        .iter()
        .map(|(about, found)| Row { about, found })
        .collect();
    output::json(&json!({ name: rows }));
}

fn users(directory: &Path, filter: &Filter, json: bool) -> Result<(), CliError> {
    let users = audit::users_of(directory, filter)?;
    if json {
        print_json("users", &users);
        return Ok(());
    }
    let header = [
        "USER", "UID", "OPENS", "READ", "WRITTEN", "CHANGES", "DENIED", "FAILED", "FIRST", "LAST",
        "AS",
    ];
    let rows = users.iter().map(|(who, used)| {
        let names: Vec<String> = used.paths.iter().map(|name| path(Some(name))).collect();
        vec![
            output::shown(who.user.as_bytes()),
            who.uid.map(|uid| uid.to_string()).unwrap_or_default(),
            used.opens.to_string(),
            HumanBytes(used.bytes_read).to_string(),
            HumanBytes(used.bytes_written).to_string(),
            used.changes.to_string(),
            used.denied.to_string(),
            used.failed.to_string(),
            used.span.first.clone(),
            used.span.last.clone(),
            names.join(" "),
        ]
    });
    print_table(&header, rows, "nobody used it, as far as the logs tell");
    Ok(())
}

fn touched(directory: &Path, filter: Filter, json: bool) -> Result<(), CliError> {
    let touched = audit::touched_by(directory, filter)?;
    if json {
        print_json("touched", &touched);
        return Ok(());
    }
    let rows = touched.iter().map(|(subject, touched)| {
        let counted = touched.events.iter();
        let events: Vec<String> = counted
            .map(|(event, count)| format!("{event} {count}"))
            .collect();
        vec![
            shown(subject),
            events.join(", "),
            touched.denied.to_string(),
            touched.span.first.clone(),
            touched.span.last.clone(),
        ]
    });
    let header = ["WHAT", "EVENTS", "DENIED", "FIRST", "LAST"];
    print_table(
        &header,
        rows,
        "that user touched nothing, as far as the logs tell",
    );
    Ok(())
}

fn denials(directory: &Path, filter: Filter, json: bool) -> Result<(), CliError> {
    let denials = audit::denials(directory, filter)?;
    if json {
        print_json("denials", &denials);
        return Ok(());
    }
    let rows = denials.iter().map(|(denial, times)| {
        let because = if denial.statements.is_empty() {
            denial.message.clone().unwrap_or_default()
        } else {
            denial.statements.join(" ")
        };
        vec![
            times.count.to_string(),
            output::shown(denial.who.user.as_bytes()),
            denial.event.clone(),
            shown(&denial.subject),
            output::shown(because.as_bytes()),
            times.span.first.clone(),
            times.span.last.clone(),
        ]
    });
    let header = ["TIMES", "USER", "EVENT", "WHAT", "BECAUSE", "FIRST", "LAST"];
    print_table(&header, rows, "nothing was denied, as far as the logs tell");
    Ok(())
}

fn print_table(header: &[&str], rows: impl Iterator<Item = Vec<String>>, none: &str) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        println!("{none}");
    } else {
        output::table(header, rows);
    }
}

fn shown(subject: &Subject) -> String {
    match &subject.path {
        Some(name) => path(Some(name)),
        None if subject.keys.is_empty() => "(the volume or the key service)".to_owned(),
        None => subject.keys.join(" "),
    }
}

fn rollbacks(
    access: &Access,
    backing: &Path,
    service: &ServiceArgs,
    json: bool,
) -> Result<Exit, CliError> {
    let watcher = Watcher::new(false)?;
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    fsck::examine(access, backing, service, threads, false, &watcher)?;
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
    if json {
        output::json(&json!({ "rollbacks": rollbacks, "notChecked": unchecked }));
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

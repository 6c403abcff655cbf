//! Records for people and programs.

use std::io::Stdout;

use crate::audit::Record;
use crate::cli::output;

/// How records are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// A line each, aligned.
    Lines,
    /// The same under a header.
    Table,
    /// Each as it is stored.
    Json,
    /// Comma-separated values (RFC 4180) under a header.
    Csv,
}

const COLUMNS: [&str; 17] = [
    "time",
    "log",
    "seq",
    "event",
    "user",
    "uid",
    "pid",
    "outcome",
    "error",
    "path",
    "newPath",
    "fileId",
    "keys",
    "bytesRead",
    "bytesWritten",
    "sharedEventID",
    "eventID",
];

/// Prints records in one style.
pub(super) struct Printer {
    style: Style,
    begun: bool,
    csv: csv::Writer<Stdout>,
}

impl Printer {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            begun: false,
            csv: csv::Writer::from_writer(std::io::stdout()),
        }
    }

    pub(super) fn print(&mut self, records: &[Record]) {
        if !self.begun && !records.is_empty() {
            self.begun = true;
            match self.style {
                Style::Table => println!("{}", line("TIME", "USER", "EVENT", "OUTCOME", "WHAT")),
                Style::Csv => self.row(COLUMNS),
                Style::Lines | Style::Json => {}
            }
        }
        for record in records {
            match self.style {
                Style::Json => println!("{}", record.line),
                Style::Csv => self.row(fields(record)),
                Style::Table | Style::Lines => println!("{}", described(record)),
            }
        }
    }

    /// Hands everything printed so far to whoever reads it.
    pub(super) fn finish(&mut self) {
        let flushed = self.csv.flush();
        ended(flushed);
    }

    fn row<const N: usize, T: AsRef<[u8]>>(&mut self, fields: [T; N]) {
        let written = self.csv.write_record(fields);
        ended(written);
    }
}

/// Ends the command as `println!` does when nobody reads on.
fn ended<E: std::fmt::Display>(result: Result<(), E>) {
    if let Err(error) = result {
        panic!("failed printing to stdout: {error}");
    }
}

fn line(time: &str, user: &str, event: &str, outcome: &str, what: &str) -> String {
    format!("{time:<27} {user:<12} {event:<20} {outcome:<8} {what}")
}

fn described(record: &Record) -> String {
    let path = path(record.path.as_deref());
    let what = match &record.new_path {
        Some(new) => format!("{path} -> /{}", output::shown(new)),
        None if path.is_empty() => record.keys.join(" "),
        None => path,
    };
    let what = match &record.error_code {
        Some(code) => format!("{code} {what}"),
        None => what,
    };
    let user = output::shown(record.user.as_bytes());
    line(
        &record.time,
        &user,
        &record.name,
        &record.outcome.to_string(),
        &what,
    )
}

/// A path as it is shown: from the volume's root. Empty, if the record has none.
pub(super) fn path(path: Option<&[u8]>) -> String {
    path.map(|path| format!("/{}", output::shown(path)))
        .unwrap_or_default()
}

fn fields(record: &Record) -> [String; COLUMNS.len()] {
    let number = |number: Option<u32>| number.map(|number| number.to_string()).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        record.time.clone(),
        record.log.clone(),
        record.seq.to_string(),
        record.name.clone(),
        output::shown(record.user.as_bytes()),
        number(record.uid),
        number(record.pid),
        record.outcome.to_string(),
        text(&record.error_code),
        path(record.path.as_deref()),
        path(record.new_path.as_deref()),
        text(&record.file_id),
        record.keys.join(" "),
        record.bytes_read.to_string(),
        record.bytes_written.to_string(),
        text(&record.shared_event_id),
        record.event_id.clone(),
    ]
}

//! Which state each file was left in, as a volume's log tells: what finds a file that was put back.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::query::{Filter, query};
use super::{AuditError, Record};

/// The last state of a file that its volume's log says was on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// The generation of its header.
    pub generation: u64,
    /// Its length in bytes.
    pub length: u64,
    /// When that was recorded: RFC 3339, UTC, microseconds.
    pub time: String,
    /// Who left it so: as [`Record::user`].
    pub user: String,
    /// By which path, relative to the volume's root; none in records of the volume's own upkeep.
    pub path: Option<Vec<u8>>,
}

/// The durable states of all files of the log called `log` in `directory`, by file id.
///
/// A state counts once nothing short of tampering can take it back: one that was synced at once, one
/// that a handle left behind when the volume was unmounted cleanly after it. What came before an end
/// that was not clean may have been lost with power. The log is read as it is: verify it first.
///
/// # Errors
/// When the log cannot be read, or a line of it is no record.
pub fn generations(directory: &Path, log: &str) -> Result<HashMap<String, Left>, AuditError> {
    let filter = Filter {
        log: Some(log.to_owned()),
        ..Filter::default()
    };
    let mut durable = HashMap::new();
    let mut pending = HashMap::new();
    for record in query(directory, filter)? {
        let record = record?;
        match &*record.name {
            "Sync" => note(&mut durable, record),
            "Close" | "FileSettled" => note(&mut pending, record),
            "Unmount" if parameters(&record).clean => {
                for (file, left) in pending.drain() {
                    keep_newest(&mut durable, file, left);
                }
            }
            "Mount" => pending.clear(),
            _ => {}
        }
    }
    Ok(durable)
}

#[derive(Deserialize, Default)]
struct Line {
    #[serde(rename = "requestParameters", default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    generation: Option<u64>,
    #[serde(default)]
    length: u64,
    #[serde(default)]
    clean: bool,
}

fn parameters(record: &Record) -> Parameters {
    // A record of another shape says nothing of generations.
    serde_json::from_str::<Line>(&record.line)
        .unwrap_or_default()
        .parameters
}

fn note(states: &mut HashMap<String, Left>, record: Record) {
    let Parameters {
        generation, length, ..
    } = parameters(&record);
    let (Some(file), Some(generation)) = (record.file_id, generation) else {
        return;
    };
    let left = Left {
        generation,
        length,
        time: record.time,
        user: record.user,
        path: record.path,
    };
    keep_newest(states, file, left);
}

fn keep_newest(states: &mut HashMap<String, Left>, file: String, left: Left) {
    let known = states.entry(file).or_insert_with(|| left.clone());
    if left.generation >= known.generation {
        *known = left;
    }
}

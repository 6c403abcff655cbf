//! The end of the logs, and what is added to it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::lines::{Lines, LinesBack};
use super::query::Filter;
use super::record::Record;
use super::{AuditError, io_error};

/// The last `count` records that pass `filter`, over all logs of `directory`, oldest first; and a
/// place from which to follow. Lines that are no record are passed over.
///
/// # Errors
/// When the directory or a log cannot be read.
pub fn tail(
    directory: &Path,
    count: usize,
    filter: Filter,
) -> Result<(Vec<Record>, Follow), AuditError> {
    let mut records = Vec::new();
    let mut places = BTreeMap::new();
    for files in filter.logs(directory)? {
        let place = last(&files, count, &filter, &mut records);
        places.insert(
            files.name.clone(),
            place.map_err(io_error("read", &files.log))?,
        );
    }
    sort(&mut records);
    records.drain(..records.len().saturating_sub(count));
    Ok((
        records,
        Follow {
            directory: directory.to_path_buf(),
            filter,
            places,
        },
    ))
}

/// Adds the last `count` records of one log. Returns where its finished lines end.
fn last(
    files: &Files,
    count: usize,
    filter: &Filter,
    out: &mut Vec<Record>,
) -> std::io::Result<u64> {
    let file = File::open(&files.log)?;
    let mut lines = LinesBack::from(&file, file.metadata()?.len())?;
    let end = lines.end();
    let mut missing = count;
    while missing > 0 {
        let Some((line, start)) = lines.next()? else {
            break;
        };
        if let Ok(Some(record)) = filter.read(files, &line, start) {
            out.push(record);
            missing -= 1;
        }
    }
    Ok(end)
}

fn sort(records: &mut [Record]) {
    records.sort_by(|a, b| (&a.time, &a.log, a.seq).cmp(&(&b.time, &b.log, b.seq)));
}

/// A place at the end of the logs, from [`tail`].
pub struct Follow {
    directory: PathBuf,
    filter: Filter,
    /// Where each log was read to, by name.
    places: BTreeMap<String, u64>,
}

impl Follow {
    /// What has been recorded since the last call, also in logs that are new, in the order of time.
    /// Empty if nothing was: wait a little and call again.
    ///
    /// # Errors
    /// When the directory or a log cannot be read.
    pub fn poll(&mut self) -> Result<Vec<Record>, AuditError> {
        let mut records = Vec::new();
        for files in self.filter.logs(&self.directory)? {
            let failed = || io_error("read", &files.log);
            let place = self.places.entry(files.name.clone()).or_default();
            let file = File::open(&files.log).map_err(failed())?;
            let mut lines = Lines::from(file, *place).map_err(failed())?;
            while let Some(line) = lines.next().map_err(failed())?.filter(|line| line.ended) {
                *place = line.start + line.bytes.len() as u64 + 1;
                if let Ok(Some(record)) = self.filter.read(&files, line.bytes, line.start) {
                    records.push(record);
                }
            }
        }
        sort(&mut records);
        Ok(records)
    }
}

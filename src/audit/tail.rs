//! The end of the logs, and what is added to it.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::files::Files;
use super::lines::{Line, LinesBack};
use super::query::Filter;
use super::record::Record;
use super::segments::{Segment, segments};
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
        let mut found = Vec::new();
        for segment in segments(&files)?.iter().rev() {
            let missing = count - found.len();
            if let Some(active) = segment.active() {
                let end = last(&files, active, missing, &filter, &mut found)
                    .map_err(io_error("read", &files.log))?;
                let first = segment.first;
                places.insert(files.name.clone(), Place { first, end });
            } else if missing > 0 {
                found.extend(last_closed(&files, segment, missing, &filter)?);
            }
        }
        records.append(&mut found);
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

/// Adds the last `count` records of the segment that is written. Returns where its finished lines end.
fn last(
    files: &Files,
    file: &File,
    count: usize,
    filter: &Filter,
    out: &mut Vec<Record>,
) -> std::io::Result<u64> {
    let mut lines = LinesBack::from(file, file.metadata()?.len())?;
    let end = lines.end();
    let mut missing = count;
    while missing > 0 {
        let Some((bytes, start)) = lines.next()? else {
            break;
        };
        let line = Line {
            bytes: &bytes,
            start,
            ended: true,
        };
        if let Ok(Some(record)) = filter.read(&files.name, &files.log, &line) {
            out.push(record);
            missing -= 1;
        }
    }
    Ok(end)
}

/// The last `count` records of a closed segment, which may be compressed and is read forwards.
fn last_closed(
    files: &Files,
    segment: &Segment,
    count: usize,
    filter: &Filter,
) -> Result<VecDeque<Record>, AuditError> {
    let mut found = VecDeque::new();
    read_on(files, segment, 0, filter, |record| {
        if found.len() == count {
            found.pop_front();
        }
        found.push_back(record);
    })?;
    Ok(found)
}

/// Gives the records of a segment from byte `offset` on. Returns where its finished lines end.
fn read_on(
    files: &Files,
    segment: &Segment,
    offset: u64,
    filter: &Filter,
    mut found: impl FnMut(Record),
) -> Result<u64, AuditError> {
    let mut end = offset;
    let mut lines = segment.lines(offset)?;
    let failed = || io_error("read", &segment.file);
    while let Some(line) = lines.next().map_err(failed())?.filter(|line| line.ended) {
        end = line.start + line.bytes.len() as u64 + 1;
        if let Ok(Some(record)) = filter.read(&files.name, &segment.file, &line) {
            found(record);
        }
    }
    Ok(end)
}

fn sort(records: &mut [Record]) {
    records.sort_by(|a, b| (&a.time, &a.log, a.seq).cmp(&(&b.time, &b.log, b.seq)));
}

/// A place in a log: byte `end` of the segment that begins with record `first`.
#[derive(Debug, Clone, Copy, Default)]
struct Place {
    first: u64,
    end: u64,
}

/// A place at the end of the logs, from [`tail`].
pub struct Follow {
    directory: PathBuf,
    filter: Filter,
    /// Where each log was read to, by name.
    places: BTreeMap<String, Place>,
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
            let place = self.places.entry(files.name.clone()).or_default();
            for segment in segments(&files)? {
                let offset = match segment.first.cmp(&place.first) {
                    std::cmp::Ordering::Less => continue,
                    std::cmp::Ordering::Equal => place.end,
                    std::cmp::Ordering::Greater => 0,
                };
                let end = read_on(&files, &segment, offset, &self.filter, |record| {
                    records.push(record);
                })?;
                let first = segment.first;
                *place = Place { first, end };
            }
        }
        sort(&mut records);
        Ok(records)
    }
}

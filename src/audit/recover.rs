//! Opening a log: finding its end, and setting right what a crash left.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use jiff::Timestamp;
use serde::Serialize;

use super::chain::{Broken, Link, Sealed};
use super::checkpoint::{Checkpoint, is_of_opening};
use super::event::rfc3339;
use super::files::Files;
use super::head::{SignedHead, Vouched};
use super::lines::{Lines, LinesBack};
use super::rotate::finish_rotation;
use super::segments::{Segment, before, closed, first_seq};
use super::writer::Tail;
use super::{AuditError, io_error};

/// What a `LogRecovered` record says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Recovery {
    reason: &'static str,
    /// Records found after the signed head: they continue the chain, but nobody had signed them.
    #[serde(skip_serializing_if = "Option::is_none")]
    unsigned_records: Option<u64>,
    /// Bytes of an unfinished record, moved to `<name>.torn`.
    #[serde(skip_serializing_if = "Option::is_none")]
    torn_bytes: Option<u64>,
    /// Events refused because the log could not be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_events: Option<u64>,
    /// Time of the first refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
}

impl Recovery {
    pub(super) fn from_refusals(refused: u64, since: Timestamp) -> Self {
        Self {
            reason: "the log could not be written",
            refused_events: Some(refused),
            since: Some(rfc3339(since)),
            ..Self::default()
        }
    }

    fn from_crash(unsigned: u64, torn: u64) -> Self {
        Self {
            reason: "the log was not closed",
            unsigned_records: Some(unsigned),
            torn_bytes: Some(torn),
            ..Self::default()
        }
    }
}

/// How a log was found.
#[derive(Debug)]
pub(super) enum Found {
    /// Without a record: it begins.
    New(Tail),
    /// As it was closed.
    Closed(Tail),
    /// As a crash left it; an unfinished record has been moved away.
    Crashed(Tail, Recovery),
}

/// Finds the end of the log in `file`, which is open to read and append and locked.
pub(super) fn find_end(files: &Files, file: &File, key: &[u8; 32]) -> Result<Found, AuditError> {
    let damaged = |reason: String| AuditError::Damaged {
        file: files.log.clone(),
        reason,
    };
    let failed = || io_error("read", &files.log);
    finish_rotation(files, file)?;
    let length = file.metadata().map_err(failed())?.len();
    let head = SignedHead::read(files).map_err(io_error("read", &files.head))?;
    let vouched = head.map(|head| head.and_then(|head| head.check(&files.name, Some(key))));
    let vouched = vouched.transpose().map_err(damaged)?;
    let (signed, is_closed) = match vouched {
        None => {
            let start = Tail {
                link: Link::genesis(&files.name),
                first: 1,
                end: 0,
            };
            (start, false)
        }
        Some(vouched) => match closed_since(files, file, vouched)? {
            Some(closed) => (cross(&closed, vouched)?.map_err(damaged)?, false),
            None => locate(file, length, vouched)
                .map_err(failed())?
                .map_err(damaged)?,
        },
    };
    let mut tail = signed;
    let mut is_opened_only = true;
    let mut lines =
        Lines::from(file.try_clone().map_err(failed())?, signed.end).map_err(failed())?;
    while let Some(line) = lines.next().map_err(failed())? {
        // Only an unfinished write leaves these: a line without its end or, after a power loss, a
        // block that never reached the disk and reads as zeros. JSON has no zero byte.
        if !line.ended || line.bytes.contains(&0) {
            break;
        }
        let number = tail.link.seq + 2 - tail.first;
        let link = tail.link.follow(line.bytes);
        let link = link.map_err(|broken| damaged(format!("line {number}: {broken}")))?;
        is_opened_only &= is_of_opening(line.bytes);
        if is_closed && !is_opened_only {
            return Err(damaged(format!(
                "line {number} was appended after the log had been closed"
            )));
        }
        tail = Tail {
            link,
            end: line.start + line.bytes.len() as u64 + 1,
            ..tail
        };
    }
    let is_new = vouched.is_none();
    // The first head is written before anything but the opening is recorded, so a log that has other
    // records and no head has lost it.
    if is_new && (!is_opened_only || files.closed.exists()) {
        return Err(damaged(format!(
            "its head file {} is gone",
            files.head.display()
        )));
    }
    let unsigned = tail.link.seq - vouched.map_or(0, |vouched| vouched.link.seq);
    let torn = length - tail.end;
    if torn > 0 {
        move_away(files, file, tail.end)?;
    }
    Ok(match tail.link.seq {
        0 => Found::New(tail),
        _ if torn == 0 && unsigned == 0 => Found::Closed(tail),
        _ => Found::Crashed(tail, Recovery::from_crash(unsigned, torn)),
    })
}

/// The segments that a rotation closed after the head was written, if one did: the head's own first.
fn closed_since(
    files: &Files,
    file: &File,
    head: Vouched,
) -> Result<Option<Vec<Segment>>, AuditError> {
    let first = first_seq(file).map_err(io_error("read", &files.log))?;
    if first.is_some_and(|first| first <= head.first) {
        return Ok(None);
    }
    let mut closed = closed(files).map_err(io_error("list", &files.closed))?;
    closed.retain(|segment| segment.first >= head.first);
    Ok((!closed.is_empty()).then_some(closed))
}

/// Follows the chain through closed segments, from the one that a head vouches for to where the
/// segment that is written begins. The inner error says where it breaks.
fn cross(closed: &[Segment], head: Vouched) -> Result<Result<Tail, String>, AuditError> {
    let mut place = None;
    let mut is_there = false;
    for segment in closed {
        let mut lines = segment.lines(0)?;
        let failed = || io_error("read", &segment.file);
        while let Some(line) = lines.next().map_err(failed())? {
            let link = place
                .or_else(|| before(line.bytes))
                .ok_or(Broken::Malformed)
                .and_then(|place: Link| place.follow(line.bytes));
            match link {
                Ok(link) => place = Some(link),
                Err(broken) => {
                    let file = segment.file.display();
                    return Ok(Err(format!("{file}, byte {}: {broken}", line.start)));
                }
            }
            is_there |= place == Some(head.link);
        }
    }
    Ok(match place {
        Some(link) if is_there => Ok(Tail {
            link,
            first: link.seq + 1,
            end: 0,
        }),
        _ => Err(format!(
            "record {}, which its head vouches for, is not where it was",
            head.link.seq
        )),
    })
}

/// Finds the record a head vouches for, and whether the log was closed with it. The inner error says why it
/// is not there.
fn locate(file: &File, length: u64, head: Vouched) -> io::Result<Result<(Tail, bool), String>> {
    let seq = head.link.seq;
    if length < head.end {
        return Ok(Err(format!(
            "it ends before record {seq}, which its head vouches for"
        )));
    }
    let mut lines = LinesBack::from(file, head.end)?;
    let ends_there = lines.end() == head.end;
    let line = lines.next()?.map(|(line, _)| line);
    let link = line.as_ref().and_then(|line| Sealed::parse(line)?.link());
    Ok(if ends_there && link == Some(head.link) {
        let checkpoint = line.and_then(|line| Checkpoint::read(&line)?.ok());
        let tail = Tail {
            link: head.link,
            first: head.first,
            end: head.end,
        };
        Ok((
            tail,
            checkpoint.is_some_and(|checkpoint| checkpoint.closing),
        ))
    } else {
        Err(format!(
            "record {seq}, which its head vouches for, is not where it was"
        ))
    })
}

/// Moves what follows byte `end` of the log to the end of the `.torn` file.
fn move_away(files: &Files, log: &File, end: u64) -> Result<(), AuditError> {
    let failed = || io_error("write", &files.torn);
    let mut options = OpenOptions::new();
    let mut torn = options
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&files.torn)
        .map_err(failed())?;
    let mut from = log;
    from.seek(SeekFrom::Start(end))
        .map_err(io_error("read", &files.log))?;
    io::copy(&mut from, &mut torn).map_err(failed())?;
    torn.write_all(b"\n")
        .and_then(|()| torn.sync_data())
        .map_err(failed())?;
    log.set_len(end)
        .and_then(|()| log.sync_data())
        .map_err(io_error("write", &files.log))
}

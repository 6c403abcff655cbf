//! Closing the segment that is written, and what becomes of closed ones: they are compressed, and
//! removed when they have been kept long enough.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::chain::{Link, Unsealed};
use super::event::{Details, Event};
use super::files::Files;
use super::json::as_hex;
use super::log::Shared;
use super::record::time_of;
use super::segments::{COMPRESSED, PLAIN, Segment, before, closed, is_same, segments};
use super::writer::{Tail, Writer};
use super::{AuditError, io_error};

/// How the line of a [`Removed`] begins: no other record's does.
pub(super) const PREFIX: &[u8] =
    br#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"SegmentRemoved","#;

/// The last part of the name of a closed segment that is being compressed.
const UNFINISHED: &str = "tmp";

/// What a `SegmentRemoved` record says: the records up to this one were let go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Removed {
    first_seq: u64,
    last_seq: u64,
    #[serde(with = "as_hex")]
    last_hash: [u8; 32],
    reason: String,
}

impl Removed {
    /// Reads a `SegmentRemoved` record: the place that the log may begin after. `None` if the line is
    /// another record.
    pub(super) fn read(line: &[u8]) -> Option<Link> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Record {
            service_event_details: Removed,
        }
        if !line.starts_with(PREFIX) {
            return None;
        }
        let record: Record = serde_json::from_slice(line).ok()?;
        let removed = record.service_event_details;
        Some(Link {
            seq: removed.last_seq,
            hash: removed.last_hash,
        })
    }
}

/// What a rotation or a compression that was cut short left behind is removed. The log in `file` is locked.
pub(super) fn finish_rotation(files: &Files, file: &File) -> Result<(), AuditError> {
    remove_unfinished(&files.closed)
        .map_err(io_error("remove what is unfinished in", &files.closed))?;
    match std::fs::remove_file(fresh(files)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("remove", &fresh(files))(error));
        }
        _ => {}
    }
    // Linked as closed, and still the one that is written.
    let closed = closed(files).map_err(io_error("list", &files.closed))?;
    if let Some(newest) = closed.last()
        && is_same(file, &newest.file).map_err(io_error("examine", &newest.file))?
    {
        std::fs::remove_file(&newest.file).map_err(io_error("remove", &newest.file))?;
    }
    Ok(())
}

fn remove_unfinished(closed: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(closed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_some_and(|last| last == UNFINISHED) {
            std::fs::remove_file(file)?;
        }
    }
    Ok(())
}

/// Where a segment lies until it takes the place of the one before.
fn fresh(files: &Files) -> std::path::PathBuf {
    files.log.with_added_extension("new")
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

impl Shared {
    /// Closes the segment that is written and begins the next, if it is time. Answers whether it was.
    pub(super) fn rotate_if_due(&self) -> Result<bool, AuditError> {
        let due = {
            let writer = self.writer.lock();
            let age = self.settings.rotate_after().is_some_and(|after| {
                let age = Timestamp::now().duration_since(writer.begun);
                age.try_into()
                    .is_ok_and(|age: std::time::Duration| age >= after)
            });
            age || writer.tail.end >= self.settings.rotate_bytes.get()
        };
        if due {
            self.rotate()?;
        }
        Ok(due)
    }

    /// A crash at any point leaves the old segment as the one that is written, or the new one: it
    /// takes the old one's name in one step.
    pub(super) fn rotate(&self) -> Result<(), AuditError> {
        let mut others = self.publisher.lock();
        // Only a rotation changes which segment is written, and `others` is locked.
        let first = self.writer.lock().tail.first;
        let closed = Segment::closed(&self.files, first, PLAIN);
        // Before the checkpoint: where this can never be, each attempt would add one to the log.
        link_as_closed(&self.files, &closed).map_err(io_error("make", &closed))?;
        self.checkpoint_with(&mut others, false)?;
        let mut synced = self.synced.lock();
        let mut writer = self.writer.lock();
        if writer.is_failing() {
            // What a failed write left is removed first; then it is time again.
            return Ok(());
        }
        // Only records since the checkpoint: this is the one sync that others wait for, once a segment.
        // Without it a power loss could take the end of a segment that the next one continues.
        self.synced_or_broken(&mut writer, |writer| writer.file.sync_data())?;
        let begun = begin_segment(&self.files, &closed, &mut writer);
        begun.map_err(io_error("begin a new segment of", &self.files.log))?;
        let (file, tail) = (Arc::clone(&writer.file), writer.tail);
        drop(writer);
        let sync = file
            .sync_data()
            .and_then(|()| sync_directory(&self.files.directory));
        self.synced_or_broken(&mut self.writer.lock(), |_| sync)?;
        *synced = tail;
        drop(synced);
        self.publish(&mut others)
    }

    /// Compresses closed segments and removes those that were kept long enough, until there are none
    /// or the log is closing.
    ///
    /// # Errors
    /// The first of those met: one segment's keeps nothing else from being seen to.
    pub(super) fn tidy(&self) -> Result<(), AuditError> {
        let mut tidied = Ok(());
        if self.settings.compress {
            for segment in self.closed()? {
                if self.is_closing() {
                    return tidied;
                }
                if !segment.is_compressed {
                    let compressed = self.compress(&segment);
                    tidied = tidied.and(compressed.map_err(io_error("compress", &segment.file)));
                }
            }
        }
        // Afterwards, so that size counts as it will be, and whatever went wrong: on a full disk above all.
        let gone = self.let_go();
        tidied.and(gone)
    }

    /// The closed segments. One that is being closed has its name among them before it is, and is not.
    fn closed(&self) -> Result<Vec<Segment>, AuditError> {
        let mut segments = closed(&self.files).map_err(io_error("list", &self.files.closed))?;
        let written = self.writer.lock().tail.first;
        segments.retain(|segment| segment.first < written);
        Ok(segments)
    }

    fn is_closing(&self) -> bool {
        self.writer.lock().closing
    }

    fn compress(&self, segment: &Segment) -> io::Result<()> {
        let target = Segment::closed(&self.files, segment.first, COMPRESSED);
        let unfinished = target.with_added_extension(UNFINISHED);
        let placed = self.compress_to(&unfinished, segment).and_then(|is_whole| {
            if is_whole {
                std::fs::rename(&unfinished, &target)?;
            }
            Ok(is_whole)
        });
        if !matches!(placed, Ok(true)) {
            // Its room is needed. It may not be there, and is removed when the log is opened next.
            let _ = std::fs::remove_file(&unfinished);
        }
        if placed? {
            sync_directory(&self.files.closed)?;
            std::fs::remove_file(&segment.file)?;
        }
        Ok(())
    }

    /// Writes the compressed segment to `unfinished` and reads it back. Answers whether it is whole: not if
    /// the log is closing.
    fn compress_to(&self, unfinished: &Path, segment: &Segment) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut gzip = GzEncoder::new(
            BufWriter::new(options.open(unfinished)?),
            Compression::default(),
        );
        let mut source = BufReader::with_capacity(1 << 16, File::open(&segment.file)?);
        while io::copy(&mut source.by_ref().take(1 << 20), &mut gzip)? > 0 {
            if self.is_closing() {
                return Ok(false);
            }
        }
        let file = gzip.finish()?.into_inner().map_err(io::Error::from)?;
        file.sync_all()?;
        // It takes the place of the only copy.
        if !is_same_content(
            File::open(&segment.file)?,
            MultiGzDecoder::new(BufReader::new(File::open(unfinished)?)),
        )? {
            return Err(io::Error::other(
                "what was written reads back as something else",
            ));
        }
        Ok(true)
    }

    /// Removes the oldest segments that are due, once the log says so, on disk and signed.
    fn let_go(&self) -> Result<(), AuditError> {
        let keep = (self.settings.keep_seconds, self.settings.keep_bytes);
        if keep == (None, None) {
            return Ok(());
        }
        let segments = segments(&self.files)?;
        let size = |segment: &Segment| {
            segment
                .file
                .metadata()
                .map_or(0, |metadata| metadata.size())
        };
        let closed = segments.iter().filter(|segment| segment.active().is_none());
        let mut total: u64 = closed.map(size).sum();
        let mut due = Vec::new();
        let mut said = Ok(());
        for pair in segments.windows(2) {
            let [segment, next] = pair else { continue };
            let line = match first_line_of(next) {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    said = Err(error);
                    break;
                }
            };
            let (Some(last), Some(time)) = (before(&line), time_of(&line)) else {
                break;
            };
            // The next segment began when this one's last record was written.
            let age = Timestamp::now().duration_since(time).as_secs();
            let reason = match keep {
                (Some(keep), _) if age >= keep.get().cast_signed() => "age",
                (_, Some(keep)) if total > keep.get() => "size",
                _ => break,
            };
            total -= size(segment);
            let details = Details::Removed(Removed {
                first_seq: segment.first,
                last_seq: last.seq,
                last_hash: last.hash,
                reason: reason.to_owned(),
            });
            let event = Event::of_log(self.files.source(), "SegmentRemoved", details);
            said = self.record(event.administration()).map(drop);
            if said.is_err() {
                break;
            }
            due.push(segment);
        }
        if due.is_empty() {
            return said;
        }
        self.checkpoint()?;
        for segment in due {
            std::fs::remove_file(&segment.file).map_err(io_error("remove", &segment.file))?;
        }
        said
    }
}

fn first_line_of(segment: &Segment) -> Result<Option<Vec<u8>>, AuditError> {
    let mut lines = segment.lines(0)?;
    let line = lines.next().map_err(io_error("read", &segment.file))?;
    Ok(line
        .filter(|line| line.ended)
        .map(|line| line.bytes.to_vec()))
}

/// Gives the segment that is written its name among the closed ones too, for good: before it loses the one
/// it has.
fn link_as_closed(files: &Files, closed: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(&files.closed) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Err(_) => {}
        Ok(()) => sync_directory(&files.directory)?,
    }
    match std::fs::hard_link(&files.log, closed) {
        // An earlier attempt went no further.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if !is_same(&File::open(&files.log)?, closed)? {
                return Err(error);
            }
        }
        linked => linked?,
    }
    sync_directory(&files.closed)
}

/// Has the next segment take the place of the one that is written, its first record in it.
fn begin_segment(files: &Files, closed: &Path, writer: &mut Writer) -> io::Result<()> {
    let fresh = fresh(files);
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true).mode(0o600);
    let mut file = options.open(&fresh)?;
    // Locked before it has the log's name: no other process gets in between.
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let now = Timestamp::now();
    let name = closed.file_name().unwrap_or_default();
    let details = Details::Continued {
        log: &files.name,
        format: super::event::FORMAT,
        previous: name.to_string_lossy().into_owned(),
    };
    let mut event = Event::of_log(files.source(), "LogContinued", details);
    let (link, line) = Unsealed::new(event.stamped(now)).seal(writer.tail.link);
    file.write_all(&line)?;
    std::fs::rename(&fresh, &files.log)?;
    writer.file = Arc::new(file);
    writer.begun = now;
    writer.tail = Tail {
        link,
        first: link.seq,
        end: line.len() as u64,
    };
    writer.copy(&line);
    Ok(())
}

/// Whether both give the same bytes.
fn is_same_content(one: impl Read, other: impl Read) -> io::Result<bool> {
    let (mut one, mut other) = (one, other);
    let (mut left, mut right) = (Vec::new(), Vec::new());
    loop {
        left.clear();
        right.clear();
        one.by_ref().take(1 << 18).read_to_end(&mut left)?;
        other.by_ref().take(1 << 18).read_to_end(&mut right)?;
        if left != right {
            return Ok(false);
        }
        if left.is_empty() {
            return Ok(true);
        }
    }
}

//! The end of a log: where records are appended, and what happens when they cannot be.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::chain::{Link, Unsealed};
use super::event::{Details, Event, Source};
use super::files::Files;
use super::recover::Recovery;
use super::reserve::{Reserve, is_full};
use super::sink::{Item, Sink};

/// How long a record may wait for the disk and the signed head. Half the second that is promised
/// leaves the other half to the sync itself.
pub(super) const SYNC_AFTER: Duration = Duration::from_millis(500);
/// How long a record may wait for a checkpoint.
const CHECKPOINT_AFTER: Duration = Duration::from_secs(10);
/// How many records may wait for a checkpoint.
const CHECKPOINT_RECORDS: u32 = 4096;

/// How a record begins that is about something else than the log itself.
const CALL: &[u8] = br#"{"eventVersion":"1.11","eventType":"AwsApiCall""#;

/// The last record and where it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tail {
    pub(super) link: Link,
    /// The first record of the segment that is written.
    pub(super) first: u64,
    /// Where in that segment the last record ends, in bytes.
    pub(super) end: u64,
}

/// Since when, and how often, records could not be written.
struct Failure {
    since: Timestamp,
    refused: u64,
}

/// Everything under the lock that orders the records.
pub(super) struct Writer {
    source: Source,
    /// The segment that is written, opened to append.
    pub(super) file: Arc<File>,
    /// When its first record was made.
    pub(super) begun: Timestamp,
    pub(super) tail: Tail,
    failure: Option<Failure>,
    reserve: Reserve,
    /// Set for good by a failed sync.
    pub(super) broken: Option<String>,
    /// When the head has to be brought to disk, if it lags.
    pub(super) head_due: Option<Instant>,
    /// When a checkpoint has to be written, if there are records since the last.
    pub(super) checkpoint_due: Option<Instant>,
    since_checkpoint: u32,
    pub(super) closing: bool,
    /// Where each record goes as well, in the order of the log.
    sinks: Arc<[Sink]>,
}

impl Writer {
    pub(super) fn new(
        files: &Files,
        file: File,
        begun: Timestamp,
        tail: Tail,
        sinks: Arc<[Sink]>,
    ) -> Self {
        Self {
            source: files.source(),
            file: Arc::new(file),
            begun,
            tail,
            failure: None,
            reserve: Reserve::at(files.reserve.clone()),
            broken: None,
            head_due: None,
            checkpoint_due: None,
            since_checkpoint: 0,
            closing: false,
            sinks,
        }
    }

    /// Appends one record. On failure the file is as before, or will be made so before the next
    /// record, and nothing has been taken from the sequence.
    pub(super) fn append(&mut self, event: Unsealed) -> io::Result<Link> {
        let result = self.recover().and_then(|()| self.write(event));
        if let Err(error) = &result {
            if self.failure.is_none() {
                self.raise_alarm(error);
            }
            let failure = self.failure.get_or_insert(Failure {
                since: Timestamp::now(),
                refused: 0,
            });
            failure.refused += 1;
        }
        result
    }

    /// Says that the disk is full, in the room that is kept for that.
    fn raise_alarm(&mut self, error: &io::Error) {
        // What is left of the record would be in the midst of the log.
        if !is_full(error) || self.restore().is_err() || self.reserve.give().is_err() {
            return;
        }
        let reason = error.to_string();
        let mut event = Event::of_log(self.source, "LogFull", Details::Full { reason });
        if let Err(error) = self.write(Unsealed::new(event.stamped(Timestamp::now()))) {
            tracing::error!(%error, "an audit log cannot even say that its disk is full");
        }
        self.schedule();
    }

    /// Notes that a record waits for the head and a checkpoint. Returns whether the log's thread
    /// has to hear of it.
    pub(super) fn schedule(&mut self) -> bool {
        let now = Instant::now();
        let news = self.head_due.is_none() || self.checkpoint_due.is_none();
        self.head_due.get_or_insert(now + SYNC_AFTER);
        self.checkpoint_due.get_or_insert(now + CHECKPOINT_AFTER);
        self.since_checkpoint += 1;
        let full = self.since_checkpoint == CHECKPOINT_RECORDS;
        if full {
            self.checkpoint_due = Some(now);
        }
        news || full
    }

    /// Notes that a checkpoint is about to be written.
    pub(super) fn checkpoint_begins(&mut self) {
        self.checkpoint_due = None;
        self.since_checkpoint = 0;
    }

    /// Whether the last record could not be written.
    pub(super) fn is_failing(&self) -> bool {
        self.failure.is_some()
    }

    /// When the log's thread has to act next.
    pub(super) fn due(&self) -> Option<Instant> {
        [self.head_due, self.checkpoint_due]
            .into_iter()
            .flatten()
            .min()
    }

    /// After a failure: removes what it left behind and records how many events were refused.
    fn recover(&mut self) -> io::Result<()> {
        let Some(failure) = &self.failure else {
            return Ok(());
        };
        // As long as there is no room for the next alarm there is none for records: what the last one has
        // not used is not for them.
        if let Err(error) = self.reserve.hold()
            && is_full(&error)
        {
            return Err(error);
        }
        self.restore()?;
        let recovery = Recovery::from_refusals(failure.refused, failure.since);
        let mut event = Event::of_log(self.source, "LogRecovered", Details::Recovered(recovery));
        self.write(Unsealed::new(event.stamped(Timestamp::now())))?;
        self.failure = None;
        Ok(())
    }

    /// Removes what a failed write left behind the last record.
    fn restore(&self) -> io::Result<()> {
        self.file.set_len(self.tail.end)
    }

    /// Hands a written record to the sinks.
    pub(super) fn copy(&self, line: &[u8]) {
        if self.sinks.is_empty() {
            return;
        }
        let item = Item {
            seq: self.tail.link.seq,
            is_call: line.starts_with(CALL),
            line: line.trim_ascii_end().into(),
        };
        for sink in &*self.sinks {
            sink.offer(item.clone());
        }
    }

    fn write(&mut self, event: Unsealed) -> io::Result<Link> {
        let (link, line) = event.seal(self.tail.link);
        let mut file = &*self.file;
        if let Err(error) = file.write_all(&line) {
            // Part of the line may be there. If it cannot be removed now, `recover` has to.
            let _ = self.restore();
            return Err(error);
        }
        self.tail = Tail {
            link,
            end: self.tail.end + line.len() as u64,
            ..self.tail
        };
        self.copy(&line);
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt as _;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    use super::*;

    #[test]
    fn no_alarm_is_written_behind_a_fragment_that_cannot_be_removed() {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::new(directory.path(), "kms").unwrap();
        Reserve::at(files.reserve.clone()).hold().unwrap();
        let file = memfd_create("log", MemfdFlags::ALLOW_SEALING).unwrap();
        let mut file = File::from(file);
        file.write_all(b"{\"eventVersion\"").unwrap();
        // What refuses to be cut, as a disk that fails does.
        fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
        let seen = file.try_clone().unwrap();
        let tail = Tail {
            link: Link::genesis("kms"),
            first: 1,
            end: 0,
        };
        let mut writer = Writer::new(&files, file, Timestamp::now(), tail, Arc::new([]));
        writer.raise_alarm(&io::ErrorKind::StorageFull.into());
        let mut found = [0; 32];
        let length = seen.read_at(&mut found, 0).unwrap();
        assert_eq!(&found[..length], b"{\"eventVersion\"");
        assert!(files.reserve.exists(), "its room is kept for later");
    }
}

//! The log that is written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};
use rustix::fs::{FlockOperation, flock};

use super::chain::{Link, MAX_LINE, Unsealed};
use super::checkpoint::{Anchor, Checkpoint, Head};
use super::event::{Details, Event};
use super::files::Files;
use super::head::SignedHead;
use super::recover::{Found, find_end};
use super::writer::{Tail, Writer};
use super::{AuditError, io_error};

/// The longest seal: three fields, their names and the newline.
const SEAL: usize = 200;
/// How long the log's thread waits after an attempt that failed.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// When a record has to be on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Within a second; denials and administration before [`Log::record`] returns.
    Balanced,
    /// Before [`Log::record`] returns. Records that wait at the same time share one sync.
    Strict,
}

/// Proof that a record was written before its holder went on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The record's id, a UUID.
    pub event_id: String,
    /// The record's number in its log.
    pub seq: u64,
}

/// A record that is written, and not known to be on disk: what it is about may not be told to anyone
/// before [`Log::wait`].
#[must_use]
#[derive(Debug)]
pub struct Unsynced(Recorded);

/// A log open for writing. There is one for each file: the file is locked (`flock(2)`).
///
/// Opening starts a thread, so a program that daemonises opens its logs afterwards. Dropping closes
/// the log as [`close`](Self::close) does, without saying whether that worked.
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Lock order: `publisher`, `synced`, `writer`.
struct Shared {
    files: Files,
    file: File,
    durability: Durability,
    anchor: Arc<dyn Anchor>,
    writer: Mutex<Writer>,
    /// Wakes the log's thread; goes with `writer`.
    wake: Condvar,
    /// The last record known to be on disk. Held during a sync, so that whoever waits for it finds
    /// the work done.
    synced: Mutex<Tail>,
    /// Heads of other logs that the next checkpoint carries. Held while a head is signed and
    /// written, so that an older one never replaces a newer one.
    publisher: Mutex<BTreeMap<String, Head>>,
}

impl Log {
    /// Opens `<directory>/<name>.jsonl`, mode 0600, and begins it if it is new. A log that a crash
    /// left is set right and says so in a `LogRecovered` record.
    ///
    /// # Errors
    /// [`AuditError::Busy`] if it is open elsewhere, [`AuditError::Damaged`] if it is not as it was
    /// left, [`AuditError::Anchor`] if its head cannot be signed.
    pub fn open(
        directory: &Path,
        name: &str,
        durability: Durability,
        anchor: Arc<dyn Anchor>,
    ) -> Result<Self, AuditError> {
        let files = Files::new(directory, name)?;
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true).mode(0o600);
        options.custom_flags(libc::O_NOFOLLOW);
        let file = options
            .open(&files.log)
            .map_err(io_error("open", &files.log))?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => AuditError::Busy {
                file: files.log.clone(),
            },
            error => io_error("lock", &files.log)(error.into()),
        })?;
        let (tail, first) = match find_end(&files, &file, &anchor.public_key())? {
            Found::New(tail) => {
                let details = Details::Created {
                    log: name,
                    format: 1,
                };
                (
                    tail,
                    Some(Event::of_log(files.source(), "LogCreated", details)),
                )
            }
            Found::Closed(tail) => (tail, None),
            Found::Crashed(tail, recovery) => {
                let details = Details::Recovered(recovery);
                (
                    tail,
                    Some(Event::of_log(files.source(), "LogRecovered", details)),
                )
            }
        };
        let shared = Arc::new(Shared::new(files, file, durability, anchor, tail));
        if let Some(event) = first {
            shared.record(event)?;
            shared.publish_head()?;
            // The names of a new log and its head have to survive a power loss as well.
            let directory = &shared.files.directory;
            let sync = File::open(directory).and_then(|opened| opened.sync_all());
            sync.map_err(io_error("sync", directory))?;
        }
        let thread = std::thread::Builder::new().name("audit".to_owned()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.keep_up()
        });
        let thread = Some(thread.map_err(io_error("start a thread for", &shared.files.log))?);
        Ok(Self { shared, thread })
    }

    /// Records `event`. When this returns, the whole line has been written to the file in one
    /// `write(2)`; in [`Durability::Strict`], or if the event is strict, it is also on disk.
    ///
    /// # Errors
    /// [`AuditError::Write`]: the file is as before, and each further call tries again.
    /// [`AuditError::Sync`]: this log takes no more events. Either way the caller must not go on
    /// with what it wanted to record.
    pub fn record(&self, event: Event<'_>) -> Result<Recorded, AuditError> {
        self.shared.record(event)
    }

    /// Writes `event` and does not wait for the disk, whatever its kind.
    ///
    /// # Errors
    /// As [`record`](Self::record), but for what the disk says.
    pub fn write(&self, event: Event<'_>) -> Result<Unsynced, AuditError> {
        self.shared.write(event).map(Unsynced)
    }

    /// Waits until the record is on disk. Records that wait at the same time share one sync.
    ///
    /// # Errors
    /// [`AuditError::Sync`].
    pub fn wait(&self, Unsynced(recorded): Unsynced) -> Result<Recorded, AuditError> {
        self.shared.sync_through(recorded.seq)?;
        Ok(recorded)
    }

    /// Brings the log to disk, has its head signed, and writes a checkpoint record and the head
    /// file. The log does this on its own every 4096 records and 10 seconds after a record.
    ///
    /// # Errors
    /// As [`record`](Self::record), and [`AuditError::Anchor`].
    pub fn checkpoint(&self) -> Result<(), AuditError> {
        self.shared.checkpoint()
    }

    /// The last record written.
    pub fn head(&self) -> Head {
        let link = self.shared.writer.lock().tail.link;
        Head {
            log: self.shared.files.name.clone(),
            seq: link.seq,
            hash: link.hash,
        }
    }

    /// The last record known to be on disk: what another log may vouch for. One that vouched for a
    /// record that power loss takes would call this log truncated.
    pub fn durable_head(&self) -> Head {
        let link = self.shared.synced.lock().link;
        Head {
            log: self.shared.files.name.clone(),
            seq: link.seq,
            hash: link.hash,
        }
    }

    /// Brings everything to disk, with a checkpoint for records that have none, and ends.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint). The records themselves are where they were written.
    pub fn close(mut self) -> Result<(), AuditError> {
        self.finish()
    }

    fn finish(&mut self) -> Result<(), AuditError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.shared.writer.lock().closing = true;
        self.shared.wake.notify_all();
        // The thread neither panics nor returns anything.
        let _ = thread.join();
        let pending = self.shared.writer.lock().checkpoint_due.is_some();
        if pending {
            self.shared.checkpoint()
        } else {
            self.shared.publish_head()
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if let Err(error) = self.finish() {
            tracing::warn!(%error, "audit log not closed properly");
        }
    }
}

impl Shared {
    fn new(
        files: Files,
        file: File,
        durability: Durability,
        anchor: Arc<dyn Anchor>,
        tail: Tail,
    ) -> Self {
        let source = files.source();
        Self {
            files,
            file,
            durability,
            anchor,
            writer: Mutex::new(Writer::new(source, tail)),
            wake: Condvar::new(),
            synced: Mutex::new(tail),
            publisher: Mutex::default(),
        }
    }

    fn record(&self, event: Event<'_>) -> Result<Recorded, AuditError> {
        let waits = self.durability == Durability::Strict || event.is_strict();
        let recorded = self.write(event)?;
        if waits {
            self.sync_through(recorded.seq)?;
        }
        Ok(recorded)
    }

    fn write(&self, mut event: Event<'_>) -> Result<Recorded, AuditError> {
        let unsealed = Unsealed::new(event.stamped(Timestamp::now()));
        if unsealed.len() > MAX_LINE - SEAL {
            return Err(AuditError::TooLarge {
                event: event.name(),
                length: unsealed.len(),
            });
        }
        let link = self.append(unsealed, true)?;
        Ok(Recorded {
            event_id: event.into_id(),
            seq: link.seq,
        })
    }

    /// Appends one record; `counts` if it waits for the head and a checkpoint.
    fn append(&self, event: Unsealed, counts: bool) -> Result<Link, AuditError> {
        let mut writer = self.writer.lock();
        if let Some(reason) = writer.broken.clone() {
            return Err(AuditError::Sync {
                file: self.files.log.clone(),
                reason,
            });
        }
        let written = writer.append(&self.file, event);
        let link = written.map_err(|source| AuditError::Write {
            file: self.files.log.clone(),
            source,
        })?;
        if counts && writer.schedule() {
            self.wake.notify_one();
        }
        Ok(link)
    }

    /// Waits until the record `seq` is on disk: by a sync that began after it was written, its own
    /// or another caller's.
    fn sync_through(&self, seq: u64) -> Result<Tail, AuditError> {
        let mut synced = self.synced.lock();
        if synced.link.seq < seq {
            let written = self.writer.lock().tail;
            if let Err(error) = self.file.sync_data() {
                self.writer
                    .lock()
                    .broken
                    .get_or_insert_with(|| error.to_string());
            }
            // Also for those who waited for the sync that failed: a second one proves nothing.
            if let Some(reason) = self.writer.lock().broken.clone() {
                return Err(AuditError::Sync {
                    file: self.files.log.clone(),
                    reason,
                });
            }
            *synced = written;
        }
        Ok(*synced)
    }

    /// Brings everything written so far to disk and has the last record signed.
    fn sign(&self, others: &mut BTreeMap<String, Head>) -> Result<(Tail, Vec<u8>), AuditError> {
        let written = self.writer.lock().tail.link.seq;
        let tail = self.sync_through(written)?;
        let log = &self.files.name;
        let answer = self.anchor.anchor(log, tail.link.seq, &tail.link.hash);
        let anchored = answer.map_err(|reason| AuditError::Anchor {
            log: log.clone(),
            reason,
        })?;
        if let Some(other) = anchored.other.filter(|other| other.log != *log) {
            others.insert(other.log.clone(), other);
        }
        Ok((tail, anchored.signature))
    }

    fn publish_head(&self) -> Result<(), AuditError> {
        self.publish(&mut self.publisher.lock())
    }

    fn publish(&self, others: &mut BTreeMap<String, Head>) -> Result<(), AuditError> {
        self.writer.lock().head_due = None;
        let (tail, signature) = self.sign(others)?;
        let head = SignedHead::new(&self.files.name, tail.link, tail.end, signature);
        head.write(&self.files)
            .map_err(io_error("write", &self.files.head))
    }

    fn checkpoint(&self) -> Result<(), AuditError> {
        let mut others = self.publisher.lock();
        self.writer.lock().checkpoint_begins();
        let (tail, signature) = self.sign(&mut others)?;
        let checkpoint = Checkpoint {
            seq: tail.link.seq,
            hash: tail.link.hash,
            signature,
            anchors: others.values().cloned().collect(),
        };
        let details = Details::Checkpoint(checkpoint);
        let mut event = Event::of_log(self.files.source(), "Checkpoint", details);
        self.append(Unsealed::new(event.stamped(Timestamp::now())), false)?;
        others.clear();
        self.publish(&mut others)
    }

    /// The log's thread: keeps the disk, the head and the checkpoints at most their time behind.
    fn keep_up(&self) {
        let mut failing = false;
        while let Some(checkpoint) = self.wait_until_due() {
            match if checkpoint {
                self.checkpoint()
            } else {
                self.publish_head()
            } {
                Ok(()) => failing = false,
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "audit log behind; trying again every second");
                    }
                    failing = true;
                    let retry = Some(Instant::now() + RETRY_AFTER);
                    let mut writer = self.writer.lock();
                    writer.head_due = retry;
                    writer.checkpoint_due = writer.checkpoint_due.or(retry.filter(|_| checkpoint));
                }
            }
        }
    }

    /// Sleeps until something is due: a checkpoint (`true`) or the head (`false`). `None` when the
    /// log is closing.
    fn wait_until_due(&self) -> Option<bool> {
        let mut writer = self.writer.lock();
        while !writer.closing {
            match writer.due() {
                Some(due) if due <= Instant::now() => {
                    return Some(
                        writer
                            .checkpoint_due
                            .is_some_and(|due| due <= Instant::now()),
                    );
                }
                Some(due) => {
                    self.wake.wait_until(&mut writer, due);
                }
                None => self.wake.wait(&mut writer),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;

//! The log that is written.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex};

use super::chain::{Link, MAX_LINE, Unsealed};
use super::checkpoint::{Anchor, Checkpoint, Head};
use super::event::{Details, Event, FORMAT};
use super::files::Files;
use super::head::SignedHead;
use super::record::time_of;
use super::recover::{Found, find_end};
use super::reserve::Reserve;
use super::segments::first_line;
use super::settings::Settings;
use super::sink::{self, Sink};
use super::writer::{Tail, Writer};
use super::{AuditError, io_error};

/// The event of a log that is continued as it was closed.
const OPENED: &str = "LogOpened";
/// The longest seal: three fields, their names and the newline.
const SEAL: usize = 200;

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
/// Opening starts threads, so a program that daemonises opens its logs afterwards. Dropping closes
/// the log as [`close`](Self::close) does, without saying whether that worked.
pub struct Log {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Lock order: `publisher`, `synced`, `writer`.
pub(super) struct Shared {
    pub(super) files: Files,
    pub(super) settings: Settings,
    durability: Durability,
    anchor: Arc<dyn Anchor>,
    sinks: Arc<[Sink]>,
    pub(super) writer: Mutex<Writer>,
    /// Wakes the log's thread; goes with `writer`.
    pub(super) wake: Condvar,
    /// The last record known to be on disk. Held during a sync, so that whoever waits for it finds
    /// the work done.
    pub(super) synced: Mutex<Tail>,
    /// Heads of other logs that the next checkpoint carries. Held while a head is signed and
    /// written, so that an older one never replaces a newer one.
    pub(super) publisher: Mutex<BTreeMap<String, Head>>,
    /// Compresses and removes closed segments, while there are any.
    pub(super) archivist: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Opens `<directory>/<name>.jsonl`, mode 0600, and begins it if it is new. A log that a crash
    /// left is set right and says so in a `LogRecovered` record; one that was closed says that it was opened.
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
        let settings = Settings::read(directory)?;
        let file = files.open_locked()?;
        if let Err(error) = Reserve::at(files.reserve.clone()).hold() {
            tracing::warn!(log = name, %error, "no room is kept to say that the disk is full");
        }
        let (tail, event, details) = match find_end(&files, &file, &anchor.public_key())? {
            Found::New(tail) => {
                let details = Details::Created {
                    log: name,
                    format: FORMAT,
                };
                (tail, "LogCreated", details)
            }
            Found::Closed(tail) => {
                let details = Details::Opened {
                    log: name,
                    pid: std::process::id(),
                    settings: settings.clone(),
                };
                (tail, OPENED, details)
            }
            Found::Crashed(tail, recovery) => (tail, "LogRecovered", Details::Recovered(recovery)),
        };
        let first = Event::of_log(files.source(), event, details);
        let begun = first_line(file.try_clone().map_err(io_error("read", &files.log))?)
            .map_err(io_error("read", &files.log))?
            .and_then(|line| time_of(&line))
            .unwrap_or_else(Timestamp::now);
        let sinks = settings
            .sinks
            .iter()
            .map(|target| Sink::start(target, name));
        let sinks: Arc<[Sink]> = sinks
            .collect::<Result<_, _>>()
            .map_err(io_error("start a thread for", &files.log))?;
        let writer = Writer::new(&files, file, begun, tail, Arc::clone(&sinks));
        let shared = Shared::new(files, settings, durability, anchor, sinks, writer);
        let shared = Arc::new(shared);
        // Signed before anything else is recorded: see `Checkpoint::closing`.
        shared.record(first)?;
        shared.publish_head()?;
        if event != OPENED {
            // The names of a new log and its head have to survive a power loss as well.
            let directory = &shared.files.directory;
            let sync = File::open(directory).and_then(|opened| opened.sync_all());
            sync.map_err(io_error("sync", directory))?;
        }
        shared.start_tidying()?;
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

    /// Brings everything to disk, with a last checkpoint that says that the log is closed, and ends.
    ///
    /// # Errors
    /// As [`checkpoint`](Self::checkpoint). The records themselves are where they were written.
    pub fn close(mut self) -> Result<(), AuditError> {
        self.finish()
    }

    /// Closes the segment that is written, and sees to the closed ones.
    #[cfg(test)]
    pub(super) fn rotate(&self) -> Result<(), AuditError> {
        self.shared.rotate()?;
        self.tidy()
    }

    /// Sees to the closed segments.
    #[cfg(test)]
    pub(super) fn tidy(&self) -> Result<(), AuditError> {
        self.shared.tidy()
    }

    fn finish(&mut self) -> Result<(), AuditError> {
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        self.shared.writer.lock().closing = true;
        self.shared.wake.notify_all();
        // The threads neither panic nor return anything.
        let _ = thread.join();
        let archivist = self.shared.archivist.lock().take();
        archivist.map(JoinHandle::join);
        let sinks = &self.shared.sinks;
        // What they are to take has to be there before they are waited for.
        let mut finished = Ok(());
        if !sinks.is_empty() {
            finished = self.shared.checkpoint();
            let until = sink::last_chance();
            sinks.iter().for_each(Sink::close);
            sinks.iter().for_each(|sink| sink.drain(until));
            finished = finished.and_then(|()| self.shared.record_lost());
        }
        let mut others = self.shared.publisher.lock();
        finished.and(self.shared.checkpoint_with(&mut others, true))
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
        settings: Settings,
        durability: Durability,
        anchor: Arc<dyn Anchor>,
        sinks: Arc<[Sink]>,
        writer: Writer,
    ) -> Self {
        Self {
            files,
            settings,
            durability,
            anchor,
            sinks,
            synced: Mutex::new(writer.tail),
            writer: Mutex::new(writer),
            wake: Condvar::new(),
            publisher: Mutex::default(),
            archivist: Mutex::default(),
        }
    }

    pub(super) fn record(&self, event: Event<'_>) -> Result<Recorded, AuditError> {
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

    /// Says what the sinks have lost.
    pub(super) fn record_lost(&self) -> Result<(), AuditError> {
        for lost in self.sinks.iter().filter_map(Sink::take_lost) {
            let event = Event::of_log(self.files.source(), "SinkLost", Details::Lost(lost));
            self.record(event.administration())?;
        }
        Ok(())
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
        let written = writer.append(event);
        if written.is_err() {
            // What the alarm says has to be signed.
            self.wake.notify_one();
        }
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
            let (written, file) = {
                let writer = self.writer.lock();
                (writer.tail, Arc::clone(&writer.file))
            };
            let sync = file.sync_data();
            self.synced_or_broken(&mut self.writer.lock(), |_| sync)?;
            *synced = written;
        }
        Ok(*synced)
    }

    /// Takes no more events after a sync that failed, also from those who waited for it: a second one
    /// proves nothing.
    pub(super) fn synced_or_broken(
        &self,
        writer: &mut Writer,
        sync: impl FnOnce(&Writer) -> std::io::Result<()>,
    ) -> Result<(), AuditError> {
        if let Err(error) = sync(writer) {
            writer.broken.get_or_insert_with(|| error.to_string());
        }
        match writer.broken.clone() {
            None => Ok(()),
            Some(reason) => Err(AuditError::Sync {
                file: self.files.log.clone(),
                reason,
            }),
        }
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

    pub(super) fn publish_head(&self) -> Result<(), AuditError> {
        self.publish(&mut self.publisher.lock())
    }

    pub(super) fn publish(&self, others: &mut BTreeMap<String, Head>) -> Result<(), AuditError> {
        self.writer.lock().head_due = None;
        let (tail, signature) = self.sign(others)?;
        let head = SignedHead::new(&self.files.name, tail, signature);
        head.write(&self.files)
            .map_err(io_error("write", &self.files.head))
    }

    pub(super) fn checkpoint(&self) -> Result<(), AuditError> {
        self.checkpoint_with(&mut self.publisher.lock(), false)
    }

    pub(super) fn checkpoint_with(
        &self,
        others: &mut BTreeMap<String, Head>,
        closing: bool,
    ) -> Result<(), AuditError> {
        self.writer.lock().checkpoint_begins();
        let (tail, signature) = self.sign(others)?;
        let checkpoint = Checkpoint {
            seq: tail.link.seq,
            hash: tail.link.hash,
            signature,
            anchors: others.values().cloned().collect(),
            closing,
        };
        let details = Details::Checkpoint(checkpoint);
        let mut event = Event::of_log(self.files.source(), "Checkpoint", details);
        self.append(Unsealed::new(event.stamped(Timestamp::now())), false)?;
        others.clear();
        self.publish(others)
    }
}

#[cfg(test)]
mod tests;

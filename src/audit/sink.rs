//! Copies of the records elsewhere: journald, syslog, and signed heads in a file of another machine.
//!
//! The log is the record; a sink has a copy, as soon as it takes one. A sink that stalls or dies delays
//! nothing: records wait in a queue of bounded length, and what does not fit, or could not be delivered
//! when the log was closed, is lost to that sink. Which ones is said in the log (`SinkLost`).

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

use super::deliver::Delivery;

/// How many records may wait for a sink.
const QUEUE: usize = 8192;
/// How many bytes of records may wait for a sink.
const QUEUE_BYTES: usize = 16 << 20;
/// How long a closing log waits for its sinks.
const LAST_CHANCE: Duration = Duration::from_secs(2);
/// An attempt that has begun by then may take longer than it should.
const LAST_ATTEMPT: Duration = Duration::from_secs(3);
/// Between two attempts to deliver.
const RETRY: Duration = Duration::from_millis(200);
/// More gaps than these are told as one: the count stays exact.
const MAX_GAPS: usize = 100;

/// Where copies of the records go, as it is written: `journald`, `syslog`, `syslog:/PATH`,
/// `syslog:udp:HOST:PORT`, `syslog:tcp:HOST:PORT`, `heads:/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Target {
    /// The journal of systemd, at this socket.
    Journald(PathBuf),
    /// A syslog daemon (RFC 5424) at this datagram socket.
    SyslogUnix(PathBuf),
    /// A syslog collector (RFC 5424, RFC 5426) at this address.
    SyslogUdp(String),
    /// A syslog collector (RFC 5424, RFC 6587 with octet counts) at this address.
    SyslogTcp(String),
    /// A file that signed heads are appended to: what `audit verify --heads` compares with.
    Heads(PathBuf),
}

const JOURNAL: &str = "/run/systemd/journal/socket";
const SYSLOG: &str = "/dev/log";

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let absolute = || rest.starts_with('/').then(|| PathBuf::from(rest));
        let address = |address: &str| {
            let (host, port) = address.rsplit_once(':')?;
            let fits = !host.is_empty() && port.parse::<u16>().is_ok();
            fits.then(|| address.to_owned())
        };
        let target = match (kind, rest) {
            ("journald", "") => Some(Self::Journald(JOURNAL.into())),
            ("journald", _) => absolute().map(Self::Journald),
            ("syslog", "") => Some(Self::SyslogUnix(SYSLOG.into())),
            ("syslog", _) => match rest.split_once(':') {
                Some(("udp", to)) => address(to).map(Self::SyslogUdp),
                Some(("tcp", to)) => address(to).map(Self::SyslogTcp),
                _ => absolute().map(Self::SyslogUnix),
            },
            ("heads", _) => absolute().map(Self::Heads),
            _ => None,
        };
        target.ok_or_else(|| {
            format!(
                "{text:?} is none of journald, syslog, syslog:/PATH, syslog:udp:HOST:PORT, \
                 syslog:tcp:HOST:PORT, heads:/PATH"
            )
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Journald(path) => write!(out, "journald:{}", path.display()),
            Self::SyslogUnix(path) => write!(out, "syslog:{}", path.display()),
            Self::SyslogUdp(address) => write!(out, "syslog:udp:{address}"),
            Self::SyslogTcp(address) => write!(out, "syslog:tcp:{address}"),
            Self::Heads(path) => write!(out, "heads:{}", path.display()),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// A record on its way.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) seq: u64,
    /// Without its newline.
    pub(super) line: Arc<[u8]>,
    /// Whether it is about something else than the log itself.
    pub(super) is_call: bool,
}

/// What a `SinkLost` record says: these records are in the log and not, or not surely, at the sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Lost {
    sink: String,
    records: u64,
    /// First and last numbers, in order. Fewer and wider than there were, if there were very many.
    ranges: Vec<(u64, u64)>,
    reason: &'static str,
}

#[derive(Default)]
struct Missing {
    records: u64,
    calls: u64,
    ranges: Vec<(u64, u64)>,
}

impl Missing {
    fn add(&mut self, item: &Item) {
        self.records += 1;
        self.calls += u64::from(item.is_call);
        let is_full = self.ranges.len() == MAX_GAPS;
        match self.ranges.last_mut() {
            Some((_, last)) if *last + 1 == item.seq => *last = item.seq,
            Some((first, last)) if is_full => {
                (*first, *last) = ((*first).min(item.seq), (*last).max(item.seq));
            }
            _ => self.ranges.push((item.seq, item.seq)),
        }
    }
}

#[derive(Default)]
struct Queue {
    items: VecDeque<Item>,
    bytes: usize,
    /// Once it was full it takes nothing until it is half empty: few long gaps, not many short ones.
    is_full: bool,
    missing: Missing,
    /// The first record is being delivered.
    is_at_it: bool,
    phase: Phase,
}

/// What becomes of the records that wait.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Phase {
    /// They are delivered, and more come.
    #[default]
    Open,
    /// They are delivered, and no more come.
    Closing,
    /// They are not delivered any more.
    GivenUp,
}

struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// One sink of a log that is written.
pub(super) struct Sink {
    name: String,
    shared: Arc<Shared>,
    /// Not joined: it may hang in the system, and holds nothing that is needed.
    _thread: JoinHandle<()>,
}

impl Sink {
    /// Starts the thread that delivers the records of the log called `log` to `target`.
    pub(super) fn start(target: &Target, log: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let delivery = Delivery::new(target.clone(), log);
        let thread = std::thread::Builder::new().name("audit-sink".to_owned());
        let thread = thread.spawn({
            let shared = Arc::clone(&shared);
            move || shared.deliver(delivery)
        })?;
        Ok(Self {
            name: target.to_string(),
            shared,
            _thread: thread,
        })
    }

    /// Takes a record along, if there is room. Called in the order of the records; never waits for the
    /// sink.
    pub(super) fn offer(&self, item: Item) {
        let mut queue = self.shared.queue.lock();
        let fits = queue.items.len() < QUEUE && queue.bytes + item.line.len() <= QUEUE_BYTES;
        if queue.is_full && queue.items.len() <= QUEUE / 2 && queue.bytes <= QUEUE_BYTES / 2 {
            queue.is_full = false;
        }
        if queue.is_full || !fits {
            if !queue.is_full {
                tracing::error!(
                    sink = self.name,
                    "an audit sink does not keep up: records are lost to it"
                );
            }
            queue.is_full = true;
            queue.missing.add(&item);
            return;
        }
        queue.bytes += item.line.len();
        queue.items.push_back(item);
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// What was lost since the last call, if anything but what the log says of itself was.
    pub(super) fn take_lost(&self) -> Option<Lost> {
        let mut queue = self.shared.queue.lock();
        if queue.missing.calls == 0 {
            return None;
        }
        let Missing {
            records,
            mut ranges,
            ..
        } = std::mem::take(&mut queue.missing);
        ranges.sort_unstable();
        Some(Lost {
            sink: self.name.clone(),
            records,
            ranges,
            reason: match queue.phase {
                Phase::Open => "the sink did not take them in time",
                Phase::Closing | Phase::GivenUp => "the log was closed before the sink took them",
            },
        })
    }

    /// Says that no more will come.
    pub(super) fn close(&self) {
        let mut queue = self.shared.queue.lock();
        if queue.phase == Phase::Open {
            queue.phase = Phase::Closing;
        }
        drop(queue);
        self.shared.changed.notify_all();
    }

    /// Waits a little until everything is delivered. What is not then is lost.
    pub(super) fn drain(&self, until: Instant) {
        let mut queue = self.shared.queue.lock();
        let wait = |queue: &mut MutexGuard<'_, Queue>, until, done: fn(&Queue) -> bool| {
            while !done(queue) && !self.shared.changed.wait_until(queue, until).timed_out() {}
        };
        wait(&mut queue, until, |queue| queue.items.is_empty());
        queue.phase = Phase::GivenUp;
        // Whether the attempt under way succeeds is known soon.
        wait(&mut queue, Instant::now() + LAST_ATTEMPT, |queue| {
            !queue.is_at_it
        });
        queue.bytes = 0;
        let left = std::mem::take(&mut queue.items);
        for item in &left {
            queue.missing.add(item);
        }
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close();
    }
}

/// Until when the sinks of a log that is closing may take what waits for them.
pub(super) fn last_chance() -> Instant {
    Instant::now() + LAST_CHANCE
}

impl Shared {
    fn deliver(&self, mut delivery: Delivery) {
        let mut failing = false;
        while let Some(item) = self.next() {
            match delivery.send(&item.line) {
                Ok(()) => {
                    failing = false;
                    self.done(&item, true);
                }
                // Too long for a datagram: no attempt will do.
                Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                    self.done(&item, false);
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "an audit sink does not take records; trying again");
                    }
                    failing = true;
                    self.queue.lock().is_at_it = false;
                    self.changed.notify_all();
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// The record to deliver next. It stays in the queue until it is; `None` when no more will come.
    fn next(&self) -> Option<Item> {
        let mut queue = self.queue.lock();
        loop {
            if queue.phase == Phase::GivenUp {
                return None;
            }
            if let Some(item) = queue.items.front().cloned() {
                queue.is_at_it = true;
                return Some(item);
            }
            if queue.phase == Phase::Closing {
                return None;
            }
            self.changed.wait(&mut queue);
        }
    }

    fn done(&self, item: &Item, delivered: bool) {
        let mut queue = self.queue.lock();
        queue.is_at_it = false;
        // A log that closes takes what it no longer waits for.
        if queue
            .items
            .front()
            .is_some_and(|front| front.seq == item.seq)
        {
            queue.items.pop_front();
            queue.bytes -= item.line.len();
            if !delivered {
                queue.missing.add(item);
            }
        }
        drop(queue);
        self.changed.notify_all();
    }
}

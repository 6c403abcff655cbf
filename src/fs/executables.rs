//! The hashes of executables, computed once for each state of a file.
//!
//! A thread of its own reads them, one after the other, so that no request waits for long: the first
//! one about an executable waits for [`PATIENCE`] and is decided without the hash then, the next finds
//! it.

use std::fmt::Write as _;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use lru::LruCache;
use parking_lot::{Condvar, Mutex};
use sha2::{Digest as _, Sha256};

use crate::sys::{self, Executable, FileState};

/// How long a request waits for a hash.
const PATIENCE: Duration = Duration::from_millis(200);
/// The largest executable in bytes that is read.
const LARGEST: u64 = 256 * 1024 * 1024;
/// How many hashes are kept.
const CAPACITY: NonZeroUsize = NonZeroUsize::new(1024).unwrap();
/// How many executables may wait to be read.
const WAITING: usize = 16;
/// Bytes read at once.
const CHUNK: usize = 1024 * 1024;

/// The hashes of executables.
pub(super) struct Executables {
    hashes: Arc<Hashes>,
    /// To the thread that reads, once there is one.
    jobs: Mutex<Option<SyncSender<Job>>>,
}

struct Hashes {
    known: Mutex<LruCache<FileState, Hash>>,
    changed: Condvar,
}

#[derive(Clone)]
enum Hash {
    /// Being computed, or about to be.
    Pending,
    /// SHA-256, in lower-case hexadecimal digits.
    Known(String),
}

struct Job {
    executable: Executable,
    state: FileState,
}

impl Executables {
    pub(super) fn new() -> Self {
        let hashes = Hashes {
            known: Mutex::new(LruCache::new(CAPACITY)),
            changed: Condvar::new(),
        };
        Self {
            hashes: Arc::new(hashes),
            jobs: Mutex::new(None),
        }
    }

    /// The SHA-256 of what the thread `pid` runs, in lower-case hexadecimal digits; `None` where it
    /// cannot be told: of what lies on no local filesystem, is larger than [`LARGEST`], or could not be
    /// read in time.
    pub(super) fn sha256(&self, pid: u32) -> Option<String> {
        let executable = sys::executable(pid)?;
        let state = executable.state().ok()?;
        if state.size > LARGEST {
            return None;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut known = self.hashes.known.lock();
        if !known.contains(&state) {
            known.put(state, Hash::Pending);
            if !self.give(Job { executable, state }) {
                known.pop(&state);
                return None;
            }
        }
        loop {
            match known.get(&state) {
                Some(Hash::Known(hash)) => return Some(hash.clone()),
                Some(Hash::Pending) => {}
                // It could not be read.
                None => return None,
            }
            let waited = self.hashes.changed.wait_until(&mut known, deadline);
            if waited.timed_out() {
                return None;
            }
        }
    }

    /// Hands `job` to the thread that reads, which is started with the first one; whether it takes it.
    fn give(&self, job: Job) -> bool {
        let mut jobs = self.jobs.lock();
        if jobs.is_none() {
            let (sender, receiver) = sync_channel(WAITING);
            let hashes = self.hashes.clone();
            // It ends when no more jobs can come.
            let spawned = std::thread::Builder::new()
                .name("kmsfs-hash".into())
                .spawn(move || read_all(&hashes, &receiver));
            match spawned {
                Ok(_) => *jobs = Some(sender),
                Err(error) => {
                    tracing::warn!(%error, "executables cannot be hashed");
                    return false;
                }
            }
        }
        jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok())
    }
}

fn read_all(hashes: &Hashes, jobs: &Receiver<Job>) {
    while let Ok(Job { executable, state }) = jobs.recv() {
        let hash = hash_of(&executable, state);
        let mut known = hashes.known.lock();
        match hash {
            Ok(Some(hash)) => {
                known.put(state, Hash::Known(hash));
            }
            Ok(None) => {
                known.pop(&state);
            }
            Err(error) => {
                tracing::debug!(%error, "an executable could not be read");
                known.pop(&state);
            }
        }
        hashes.changed.notify_all();
    }
}

/// The hash of a file that stayed in `state` all the while.
fn hash_of(executable: &Executable, state: FileState) -> io::Result<Option<String>> {
    let Some(file) = executable.open_local()? else {
        return Ok(None);
    };
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let read = sys::read_up_to(&file, &mut chunk, offset)?;
        if read == 0 {
            break;
        }
        hasher.update(&chunk[..read]);
        offset += read as u64;
        if offset > LARGEST {
            return Ok(None);
        }
    }
    if executable.state()? != state {
        return Ok(None);
    }
    let mut digits = String::new();
    for byte in hasher.finalize() {
        write!(digits, "{byte:02x}").expect("a string takes any text");
    }
    Ok(Some(digits))
}

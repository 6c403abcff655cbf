//! Tests of the log as its users see it: real files, a real Ed25519 key.

mod answers;
mod attacks;
mod crashes;
mod full_disk;
mod generations;
mod reading;
mod schema;
mod segments;
mod sinks;
mod writing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use parking_lot::Mutex;

use super::chain::{Link, Unsealed};
use super::*;

/// A key service as far as the audit log knows it: signs heads and passes each log the head of the
/// other.
pub(super) struct Signer {
    key: Ed25519KeyPair,
    heads: Mutex<BTreeMap<String, Head>>,
}

impl Signer {
    pub(super) fn new() -> Arc<Self> {
        let key = Ed25519KeyPair::generate().unwrap();
        Arc::new(Self {
            key,
            heads: Mutex::default(),
        })
    }
}

/// A key service that can be gone.
pub(super) struct Deaf {
    signer: Arc<Signer>,
    is_gone: AtomicBool,
}

impl Deaf {
    pub(super) fn new(signer: &Arc<Signer>) -> Self {
        Self {
            signer: signer.clone(),
            is_gone: false.into(),
        }
    }

    /// Has it go, or come back.
    pub(super) fn turn(&self, gone: bool) {
        self.is_gone.store(gone, Ordering::Relaxed);
    }
}

impl Anchor for Deaf {
    fn anchor(&self, log: &str, seq: u64, hash: &[u8; 32]) -> Result<Anchored, String> {
        if self.is_gone.load(Ordering::Relaxed) {
            return Err("the key service is gone".to_owned());
        }
        self.signer.anchor(log, seq, hash)
    }

    fn public_key(&self) -> [u8; 32] {
        self.signer.public_key()
    }
}

impl Anchor for Signer {
    fn anchor(&self, log: &str, seq: u64, hash: &[u8; 32]) -> Result<Anchored, String> {
        let mut heads = self.heads.lock();
        let head = Head {
            log: log.to_owned(),
            seq,
            hash: *hash,
        };
        heads.insert(log.to_owned(), head);
        let other = heads.values().find(|head| head.log != log).cloned();
        let signature = self
            .key
            .sign(&signed_message(log, seq, hash))
            .as_ref()
            .to_vec();
        Ok(Anchored { signature, other })
    }

    fn public_key(&self) -> [u8; 32] {
        self.key.public_key().as_ref().try_into().unwrap()
    }
}

pub(super) fn origin() -> Origin {
    Origin {
        source: Source::Kmsfs,
        region: "us-east-1".into(),
        account: "000000000000".into(),
    }
}

pub(super) fn alice() -> Identity<'static> {
    Identity::user("arn:aws:iam::000000000000:user/alice").ids(Some(1000), Some(100))
}

/// A directory with logs in it.
pub(super) struct Place {
    pub(super) directory: tempfile::TempDir,
    pub(super) signer: Arc<Signer>,
}

impl Place {
    pub(super) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            signer: Signer::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub(super) fn try_open(&self, name: &str) -> Result<Log, AuditError> {
        Log::open(self.path(), name, Durability::Balanced, self.signer.clone())
    }

    pub(super) fn open(&self, name: &str) -> Log {
        self.try_open(name).unwrap()
    }

    /// The lines of a log, without newlines.
    pub(super) fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.file(&format!("{name}.jsonl"))).unwrap();
        assert!(text.ends_with('\n'));
        text.lines().map(str::to_owned).collect()
    }

    pub(super) fn write_lines(&self, name: &str, lines: &[String]) {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        std::fs::write(self.file(&format!("{name}.jsonl")), text).unwrap();
    }

    /// Verifies an hour later, so that nothing passes for being young.
    pub(super) fn verify(&self) -> Report {
        let later = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1);
        super::verify::verify_at(self.path(), Some(&self.signer.public_key()), later).unwrap()
    }

    pub(super) fn verdict(&self, name: &str) -> Verdict {
        let report = self.verify();
        report
            .logs
            .into_iter()
            .find(|log| log.log == name)
            .unwrap()
            .verdict
    }

    /// Two closed logs of some twenty records, `kms` knowing the end of `volume-1`.
    pub(super) fn with_logs() -> Self {
        let place = Self::new();
        let (kms, volume) = (place.open("kms"), place.open("volume-1"));
        for round in 0..3 {
            open_files(&volume, 5);
            open_files(&kms, 5);
            if round < 2 {
                kms.checkpoint().unwrap();
                volume.checkpoint().unwrap();
            }
        }
        volume.close().unwrap();
        kms.close().unwrap();
        assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
        place
    }
}

pub(super) fn open_files(log: &Log, count: u64) {
    for number in 0..count {
        let path = format!("dir/file-{number}");
        let origin = origin();
        let event = Event::new(&origin, "Open", alice()).path(path.as_bytes());
        log.record(event.parameter("flags", number)).unwrap();
    }
}

/// Writes `lines` from index `from` on anew as a chain, as anybody can who knows the rule.
pub(super) fn rehash(name: &str, lines: &mut [String], from: usize) {
    let mut link = Link::genesis(name);
    for (index, line) in lines.iter_mut().enumerate() {
        if index < from {
            link = link.follow(line.as_bytes()).unwrap();
            continue;
        }
        let event = &line[..line.rfind(r#","seq":"#).unwrap()];
        let (next, sealed) = Unsealed::new(format!("{event}}}").into_bytes()).seal(link);
        *line = String::from_utf8(sealed).unwrap().trim_end().to_owned();
        link = next;
    }
}

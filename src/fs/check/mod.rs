//! Checking a volume: every structure and every block, without writing one byte to it.
//!
//! The check walks the backing directory as the kernel would through a mount, and judges with the
//! filesystem's own code: whatever a mount would refuse it finds, and nothing else. Data keys are
//! asked for in the name of whoever checks.

mod attributes;
mod control;
mod directory;
mod file;
mod finding;
mod pool;

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::audit::{self, Left};
use crate::format::{DIRECTORY_RECORD, DirectoryId, FileId, RawVolumeConfig};
use crate::keyring::Keyring;
use crate::sys;

use super::boundary::Boundaries;
use super::guard::Target;
use super::handle::Handles;
use super::inode::{Inode, InodeTable, join};
use super::journal::{self, Journal, Pending};
use super::mark::Mark;
use super::revocation::Reviews;
use super::settle::Settling;
use super::unsynced::Unsynced;
use super::volume::{guard, log_name};
use super::{Caller, FileSystem, FsError, LockedVolume, Options, Services, VolumeError};

pub use finding::{Checked, Class, Finding, Kind};

use directory::Listed;
use file::Blocks;
use pool::Pool;

/// How thorough a check is.
#[derive(Debug, Clone, Copy)]
pub struct CheckOptions {
    /// How many threads check.
    pub threads: NonZeroUsize,
    /// Whether every block is read; else headers, names, links and attributes only.
    pub blocks: bool,
    /// How many descriptors of inodes are kept.
    pub descriptors: NonZeroUsize,
}

/// Who watches a check. Called from all of its threads.
pub trait Watch: Sync {
    /// Something was found.
    fn found(&self, finding: Finding);
    /// So many more bytes are to be read.
    fn expect(&self, bytes: u64);
    /// So many more bytes were read.
    fn advance(&self, bytes: u64);
    /// Whether to stop.
    fn is_cancelled(&self) -> bool;
}

/// A volume about to be checked.
pub struct Check {
    filesystem: FileSystem,
    options: CheckOptions,
    unclean: bool,
    /// What the session that did not end cleanly had under way.
    under_way: Vec<Pending>,
    audit: PathBuf,
    audit_key: [u8; 32],
    caller: Caller,
}

impl LockedVolume {
    /// Opens the volume to check it. That is recorded.
    ///
    /// # Errors
    /// [`VolumeError`] when there is no key to check it with, or no audit log to record it in.
    pub fn open_to_check(
        self,
        config: RawVolumeConfig,
        services: Services,
        options: CheckOptions,
    ) -> Result<Check, VolumeError> {
        let path = self.backing.clone();
        let io = |source| VolumeError::Io {
            path: path.clone(),
            source,
        };
        let (config, keys) = self.authenticate(config, &services)?;
        let guard = guard(&config, &services)?;
        // A mark that cannot be read is one all the same.
        let left = Mark::read(&self.control);
        let unclean = !matches!(left, Ok(None));
        let session = left.ok().flatten().and_then(|left| left.mark.session);
        let under_way = match &session {
            Some(session) => journal::under_way(session).map_err(io)?,
            None => Vec::new(),
        };
        let root = self.root.try_clone().map_err(io)?;
        let filesystem = FileSystem {
            inodes: InodeTable::new(root, options.descriptors).map_err(io)?,
            files: Handles::new(),
            directories: Handles::new(),
            keyring: Keyring::new(services.keys, config.volume),
            guard,
            settling: Settling::new(unclean, None, services.mounter),
            unsynced: Unsynced::default(),
            boundaries: Boundaries::new(&config),
            volume: self,
            journal: Arc::new(Journal::volatile().map_err(io)?),
            config,
            keys,
            options: Options {
                read_only: true,
                access_times: false,
                strict_audit: false,
                descriptors: options.descriptors,
                offline_grace: Duration::ZERO,
            },
            cut_off: AtomicBool::new(false),
            reviews: Reviews::new(0),
        };
        let own = sys::own_identity();
        let check = Check {
            filesystem,
            options,
            unclean,
            under_way,
            audit: services.audit,
            audit_key: services.anchor.public_key(),
            caller: Caller {
                uid: own.uid,
                gid: own.gid,
                pid: std::process::id(),
            },
        };
        let begun = check.record("Check", None);
        begun.map_err(|source| VolumeError::Fs { path, source })?;
        Ok(check)
    }
}

impl Check {
    /// Whether the volume carries the mark of an end that was not clean.
    pub fn is_unclean(&self) -> bool {
        self.unclean
    }

    /// Checks everything, and records that it was done and what came of it.
    ///
    /// # Errors
    /// When the end of the check cannot be recorded.
    pub fn run(&self, watch: &dyn Watch) -> Result<Checked, FsError> {
        let counted = Counting::new(watch);
        let walk = Walk {
            check: self,
            fs: &self.filesystem,
            watch: &counted,
            recorded: self.recorded(&counted),
            seen: Mutex::default(),
            checked: Mutex::default(),
        };
        let root = self.filesystem.inodes.root().clone();
        Pool::run(
            self.options.threads,
            Job::Directory(root),
            |pool, job| match job {
                Job::Directory(inode) => walk.directory(pool, &inode),
                Job::Entries(entries) => walk.entries(pool, entries),
                Job::Blocks(blocks) => walk.blocks(blocks),
            },
        );
        walk.links();
        walk.control(counted.of(Class::NotChecked) == 0);
        let checked = walk.checked.into_inner();
        self.record("CheckFinished", Some((&counted, checked)))?;
        self.filesystem.guard.checkpoint()?;
        Ok(checked)
    }

    /// The states of files that the audit log vouches for: nothing, unless it is as it was written.
    fn recorded(&self, watch: &Counting<'_>) -> HashMap<String, Left> {
        let log = log_name(&self.filesystem.config.volume);
        let read = || {
            let report = audit::verify(&self.audit, Some(&self.audit_key))?;
            let own = report.logs.into_iter().find(|report| report.log == log);
            match own.as_ref().and_then(|report| report.verdict.finding()) {
                Some(finding) => Ok(Err(finding.reason.clone())),
                None => audit::generations(&self.audit, &log).map(Ok),
            }
        };
        let reason = match read() {
            Ok(Ok(generations)) => return generations,
            Ok(Err(reason)) => reason,
            Err(error) => error.to_string(),
        };
        watch.found(Finding {
            kind: Kind::AuditLog,
            path: None,
            backing: Vec::new(),
            file: None,
            message: format!(
                "the volume's audit log is not as it was written ({reason}), so files that were put \
                 back to an older state cannot be told; see `kmsfs audit verify`"
            ),
        });
        HashMap::new()
    }

    fn record(
        &self,
        name: &'static str,
        result: Option<(&Counting<'_>, Checked)>,
    ) -> Result<(), FsError> {
        let guard = &self.filesystem.guard;
        let who = guard.identify(self.caller)?;
        let target = Target::path(Vec::new());
        guard.attempt(name, &who, &target).record_use(|event| {
            let event = event.parameter("blocks", self.options.blocks);
            match result {
                None => event.parameter("unclean", self.unclean),
                Some((found, checked)) => event
                    .parameter("files", checked.files)
                    .parameter("directories", checked.directories)
                    .parameter("bytes", checked.bytes)
                    .parameter("damage", found.of(Class::Damage))
                    .parameter("notChecked", found.of(Class::NotChecked))
                    .parameter("notes", found.of(Class::Note))
                    .parameter("cancelled", found.is_cancelled()),
            }
            .read_only()
            .administration()
        })?;
        Ok(())
    }
}

/// Passes everything on to the watch, and counts what was found.
struct Counting<'a> {
    watch: &'a dyn Watch,
    found: [AtomicU64; 3],
}

impl<'a> Counting<'a> {
    fn new(watch: &'a dyn Watch) -> Self {
        let found = Default::default();
        Self { watch, found }
    }

    fn found(&self, finding: Finding) {
        self.found[finding.kind.class() as usize].fetch_add(1, Ordering::Relaxed);
        self.watch.found(finding);
    }

    fn of(&self, class: Class) -> u64 {
        self.found[class as usize].load(Ordering::Relaxed)
    }

    fn is_cancelled(&self) -> bool {
        self.watch.is_cancelled()
    }
}

/// One check under way.
struct Walk<'a> {
    check: &'a Check,
    fs: &'a FileSystem,
    watch: &'a Counting<'a>,
    recorded: HashMap<String, Left>,
    seen: Mutex<Seen>,
    checked: Mutex<Checked>,
}

enum Job {
    Directory(Arc<Inode>),
    Entries(Listed),
    Blocks(Blocks),
}

/// What was met so far, to tell what there must be once only.
#[derive(Default)]
struct Seen {
    /// Files with several names, by inode number.
    linked: HashMap<u64, Linked>,
    /// The path at which each file and directory was first met.
    files: HashMap<FileId, Vec<u8>>,
    directories: HashMap<DirectoryId, Vec<u8>>,
    /// Inode numbers of directories: a directory mounted inside itself has no end.
    entered: HashSet<u64>,
    /// Sidecars that links point to.
    targets: HashSet<String>,
}

struct Linked {
    inode: Arc<Inode>,
    /// By the backing filesystem's count.
    links: u64,
    /// In the volume.
    met: u64,
}

impl Walk<'_> {
    /// Something was found at `inode`.
    fn report(&self, kind: Kind, inode: &Inode, message: impl Into<String>) {
        self.watch.found(Finding {
            kind,
            path: inode.path(),
            backing: inode.backing_path(),
            file: *inode.file.lock(),
            message: message.into(),
        });
    }

    /// Something was found at the backing entry `entry` of `directory`; `name` stands for it in the
    /// plaintext path.
    fn report_entry(
        &self,
        kind: Kind,
        directory: &Inode,
        (name, entry): (&[u8], &[u8]),
        message: impl Into<String>,
    ) {
        self.watch.found(Finding {
            kind,
            path: directory.path().map(|path| join(&path, name)),
            backing: join(&directory.backing_path(), entry),
            file: None,
            message: message.into(),
        });
    }

    /// Something failed at `inode`: damage is what it is, anything else kept it from being checked.
    fn report_error(&self, damage: Kind, inode: &Inode, error: &FsError) {
        let (kind, message) = judge(damage, error);
        self.report(kind, inode, message);
    }

    /// Takes note that `inode` was met under `id`: whether that was the first time.
    fn is_first<I: std::hash::Hash + Eq>(
        &self,
        ids: impl FnOnce(&mut Seen) -> &mut HashMap<I, Vec<u8>>,
        id: I,
        inode: &Inode,
    ) -> bool {
        let path = inode.path().unwrap_or_default();
        let mut seen = self.seen.lock();
        let first = match ids(&mut seen).entry(id) {
            std::collections::hash_map::Entry::Occupied(known) => known.get().clone(),
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(path);
                return true;
            }
        };
        drop(seen);
        self.report(
            Kind::Duplicate,
            inode,
            format!(
                "it has the same identity as {}: one of them was copied inside the backing directory",
                shown(&first)
            ),
        );
        false
    }

    /// Tells files whose names are not all in the volume.
    fn links(&self) {
        if self.watch.is_cancelled() {
            return;
        }
        for linked in self.seen.lock().linked.values() {
            if linked.met < linked.links {
                self.report(
                    Kind::LinkedOutside,
                    &linked.inode,
                    format!(
                        "its backing file has {} names, {} of them in the volume: whoever has another \
                         one sees, and can make, its changes",
                        linked.links, linked.met
                    ),
                );
            }
        }
    }
}

/// What an error means for a check in which `damage` is what is looked for.
fn judge(damage: Kind, error: &FsError) -> (Kind, String) {
    match error {
        FsError::Integrity(found) => (damage, found.to_string()),
        FsError::Key(crate::keyring::KeyringError::NotThisFiles(_)) => {
            (Kind::WrappedKey, error.to_string())
        }
        FsError::Key(_) => (Kind::Key, error.to_string()),
        _ => (Kind::Unreadable, error.to_string()),
    }
}

/// A path in a message: safe to print.
fn shown(path: &[u8]) -> String {
    format!("/{}", super::guard::policy_path(path))
}

/// What a directory has of its own: its record.
const RECORD: &[u8] = DIRECTORY_RECORD.as_bytes();

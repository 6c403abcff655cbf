//! Power is lost at any point, and with it any part of what was not synced. The next mount finds what
//! was, whatever else it finds authenticates, and the mount after it finds the same.

use crate::fs::Writer;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rustix::io::Errno;

use crate::format::{BLOCK_LEN, BlockIndex, SEALED_BLOCK_LEN};
use crate::fs::{
    Allocation, BoundaryRequest, Change, FileSystem, HandleId, Ino, OpenFlags, RenameMode,
};
use crate::sys::seam::watch;

use super::disk::{Disk, Event, Number, Recorder};
use super::operations::{LONG, pattern};
use super::snapshot::{Content, Shown, Snapshot, snapshot};
use super::world::{CALLER, TestVolume, World, resolve};

/// Seeds tried at each point; more of them with `POWER_SEEDS`.
const SEEDS: u64 = 3;

/// What a file held from some event on.
struct Version {
    since: usize,
    content: Vec<u8>,
    /// From which event on it was synced.
    synced: Option<usize>,
}

/// A name that a file had from some event on.
struct Name {
    since: usize,
    path: Vec<u8>,
    /// From which event on its directory was synced.
    synced: Option<usize>,
}

/// A file; the path of its last name is empty when it was replaced.
struct File {
    number: Number,
    handle: HandleId,
    versions: Vec<Version>,
    names: Vec<Name>,
}

/// A mounted volume that is recorded.
pub(super) struct Stage {
    fs: FileSystem,
    recorder: Rc<RefCell<Recorder>>,
    before: Disk,
    files: Vec<File>,
}

impl Stage {
    pub(super) fn new(volume: &TestVolume<'_>) -> Self {
        let fs = volume.mount();
        Self {
            fs,
            recorder: Rc::default(),
            before: Disk::load(&volume.backing),
            files: Vec::new(),
        }
    }

    pub(super) fn now(&self) -> usize {
        self.recorder.borrow().events.len()
    }

    pub(super) fn record<T>(&self, act: impl FnOnce(&FileSystem) -> T) -> T {
        watch(self.recorder.clone(), || act(&self.fs))
    }

    /// Makes a file at `path`; its number among the files.
    pub(super) fn create(&mut self, path: &[&[u8]]) -> usize {
        let since = self.now();
        let (name, above) = path.split_last().unwrap();
        let parent = resolve(&self.fs, above).unwrap().ino;
        let created = self.record(|fs| fs.create(CALLER, parent, name, 0o600, 0));
        let (attr, handle) = created.unwrap();
        self.files.push(File {
            number: attr.ino.0,
            handle,
            versions: vec![Version {
                since,
                content: Vec::new(),
                synced: None,
            }],
            names: vec![Name {
                since,
                path: joined(path),
                synced: None,
            }],
        });
        self.files.len() - 1
    }

    pub(super) fn change(
        &mut self,
        file: usize,
        act: impl FnOnce(&FileSystem, HandleId, &mut Vec<u8>),
    ) {
        let since = self.now();
        let known = &self.files[file];
        let mut content = known.versions.last().unwrap().content.clone();
        self.record(|fs| act(fs, known.handle, &mut content));
        self.files[file].versions.push(Version {
            since,
            content,
            synced: None,
        });
    }

    pub(super) fn write(&mut self, file: usize, offset: usize, data: &[u8]) {
        self.change(file, |fs, handle, content| {
            let _set_ids = fs
                .write(handle, offset as u64, data, Writer::Cache)
                .unwrap();
            content.resize(content.len().max(offset + data.len()), 0);
            content[offset..offset + data.len()].copy_from_slice(data);
        });
    }

    pub(super) fn set_length(&mut self, file: usize, length: usize) {
        let ino = Ino(self.files[file].number);
        self.change(file, |fs, _, content| {
            let change = Change {
                size: Some(length as u64),
                ..Change::default()
            };
            fs.set_attr(CALLER, ino, &change).unwrap();
            content.resize(length, 0);
        });
    }

    pub(super) fn punch(&mut self, file: usize, start: usize, end: usize) {
        self.change(file, |fs, handle, content| {
            let range = start as u64..end as u64;
            let _set_ids = fs
                .allocate(CALLER, handle, range, Allocation::Punch)
                .unwrap();
            content[start..end].fill(0);
        });
    }

    pub(super) fn fsync(&mut self, file: usize) {
        let handle = self.files[file].handle;
        self.record(|fs| fs.fsync(handle)).unwrap();
        let now = self.now();
        self.files[file].versions.last_mut().unwrap().synced = Some(now);
    }

    /// Closes a file and opens it again.
    pub(super) fn reopen(&mut self, file: usize) {
        let known = &self.files[file];
        let handle = self.record(|fs| {
            fs.close(known.handle).unwrap();
            let flags = OpenFlags::READ | OpenFlags::WRITE;
            fs.open(CALLER, Ino(known.number), flags).unwrap().handle
        });
        self.files[file].handle = handle;
    }

    /// Syncs a directory, and with it the names of the files in it.
    pub(super) fn sync_directory(&mut self, path: &[&[u8]]) {
        let directory = resolve(&self.fs, path).unwrap().ino;
        self.record(|fs| {
            let handle = fs.open_directory(CALLER, directory).unwrap();
            fs.fsync_directory(handle).unwrap();
            fs.close_directory(handle).unwrap();
        });
        let now = self.now();
        let below = joined(path);
        for name in self
            .files
            .iter_mut()
            .filter_map(|file| file.names.last_mut())
        {
            if parent_of(&name.path) == Some(&below[..]) {
                name.synced.get_or_insert(now);
            }
        }
    }

    pub(super) fn rename(&mut self, file: usize, from: &[&[u8]], to: &[&[u8]]) {
        let since = self.now();
        let (name, above) = from.split_last().unwrap();
        let (new_name, new_above) = to.split_last().unwrap();
        let parent = resolve(&self.fs, above).unwrap().ino;
        let new_parent = resolve(&self.fs, new_above).unwrap().ino;
        self.record(|fs| {
            let (from, to) = ((parent, *name), (new_parent, *new_name));
            fs.rename(CALLER, from, to, RenameMode::Replace)
        })
        .unwrap();
        let to = joined(to);
        for replaced in &mut self.files {
            if replaced.names.last().is_some_and(|name| name.path == to) {
                replaced.names.push(Name {
                    since,
                    path: Vec::new(),
                    synced: None,
                });
            }
        }
        self.files[file].names.push(Name {
            since,
            path: to,
            synced: None,
        });
    }

    /// What was recorded.
    pub(super) fn finish(self) -> Recorded {
        let Self {
            fs,
            recorder,
            before,
            files,
        } = self;
        drop(fs);
        let events = std::mem::take(&mut recorder.borrow_mut().events);
        Recorded {
            before,
            events,
            files,
        }
    }
}

fn joined(path: &[&[u8]]) -> Vec<u8> {
    path.iter()
        .flat_map(|name| [b"/", *name].concat())
        .collect()
}

fn parent_of(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|&byte| byte == b'/')?;
    Some(&path[..slash])
}

pub(super) struct Recorded {
    pub(super) before: Disk,
    pub(super) events: Vec<Event>,
    files: Vec<File>,
}

impl Recorded {
    /// What is wrong with what a mount shows after power was lost behind the first `until` events.
    fn wrong(&self, until: usize, shown: &Snapshot) -> Option<String> {
        for file in &self.files {
            let synced = file
                .names
                .iter()
                .rposition(|n| n.synced.is_some_and(|at| at <= until));
            let has_content = file
                .versions
                .iter()
                .any(|v| v.synced.is_some_and(|at| at <= until));
            let (Some(synced), true) = (synced, has_content) else {
                continue;
            };
            let names = file.names[synced..]
                .iter()
                .filter(|name| name.since < until);
            if names.clone().any(|name| name.path.is_empty()) {
                continue;
            }
            let mut reasons = Vec::new();
            let found = names
                .map(|name| &name.path)
                .any(|path| match shown.get(path) {
                    Some(shown) => match self.differs(file, until, shown) {
                        None => true,
                        Some(reason) => {
                            reasons.push(reason);
                            false
                        }
                    },
                    None => false,
                });
            if !found {
                let path = String::from_utf8_lossy(&file.names[synced].path).into_owned();
                return Some(format!("{path} is lost: {reasons:?}"));
            }
        }
        for (path, shown) in shown {
            let mut may_be = self.files.iter().filter(|file| {
                file.names
                    .iter()
                    .any(|name| name.path == *path && name.since < until)
            });
            let is_one = may_be.any(|file| self.differs(file, until, shown).is_none());
            if matches!(shown.content, Content::Blocks(_) | Content::Refused(_)) && !is_one {
                let path = String::from_utf8_lossy(path);
                return Some(format!("{path} is what it never was: {shown:?}"));
            }
        }
        None
    }

    /// In what `shown` differs from all that `file` may be: every block is one of the last synced
    /// version or of one after it, and only one that was changed since may be lost.
    fn differs(&self, file: &File, until: usize, shown: &Shown) -> Option<String> {
        let synced = file
            .versions
            .iter()
            .rposition(|v| v.synced.is_some_and(|at| at <= until));
        let since = synced.map_or(0, |synced| file.versions[synced].synced.unwrap());
        let versions: Vec<&[u8]> = file.versions[synced.unwrap_or(0)..]
            .iter()
            .filter(|version| version.since < until)
            .map(|version| &version.content[..])
            .collect();
        let blocks = match &shown.content {
            Content::Blocks(blocks) => blocks,
            // Without a header on disk there is no key, and so nothing.
            Content::Refused(Errno::IO) if synced.is_none() => return None,
            other => return Some(format!("{other:?}")),
        };
        let lengths = || versions.iter().map(|version| version.len() as u64);
        let least = lengths().min().unwrap();
        let most = lengths().max().unwrap();
        if !(least..=most).contains(&shown.size) {
            return Some(format!("{} bytes, not {least} to {most}", shown.size));
        }
        for (number, block) in blocks.iter().enumerate() {
            let start = BlockIndex(number as u64).backing_offset().0;
            let end = start + SEALED_BLOCK_LEN as u64;
            let touched = self.events[since..until]
                .iter()
                .any(|event| event.touches(file.number, start, end));
            // A header that says "synced" may reach the disk before what it says it of.
            let claimed = self.events[since..until].iter().any(|event| {
                matches!(event, Event::Write(at, 0 | 2048, copy)
                    if *at == file.number && copy[10] & 1 != 0)
            });
            let part = |version: &[u8]| {
                let start = version.len().min(number * BLOCK_LEN);
                version[start..version.len().min(start + BLOCK_LEN)].to_vec()
            };
            let agrees = match block {
                Err(_) => touched && (synced.is_some() || claimed),
                Ok(block) => {
                    versions.iter().any(|version| {
                        let part = part(version);
                        let mut longer = part.clone();
                        longer.resize(block.len(), 0);
                        *block == part || touched && *block == longer
                    }) || block.iter().all(|&byte| byte == 0) && shown.size > least
                }
            };
            if !agrees {
                return Some(format!("block {number} is {block:?}"));
            }
        }
        None
    }

    /// Loses power behind the first `until` events, and mounts what is then on the disk.
    fn lose_power(&self, volume: &TestVolume<'_>, until: usize, ordered: bool, seed: u64) {
        let mut random = ChaCha20Rng::seed_from_u64(seed << 32 | until as u64);
        let mut disk = self
            .before
            .after_power_loss(&self.events[..until], ordered, &mut random);
        let context = format!("event {until} of {}, seed {seed}", self.events.len());
        let shown = mount_twice(volume, &mut disk, &context);
        if let Some(wrong) = self.wrong(until, &shown) {
            let last: Vec<String> = self.events[until.saturating_sub(6)..until]
                .iter()
                .map(|event| format!("{event:?}").chars().take(90).collect())
                .collect();
            panic!("{context}: {wrong}; the last events: {last:#?}");
        }
    }
}

/// Mounts `disk` as it is after a power loss, and once more: what the first mount shows.
pub(super) fn mount_twice(volume: &TestVolume<'_>, disk: &mut Disk, context: &str) -> Snapshot {
    let backing = volume.backing.with_extension("lost");
    // The mark of another start of the machine.
    let mark = disk.control_file("unclean");
    let session = mark[..32].to_vec();
    *mark = [&session[..], b" another-boot"].concat();
    disk.store(&backing);
    // The clock of a filesystem goes by ticks: the files are older than the next mark.
    std::thread::sleep(Duration::from_millis(5));
    let fs = volume.mount_at(&backing);
    let shown = snapshot(&fs);
    fs.sweep(|| true).unwrap();
    fs.unmount().unwrap();
    let fs = volume.mount_at(&backing);
    assert!(
        !fs.needs_sweep(),
        "{context}: nothing is left to be settled"
    );
    assert_eq!(
        snapshot(&fs),
        shown,
        "{context}: a second mount is as the first"
    );
    fs.unmount().unwrap();
    std::fs::remove_dir_all(&backing).unwrap();
    shown
}

/// Everything that a file goes through. Where names come in any order, no long ones: the removal of a
/// name file must not overtake the renaming that made it useless.
fn perform(stage: &mut Stage, ordered: bool) {
    let (long, longest): (&[u8], &[u8]) = if ordered {
        (&LONG[..200], LONG)
    } else {
        (b"one", b"two")
    };
    let file = stage.create(&[b"file"]);
    stage.write(file, 0, &pattern(0, 10_000));
    stage.fsync(file);
    stage.sync_directory(&[]);
    stage.write(file, 10_000, &pattern(3, 9000));
    stage.fsync(file);
    stage.write(file, 5000, &pattern(6, 6000));
    stage.fsync(file);
    stage.write(file, 4096, &pattern(7, 4096));
    stage.reopen(file);
    stage.set_length(file, 40_000);
    stage.write(file, 33_000, &pattern(9, 100));
    stage.fsync(file);
    stage.punch(file, 4000, 12_500);
    stage.write(file, 8192, &pattern(11, 100));
    stage.reopen(file);
    stage.set_length(file, 9000);
    stage.fsync(file);
    stage.set_length(file, 100);
    stage.write(file, 100, &pattern(13, 200));
    stage.set_length(file, 0);
    stage.write(file, 0, &pattern(14, 5000));
    stage.fsync(file);

    let other = stage.create(&[longest]);
    stage.write(other, 0, &pattern(20, 4096));
    stage.fsync(other);
    stage.sync_directory(&[]);
    stage.rename(file, &[b"file"], &[long]);
    stage.sync_directory(&[]);
    stage.rename(file, &[long], &[longest]);
    stage.sync_directory(&[]);

    let root = Ino::ROOT;
    stage
        .record(|fs| fs.make_directory(CALLER, root, b"dir", 0o700, 0))
        .unwrap();
    if !ordered {
        stage.sync_directory(&[]);
        stage.sync_directory(&[b"dir"]);
    }
    let below = stage.create(&[b"dir", b"below"]);
    stage.write(below, 0, &pattern(30, 5000));
    stage.rename(file, &[longest], &[b"dir", b"moved"]);
    stage.fsync(below);
    stage.sync_directory(&[b"dir"]);
    stage.sync_directory(&[]);

    let request = BoundaryRequest {
        label: Some("label".into()),
        key: None,
    };
    stage
        .record(|fs| {
            let made = fs.make_directory(CALLER, root, b"boundary", 0o700, 0)?;
            fs.set_boundary(CALLER, made.ino, &request)
        })
        .unwrap();
    let inside = stage.create(&[b"boundary", b"inside"]);
    stage.write(inside, 0, &pattern(50, 5000));
    stage.fsync(inside);
    stage.sync_directory(&[b"boundary"]);
    stage.sync_directory(&[]);

    let never = stage.create(&[b"never synced"]);
    stage.write(never, 0, &pattern(40, 20_000));
    stage.reopen(never);
    stage.write(never, 30_000, &pattern(41, 20_000));
    stage.reopen(never);
}

fn lose_power_everywhere(ordered: bool) {
    let world = World::new();
    let volume = world.volume("volume");
    let mut stage = Stage::new(&volume);
    perform(&mut stage, ordered);
    let recorded = stage.finish();
    let seeds = std::env::var("POWER_SEEDS").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    for until in 0..=recorded.events.len() {
        for seed in 0..seeds {
            recorded.lose_power(&volume, until, ordered, seed);
        }
    }
}

#[test]
fn what_was_synced_survives_a_power_loss_at_any_point_on_a_journalling_filesystem() {
    lose_power_everywhere(true);
}

#[test]
fn what_was_synced_survives_a_power_loss_that_keeps_any_subset_of_what_was_not() {
    lose_power_everywhere(false);
}

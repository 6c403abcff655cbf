//! A disk that loses power: what the filesystem did to the backing directory is recorded, and any part
//! of it that was not synced may be missing afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand_chacha::rand_core::Rng;
use rustix::fs::RenameFlags;
use rustix::io::Errno;

use crate::sys::Allocate;
use crate::sys::seam::{Call, Watch};

/// A node's inode number while it was recorded.
pub(super) type Number = u64;

/// What a disk writes at once.
const SECTOR: usize = 512;

/// A change, or what makes changes durable.
#[derive(Debug, Clone)]
pub(super) enum Event {
    Write(Number, u64, Vec<u8>),
    Truncate(Number, u64),
    Punch(Number, u64, u64),
    Make(Number, String, Number, Node),
    Link(Number, Number, String),
    Remove(Number, String),
    Rename((Number, String), (Number, String), bool),
    /// It is on its way to the disk, before any name that is changed later.
    StartSync(Number),
    SyncData(Number),
    SyncDirectory(Number),
}

impl Event {
    /// The file whose content it changes.
    fn content_of(&self) -> Option<Number> {
        match self {
            Self::Write(file, ..) | Self::Truncate(file, _) | Self::Punch(file, ..) => Some(*file),
            _ => None,
        }
    }

    /// The directories whose entries it changes.
    fn names_of(&self) -> Vec<Number> {
        match self {
            Self::Make(parent, ..) | Self::Link(_, parent, _) | Self::Remove(parent, _) => {
                vec![*parent]
            }
            Self::Rename(from, to, _) => vec![from.0, to.0],
            _ => Vec::new(),
        }
    }

    /// Whether it touches the bytes `start..end` of a file.
    pub(super) fn touches(&self, file: Number, start: u64, end: u64) -> bool {
        match self {
            Self::Write(at, offset, bytes) => {
                *at == file && *offset < end && start < offset + bytes.len() as u64
            }
            Self::Truncate(at, length) => *at == file && *length < end,
            Self::Punch(at, offset, length) => {
                *at == file && *offset < end && start < offset + length
            }
            _ => false,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(Vec<u8>),
    Directory(BTreeMap<String, Number>),
    Link(PathBuf),
}

/// Records what a thread does to the backing directory.
#[derive(Default)]
pub(super) struct Recorder {
    pub(super) events: Vec<Event>,
}

impl Watch for Recorder {
    fn before(&mut self, _: &Call<'_>) -> Result<(), Errno> {
        Ok(())
    }

    fn after(&mut self, call: &Call<'_>) {
        let event = match *call {
            Call::Write {
                file,
                offset,
                bytes,
            } => Event::Write(number(file), offset, bytes.to_vec()),
            Call::Truncate { file, length } => Event::Truncate(number(file), length),
            Call::Allocate {
                file,
                what: Allocate::PunchHole,
                offset,
                length,
            } => Event::Punch(number(file), offset, length),
            Call::SyncData(file) => Event::SyncData(number(file)),
            Call::StartSync(file) => Event::StartSync(number(file)),
            Call::SyncDirectory(directory) => Event::SyncDirectory(number(directory)),
            Call::Make { parent, name } => {
                let path = path_of(parent).join(name);
                let metadata = path.symlink_metadata().unwrap();
                let node = if metadata.is_dir() {
                    Node::Directory(BTreeMap::new())
                } else if metadata.is_symlink() {
                    Node::Link(fs::read_link(path).unwrap())
                } else {
                    Node::File(Vec::new())
                };
                Event::Make(number(parent), name.to_owned(), metadata.ino(), node)
            }
            Call::Link { node, parent, name } => {
                Event::Link(number(node), number(parent), name.to_owned())
            }
            Call::Remove { parent, name } => Event::Remove(number(parent), name.to_owned()),
            Call::Rename {
                from,
                name,
                to,
                new_name,
                flags,
            } => Event::Rename(
                (number(from), name.to_owned()),
                (number(to), new_name.to_owned()),
                flags.contains(RenameFlags::EXCHANGE),
            ),
            Call::Look(_)
            | Call::Read
            | Call::Attributes(_)
            | Call::Allocate { .. }
            | Call::SyncFilesystem => return,
        };
        self.events.push(event);
    }
}

fn number(fd: BorrowedFd<'_>) -> Number {
    rustix::fs::fstat(fd).unwrap().st_ino
}

fn path_of(fd: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// What is on the disk.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    root: Number,
    nodes: BTreeMap<Number, Node>,
}

impl Disk {
    pub(super) fn load(directory: &Path) -> Self {
        let mut nodes = BTreeMap::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            let mut entries = BTreeMap::new();
            for entry in fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                let metadata = path.symlink_metadata().unwrap();
                let name = path.file_name().unwrap().to_str().unwrap();
                entries.insert(name.to_owned(), metadata.ino());
                if metadata.is_dir() {
                    directories.push(path);
                } else if metadata.is_symlink() {
                    nodes.insert(metadata.ino(), Node::Link(fs::read_link(path).unwrap()));
                } else {
                    nodes.insert(metadata.ino(), Node::File(fs::read(path).unwrap()));
                }
            }
            let number = directory.metadata().unwrap().ino();
            nodes.insert(number, Node::Directory(entries));
        }
        let root = directory.metadata().unwrap().ino();
        Self { root, nodes }
    }

    /// Puts what is on the disk into the new directory `directory`.
    pub(super) fn store(&self, directory: &Path) {
        let mut stored = BTreeMap::new();
        self.store_below(self.root, directory, &mut stored);
    }

    fn store_below(&self, number: Number, path: &Path, stored: &mut BTreeMap<Number, PathBuf>) {
        match &self.nodes[&number] {
            Node::File(bytes) => {
                if let Some(first) = stored.get(&number) {
                    fs::hard_link(first, path).unwrap();
                    return;
                }
                fs::write(path, bytes).unwrap();
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
                stored.insert(number, path.to_owned());
            }
            Node::Link(target) => std::os::unix::fs::symlink(target, path).unwrap(),
            Node::Directory(entries) => {
                // A cycle of renames that persisted in part cannot be: it would have no way in.
                fs::create_dir(path).unwrap();
                for (name, number) in entries {
                    self.store_below(*number, &path.join(name), stored);
                }
            }
        }
    }

    fn entries(&mut self, directory: Number) -> Option<&mut BTreeMap<String, Number>> {
        match self.nodes.get_mut(&directory) {
            Some(Node::Directory(entries)) => Some(entries),
            _ => None,
        }
    }

    fn file(&mut self, file: Number) -> Option<&mut Vec<u8>> {
        match self.nodes.get_mut(&file) {
            Some(Node::File(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// Does what `event` says, as far as what came before it is there.
    pub(super) fn apply(&mut self, event: &Event) {
        match event {
            Event::Write(file, offset, data) => self.write(*file, *offset, data, |_| true),
            Event::Truncate(file, length) => {
                if let Some(bytes) = self.file(*file) {
                    bytes.resize(*length as usize, 0);
                }
            }
            Event::Punch(file, offset, length) => {
                if let Some(bytes) = self.file(*file) {
                    let end = bytes.len().min((offset + length) as usize);
                    let start = end.min(*offset as usize);
                    bytes[start..end].fill(0);
                }
            }
            Event::Make(parent, name, number, node) => {
                let Some(entries) = self.entries(*parent) else {
                    return;
                };
                if !entries.contains_key(name) {
                    entries.insert(name.clone(), *number);
                    self.nodes.entry(*number).or_insert_with(|| node.clone());
                }
            }
            Event::Link(number, parent, name) => {
                if self.nodes.contains_key(number)
                    && let Some(entries) = self.entries(*parent)
                {
                    entries.entry(name.clone()).or_insert(*number);
                }
            }
            Event::Remove(parent, name) => {
                if let Some(entries) = self.entries(*parent) {
                    entries.remove(name);
                }
            }
            Event::Rename(from, to, exchange) => {
                if self.entries(to.0).is_none() {
                    return;
                }
                let Some(moved) = self.entries(from.0).and_then(|e| e.remove(&from.1)) else {
                    return;
                };
                let replaced = self.entries(to.0).unwrap().insert(to.1.clone(), moved);
                if let (Some(replaced), true) = (replaced, exchange) {
                    self.entries(from.0)
                        .unwrap()
                        .insert(from.1.clone(), replaced);
                }
            }
            Event::StartSync(_) | Event::SyncData(_) | Event::SyncDirectory(_) => {}
        }
    }

    /// Writes the sectors of `data` that `persists` chooses.
    fn write(
        &mut self,
        file: Number,
        offset: u64,
        data: &[u8],
        mut persists: impl FnMut(usize) -> bool,
    ) {
        let Some(bytes) = self.file(file) else { return };
        let mut done = 0;
        while done < data.len() {
            let start = offset as usize + done;
            let end = (start / SECTOR + 1) * SECTOR;
            let len = (end - start).min(data.len() - done);
            if persists(start / SECTOR) {
                bytes.resize(bytes.len().max(start + len), 0);
                bytes[start..start + len].copy_from_slice(&data[done..done + len]);
            }
            done += len;
        }
    }

    /// The disk after the first of `events`, of which the syncs made some durable; of the others any
    /// part is there. If `ordered`, names are there in the order in which they were made, and the sync of
    /// a directory makes all before it durable: so do filesystems with a journal or copy-on-write.
    pub(super) fn after_power_loss(
        &self,
        events: &[Event],
        ordered: bool,
        random: &mut impl Rng,
    ) -> Self {
        let synced = events
            .iter()
            .rposition(|event| matches!(event, Event::SyncDirectory(_)))
            .unwrap_or(0);
        let names_until = synced + random.next_u32() as usize % (events.len() + 1 - synced);
        let durable = durable(events, if ordered { names_until } else { 0 });
        let mut disk = self.clone();
        for (number, event) in events.iter().enumerate() {
            if durable.contains(&number) {
                disk.apply(event);
            } else if event.content_of().is_none() {
                if if ordered {
                    number < names_until
                } else {
                    random.next_u32().is_multiple_of(2)
                } {
                    disk.apply(event);
                }
            } else {
                match (random.next_u32() % 4, event) {
                    (0, Event::Write(file, offset, data)) => {
                        let chosen = random.next_u64();
                        if chosen.is_multiple_of(3) {
                            // The size is there before what it is the size of.
                            let end = *offset as usize + data.len();
                            if let Some(bytes) = disk.file(*file) {
                                bytes.resize(bytes.len().max(end), 0);
                            }
                        }
                        disk.write(*file, *offset, data, |sector| {
                            chosen >> (sector % 60) & 1 == 0
                        });
                    }
                    (0 | 1, _) => {}
                    _ => disk.apply(event),
                }
            }
        }
        disk
    }

    /// The bytes of a control file.
    pub(super) fn control_file(&mut self, name: &str) -> &mut Vec<u8> {
        let root = self.root;
        let control = self.entries(root).unwrap()[".kmsfs"];
        let file = self.entries(control).unwrap()[name];
        self.file(file).unwrap()
    }
}

/// Which of `events` are on disk for certain, when the names are there as of event `names_until`.
fn durable(events: &[Event], names_until: usize) -> BTreeSet<usize> {
    let mut durable = BTreeSet::new();
    for (number, sync) in events.iter().enumerate() {
        let before = events[..number].iter().enumerate();
        match sync {
            Event::StartSync(_) if number >= names_until => {}
            Event::SyncData(file) | Event::StartSync(file) => {
                let changed = before.filter(|(_, event)| event.content_of() == Some(*file));
                durable.extend(changed.map(|(number, _)| number));
            }
            Event::SyncDirectory(directory) => {
                let changed = before.filter(|(_, event)| event.names_of().contains(directory));
                durable.extend(changed.map(|(number, _)| number));
            }
            _ => {}
        }
    }
    durable
}

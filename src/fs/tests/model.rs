//! What a filesystem is, in memory: names, nodes, and the errors that `rename(2)` and the others have.

use std::collections::{BTreeMap, BTreeSet};

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::fs::{RenameMode, XattrCreate};

pub(super) type Id = usize;
pub(super) const ROOT: Id = 0;

/// A name in a directory.
pub(super) type At<'a> = (Id, &'a [u8]);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, Id>),
    Link(Vec<u8>),
    Fifo,
    Whiteout,
}

#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) kind: Kind,
    pub(super) mode: u32,
    /// Names of what is no directory.
    pub(super) names: u32,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    /// The time of modification, while it is one that was set.
    pub(super) modified: Option<i64>,
}

#[derive(Debug, Clone)]
pub(super) struct Model {
    nodes: Vec<Node>,
}

impl Model {
    pub(super) fn new(root_mode: u32) -> Self {
        let mut model = Self { nodes: Vec::new() };
        model.add(Kind::Directory(BTreeMap::new()), root_mode);
        model
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id]
    }

    pub(super) fn entries(&self, id: Id) -> &BTreeMap<Vec<u8>, Id> {
        match &self.nodes[id].kind {
            Kind::Directory(entries) => entries,
            other => panic!("no directory: {other:?}"),
        }
    }

    pub(super) fn content(&mut self, id: Id) -> &mut Vec<u8> {
        let node = &mut self.nodes[id];
        node.modified = None;
        match &mut node.kind {
            Kind::File(content) => content,
            other => panic!("no file: {other:?}"),
        }
    }

    pub(super) fn file_type(&self, id: Id) -> FileType {
        match self.nodes[id].kind {
            Kind::File(_) => FileType::RegularFile,
            Kind::Directory(_) => FileType::Directory,
            Kind::Link(_) => FileType::Symlink,
            Kind::Fifo => FileType::Fifo,
            Kind::Whiteout => FileType::CharacterDevice,
        }
    }

    pub(super) fn is_directory(&self, id: Id) -> bool {
        self.file_type(id) == FileType::Directory
    }

    pub(super) fn links(&self, id: Id) -> u32 {
        match &self.nodes[id].kind {
            Kind::Directory(entries) => {
                let below = entries.values().filter(|&&id| self.is_directory(id));
                2 + u32::try_from(below.count()).unwrap()
            }
            _ => self.nodes[id].names,
        }
    }

    /// Every directory that has a path, the root first.
    pub(super) fn directories(&self) -> Vec<Id> {
        let mut found = vec![ROOT];
        let mut next = 0;
        while let Some(&directory) = found.get(next) {
            let below = self.entries(directory).values().copied();
            found.extend(below.filter(|&id| self.is_directory(id)));
            next += 1;
        }
        found
    }

    /// A path from the root to `id`.
    pub(super) fn path(&self, id: Id) -> Option<Vec<Vec<u8>>> {
        if id == ROOT {
            return Some(Vec::new());
        }
        self.directories().into_iter().find_map(|directory| {
            let (name, _) = self.entries(directory).iter().find(|(_, at)| **at == id)?;
            let mut path = self.path(directory)?;
            path.push(name.clone());
            Some(path)
        })
    }

    /// Whether `directory` is `other` or above it.
    fn is_above(&self, directory: Id, other: Id) -> bool {
        directory == other
            || self.is_directory(directory)
                && self
                    .entries(directory)
                    .values()
                    .any(|&below| self.is_directory(below) && self.is_above(below, other))
    }

    pub(super) fn get(&self, at: At<'_>) -> Result<Id, Errno> {
        self.entries(at.0).get(at.1).copied().ok_or(Errno::NOENT)
    }

    fn add(&mut self, kind: Kind, mode: u32) -> Id {
        self.nodes.push(Node {
            kind,
            mode,
            names: 0,
            xattrs: BTreeMap::new(),
            modified: None,
        });
        self.nodes.len() - 1
    }

    fn put(&mut self, at: At<'_>, id: Id) {
        self.nodes[id].names += 1;
        let Kind::Directory(entries) = &mut self.nodes[at.0].kind else {
            panic!("no directory")
        };
        assert!(entries.insert(at.1.to_vec(), id).is_none());
    }

    fn take(&mut self, at: At<'_>) -> Id {
        let Kind::Directory(entries) = &mut self.nodes[at.0].kind else {
            panic!("no directory")
        };
        let id = entries.remove(at.1).expect("it has this name");
        self.nodes[id].names -= 1;
        id
    }

    pub(super) fn make(&mut self, at: At<'_>, kind: Kind, mode: u32) -> Result<Id, Errno> {
        if self.get(at).is_ok() {
            return Err(Errno::EXIST);
        }
        let id = self.add(kind, mode);
        self.put(at, id);
        Ok(id)
    }

    pub(super) fn link(&mut self, id: Id, at: At<'_>) -> Result<(), Errno> {
        if self.get(at).is_ok() {
            return Err(Errno::EXIST);
        }
        self.put(at, id);
        Ok(())
    }

    pub(super) fn unlink(&mut self, at: At<'_>) -> Result<(), Errno> {
        let id = self.get(at)?;
        if self.is_directory(id) {
            return Err(Errno::ISDIR);
        }
        self.take(at);
        Ok(())
    }

    pub(super) fn remove_directory(&mut self, at: At<'_>) -> Result<(), Errno> {
        let id = self.get(at)?;
        if !self.is_directory(id) {
            return Err(Errno::NOTDIR);
        }
        if !self.entries(id).is_empty() {
            return Err(Errno::NOTEMPTY);
        }
        self.take(at);
        Ok(())
    }

    /// Whether the kernel refuses this rename before it asks the filesystem: into or out of itself.
    pub(super) fn is_loop(&self, from: At<'_>, to: At<'_>) -> bool {
        let above = |at: At<'_>, directory| {
            self.get(at)
                .is_ok_and(|id| self.is_directory(id) && self.is_above(id, directory))
        };
        above(from, to.0) || above(to, from.0)
    }

    pub(super) fn rename(
        &mut self,
        from: At<'_>,
        to: At<'_>,
        mode: RenameMode,
    ) -> Result<(), Errno> {
        let source = self.get(from)?;
        let victim = self.get(to).ok();
        match (victim, mode) {
            (Some(_), RenameMode::NoReplace) => return Err(Errno::EXIST),
            (None, RenameMode::Exchange) => return Err(Errno::NOENT),
            _ => {}
        }
        if victim == Some(source) {
            return Ok(());
        }
        if mode == RenameMode::Exchange {
            let (source, victim) = (self.take(from), self.take(to));
            self.put(from, victim);
            self.put(to, source);
            return Ok(());
        }
        if let Some(victim) = victim {
            match (self.is_directory(source), self.is_directory(victim)) {
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) if !self.entries(victim).is_empty() => return Err(Errno::NOTEMPTY),
                _ => {}
            }
            self.take(to);
        }
        self.take(from);
        self.put(to, source);
        if mode == RenameMode::Whiteout {
            self.make(from, Kind::Whiteout, 0)?;
        }
        Ok(())
    }

    pub(super) fn set_xattr(
        &mut self,
        id: Id,
        name: &str,
        value: &[u8],
        create: XattrCreate,
    ) -> Result<(), Errno> {
        let xattrs = &mut self.nodes[id].xattrs;
        match (create, xattrs.contains_key(name)) {
            (XattrCreate::Create, true) => Err(Errno::EXIST),
            (XattrCreate::Replace, false) => Err(Errno::NODATA),
            _ => {
                xattrs.insert(name.to_owned(), value.to_vec());
                Ok(())
            }
        }
    }

    pub(super) fn remove_xattr(&mut self, id: Id, name: &str) -> Result<(), Errno> {
        let removed = self.nodes[id].xattrs.remove(name);
        removed.map(|_| ()).ok_or(Errno::NODATA)
    }

    /// How many names and how many targets of links are so long that they have files of their own.
    pub(super) fn sidecars(&self) -> (usize, usize) {
        let entries = || {
            let directories = self.directories().into_iter();
            directories.flat_map(|id| self.entries(id).iter())
        };
        let is_long =
            |id: Id| matches!(&self.nodes[id].kind, Kind::Link(target) if target.len() > 734);
        let links: BTreeSet<Id> = entries()
            .map(|(_, &id)| id)
            .filter(|&id| is_long(id))
            .collect();
        let names = entries().filter(|(name, _)| name.len() > 175);
        (names.count(), links.len())
    }
}

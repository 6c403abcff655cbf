//! The filesystem and the model, side by side.

use std::collections::HashMap;

use proptest::prelude::*;
use rustix::io::Errno;

use crate::fs::{FileSystem, FsError, HandleId, Ino, OpenFlags};

use super::model::{Id, Kind, Model, ROOT};
use super::ops::Offset;
use super::world::{CALLER, TestVolume, errno};

/// The filesystem and its model, side by side.
pub(super) struct Pair<'v> {
    volume: &'v TestVolume<'v>,
    pub(super) fs: FileSystem,
    pub(super) model: Model,
    /// What the kernel would know: by which number, and how often it was told.
    pub(super) known: HashMap<Id, (Ino, u64)>,
    pub(super) handles: Vec<(HandleId, Id)>,
}

pub(super) type Agreed<T = ()> = Result<T, TestCaseError>;

/// Both succeeded, or both failed alike; whether they succeeded.
pub(super) fn agree<T, U>(
    op: &str,
    real: Result<T, FsError>,
    model: Result<U, Errno>,
) -> Agreed<Option<(T, U)>> {
    match (real, model) {
        (Ok(real), Ok(model)) => Ok(Some((real, model))),
        (Err(real), Err(model)) => {
            prop_assert_eq!(errno(&real), model, "{}: {}", op, real);
            Ok(None)
        }
        (Ok(_), Err(model)) => Err(TestCaseError::fail(format!("{op} succeeded, not {model}"))),
        (Err(real), Ok(_)) => Err(TestCaseError::fail(format!("{op} failed: {real}"))),
    }
}

/// An operation of which nothing but success is expected.
pub(super) fn succeeds<T>(op: &str, real: Result<T, FsError>) -> Agreed<T> {
    real.map_err(|error| TestCaseError::fail(format!("{op} failed: {error}")))
}

impl<'v> Pair<'v> {
    pub(super) fn new(volume: &'v TestVolume<'v>) -> Self {
        let fs = volume.mount();
        let root = fs.get_attr(Ino::ROOT).unwrap();
        Self {
            volume,
            fs,
            model: Model::new(root.stat.st_mode & 0o7777),
            known: HashMap::from([(ROOT, (Ino::ROOT, 1))]),
            handles: Vec::new(),
        }
    }

    pub(super) fn directory(&self, number: u8) -> Id {
        let directories = self.model.directories();
        directories[usize::from(number) % directories.len()]
    }

    pub(super) fn handle(&self, number: u8) -> Option<(HandleId, Id)> {
        let count = self.handles.len();
        (count > 0).then(|| self.handles[usize::from(number) % count])
    }

    pub(super) fn offset(&self, id: Id, offset: Offset) -> u64 {
        let Kind::File(content) = &self.model.node(id).kind else {
            panic!("no file")
        };
        match offset {
            Offset::At(offset) => offset,
            Offset::End(by) => (content.len() as u64).saturating_add_signed(by.into()),
        }
    }

    pub(super) fn told(&mut self, id: Id, ino: Ino) -> Agreed {
        let (known, count) = self.known.entry(id).or_insert((ino, 0));
        prop_assert_eq!(*known, ino, "the number of a node changed");
        *count += 1;
        Ok(())
    }

    /// The number of `id`, looked up on its way from the root where it is not known.
    pub(super) fn ino(&mut self, id: Id) -> Agreed<Ino> {
        if let Some((ino, _)) = self.known.get(&id) {
            return Ok(*ino);
        }
        let path = self.model.path(id).expect("only what is named is unknown");
        let mut directory = ROOT;
        for name in &path {
            let next = self.model.get((directory, name)).unwrap();
            let (parent, _) = self.known[&directory];
            if !self.known.contains_key(&next) || next == id {
                let attr = succeeds("lookup", self.fs.lookup(parent, name))?;
                self.told(next, attr.ino)?;
            }
            directory = next;
        }
        Ok(self.known[&id].0)
    }

    pub(super) fn kernel_forgets(&mut self, id: Id) {
        let open = self.handles.iter().any(|(_, open)| *open == id);
        let above = self.model.is_directory(id)
            && (self.model.entries(id).values()).any(|below| self.known.contains_key(below));
        if id != ROOT
            && !open
            && !above
            && let Some((ino, count)) = self.known.remove(&id)
        {
            self.fs.forget(ino, count);
        }
    }

    pub(super) fn check(&mut self, id: Id) -> Agreed {
        let ino = self.ino(id)?;
        let attr = succeeds("getattr", self.fs.get_attr(ino))?;
        let node = self.model.node(id);
        prop_assert_eq!(
            rustix::fs::FileType::from_raw_mode(attr.stat.st_mode),
            self.model.file_type(id)
        );
        if !matches!(node.kind, Kind::Link(_)) {
            prop_assert_eq!(attr.stat.st_mode & 0o7777, node.mode);
        }
        prop_assert_eq!(
            attr.stat.st_nlink as u32,
            self.model.links(id),
            "links of {}",
            id
        );
        match &node.kind {
            Kind::File(content) => prop_assert_eq!(attr.size, content.len() as u64),
            Kind::Link(target) => prop_assert_eq!(attr.size, target.len() as u64),
            _ => {}
        }
        if let Some(modified) = node.modified {
            prop_assert_eq!(attr.stat.st_mtime, modified, "mtime of {}", id);
        }
        Ok(())
    }

    pub(super) fn list(&mut self, id: Id) -> Agreed {
        let ino = self.ino(id)?;
        let handle = succeeds("opendir", self.fs.open_directory(CALLER, ino))?;
        let mut found = Vec::new();
        let mut cookie = 0;
        // Two at a time, so that listings go on where they stopped.
        loop {
            let before = found.len();
            let listed = self.fs.list(handle, cookie, |entry| {
                if found.len() == before + 2 {
                    return false;
                }
                cookie = entry.next;
                found.push((entry.name.to_vec(), entry.kind));
                true
            });
            succeeds("readdir", listed)?;
            if found.len() == before {
                break;
            }
        }
        succeeds("closedir", self.fs.close_directory(handle))?;
        found.retain(|(name, _)| name != b"." && name != b"..");
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let entries = self.model.entries(id).iter();
        let expected: Vec<_> = entries
            .map(|(name, id)| (name.clone(), self.model.file_type(*id)))
            .collect();
        prop_assert_eq!(found, expected);
        Ok(())
    }

    /// Everything there is.
    pub(super) fn check_all(&mut self) -> Agreed {
        for directory in self.model.directories() {
            self.list(directory)?;
            self.check(directory)?;
            self.check_xattrs(directory)?;
            for id in self
                .model
                .entries(directory)
                .values()
                .copied()
                .collect::<Vec<_>>()
            {
                self.check(id)?;
                let ino = self.ino(id)?;
                match self.model.node(id).kind.clone() {
                    Kind::File(content) => {
                        self.check_xattrs(id)?;
                        let opened = self.fs.open(CALLER, ino, OpenFlags::READ);
                        let handle = succeeds("open", opened)?.handle;
                        let mut found = Vec::new();
                        let read = self.fs.read(handle, 0, content.len() + 1, &mut found);
                        succeeds("read", read)?;
                        prop_assert!(found == content, "content of {id}");
                        succeeds("close", self.fs.close(handle))?;
                    }
                    Kind::Link(target) => {
                        let found = succeeds("readlink", self.fs.read_link(ino))?;
                        prop_assert!(found == target, "target of {id}");
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    pub(super) fn check_xattrs(&mut self, id: Id) -> Agreed {
        let ino = self.ino(id)?;
        let listed = succeeds("listxattr", self.fs.list_xattrs(CALLER, ino))?;
        let mut names: Vec<_> = listed
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty())
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
            .collect();
        names.sort();
        let xattrs = self.model.node(id).xattrs.clone();
        prop_assert_eq!(&names, &xattrs.keys().cloned().collect::<Vec<_>>());
        for (name, value) in xattrs {
            let found = succeeds("getxattr", self.fs.get_xattr(ino, &name))?;
            prop_assert_eq!(found, value);
        }
        Ok(())
    }

    /// A new node that both have.
    pub(super) fn made(&mut self, made: Option<(Ino, Id)>) -> Agreed {
        match made {
            Some((ino, id)) => {
                self.told(id, ino)?;
                self.check(id)
            }
            None => Ok(()),
        }
    }

    pub(super) fn remount(self, close: bool) -> Agreed<Self> {
        let Self {
            volume,
            fs,
            model,
            handles,
            ..
        } = self;
        if close {
            for (handle, _) in handles {
                succeeds("close", fs.close(handle))?;
            }
        }
        succeeds("unmount", fs.unmount())?;
        prop_assert!(!volume.is_unclean());
        Ok(Self {
            model,
            ..Self::new(volume)
        })
    }
}

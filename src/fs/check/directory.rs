//! Directories: records, names, and what stands under them.

use std::collections::HashSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::{
    BackingEntry, CONTROL_DIRECTORY, DIRECTORY_RECORD, LONG_SIDECAR_SUFFIX, XattrBinding, classify,
    open_name,
};
use crate::sys;

use super::super::boundary::Directory;
use super::super::inode::{Inode, Link};
use super::super::node::{Parent, is_empty_directory};
use super::super::{Damage, FsError, Ino};
use super::{Job, Kind, Linked, Pool, RECORD, Walk};

/// How many entries make a job.
const AT_ONCE: usize = 128;

/// A directory that is being checked.
struct Opened {
    inode: Arc<Inode>,
    descriptor: Arc<OwnedFd>,
    /// None when its record cannot be read: then no name in it can be.
    directory: Option<Arc<Directory>>,
}

/// Entries of a directory, to be checked.
pub(super) struct Listed {
    directory: Arc<Opened>,
    names: Vec<String>,
}

impl Walk<'_> {
    /// Checks a directory: what it is itself, then each of its entries.
    pub(super) fn directory(&self, pool: &Pool<Job>, inode: &Arc<Inode>) {
        if !self.watch.is_cancelled()
            && let Err(error) = self.open_directory(pool, inode)
        {
            self.report_error(Kind::DirectoryRecord, inode, &error);
        }
        self.fs.inodes.forget(inode.ino, 1);
    }

    fn open_directory(&self, pool: &Pool<Job>, inode: &Arc<Inode>) -> Result<(), FsError> {
        let descriptor = self.fs.inodes.descriptor(inode)?;
        let number = sys::stat(&*descriptor)?.st_ino;
        if !self.seen.lock().entered.insert(number) {
            self.report(
                Kind::Duplicate,
                inode,
                "the same directory is in the volume twice",
            );
            return Ok(());
        }
        self.checked.lock().directories += 1;
        let directory = self.record(inode, &descriptor)?;
        if let Some(Directory { id, .. }) = directory.as_deref() {
            self.is_first(|seen| &mut seen.directories, *id, inode);
            self.attributes(inode, &descriptor, XattrBinding::Directory(*id));
        }
        let opened = Opened {
            inode: inode.clone(),
            descriptor,
            directory,
        };
        self.list(pool, &Arc::new(opened))
    }

    /// What the directory's record says; `None` when it is damaged, which is reported.
    fn record(
        &self,
        inode: &Inode,
        descriptor: &OwnedFd,
    ) -> Result<Option<Arc<Directory>>, FsError> {
        let is_below_damage = inode
            .link()
            .is_some_and(|link| link.parent.directory.lock().is_none());
        let read = if is_below_damage {
            // Whether it is a boundary, and of which key and label, cannot be told: neither is it taken
            // for one, nor compared are labels.
            let read = self.fs.read_directory(inode, descriptor, None);
            read.map(Arc::new)
        } else {
            self.fs.directory(inode, descriptor)
        };
        let error = match read {
            Ok(directory) => return Ok(Some(directory)),
            Err(error @ FsError::Integrity(_)) => error,
            Err(error) => return Err(error),
        };
        let is_unwritten = match sys::stat_at(descriptor, DIRECTORY_RECORD) {
            Ok(stat) => stat.st_size == 0,
            Err(_) => true,
        };
        if is_unwritten && is_empty_directory(descriptor)? {
            self.report(
                Kind::Leftover,
                inode,
                "an empty directory that a crash left without its record; its next use gives it one",
            );
        } else {
            self.report_error(Kind::DirectoryRecord, inode, &error);
        }
        Ok(None)
    }

    fn list(&self, pool: &Pool<Job>, directory: &Arc<Opened>) -> Result<(), FsError> {
        let listing = sys::reopen_directory(&*directory.descriptor)?;
        let mut names = Vec::new();
        let (mut long, mut sidecars) = (HashSet::new(), Vec::new());
        sys::list(&listing, 0, |entry| {
            match classify(entry.name) {
                BackingEntry::Dots => {}
                BackingEntry::Short(name) => names.push(name.to_owned()),
                BackingEntry::Long(name) => {
                    long.insert(name.to_owned());
                    names.push(name.to_owned());
                }
                BackingEntry::Ours if is_own(&directory.inode, entry.name) => {}
                BackingEntry::Ours if entry.name.ends_with(LONG_SIDECAR_SUFFIX.as_bytes()) => {
                    sidecars.push(String::from_utf8_lossy(entry.name).into_owned());
                }
                BackingEntry::Ours | BackingEntry::Foreign => self.report_entry(
                    Kind::Foreign,
                    &directory.inode,
                    (entry.name, entry.name),
                    "kmsfs did not make this; mounts do not show it",
                ),
            }
            if names.len() == AT_ONCE {
                self.give(pool, directory, std::mem::take(&mut names));
            }
            Ok::<_, FsError>(!self.watch.is_cancelled())
        })?;
        self.give(pool, directory, names);
        let orphans = sidecars.iter().filter(|sidecar| {
            !long.contains(&sidecar[..sidecar.len() - LONG_SIDECAR_SUFFIX.len()])
        });
        for sidecar in orphans {
            self.report_entry(
                Kind::Leftover,
                &directory.inode,
                (sidecar.as_bytes(), sidecar.as_bytes()),
                "the long name of an entry that is not there; it can be removed",
            );
        }
        Ok(())
    }

    fn give(&self, pool: &Pool<Job>, directory: &Arc<Opened>, names: Vec<String>) {
        let listed = Listed {
            directory: directory.clone(),
            names,
        };
        if let Some(Job::Entries(listed)) = pool.offer(Job::Entries(listed)) {
            self.entries(pool, listed);
        }
    }

    /// Checks entries of a directory.
    pub(super) fn entries(&self, pool: &Pool<Job>, listed: Listed) {
        let Listed { directory, names } = listed;
        for entry in names {
            if self.watch.is_cancelled() {
                break;
            }
            let name = self.name(&directory, &entry);
            if let Err(error) = self.entry(pool, &directory, &name, &entry) {
                let (kind, message) = match &error {
                    FsError::Errno(Errno::XDEV) => (
                        Kind::OtherFilesystem,
                        "another filesystem is mounted here; mounts do not show it".to_owned(),
                    ),
                    error => super::judge(Kind::Name, error),
                };
                let names = (&*name, entry.as_bytes());
                self.report_entry(kind, &directory.inode, names, message);
            }
        }
        let ino = directory.inode.ino;
        drop(directory);
        self.fs.inodes.forget(ino, 0);
    }

    /// The plaintext name of `entry`; where it cannot be read, which is reported, the entry's own.
    fn name(&self, directory: &Opened, entry: &str) -> Vec<u8> {
        let Some(record) = &directory.directory else {
            return entry.as_bytes().to_vec();
        };
        let parent = Parent {
            inode: directory.inode.clone(),
            descriptor: directory.descriptor.clone(),
            directory: record.clone(),
        };
        let name = match classify(entry.as_bytes()) {
            BackingEntry::Long(entry) => self.fs.long_name(&parent, entry),
            _ => open_name(&self.fs.keys.names, &record.id, entry).map_err(|_| Damage::Name.into()),
        };
        // What looks it up by its name finds it: so no two entries have the same one.
        let name = name.and_then(|name| match self.fs.stored(&parent, &name)?.entry() {
            found if found == entry => Ok(name),
            _ => Err(Damage::Name.into()),
        });
        name.unwrap_or_else(|error| {
            let (kind, message) = super::judge(Kind::Name, &error);
            let names = (entry.as_bytes(), entry.as_bytes());
            self.report_entry(kind, &directory.inode, names, message);
            entry.as_bytes().to_vec()
        })
    }

    fn entry(
        &self,
        pool: &Pool<Job>,
        directory: &Opened,
        name: &[u8],
        entry: &str,
    ) -> Result<(), FsError> {
        let node = sys::open_node(&*directory.descriptor, entry)?;
        let stat = sys::stat(&node)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let link = Link {
            parent: directory.inode.clone(),
            name: name.to_vec(),
            entry: entry.to_owned(),
        };
        let descriptor = node.try_clone()?;
        let inode = self.fs.inodes.remember(link, &stat, descriptor)?;
        if kind == FileType::Directory {
            // Forgotten when it is done.
            pool.push(Job::Directory(inode));
            return Ok(());
        }
        let ino = inode.ino;
        if !self.is_further_name(&inode, &stat) {
            self.node(pool, inode, &node, &stat);
        }
        self.fs.inodes.forget(ino, 1);
        Ok(())
    }

    /// Whether the inode was checked by another name.
    fn is_further_name(&self, inode: &Arc<Inode>, stat: &sys::Stat) -> bool {
        if stat.st_nlink < 2 {
            return false;
        }
        let mut seen = self.seen.lock();
        let linked = seen.linked.entry(stat.st_ino).or_insert_with(|| Linked {
            inode: inode.clone(),
            links: stat.st_nlink,
            met: 0,
        });
        linked.met += 1;
        linked.met > 1
    }

    fn node(&self, pool: &Pool<Job>, inode: Arc<Inode>, node: &OwnedFd, stat: &sys::Stat) {
        let volume = XattrBinding::Volume(self.fs.config.volume);
        match inode.kind {
            FileType::RegularFile => {
                self.checked.lock().files += 1;
                self.file(pool, inode, node, stat);
            }
            FileType::Symlink => {
                self.checked.lock().links += 1;
                self.target(&inode, node);
                self.attributes(&inode, node, volume);
            }
            _ => {
                self.checked.lock().others += 1;
                self.attributes(&inode, node, volume);
            }
        }
    }
}

/// Whether `name` is kmsfs's own in this directory.
fn is_own(directory: &Inode, name: &[u8]) -> bool {
    name == RECORD || (directory.ino == Ino::ROOT && name == CONTROL_DIRECTORY.as_bytes())
}

//! Inodes by number alone: what a file handle names (`open_by_handle_at(2)`, an NFS export), when the
//! kernel no longer knows the inode, or not yet in this mount.

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::{BackingEntry, classify, open_name};
use crate::sys;

use super::inode::NodeId;
use super::walk::{Walk, Way, is_out_of_reach};
use super::{Attr, Damage, FileSystem, FsError, Ino};

impl FileSystem {
    /// Finds the inode `ino`; the kernel then knows it until it says [`FileSystem::forget`]. One that
    /// is not known is sought in the whole volume.
    ///
    /// # Errors
    /// `ESTALE` when there is none; those of [`FileSystem::lookup`].
    pub fn lookup_number(&self, ino: Ino) -> Result<Attr, FsError> {
        if let Some(inode) = self.inodes.remember_again(ino) {
            let attr = || self.attr(&inode, sys::stat(&*self.inodes.descriptor(&inode)?)?);
            return attr().inspect_err(|_| self.inodes.forget(ino, 1));
        }
        let way = self.find_number(ino)?.ok_or(Errno::STALE)?;
        // Down the way as the kernel goes down a path: each step is let go of when the next is known.
        let mut parent = Ino::ROOT;
        let mut found = None;
        for entry in way.entries() {
            let looked_up = self
                .plain_name(parent, entry)
                .and_then(|name| self.lookup(parent, &name));
            self.inodes.forget(parent, 1);
            let attr = looked_up?;
            parent = attr.ino;
            found = Some(attr);
        }
        match found {
            Some(attr) if attr.ino == ino => Ok(attr),
            // Another one took its place meanwhile.
            _ => {
                self.inodes.forget(parent, 1);
                Err(Errno::STALE.into())
            }
        }
    }

    /// The directory that the directory `ino` is in, found as by [`FileSystem::lookup_number`].
    ///
    /// # Errors
    /// `ESTALE` for a directory that was removed.
    pub fn lookup_parent(&self, ino: Ino) -> Result<Attr, FsError> {
        let inode = self.inodes.get(ino)?;
        let parent = match inode.link() {
            Some(link) => link.parent.ino,
            None if ino == Ino::ROOT => ino,
            None => return Err(Errno::STALE.into()),
        };
        self.lookup_number(parent)
    }

    /// The way to a node of this number.
    fn find_number(&self, wanted: Ino) -> Result<Option<Way>, FsError> {
        let root = self.root()?;
        let mut walk = Walk::new(&root);
        while let Some((way, directory)) = walk.next() {
            let directory = match directory {
                Err(error) if is_out_of_reach(&error) => continue,
                other => other?,
            };
            let mut found = None;
            sys::list(&directory, 0, |entry| {
                let (BackingEntry::Short(name) | BackingEntry::Long(name)) = classify(entry.name)
                else {
                    return Ok::<_, FsError>(true);
                };
                if NodeId::ino_of(entry.ino) == wanted {
                    found = Some(way.to(name.to_owned()));
                    return Ok(false);
                }
                if matches!(entry.kind, FileType::Directory | FileType::Unknown) {
                    walk.visit(way.to(name.to_owned()));
                }
                Ok(true)
            })?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The plaintext name of the backing entry `entry` of `parent`.
    fn plain_name(&self, parent: Ino, entry: &str) -> Result<Vec<u8>, FsError> {
        let parent = self.parent(parent)?;
        match classify(entry.as_bytes()) {
            BackingEntry::Short(stored) => {
                Ok(open_name(&self.keys.names, &parent.id(), stored).map_err(|_| Damage::Name)?)
            }
            BackingEntry::Long(stored) => self.long_name(&parent, stored),
            _ => Err(Errno::STALE.into()),
        }
    }
}

//! Names: removing and linking; symbolic links and special files.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::{
    StoredName, StoredTarget, TARGET_MAX, open_target, seal_target, target_sidecar,
};
use crate::sys;

use super::caller::{Caller, Who};
use super::guard::{Action, Target};
use super::inode::Inode;
use super::node::{Parent, is_absent, read_small, remove_sidecar};
use super::open::mode_for;
use super::place::Node;
use super::{Attr, Damage, FileSystem, FsError, Ino};

impl FileSystem {
    /// Removes a name.
    ///
    /// # Errors
    /// Policy; `ENOENT`; `EISDIR` for a directory's.
    pub fn unlink(&self, caller: Caller, parent: Ino, name: &[u8]) -> Result<(), FsError> {
        self.refuse_if_read_only()?;
        let who = self.guard.identify(caller)?;
        let parent = self.parent(parent)?;
        let place = self.place(&parent, name)?;
        let node = place.node.as_ref().ok_or(Errno::NOENT)?;
        let target = place.target()?;
        let attempt = self.guard.attempt("Unlink", &who, &target);
        let allowed = attempt.check(Action::Delete)?;
        let sidecar = attempt.perform(
            &allowed,
            |event| event,
            || {
                let sidecar = last_target_sidecar(node)?;
                let _changing = self.inodes.changing_names();
                sys::unlink(&*parent.descriptor, place.stored.entry())?;
                place.forget();
                Ok(sidecar)
            },
        )?;
        remove_sidecar(&parent, &place.stored);
        self.remove_target_sidecar(sidecar);
        Ok(())
    }

    /// Gives `ino` a further name.
    ///
    /// # Errors
    /// Policy; those of `linkat(2)`.
    pub fn link(
        &self,
        caller: Caller,
        ino: Ino,
        parent: Ino,
        name: &[u8],
    ) -> Result<Attr, FsError> {
        self.refuse_if_read_only()?;
        let who = self.guard.identify(caller)?;
        let inode = self.inodes.get(ino)?;
        let parent = self.parent(parent)?;
        if let Some(zone) = inode.zones().first()
            && !zone.is(&parent.directory.zone)
        {
            return Err(Errno::XDEV.into());
        }
        let source = Target::of(&inode);
        let path = parent.path_of(name)?;
        let target = parent.new_target(name)?;
        let attempt = self.guard.attempt("Link", &who, &source);
        let allowed = attempt.check(Action::Delete)?;
        let mut needed = vec![(Action::Create, &target)];
        if inode
            .link()
            .is_none_or(|link| link.parent.ino != parent.inode.ino)
        {
            needed.extend([(Action::Read, &source), (Action::Write, &source)]);
        }
        for (action, target) in needed {
            let _allowed = attempt.check_on(action, target)?;
        }
        attempt.perform(
            &allowed,
            |event| event.parameter("newPath", path),
            || {
                let stored = self.stored(&parent, name)?;
                let descriptor = self.inodes.descriptor(&inode)?;
                // What gets the name may be durable, and must not come to depend on what is not.
                self.sync_names(&parent.inode)?;
                self.make_entry(&parent, &stored, || {
                    sys::link(&*descriptor, &*parent.descriptor, stored.entry())
                })?;
                self.remember_new(&parent, name, &stored, || Ok(()))
            },
        )
    }

    /// Makes a symbolic link.
    ///
    /// # Errors
    /// Policy; `ENAMETOOLONG` for a target of more than 4095 bytes.
    pub fn symlink(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        target: &[u8],
    ) -> Result<Attr, FsError> {
        self.refuse_if_read_only()?;
        if target.len() > TARGET_MAX {
            return Err(Errno::NAMETOOLONG.into());
        }
        let who = self.guard.identify(caller)?;
        let parent = self.parent(parent)?;
        let (link, sidecar) = match seal_target(&self.keys.symlinks, target) {
            StoredTarget::Inline(link) => (link, None),
            StoredTarget::Sidecar { link, name, sealed } => (link, Some((name, sealed))),
        };
        let make = |parent: &OwnedFd, entry: &str| {
            if let Some((name, sealed)) = &sidecar {
                let file = sys::create_file(self.volume.links(), name, 0o600)?;
                sys::write_at(&file, sealed, 0)?;
                self.unsynced.add_target(name.clone());
            }
            let _identity = sys::impersonate(who.identity())?;
            sys::make_symlink(&link, parent, entry)
        };
        let made = self.new_node("Symlink", &who, &parent, name, make);
        if made.is_err() {
            self.remove_target_sidecar(sidecar.map(|(name, _)| name));
        }
        made
    }

    /// Makes a regular file, fifo, socket or device.
    ///
    /// # Errors
    /// Policy; those of `mknodat(2)`.
    pub fn make_node(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        node: sys::NewNode,
        umask: u32,
    ) -> Result<Attr, FsError> {
        self.refuse_if_read_only()?;
        let who = self.guard.identify(caller)?;
        let parent = self.parent(parent)?;
        if FileType::from_raw_mode(node.mode) == FileType::RegularFile {
            return self.create_closed(&who, &parent, name, node.mode, umask);
        }
        let mode = mode_for(&parent, node.mode, umask)?;
        self.new_node("CreateNode", &who, &parent, name, |parent, entry| {
            let _identity = sys::impersonate(who.identity())?;
            sys::make_node(parent, entry, sys::NewNode { mode, ..node })
        })
    }

    /// The target of a symbolic link.
    ///
    /// # Errors
    /// An integrity failure.
    pub fn read_link(&self, ino: Ino) -> Result<Vec<u8>, FsError> {
        let inode = self.inodes.get(ino)?;
        self.guard
            .noticed("ReadLink", &inode, self.read_target(&inode))
    }

    pub(super) fn read_target(&self, inode: &Inode) -> Result<Vec<u8>, FsError> {
        let link = sys::read_link(&*self.inodes.descriptor(inode)?)?;
        let sidecar = match target_sidecar(&link) {
            None => None,
            Some(name) => match read_small(self.volume.links(), name, TARGET_MAX + 64) {
                Err(error) if is_absent(&error) => return Err(Damage::Target.into()),
                other => Some(other?),
            },
        };
        open_target(&self.keys.symlinks, &link, sidecar.as_deref())
            .map_err(|_| Damage::Target.into())
    }

    fn new_node(
        &self,
        operation: &'static str,
        who: &Who,
        parent: &Parent,
        name: &[u8],
        make: impl FnOnce(&OwnedFd, &str) -> io::Result<()>,
    ) -> Result<Attr, FsError> {
        let target = parent.new_target(name)?;
        let attempt = self.guard.attempt(operation, who, &target);
        let allowed = attempt.check(Action::Create)?;
        let stored = self.stored(parent, name)?;
        self.make_entry(parent, &stored, || make(&parent.descriptor, stored.entry()))?;
        self.remember_new(parent, name, &stored, || {
            attempt.record(&allowed, |event| event).map(|_| ())
        })
    }

    /// Takes note of a name that was just made, and then does what `last` does. If any of that fails the
    /// name is taken back: what was not recorded, or cannot be told, was never there.
    fn remember_new(
        &self,
        parent: &Parent,
        name: &[u8],
        stored: &StoredName,
        last: impl FnOnce() -> Result<(), FsError>,
    ) -> Result<Attr, FsError> {
        let remembered = || {
            let descriptor = sys::open_node(&*parent.descriptor, stored.entry())?;
            let stat = sys::stat(&descriptor)?;
            let link = parent.link(name, stored);
            let inode = self.inodes.remember(link, &stat, descriptor)?;
            Ok::<_, FsError>((inode, stat))
        };
        let (inode, stat) = remembered().inspect_err(|_| self.take_back(parent, stored))?;
        let told = self.attr(&inode, stat);
        told.and_then(|attr| last().map(|()| attr))
            .inspect_err(|_| {
                self.inodes.forget_link(&inode, &parent.inode, name);
                self.take_back(parent, stored);
            })
    }

    pub(super) fn remove_target_sidecar(&self, name: Option<String>) {
        let Some(name) = name else { return };
        match sys::unlink(self.volume.links(), &name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // Nothing refers to it: fsck finds it, and nobody else is concerned.
                tracing::warn!(%error, "a link's sidecar could not be removed");
            }
            _ => {}
        }
    }
}

/// The sidecar of a long symbolic link that is about to lose its last name.
pub(super) fn last_target_sidecar(node: &Node) -> Result<Option<String>, FsError> {
    let is_last_link =
        node.stat.st_nlink == 1 && FileType::from_raw_mode(node.stat.st_mode) == FileType::Symlink;
    if !is_last_link {
        return Ok(None);
    }
    let link = sys::read_link(&*node.descriptor)?;
    Ok(target_sidecar(&link).map(str::to_owned))
}

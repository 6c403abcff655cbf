//! Names: removing, renaming, linking; symbolic links and special files.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::{
    StoredName, StoredTarget, TARGET_MAX, open_target, seal_target, target_sidecar,
};
use crate::sys;

use super::caller::{Caller, Who};
use super::directory::{empty_directory, restore_record};
use super::guard::{Action, Target};
use super::inode::{Inode, InodeTable};
use super::node::{Parent, is_absent, read_small, remove_sidecar, write_sidecar};
use super::open::mode_for;
use super::{Attr, Damage, FileSystem, FsError, Ino};

/// What a rename does with the name it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenameMode {
    /// What is there is replaced.
    Replace,
    /// Nothing may be there.
    NoReplace,
    /// The two change places.
    Exchange,
    /// As `Replace`, and a whiteout takes the old name (for overlay filesystems).
    Whiteout,
    /// As `NoReplace`, and a whiteout takes the old name.
    WhiteoutNoReplace,
}

impl RenameMode {
    /// Whether what is there goes.
    fn replaces(self) -> bool {
        !matches!(self, Self::NoReplace | Self::WhiteoutNoReplace)
    }

    fn leaves_whiteout(self) -> bool {
        matches!(self, Self::Whiteout | Self::WhiteoutNoReplace)
    }

    fn flags(self) -> sys::RenameFlags {
        match self {
            Self::Replace => sys::RenameFlags::empty(),
            Self::NoReplace => sys::RenameFlags::NOREPLACE,
            Self::Exchange => sys::RenameFlags::EXCHANGE,
            Self::Whiteout => sys::RenameFlags::WHITEOUT,
            Self::WhiteoutNoReplace => sys::RenameFlags::WHITEOUT | sys::RenameFlags::NOREPLACE,
        }
    }
}

/// A name with what it stands for in the backing directory, if anything.
struct Place<'a> {
    parent: &'a Parent,
    name: &'a [u8],
    stored: StoredName,
    node: Option<Node>,
}

struct Node {
    descriptor: Arc<OwnedFd>,
    stat: sys::Stat,
    inode: Option<Arc<Inode>>,
}

impl Node {
    /// The node, reached by the name `path`. A Deny at another name of a file counts too.
    fn target(&self, path: Vec<u8>) -> Target {
        match &self.inode {
            Some(inode) => Target::of(inode).used_as(path),
            None => Target::path(path),
        }
    }

    fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }
}

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
        let target = node.target(parent.path_of(name)?);
        let attempt = self.guard.attempt("Unlink", &who, &target);
        let allowed = attempt.check(Action::Delete)?;
        attempt.record(&allowed, |event| event)?;
        let sidecar = last_target_sidecar(node)?;
        let changing = self.inodes.changing_names();
        let removed = sys::unlink(&*parent.descriptor, place.stored.entry());
        attempt.happened(removed.map_err(FsError::from))?;
        place.forget();
        drop(changing);
        remove_sidecar(&parent, &place.stored);
        self.remove_target_sidecar(sidecar);
        Ok(())
    }

    /// Renames.
    ///
    /// # Errors
    /// Policy; those of `renameat2(2)`.
    pub fn rename(
        &self,
        caller: Caller,
        from: (Ino, &[u8]),
        to: (Ino, &[u8]),
        mode: RenameMode,
    ) -> Result<(), FsError> {
        self.refuse_if_read_only()?;
        let who = self.guard.identify(caller)?;
        let (from_parent, to_parent) = (self.parent(from.0)?, self.parent(to.0)?);
        let (from, to) = (
            self.place(&from_parent, from.1)?,
            self.place(&to_parent, to.1)?,
        );
        let source = from.node.as_ref().ok_or(Errno::NOENT)?;
        self.authorise_rename(&who, &from, source, &to, mode)?;
        if source.is_directory() {
            self.settling.note_moved_directory();
        }

        write_sidecar(&to_parent, &to.stored)?;
        let source_target = Target::path(from_parent.path_of(from.name)?);
        let attempt = self.guard.attempt("Rename", &who, &source_target);
        let replaced = attempt.happened(make_way(source, &to, mode))?;
        let sidecar = match (&to.node, mode) {
            (Some(victim), RenameMode::Replace | RenameMode::Whiteout) => {
                last_target_sidecar(victim)?
            }
            _ => None,
        };
        let changing = self.inodes.changing_names();
        let renamed = sys::rename(
            from_parent.descriptor.as_fd(),
            from.stored.entry(),
            to_parent.descriptor.as_fd(),
            to.stored.entry(),
            mode.flags(),
        );
        if let Err(error) = renamed {
            drop(changing);
            if let (Some(victim), Some(record)) = (&to.node, replaced) {
                restore_record(&victim.descriptor, &record);
            }
            if to.node.is_none() {
                remove_sidecar(&to_parent, &to.stored);
            }
            return attempt.happened(Err(error.into()));
        }
        self.remove_target_sidecar(sidecar);
        let same_node = to
            .node
            .as_ref()
            .is_some_and(|node| node.stat.st_ino == source.stat.st_ino);
        if same_node {
            // Two names of one file: rename(2) then does nothing.
            return Ok(());
        }
        match mode {
            RenameMode::Exchange => {
                // New names before the old ones go: at no time is the inode without one.
                from.link_to(&to);
                to.link_to(&from);
                from.forget();
                to.forget();
            }
            RenameMode::Replace
            | RenameMode::NoReplace
            | RenameMode::Whiteout
            | RenameMode::WhiteoutNoReplace => {
                if !mode.leaves_whiteout() {
                    remove_sidecar(&from_parent, &from.stored);
                }
                to.forget();
                from.link_to(&to);
                from.forget();
            }
        }
        Ok(())
    }

    /// Asks policy for every row of DESIGN's table that a rename touches, and records it.
    fn authorise_rename(
        &self,
        who: &Who,
        from: &Place<'_>,
        source: &Node,
        to: &Place<'_>,
        mode: RenameMode,
    ) -> Result<(), FsError> {
        let across = from.parent.inode.ino != to.parent.inode.ino;

        let source_target = source.target(from.parent.path_of(from.name)?);
        let to_path = to.parent.path_of(to.name)?;
        let to_target = match &to.node {
            Some(victim) => victim.target(to_path.clone()),
            None => Target::path(to_path.clone()),
        };
        let attempt = self.guard.attempt("Rename", who, &source_target);
        let allowed = attempt.check(Action::Delete)?;
        let mut needed = vec![(Action::Create, &to_target)];
        if to.node.is_some() && mode.replaces() {
            needed.push((Action::Overwrite, &to_target));
        }
        if across {
            needed.extend([
                (Action::Read, &source_target),
                (Action::Write, &source_target),
            ]);
        }
        if mode == RenameMode::Exchange {
            needed.extend([
                (Action::Delete, &to_target),
                (Action::Create, &source_target),
            ]);
        }
        // What lies below a directory changes its path too: whoever may not do that to all of it
        // could take a subtree out of a Deny's reach.
        let mut below = Vec::new();
        if source.is_directory() {
            below.push(source_target.below());
        }
        if mode == RenameMode::Exchange && to.node.as_ref().is_some_and(Node::is_directory) {
            below.push(to_target.below());
        }
        for target in &below {
            needed.extend(
                [Action::Delete, Action::Read, Action::Write].map(|action| (action, target)),
            );
        }
        for (action, target) in needed {
            let _allowed = attempt.check_on(action, target)?;
        }
        attempt.record(&allowed, |event| event.parameter("newPath", to_path))?;
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
        let source = Target::of(&inode);
        let path = parent.path_of(name)?;
        let target = Target::path(path.clone());
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
        attempt.record(&allowed, |event| event.parameter("newPath", path))?;
        let stored = self.stored(&parent, name)?;
        let descriptor = self.inodes.descriptor(&inode)?;
        write_sidecar(&parent, &stored)?;
        sys::link(&*descriptor, &*parent.descriptor, stored.entry())?;
        let linked = sys::open_node(&*parent.descriptor, stored.entry())?;
        let stat = sys::stat(&linked)?;
        let inode = self
            .inodes
            .remember(parent.link(name, &stored), &stat, linked)?;
        self.attr(&inode, stat)
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
        if let Some((name, sealed)) = &sidecar {
            let file = sys::create_file(self.volume.links(), name, 0o600)?;
            sys::write_at(&file, sealed, 0)?;
        }
        let made = self.new_node("Symlink", &who, &parent, name, |parent, entry| {
            sys::make_symlink(&link, parent, entry)
        });
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
        let target = Target::path(parent.path_of(name)?);
        let attempt = self.guard.attempt(operation, who, &target);
        let allowed = attempt.check(Action::Create)?;
        let stored = self.stored(parent, name)?;
        write_sidecar(parent, &stored)?;
        {
            let _identity = sys::impersonate(who.identity())?;
            make(&parent.descriptor, stored.entry())?;
        }
        let recorded = attempt.record(&allowed, |event| event);
        if let Err(error) = recorded {
            sys::unlink(&*parent.descriptor, stored.entry())?;
            remove_sidecar(parent, &stored);
            return Err(error);
        }
        let descriptor = sys::open_node(&*parent.descriptor, stored.entry())?;
        let stat = sys::stat(&descriptor)?;
        let inode = self
            .inodes
            .remember(parent.link(name, &stored), &stat, descriptor)?;
        self.attr(&inode, stat)
    }

    fn place<'a>(&self, parent: &'a Parent, name: &'a [u8]) -> Result<Place<'a>, FsError> {
        let stored = self.stored(parent, name)?;
        let node = match sys::open_node(&*parent.descriptor, stored.entry()) {
            Ok(descriptor) => {
                let stat = sys::stat(&descriptor)?;
                let inode = self.inodes.find(&stat);
                Some(Node {
                    descriptor: Arc::new(descriptor),
                    stat,
                    inode,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Place {
            parent,
            name,
            stored,
            node,
        })
    }

    fn remove_target_sidecar(&self, name: Option<String>) {
        let Some(name) = name else { return };
        if let Err(error) = sys::unlink(self.volume.links(), &name) {
            // Nothing refers to it: fsck finds it, and nobody else is concerned.
            tracing::warn!(%error, "a link's sidecar could not be removed");
        }
    }
}

impl Place<'_> {
    /// The name no longer stands for this node.
    fn forget(&self) {
        let Some(Node {
            descriptor,
            inode: Some(inode),
            ..
        }) = &self.node
        else {
            return;
        };
        InodeTable::remove_link(inode, &self.parent.inode, self.name, descriptor.clone());
    }

    /// This node is now known by the name of `place`.
    fn link_to(&self, place: &Place<'_>) {
        let Some(Node {
            inode: Some(inode), ..
        }) = &self.node
        else {
            return;
        };
        InodeTable::add_link(inode, place.parent.link(place.name, &place.stored));
    }
}

/// The sidecar of a long symbolic link that is about to lose its last name.
fn last_target_sidecar(node: &Node) -> Result<Option<String>, FsError> {
    let is_last_link =
        node.stat.st_nlink == 1 && FileType::from_raw_mode(node.stat.st_mode) == FileType::Symlink;
    if !is_last_link {
        return Ok(None);
    }
    let link = sys::read_link(&*node.descriptor)?;
    Ok(target_sidecar(&link).map(str::to_owned))
}

/// Before a directory replaces another one: the victim loses its record, so that the backing
/// filesystem sees it empty. A crash here leaves an empty directory, which gets a new record.
fn make_way(source: &Node, to: &Place<'_>, mode: RenameMode) -> Result<Option<Vec<u8>>, FsError> {
    match (&to.node, mode) {
        (Some(victim), RenameMode::Replace | RenameMode::Whiteout)
            if victim.is_directory()
                && source.is_directory()
                && victim.stat.st_ino != source.stat.st_ino =>
        {
            empty_directory(&victim.descriptor).map(Some)
        }
        _ => Ok(None),
    }
}

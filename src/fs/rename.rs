//! Renaming.

use std::os::fd::AsFd as _;

use rustix::io::Errno;

use crate::sys;

use super::boundary::refuse_boundary;
use super::caller::{Caller, Who};
use super::guard::Action;
use super::namespace::last_target_sidecar;
use super::node::remove_sidecar;
use super::place::{Node, Place};
use super::{FileSystem, FsError, Ino};

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

impl FileSystem {
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
        let exchanged = to.node.as_ref().filter(|_| mode == RenameMode::Exchange);
        let is_directory = source.is_directory() || exchanged.is_some_and(Node::is_directory);
        refuse_boundary(&from, &to, is_directory)?;
        self.authorise_rename(&who, &from, source, &to, mode)?;
        let target = from.target()?;
        let attempt = self.guard.attempt("Rename", &who, &target);
        attempt.happened(self.rename_node(&from, source, &to, mode))
    }

    fn rename_node(
        &self,
        from: &Place<'_>,
        source: &Node,
        to: &Place<'_>,
        mode: RenameMode,
    ) -> Result<(), FsError> {
        let is_same = |node: &Node| node.stat.st_ino == source.stat.st_ino;
        if to.node.as_ref().is_some_and(is_same) && mode.replaces() {
            // Two names of one file: rename(2) then does nothing.
            return Ok(());
        }
        if source.is_directory() {
            self.settling.note_moved_directory();
        }
        let is_new = self.write_sidecar(to.parent, &to.stored)?;
        self.rename_entry(from, source, to, mode).inspect_err(|_| {
            if is_new {
                remove_sidecar(to.parent, &to.stored);
            }
        })
    }

    fn rename_entry(
        &self,
        from: &Place<'_>,
        source: &Node,
        to: &Place<'_>,
        mode: RenameMode,
    ) -> Result<(), FsError> {
        if from.parent.inode.ino != to.parent.inode.ino || to.stored.sidecar().is_some() {
            // What is moved may be durable, and must not come to depend on what is not.
            self.sync_names(&to.parent.inode)?;
        }
        let victim = match mode {
            RenameMode::Replace | RenameMode::Whiteout => to.node.as_ref(),
            RenameMode::NoReplace | RenameMode::WhiteoutNoReplace | RenameMode::Exchange => None,
        };
        let sidecar = victim.map_or(Ok(None), last_target_sidecar)?;
        // Before a directory replaces another one, that one loses its record, so that the backing
        // filesystem sees it empty. A crash here leaves an empty directory, which gets a new record.
        let emptied = victim
            .filter(|victim| victim.is_directory() && source.is_directory())
            .map(|victim| {
                let record = self.empty_directory(&victim.descriptor, victim.inode.as_deref())?;
                Ok::<_, FsError>((victim, record))
            })
            .transpose()?;
        let changing = self.inodes.changing_names();
        let renamed = || {
            from.parent.refuse_if_changed()?;
            to.parent.refuse_if_changed()?;
            sys::rename(
                from.parent.descriptor.as_fd(),
                from.stored.entry(),
                to.parent.descriptor.as_fd(),
                to.stored.entry(),
                mode.flags(),
            )?;
            Ok::<_, FsError>(())
        };
        if let Err(error) = renamed() {
            drop(changing);
            if let Some((victim, record)) = emptied {
                self.restore_record(&victim.descriptor, victim.inode.as_deref(), &record);
            }
            return Err(error);
        }
        self.remove_target_sidecar(sidecar);
        match mode {
            RenameMode::Exchange => {
                // New names before the old ones go: at no time is the inode without one.
                from.link_to(to);
                to.link_to(from);
                from.forget();
                to.forget();
            }
            RenameMode::Replace
            | RenameMode::NoReplace
            | RenameMode::Whiteout
            | RenameMode::WhiteoutNoReplace => {
                if !mode.leaves_whiteout() {
                    remove_sidecar(from.parent, &from.stored);
                }
                to.forget();
                from.link_to(to);
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

        let (source_target, to_target) = (from.target()?, to.target()?);
        let to_path = to.parent.path_of(to.name)?;
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
}

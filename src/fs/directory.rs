//! Directories: finding, listing, making and removing them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::audit::Event;
use crate::format::{BackingEntry, DIRECTORY_RECORD, DIRECTORY_RECORD_MAX, classify, open_name};
use crate::sys;

use super::boundary::Above;
use super::caller::Caller;
use super::guard::{Action, Target};
use super::handle::HandleId;
use super::inode::{Inode, InodeTable};
use super::node::{Parent, is_empty_directory, read_small, remove_sidecar};
use super::open::mode_for;
use super::{Attr, Damage, FileSystem, FsError, Ino};

pub(super) struct DirectoryHandle {
    inode: Arc<Inode>,
    /// A listing uses the descriptor's position.
    descriptor: Mutex<OwnedFd>,
    caller: Caller,
}

/// An entry of a listing.
#[derive(Debug)]
pub struct Listed<'a> {
    /// The plaintext name.
    pub name: &'a [u8],
    /// The inode's number.
    pub ino: Ino,
    /// The type.
    pub kind: FileType,
    /// Where the listing goes on after it.
    pub next: u64,
}

impl FileSystem {
    /// Finds `name` in `parent`; the kernel then knows the inode until it says
    /// [`FileSystem::forget`].
    ///
    /// # Errors
    /// `ENOENT`; an integrity failure of the directory's record.
    pub fn lookup(&self, parent: Ino, name: &[u8]) -> Result<Attr, FsError> {
        let parent = self.parent(parent)?;
        let stored = self.stored(&parent, name)?;
        let descriptor = sys::open_node(&*parent.descriptor, stored.entry())?;
        let turn = self.settling.turn();
        let stat = self.settled_stat(&parent.descriptor, stored.entry(), &descriptor)?;
        let inode = self
            .inodes
            .remember(parent.link(name, &stored), &stat, descriptor)?;
        drop(turn);
        let attr = self.attr(&inode, stat);
        self.guard
            .noticed("Lookup", &inode, attr)
            .inspect_err(|_| self.inodes.forget(inode.ino, 1))
    }

    /// The kernel forgets `count` of its lookups of `ino`.
    pub fn forget(&self, ino: Ino, count: u64) {
        self.inodes.forget(ino, count);
    }

    /// Opens a directory for listing.
    ///
    /// # Errors
    /// Policy, or the backing filesystem.
    pub fn open_directory(&self, caller: Caller, ino: Ino) -> Result<HandleId, FsError> {
        let Parent {
            inode, descriptor, ..
        } = self.parent(ino)?;
        let who = self.guard.identify(caller)?;
        let target = Target::of(&inode);
        let attempt = self.guard.attempt("OpenDirectory", &who, &target);
        let allowed = attempt.check(Action::List)?;
        let directory = sys::reopen_directory(&*descriptor)?;
        self.keep_access_time(&directory)?;
        attempt.record(&allowed, Event::read_only)?;
        let (id, _) = self.directories.insert(DirectoryHandle {
            inode,
            descriptor: Mutex::new(directory),
            caller,
        });
        Ok(id)
    }

    /// Calls `each` for every entry from `cookie` on (0: from the start), until it answers `false`.
    /// What is not this directory's is left out and recorded.
    ///
    /// # Errors
    /// The backing filesystem.
    pub fn list(
        &self,
        handle: HandleId,
        cookie: u64,
        mut each: impl FnMut(Listed<'_>) -> bool,
    ) -> Result<(), FsError> {
        let handle = self.directories.get(handle)?;
        let parent = self.parent(handle.inode.ino)?;
        let descriptor = handle.descriptor.lock();
        let mut forged = 0_u64;
        sys::list(&*descriptor, cookie, |entry| {
            let name = match classify(entry.name) {
                BackingEntry::Dots => Ok(entry.name.to_vec()),
                BackingEntry::Short(stored) => open_name(&self.keys.names, &parent.id(), stored)
                    .map_err(|_| Damage::Name.into()),
                BackingEntry::Long(stored) => self.long_name(&parent, stored),
                BackingEntry::Ours | BackingEntry::Foreign => return Ok(true),
            };
            match name {
                Ok(name) => Ok(each(Listed {
                    name: &name,
                    ino: Ino(entry.ino),
                    kind: entry.kind,
                    next: entry.next,
                })),
                Err(FsError::Integrity(_)) => {
                    forged += 1;
                    Ok(true)
                }
                Err(error) => Err(error),
            }
        })?;
        if forged > 0 {
            let who = self.guard.identify(handle.caller)?;
            let target = Target::of(&handle.inode);
            let attempt = self.guard.attempt("List", &who, &target);
            // The rest of the directory is listed: the record is what the failure leads to.
            if let Err(error) = attempt.finish::<()>(Err(Damage::Name.into())) {
                drop(self.guard.wait(error));
            }
        }
        Ok(())
    }

    /// Closes a listing.
    ///
    /// # Errors
    /// `EBADF`.
    pub fn close_directory(&self, handle: HandleId) -> Result<(), FsError> {
        self.directories.remove(handle).map(|_| ())
    }

    /// Makes a directory's entries durable, with the records above it.
    ///
    /// # Errors
    /// The backing filesystem.
    pub fn fsync_directory(&self, handle: HandleId) -> Result<(), FsError> {
        let handle = self.directories.get(handle)?;
        self.sync_names(&handle.inode)?;
        self.sync_targets()?;
        Ok(sys::sync_directory(&*handle.descriptor.lock())?)
    }

    /// Makes a directory.
    ///
    /// It is made in its place, so that the group and the default ACL of its parent come down as the
    /// backing filesystem does it, and gets its record next; a crash between leaves it empty and
    /// without one, which its next use mends.
    ///
    /// # Errors
    /// Policy, or the backing filesystem.
    pub fn make_directory(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        mode: u32,
        umask: u32,
    ) -> Result<Attr, FsError> {
        self.refuse_if_read_only()?;
        let who = self.guard.identify(caller)?;
        let parent = self.parent(parent)?;
        let target = parent.new_target(name)?;
        let attempt = self.guard.attempt("CreateDirectory", &who, &target);
        let allowed = attempt.check(Action::Create)?;
        let stored = self.stored(&parent, name)?;
        let mode = mode_for(&parent, mode, umask)?;
        self.make_entry(&parent, &stored, || {
            let _identity = sys::impersonate(who.identity())?;
            sys::make_directory(&*parent.descriptor, stored.entry(), mode)
        })?;
        let made = || {
            let descriptor = sys::open_node(&*parent.descriptor, stored.entry())?;
            let above = Above {
                parent: parent.directory.clone(),
                name: name.to_vec(),
            };
            let write = || self.write_record(&descriptor, Some(&above));
            let directory = with_owner_access(&descriptor, write)?;
            let stat = sys::stat(&descriptor)?;
            attempt.record(&allowed, |event| event)?;
            let inode = self
                .inodes
                .remember(parent.link(name, &stored), &stat, descriptor)?;
            *inode.directory.lock() = Some(Arc::new(directory));
            self.unsynced.add_name(&inode, DIRECTORY_RECORD.to_owned());
            self.attr(&inode, stat)
        };
        made().inspect_err(|_| {
            // Never there: neither recorded nor told.
            let _ = sys::open_node(&*parent.descriptor, stored.entry())
                .and_then(|descriptor| sys::unlink(&descriptor, DIRECTORY_RECORD));
            if sys::remove_directory(&*parent.descriptor, stored.entry()).is_ok() {
                remove_sidecar(&parent, &stored);
            }
        })
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// Policy; `ENOTEMPTY`, `ENOENT`, `ENOTDIR`.
    pub fn remove_directory(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
    ) -> Result<(), FsError> {
        self.refuse_if_read_only()?;
        let who = self.guard.identify(caller)?;
        let parent = self.parent(parent)?;
        let label = parent.directory.zone_of(name).label.clone();
        let target = Target::path(parent.path_of(name)?).labelled(label);
        let attempt = self.guard.attempt("RemoveDirectory", &who, &target);
        let allowed = attempt.check(Action::Delete)?;
        let stored = self.stored(&parent, name)?;
        let descriptor = Arc::new(sys::open_node(&*parent.descriptor, stored.entry())?);
        let stat = sys::stat(&*descriptor)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
            return Err(Errno::NOTDIR.into());
        }
        let inode = self.inodes.find(&stat);
        attempt.perform(
            &allowed,
            |event| event,
            || {
                let record = self.empty_directory(&descriptor, inode.as_deref())?;
                let changing = self.inodes.changing_names();
                let removed = sys::remove_directory(&*parent.descriptor, stored.entry());
                if let Err(error) = removed {
                    drop(changing);
                    self.restore_record(&descriptor, inode.as_deref(), &record);
                    return Err(error.into());
                }
                if let Some(inode) = &inode {
                    InodeTable::remove_link(inode, &parent.inode, name, descriptor.clone());
                }
                Ok(())
            },
        )?;
        remove_sidecar(&parent, &stored);
        Ok(())
    }

    /// Takes the record out of a directory that has nothing else, so that the backing filesystem
    /// sees it empty too. The record is returned, to be put back if the directory stays.
    pub(super) fn empty_directory(
        &self,
        directory: &OwnedFd,
        inode: Option<&Inode>,
    ) -> Result<Vec<u8>, FsError> {
        if !is_empty_directory(directory)? {
            return Err(Errno::NOTEMPTY.into());
        }
        let mut record = Vec::new();
        let mut is_gone = false;
        let emptied = with_owner_access(directory, || {
            let mut sidecars = Vec::new();
            sys::list(&sys::reopen_directory(directory)?, 0, |entry| {
                if !matches!(entry.name, b"." | b"..") && entry.name != DIRECTORY_RECORD.as_bytes()
                {
                    sidecars.push(String::from_utf8_lossy(entry.name).into_owned());
                }
                Ok::<_, FsError>(true)
            })?;
            match read_small(directory, DIRECTORY_RECORD, DIRECTORY_RECORD_MAX + 1) {
                Ok(contents) => record = contents,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
            for name in &sidecars {
                sys::unlink(directory, name)?;
            }
            // Last: what fails before it has taken nothing that is needed.
            if !record.is_empty() {
                sys::unlink(directory, DIRECTORY_RECORD)?;
                is_gone = true;
            }
            Ok(())
        });
        if emptied.is_err() && is_gone {
            self.restore_record(directory, inode, &record);
        }
        emptied.map(|()| record)
    }

    /// Puts back what [`FileSystem::empty_directory`] took.
    pub(super) fn restore_record(&self, directory: &OwnedFd, inode: Option<&Inode>, record: &[u8]) {
        if record.is_empty() {
            return;
        }
        let restored = with_owner_access(directory, || {
            let file = sys::create_file(directory, DIRECTORY_RECORD, 0o600)?;
            sys::write_at(&file, record, 0)?;
            sys::start_sync(&file);
            Ok(())
        });
        let Some(inode) = inode else { return };
        self.unsynced.add_name(inode, DIRECTORY_RECORD.to_owned());
        if let Err(error) = restored {
            // The directory is empty: its next use gives it a new record, under a new id.
            tracing::warn!(%error, "a directory's record could not be put back");
            *inode.directory.lock() = None;
        }
    }
}

/// Runs `work` inside `directory`. As an ordinary user kmsfs needs write access to the directory for
/// its record, whatever mode the user has given it: the mode is widened meanwhile.
pub(super) fn with_owner_access<T>(
    directory: &OwnedFd,
    work: impl FnOnce() -> Result<T, FsError>,
) -> Result<T, FsError> {
    let mode = sys::stat(directory)?.st_mode;
    if sys::impersonates() || mode & 0o700 == 0o700 {
        return work();
    }
    sys::change_mode(directory, mode | 0o700)?;
    let result = work();
    sys::change_mode(directory, mode)?;
    result
}

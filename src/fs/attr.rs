//! Attributes: what the backing node says, with the plaintext's size.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::FileType;

use crate::audit::Event;
use crate::format::{BackingLen, plain_len, stored_target_len};
use crate::sys;

use super::caller::Caller;
use super::guard::{Action, Target};
use super::inode::Inode;
use super::{Damage, FileSystem, FsError, Ino};

/// Attributes of an inode.
#[derive(Debug, Clone, Copy)]
pub struct Attr {
    /// The inode's number.
    pub ino: Ino,
    /// Plaintext length in bytes.
    pub size: u64,
    /// The backing node's own; its size is of ciphertext.
    pub stat: sys::Stat,
}

/// A time to set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NewTime {
    /// The present.
    Now,
    /// Seconds and nanoseconds since 1970.
    At(i64, u32),
}

/// What to change; what is `None` stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change {
    /// Permissions: the lower twelve bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes.
    pub size: Option<u64>,
    /// Time of last access.
    pub accessed: Option<NewTime>,
    /// Time of last modification.
    pub modified: Option<NewTime>,
    /// Time of last change, which the kernel tells where it keeps the times itself. It is not set:
    /// the backing filesystem has its own.
    pub changed: Option<NewTime>,
}

/// How long the kernel may hold written pages, in seconds, with much to spare.
const WRITE_BACK: i64 = 300;
/// By how many seconds the kernel's time of a renaming may differ from ours.
const RENAMING: i64 = 2;

impl Change {
    /// Whether this is what the kernel sends of its own accord when it writes cached times back: the
    /// time of a write to `inode`, whose attributes are `current`, and nothing else. No program is
    /// behind it whose rights could be asked for. A write sets both times alike, which
    /// `utimensat(2)` does to no time but the present; a renaming leaves the time of modification.
    fn is_the_kernels_own(&self, inode: &Inode, current: &sys::Stat) -> bool {
        let Some(NewTime::At(modified, nanoseconds)) = self.modified else {
            return false;
        };
        let nothing_else = self.mode.is_none()
            && self.uid.is_none()
            && self.gid.is_none()
            && self.size.is_none()
            && self.accessed.is_none();
        let is_as_before =
            (modified, u64::from(nanoseconds)) == (current.st_mtime, current.st_mtime_nsec);
        let now = jiff::Timestamp::now().as_second();
        let is_of_a_write = || {
            let is_written = inode.open.lock().write_recorded;
            let is_recent = (now - WRITE_BACK..=now + 1).contains(&modified);
            let renamed = inode.renamed.load(Ordering::Relaxed);
            let is_renamed = matches!(self.changed, Some(NewTime::At(changed, _))
                if (renamed - RENAMING..=renamed + RENAMING).contains(&changed));
            is_written && is_recent && (self.modified == self.changed || is_renamed)
        };
        nothing_else && (is_as_before || is_of_a_write())
    }
}

impl Change {
    /// The change in an audit record.
    fn describe<'a>(&self, mut event: Event<'a>) -> Event<'a> {
        if let Some(mode) = self.mode {
            event = event.parameter("mode", format!("{:04o}", mode & 0o7777));
        }
        for (name, id) in [("uid", self.uid), ("gid", self.gid)] {
            if let Some(id) = id {
                event = event.parameter(name, id);
            }
        }
        for (name, time) in [("accessed", self.accessed), ("modified", self.modified)] {
            if time.is_some() {
                event = event.parameter(name, true);
            }
        }
        event
    }
}

impl FileSystem {
    /// The attributes of `ino`.
    ///
    /// # Errors
    /// When the backing node cannot be reached.
    pub fn get_attr(&self, ino: Ino) -> Result<Attr, FsError> {
        let inode = self.inodes.get(ino)?;
        let attr = || {
            let stat = sys::stat(&*self.inodes.descriptor(&inode)?)?;
            self.attr(&inode, stat)
        };
        self.guard.noticed("GetAttr", &inode, attr())
    }

    /// Changes attributes and returns the new ones.
    ///
    /// # Errors
    /// Policy, the key service (for a length), or the backing filesystem.
    pub fn set_attr(&self, caller: Caller, ino: Ino, change: &Change) -> Result<Attr, FsError> {
        self.refuse_if_read_only()?;
        let inode = self.inodes.get(ino)?;
        let descriptor = self.inodes.descriptor(&inode)?;
        let who = self.guard.identify(caller)?;
        let target = Target::of(&inode);

        let asked = if change.mode.is_some() || change.uid.is_some() || change.gid.is_some() {
            Some(("SetSecurity", Action::SetSecurity))
        } else if change.size.is_some()
            // Without its cache for writes the kernel has no times to write back.
            || (!self.options.strict_audit
                && change.is_the_kernels_own(&inode, &sys::stat(&*descriptor)?))
        {
            None
        } else {
            Some(("SetAttr", Action::SetAttr))
        };
        let changed = || {
            if let Some(size) = change.size {
                self.set_length(&who, &inode, size)?;
            }
            self.change_attributes(caller, &inode, &descriptor, change)
        };
        match asked {
            Some((operation, action)) => {
                let attempt = self.guard.attempt(operation, &who, &target);
                let allowed = attempt.check(action)?;
                attempt.perform(&allowed, |event| change.describe(event), changed)?;
            }
            None => changed()?,
        }
        self.attr(&inode, sys::stat(&*descriptor)?)
    }

    fn change_attributes(
        &self,
        caller: Caller,
        inode: &Inode,
        descriptor: &OwnedFd,
        change: &Change,
    ) -> Result<(), FsError> {
        if change.uid.is_some() || change.gid.is_some() {
            if inode.kind == FileType::RegularFile {
                // Before the group changes: who was no member of the old one keeps no bit of it.
                let _told_by_the_reply = self.drop_set_ids(caller, inode)?;
            }
            sys::change_owner(descriptor, change.uid, change.gid)?;
            self.drop_capability(inode, descriptor)?;
        }
        if let Some(mode) = change.mode {
            sys::change_mode(descriptor, mode)?;
        }
        if change.accessed.is_some() || change.modified.is_some() {
            let times = sys::Timestamps {
                last_access: timespec(change.accessed),
                last_modification: timespec(change.modified),
            };
            // A header update puts the times back that it found: not these, while it is under way.
            let open = inode.open.lock();
            match &open.content {
                Some(content) => content.exclusively(|| sys::change_times(descriptor, &times))?,
                None => sys::change_times(descriptor, &times)?,
            }
        }
        Ok(())
    }

    pub(super) fn refuse_if_read_only(&self) -> Result<(), FsError> {
        if self.options.read_only {
            Err(rustix::io::Errno::ROFS.into())
        } else {
            Ok(())
        }
    }

    pub(super) fn attr(&self, inode: &Inode, mut stat: sys::Stat) -> Result<Attr, FsError> {
        if inode.ino == Ino::ROOT {
            // The control directory is not seen, and so not counted.
            stat.st_nlink = stat.st_nlink.saturating_sub(1).max(2);
        }
        let stored = stat.st_size.unsigned_abs();
        let size = match inode.kind {
            FileType::RegularFile => match inode.content() {
                Some(content) => content.length(),
                // What no plaintext has as its size is told when it is opened: as long as that, it
                // can still be removed.
                None => plain_len(BackingLen(stored)).unwrap_or(0),
            },
            FileType::Symlink => self.target_len(inode, &stat)?,
            _ => stored,
        };
        Ok(Attr {
            ino: inode.ino,
            size,
            stat,
        })
    }

    fn target_len(&self, inode: &Inode, stat: &sys::Stat) -> Result<u64, FsError> {
        let stored = stat.st_size.unsigned_abs() as usize;
        if stored == 33 {
            // "@" and 32 digits: no base64url text has this length.
            return Ok(self.read_target(inode)?.len() as u64);
        }
        // The length decides alone; the target is checked when it is read.
        let len = stored_target_len(stored).ok_or(Damage::Target)?;
        Ok(len as u64)
    }
}

fn timespec(time: Option<NewTime>) -> sys::Timespec {
    let (tv_sec, tv_nsec) = match time {
        None => (0, sys::UTIME_OMIT),
        Some(NewTime::Now) => (0, sys::UTIME_NOW),
        Some(NewTime::At(seconds, nanoseconds)) => (seconds, nanoseconds.into()),
    };
    sys::Timespec { tv_sec, tv_nsec }
}

//! Opening and creating files: from a name or an inode to the content that handles share.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bitflags::bitflags;
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::crypto::derive::FileKeys;
use crate::format::{
    BackingLen, COPY_LEN, CopySlot, FileId, HEADER_LEN, Header, KeySlot, RawHeader, plain_len,
};
use crate::keyring::{KeyringError, NewFile};
use crate::policy::Allowed;
use crate::sys;

use super::boundary::refuse_other_label;
use super::caller::{Caller, Who};
use super::content::{Content, OnDisk};
use super::file::FileHandle;
use super::guard::{Action, Target};
use super::handle::HandleId;
use super::inode::Inode;
use super::node::Parent;
use super::revocation::Right;
use super::{Attr, Damage, FileSystem, FsError, Ino, SetIds};

bitflags! {
    /// What a file is opened for.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct OpenFlags: u8 {
        /// To read.
        const READ = 1;
        /// To write.
        const WRITE = 2;
        /// To write at the end only.
        const APPEND = 4;
        /// Emptied first.
        const TRUNCATE = 8;
        /// To run.
        const EXECUTE = 16;
    }
}

impl OpenFlags {
    /// The rows of DESIGN's table for these flags.
    pub(super) fn actions(self) -> impl Iterator<Item = Action> {
        let writes = self.intersects(Self::WRITE | Self::TRUNCATE);
        let appends = self.contains(Self::APPEND) && !self.contains(Self::TRUNCATE);
        [
            (self.contains(Self::EXECUTE), Action::Execute),
            (
                self.contains(Self::READ) && !self.contains(Self::EXECUTE),
                Action::Read,
            ),
            (writes && appends, Action::Append),
            (writes && !appends, Action::Write),
        ]
        .into_iter()
        .filter_map(|(asked, action)| asked.then_some(action))
    }

    fn describe(self) -> String {
        self.iter_names()
            .map(|(name, _)| name.to_lowercase())
            .collect::<Vec<_>>()
            .join(",")
    }
}

/// An opened file.
#[derive(Debug, Clone, Copy)]
pub struct Opened {
    /// The handle.
    pub handle: HandleId,
    /// Its reads and writes must come here as they are made: the kernel's cache would hide which of
    /// them append, or show others what they read.
    pub uncached: bool,
    /// What emptying it took away.
    pub set_ids: SetIds,
}

impl FileSystem {
    /// Creates and opens a file.
    ///
    /// # Errors
    /// Policy, the key service, or the backing filesystem; `EEXIST` when the name is taken.
    pub fn create(
        &self,
        caller: Caller,
        parent: Ino,
        name: &[u8],
        mode: u32,
        umask: u32,
    ) -> Result<(Attr, HandleId), FsError> {
        let begun = self.reviews.begun();
        let who = self.guard.identify(caller)?;
        let parent = self.parent(parent)?;
        let target = parent.new_target(name)?;
        let (inode, content, attr) = self.new_file(&who, &parent, name, mode, umask, &target)?;
        {
            let mut open = inode.open.lock();
            open.content = Some(content.clone());
            open.handles += 1;
        }
        let handle = FileHandle::new(inode, content, who, target, Right::Created);
        Ok((attr, self.admit(handle, begun)))
    }

    /// Creates a file without opening it (`mknod(2)`).
    pub(super) fn create_closed(
        &self,
        who: &Who,
        parent: &Parent,
        name: &[u8],
        mode: u32,
        umask: u32,
    ) -> Result<Attr, FsError> {
        let target = parent.new_target(name)?;
        let (.., attr) = self.new_file(who, parent, name, mode, umask, &target)?;
        Ok(attr)
    }

    fn new_file(
        &self,
        who: &Who,
        parent: &Parent,
        name: &[u8],
        mode: u32,
        umask: u32,
        target: &Target,
    ) -> Result<(Arc<Inode>, Arc<Content>, Attr), FsError> {
        self.refuse_if_read_only()?;
        let attempt = self.guard.attempt("Create", who, target);
        let allowed = attempt.check(Action::Create)?;
        let stored = self.stored(parent, name)?;
        let zone = &parent.directory.zone;
        let label = zone.label.as_deref();
        let generated =
            self.keyring
                .generate(&allowed, &who.for_key_service(), &zone.key_arn, label);
        let NewFile { id, keys, slot } = attempt.finish(generated.map_err(FsError::from))?;
        let header = new_header(id, slot, zone.label.clone());
        let copy = header.encode(&keys.header).map_err(Damage::Header)?;

        let mode = mode_for(parent, mode, umask)?;
        // The sweep does not touch a file that is not known yet.
        let _turn = self.settling.turn();
        let file = self.make_entry(parent, &stored, || {
            let _identity = sys::impersonate(who.identity())?;
            sys::create_file(&*parent.descriptor, stored.entry(), mode)
        })?;
        let made = || {
            sys::write_at(&file, &new_region(&copy), 0)?;
            let descriptor = sys::open_node(&*parent.descriptor, stored.entry())?;
            let stat = sys::stat(&file)?;
            attempt.record(&allowed, |event| {
                event.file_id(id.to_string()).key(&*header.key.key_arn)
            })?;
            let link = parent.link(name, &stored);
            let inode = self.inodes.remember(link, &stat, descriptor)?;
            Ok::<_, FsError>((inode, stat))
        };
        let (inode, stat) = made().inspect_err(|_| self.take_back(parent, &stored))?;
        *inode.file.lock() = Some(id);
        let on_disk = OnDisk {
            header,
            slot: CopySlot::First,
            other_is_synced: false,
        };
        let journal = self.journal.clone();
        let content = Content::new(file, stat.st_ino, keys, on_disk, journal);
        let attr = self.attr(&inode, stat)?;
        Ok((inode, Arc::new(content), attr))
    }

    /// Opens a file.
    ///
    /// # Errors
    /// Policy, the key service, an integrity failure, or the backing filesystem.
    pub fn open(&self, caller: Caller, ino: Ino, flags: OpenFlags) -> Result<Opened, FsError> {
        if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
            self.refuse_if_read_only()?;
        }
        let inode = self.inodes.get(ino)?;
        if inode.kind != FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        let begun = self.reviews.begun();
        let who = self.guard.identify(caller)?;
        let target = Target::of(&inode);
        let attempt = self.guard.attempt("Open", &who, &target);
        let mut allowed = None;
        let mut append_only = false;
        for action in flags.actions() {
            allowed = Some(attempt.check(action)?);
            append_only |= action == Action::Append && !attempt.would_allow(Action::Write);
        }
        let allowed = match allowed {
            Some(allowed) => allowed,
            // Neither to read nor to write (access mode 3): what an `ioctl` might want, as reading.
            None => attempt.check(Action::Read)?,
        };
        let content = attempt.finish(self.acquire(
            &who,
            &allowed,
            &inode,
            flags.contains(OpenFlags::TRUNCATE),
        ))?;
        let id = content.header().file.to_string();
        let opened = attempt.perform(
            &allowed,
            |event| {
                let event = event.file_id(id).parameter("flags", flags.describe());
                if flags.intersects(OpenFlags::WRITE | OpenFlags::TRUNCATE) {
                    event
                } else {
                    event.read_only()
                }
            },
            || {
                if !flags.contains(OpenFlags::TRUNCATE) {
                    return Ok(SetIds::Kept);
                }
                if content.length() > 0 {
                    content.set_length(0)?;
                }
                self.drop_privileges(caller, &inode)
            },
        );
        let set_ids = match opened {
            Ok(set_ids) => set_ids,
            Err(error) => {
                self.let_go(&inode)?;
                return Err(error);
            }
        };
        let uncached = append_only || self.is_held_against(&who, &inode);
        let right = Right::Opened { flags, append_only };
        let handle = FileHandle::new(inode, content, who, target, right);
        Ok(Opened {
            handle: self.admit(handle, begun),
            uncached,
            set_ids,
        })
    }

    /// The content of `inode`, shared with its open handles; each success is matched by a
    /// [`FileSystem::let_go`]. With `empty`, a damaged file is given a new header: it is about to
    /// lose its content anyway.
    pub(super) fn acquire(
        &self,
        who: &Who,
        allowed: &Allowed,
        inode: &Arc<Inode>,
        empty: bool,
    ) -> Result<Arc<Content>, FsError> {
        loop {
            let opened = inode.open.lock().content.clone();
            let header = match &opened {
                Some(content) => Ok(content.header()),
                None => self.newest_header(inode),
            };
            // The key plane is asked for every caller, also when the key is at hand. It may take its
            // time, so it is asked without the lock that reading, writing and closing need.
            let unwrapped = header.and_then(|header| {
                refuse_other_label(inode, &header)?;
                let keys = self.unwrap(who, allowed, &header)?;
                Ok((keys, header.key))
            });
            let damage = {
                let mut open = inode.open.lock();
                let loaded = match (&open.content, unwrapped) {
                    (Some(content), Ok((keys, slot))) if content.header().key == slot => {
                        content.restore(keys);
                        let content = content.clone();
                        open.handles += 1;
                        return Ok(content);
                    }
                    // It was opened or got another key meanwhile.
                    (Some(_), Ok(_)) => continue,
                    (Some(_), Err(FsError::Integrity(_))) if opened.is_none() => continue,
                    (_, Err(error)) => Err(error),
                    (None, Ok((keys, slot))) => self.load(inode, keys, &slot),
                };
                match loaded {
                    Ok(Some(content)) => return Ok(open.put(content)),
                    Ok(None) => continue,
                    Err(FsError::Integrity(damage)) if empty => damage,
                    Err(error) => return Err(error),
                }
            };
            if let Some(content) = self.renew(who, allowed, inode, &damage)? {
                return Ok(content);
            }
        }
    }

    /// Gives a damaged file a new header, unless it was opened meanwhile.
    fn renew(
        &self,
        who: &Who,
        allowed: &Allowed,
        inode: &Arc<Inode>,
        damage: &Damage,
    ) -> Result<Option<Arc<Content>>, FsError> {
        let zones = inode.zones();
        let zone = zones.first().ok_or(Errno::STALE)?;
        let label = zone.label.as_deref();
        let new = self
            .keyring
            .generate(allowed, &who.for_key_service(), &zone.key_arn, label)?;
        let mut open = inode.open.lock();
        if open.content.is_some() {
            return Ok(None);
        }
        tracing::warn!(%damage, "a damaged file is emptied and gets a new header");
        let path = Target::of(inode).into_path();
        self.guard.record_service("DamagedFileEmptied", |event| {
            event
                .parameter("path", path)
                .parameter("damage", damage.to_string())
        })?;
        let content = self.replace_header(inode, new, zone.label.clone())?;
        Ok(Some(open.put(content)))
    }

    /// Gives back what [`FileSystem::acquire`] gave.
    pub(super) fn let_go(&self, inode: &Inode) -> Result<(), FsError> {
        let mut open = inode.open.lock();
        open.handles -= 1;
        if open.handles > 0 {
            drop(open);
            self.wipe_if_unused(inode);
            return Ok(());
        }
        open.write_recorded = false;
        if let Some(content) = &open.content
            && !self.options.read_only
        {
            content.settle_header().inspect_err(|error| {
                // What was written is there; only its length is told wrong, until it is settled.
                // Whoever opens the file meanwhile gets this content, and the close after that
                // tries again.
                let file = content.header().file;
                tracing::error!(%file, %error, "a header could not be brought up to date");
                self.settling.need();
            })?;
        }
        open.content = None;
        Ok(())
    }

    /// What the newest copy of a file's header says; not authentic.
    fn newest_header(&self, inode: &Inode) -> Result<Header, FsError> {
        let descriptor = self.inodes.descriptor(inode)?;
        let (_, raw) = self.read_header(&descriptor)?;
        Ok(raw.newest().1.unverified().clone())
    }

    pub(super) fn unwrap(
        &self,
        who: &Who,
        allowed: &Allowed,
        header: &Header,
    ) -> Result<Arc<FileKeys>, FsError> {
        match self.keyring.unwrap(allowed, &who.for_key_service(), header) {
            Err(KeyringError::NotThisFiles(_)) => Err(Damage::WrappedKey.into()),
            other => Ok(other?),
        }
    }

    /// The content of a file that nobody has open, under the keys from `slot`; `None` if it has
    /// another slot now.
    fn load(
        &self,
        inode: &Inode,
        keys: Arc<FileKeys>,
        from: &KeySlot,
    ) -> Result<Option<Content>, FsError> {
        let descriptor = self.inodes.descriptor(inode)?;
        let (file, raw) = self.read_header(&descriptor)?;
        let (slot, copy) = raw.newest();
        if copy.unverified().key != *from {
            return Ok(None);
        }
        let header = copy
            .authenticate(&keys.header)
            .map_err(|_| Damage::ForgedHeader)?;
        let stat = sys::stat(&file)?;
        let backing = plain_len(BackingLen(stat.st_size.unsigned_abs()));
        if backing != Some(header.length) {
            return Err(Damage::Length {
                header: header.length,
                backing,
            }
            .into());
        }
        *inode.file.lock() = Some(header.file);
        let other = raw.older().map(|(_, copy)| copy.authenticate(&keys.header));
        let on_disk = OnDisk {
            header,
            slot,
            other_is_synced: matches!(other, Some(Ok(Header { synced: true, .. }))),
        };
        let journal = self.journal.clone();
        let content = Content::new(file, stat.st_ino, keys, on_disk, journal);
        Ok(Some(content))
    }

    /// Opens the backing file and reads its header region.
    pub(super) fn read_header(&self, node: &OwnedFd) -> Result<(OwnedFd, RawHeader), FsError> {
        let file = self.open_backing(node)?;
        let raw = read_region(&file)?;
        if raw.has_damage() && !self.settling.is_lenient() {
            return Err(Damage::Header(crate::format::HeaderError::Damaged).into());
        }
        Ok((file, raw))
    }

    pub(super) fn open_backing(&self, node: &OwnedFd) -> Result<OwnedFd, FsError> {
        let file = if self.options.read_only {
            sys::reopen(node, sys::Access::Read)?
        } else {
            open_for_change(node)?
        };
        self.keep_access_time(&file)?;
        Ok(file)
    }

    /// Where reading is not to update access times, it does not do so in the backing directory either.
    pub(super) fn keep_access_time(&self, opened: &OwnedFd) -> Result<(), FsError> {
        if self.options.access_times && !self.options.read_only {
            Ok(())
        } else {
            Ok(sys::keep_access_time(opened)?)
        }
    }

    fn replace_header(
        &self,
        inode: &Inode,
        new: NewFile,
        label: Option<String>,
    ) -> Result<Content, FsError> {
        let NewFile { id, keys, slot } = new;
        let descriptor = self.inodes.descriptor(inode)?;
        let file = self.open_backing(&descriptor)?;
        let header = new_header(id, slot, label);
        let copy = header.encode(&keys.header).map_err(Damage::Header)?;
        let stat = sys::stat(&file)?;
        // In this order, since a crash between leaves a header that says what is to be.
        sys::write_at(&file, &new_region(&copy), 0)?;
        sys::truncate(&file, HEADER_LEN as u64)?;
        *inode.file.lock() = Some(id);
        let on_disk = OnDisk {
            header,
            slot: CopySlot::First,
            other_is_synced: false,
        };
        let journal = self.journal.clone();
        Ok(Content::new(file, stat.st_ino, keys, on_disk, journal))
    }
}

/// Permissions of a new node: the umask counts unless the directory has a default ACL, which the
/// backing filesystem then applies.
pub(super) fn mode_for(parent: &Parent, mode: u32, umask: u32) -> Result<u32, FsError> {
    match sys::get_xattr(&*parent.descriptor, "system.posix_acl_default") {
        Ok(_) => Ok(mode),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::NODATA | Errno::OPNOTSUPP) => Ok(mode & !umask),
            _ => Err(error.into()),
        },
    }
}

/// The header region of a backing file.
pub(super) fn read_region(file: &OwnedFd) -> Result<RawHeader, FsError> {
    let mut region = [0; HEADER_LEN];
    let read = sys::read_up_to(file, &mut region, 0)?;
    Ok(RawHeader::parse(&region[..read]).map_err(Damage::Header)?)
}

fn new_header(file: FileId, key: KeySlot, label: Option<String>) -> Header {
    Header {
        file,
        label,
        key,
        generation: 1,
        length: 0,
        synced: false,
        sparse: false,
    }
}

/// The header region of a new file: one page, which a kill writes whole or not at all.
fn new_region(copy: &[u8; COPY_LEN]) -> [u8; HEADER_LEN] {
    let mut region = [0; HEADER_LEN];
    region[..COPY_LEN].copy_from_slice(copy);
    region
}

/// Opens a backing file to read and write.
pub(super) fn open_for_change(node: &OwnedFd) -> Result<OwnedFd, FsError> {
    match sys::reopen(node, sys::Access::ReadWrite) {
        // An ordinary user's own file that its mode closes even to them. Its content is shared with
        // handles of other rights, and settled: it has to be open for both.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => reopen_widened(node),
        other => Ok(other?),
    }
}

/// Opens a file of this user's to read and write, whatever mode it has; only to read, where the mode
/// cannot be changed.
fn reopen_widened(node: &OwnedFd) -> Result<OwnedFd, FsError> {
    let mode = sys::stat(node)?.st_mode;
    if sys::change_mode(node, mode | 0o600).is_err() {
        return Ok(sys::reopen(node, sys::Access::Read)?);
    }
    let opened = sys::reopen(node, sys::Access::ReadWrite);
    sys::change_mode(node, mode)?;
    Ok(opened?)
}

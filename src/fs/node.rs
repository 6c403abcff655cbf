//! A directory's id and the names in it: between plaintext names and backing entries.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::{
    DIRECTORY_RECORD, DIRECTORY_RECORD_MAX, DirectoryId, DirectoryRecord, LONG_SIDECAR_SUFFIX,
    StoredName, open_long_name, seal_name,
};
use crate::sys;

use super::boundary::{Above, Directory};
use super::guard::Target;
use super::inode::{Inode, Link};
use super::{Damage, FileSystem, FsError, Ino};

/// More than a sidecar ever holds: an encrypted name of 255 bytes has 362.
const SIDECAR_MAX: usize = 1024;

/// A directory with what is needed to work in it.
pub(super) struct Parent {
    pub(super) inode: Arc<Inode>,
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) directory: Arc<Directory>,
}

impl Parent {
    pub(super) fn id(&self) -> DirectoryId {
        self.directory.id
    }

    /// What is to be made here, under the name `name`: it has this directory's label.
    pub(super) fn new_target(&self, name: &[u8]) -> Result<Target, FsError> {
        let label = self.directory.zone.label.clone();
        Ok(Target::path(self.path_of(name)?).labelled(label))
    }

    /// Refuses to go on where the directory's boundaries, or its own, were changed meanwhile. To be
    /// asked while names do not change.
    pub(super) fn refuse_if_changed(&self) -> Result<(), FsError> {
        match &*self.inode.directory.lock() {
            Some(now) if Arc::ptr_eq(now, &self.directory) => Ok(()),
            _ => Err(Errno::STALE.into()),
        }
    }

    /// The name `name` here, as a link of some inode.
    pub(super) fn link(&self, name: &[u8], stored: &StoredName) -> Link {
        Link {
            parent: self.inode.clone(),
            name: name.to_vec(),
            entry: stored.entry().to_owned(),
        }
    }

    /// The plaintext path of `name` here.
    pub(super) fn path_of(&self, name: &[u8]) -> Result<Vec<u8>, FsError> {
        let parent = self.inode.path().ok_or(Errno::NOENT)?;
        Ok(super::inode::join(&parent, name))
    }
}

impl FileSystem {
    /// The directory `ino`.
    pub(super) fn parent(&self, ino: Ino) -> Result<Parent, FsError> {
        let inode = self.inodes.get(ino)?;
        if !inode.is_directory() {
            return Err(Errno::NOTDIR.into());
        }
        let descriptor = self.inodes.descriptor(&inode)?;
        let directory = self.directory(&inode, &descriptor);
        let directory = self.guard.noticed("DirectoryRecord", &inode, directory)?;
        Ok(Parent {
            inode,
            descriptor,
            directory,
        })
    }

    /// What `name` is stored as in `parent`.
    pub(super) fn stored(&self, parent: &Parent, name: &[u8]) -> Result<StoredName, FsError> {
        Ok(seal_name(&self.keys.names, &parent.id(), name)?)
    }

    /// The plaintext of the long name of `entry`, from its sidecar.
    pub(super) fn long_name(&self, parent: &Parent, entry: &str) -> Result<Vec<u8>, FsError> {
        let sidecar = format!("{entry}{LONG_SIDECAR_SUFFIX}");
        let contents = match read_small(&*parent.descriptor, &sidecar, SIDECAR_MAX) {
            Err(error) if is_absent(&error) => return Err(Damage::Name.into()),
            other => other?,
        };
        open_long_name(&self.keys.names, &parent.id(), entry, &contents)
            .map_err(|_| Damage::Name.into())
    }

    /// Makes the directory `descriptor`, at the place `above`, and writes its record.
    pub(super) fn write_record(
        &self,
        descriptor: impl AsFd,
        above: Option<&Above>,
    ) -> Result<Directory, FsError> {
        let record = DirectoryRecord::new(DirectoryId::generate());
        let sealed = record.seal(&self.keys.directories, above.and_then(Above::boundary));
        let file = sys::create_file(&descriptor, DIRECTORY_RECORD, 0o600)?;
        sys::write_at(&file, &sealed, 0).inspect_err(|_| {
            // A half of one would be damage; without one the directory, which is empty, gets another.
            let _ = sys::unlink(&descriptor, DIRECTORY_RECORD);
        })?;
        // What comes into the directory next must not reach the disk before it.
        sys::start_sync(&file);
        Ok(Directory::new(record, self.zone_at(above)))
    }

    /// Writes the sidecar that `stored` needs. Due before the entry is made, so that no crash leaves
    /// an entry whose name is lost. Whether it is new: only then may it go again if nothing comes of
    /// the entry, since otherwise there may be one already.
    pub(super) fn write_sidecar(
        &self,
        parent: &Parent,
        stored: &StoredName,
    ) -> Result<bool, FsError> {
        let Some((sidecar, encrypted)) = stored.sidecar() else {
            return Ok(false);
        };
        let created = sys::create_file(&*parent.descriptor, &sidecar, 0o600);
        let (file, is_new) = match created {
            Ok(file) => (file, true),
            // The same name always has the same sidecar; a crash may have left half of it.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let access = sys::Access::ReadWrite;
                let file = sys::open_node_path(&*parent.descriptor, &sidecar, access)?;
                (file, false)
            }
            Err(error) => return Err(error.into()),
        };
        if let Err(error) = sys::write_at(&file, encrypted.as_bytes(), 0) {
            if is_new {
                remove_sidecar(parent, stored);
            }
            return Err(error.into());
        }
        sys::start_sync(&file);
        self.unsynced.add_name(&parent.inode, sidecar);
        Ok(is_new)
    }

    /// Makes the entry of `stored` by `make`, with its sidecar. Of one that could not be made nothing
    /// is left.
    pub(super) fn make_entry<T>(
        &self,
        parent: &Parent,
        stored: &StoredName,
        make: impl FnOnce() -> io::Result<T>,
    ) -> Result<T, FsError> {
        let is_new = self.write_sidecar(parent, stored)?;
        let _unchanging = self.inodes.names_unchanging();
        let made = parent.refuse_if_changed().and_then(|()| Ok(make()?));
        made.inspect_err(|_| {
            if is_new {
                remove_sidecar(parent, stored);
            }
        })
    }

    /// An entry that could not be finished, or not be recorded, was never there.
    pub(super) fn take_back(&self, parent: &Parent, stored: &StoredName) {
        if let Err(error) = sys::unlink(&*parent.descriptor, stored.entry()) {
            tracing::error!(%error, "what could not be made could not be removed either");
            self.settling.need();
        } else {
            remove_sidecar(parent, stored);
        }
    }

    /// What the record of the directory `inode` says, and what governs it.
    pub(super) fn directory(
        &self,
        inode: &Inode,
        descriptor: &OwnedFd,
    ) -> Result<Arc<Directory>, FsError> {
        if let Some(known) = &*inode.directory.lock() {
            return Ok(known.clone());
        }
        let above = self.above(inode)?;
        let mut known = inode.directory.lock();
        if let Some(known) = &*known {
            return Ok(known.clone());
        }
        let directory = Arc::new(self.read_directory(inode, descriptor, above.as_ref())?);
        *known = Some(directory.clone());
        Ok(directory)
    }

    /// Where the directory `inode` is.
    pub(super) fn above(&self, inode: &Inode) -> Result<Option<Above>, FsError> {
        if inode.ino == Ino::ROOT {
            return Ok(None);
        }
        let link = inode.link().ok_or(Errno::NOENT)?;
        // Known, since it was found through it: this goes up one step at most.
        let descriptor = self.inodes.descriptor(&link.parent)?;
        let parent = self.directory(&link.parent, &descriptor)?;
        let name = link.name;
        Ok(Some(Above { parent, name }))
    }

    /// Reads the record of a directory whose place is `above`.
    pub(super) fn read_directory(
        &self,
        inode: &Inode,
        descriptor: &OwnedFd,
        above: Option<&Above>,
    ) -> Result<Directory, FsError> {
        let record = match read_small(descriptor, DIRECTORY_RECORD, DIRECTORY_RECORD_MAX + 1) {
            Ok(record) => record,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.replace_lost_record(inode, descriptor, above);
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Damage::DirectoryRecord.into());
            }
            Err(error) => return Err(error.into()),
        };
        let key = &self.keys.directories;
        let place = above.and_then(Above::boundary);
        if let Ok(record) = DirectoryRecord::open(key, place, &record) {
            return Ok(Directory::new(record, self.zone_at(above)));
        }
        // A crash came between the record's creation and its content, or between a boundary in the
        // parent's record and its own.
        let other = match place {
            Some(_) => None,
            None => above.map(Above::place),
        };
        let of_before = DirectoryRecord::open(key, other, &record).ok();
        let is_unwritten = record.iter().all(|&byte| byte == 0);
        if !(is_unwritten || of_before.is_some()) || !is_empty_directory(descriptor)? {
            return Err(Damage::DirectoryRecord.into());
        }
        if self.options.read_only {
            let of_before = of_before.ok_or(Damage::DirectoryRecord)?;
            return Ok(Directory::new(of_before, self.zone_at(above)));
        }
        sys::unlink(descriptor, DIRECTORY_RECORD)?;
        self.replace_lost_record(inode, descriptor, above)
    }

    /// An empty directory without a record is a crash's leftover between `mkdir` and its record, or
    /// between the record's removal and `rmdir`: it gets a new one. Any other has lost its names.
    fn replace_lost_record(
        &self,
        inode: &Inode,
        descriptor: &OwnedFd,
        above: Option<&Above>,
    ) -> Result<Directory, FsError> {
        if !is_empty_directory(descriptor)? || self.options.read_only {
            return Err(Damage::DirectoryRecord.into());
        }
        let directory = self.write_record(descriptor, above)?;
        self.unsynced.add_name(inode, DIRECTORY_RECORD.to_owned());
        Ok(directory)
    }
}

/// Whether nothing but what kmsfs itself needs is in the directory.
pub(super) fn is_empty_directory(descriptor: &OwnedFd) -> Result<bool, FsError> {
    let directory = sys::reopen_directory(descriptor)?;
    let mut empty = true;
    sys::list(&directory, 0, |entry| {
        let sidecar = entry.name.ends_with(LONG_SIDECAR_SUFFIX.as_bytes())
            && entry.name.starts_with(b".kmsfs.long.");
        empty = matches!(entry.name, b"." | b"..")
            || entry.name == DIRECTORY_RECORD.as_bytes()
            || sidecar;
        Ok::<_, FsError>(empty)
    })?;
    Ok(empty)
}

/// The content of the small file `name`, at most `limit` bytes of it. Anything but a regular file is
/// none of ours: `InvalidData`.
pub(super) fn read_small(parent: impl AsFd, name: &str, limit: usize) -> io::Result<Vec<u8>> {
    let not_a_file = || io::Error::new(io::ErrorKind::InvalidData, "not a regular file");
    let file = match sys::open_node_path(parent, name, sys::Access::Read) {
        Err(error) => match Errno::from_io_error(&error) {
            // A symbolic link, a socket.
            Some(Errno::LOOP | Errno::NXIO) => return Err(not_a_file()),
            _ => return Err(error),
        },
        Ok(file) => file,
    };
    let stat = sys::stat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(not_a_file());
    }
    let length = usize::try_from(stat.st_size).unwrap_or(limit);
    let mut contents = vec![0; length.min(limit)];
    let read = sys::read_up_to(&file, &mut contents, 0)?;
    contents.truncate(read);
    Ok(contents)
}

/// Whether [`read_small`] found no file: nothing, or something else in its place.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::InvalidData
    )
}

/// Removes the sidecar of `stored`, whose entry is gone or was never made.
pub(super) fn remove_sidecar(parent: &Parent, stored: &StoredName) {
    let Some((sidecar, _)) = stored.sidecar() else {
        return;
    };
    if let Err(error) = sys::unlink(&*parent.descriptor, &sidecar) {
        // Nothing refers to it: fsck finds it, and nobody else is concerned.
        tracing::warn!(%error, "a name's sidecar could not be removed");
    }
}

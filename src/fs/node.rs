//! A directory's id and the names in it: between plaintext names and backing entries.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::{
    DIRECTORY_RECORD, DIRECTORY_RECORD_LEN, DirectoryId, LONG_SIDECAR_SUFFIX, StoredName,
    open_directory_record, open_long_name, seal_directory_record, seal_name,
};
use crate::sys;

use super::inode::{Inode, Link};
use super::{Damage, FileSystem, FsError, Ino};

/// More than a sidecar ever holds: an encrypted name of 255 bytes has 362.
const SIDECAR_MAX: usize = 1024;

/// A directory with what is needed to work in it.
pub(super) struct Parent {
    pub(super) inode: Arc<Inode>,
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) id: DirectoryId,
}

impl Parent {
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
        let id = self.directory_id(&inode, &descriptor);
        let id = self.guard.noticed("DirectoryRecord", &inode, id)?;
        Ok(Parent {
            inode,
            descriptor,
            id,
        })
    }

    /// What `name` is stored as in `parent`.
    pub(super) fn stored(&self, parent: &Parent, name: &[u8]) -> Result<StoredName, FsError> {
        Ok(seal_name(&self.keys.names, &parent.id, name)?)
    }

    /// The plaintext of the long name of `entry`, from its sidecar.
    pub(super) fn long_name(&self, parent: &Parent, entry: &str) -> Result<Vec<u8>, FsError> {
        let sidecar = format!("{entry}{LONG_SIDECAR_SUFFIX}");
        let contents = match read_small(&*parent.descriptor, &sidecar, SIDECAR_MAX) {
            Err(error) if is_absent(&error) => return Err(Damage::Name.into()),
            other => other?,
        };
        open_long_name(&self.keys.names, &parent.id, entry, &contents)
            .map_err(|_| Damage::Name.into())
    }

    /// Writes the record of the new directory `descriptor`.
    pub(super) fn write_record(
        &self,
        descriptor: impl AsFd,
        id: &DirectoryId,
    ) -> Result<(), FsError> {
        let record = seal_directory_record(&self.keys.directories, id);
        let file = sys::create_file(&descriptor, DIRECTORY_RECORD, 0o600)?;
        sys::write_at(&file, &record, 0)?;
        // What comes into the directory next must not reach the disk before it.
        sys::start_sync(&file);
        Ok(())
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
        make().map_err(|error| {
            if is_new {
                remove_sidecar(parent, stored);
            }
            error.into()
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

    pub(super) fn directory_id(
        &self,
        inode: &Inode,
        descriptor: &OwnedFd,
    ) -> Result<DirectoryId, FsError> {
        let mut known = inode.directory.lock();
        if let Some(id) = *known {
            return Ok(id);
        }
        let id = match read_small(descriptor, DIRECTORY_RECORD, DIRECTORY_RECORD_LEN + 1) {
            Ok(record) => self.open_record(inode, descriptor, &record)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.replace_lost_record(inode, descriptor)?
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Damage::DirectoryRecord.into());
            }
            Err(error) => return Err(error.into()),
        };
        *known = Some(id);
        Ok(id)
    }

    fn open_record(
        &self,
        inode: &Inode,
        descriptor: &OwnedFd,
        record: &[u8],
    ) -> Result<DirectoryId, FsError> {
        if record.iter().all(|&byte| byte == 0) {
            // A crash came between the record's creation and its content.
            if is_empty_directory(descriptor)? && !self.options.read_only {
                sys::unlink(descriptor, DIRECTORY_RECORD)?;
            }
            return self.replace_lost_record(inode, descriptor);
        }
        open_directory_record(&self.keys.directories, record)
            .map_err(|_| Damage::DirectoryRecord.into())
    }

    /// An empty directory without a record is a crash's leftover between `mkdir` and its record, or
    /// between the record's removal and `rmdir`: it gets a new one. Any other has lost its names.
    fn replace_lost_record(
        &self,
        inode: &Inode,
        descriptor: &OwnedFd,
    ) -> Result<DirectoryId, FsError> {
        if !is_empty_directory(descriptor)? || self.options.read_only {
            return Err(Damage::DirectoryRecord.into());
        }
        let id = DirectoryId::generate();
        self.write_record(descriptor, &id)?;
        self.unsynced.add_name(inode, DIRECTORY_RECORD.to_owned());
        Ok(id)
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
    if FileType::from_raw_mode(sys::stat(&file)?.st_mode) != FileType::RegularFile {
        return Err(not_a_file());
    }
    let mut contents = vec![0; limit];
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

//! Extended attributes: ours encrypted, POSIX ACLs passed through for the kernel to enforce.

use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::{
    XattrBinding, XattrError, open_xattr, open_xattr_name, seal_xattr, seal_xattr_name,
};
use crate::sys;

use super::caller::Caller;
use super::guard::{Action, Target};
use super::inode::Inode;
use super::{Damage, FileSystem, FsError, Ino};

const ACCESS_ACL: &str = "system.posix_acl_access";
const ACLS: [&str; 2] = [ACCESS_ACL, "system.posix_acl_default"];
const CAPABILITY: &str = "security.capability";

/// Whether an attribute must be new, or must exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XattrCreate {
    /// Either.
    CreateOrReplace,
    /// It must not exist.
    Create,
    /// It must exist.
    Replace,
}

impl FileSystem {
    /// The value of an attribute.
    ///
    /// # Errors
    /// `ENODATA` when there is none; an integrity failure.
    pub fn get_xattr(&self, ino: Ino, name: &str) -> Result<Vec<u8>, FsError> {
        let inode = self.inodes.get(ino)?;
        self.guard
            .noticed("GetXattr", &inode, self.xattr(&inode, name))
    }

    fn xattr(&self, inode: &Inode, name: &str) -> Result<Vec<u8>, FsError> {
        let descriptor = self.inodes.descriptor(inode)?;
        if ACLS.contains(&name) {
            return Ok(sys::get_xattr(&*descriptor, name)?);
        }
        let Some(binding) = self.binding_if_any(inode, &descriptor)? else {
            return Err(Errno::NODATA.into());
        };
        let stored = stored_name(&self.keys.xattrs, binding, name)?;
        let sealed = sys::get_xattr(&*descriptor, &stored)?;
        Ok(open_xattr(&self.keys.xattrs, binding, name, &sealed).map_err(|_| Damage::Xattr)?)
    }

    /// The names of all attributes that `caller` may see, each with a NUL behind it: `trusted.*` is for
    /// root (`xattr(7)`).
    ///
    /// # Errors
    /// An integrity failure, or the backing filesystem.
    pub fn list_xattrs(&self, caller: Caller, ino: Ino) -> Result<Vec<u8>, FsError> {
        let inode = self.inodes.get(ino)?;
        let names = self.xattr_names(&inode);
        let names = self.guard.noticed("ListXattrs", &inode, names)?;
        if caller.uid == 0 {
            return Ok(names);
        }
        let seen = names
            .split_inclusive(|&byte| byte == 0)
            .filter(|name| !name.starts_with(b"trusted."));
        Ok(seen.flatten().copied().collect())
    }

    fn xattr_names(&self, inode: &Inode) -> Result<Vec<u8>, FsError> {
        let descriptor = self.inodes.descriptor(inode)?;
        let stored = sys::list_xattrs(&*descriptor)?;
        let mut binding = None;
        let mut names = Vec::new();
        for stored in stored
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty())
        {
            let Ok(stored) = std::str::from_utf8(stored) else {
                continue;
            };
            if ACLS.contains(&stored) {
                names.extend(stored.bytes().chain([0]));
                continue;
            }
            let binding = match binding {
                Some(binding) => binding,
                None => *binding.insert(self.binding(inode, &descriptor)?),
            };
            let name =
                open_xattr_name(&self.keys.xattrs, binding, stored).map_err(|_| Damage::Xattr)?;
            if let Some(name) = name {
                names.extend(name.into_bytes().into_iter().chain([0]));
            }
        }
        Ok(names)
    }

    /// Whether it has attributes other than ACLs.
    pub(super) fn has_sealed_xattrs(&self, inode: &Inode) -> Result<bool, FsError> {
        let names = self.xattr_names(inode)?;
        let mut names = names
            .split(|&byte| byte == 0)
            .filter(|name| !name.is_empty());
        Ok(names.any(|name| !ACLS.iter().any(|acl| acl.as_bytes() == name)))
    }

    /// Sets an attribute.
    ///
    /// # Errors
    /// Policy; `EEXIST`, `ENODATA` as `create` says; the backing filesystem's limits.
    pub fn set_xattr(
        &self,
        caller: Caller,
        ino: Ino,
        name: &str,
        value: &[u8],
        create: XattrCreate,
    ) -> Result<(), FsError> {
        let flags = match create {
            XattrCreate::CreateOrReplace => sys::XattrFlags::empty(),
            XattrCreate::Create => sys::XattrFlags::CREATE,
            XattrCreate::Replace => sys::XattrFlags::REPLACE,
        };
        self.change_xattr(caller, ino, name, "SetXattr", |inode, node| {
            if ACLS.contains(&name) {
                sys::set_xattr(node, name, value, flags)?;
                return if name == ACCESS_ACL {
                    self.drop_set_group_id(caller, inode)
                } else {
                    Ok(())
                };
            }
            let binding = self.binding(inode, node)?;
            let stored = stored_name(&self.keys.xattrs, binding, name)?;
            let sealed = seal_xattr(&self.keys.xattrs, binding, name, value);
            sys::set_xattr(node, &stored, &sealed, flags)?;
            if name == CAPABILITY {
                inode.open.lock().capability_gone = false;
            }
            Ok(())
        })
    }

    /// Removes an attribute.
    ///
    /// # Errors
    /// Policy; `ENODATA` when there is none.
    pub fn remove_xattr(&self, caller: Caller, ino: Ino, name: &str) -> Result<(), FsError> {
        self.change_xattr(caller, ino, name, "RemoveXattr", |inode, node| {
            if ACLS.contains(&name) {
                return Ok(sys::remove_xattr(node, name)?);
            }
            let binding = self.binding(inode, node)?;
            let stored = stored_name(&self.keys.xattrs, binding, name)?;
            Ok(sys::remove_xattr(node, &stored)?)
        })
    }

    /// A file that is changed loses its capabilities, as `capabilities(7)` says.
    pub(super) fn drop_capability(&self, inode: &Inode, node: &OwnedFd) -> Result<(), FsError> {
        if inode.kind != FileType::RegularFile {
            return Ok(());
        }
        let Some(binding) = self.binding_if_any(inode, node)? else {
            return Ok(());
        };
        let stored = stored_name(&self.keys.xattrs, binding, CAPABILITY)?;
        match sys::remove_xattr(node, &stored) {
            Ok(()) => Ok(()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NODATA | Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    fn change_xattr(
        &self,
        caller: Caller,
        ino: Ino,
        name: &str,
        operation: &'static str,
        change: impl FnOnce(&Inode, &OwnedFd) -> Result<(), FsError>,
    ) -> Result<(), FsError> {
        self.refuse_if_read_only()?;
        let inode = self.inodes.get(ino)?;
        let descriptor = self.inodes.descriptor(&inode)?;
        let who = self.guard.identify(caller)?;
        let target = Target::of(&inode);
        let attempt = self.guard.attempt(operation, &who, &target);
        let action = if ACLS.contains(&name) {
            Action::SetSecurity
        } else {
            Action::SetAttr
        };
        let allowed = attempt.check(action)?;
        attempt.perform(
            &allowed,
            |event| event.parameter("name", name.to_owned()),
            || change(&inode, &descriptor),
        )
    }

    /// The binding, unless the node has no attribute of ours: most have none, and a file's id costs
    /// a read of its header.
    fn binding_if_any(
        &self,
        inode: &Inode,
        node: &OwnedFd,
    ) -> Result<Option<XattrBinding>, FsError> {
        let known = inode.file.lock().is_some() || inode.kind != FileType::RegularFile;
        if !known {
            let names = sys::list_xattrs(node)?;
            if !names
                .split(|&byte| byte == 0)
                .any(|name| name.windows(7).any(|part| part == b".kmsfs."))
            {
                return Ok(None);
            }
        }
        self.binding(inode, node).map(Some)
    }

    fn binding(&self, inode: &Inode, node: &OwnedFd) -> Result<XattrBinding, FsError> {
        match inode.kind {
            FileType::RegularFile => {
                let known = *inode.file.lock();
                let id = match known {
                    Some(id) => id,
                    // Not authentic: under another file's id nothing of this one's would open.
                    None => self.read_header(node)?.1.newest().1.unverified().file,
                };
                *inode.file.lock() = Some(id);
                Ok(XattrBinding::File(id))
            }
            FileType::Directory => {
                let id = self.parent(inode.ino)?.id();
                Ok(XattrBinding::Directory(id))
            }
            _ => Ok(XattrBinding::Volume(self.config.volume)),
        }
    }
}

fn stored_name(
    key: &crate::crypto::SivKey,
    binding: XattrBinding,
    name: &str,
) -> Result<String, FsError> {
    match seal_xattr_name(key, binding, name) {
        // A namespace without a name in it, as the kernel's own filesystems answer it.
        Err(XattrError::Namespace) if matches!(name, "user." | "trusted." | "security.") => {
            Err(Errno::INVAL.into())
        }
        Err(XattrError::Namespace) => Err(Errno::OPNOTSUPP.into()),
        other => Ok(other?),
    }
}

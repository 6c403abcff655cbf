//! What a change takes from a file besides what it was asked to: set-id bits and file capabilities.
//!
//! FUSE leaves this to the filesystem (`FUSE_HANDLE_KILLPRIV_V2`). The rules are the kernel's own for
//! local filesystems, `setattr_should_drop_suidgid` and `file_remove_privs` in `fs/attr.c` and
//! `fs/inode.c` of Linux.

use super::caller::Caller;
use super::inode::Inode;
use super::{FileSystem, FsError};
use crate::sys;

const SET_USER_ID: u32 = 0o4000;
const SET_GROUP_ID: u32 = 0o2000;
const GROUP_EXECUTE: u32 = 0o010;

/// What became of a file's set-id bits. The kernel's cached mode does not know when they went.
#[must_use]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetIds {
    /// They are what they were.
    Kept,
    /// At least one of them is gone.
    Dropped,
}

impl FileSystem {
    /// A change of content or length by `caller`.
    pub(super) fn drop_privileges(&self, caller: Caller, inode: &Inode) -> Result<SetIds, FsError> {
        let descriptor = self.inodes.descriptor(inode)?;
        self.drop_capability(inode, &descriptor)?;
        if caller.uid == 0 {
            Ok(SetIds::Kept)
        } else {
            self.drop_set_ids(caller, inode)
        }
    }

    /// Takes the bits that `caller`, who may not keep set-id bits of others' files (`CAP_FSETID`),
    /// takes by changing the file.
    pub(super) fn drop_set_ids(&self, caller: Caller, inode: &Inode) -> Result<SetIds, FsError> {
        let descriptor = self.inodes.descriptor(inode)?;
        let stat = sys::stat(&*descriptor)?;
        let mode = stat.st_mode;
        let mut kept = mode & !SET_USER_ID;
        if mode & SET_GROUP_ID != 0
            && (mode & GROUP_EXECUTE != 0 || !caller.may_keep_set_group_id(stat.st_gid))
        {
            kept &= !SET_GROUP_ID;
        }
        if kept == mode {
            return Ok(SetIds::Kept);
        }
        sys::change_mode(&*descriptor, kept)?;
        Ok(SetIds::Dropped)
    }

    /// An access ACL set by `caller`: the set-group-id bit stays only with who may keep it.
    pub(super) fn drop_set_group_id(&self, caller: Caller, inode: &Inode) -> Result<(), FsError> {
        let descriptor = self.inodes.descriptor(inode)?;
        let stat = sys::stat(&*descriptor)?;
        if stat.st_mode & SET_GROUP_ID != 0 && !caller.may_keep_set_group_id(stat.st_gid) {
            sys::change_mode(&*descriptor, stat.st_mode & !SET_GROUP_ID)?;
        }
        Ok(())
    }
}

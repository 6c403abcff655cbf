//! System calls: directory-relative, close-on-exec, never through a symbolic link.
//!
//! The only module with `unsafe`, and only for what `rustix` does not wrap.

mod at;
mod executable;
mod identity;
mod io;
mod list;
mod mapping;
mod process;
#[cfg(not(test))]
mod seam;
#[cfg(test)]
pub(crate) mod seam;
mod xattr;

pub use at::{
    Access, NewNode, Stat, StatFs, change_mode, change_owner, change_times, create_file, created,
    keep_access_time, link, make_directory, make_node, make_symlink, open_directory_path,
    open_node, open_node_path, read_link, refresh_attributes, remove_directory, rename, reopen,
    reopen_directory, restore_times, stat, stat_at, statfs, unlink,
};
pub use executable::{Executable, FileState, executable};
pub use identity::{
    Identity, Impersonated, act_for, impersonate, impersonates, obey_quotas, own_identity,
};
pub use io::{
    Allocate, CutShort, allocate, next_data, next_hole, read_at, read_up_to, start_sync, sync_data,
    sync_directory, sync_filesystem, truncate, write_at, write_from,
};
pub use list::{Entry, EntryKind, list};
pub use mapping::{Mapping, is_in_memory};
pub use process::{
    began, boot, clear_umask, file_limit, harden, lock_memory, login_uid, raise_file_limit, uptime,
    worker_count,
};
pub use xattr::{get_xattr, list_xattrs, remove_xattr, set_xattr};

pub use rustix::fs::{RenameFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, XattrFlags};

use std::os::fd::{AsFd, AsRawFd as _};

/// The path by which `/proc` reaches what `fd` refers to, for calls that take no `O_PATH` descriptor.
fn proc_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

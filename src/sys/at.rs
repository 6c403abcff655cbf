//! Nodes by parent descriptor and name, and by their own descriptor.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RenameFlags, ResolveFlags, StatxFlags, Timespec,
    Timestamps, Uid, chmodat, chownat, fcntl_getfl, fcntl_setfl, futimens, linkat, mkdirat,
    mknodat, openat, openat2, readlinkat, renameat_with, statat, statx, symlinkat, unlinkat,
    utimensat,
};
use rustix::io::Errno;

use super::proc_path;
use super::seam::{Call, pass};

/// What `fstat(2)` tells.
pub type Stat = rustix::fs::Stat;
/// What `fstatfs(2)` tells, in the terms of `statvfs`.
pub type StatFs = rustix::fs::StatVfs;

/// How a backing file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// To read only.
    Read,
    /// To read and write.
    ReadWrite,
}

impl Access {
    fn flags(self) -> OFlags {
        match self {
            Self::Read => OFlags::RDONLY,
            Self::ReadWrite => OFlags::RDWR,
        }
    }
}

/// A node that is neither file, directory nor symbolic link.
#[derive(Debug, Clone, Copy)]
pub struct NewNode {
    /// `st_mode`, type and permissions.
    pub mode: u32,
    /// Device number, for devices.
    pub device: u64,
}

/// A descriptor of the directory at `path`, which may be a symbolic link to one.
///
/// # Errors
/// Those of `open(2)`.
pub fn open_directory_path(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(pass(Call::Look("open"), || {
        openat(CWD, path, flags, Mode::empty())
    })?)
}

/// An `O_PATH` descriptor of `name` in `parent`, whatever its type.
///
/// # Errors
/// Those of `openat(2)`.
pub fn open_node(parent: impl AsFd, name: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || openat(&parent, name, flags, Mode::empty());
    Ok(pass(Call::Look("open"), open)?)
}

/// A descriptor to read the regular file `name` in `parent`.
///
/// # Errors
/// Those of `openat(2)`; `ELOOP` for a symbolic link.
pub fn open_node_path(parent: impl AsFd, name: &str, access: Access) -> io::Result<OwnedFd> {
    // NONBLOCK: a fifo put in a file's place must not hang the caller.
    let flags = access.flags() | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = || openat(&parent, name, flags, Mode::empty());
    Ok(pass(Call::Look("open"), open)?)
}

/// Opens the regular file that the `O_PATH` descriptor `node` refers to.
///
/// # Errors
/// Those of `open(2)`.
pub fn reopen(node: impl AsFd, access: Access) -> io::Result<OwnedFd> {
    let flags = access.flags() | OFlags::CLOEXEC;
    let open = || openat(CWD, proc_path(&node), flags, Mode::empty());
    Ok(pass(Call::Look("open"), open)?)
}

/// Opens the directory that `node` refers to, for listing and as a parent.
///
/// # Errors
/// Those of `open(2)`.
pub fn reopen_directory(node: impl AsFd) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let open = || openat(&node, ".", flags, Mode::empty());
    Ok(pass(Call::Look("open"), open)?)
}

/// Lets reading from `opened` leave its access time alone, where the file is this process's own or it
/// may act as every owner; elsewhere the mount that it is on decides.
///
/// # Errors
/// Those of `fcntl(2)`.
pub fn keep_access_time(opened: impl AsFd) -> io::Result<()> {
    let flags = fcntl_getfl(&opened)?;
    match fcntl_setfl(&opened, flags | OFlags::NOATIME) {
        Err(Errno::PERM) => Ok(()),
        other => Ok(other?),
    }
}

/// Creates the regular file `name`, which must not exist, open to read and write.
///
/// # Errors
/// Those of `openat(2)`.
pub fn create_file(parent: impl AsFd, name: &str, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let parent = parent.as_fd();
    let create = || openat(parent, name, flags, Mode::from_raw_mode(mode));
    Ok(pass(Call::Make { parent, name }, create)?)
}

/// Creates a directory.
///
/// # Errors
/// Those of `mkdirat(2)`.
pub fn make_directory(parent: impl AsFd, name: &str, mode: u32) -> io::Result<()> {
    let parent = parent.as_fd();
    let make = || mkdirat(parent, name, Mode::from_raw_mode(mode));
    Ok(pass(Call::Make { parent, name }, make)?)
}

/// Creates a fifo, socket or device.
///
/// # Errors
/// Those of `mknodat(2)`.
pub fn make_node(parent: impl AsFd, name: &str, node: NewNode) -> io::Result<()> {
    let parent = parent.as_fd();
    let kind = FileType::from_raw_mode(node.mode);
    let mode = Mode::from_raw_mode(node.mode);
    let make = || mknodat(parent, name, kind, mode, node.device);
    Ok(pass(Call::Make { parent, name }, make)?)
}

/// Creates a symbolic link.
///
/// # Errors
/// Those of `symlinkat(2)`.
pub fn make_symlink(target: &str, parent: impl AsFd, name: &str) -> io::Result<()> {
    let parent = parent.as_fd();
    let make = || symlinkat(target, parent, name);
    Ok(pass(Call::Make { parent, name }, make)?)
}

/// The target of the symbolic link that `node` (`O_PATH`) refers to.
///
/// # Errors
/// Those of `readlinkat(2)`.
pub fn read_link(node: impl AsFd) -> io::Result<Vec<u8>> {
    let read = || readlinkat(&node, "", Vec::new());
    Ok(pass(Call::Look("readlink"), read)?.into_bytes())
}

/// Gives `node` a further name.
///
/// # Errors
/// Those of `linkat(2)`.
pub fn link(node: impl AsFd, parent: impl AsFd, name: &str) -> io::Result<()> {
    let (node, parent) = (node.as_fd(), parent.as_fd());
    let link = || {
        let path = proc_path(node);
        linkat(CWD, path, parent, name, AtFlags::SYMLINK_FOLLOW)
    };
    Ok(pass(Call::Link { node, parent, name }, link)?)
}

/// Renames.
///
/// # Errors
/// Those of `renameat2(2)`.
pub fn rename(
    from: BorrowedFd<'_>,
    name: &str,
    to: BorrowedFd<'_>,
    new_name: &str,
    flags: RenameFlags,
) -> io::Result<()> {
    let call = Call::Rename {
        from,
        name,
        to,
        new_name,
        flags,
    };
    Ok(pass(call, || {
        renameat_with(from, name, to, new_name, flags)
    })?)
}

/// Removes a name that is not a directory's.
///
/// # Errors
/// Those of `unlinkat(2)`.
pub fn unlink(parent: impl AsFd, name: &str) -> io::Result<()> {
    let parent = parent.as_fd();
    let remove = || unlinkat(parent, name, AtFlags::empty());
    Ok(pass(Call::Remove { parent, name }, remove)?)
}

/// Removes an empty directory.
///
/// # Errors
/// Those of `unlinkat(2)`.
pub fn remove_directory(parent: impl AsFd, name: &str) -> io::Result<()> {
    let parent = parent.as_fd();
    let remove = || unlinkat(parent, name, AtFlags::REMOVEDIR);
    Ok(pass(Call::Remove { parent, name }, remove)?)
}

/// The attributes of what `node` refers to.
///
/// # Errors
/// Those of `fstat(2)`.
pub fn stat(node: impl AsFd) -> io::Result<Stat> {
    Ok(pass(Call::Look("fstat"), || rustix::fs::fstat(&node))?)
}

/// When what `node` refers to was made, in seconds and nanoseconds since 1970; `None` where the
/// filesystem does not keep that.
///
/// # Errors
/// Those of `statx(2)`.
pub fn created(node: impl AsFd) -> io::Result<Option<(i64, u32)>> {
    let look = || statx(&node, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME);
    let told = pass(Call::Look("statx"), look)?;
    let known = told.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(known.then_some((told.stx_btime.tv_sec, told.stx_btime.tv_nsec)))
}

/// Has the kernel ask the filesystem mounted at `mountpoint` for the attributes of what is at `path`
/// below it, whatever it believes to know. Nothing that users may have mounted or linked in between is
/// entered: it might never answer.
///
/// # Errors
/// Those of `openat2(2)` and `statx(2)`.
pub fn refresh_attributes(mountpoint: &Path, path: &[u8]) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = rustix::fs::open(mountpoint, flags | OFlags::DIRECTORY, Mode::empty())?;
    let beneath = ResolveFlags::BENEATH
        | ResolveFlags::NO_XDEV
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS;
    let node = openat2(
        &root,
        path,
        flags | OFlags::NOFOLLOW,
        Mode::empty(),
        beneath,
    )?;
    let ask = AtFlags::EMPTY_PATH | AtFlags::STATX_FORCE_SYNC;
    statx(&node, "", ask, StatxFlags::SIZE)?;
    Ok(())
}

/// The attributes of `name` in `parent`.
///
/// # Errors
/// Those of `fstatat(2)`.
pub fn stat_at(parent: impl AsFd, name: &str) -> io::Result<Stat> {
    let look = || statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW);
    Ok(pass(Call::Look("fstatat"), look)?)
}

/// Space and inodes of the filesystem that `fd` is on.
///
/// # Errors
/// Those of `fstatvfs(3)`.
pub fn statfs(fd: impl AsFd) -> io::Result<StatFs> {
    Ok(pass(Call::Look("fstatvfs"), || rustix::fs::fstatvfs(&fd))?)
}

/// Sets permissions (the lower twelve bits of `mode`).
///
/// # Errors
/// Those of `fchmodat(2)`.
pub fn change_mode(node: impl AsFd, mode: u32) -> io::Result<()> {
    let mode = Mode::from_raw_mode(mode & 0o7777);
    let change = || chmodat(CWD, proc_path(&node), mode, AtFlags::empty());
    Ok(pass(Call::Attributes("chmod"), change)?)
}

/// Sets owner and group; `None` leaves one as it is.
///
/// # Errors
/// Those of `fchownat(2)`.
pub fn change_owner(node: impl AsFd, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
    let (uid, gid) = (uid.map(Uid::from_raw), gid.map(Gid::from_raw));
    let change = || chownat(&node, "", uid, gid, AtFlags::EMPTY_PATH);
    Ok(pass(Call::Attributes("chown"), change)?)
}

/// Sets access and modification time.
///
/// # Errors
/// Those of `utimensat(2)`.
pub fn change_times(node: impl AsFd, times: &Timestamps) -> io::Result<()> {
    let change = || utimensat(&node, "", times, AtFlags::EMPTY_PATH);
    Ok(pass(Call::Attributes("utimes"), change)?)
}

/// Sets access and modification time back to what `before` says.
///
/// # Errors
/// Those of `futimens(3)`.
pub fn restore_times(file: impl AsFd, before: &Stat) -> io::Result<()> {
    let time = |seconds, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: nanoseconds.cast_signed(),
    };
    let times = Timestamps {
        last_access: time(before.st_atime, before.st_atime_nsec),
        last_modification: time(before.st_mtime, before.st_mtime_nsec),
    };
    Ok(pass(Call::Attributes("utimes"), || {
        futimens(&file, &times)
    })?)
}

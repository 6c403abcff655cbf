//! What a process runs, looked at without waiting for the filesystem that it lies on: that may be one
//! that answers when it likes.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, Statx, StatxFlags, openat, openat2, readlinkat, statx,
};
use rustix::io::Errno;

use super::proc_path;

/// How often a path is looked up that the kernel has at hand: a rename or mount elsewhere can come
/// between each time.
const TRIES: usize = 16;

/// Filesystems of the machine's own, whose files are read in bounded time.
const LOCAL: [&str; 16] = [
    "bcachefs", "btrfs", "erofs", "ext2", "ext3", "ext4", "f2fs", "iso9660", "overlay", "ramfs",
    "rootfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// The file that a process runs.
#[derive(Debug)]
pub struct Executable(OwnedFd);

/// Which file, and in which state: another content has another one, but for what `docs/threat-model.md`
/// says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileState {
    device: (u32, u32),
    ino: u64,
    /// Length in bytes.
    pub size: u64,
    modified: (i64, u32),
    changed: (i64, u32),
}

/// What the thread `pid` runs; `None` when that cannot be told. The thread must be held up meanwhile,
/// so that it is the one that is meant.
pub fn executable(pid: u32) -> Option<Executable> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let path = format!("/proc/{pid}/exe");
    openat(CWD, path, flags, Mode::empty()).ok().map(Executable)
}

impl Executable {
    /// The path by which this process reaches that very file. None if it was removed or replaced, or if
    /// only other namespaces have it there: then the path that the kernel tells is of their making.
    pub fn path(&self) -> Option<PathBuf> {
        let told = readlinkat(CWD, proc_path(&self.0), Vec::new()).ok()?;
        let path = PathBuf::from(OsString::from_vec(told.into_bytes()));
        let resolve =
            ResolveFlags::CACHED | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let open = || openat2(CWD, &path, flags, Mode::empty(), resolve);
        let there = (0..TRIES)
            .map(|_| open())
            .find(|opened| !matches!(opened, Err(Errno::AGAIN)))?
            .ok()?;
        (look(&there).ok()? == look(&self.0).ok()?).then_some(path)
    }

    /// Which file it is.
    ///
    /// # Errors
    /// Those of `statx(2)`.
    pub fn state(&self) -> io::Result<FileState> {
        look(&self.0)
    }

    /// The file, to read; `None` if it lies on no filesystem of the machine's own, as this process has
    /// them mounted.
    ///
    /// # Errors
    /// Those of `open(2)`; when `/proc` cannot be read.
    pub fn open_local(&self) -> io::Result<Option<OwnedFd>> {
        let Statx {
            stx_mnt_id,
            stx_dev_major,
            stx_dev_minor,
            ..
        } = told(&self.0, StatxFlags::MNT_ID)?;
        let device = format!("{stx_dev_major}:{stx_dev_minor}");
        let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
        if !is_local(&mounts, stx_mnt_id, &device) {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        Ok(Some(openat(CWD, proc_path(&self.0), flags, Mode::empty())?))
    }
}

/// What the kernel has at hand of a file. It asks nobody for more.
fn told(file: &OwnedFd, what: StatxFlags) -> rustix::io::Result<Statx> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    statx(file, "", flags, what)
}

fn look(file: &OwnedFd) -> io::Result<FileState> {
    let stat = told(file, StatxFlags::empty())?;
    Ok(FileState {
        device: (stat.stx_dev_major, stat.stx_dev_minor),
        ino: stat.stx_ino,
        size: stat.stx_size,
        modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
        changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
    })
}

/// Whether the mount `id`, or one of `device`, is of a local filesystem, by this process's mounts
/// (`proc_pid_mountinfo(5)`).
fn is_local(mounts: &str, id: u64, device: &str) -> bool {
    let id = id.to_string();
    let kind = |of: &dyn Fn(&[&str]) -> bool| {
        mounts.lines().find_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let fields: Vec<&str> = mount.split(' ').take(3).collect();
            (fields.len() == 3 && of(&fields)).then(|| filesystem.split(' ').next())?
        })
    };
    let found = kind(&|fields| fields[0] == id).or_else(|| kind(&|fields| fields[2] == device));
    found.is_some_and(|kind| LOCAL.contains(&kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number_or_its_device_and_judged_by_its_type() {
        let mounts = "21 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n\
                      30 21 0:52 / /home/m/mnt rw,user_id=7 - fuse.sshfs m: rw\n\
                      31 21 0:53 / /mnt/x\\040-\\040y rw - tmpfs none rw\n\
                      32 21 0:54 / /n rw - nfs4 host:/n rw\n";
        assert!(is_local(mounts, 21, "0:0"));
        assert!(is_local(mounts, 99, "8:1"));
        assert!(is_local(mounts, 31, "0:53"));
        assert!(!is_local(mounts, 30, "8:1"));
        assert!(!is_local(mounts, 99, "0:52"));
        assert!(!is_local(mounts, 32, "0:54"));
        assert!(!is_local(mounts, 99, "0:99"));
        assert!(!is_local("", 1, ""));
        assert!(!is_local("no mount\n1 2 3\n", 1, "3"));
    }

    #[test]
    fn this_processs_executable_is_found() {
        let own = executable(std::process::id()).unwrap();
        assert_eq!(own.path(), std::env::current_exe().ok());
        let size = std::env::current_exe().unwrap().metadata().unwrap().len();
        assert_eq!(own.state().unwrap().size, size);
        assert!(own.open_local().unwrap().is_some());
        assert!(executable(0).is_none(), "no process has number 0");
    }
}

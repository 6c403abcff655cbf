//! Between the kernel's types and ours.

use std::ffi::OsStr;
use std::time::{Duration, SystemTime};

use fuser::{FileAttr, FileHandle, FileType, INodeNo, Request, TimeOrNow};

use crate::fs::{
    Allocation, Attr, BoundaryRequest, Caller, FsError, HandleId, Ino, NewTime, OpenFlags,
    RenameMode, XattrCreate,
};

/// `FMODE_EXEC`: the kernel's mark of a file opened to be run (`include/linux/fs.h`).
const FMODE_EXEC: i32 = 0x20;

pub(super) fn open_flags(flags: i32) -> OpenFlags {
    let access = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => OpenFlags::READ,
        libc::O_WRONLY => OpenFlags::WRITE,
        libc::O_RDWR => OpenFlags::READ | OpenFlags::WRITE,
        _ => OpenFlags::empty(),
    };
    let also = [
        (libc::O_APPEND, OpenFlags::APPEND),
        (libc::O_TRUNC, OpenFlags::TRUNCATE),
        (FMODE_EXEC, OpenFlags::EXECUTE),
    ];
    also.into_iter()
        .filter(|(bit, _)| flags & bit != 0)
        .fold(access, |all, (_, flag)| all | flag)
}

/// `None` for a combination that `renameat2(2)` does not have.
pub(super) fn rename_mode(flags: fuser::RenameFlags) -> Option<RenameMode> {
    use fuser::RenameFlags as Flags;
    match flags {
        none if none.is_empty() => Some(RenameMode::Replace),
        Flags::RENAME_NOREPLACE => Some(RenameMode::NoReplace),
        Flags::RENAME_EXCHANGE => Some(RenameMode::Exchange),
        Flags::RENAME_WHITEOUT => Some(RenameMode::Whiteout),
        both if both == Flags::RENAME_WHITEOUT | Flags::RENAME_NOREPLACE => {
            Some(RenameMode::WhiteoutNoReplace)
        }
        _ => None,
    }
}

/// `None` for a mode of `fallocate(2)` that is not supported.
pub(super) fn allocation(mode: i32) -> Option<Allocation> {
    let keep_length = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
    match mode & !libc::FALLOC_FL_KEEP_SIZE {
        0 => Some(Allocation::Reserve { keep_length }),
        libc::FALLOC_FL_PUNCH_HOLE if keep_length => Some(Allocation::Punch),
        libc::FALLOC_FL_ZERO_RANGE => Some(Allocation::Zero { keep_length }),
        _ => None,
    }
}

pub(super) fn xattr_create(flags: i32) -> XattrCreate {
    match flags {
        libc::XATTR_CREATE => XattrCreate::Create,
        libc::XATTR_REPLACE => XattrCreate::Replace,
        _ => XattrCreate::CreateOrReplace,
    }
}

pub(super) fn file_attr(attr: &Attr) -> FileAttr {
    let stat = &attr.stat;
    FileAttr {
        ino: INodeNo(attr.ino.0),
        size: attr.size,
        blocks: stat.st_blocks.unsigned_abs(),
        atime: system_time(stat.st_atime, stat.st_atime_nsec),
        mtime: system_time(stat.st_mtime, stat.st_mtime_nsec),
        ctime: system_time(stat.st_ctime, stat.st_ctime_nsec),
        crtime: SystemTime::UNIX_EPOCH,
        kind: file_type(rustix::fs::FileType::from_raw_mode(stat.st_mode)),
        perm: (stat.st_mode & 0o7777) as u16,
        nlink: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: stat.st_uid,
        gid: stat.st_gid,
        rdev: device(stat.st_rdev),
        blksize: crate::format::BLOCK_LEN as u32,
        flags: 0,
    }
}

/// The attributes of a name that is not there: the kernel remembers that, too.
pub(super) fn absent() -> FileAttr {
    FileAttr {
        ino: INodeNo(0),
        size: 0,
        blocks: 0,
        atime: SystemTime::UNIX_EPOCH,
        mtime: SystemTime::UNIX_EPOCH,
        ctime: SystemTime::UNIX_EPOCH,
        crtime: SystemTime::UNIX_EPOCH,
        kind: FileType::RegularFile,
        perm: 0,
        nlink: 0,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 0,
        flags: 0,
    }
}

pub(super) fn file_type(kind: rustix::fs::FileType) -> FileType {
    use rustix::fs::FileType as Kind;
    match kind {
        Kind::Directory => FileType::Directory,
        Kind::Symlink => FileType::Symlink,
        Kind::Fifo => FileType::NamedPipe,
        Kind::Socket => FileType::Socket,
        Kind::CharacterDevice => FileType::CharDevice,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::RegularFile | Kind::Unknown => FileType::RegularFile,
    }
}

pub(super) fn new_time(time: TimeOrNow) -> NewTime {
    match time {
        TimeOrNow::Now => NewTime::Now,
        TimeOrNow::SpecificTime(time) => {
            let (seconds, nanoseconds) = match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => (after.as_secs().cast_signed(), after.subsec_nanos()),
                // fuser 0.18 reads a time before 1970 as "so many seconds and nanoseconds before",
                // where the kernel says "so many seconds before, and nanoseconds after that".
                Err(before) => {
                    let before = before.duration();
                    (-before.as_secs().cast_signed(), before.subsec_nanos())
                }
            };
            NewTime::At(seconds, nanoseconds)
        }
    }
}

fn system_time(seconds: i64, nanoseconds: impl TryInto<u32>) -> SystemTime {
    let nanoseconds = nanoseconds.try_into().unwrap_or(0);
    let whole = Duration::from_secs(seconds.unsigned_abs());
    let start = if seconds < 0 {
        SystemTime::UNIX_EPOCH - whole
    } else {
        SystemTime::UNIX_EPOCH + whole
    };
    start + Duration::from_nanos(u64::from(nanoseconds))
}

/// Device numbers as the protocol has them: 32 bits, as `new_encode_dev` of the kernel.
fn device(number: u64) -> u32 {
    let (major, minor) = (libc::major(number), libc::minor(number));
    (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12)
}

/// The inverse of [`device`], into the C library's numbering.
pub(super) fn device_number(encoded: u32) -> u64 {
    let major = (encoded & 0xfff00) >> 8;
    let minor = (encoded & 0xff) | ((encoded >> 12) & 0xfff00);
    libc::makedev(major, minor)
}

pub(super) fn ino(number: INodeNo) -> Ino {
    Ino(number.0)
}

pub(super) fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
    }
}

pub(super) fn handle(number: FileHandle) -> HandleId {
    HandleId(number.0)
}

/// Attribute names are text in every namespace that is stored.
pub(super) fn text(name: &OsStr) -> Result<&str, FsError> {
    name.to_str().ok_or(rustix::io::Errno::OPNOTSUPP.into())
}

/// What is asked of a directory, from the attribute's value.
pub(super) fn boundary_request(value: &[u8]) -> Result<BoundaryRequest, FsError> {
    serde_json::from_slice(value).map_err(|_| rustix::io::Errno::INVAL.into())
}

/// An attribute's value.
pub(super) fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("text serialises")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_the_protocol() {
        for number in [
            libc::makedev(0, 0),
            libc::makedev(8, 17),
            libc::makedev(4095, 0xfffff),
        ] {
            assert_eq!(device_number(device(number)), number);
        }
    }

    #[test]
    fn times_before_1970_survive_what_fuser_makes_of_them() {
        // The kernel's (-2, 250 000 000), as fuser 0.18 reads it.
        let read = SystemTime::UNIX_EPOCH - Duration::new(2, 250_000_000);
        assert!(matches!(
            new_time(TimeOrNow::SpecificTime(read)),
            NewTime::At(-2, 250_000_000)
        ));
    }

    #[test]
    fn opening_to_run_is_told_from_opening_to_read() {
        assert_eq!(open_flags(libc::O_RDONLY), OpenFlags::READ);
        assert_eq!(open_flags(FMODE_EXEC), OpenFlags::READ | OpenFlags::EXECUTE);
        assert_eq!(
            open_flags(libc::O_WRONLY | libc::O_APPEND),
            OpenFlags::WRITE | OpenFlags::APPEND
        );
    }
}

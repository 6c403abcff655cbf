//! `fuser::Filesystem`: decodes a request, calls [`FileSystem`], replies. Every method of the trait is
//! here: the defaults of some would reply success.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, OpenFlags, PollEvents,
    PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyBmap, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek,
    ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::format::NAME_MAX;
use crate::fs::{Allocation, Caller, Change, FileSystem, FsError, HandleId, XattrCreate};
use crate::sys;

use super::convert::{
    absent, device_number, file_attr, file_type, ino, new_time, open_flags, rename_mode,
};
use super::errno::errno;
use super::pool::Pool;

/// How long the kernel may believe what it was told: the volume is ours alone, and what changes
/// comes through the kernel itself.
const TTL: Duration = Duration::from_hours(1);
/// Requests that the kernel sends ahead of their replies (readahead, write-back).
const MAX_BACKGROUND: u16 = 64;
/// Inode numbers are not used again while the kernel knows them.
const GENERATION: Generation = Generation(0);

thread_local! {
    /// Plaintext on its way into a reply.
    static PLAINTEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Adapter {
    filesystem: Arc<FileSystem>,
    slow: Pool,
}

impl Adapter {
    pub(super) fn new(filesystem: Arc<FileSystem>) -> io::Result<Self> {
        Ok(Self {
            filesystem,
            slow: Pool::start()?,
        })
    }

    /// Serves one request. A panic in it is an EIO, a log line and a record, not a dead worker.
    fn serve<T>(
        &self,
        operation: &'static str,
        work: impl FnOnce(&FileSystem) -> Result<T, FsError>,
    ) -> Result<T, Errno> {
        serve(&self.filesystem, operation, work)
    }

    /// Serves one request on another thread, for what waits for the disk.
    fn serve_slowly(
        &self,
        operation: &'static str,
        reply: ReplyEmpty,
        work: impl FnOnce(&FileSystem) -> Result<(), FsError> + Send + 'static,
    ) {
        let filesystem = self.filesystem.clone();
        self.slow
            .run(move || empty(reply, serve(&filesystem, operation, work)));
    }

    /// How an opened file is cached: shared with other handles, unless each read and write is to be
    /// seen here.
    fn open_reply_flags(&self) -> FopenFlags {
        if self.filesystem.is_strict() {
            FopenFlags::FOPEN_DIRECT_IO
        } else {
            FopenFlags::FOPEN_KEEP_CACHE
        }
    }
}

fn serve<T>(
    filesystem: &FileSystem,
    operation: &'static str,
    work: impl FnOnce(&FileSystem) -> Result<T, FsError>,
) -> Result<T, Errno> {
    match catch_unwind(AssertUnwindSafe(|| work(filesystem))) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::debug!(operation, %error, "refused or failed");
            Err(errno(&error))
        }
        Err(_) => {
            tracing::error!(operation, "panicked; please report this");
            filesystem.record_panic(operation);
            Err(Errno::EIO)
        }
    }
}

fn empty(reply: ReplyEmpty, result: Result<(), Errno>) {
    match result {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

fn xattr(reply: ReplyXattr, size: u32, result: Result<Vec<u8>, Errno>) {
    match result {
        Ok(data) if size == 0 => reply.size(data.len() as u32),
        Ok(data) if data.len() > size as usize => reply.error(Errno::ERANGE),
        Ok(data) => reply.data(&data),
        Err(error) => reply.error(error),
    }
}

fn entry(reply: ReplyEntry, result: Result<crate::fs::Attr, Errno>) {
    match result {
        Ok(attr) => reply.entry(&TTL, &file_attr(&attr), GENERATION),
        Err(error) => reply.error(error),
    }
}

fn caller(request: &Request) -> Caller {
    Caller {
        uid: request.uid(),
        gid: request.gid(),
        pid: request.pid(),
    }
}

fn handle(number: FileHandle) -> HandleId {
    HandleId(number.0)
}

/// Attribute names are text in every namespace that is stored.
fn text(name: &OsStr) -> Result<&str, FsError> {
    name.to_str().ok_or(rustix::io::Errno::OPNOTSUPP.into())
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_ATOMIC_O_TRUNC,
            InitFlags::FUSE_DONT_MASK,
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
            InitFlags::FUSE_ASYNC_DIO,
            InitFlags::FUSE_HANDLE_KILLPRIV_V2,
            InitFlags::FUSE_POSIX_ACL,
            InitFlags::FUSE_CACHE_SYMLINKS,
        ];
        if !self.filesystem.is_strict() {
            wanted.push(InitFlags::FUSE_WRITEBACK_CACHE);
        }
        for flag in wanted {
            if config.add_capabilities(flag).is_err() {
                tracing::warn!(?flag, "this kernel does not have it");
            }
        }
        // What the kernel offers as the most is what it is told; see `tuning` for more.
        let _ = config.set_max_background(MAX_BACKGROUND);
        Ok(())
    }

    fn destroy(&mut self) {}

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.serve("lookup", |fs| fs.lookup(ino(parent), name.as_bytes())) {
            Err(error) if i32::from(error) == libc::ENOENT => {
                reply.entry(&TTL, &absent(), GENERATION);
            }
            result => entry(reply, result),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, nlookup: u64) {
        self.filesystem.forget(ino(number), nlookup);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.serve("getattr", |fs| fs.get_attr(ino(number))) {
            Ok(attr) => reply.attr(&TTL, &file_attr(&attr)),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let change = Change {
            mode,
            uid,
            gid,
            size,
            accessed: atime.map(new_time),
            modified: mtime.map(new_time),
        };
        match self.serve("setattr", |fs| {
            fs.set_attr(caller(request), ino(number), &change)
        }) {
            Ok(attr) => reply.attr(&TTL, &file_attr(&attr)),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.serve("readlink", |fs| fs.read_link(ino(number))) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        let node = sys::NewNode {
            mode,
            device: device_number(rdev),
        };
        entry(
            reply,
            self.serve("mknod", |fs| {
                fs.make_node(caller(request), ino(parent), name.as_bytes(), node, umask)
            }),
        );
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        entry(
            reply,
            self.serve("mkdir", |fs| {
                fs.make_directory(caller(request), ino(parent), name.as_bytes(), mode, umask)
            }),
        );
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let unlinked = self.serve("unlink", |fs| {
            fs.unlink(caller(request), ino(parent), name.as_bytes())
        });
        empty(reply, unlinked);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.serve("rmdir", |fs| {
            fs.remove_directory(caller(request), ino(parent), name.as_bytes())
        });
        empty(reply, removed);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let target = target.as_os_str().as_bytes();
        entry(
            reply,
            self.serve("symlink", |fs| {
                fs.symlink(caller(request), ino(parent), name.as_bytes(), target)
            }),
        );
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let Some(mode) = rename_mode(flags) else {
            return reply.error(Errno::EINVAL);
        };
        let from = (ino(parent), name.as_bytes());
        let to = (ino(newparent), newname.as_bytes());
        empty(
            reply,
            self.serve("rename", |fs| fs.rename(caller(request), from, to, mode)),
        );
    }

    fn link(
        &self,
        request: &Request,
        number: INodeNo,
        newparent: INodeNo,
        newname: &OsStr,
        reply: ReplyEntry,
    ) {
        entry(
            reply,
            self.serve("link", |fs| {
                fs.link(
                    caller(request),
                    ino(number),
                    ino(newparent),
                    newname.as_bytes(),
                )
            }),
        );
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let flags = open_flags(flags.0);
        match self.serve("open", |fs| fs.open(caller(request), ino(number), flags)) {
            Ok(opened) if opened.uncached => {
                reply.opened(FileHandle(opened.handle.0), FopenFlags::FOPEN_DIRECT_IO);
            }
            Ok(opened) => reply.opened(FileHandle(opened.handle.0), self.open_reply_flags()),
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        PLAINTEXT.with_borrow_mut(|plaintext| {
            match self.serve("read", |fs| {
                fs.read(handle(fh), offset, size as usize, plaintext)
            }) {
                Ok(()) => reply.data(plaintext),
                Err(error) => reply.error(error),
            }
        });
    }

    fn write(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let kills_privileges = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        match self.serve("write", |fs| {
            fs.write(handle(fh), offset, data, kills_privileges)
        }) {
            Ok(()) => reply.written(data.len() as u32),
            Err(error) => reply.error(error),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Every write was answered when it was done; locks are the kernel's own.
        reply.ok();
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        empty(reply, self.serve("release", |fs| fs.close(handle(fh))));
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        self.serve_slowly("fsync", reply, move |fs| fs.fsync(handle(fh)));
    }

    fn opendir(&self, request: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.serve("opendir", |fs| {
            fs.open_directory(caller(request), ino(number))
        }) {
            Ok(opened) => reply.opened(
                FileHandle(opened.0),
                FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.serve("readdir", |fs| {
            fs.list(handle(fh), offset, |item| {
                let name = OsStr::from_bytes(item.name);
                !reply.add(INodeNo(item.ino.0), item.next, file_type(item.kind), name)
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.serve("readdirplus", |fs| {
            fs.list(handle(fh), offset, |item| {
                let name = OsStr::from_bytes(item.name);
                // The kernel looks at no more than the name and number of `.` and `..`, and finds an
                // entry with node 0 by itself when it is used.
                let bare = fuser::FileAttr {
                    ino: INodeNo(item.ino.0),
                    kind: file_type(item.kind),
                    ..absent()
                };
                if matches!(item.name, b"." | b"..") {
                    return !reply.add(
                        INodeNo(0),
                        item.next,
                        name,
                        &Duration::ZERO,
                        &bare,
                        GENERATION,
                    );
                }
                match fs.lookup(ino(number), item.name) {
                    Ok(attr) => {
                        let full = reply.add(
                            INodeNo(attr.ino.0),
                            item.next,
                            name,
                            &TTL,
                            &file_attr(&attr),
                            GENERATION,
                        );
                        if full {
                            fs.forget(attr.ino, 1);
                        }
                        !full
                    }
                    Err(_) => !reply.add(
                        INodeNo(0),
                        item.next,
                        name,
                        &Duration::ZERO,
                        &bare,
                        GENERATION,
                    ),
                }
            })
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(error),
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        empty(
            reply,
            self.serve("releasedir", |fs| fs.close_directory(handle(fh))),
        );
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        self.serve_slowly("fsyncdir", reply, move |fs| fs.fsync_directory(handle(fh)));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.serve("statfs", FileSystem::statfs) {
            Ok(stat) => reply.statfs(
                stat.f_blocks,
                stat.f_bfree,
                stat.f_bavail,
                stat.f_files,
                stat.f_ffree,
                stat.f_bsize as u32,
                NAME_MAX as u32,
                stat.f_frsize as u32,
            ),
            Err(error) => reply.error(error),
        }
    }

    fn setxattr(
        &self,
        request: &Request,
        number: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let create = match flags {
            libc::XATTR_CREATE => XattrCreate::Create,
            libc::XATTR_REPLACE => XattrCreate::Replace,
            _ => XattrCreate::CreateOrReplace,
        };
        let set = self.serve("setxattr", |fs| {
            fs.set_xattr(caller(request), ino(number), text(name)?, value, create)
        });
        empty(reply, set);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        xattr(
            reply,
            size,
            self.serve("getxattr", |fs| fs.get_xattr(ino(number), text(name)?)),
        );
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        xattr(
            reply,
            size,
            self.serve("listxattr", |fs| fs.list_xattrs(ino(number))),
        );
    }

    fn removexattr(&self, request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.serve("removexattr", |fs| {
            fs.remove_xattr(caller(request), ino(number), text(name)?)
        });
        empty(reply, removed);
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        // `default_permissions`: the kernel answers it, and need not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let created = self.serve("create", |fs| {
            fs.create(caller(request), ino(parent), name.as_bytes(), mode, umask)
        });
        match created {
            Ok((attr, opened)) => reply.created(
                &TTL,
                &file_attr(&attr),
                GENERATION,
                FileHandle(opened.0),
                self.open_reply_flags(),
            ),
            Err(error) => reply.error(error),
        }
    }

    fn getlk(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        reply: ReplyLock,
    ) {
        // Locks are the kernel's own: FUSE_POSIX_LOCKS is not asked for.
        reply.error(Errno::ENOSYS);
    }

    fn setlk(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: LockOwner,
        _: u64,
        _: u64,
        _: i32,
        _: u32,
        _: bool,
        reply: ReplyEmpty,
    ) {
        reply.error(Errno::ENOSYS);
    }

    fn bmap(&self, _: &Request, _: INodeNo, _: u32, _: u64, reply: ReplyBmap) {
        // Blocks of the backing file hold ciphertext: there is nothing to map.
        reply.error(Errno::ENOSYS);
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(Errno::ENOTTY);
    }

    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        // The kernel then answers for regular files: always ready.
        reply.error(Errno::ENOSYS);
    }

    fn fallocate(
        &self,
        request: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let keep_length = mode & libc::FALLOC_FL_KEEP_SIZE != 0;
        let allocation = match mode & !libc::FALLOC_FL_KEEP_SIZE {
            0 => Allocation::Reserve { keep_length },
            libc::FALLOC_FL_PUNCH_HOLE if keep_length => Allocation::Punch,
            libc::FALLOC_FL_ZERO_RANGE => Allocation::Zero { keep_length },
            _ => return reply.error(Errno::EOPNOTSUPP),
        };
        let range = offset..offset.saturating_add(length);
        let done = self.serve("fallocate", |fs| {
            fs.allocate(caller(request), handle(fh), range, allocation)
        });
        empty(reply, done);
    }

    fn lseek(&self, _: &Request, _: INodeNo, _: FileHandle, _: i64, _: i32, reply: ReplyLseek) {
        // Under write-back the kernel alone knows where data is: it then says "all of it is data".
        reply.error(Errno::ENOSYS);
    }

    fn copy_file_range(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: INodeNo,
        _: FileHandle,
        _: u64,
        _: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        // The kernel copies by reading and writing: blocks have to be sealed anew in any case.
        reply.error(Errno::ENOSYS);
    }
}

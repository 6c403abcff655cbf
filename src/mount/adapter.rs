//! `fuser::Filesystem`: decodes a request, calls [`FileSystem`], replies. Every method of the trait is
//! here: the defaults of some would reply success.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use fuser::{
    AccessFlags, BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, Filesystem, FopenFlags,
    INodeNo, IoctlFlags, KernelConfig, LockOwner, Notifier, OpenFlags, PollEvents, PollFlags,
    PollNotifier, RenameFlags, ReplyAttr, ReplyBmap, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};

use crate::fs::{BOUNDARY_ATTRIBUTE, Change, FileSystem, Ino, Seek, Writer};
use crate::sys;

use super::convert::{
    allocation, boundary_request, caller, device_number, file_attr, handle, ino, json, new_time,
    open_flags, rename_mode, text, xattr_create,
};
use super::listing::{list_names, list_with_attributes};
use super::negotiate::negotiate;
use super::reply::{
    Desk, GENERATION, done, forget_mode, found, found_or_absent, or_absent, space, told, ttl,
};

thread_local! {
    /// Plaintext on its way into a reply.
    static PLAINTEXT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

pub(super) struct Adapter {
    desk: Desk,
}

impl Adapter {
    pub(super) fn new(
        filesystem: Arc<FileSystem>,
        notifier: Arc<OnceLock<Notifier>>,
    ) -> io::Result<Self> {
        Ok(Self {
            desk: Desk::new(filesystem, notifier)?,
        })
    }

    /// How an opened file is cached: shared with other handles, unless each read and write is to be
    /// seen here.
    fn open_reply_flags(&self) -> FopenFlags {
        if self.desk.filesystem().is_strict() {
            FopenFlags::FOPEN_DIRECT_IO
        } else {
            FopenFlags::FOPEN_KEEP_CACHE
        }
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        negotiate(config, self.desk.filesystem().is_strict());
        Ok(())
    }

    fn destroy(&mut self) {}

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let find: fn(&FileSystem, Ino) -> _ = match name.as_bytes() {
            b"." => FileSystem::lookup_number,
            b".." => FileSystem::lookup_parent,
            name if self.desk.lookups_may_wait() => {
                let name = name.to_owned();
                return self.desk.serve_keyed(
                    "lookup",
                    reply,
                    move |fs| or_absent(fs.lookup(ino(parent), &name)),
                    found_or_absent,
                );
            }
            name => {
                let lookup = |fs: &FileSystem| or_absent(fs.lookup(ino(parent), name));
                return match self.desk.serve("lookup", lookup) {
                    Ok(attr) => found_or_absent(self.desk.filesystem(), reply, attr),
                    Err(error) => self.desk.fail(reply, error),
                };
            }
        };
        // The kernel has a file handle, and no inode to it: the whole volume may be searched.
        let number = ino(parent);
        self.desk
            .serve_slowly("lookup", reply, move |fs| find(fs, number), found);
    }

    fn forget(&self, _: &Request, number: INodeNo, nlookup: u64) {
        self.desk.filesystem().forget(ino(number), nlookup);
    }

    fn getattr(&self, _: &Request, number: INodeNo, fh: Option<FileHandle>, reply: ReplyAttr) {
        let attr = self.desk.serve("getattr", |fs| {
            // With a handle it is no fstat(2): the kernel asks before it takes a write into its cache,
            // and of a file whose attributes it may not believe also before it reads from there.
            if let Some(fh) = fh {
                fs.refuse_if_unusable(handle(fh))?;
            }
            fs.get_attr(ino(number))
        });
        self.desk.attr(reply, attr);
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
        ctime: Option<SystemTime>,
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
            changed: ctime.map(|time| new_time(TimeOrNow::SpecificTime(time))),
        };
        let caller = caller(request);
        if change.size.is_some() {
            let set = move |fs: &FileSystem| fs.set_attr(caller, ino(number), &change);
            return self.desk.serve_keyed("setattr", reply, set, told);
        }
        let attr = self
            .desk
            .serve("setattr", |fs| fs.set_attr(caller, ino(number), &change));
        self.desk.attr(reply, attr);
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        match self.desk.serve("readlink", |fs| fs.read_link(ino(number))) {
            Ok(target) => reply.data(&target),
            Err(error) => self.desk.fail(reply, error),
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
        let (caller, name) = (caller(request), name.as_bytes().to_owned());
        self.desk.serve_keyed(
            "mknod",
            reply,
            move |fs| fs.make_node(caller, ino(parent), &name, node, umask),
            found,
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
        self.desk.entry(
            reply,
            self.desk.serve("mkdir", |fs| {
                fs.make_directory(caller(request), ino(parent), name.as_bytes(), mode, umask)
            }),
        );
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let name = name.as_bytes();
        let unlinked = self
            .desk
            .serve("unlink", |fs| fs.unlink(caller(request), ino(parent), name));
        self.desk.empty(reply, unlinked);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.desk.serve("rmdir", |fs| {
            fs.remove_directory(caller(request), ino(parent), name.as_bytes())
        });
        self.desk.empty(reply, removed);
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
        self.desk.entry(
            reply,
            self.desk.serve("symlink", |fs| {
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
        self.desk.empty(
            reply,
            self.desk
                .serve("rename", |fs| fs.rename(caller(request), from, to, mode)),
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
        self.desk.entry(
            reply,
            self.desk.serve("link", |fs| {
                let name = newname.as_bytes();
                fs.link(caller(request), ino(number), ino(newparent), name)
            }),
        );
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let flags = open_flags(flags.0);
        let (caller, notifier) = (caller(request), self.desk.notifier());
        let shared = self.open_reply_flags();
        self.desk.serve_keyed(
            "open",
            reply,
            move |fs| fs.open(caller, ino(number), flags),
            move |_, reply: ReplyOpen, opened| {
                forget_mode(&notifier, number, opened.set_ids);
                let flags = if opened.uncached {
                    FopenFlags::FOPEN_DIRECT_IO
                } else {
                    shared
                };
                reply.opened(FileHandle(opened.handle.0), flags);
            },
        );
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if self.desk.filesystem().is_strict() {
            let caller = caller(request);
            let read = move |fs: &FileSystem| {
                fs.refuse_if_cut_off()?;
                let mut plaintext = Vec::new();
                fs.read_strictly(caller, handle(fh), offset, size as usize, &mut plaintext)?;
                Ok(plaintext)
            };
            return self
                .desk
                .serve_keyed("read", reply, read, |_, reply, plaintext| {
                    reply.data(&plaintext);
                });
        }
        PLAINTEXT.with_borrow_mut(|plaintext| {
            let read = self.desk.serve("read", |fs| {
                fs.refuse_if_cut_off()?;
                fs.read(handle(fh), offset, size as usize, plaintext)
            });
            self.desk
                .answer(reply, read, |reply, ()| reply.data(plaintext));
        });
    }

    fn write(
        &self,
        request: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let takes_set_ids = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        if self.desk.filesystem().is_strict() {
            let (caller, data) = (caller(request), data.to_owned());
            let notifier = self.desk.notifier();
            let length = data.len() as u32;
            let write = move |fs: &FileSystem| {
                fs.refuse_if_cut_off()?;
                fs.write_strictly(caller, handle(fh), offset, &data, takes_set_ids)
            };
            return self
                .desk
                .serve_keyed("write", reply, write, move |_, reply, set_ids| {
                    forget_mode(&notifier, number, set_ids);
                    reply.written(length);
                });
        }
        let writer = if flags.contains(WriteFlags::FUSE_WRITE_CACHE) {
            Writer::Cache
        } else {
            Writer::Program {
                caller: caller(request),
                takes_set_ids,
            }
        };
        let written = self.desk.serve("write", |fs| {
            if let Writer::Program { .. } = writer {
                fs.refuse_if_cut_off()?;
            }
            fs.write(handle(fh), offset, data, writer)
        });
        self.desk.answer(reply, written, |reply, set_ids| {
            self.desk.forget_mode(number, set_ids);
            reply.written(data.len() as u32);
        });
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok(); // Every write was answered when it was done.
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
        self.desk
            .empty(reply, self.desk.serve("release", |fs| fs.close(handle(fh))));
    }

    fn fsync(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        self.desk
            .serve_slowly("fsync", reply, move |fs| fs.fsync(handle(fh)), done);
    }

    fn opendir(&self, request: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let opened = self.desk.serve("opendir", |fs| {
            fs.open_directory(caller(request), ino(number))
        });
        let flags = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
        self.desk.answer(reply, opened, |reply, opened| {
            reply.opened(FileHandle(opened.0), flags);
        });
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.desk.serve("readdir", |fs| {
            list_names(fs, handle(fh), offset, &mut reply)
        });
        self.desk.answer(reply, listed, |reply, ()| reply.ok());
    }

    fn readdirplus(
        &self,
        _: &Request,
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let listed = self.desk.serve("readdirplus", |fs| {
            let names_only = self.desk.lookups_may_wait();
            let directory = ino(number);
            list_with_attributes(fs, directory, handle(fh), offset, names_only, &mut reply)
        });
        self.desk.answer(reply, listed, |reply, ()| reply.ok());
    }

    fn releasedir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.desk.empty(
            reply,
            self.desk
                .serve("releasedir", |fs| fs.close_directory(handle(fh))),
        );
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, fh: FileHandle, _: bool, reply: ReplyEmpty) {
        self.desk.serve_slowly(
            "fsyncdir",
            reply,
            move |fs| fs.fsync_directory(handle(fh)),
            done,
        );
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let told = self.desk.serve("statfs", FileSystem::statfs);
        self.desk.answer(reply, told, |r, stat| space(r, &stat));
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
        if name == BOUNDARY_ATTRIBUTE {
            let (caller, request) = (caller(request), boundary_request(value));
            return self.desk.serve_slowly(
                "setxattr",
                reply,
                move |fs| fs.set_boundary(caller, ino(number), &request?),
                done,
            );
        }
        let create = xattr_create(flags);
        let set = self.desk.serve("setxattr", |fs| {
            fs.set_xattr(caller(request), ino(number), text(name)?, value, create)
        });
        self.desk.empty(reply, set);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        if name == BOUNDARY_ATTRIBUTE {
            let told = self.desk.serve("getxattr", |fs| fs.boundary(ino(number)));
            return self.desk.xattr(reply, size, told.map(|told| json(&told)));
        }
        self.desk.xattr(
            reply,
            size,
            self.desk
                .serve("getxattr", |fs| fs.get_xattr(ino(number), text(name)?)),
        );
    }

    fn listxattr(&self, request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self.desk.serve("listxattr", |fs| {
            fs.list_xattrs(caller(request), ino(number))
        });
        self.desk.xattr(reply, size, names);
    }

    fn removexattr(&self, request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.desk.serve("removexattr", |fs| {
            fs.remove_xattr(caller(request), ino(number), text(name)?)
        });
        self.desk.empty(reply, removed);
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
        let (caller, name) = (caller(request), name.as_bytes().to_owned());
        let flags = self.open_reply_flags();
        self.desk.serve_keyed(
            "create",
            reply,
            move |fs| fs.create(caller, ino(parent), &name, mode, umask),
            move |fs, reply: ReplyCreate, (attr, opened)| {
                let (ttl, attr) = (ttl(fs, attr.ino), file_attr(&attr));
                reply.created(&ttl, &attr, GENERATION, FileHandle(opened.0), flags);
            },
        );
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
        number: INodeNo,
        fh: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let Some(allocation) = allocation(mode) else {
            return reply.error(Errno::EOPNOTSUPP);
        };
        let range = offset..offset.saturating_add(length);
        let done = self.desk.serve("fallocate", |fs| {
            fs.allocate(caller(request), handle(fh), range, allocation)
        });
        let done = done.map(|set_ids| self.desk.forget_mode(number, set_ids));
        self.desk.empty(reply, done);
    }

    fn lseek(
        &self,
        request: &Request,
        _: INodeNo,
        fh: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        if !self.desk.filesystem().is_strict() {
            // Under write-back the kernel alone knows where data is: it then says "all of it is data".
            return reply.error(Errno::ENOSYS);
        }
        let Ok(offset) = u64::try_from(offset) else {
            return reply.error(Errno::ENXIO);
        };
        let what = match whence {
            libc::SEEK_DATA => Seek::Data,
            libc::SEEK_HOLE => Seek::Hole,
            _ => return reply.error(Errno::EINVAL),
        };
        let caller = caller(request);
        self.desk.serve_keyed(
            "lseek",
            reply,
            move |fs| fs.seek(caller, handle(fh), offset, what),
            |_, reply, found| reply.offset(found.cast_signed()),
        );
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

//! Reading, writing and making durable, with short transfers dealt with.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, fdatasync, fsync, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};

use super::seam::{Call, part, pass};

/// Fills `buffer` from `offset`.
///
/// # Errors
/// Those of `pread(2)`; `UnexpectedEof` when the file ends before.
pub fn read_at(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    match read_up_to(fd, buffer, offset)? {
        read if read == buffer.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads into `buffer` from `offset` until it is full or the file ends; how much was read.
///
/// # Errors
/// Those of `pread(2)`.
pub fn read_up_to(fd: impl AsFd, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        let end = done + part(buffer.len() - done);
        let read = || pread(&fd, &mut buffer[done..end], offset + done as u64);
        match pass(Call::Read, read) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// Those of `pwrite(2)`; some of `bytes` may then have been written.
pub fn write_at(fd: impl AsFd, bytes: &[u8], offset: u64) -> io::Result<()> {
    write_from(fd, bytes, offset).map_err(|cut| cut.error)
}

/// A write that failed before its end.
#[derive(Debug)]
pub struct CutShort {
    /// How much of it was written.
    pub written: usize,
    /// Why no more was.
    pub error: io::Error,
}

/// Writes all of `bytes` at `offset`.
///
/// # Errors
/// Those of `pwrite(2)`, with how far it came.
pub fn write_from(fd: impl AsFd, bytes: &[u8], offset: u64) -> Result<(), CutShort> {
    let file = fd.as_fd();
    let mut done = 0;
    while done < bytes.len() {
        let bytes = &bytes[done..done + part(bytes.len() - done)];
        let offset = offset + done as u64;
        let call = Call::Write {
            file,
            offset,
            bytes,
        };
        match pass(call, || pwrite(file, bytes, offset)) {
            // Nothing was written, and no reason given: as a full disk.
            Ok(0) => {
                return Err(CutShort {
                    written: done,
                    error: Errno::NOSPC.into(),
                });
            }
            Ok(written) => done += written,
            Err(error) => {
                return Err(CutShort {
                    written: done,
                    error: error.into(),
                });
            }
        }
    }
    Ok(())
}

/// Where the next data at or behind `offset` begins; `None` when there is none. A filesystem that
/// keeps no holes calls everything data. The descriptor's position changes.
///
/// # Errors
/// Those of `lseek(2)`.
pub fn next_data(fd: impl AsFd, offset: u64) -> io::Result<Option<u64>> {
    match pass(Call::Look("lseek"), || seek(&fd, SeekFrom::Data(offset))) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where the next hole at or behind `offset`, which is within the file, begins; there is one at its
/// end. The descriptor's position changes.
///
/// # Errors
/// Those of `lseek(2)`.
pub fn next_hole(fd: impl AsFd, offset: u64) -> io::Result<u64> {
    Ok(pass(Call::Look("lseek"), || {
        seek(&fd, SeekFrom::Hole(offset))
    })?)
}

/// Sets a file's length.
///
/// # Errors
/// Those of `ftruncate(2)`.
pub fn truncate(fd: impl AsFd, length: u64) -> io::Result<()> {
    let file = fd.as_fd();
    Ok(pass(Call::Truncate { file, length }, || {
        ftruncate(file, length)
    })?)
}

/// What [`allocate`] does to a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocate {
    /// Reserves space, without changing the length.
    KeepSize,
    /// Makes a hole; the length stays.
    PunchHole,
}

/// Changes how the range `offset..offset + length` is stored.
///
/// # Errors
/// Those of `fallocate(2)`; `EOPNOTSUPP` where the filesystem cannot.
pub fn allocate(fd: impl AsFd, what: Allocate, offset: u64, length: u64) -> io::Result<()> {
    let flags = match what {
        Allocate::KeepSize => FallocateFlags::KEEP_SIZE,
        Allocate::PunchHole => FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE,
    };
    let file = fd.as_fd();
    let call = Call::Allocate {
        file,
        what,
        offset,
        length,
    };
    Ok(pass(call, || fallocate(file, flags, offset, length))?)
}

/// Makes a file's data, and what is needed to read it back, durable.
///
/// # Errors
/// Those of `fdatasync(2)`.
pub fn sync_data(fd: impl AsFd) -> io::Result<()> {
    let file = fd.as_fd();
    Ok(pass(Call::SyncData(file), || fdatasync(file))?)
}

/// Has a file's data written, without waiting for it. A journalling filesystem then commits no later
/// change of names before it.
pub fn start_sync(fd: impl AsFd) {
    let file = fd.as_fd();
    // SAFETY: the descriptor is borrowed for the call, which touches no memory of this process.
    let start = || match unsafe {
        libc::sync_file_range(file.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE)
    } {
        0 => Ok(()),
        _ => Err(Errno::IO),
    };
    // It makes likely what only a sync makes certain: no error of it is lost.
    let _ = pass(Call::StartSync(file), start);
}

/// Makes a directory's entries durable.
///
/// # Errors
/// Those of `fsync(2)`.
pub fn sync_directory(fd: impl AsFd) -> io::Result<()> {
    let directory = fd.as_fd();
    Ok(pass(Call::SyncDirectory(directory), || fsync(directory))?)
}

/// Makes everything on the filesystem of `fd` durable.
///
/// # Errors
/// Those of `syncfs(2)`.
pub fn sync_filesystem(fd: impl AsFd) -> io::Result<()> {
    Ok(pass(Call::SyncFilesystem, || rustix::fs::syncfs(&fd))?)
}

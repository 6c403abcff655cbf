//! Reading, writing and making durable, with short transfers and interruptions dealt with.

use std::io;
use std::os::fd::AsFd;

use rustix::fs::{FallocateFlags, SeekFrom, fallocate, fdatasync, fsync, ftruncate, seek};
use rustix::io::{Errno, pread, pwrite};

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
        match pread(&fd, &mut buffer[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(Errno::INTR) => {}
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
    let mut done = 0;
    while done < bytes.len() {
        match pwrite(&fd, &bytes[done..], offset + done as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => done += written,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
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
    match seek(fd, SeekFrom::Data(offset)) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Sets a file's length.
///
/// # Errors
/// Those of `ftruncate(2)`.
pub fn truncate(fd: impl AsFd, length: u64) -> io::Result<()> {
    Ok(ftruncate(fd, length)?)
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
    Ok(fallocate(fd, flags, offset, length)?)
}

/// Makes a file's data, and what is needed to read it back, durable.
///
/// # Errors
/// Those of `fdatasync(2)`.
pub fn sync_data(fd: impl AsFd) -> io::Result<()> {
    Ok(fdatasync(fd)?)
}

/// Makes a directory's entries durable.
///
/// # Errors
/// Those of `fsync(2)`.
pub fn sync_directory(fd: impl AsFd) -> io::Result<()> {
    Ok(fsync(fd)?)
}

/// Makes everything on the filesystem of `fd` durable.
///
/// # Errors
/// Those of `syncfs(2)`.
pub fn sync_filesystem(fd: impl AsFd) -> io::Result<()> {
    Ok(rustix::fs::syncfs(fd)?)
}

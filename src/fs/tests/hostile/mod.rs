//! What whoever writes to the backing directory tries: each ends in an integrity failure that is
//! recorded, or in the right content, never in other bytes, a panic or a hang.

mod blocks;
mod boundaries;
mod headers;
mod names;
mod nodes;
mod random;
mod unclean;
mod undetected;

use crate::fs::Writer;
use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::format::{COPY_LEN, RawHeader, seal_anew};
use crate::fs::{Attr, FileSystem, FsError, Ino, OpenFlags};

use super::world::{CALLER, TestVolume};

pub(super) const BLOCK: usize = 4096;
pub(super) const HEADER: u64 = 4096;
pub(super) const SEALED: u64 = 4136;

/// Bytes that repeat with no power of two, so that a block in the wrong place shows.
pub(super) fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap())
        .collect()
}

/// A mounted volume under attack.
pub(super) struct Attacked<'v> {
    pub(super) fs: FileSystem,
    volume: &'v TestVolume<'v>,
    /// How many operations ended in an integrity failure.
    failures: Cell<usize>,
    before: usize,
}

impl<'v> Attacked<'v> {
    pub(super) fn new(volume: &'v TestVolume<'v>) -> Self {
        let fs = volume.mount();
        Self {
            fs,
            volume,
            failures: Cell::new(0),
            before: volume.records("IntegrityFailure").len(),
        }
    }

    /// The attributes of a path; the kernel then forgets it again.
    pub(super) fn find(&self, path: &str) -> Result<Attr, FsError> {
        let mut attr = self.fs.get_attr(Ino::ROOT)?;
        let mut passed = Vec::new();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let next = self.fs.lookup(attr.ino, name.as_bytes());
            if let Ok(next) = &next {
                passed.push(next.ino);
            }
            match next {
                Ok(next) => attr = next,
                Err(error) => {
                    self.forget(&passed);
                    return Err(error);
                }
            }
        }
        // The last stays known, for what is done with it.
        passed.pop();
        self.forget(&passed);
        Ok(attr)
    }

    fn forget(&self, looked_up: &[Ino]) {
        for ino in looked_up {
            self.fs.forget(*ino, 1);
        }
    }

    /// Makes a file.
    pub(super) fn write(&self, path: &str, content: &[u8]) {
        let (parent, name) = self.split(path);
        let made = self.fs.create(CALLER, parent, name.as_bytes(), 0o644, 0);
        let (attr, handle) = made.unwrap();
        for (number, part) in content.chunks(1 << 20).enumerate() {
            let offset = (number << 20) as u64;
            let _ = self.fs.write(handle, offset, part, Writer::Cache).unwrap();
        }
        self.fs.close(handle).unwrap();
        self.fs.forget(attr.ino, 1);
    }

    pub(super) fn make_directory(&self, path: &str) {
        let (parent, name) = self.split(path);
        let made = self
            .fs
            .make_directory(CALLER, parent, name.as_bytes(), 0o755, 0);
        self.fs.forget(made.unwrap().ino, 1);
    }

    /// The directory of a path, and its last name.
    pub(super) fn split<'p>(&self, path: &'p str) -> (Ino, &'p str) {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        (self.find(directory).unwrap().ino, name)
    }

    /// The whole content of a file.
    pub(super) fn read(&self, path: &str) -> Result<Vec<u8>, FsError> {
        let attr = self.find(path)?;
        let read = || {
            let opened = self.fs.open(CALLER, attr.ino, OpenFlags::READ)?;
            let mut content = Vec::new();
            let mut part = Vec::new();
            let read = loop {
                let offset = content.len() as u64;
                match self.fs.read(opened.handle, offset, 1 << 20, &mut part) {
                    Ok(()) if part.is_empty() => break Ok(()),
                    Ok(()) => content.extend_from_slice(&part),
                    Err(error) => break Err(error),
                }
            };
            self.fs.close(opened.handle)?;
            read.map(|()| content)
        };
        let read = read();
        self.fs.forget(attr.ino, 1);
        read
    }

    /// The names in a directory.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, FsError> {
        let attr = self.find(path)?;
        let handle = self.fs.open_directory(CALLER, attr.ino)?;
        let mut names = Vec::new();
        let listed = self.fs.list(handle, 0, |entry| {
            if !matches!(entry.name, b"." | b"..") {
                names.push(String::from_utf8_lossy(entry.name).into_owned());
            }
            true
        });
        self.fs.close_directory(handle).unwrap();
        names.sort();
        listed.map(|()| names)
    }

    /// The backing entry of a path.
    pub(super) fn backing(&self, path: &str) -> PathBuf {
        let attr = self.find(path).unwrap();
        self.fs.forget(attr.ino, 1);
        self.volume.backing_of(attr.stat.st_ino)
    }

    /// It ended in an integrity failure.
    pub(super) fn fails<T>(&self, what: &str, result: Result<T, FsError>) {
        match result.map_err(|error| self.fs.wait(error)) {
            Err(FsError::Integrity(_)) => self.failures.set(self.failures.get() + 1),
            Err(error) => panic!("{what}: {error}"),
            Ok(_) => panic!("{what} was not noticed"),
        }
    }

    /// It ended in an integrity failure, or in the right content.
    pub(super) fn fails_or_is(&self, what: &str, result: Result<Vec<u8>, FsError>, content: &[u8]) {
        match result {
            Ok(read) => assert!(read == content, "{what}: other bytes"),
            failure => self.fails(what, failure),
        }
    }

    /// Something was left out of a listing, which is recorded too.
    pub(super) fn note_left_out(&self) {
        self.failures.set(self.failures.get() + 1);
    }

    /// Every integrity failure was recorded, and nothing else.
    pub(super) fn all_is_recorded(self) -> usize {
        let recorded = self.volume.records("IntegrityFailure").len() - self.before;
        assert_eq!(
            recorded,
            self.failures.get(),
            "records of integrity failures"
        );
        self.fs.unmount().unwrap();
        recorded
    }
}

/// Bytes of a file.
pub(super) fn bytes(path: &Path, from: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let file = fs::File::open(path).unwrap();
    file.read_exact_at(&mut bytes, from).unwrap();
    bytes
}

/// Writes over a part of a file.
pub(super) fn overwrite(path: &Path, from: u64, bytes: &[u8]) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(bytes, from).unwrap();
}

pub(super) fn set_length(path: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

/// Where the newest copy of a file's header is.
pub(super) fn newest(path: &Path) -> usize {
    let raw = RawHeader::parse(&bytes(path, 0, HEADER as usize)).unwrap();
    raw.newest().0.offset() as usize
}

/// Makes the checksums of both copies right again, where there are two.
pub(super) fn mend(path: &Path) {
    let mut region = bytes(path, 0, HEADER as usize);
    for copy in region.chunks_exact_mut(COPY_LEN) {
        if copy.iter().any(|&byte| byte != 0) {
            seal_anew(copy.try_into().unwrap(), None);
        }
    }
    overwrite(path, 0, &region);
}

/// Exchanges a part of two files.
pub(super) fn exchange(one: &Path, other: &Path, from: u64, length: usize) {
    let (first, second) = (bytes(one, from, length), bytes(other, from, length));
    overwrite(one, from, &second);
    overwrite(other, from, &first);
}

/// Exchanges two entries.
pub(super) fn exchange_entries(one: &Path, other: &Path) {
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, flags).unwrap();
}

//! Listing a directory by cookie, so that a listing may go on where it stopped.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;

use rustix::fs::{FileType, RawDir, SeekFrom, seek};

use super::seam::{Call, pass};

/// An entry of a directory.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// Its inode number.
    pub ino: u64,
    /// Its type, where the filesystem tells.
    pub kind: EntryKind,
    /// Where the listing goes on after it.
    pub next: u64,
}

/// The type of an entry.
pub type EntryKind = FileType;

/// Calls `each` for every entry from `cookie` on (0: from the start) until it answers `false`.
///
/// The descriptor's position is the listing's state: a descriptor serves one listing at a time.
///
/// # Errors
/// Those of `getdents64(2)` and of `each`.
pub fn list<E: From<io::Error>>(
    directory: impl AsFd,
    cookie: u64,
    mut each: impl FnMut(Entry<'_>) -> Result<bool, E>,
) -> Result<(), E> {
    pass(Call::Look("getdents"), || {
        seek(&directory, SeekFrom::Start(cookie))
    })
    .map_err(io::Error::from)?;
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut entries = RawDir::new(directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(io::Error::from)?;
        let entry = Entry {
            name: entry.file_name().to_bytes(),
            ino: entry.ino(),
            kind: entry.file_type(),
            next: entry.next_entry_cookie(),
        };
        if !each(entry)? {
            break;
        }
    }
    Ok(())
}

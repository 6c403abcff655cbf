//! Room on the disk that is kept for one thing: saying in the log that the disk is full.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Enough for the alarm, the head and a checkpoint.
const BYTES: u64 = 64 << 10;
/// `st_blocks` counts these.
const BLOCK: u64 = 512;

/// The file that holds the room.
pub(super) struct Reserve {
    file: PathBuf,
}

impl Reserve {
    pub(super) fn at(file: PathBuf) -> Self {
        Self { file }
    }

    /// Takes the room, unless it is held already.
    pub(super) fn hold(&self) -> io::Result<()> {
        let held = |file: &File| Ok::<_, io::Error>(file.metadata()?.blocks() * BLOCK >= BYTES);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.custom_flags(libc::O_NOFOLLOW).open(&self.file)?;
        if held(&file)? {
            return Ok(());
        }
        let taken = match fallocate(&file, FallocateFlags::empty(), 0, BYTES) {
            // Filesystems without it give room for what is written.
            Err(Errno::OPNOTSUPP) => file
                .write_all(&vec![0; usize::try_from(BYTES).expect("64 KiB")])
                .and_then(|()| file.sync_data()),
            taken => taken.map_err(Into::into),
        };
        if taken.is_err() {
            // A part of it would be missing elsewhere.
            let _ = self.give();
        }
        taken
    }

    /// Gives the room to what is written next.
    pub(super) fn give(&self) -> io::Result<()> {
        std::fs::remove_file(&self.file)
    }
}

/// Whether `error` says that there is no room.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}

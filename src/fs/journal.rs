//! What a kill would tear: each change of a backing file that takes more than one page is first laid
//! down, sealed, in memory that survives the process, and done from there. The next mount does again
//! what was under way.
//!
//! ```text
//! slot:  0  8  1 while the change is under way, else 0
//!        8  8  backing inode number
//!       16 16  file id
//!       32  8  length to cut the backing file to first; all ones: none
//!       40  8  offset of the data in the backing file
//!       48  8  length of the data
//!     4096  …  the data: sealed blocks
//! ```
//! Slots lie in a directory on tmpfs named after the mount's session, which `.kmsfs/unclean` names too:
//! no other session's changes are ever done again. It protects from a killed process, not from power
//! loss, which takes tmpfs with it.

use std::fs::{DirBuilder, File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering, compiler_fence};

use parking_lot::{Mutex, MutexGuard};
use rustix::fs::{FileType, FlockOperation, flock};

use crate::format::{
    BackingEntry, BackingOffset, FileId, HEADER_LEN, RawHeader, SEALED_BLOCK_LEN, classify,
};
use crate::sys;

use super::FsError;
use super::walk::{Walk, is_out_of_reach};

/// The most plaintext that one change writes: a request of the kernel's largest size.
pub(super) const CHANGE_MAX: usize = 1 << 20;

const SLOTS: usize = 8;
const DATA: usize = 4096;
/// A change of the largest size touches one block more than it fills.
const SLOT_LEN: usize = DATA + (CHANGE_MAX / crate::format::BLOCK_LEN + 1) * SEALED_BLOCK_LEN;
const PLACES: [&str; 2] = ["/dev/shm", "/run"];
const PREFIX: &str = "kmsfs-";
const NO_CUT: u64 = u64::MAX;

/// Names one mount of a volume.
pub(super) type Session = FileId;

pub(super) struct Journal {
    /// Where the slots are; none where no memory outlives the process.
    directory: Option<PathBuf>,
    /// Locked (`flock(2)`) as long as the process lives: who finds it free knows that it ended.
    #[allow(dead_code, reason = "it is held, not read")]
    alive: Option<File>,
    slots: Vec<Mutex<sys::Mapping>>,
    next: AtomicUsize,
}

/// What a change is made to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// The backing file's inode number.
    pub(super) ino: u64,
    pub(super) file: FileId,
}

/// A slot taken for one change.
pub(super) struct Slot<'a>(MutexGuard<'a, sys::Mapping>);

impl Journal {
    /// A journal for `session`. Where there is no tmpfs the mount works without one, and says so.
    pub(super) fn create(session: &Session) -> io::Result<Self> {
        match Self::create_in_memory(session) {
            Ok(journal) => Ok(journal),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "no tmpfs to write through: a write that is under way when this process is \
                     killed can tear a block"
                );
                Self::volatile()
            }
        }
    }

    /// A journal that ends with the process: for a mount that changes nothing.
    pub(super) fn volatile() -> io::Result<Self> {
        let slot = |_| Ok(Mutex::new(sys::Mapping::anonymous(SLOT_LEN)?));
        let slots = (0..SLOTS).map(slot).collect::<io::Result<_>>()?;
        Ok(Self {
            directory: None,
            alive: None,
            slots,
            next: AtomicUsize::new(0),
        })
    }

    fn create_in_memory(session: &Session) -> io::Result<Self> {
        let place = PLACES
            .iter()
            .map(Path::new)
            .find(|place| sys::is_in_memory(place).unwrap_or(false));
        let place = place.ok_or(io::ErrorKind::NotFound)?;
        remove_abandoned(place);
        let directory = directory(place, session);
        DirBuilder::new().mode(0o700).create(&directory)?;
        let alive = File::open(&directory)?;
        flock(&alive, FlockOperation::LockExclusive)?;
        let slot = |number: usize| {
            let mut options = File::options();
            let file = options
                .read(true)
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(directory.join(number.to_string()))?;
            Ok(Mutex::new(sys::Mapping::of_file(&file, SLOT_LEN)?))
        };
        let slots = (0..SLOTS).map(slot).collect::<io::Result<_>>();
        let slots = slots.inspect_err(|_| remove(&directory))?;
        Ok(Self {
            directory: Some(directory),
            alive: Some(alive),
            slots,
            next: AtomicUsize::new(0),
        })
    }

    /// Takes a slot, waiting for one if all are in use.
    pub(super) fn slot(&self) -> Slot<'_> {
        let start = self.next.fetch_add(1, Ordering::Relaxed);
        let mut in_turn = (0..SLOTS).map(|step| &self.slots[(start + step) % SLOTS]);
        let free = in_turn.find_map(Mutex::try_lock);
        Slot(free.unwrap_or_else(|| self.slots[start % SLOTS].lock()))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            remove(directory);
        }
    }
}

impl Slot<'_> {
    /// Room for `len` bytes of sealed blocks.
    pub(super) fn data(&mut self, len: usize) -> &mut [u8] {
        &mut self.0[DATA..DATA + len]
    }

    /// Does the change: writes the first `len` bytes of the data at `offset`, then cuts the backing
    /// file to `cut`, if given. A kill within leaves the slot for the next mount.
    pub(super) fn apply(
        &mut self,
        backing: &OwnedFd,
        place: Place,
        cut: Option<u64>,
        offset: BackingOffset,
        len: usize,
    ) -> Result<(), sys::CutShort> {
        self.put(8, &place.ino.to_le_bytes());
        self.put(16, place.file.as_bytes());
        self.put(32, &cut.unwrap_or(NO_CUT).to_le_bytes());
        self.put(40, &offset.0.to_le_bytes());
        self.put(48, &(len as u64).to_le_bytes());
        self.mark(1);
        let done = sys::write_from(backing, &self.0[DATA..DATA + len], offset.0).and_then(|()| {
            // Last, since it cannot be undone.
            cut.map_or(Ok(()), |length| sys::truncate(backing, length))
                .map_err(|error| sys::CutShort {
                    written: len,
                    error,
                })
        });
        self.mark(0);
        done
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Before the mark is set everything it stands for is in place, and it goes only after that is
    /// done: a killed process's stores are all there, in their order.
    fn mark(&mut self, value: u64) {
        compiler_fence(Ordering::SeqCst);
        self.0[..8].copy_from_slice(&value.to_le_bytes());
        compiler_fence(Ordering::SeqCst);
    }
}

/// A change that was under way when its process ended.
pub(super) struct Pending {
    pub(super) ino: u64,
    pub(super) file: FileId,
    cut: Option<u64>,
    pub(super) offset: u64,
    pub(super) data: Vec<u8>,
}

/// Does again what `session` had under way on the volume below `root`; how many changes that were.
pub(super) fn replay(session: &Session, root: &OwnedFd) -> Result<usize, FsError> {
    let mut done = 0;
    for directory in left_by(session) {
        let pending = read_slots(&directory)?;
        if !pending.is_empty() {
            done += replay_below(root, &pending)?;
        }
        remove(&directory);
    }
    Ok(done)
}

/// What `session` had under way.
pub(super) fn under_way(session: &Session) -> io::Result<Vec<Pending>> {
    let mut pending = Vec::new();
    for directory in left_by(session) {
        pending.extend(read_slots(&directory)?);
    }
    Ok(pending)
}

/// The directories of slots that `session` left.
fn left_by(session: &Session) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for place in PLACES {
        let directory = directory(Path::new(place), session);
        let Ok(metadata) = directory.symlink_metadata() else {
            continue;
        };
        if !is_ours(&metadata) {
            tracing::warn!(directory = %directory.display(), "left alone: it is not this user's");
            continue;
        }
        left.push(directory);
    }
    left
}

fn read_slots(directory: &Path) -> io::Result<Vec<Pending>> {
    let mut pending = Vec::new();
    for number in 0..SLOTS {
        match std::fs::read(directory.join(number.to_string())) {
            Ok(slot) => pending.extend(Pending::read(&slot)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(pending)
}

/// Another user's directory of our name is none of ours.
fn is_ours(metadata: &Metadata) -> bool {
    metadata.is_dir()
        && metadata.uid() == sys::own_identity().uid
        && metadata.permissions().mode() & 0o7777 == 0o700
}

/// Removes the journals in `place` whose process was killed with nothing under way: their volumes may
/// never be mounted again. One with a change waits for its volume.
fn remove_abandoned(place: &Path) {
    let Ok(entries) = std::fs::read_dir(place) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let session = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if session.and_then(|id| id.parse::<Session>().ok()).is_none()
            || !entry.metadata().is_ok_and(|metadata| is_ours(&metadata))
        {
            continue;
        }
        let directory = entry.path();
        let Ok(lock) = File::open(&directory) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            continue;
        }
        // One without slots is just being made: its process has yet to lock it.
        let is_made = directory.join("0").exists();
        if is_made && read_slots(&directory).is_ok_and(|pending| pending.is_empty()) {
            remove(&directory);
        }
    }
}

/// Backing files are found by inode number, which a listing tells for nothing.
fn replay_below(root: &OwnedFd, pending: &[Pending]) -> Result<usize, FsError> {
    let mut done = 0;
    let mut walk = Walk::new(root);
    while let Some((way, directory)) = walk.next() {
        let directory = match directory {
            Err(error) if is_out_of_reach(&error) => {
                if error.kind() == io::ErrorKind::PermissionDenied {
                    tracing::warn!(%error, "a directory is closed: changes in it are not done again");
                }
                continue;
            }
            other => other?,
        };
        let mut found = Vec::new();
        sys::list(&directory, 0, |entry| {
            if let BackingEntry::Short(name) | BackingEntry::Long(name) = classify(entry.name) {
                match entry.kind {
                    FileType::Directory | FileType::Unknown => walk.visit(way.to(name.to_owned())),
                    _ => {}
                }
                for change in pending.iter().filter(|change| change.ino == entry.ino) {
                    found.push((name.to_owned(), change));
                }
            }
            Ok::<_, FsError>(true)
        })?;
        for (name, change) in found {
            match change.apply(&directory, &name) {
                Ok(applied) => done += usize::from(applied),
                // The block it was to be is found damaged when it is read.
                Err(error) => tracing::error!(%error, "a change under way could not be done again"),
            }
        }
    }
    Ok(done)
}

impl Pending {
    pub(super) fn read(slot: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            Some(u64::from_le_bytes(
                slot.get(at..at + 8)?.try_into().expect("8 bytes"),
            ))
        };
        if number(0)? != 1 {
            return None;
        }
        let len = usize::try_from(number(48)?).ok()?;
        Some(Self {
            ino: number(8)?,
            file: FileId::from_bytes(slot.get(16..32)?.try_into().expect("16 bytes")),
            cut: Some(number(32)?).filter(|&cut| cut != NO_CUT),
            offset: number(40)?,
            data: slot.get(DATA..DATA.checked_add(len)?)?.to_vec(),
        })
    }

    /// Does it to `name` in `directory`, if that is the file it was meant for.
    fn apply(&self, directory: &OwnedFd, name: &str) -> Result<bool, FsError> {
        let file = super::open::open_for_change(&sys::open_node(directory, name)?)?;
        let mut region = [0; HEADER_LEN];
        let read = sys::read_up_to(&file, &mut region, 0)?;
        let is_it = RawHeader::parse(&region[..read])
            .is_ok_and(|header| header.newest().1.unverified().file == self.file);
        if is_it {
            if let Some(length) = self.cut {
                sys::truncate(&file, length)?;
            }
            sys::write_at(&file, &self.data, self.offset)?;
        }
        Ok(is_it)
    }
}

fn directory(place: &Path, session: &Session) -> PathBuf {
    place.join(format!("{PREFIX}{session}"))
}

fn remove(directory: &Path) {
    if let Err(error) = std::fs::remove_dir_all(directory) {
        tracing::warn!(directory = %directory.display(), %error, "could not be removed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_pending_only_while_its_change_is_under_way() {
        let session = Session::generate();
        let journal = Journal::create(&session).unwrap();
        let slot_file = journal.directory.as_ref().unwrap().join("0");
        let backing = tempfile::tempfile().unwrap();
        let backing = OwnedFd::from(backing);
        let place = Place {
            ino: 7,
            file: FileId::from_bytes([9; 16]),
        };

        let mut slot = journal.slot();
        slot.data(5000).fill(3);
        slot.apply(&backing, place, None, BackingOffset(100), 5000)
            .unwrap();
        assert!(Pending::read(&std::fs::read(&slot_file).unwrap()).is_none());

        slot.mark(1);
        let pending = Pending::read(&std::fs::read(&slot_file).unwrap()).unwrap();
        assert_eq!(
            (pending.ino, pending.file, pending.cut),
            (7, place.file, None)
        );
        assert_eq!((pending.offset, pending.data), (100, vec![3; 5000]));
    }

    #[test]
    fn the_next_journal_removes_those_of_killed_processes_that_have_nothing_under_way() {
        let abandon = |pending: bool| {
            let mut journal = Journal::create_in_memory(&Session::generate()).unwrap();
            if pending {
                journal.slot().mark(1);
            }
            // As a kill does: the lock goes, the files stay.
            journal.alive = None;
            journal.directory.take().unwrap()
        };
        let (idle, pending) = (abandon(false), abandon(true));
        let live = Journal::create(&Session::generate()).unwrap();
        let _other = Journal::create(&Session::generate()).unwrap();
        assert!(!idle.exists());
        assert!(pending.exists(), "its volume's next mount does it again");
        assert!(live.directory.as_ref().unwrap().exists());
        remove(&pending);
    }

    #[test]
    fn nothing_is_left_of_a_journal_that_ended() {
        let session = Session::generate();
        let directory = Journal::create(&session)
            .unwrap()
            .directory
            .clone()
            .unwrap();
        assert!(!directory.exists());
    }
}

//! The lock that says who owns a home.

use std::{
    fs::File,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::HomeError;

/// The lock file of a home, open but not locked.
pub(super) struct LockFile {
    file: File,
    path: PathBuf,
}

/// Proof that this process holds a home. The kernel releases it when the process ends, however it
/// ends.
pub(super) struct Lock(LockFile);

impl LockFile {
    /// Opens `lock` in the directory `home`. The lock belongs to what is opened here, not to the
    /// process: opened twice, it excludes itself.
    pub(super) fn open(home: &Path) -> Result<Self, HomeError> {
        let path = home.join("lock");
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(HomeError::io("open", &path))?;
        Ok(Self { file, path })
    }

    /// Takes the lock if nobody holds it; `Err(None)` if somebody does.
    pub(super) fn try_lock(self) -> Result<Lock, Option<HomeError>> {
        match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(self)),
            Err(Errno::WOULDBLOCK) => Err(None),
            Err(error) => Err(Some(HomeError::io("lock", &self.path)(error.into()))),
        }
    }

    /// Waits for the lock, for as long as it takes.
    pub(super) fn lock(self) -> Result<Lock, HomeError> {
        loop {
            match flock(&self.file, FlockOperation::LockExclusive) {
                Ok(()) => return Ok(Lock(self)),
                Err(Errno::INTR) => {}
                Err(error) => return Err(HomeError::io("lock", &self.path)(error.into())),
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing is not enough: a process that another thread is just starting has a copy of the
        // descriptor between fork and exec, and with it the lock. Seen in tests as a home that
        // stayed taken after its owner had let go.
        if let Err(error) = flock(&self.0.file, FlockOperation::Unlock) {
            tracing::warn!(%error, lock = %self.0.path.display(), "cannot release the home's lock");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LockFile;

    #[test]
    fn a_lock_is_released_though_a_copy_of_its_descriptor_lives_on() {
        let home = tempfile::tempdir().unwrap();
        let lock = LockFile::open(home.path())
            .unwrap()
            .try_lock()
            .ok()
            .unwrap();
        assert!(LockFile::open(home.path()).unwrap().try_lock().is_err());
        // What a forked child has of it.
        let _copy = lock.0.file.try_clone().unwrap();
        drop(lock);
        assert!(LockFile::open(home.path()).unwrap().try_lock().is_ok());
    }
}

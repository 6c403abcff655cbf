//! The lock of a volume: alone to use it, together with others to look at it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::format::RawVolumeConfig;
use crate::sys;

use super::volume::{LINKS, LOCK, control_path};
use super::{LockedVolume, Volume, VolumeError};

/// How long a mount waits for a predecessor that is ending, and for whoever looks at the volume.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
const LOOK_PATIENCE: Duration = Duration::from_secs(2);

impl Volume {
    /// Takes the volume's lock. `mountpoint` is told to whoever finds it taken; `is_mounted` says
    /// whether something of ours is mounted where the holder says it is.
    ///
    /// # Errors
    /// [`VolumeError::Busy`]. A holder whose mount is gone is on its way out, and waited for.
    pub fn lock(
        self,
        mountpoint: &Path,
        is_mounted: impl Fn(&Path) -> bool,
    ) -> Result<(LockedVolume, RawVolumeConfig), VolumeError> {
        let Self {
            backing,
            root,
            control,
            config,
        } = self;
        let io = |source| VolumeError::Io {
            path: backing.clone(),
            source,
        };
        let path = control_path(&backing, LOCK);
        let opened = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path);
        let mut lock = match opened {
            // A volume on a read-only filesystem can be mounted read-only: a lock needs no writing.
            Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => File::open(path),
            other => other,
        }
        .map_err(io)?;
        wait_for(
            &mut lock,
            FlockOperation::NonBlockingLockExclusive,
            &backing,
            is_mounted,
        )?;
        let links = sys::open_directory_path(&control_path(&backing, LINKS)).map_err(io)?;
        say(&mut lock, mountpoint);
        let locked = LockedVolume {
            backing,
            root,
            control,
            links: Some(links),
            lock: Some(lock),
        };
        Ok((locked, config))
    }

    /// Takes the volume's lock to look at it: together with others who do, and without writing.
    ///
    /// # Errors
    /// [`VolumeError::Busy`], as [`Volume::lock`].
    pub fn lock_to_check(
        self,
        is_mounted: impl Fn(&Path) -> bool,
    ) -> Result<(LockedVolume, RawVolumeConfig), VolumeError> {
        let Self {
            backing,
            root,
            control,
            config,
        } = self;
        let io = |source| VolumeError::Io {
            path: backing.clone(),
            source,
        };
        let lock = match File::open(control_path(&backing, LOCK)) {
            // It was never mounted.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            opened => {
                let mut lock = opened.map_err(io)?;
                let shared = FlockOperation::NonBlockingLockShared;
                wait_for(&mut lock, shared, &backing, is_mounted)?;
                Some(lock)
            }
        };
        let links = sys::open_directory_path(&control_path(&backing, LINKS)).ok();
        let locked = LockedVolume {
            backing,
            root,
            control,
            links,
            lock,
        };
        Ok((locked, config))
    }
}

/// Waits for the lock of the volume at `backing`, as long as its holder may be on its way out.
fn wait_for(
    lock: &mut File,
    operation: FlockOperation,
    backing: &Path,
    is_mounted: impl Fn(&Path) -> bool,
) -> Result<(), VolumeError> {
    let io = |source| VolumeError::Io {
        path: backing.to_owned(),
        source,
    };
    let start = Instant::now();
    loop {
        match flock(&*lock, operation) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) => {}
            Err(error) => return Err(io(error.into())),
        }
        // Readers hold it shared: `status` for a moment, `fsck` for longer.
        let read = flock(&*lock, FlockOperation::NonBlockingLockShared).is_ok();
        if read {
            flock(&*lock, FlockOperation::Unlock).map_err(|error| io(error.into()))?;
        }
        let late = start.elapsed() > LOCK_PATIENCE;
        if read && start.elapsed() > LOOK_PATIENCE {
            return Err(VolumeError::Checked(backing.to_owned()));
        }
        let mut holder = String::new();
        lock.rewind()
            .and_then(|()| lock.read_to_string(&mut holder))
            .map_err(io)?;
        let holder = holder.trim_end();
        if late || (!read && is_mounted(Path::new(holder))) {
            let by = if holder.is_empty() {
                String::new()
            } else {
                format!(" at {holder}")
            };
            return Err(VolumeError::Busy {
                path: backing.to_owned(),
                by,
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Information for whoever waits for the lock: its loss costs them a name in a message.
fn say(lock: &mut File, mountpoint: &Path) {
    let said = lock
        .set_len(0)
        .and_then(|()| lock.rewind())
        .and_then(|()| lock.write_all(mountpoint.as_os_str().as_bytes()));
    if let Err(error) = said {
        tracing::debug!(%error, "the lock file could not be written");
    }
}

/// Whether a process uses the volume at `backing`.
///
/// # Errors
/// [`VolumeError`] when there is no volume.
pub fn is_locked(backing: &Path) -> Result<bool, VolumeError> {
    let volume = Volume::read(backing)?;
    match sys::open_node_path(&volume.control, LOCK, sys::Access::Read) {
        // A shared lock of a moment: two that look do not see each other.
        Ok(lock) => Ok(flock(&lock, FlockOperation::NonBlockingLockShared).is_err()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(VolumeError::Io {
            path: backing.to_owned(),
            source,
        }),
    }
}

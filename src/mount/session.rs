//! A mount from its beginning to its end.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, INodeNo, Notifier, Session, SessionACL};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle as SignalHandle, Signals};

use crate::fs::{FileSystem, Ino, Reviewed};
use crate::sys;

use super::adapter::Adapter;
use super::attach::{self, AttachOptions, MountError};
use super::tuning;

/// How often a changed tree policy is looked for, the key service is asked for changes, and idle keys
/// are wiped.
const TICK: Duration = Duration::from_millis(200);

/// How long a write(2) that was under way when a file was revoked may still bring pages.
const LATE_WRITES: Duration = Duration::from_secs(1);

/// How long a key service that did not decide about every open file, being overloaded perhaps, is left
/// alone.
const REVIEW_AGAIN: Duration = Duration::from_secs(2);

/// A mount that is about to be made: its mount point is fit for one.
#[derive(Debug)]
pub struct Plan {
    mountpoint: PathBuf,
    options: AttachOptions,
}

impl Plan {
    /// Checks the mount point.
    ///
    /// # Errors
    /// [`MountError::MountPoint`].
    pub fn new(mountpoint: &Path, options: AttachOptions) -> Result<Self, MountError> {
        Ok(Self {
            mountpoint: attach::check(mountpoint)?,
            options,
        })
    }

    /// The mount point, resolved.
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Mounts `filesystem`. When this returns, the mount answers.
    ///
    /// # Errors
    /// [`MountError`].
    pub fn mount(self, filesystem: FileSystem, backing: &Path) -> Result<Mounted, MountError> {
        let Self {
            mountpoint,
            options,
        } = self;
        let filesystem = Arc::new(filesystem);
        sys::obey_quotas().map_err(MountError::Session)?;
        // Signals that come from here on end the mount, not the process.
        let signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(MountError::Session)?;
        let notifier = Arc::new(OnceLock::new());
        let adapter =
            Adapter::new(filesystem.clone(), notifier.clone()).map_err(MountError::Session)?;
        let connection = attach::attach(backing, &mountpoint, &options)?;
        let started = start(adapter, connection, &notifier).inspect_err(|_| {
            let _ = attach::detach(&mountpoint, true);
        })?;
        if let Some(device) = attach::device_of(&mountpoint) {
            tuning::raise_limits(&device);
        }
        let kernel = KernelCache {
            notifier: started.notifier(),
            mountpoint: mountpoint.clone(),
        };
        let ending = Arc::new(AtomicBool::new(false));
        let signal_handle = signals.handle();
        let helpers = vec![
            spawn("kmsfs-tick", {
                let (filesystem, ending) = (filesystem.clone(), ending.clone());
                let kernel = kernel.clone();
                move || tick(&filesystem, &kernel, &ending)
            })?,
            // Apart from the tick: the key service may take its time.
            spawn("kmsfs-follow", {
                let (filesystem, ending) = (filesystem.clone(), ending.clone());
                move || follow_keys(&filesystem, &kernel, &ending)
            })?,
            spawn("kmsfs-signals", {
                let mountpoint = mountpoint.clone();
                move || end_on_signal(signals, &mountpoint)
            })?,
            spawn("kmsfs-sweep", {
                let (filesystem, ending) = (filesystem.clone(), ending.clone());
                move || sweep(&filesystem, &ending)
            })?,
        ];
        Ok(Mounted {
            filesystem,
            session: started,
            ending,
            signal_handle,
            helpers,
        })
    }
}

fn start(
    adapter: Adapter,
    connection: std::os::fd::OwnedFd,
    notifier: &OnceLock<Notifier>,
) -> Result<BackgroundSession, MountError> {
    let mut config = Config::default();
    config.n_threads = Some(sys::worker_count());
    config.clone_fd = true;
    // The kernel decides who may use the mount (`attach`).
    let session = Session::from_fd(adapter, connection, SessionACL::All, config)
        .map_err(MountError::Session)?;
    // Nobody else sets it.
    let _ = notifier.set(session.notifier());
    session.spawn().map_err(MountError::Session)
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, MountError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(MountError::Session)
}

/// A live mount.
pub struct Mounted {
    filesystem: Arc<FileSystem>,
    session: BackgroundSession,
    ending: Arc<AtomicBool>,
    signal_handle: SignalHandle,
    helpers: Vec<JoinHandle<()>>,
}

impl Mounted {
    /// Serves until somebody unmounts or a signal asks to, and leaves the volume cleanly.
    ///
    /// # Errors
    /// [`MountError::Session`], [`MountError::Unclean`].
    pub fn serve(self) -> Result<(), MountError> {
        let Self {
            filesystem,
            session,
            ending,
            signal_handle,
            helpers,
        } = self;
        let served = session.join();
        ending.store(true, Ordering::Relaxed);
        signal_handle.close();
        for helper in helpers {
            helper.thread().unpark();
            if helper.join().is_err() {
                tracing::error!("a helper thread of the mount panicked");
            }
        }
        let filesystem = Arc::into_inner(filesystem).expect("the session and the helpers are gone");
        filesystem.unmount().map_err(MountError::Unclean)?;
        served.map_err(MountError::Session)
    }
}

fn tick(filesystem: &FileSystem, kernel: &KernelCache, ending: &AtomicBool) {
    while !ending.load(Ordering::Relaxed) {
        std::thread::park_timeout(TICK);
        for ino in filesystem.tick() {
            kernel.forget(ino);
        }
        if let Some(reviewed) = filesystem.review_policy() {
            let _always = finish_review(filesystem, kernel, &reviewed);
        }
    }
}

fn follow_keys(filesystem: &FileSystem, kernel: &KernelCache, ending: &AtomicBool) {
    while !ending.load(Ordering::Relaxed) {
        match filesystem.follow_keys() {
            // Whoever made the change waits for the word that it is acted on: the next question.
            Some(reviewed) if finish_review(filesystem, kernel, &reviewed) => {}
            Some(_) => std::thread::park_timeout(REVIEW_AGAIN),
            None => std::thread::park_timeout(TICK),
        }
    }
    filesystem.stop_following();
}

/// Tells whether every open file was decided.
fn finish_review(filesystem: &FileSystem, kernel: &KernelCache, reviewed: &Reviewed) -> bool {
    let deadline = Instant::now() + LATE_WRITES;
    loop {
        let before = reviewed.writes();
        for ino in reviewed.inodes() {
            kernel.forget(ino);
        }
        // A write(2) that the kernel had begun goes on filling its cache meanwhile.
        if reviewed.writes() == before || Instant::now() > deadline {
            break;
        }
    }
    for path in reviewed.shared_paths() {
        kernel.refresh(&path);
    }
    filesystem.finish_review(reviewed)
}

/// What the kernel has of the files of a mount.
#[derive(Clone)]
struct KernelCache {
    notifier: Notifier,
    mountpoint: PathBuf,
}

impl KernelCache {
    /// From here on the kernel asks for every page, and at every write for the attributes. It first has
    /// changed pages written, for which no lock may be held here.
    fn forget(&self, ino: Ino) {
        if let Err(error) = self.notifier.inval_inode(INodeNo(ino.0), 0, 0) {
            tracing::debug!(?ino, %error, "the kernel has nothing to forget");
        }
    }

    /// Has the kernel ask for the attributes of the file at `path`, below the mount point, whatever it
    /// believes.
    fn refresh(&self, path: &[u8]) {
        if let Err(error) = sys::refresh_attributes(&self.mountpoint, path) {
            let path = OsStr::from_bytes(path).display();
            tracing::debug!(%path, %error, "attributes were not refreshed");
        }
    }
}

fn sweep(filesystem: &FileSystem, ending: &AtomicBool) {
    if !filesystem.needs_sweep() {
        return;
    }
    tracing::info!("the volume was not unmounted cleanly: its files are being settled");
    match filesystem.sweep(|| !ending.load(Ordering::Relaxed)) {
        Ok(()) => {}
        Err(error) => tracing::warn!(%error, "settling stopped; the next mount goes on with it"),
    }
}

/// The first signal unmounts, leaving programs their open files; the mount ends with the last of
/// them.
fn end_on_signal(mut signals: Signals, mountpoint: &Path) {
    for signal in signals.forever() {
        tracing::info!(signal, mountpoint = %mountpoint.display(), "unmounting");
        if let Err(error) = attach::detach(mountpoint, true) {
            tracing::error!(%error, "could not unmount");
        }
    }
}

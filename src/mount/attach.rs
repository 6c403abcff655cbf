//! Attaching to the kernel: `mount(2)` as root, `fusermount3` otherwise.
//!
//! fuser can do this too, but ties who may use the mount to who its own session lets in, and that
//! check refuses requests which the kernel makes as root on an ordinary user's mount (the times of
//! written-back files). Here the kernel alone decides, by `allow_other` or its absence.

use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{getegid, geteuid};

use super::live::{self, TYPE};

const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";

/// What the kernel is told about the mount.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are mount(8)'s, each on its own"
)]
pub struct AttachOptions {
    /// What `mount` shows as the source; the backing directory if there is none.
    pub fsname: Option<String>,
    /// Other users may use the mount.
    pub allow_other: bool,
    /// Nothing may be changed.
    pub read_only: bool,
    /// Device nodes work.
    pub dev: bool,
    /// Set-user-id bits work.
    pub suid: bool,
    /// Programs may not be run.
    pub noexec: bool,
    /// Access times are not kept.
    pub noatime: bool,
}

/// Why there is no mount.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The mount point cannot be used.
    #[error("{path} cannot be mounted on: {reason}")]
    MountPoint {
        /// The mount point.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel or `fusermount3` refused.
    #[error("cannot mount on {path}: {reason}")]
    Refused {
        /// The mount point.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
    /// Unmounting was refused.
    #[error("cannot unmount {path}: {reason}")]
    Held {
        /// The mount point.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
    /// FUSE itself is missing.
    #[error("{DEVICE} cannot be opened: {0}; load the fuse module (`modprobe fuse`)")]
    NoDevice(io::Error),
    /// The session could not be started or ended badly.
    #[error("the FUSE session failed: {0}")]
    Session(io::Error),
    /// The volume could not be left cleanly.
    #[error("the volume could not be left cleanly, the next mount will settle it: {0}")]
    Unclean(crate::fs::FsError),
}

/// Refuses a mount point that cannot be one: not a directory, or with something mounted on it.
pub(super) fn check(mountpoint: &Path) -> Result<PathBuf, MountError> {
    let wrong = |reason: String| MountError::MountPoint {
        path: mountpoint.to_owned(),
        reason,
    };
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => wrong("there is no such directory; create it first".into()),
        io::ErrorKind::NotConnected => wrong(
            "a mount whose process is gone is in its place; unmount it first (`umount -l`)".into(),
        ),
        _ => wrong(error.to_string()),
    };
    let path = mountpoint.canonicalize().map_err(told)?;
    let here = path.metadata().map_err(told)?;
    if !here.is_dir() {
        return Err(wrong("it is not a directory".into()));
    }
    if is_mount_point(&path).map_err(told)? {
        return Err(wrong(
            "something is mounted there already; unmount it first".into(),
        ));
    }
    Ok(path)
}

fn is_mount_point(path: &Path) -> io::Result<bool> {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let told = statx(CWD, path, AtFlags::empty(), StatxFlags::empty())?;
    Ok(told.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Mounts, and returns the connection to the kernel.
pub(super) fn attach(
    backing: &Path,
    mountpoint: &Path,
    options: &AttachOptions,
) -> Result<OwnedFd, MountError> {
    let source: OsString = match &options.fsname {
        Some(name) => name.into(),
        None => backing.into(),
    };
    if geteuid().is_root() {
        attach_as_root(&source, mountpoint, options)
    } else {
        attach_by_helper(&source, mountpoint, options)
    }
}

fn attach_as_root(
    source: &OsString,
    mountpoint: &Path,
    options: &AttachOptions,
) -> Result<OwnedFd, MountError> {
    let device = File::options()
        .read(true)
        .write(true)
        .open(DEVICE)
        .map_err(MountError::NoDevice)?;
    let flags = kernel_flags(options);
    let data = format!(
        "fd={},rootmode=40000,user_id={},group_id={},default_permissions{}",
        device.as_raw_fd(),
        geteuid().as_raw(),
        getegid().as_raw(),
        if options.allow_other {
            ",allow_other"
        } else {
            ""
        },
    );
    let data = CString::new(data).expect("numbers and words have no NUL");
    mount(source.as_bytes(), mountpoint, TYPE, flags, Some(&*data)).map_err(|error| {
        MountError::Refused {
            path: mountpoint.to_owned(),
            reason: error.to_string(),
        }
    })?;
    Ok(device.into())
}

fn kernel_flags(options: &AttachOptions) -> MountFlags {
    let chosen = [
        (options.read_only, MountFlags::RDONLY),
        (!options.dev, MountFlags::NODEV),
        (!options.suid, MountFlags::NOSUID),
        (options.noexec, MountFlags::NOEXEC),
        (options.noatime, MountFlags::NOATIME),
    ];
    chosen
        .into_iter()
        .filter_map(|(chosen, flag)| chosen.then_some(flag))
        .fold(MountFlags::empty(), |all, flag| all | flag)
}

/// `fusermount3` mounts with the rights of root and sends the connection over a socket
/// (`_FUSE_COMMFD`).
fn attach_by_helper(
    source: &OsString,
    mountpoint: &Path,
    options: &AttachOptions,
) -> Result<OwnedFd, MountError> {
    let refused = |reason: String| MountError::Refused {
        path: mountpoint.to_owned(),
        reason,
    };
    let failed =
        |error: io::Error| refused(format!("{HELPER}: {error}; install the package fuse3"));
    let escaped = source
        .to_string_lossy()
        .replace('\\', "\\\\")
        .replace(',', "\\,");
    let mut words = vec![
        format!("fsname={escaped}"),
        "subtype=kmsfs".into(),
        "default_permissions".into(),
    ];
    let chosen = [
        (options.allow_other, "allow_other"),
        (options.read_only, "ro"),
        (options.noexec, "noexec"),
        (options.noatime, "noatime"),
    ];
    words.extend(
        chosen
            .iter()
            .filter(|(chosen, _)| *chosen)
            .map(|(_, word)| (*word).to_owned()),
    );

    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    // The one descriptor that the child shall inherit.
    fcntl_setfd(&theirs, FdFlags::empty()).map_err(|error| failed(error.into()))?;
    let child = Command::new(HELPER)
        .args(["-o", &words.join(","), "--"])
        .arg(mountpoint)
        .env("_FUSE_COMMFD", theirs.as_raw_fd().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    drop(theirs);
    let device = receive_descriptor(&ours).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    match device {
        Some(device) if output.status.success() => Ok(device),
        _ => Err(refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        )),
    }
}

fn receive_descriptor(socket: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let slices = &mut [IoSliceMut::new(&mut byte)];
    recvmsg(socket, slices, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let received = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok(received)
}

/// Changes the kernel's options of an existing mount.
///
/// # Errors
/// [`MountError::Refused`], for instance for anyone but root.
pub fn remount(mountpoint: &Path, options: &AttachOptions) -> Result<(), MountError> {
    mount_remount(mountpoint, kernel_flags(options), c"").map_err(|error| MountError::Refused {
        path: mountpoint.to_owned(),
        reason: error.to_string(),
    })
}

/// Unmounts. `lazy` leaves programs that still use it their open files.
///
/// # Errors
/// [`MountError::Held`], for instance while it is in use.
pub fn detach(mountpoint: &Path, lazy: bool) -> Result<(), MountError> {
    let refused = |reason: String| MountError::Held {
        path: mountpoint.to_owned(),
        reason,
    };
    if geteuid().is_root() {
        let flags = if lazy {
            UnmountFlags::DETACH
        } else {
            UnmountFlags::empty()
        };
        return unmount(mountpoint, flags | UnmountFlags::NOFOLLOW).map_err(|error| {
            let reason = match error {
                rustix::io::Errno::BUSY => {
                    "it is busy; close what uses it (`fuser -vm` tells what)".into()
                }
                other => other.to_string(),
            };
            refused(reason)
        });
    }
    let output = Command::new(HELPER)
        .args(if lazy {
            &["-u", "-z", "--"][..]
        } else {
            &["-u", "--"][..]
        })
        .arg(mountpoint)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| refused(format!("{HELPER}: {error}; install the package fuse3")))?;
    if output.status.success() {
        Ok(())
    } else {
        Err(refused(
            String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        ))
    }
}

/// The device number of the mount at `mountpoint`, as `/sys/class/bdi` names it.
pub(super) fn device_of(mountpoint: &Path) -> Option<String> {
    live::find(mountpoint).ok()?.map(|mount| mount.device)
}

//! `kmsfs umount`.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::mount;

use super::args::UmountArgs;
use super::connect::Access;
use super::error::CliError;
use super::exit::Exit;
use super::running;

/// How long the process that served is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

pub(super) fn run(access: &Access, arguments: &UmountArgs) -> Result<Exit, CliError> {
    let found = mount::find(&arguments.mountpoint).map_err(CliError::io("/proc/self/mountinfo"))?;
    let Some(live) = found else {
        return Err(CliError::NotMounted(arguments.mountpoint.clone()));
    };
    let note = running::note_of(access, &live);
    // Taken before the unmounting: a process that is gone could give its number to another.
    let process = note.as_ref().and_then(|note| open_process(note.pid));
    let backing = running::backing_of(access, &arguments.mountpoint)?;
    mount::detach(&live.mountpoint, false)?;
    match process {
        Some(process) => wait_for(&process, &backing)?,
        None => wait_until_left(&backing)?,
    }
    Ok(Exit::Success)
}

fn open_process(pid: u32) -> Option<OwnedFd> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    pidfd_open(pid, PidfdFlags::empty()).ok()
}

/// The unmounting is done when the serving process has ended: then the volume and the logs are
/// durable and closed.
fn wait_for(process: &OwnedFd, backing: &Path) -> Result<(), CliError> {
    let mut ended = [PollFd::new(process, PollFlags::IN)];
    let limit = Timespec {
        tv_sec: PATIENCE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    match poll(&mut ended, Some(&limit)) {
        Ok(0) => Err(still_there(backing)),
        Ok(_) => Ok(()),
        Err(error) => Err(CliError::io(backing)(error.into())),
    }
}

fn still_there(backing: &Path) -> CliError {
    CliError::Failed(format!(
        "it is unmounted, but the process that served {} has not ended yet; see kmsfs.log in its home",
        backing.display()
    ))
}

/// Of a mount from another home only its volume's lock can be looked at.
fn wait_until_left(backing: &Path) -> Result<(), CliError> {
    let deadline = Instant::now() + PATIENCE;
    // A source that is no volume (`fsname=`) tells nothing: the next mount waits then.
    while crate::fs::is_locked(backing).unwrap_or(false) {
        if Instant::now() > deadline {
            return Err(still_there(backing));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

//! `kmsfs umount`.

use std::path::Path;
use std::time::{Duration, Instant};

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
    let backing = running::backing_of(access, &arguments.mountpoint)?;
    mount::detach(&live.mountpoint, false)?;
    wait_until_left(&backing)?;
    Ok(Exit::Success)
}

/// The unmounting is done when the serving process has left the volume: then everything is durable.
fn wait_until_left(backing: &Path) -> Result<(), CliError> {
    let deadline = Instant::now() + PATIENCE;
    // A source that is no volume (`fsname=`, another home) tells nothing: the next mount waits then.
    while crate::fs::is_locked(backing).unwrap_or(false) {
        if Instant::now() > deadline {
            return Err(CliError::Failed(format!(
                "it is unmounted, but the process that served {} has not ended yet; see kmsfs.log in \
                 its home",
                backing.display()
            )));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

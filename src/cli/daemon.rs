//! Going to the background: the process starts itself once more, waits until that one serves, and
//! passes on what it has to say.
//!
//! A fork would do in a program without threads; starting anew is safe in one with them.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::fs::{CWD, Mode, OFlags, openat};
use zeroize::Zeroizing;

use crate::kms::{Passphrase, Unlock};

use super::connect::Access;
use super::error::CliError;
use super::exit::Exit;
use super::home::SecretSource;

/// Set for the process that serves. It says nothing secret.
const MARK: &str = "KMSFS_SERVE";
const READY: &[u8] = b"ready";
/// Room for a passphrase, so that reading it leaves no copies behind.
const PASSPHRASE_MAX: usize = 4096;

/// Whether this process is the one that serves.
pub(super) fn is_background() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the process that serves, with the same arguments, and waits until it does.
pub(super) fn start(access: &Access) -> Result<Exit, CliError> {
    let own = CliError::io("/proc/self/exe");
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "kmsfs".into());
    let passphrase = match access.secret() {
        SecretSource::Prompt => Some(super::connect::ask_text()?),
        SecretSource::Passfile(_) | SecretSource::Keyfile(_) => None,
    };
    let mut child = Command::new("/proc/self/exe")
        .arg0(name)
        .args(arguments)
        .env(MARK, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(own)?;
    let pipe = CliError::io("the pipe to the background process");
    let mut input = child.stdin.take().expect("it is piped");
    // A child that ended early says why below.
    let _ = input.write_all(passphrase.as_deref().map_or(b"", |text| text.as_bytes()));
    drop(input);
    let mut said = Vec::new();
    child
        .stdout
        .take()
        .expect("it is piped")
        .read_to_end(&mut said)
        .map_err(pipe)?;
    let mut complaint = String::new();
    let _ = child
        .stderr
        .take()
        .expect("it is piped")
        .read_to_string(&mut complaint);
    eprint!("{complaint}");
    if said == READY {
        return Ok(Exit::Success);
    }
    let status = child
        .wait()
        .map_err(CliError::io("the background process"))?;
    let code = status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1);
    if complaint.is_empty() {
        eprintln!("kmsfs: the background process ended ({status}) before it served");
    }
    Err(CliError::Background(code))
}

/// In the process that serves: a session of its own, and the passphrase that was asked for.
pub(super) fn enter() -> Result<Option<Unlock>, CliError> {
    // Only fails for a process that leads a group already, which is as good.
    let _ = rustix::process::setsid();
    let mut text = Zeroizing::new(String::with_capacity(PASSPHRASE_MAX));
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(CliError::io("standard input"))?;
    if text.is_empty() {
        return Ok(None);
    }
    Ok(Some(Unlock::Passphrase(Passphrase::new(std::mem::take(
        &mut *text,
    ))?)))
}

/// In the process that serves: tells the one that waits, and lets go of the terminal.
pub(super) fn ready() -> Result<(), CliError> {
    let null = CliError::io("/dev/null");
    let mut stdout = std::io::stdout();
    let told = stdout.write_all(READY).and_then(|()| stdout.flush());
    told.map_err(CliError::io("the pipe to the waiting process"))?;
    let quiet = || -> rustix::io::Result<()> {
        let null = openat(
            CWD,
            "/dev/null",
            OFlags::RDWR | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        rustix::stdio::dup2_stderr(&null)?;
        rustix::process::chdir("/")
    };
    quiet().map_err(|error| null(error.into()))
}

//! `kmsfs kms serve`.

use std::env;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use listenfd::ListenFd;
use nix::unistd::{Group, User};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::kms::{Daemon, Home, Inherited, ServeOptions, SocketOptions, TlsFiles};
use crate::sys;

use super::super::args::kms::ServeArgs;
use super::super::connect::Access;
use super::super::error::CliError;
use super::super::home::SecretSource;
use super::super::mount::log_to_stderr;

/// The systemd credential that is looked for when nothing else is said.
const CREDENTIAL: &str = "kmsfs.pass";

pub(super) fn run(access: &Access, arguments: ServeArgs) -> Result<(), CliError> {
    log_to_stderr();
    // Before any thread: signals that come while it starts end it properly as well.
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP]).map_err(CliError::io("signals"))?;
    let files = sys::raise_file_limit().map_err(CliError::io("the limit of open files"))?;
    tracing::debug!(files, "limit of open files");
    if let Err(error) = sys::lock_memory() {
        tracing::warn!(
            %error,
            "key material could be swapped out: raise the limit of locked memory (ulimit -l, \
             LimitMEMLOCK=infinity) or use encrypted swap"
        );
    }
    let home = open(access, &arguments)?;
    let daemon = Daemon::start(&home, options(arguments)?)?;
    let mut out = std::io::stdout();
    for address in daemon.addresses() {
        // Whoever started it may not read.
        let _ = writeln!(out, "listening on {address}");
    }
    let _ = out.flush();
    if daemon.is_sealed() {
        eprintln!("kmsfs: sealed; `kmsfs kms unseal` opens it");
    }
    notify(&[NotifyState::Ready]);
    for signal in &mut signals {
        if signal != SIGHUP {
            break;
        }
        match daemon.reload() {
            Ok(()) => tracing::info!("read the certificate again"),
            Err(error) => tracing::error!(%error, "the former certificate stays in use"),
        }
    }
    notify(&[NotifyState::Stopping]);
    drop(daemon);
    Ok(())
}

/// Tells systemd, where it started this process.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be told");
    }
}

/// The home, with its secret if there is one.
fn open(access: &Access, arguments: &ServeArgs) -> Result<Home, CliError> {
    let account = arguments.account.as_deref();
    if arguments.sealed {
        return access.open_sealed(account);
    }
    let access = match credential(arguments.credential.as_deref(), access)? {
        Some(file) => access.with_passfile(file),
        None => access.clone(),
    };
    let asks = access.secret() == SecretSource::Prompt;
    if asks && !std::io::stdin().is_terminal() && access.has_home()? {
        return access.open_sealed(account);
    }
    access.home_or_create(account, arguments.region.first())
}

/// The file of the credential that was named, or of the usual one if nothing else gives a secret.
fn credential(named: Option<&str>, access: &Access) -> Result<Option<PathBuf>, CliError> {
    let directory = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
    match (named, directory) {
        (Some(name), Some(directory)) => Ok(Some(directory.join(name))),
        (Some(name), None) => Err(CliError::Failed(format!(
            "there is no credential {name}: systemd sets CREDENTIALS_DIRECTORY for units with \
             LoadCredential=, and it is not set"
        ))),
        (None, Some(directory)) if access.secret() == SecretSource::Prompt => {
            Ok(Some(directory.join(CREDENTIAL)).filter(|file| file.exists()))
        }
        (None, _) => Ok(None),
    }
}

fn options(arguments: ServeArgs) -> Result<ServeOptions, CliError> {
    let owner = arguments.socket_owner.as_deref().map(owner).transpose()?;
    let socket = arguments.socket.map(|path| SocketOptions {
        path,
        mode: arguments.socket_mode,
        owner,
    });
    let tls = arguments.tls_cert.zip(arguments.tls_key);
    let tls = tls.map(|(certificate, key)| TlsFiles {
        certificate,
        key,
        client_ca: arguments.tls_client_ca,
    });
    let regions = Some(arguments.region).filter(|regions| !regions.is_empty());
    Ok(ServeOptions {
        socket,
        listen: arguments.listen,
        tls,
        regions,
        allow_reset: arguments.allow_reset,
        inherited: inherited()?,
    })
}

/// The sockets that systemd opened for us.
fn inherited() -> Result<Inherited, CliError> {
    let mut sockets = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for index in 0..sockets.len() {
        if let Ok(Some(unix)) = sockets.take_unix_listener(index) {
            inherited.unix.push(unix);
        } else if let Ok(Some(tcp)) = sockets.take_tcp_listener(index) {
            inherited.tcp.push(tcp);
        } else {
            return Err(CliError::Failed(format!(
                "socket {index} of LISTEN_FDS is neither a Unix nor a TCP stream socket"
            )));
        }
    }
    Ok(inherited)
}

/// `USER`, `USER:GROUP` or `:GROUP`.
fn owner(text: &str) -> Result<(Option<u32>, Option<u32>), CliError> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let user = Some(user).filter(|user| !user.is_empty());
    let group = group.filter(|group| !group.is_empty());
    Ok((
        user.map(user_id).transpose()?,
        group.map(group_id).transpose()?,
    ))
}

/// A user's id, by name or number.
pub(super) fn user_id(text: &str) -> Result<u32, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let found = User::from_name(text).map_err(|error| database(error.into()))?;
    found
        .map(|user| user.uid.as_raw())
        .ok_or_else(|| CliError::Failed(format!("there is no user {text:?} on this system")))
}

fn group_id(text: &str) -> Result<u32, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let found = Group::from_name(text).map_err(|error| database(error.into()))?;
    found
        .map(|group| group.gid.as_raw())
        .ok_or_else(|| CliError::Failed(format!("there is no group {text:?} on this system")))
}

fn database(error: std::io::Error) -> CliError {
    CliError::io("the user database")(error)
}

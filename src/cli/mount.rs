//! `kmsfs mount`, and mount(8) calling it.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

use crate::audit;
use crate::fs::{Options, Services, Volume, descriptor_share};
use crate::keyring::DECISION_LIFETIME;
use crate::kms::{KeyService, Target, Unlock, Watched};
use crate::mount::{self, AttachOptions, Plan};
use crate::sys;

use super::args::HomeArgs;
use super::args::mount::MountRequest;
use super::args::service::ServiceArgs;
use super::connect::{Access, Opened};
use super::daemon;
use super::error::CliError;
use super::exit::Exit;
use super::mount_options::{Coverage, Durability, MountOptions};
use super::running::Note;

/// What a mount logs unless `KMSFS_LOG` says otherwise.
const LOG_LEVEL: &str = "warn,kmsfs=info,fuser=error";
/// How long open files outlive the key service unless the options say otherwise, in seconds.
const OFFLINE_GRACE: u32 = 60;

pub(super) fn run(request: &MountRequest) -> Result<Exit, CliError> {
    if request.options.remount == Some(true) {
        mount::remount(&request.mountpoint, &attach_options(&request.options))?;
        return Ok(Exit::Success);
    }
    let access = Access::new(HomeArgs {
        home: request.options.home.clone(),
        passfile: request.options.passfile.clone(),
        keyfile: request.options.keyfile.clone(),
    });
    if request.foreground {
        log_to_stderr();
        serve(&access, request, None, || {
            eprintln!(
                "Mounted on {}; end with Ctrl-C.",
                request.mountpoint.display()
            );
            Ok(())
        })
    } else if daemon::is_background() {
        let passphrase = daemon::enter()?;
        log_to_file(&access);
        serve(&access, request, passphrase, daemon::ready)
    } else {
        daemon::start(&access)
    }
}

/// Mounts, says so by `ready`, and serves until the mount ends.
fn serve(
    access: &Access,
    request: &MountRequest,
    passphrase: Option<Unlock>,
    ready: impl FnOnce() -> Result<(), CliError>,
) -> Result<Exit, CliError> {
    sys::clear_umask();
    // The cheap checks come first: they need no secret.
    let backing = request
        .backing
        .canonicalize()
        .unwrap_or_else(|_| request.backing.clone());
    let volume = Volume::read(&backing)?;
    let plan = Plan::new(&request.mountpoint, attach_options(&request.options))?;
    let files = sys::raise_file_limit().map_err(CliError::io("the limit of open files"))?;
    let opened = access.open_to_stay(passphrase)?;
    let key_arn = &volume.unverified().key_arn;
    let keys = key_service(access, &request.options, &opened, key_arn)?;
    let is_mounted = |mountpoint: &Path| matches!(mount::find(mountpoint), Ok(Some(_)));
    let (locked, config) = volume.lock(plan.mountpoint(), is_mounted)?;
    let note = Note {
        volume_id: config.unverified().volume.to_string(),
        backing: backing.clone(),
        mountpoint: plan.mountpoint().to_owned(),
        pid: std::process::id(),
    };
    let options = Options {
        read_only: request.options.read_only == Some(true),
        strict_audit: request.options.audit == Some(Coverage::Strict),
        access_times: request.options.atime != Some(false),
        descriptors: descriptor_share(files),
        offline_grace: Duration::from_secs(
            request
                .options
                .offline_grace
                .unwrap_or(OFFLINE_GRACE)
                .into(),
        ),
    };
    let durability = match request.options.audit_durability.unwrap_or_default() {
        Durability::Balanced => audit::Durability::Balanced,
        Durability::Strict => audit::Durability::Strict,
    };
    let home_path = opened.home.path().to_owned();
    let services = services(opened, keys, &note.volume_id, durability)?;
    let filesystem = locked.open(config, services, options)?;
    let mounted = plan.mount(filesystem, &backing)?;
    // Without the note `status` and `umount` know less; the mount itself is as good.
    let posted = note
        .post(&home_path)
        .inspect_err(|error| tracing::warn!(%error, "the note of the mount could not be written"));
    let told = ready();
    if told.is_err() {
        // Whoever asked for the mount is gone: nobody would know of it.
        mount::detach(&note.mountpoint, true)?;
    }
    let served = mounted.serve();
    drop(posted);
    told?;
    if let Err(error) = &served {
        tracing::error!(%error, "the mount ended badly");
    }
    served?;
    Ok(Exit::Success)
}

/// The key service of a volume whose KMS key is `key_arn`: the home's own, unless the options name
/// another.
fn key_service(
    access: &Access,
    options: &MountOptions,
    opened: &Opened,
    key_arn: &str,
) -> Result<Arc<dyn KeyService>, CliError> {
    let named = ServiceArgs {
        kms: options.kms.clone(),
        kms_ca: options.kms_ca.clone(),
    };
    let service = access.keys(&named, opened, key_arn)?;
    // Over a network each question takes its time: an epoch is believed as long as a decision is.
    let epoch_lifetime = match options.kms {
        Some(Target::Http(_)) => DECISION_LIFETIME,
        _ => Duration::ZERO,
    };
    let watched = Watched::new(service, epoch_lifetime);
    Ok(Arc::new(watched.map_err(CliError::io("a new thread"))?))
}

/// What a volume needs of its home, with its keys from `keys`.
pub(super) fn services(
    opened: Opened,
    keys: Arc<dyn KeyService>,
    volume_id: &str,
    durability: audit::Durability,
) -> Result<Services, CliError> {
    let mounter = opened.caller_via_kmsfs();
    let Opened { home, .. } = opened;
    let anchor = home.anchor()?;
    let attached = home.attached()?;
    Ok(Services {
        keys,
        audit: home.audit_dir(),
        durability,
        anchor,
        policy: home.policy_path(volume_id),
        account: home.account().to_owned(),
        region: home.region().to_owned(),
        mounter,
        identities: Arc::new(attached),
        principals: Arc::new(move |uid, gid| home.principal(uid, gid)),
    })
}

fn attach_options(options: &MountOptions) -> AttachOptions {
    AttachOptions {
        fsname: options
            .fsname
            .as_ref()
            .map(|name| name.to_string_lossy().into_owned()),
        allow_other: options.allow_other == Some(true),
        read_only: options.read_only == Some(true),
        dev: options.devices == Some(true),
        suid: options.setuid == Some(true),
        noexec: options.exec == Some(false),
        noatime: options.atime == Some(false),
    }
}

pub(super) fn log_to_stderr() {
    let log = tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_env_filter(filter());
    // A second one would be refused: there is none.
    let _ = log.try_init();
}

/// A mount in the background logs to `HOME/kmsfs.log`.
fn log_to_file(access: &Access) {
    let Ok(home) = access.path() else { return };
    let file = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(home.join("kmsfs.log"));
    // Without a home there is nothing to serve either, and the error says so.
    let Ok(file) = file else { return };
    let log = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(std::sync::Mutex::new(file))
        .log_internal_errors(false)
        .with_env_filter(filter());
    let _ = log.try_init();
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_env("KMSFS_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_LEVEL))
}

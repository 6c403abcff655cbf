//! `kmsfs mount`, and the same thing as mount(8) calls it: `mount.fuse.kmsfs`.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::{Args, Parser};

use super::{Cli, HomeArgs, help, service::ServiceArgs};
use crate::cli::exit::Exit;
use crate::cli::mount_options::{Coverage, Durability, MountOptions, OptionError, Unknown};

/// Mount a volume: show its plaintext at a directory
///
/// Goes to the background and returns once the mount answers; if it cannot be mounted, says why
/// and returns an exit code that tells the reasons apart. Root mounts for many users with
/// `-o allow_other`; an ordinary user mounts for themselves, through fusermount3. A flag beats an
/// `-o` option of the same meaning.
#[derive(Args, Debug)]
#[command(after_long_help = help(OPTIONS, &[
    Exit::WrongSecret,
    Exit::NotAVolume,
    Exit::NewerFormat,
    Exit::CorruptVolume,
    Exit::BadMountPoint,
    Exit::AlreadyMounted,
    Exit::KeyService,
    Exit::PolicyRefused,
    Exit::BadHome,
]))]
pub struct MountArgs {
    /// Directory that holds the volume's ciphertext
    pub backing: PathBuf,
    /// Existing directory at which the plaintext appears
    pub mountpoint: PathBuf,
    /// Mount options, separated by commas; may be given more than once
    #[arg(short = 'o', value_name = "OPT,...")]
    pub options: Vec<OsString>,
    /// Stay in the foreground and log to standard error
    #[arg(long)]
    pub foreground: bool,
    /// Refuse every change, as `-o ro`
    #[arg(long)]
    pub read_only: bool,
    /// What is recorded [default: standard]
    #[arg(long, value_enum, value_name = "standard|strict")]
    pub audit: Option<Coverage>,
    /// When a record is on disk [default: balanced]
    #[arg(long, value_enum, value_name = "balanced|strict")]
    pub audit_durability: Option<Durability>,
    /// Where the volume's KMS key is.
    #[command(flatten)]
    pub service: ServiceArgs,
    /// How long open files stay usable when the key service does not answer; 0 is not at all
    /// [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub offline_grace: Option<u32>,
}

const OPTIONS: &str = "\
Options for -o:
  ro, rw                         read-only, read-write (default)
  allow_other                    other users may use the mount (an ordinary user needs
                                 user_allow_other in /etc/fuse.conf)
  fsname=NAME                    source shown in /proc/mounts; default: the backing directory
  home=DIR                       as --home
  passfile=FILE, keyfile=FILE    as --passfile and --keyfile
  audit=standard|strict          as --audit
  audit_durability=balanced|strict
  kms=SERVICE, kms_ca=FILE       as --kms and --kms-ca
  offline_grace=SECONDS          as --offline-grace
  suid, dev                      honour set-user-ID bits and device files (default: nosuid, nodev)
  exec, noexec                   allow (default) or refuse to execute programs
  atime, noatime                 let reads update access times (default), or not
  remount                        change ro, rw, suid, dev, exec or atime of an existing mount
  A comma or backslash inside a value is written with a backslash before it. Options that fstab
  and systemd keep for themselves (nofail, _netdev, x-systemd...., user) are accepted.

Examples:
  kmsfs mount ~/vault ~/plain
  sudo kmsfs --passfile /etc/kmsfs.pass mount /srv/vault /srv/plain -o allow_other
  kmsfs mount --read-only --audit strict ~/vault ~/plain
  kmsfs mount --kms unix:/run/kmsfs/kms.sock ~/vault ~/plain
  AWS_PROFILE=files kmsfs mount --kms https://kms.eu-west-1.amazonaws.com ~/vault ~/plain
  sudo mount -t fuse.kmsfs /srv/vault /srv/plain -o allow_other,passfile=/etc/kmsfs.pass

A line of /etc/fstab:
  /srv/vault  /srv/plain  fuse.kmsfs  allow_other,passfile=/etc/kmsfs.pass,nofail  0 0";

/// Mount a kmsfs volume for mount(8)
///
/// mount(8) calls this for `mount -t fuse.kmsfs` and for fstab lines of that type. It takes the
/// options of `kmsfs mount -o`. Exit codes are those mount(8) documents: 0 mounted, 1 wrong usage,
/// 32 not mounted; standard error says why.
#[derive(Debug, Parser)]
#[command(name = "mount.fuse.kmsfs", version)]
pub struct HelperArgs {
    /// Backing directory
    #[arg(value_name = "BACKING")]
    pub backing: PathBuf,
    /// Mount point
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: PathBuf,
    /// Mount options
    #[arg(short = 'o', value_name = "OPT,...")]
    pub options: Vec<OsString>,
    /// Pass over unknown options
    #[arg(short = 's')]
    pub sloppy: bool,
    /// Check everything that can be checked without mounting, then stop
    #[arg(short = 'f')]
    pub fake: bool,
    /// Accepted: there is no mtab to leave alone
    #[arg(short = 'n')]
    pub no_mtab: bool,
    /// Accepted: mount(8) asks for verbosity this way
    #[arg(short = 'v', action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// Type as given to mount(8)
    #[arg(short = 't', value_name = "TYPE")]
    pub kind: Option<String>,
}

/// A request to mount, whichever way it was made: the flags are already part of the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountRequest {
    /// Backing directory.
    pub backing: PathBuf,
    /// Mount point.
    pub mountpoint: PathBuf,
    /// Options, with every flag applied.
    pub options: MountOptions,
    /// Do not daemonise.
    pub foreground: bool,
}

impl MountArgs {
    /// The request that these arguments and the global ones make together.
    ///
    /// # Errors
    /// An `-o` option that cannot be taken.
    pub fn request(self, home: HomeArgs) -> Result<MountRequest, OptionError> {
        let mut options = MountOptions::parse(&self.options, Unknown::Refuse)?;
        if home.passfile.is_some() || home.keyfile.is_some() {
            options.passfile = home.passfile;
            options.keyfile = home.keyfile;
        }
        options.home = home.home.or(options.home);
        options.audit = self.audit.or(options.audit);
        options.audit_durability = self.audit_durability.or(options.audit_durability);
        options.kms = self.service.kms.or(options.kms);
        options.kms_ca = self.service.kms_ca.or(options.kms_ca);
        options.offline_grace = self.offline_grace.or(options.offline_grace);
        if self.read_only {
            options.read_only = Some(true);
        }
        Ok(MountRequest {
            backing: self.backing,
            mountpoint: self.mountpoint,
            options,
            foreground: self.foreground,
        })
    }
}

impl HelperArgs {
    /// The request that mount(8) makes.
    ///
    /// # Errors
    /// An option that cannot be taken.
    pub fn request(self) -> Result<MountRequest, OptionError> {
        let unknown = if self.sloppy {
            Unknown::Ignore
        } else {
            Unknown::Refuse
        };
        Ok(MountRequest {
            options: MountOptions::parse(&self.options, unknown)?,
            backing: self.backing,
            mountpoint: self.mountpoint,
            foreground: false,
        })
    }
}

/// By which of its names the program was called.
#[derive(Debug)]
pub enum Invocation {
    /// As `kmsfs`.
    Command(Cli),
    /// As mount(8)'s helper.
    Helper(HelperArgs),
}

impl Invocation {
    /// Reads a whole command line, program name first.
    ///
    /// # Errors
    /// What clap has to say about it; also `--help` and `--version` arrive this way.
    pub fn try_parse_from(
        arguments: impl IntoIterator<Item = OsString>,
    ) -> Result<Self, clap::Error> {
        let arguments: Vec<OsString> = arguments.into_iter().collect();
        let name = arguments
            .first()
            .and_then(|program| Path::new(program).file_name());
        if name.is_some_and(is_helper) {
            HelperArgs::try_parse_from(arguments).map(Self::Helper)
        } else {
            Cli::try_parse_from(arguments).map(Self::Command)
        }
    }
}

fn is_helper(name: &OsStr) -> bool {
    name == "mount.fuse.kmsfs" || name == "mount.kmsfs"
}

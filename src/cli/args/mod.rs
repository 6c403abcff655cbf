//! The command line's grammar and help pages. The doc comments are the help pages.

#![allow(clippy::doc_markdown)] // backticks would be printed

pub mod audit;
pub mod key;
pub mod kms;
pub mod mount;
pub mod policy;
pub mod service;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{ArgGroup, Args, CommandFactory as _, Parser, Subcommand};

use super::exit::Exit;

/// Keep a directory encrypted, decide who may open what, and record every access
///
/// A volume is a directory of ciphertext (BACKING). Mounted, its plaintext appears at a mount
/// point, and ordinary programs use it there. Every file has its own key, wrapped by a KMS key that
/// the key service holds; every open is checked against the volume's tree policy and the key's
/// policy; every access is written to a log that cannot be altered unseen.
///
/// The key service, the policies and the audit logs live in the home directory, which a passphrase
/// or a key file opens. One home serves any number of volumes.
#[derive(Debug, Parser)]
#[command(
    name = "kmsfs",
    version,
    arg_required_else_help = true,
    after_long_help = top_level_help()
)]
pub struct Cli {
    /// Which home, and what opens it.
    #[command(flatten)]
    pub home: HomeArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Which home, and what opens it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Home")]
pub struct HomeArgs {
    /// Home directory: key service, policies, audit logs [env: KMSFS_HOME] [default:
    /// /var/lib/kmsfs for root, $XDG_DATA_HOME/kmsfs otherwise]
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// File whose first line is the home's passphrase [env: KMSFS_PASSFILE]; without it and
    /// --keyfile the passphrase is asked for on the terminal
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "keyfile")]
    pub passfile: Option<PathBuf>,
    /// Key file of the home, in place of a passphrase
    #[arg(long, global = true, value_name = "FILE")]
    pub keyfile: Option<PathBuf>,
}

/// How a command that prints data prints it.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct Output {
    /// Print JSON instead of text for people
    #[arg(long)]
    pub json: bool,
}

/// The commands of `kmsfs`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a volume in an empty or new directory
    Init(InitArgs),
    /// Mount a volume: show its plaintext at a directory
    Mount(mount::MountArgs),
    /// Unmount a volume
    Umount(UmountArgs),
    /// Show mounted volumes, or one volume
    Status(StatusArgs),
    /// Check a volume: every structure and every block
    Fsck(FsckArgs),
    /// Show the header of an encrypted file
    Inspect(InspectArgs),
    /// Give a directory a KMS key or label of its own
    SetKey(SetKeyArgs),
    /// Manage the KMS keys of the home
    Key(key::KeyArgs),
    /// Run the key service by itself, and manage who may use it
    Kms(kms::KmsArgs),
    /// Manage who may do what
    Policy(policy::PolicyArgs),
    /// Verify and search the audit logs
    Audit(audit::AuditArgs),
}

/// Make a volume in an empty or new directory
///
/// Creates the home first when there is none: then the passphrase or key file given here is the
/// one that will open it (a key file that does not exist is made). Prints the volume's id and the
/// ARN of the KMS key that protects it.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs --passfile ~/pass init ~/vault
  kmsfs init /srv/vault --key alias/payroll --policy tree-policy.json
  sudo kmsfs init /srv/shared --policy everyone
  kmsfs init ~/vault --kms https://kms.eu-west-1.amazonaws.com \\
      --key arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    &[Exit::WrongSecret, Exit::KeyService, Exit::PolicyRefused, Exit::BadHome],
))]
pub struct InitArgs {
    /// Directory that will hold the ciphertext
    pub backing: PathBuf,
    /// KMS key for the volume: key id, ARN or alias/NAME; without it a new key is created, in the
    /// home's own key service only
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Who may use the volume: `owner` lets only the user who runs init do anything, `everyone`
    /// lets every user do what file modes and ACLs allow, and FILE is a tree policy of your own
    /// (write ./owner for a file of that name)
    #[arg(long, value_name = "owner|everyone|FILE", default_value = "owner", value_parser = clap::value_parser!(TreePolicy))]
    pub policy: TreePolicy,
    /// Where the KMS key is.
    #[command(flatten)]
    pub service: service::ServiceArgs,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// The tree policy a new volume starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreePolicy {
    /// The initialising user everything, nobody else anything.
    Owner,
    /// Every user what modes and ACLs allow.
    Everyone,
    /// The document in this file.
    File(PathBuf),
}

impl From<OsString> for TreePolicy {
    fn from(value: OsString) -> Self {
        match value.to_str() {
            Some("owner") => Self::Owner,
            Some("everyone") => Self::Everyone,
            _ => Self::File(value.into()),
        }
    }
}

/// Unmount a volume
///
/// Writes what is still cached, waits for the mount to end, and returns. It fails, and changes
/// nothing, while a process has a file or its working directory inside; `fuser -vm MOUNTPOINT`
/// names such processes.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs umount ~/plain",
    &[Exit::BadMountPoint],
))]
pub struct UmountArgs {
    /// Directory on which a volume is mounted
    pub mountpoint: PathBuf,
}

/// Give a directory of a mounted volume a KMS key or label of its own
///
/// The directory becomes a boundary: new files in it and below are encrypted under this key, and carry
/// this label, which policies know as kmsfs:Label. What is not given is as in the directory above. The
/// directory must be empty, since files keep the key and label that they were made with; nothing is
/// renamed or linked across a boundary (EXDEV), so mv copies, and encrypts anew. Key and label belong
/// to the name: a directory removed and made again under it has them too.
///
/// For root and the user who mounted. The tree policy must allow kmsfs:SetSecurity on the directory,
/// under its present label and the new one, and the key service kms:GenerateDataKey under the new key,
/// both to whoever runs this. It is recorded. A kmsfs that does not know boundaries refuses the volume
/// from then on. `kmsfs status DIR` shows what a directory has.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  mkdir ~/plain/hr && kmsfs set-key ~/plain/hr --key alias/hr --label hr
  kmsfs set-key /srv/plain/hr/payroll --label payroll
  kmsfs set-key ~/plain/hr --inherit",
    &[Exit::BadMountPoint],
))]
#[command(group(ArgGroup::new("what").required(true).multiple(true).args(["key", "label", "inherit"])))]
pub struct SetKeyArgs {
    /// Empty directory of a mounted volume, not its root
    pub dir: PathBuf,
    /// KMS key of new files: key id, ARN or alias/NAME, in the key service that the mount uses
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// Label of new files, up to 255 bytes
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// No boundary any more: key and label are those of the directory above
    #[arg(long, conflicts_with_all = ["key", "label"])]
    pub inherit: bool,
}

/// Show mounted volumes, or one volume
///
/// Without an argument lists the kmsfs mounts of this machine that you may see. With a backing
/// directory or a mount point shows that volume: id, format version, KMS key, where it is mounted,
/// its audit settings. With a directory of a mount shows the KMS key and label of new files in it too.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs status
  kmsfs status --json ~/plain
  kmsfs status ~/plain/hr",
    &[Exit::NotAVolume, Exit::NewerFormat, Exit::CorruptVolume],
))]
pub struct StatusArgs {
    /// Backing directory, mount point, or a directory of a mount
    #[arg(value_name = "BACKING|MOUNTPOINT")]
    pub volume: Option<PathBuf>,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Check a volume: every structure and every block
///
/// Reads the whole volume and writes nothing to it: configuration, directory records, names, both copies
/// of each header, wrapped keys, blocks, links, attributes. Compares each file with the last state that
/// the audit log vouches for, so that a file put back to an older state is found. The volume must
/// not be mounted. Data keys are asked for in your name; what the key service refuses is reported as
/// not checked. That the check was made is recorded.
///
/// Each finding is one line: DAMAGED, NOT CHECKED, or a note about what costs nothing (what the next
/// mount will settle after a crash, leftovers, foreign files).
#[derive(Args, Debug)]
#[command(after_long_help = "Examples:
  kmsfs fsck ~/vault
  kmsfs fsck --json ~/vault | jq '.findings[] | select(.class == \"damage\")'

Exit codes:
  As those of fsck(8), the sum of what applies.
   0  no damage, and everything was checked
   4  damage was found; it is left as it is
   8  something could not be checked, or the check could not be made
  16  wrong usage: unknown option or value
  32  interrupted")]
pub struct FsckArgs {
    /// Directory that holds the ciphertext
    pub backing: PathBuf,
    /// Check with this many threads [default: one a processor]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Leave the blocks of files out: headers, names, links and attributes only
    #[arg(long)]
    pub no_blocks: bool,
    /// Where the volume's KMS key is.
    #[command(flatten)]
    pub service: service::ServiceArgs,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Whether a command line that could not be parsed is one of `kmsfs fsck`.
pub fn names_fsck(arguments: impl IntoIterator<Item = OsString>) -> bool {
    Cli::command()
        .ignore_errors(true)
        .try_get_matches_from(arguments)
        .is_ok_and(|matches| matches.subcommand_name() == Some("fsck"))
}

/// Show the header of an encrypted file
///
/// Reads one file of a backing directory and prints what its header says: file id, KMS key, key
/// slots, generation, flags, plaintext and ciphertext sizes. Needs no passphrase and never prints
/// key bytes. What is not verified without the data key is marked so. Of a directory it tells whether
/// it is a boundary.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs inspect ~/vault/4vQ0yZ3n…
  kmsfs inspect --json ~/vault/4vQ0yZ3n… | jq .keyArn",
    &[Exit::NotAVolume, Exit::NewerFormat, Exit::DamagedHeader],
))]
pub struct InspectArgs {
    /// Encrypted file or directory inside a backing directory
    #[arg(value_name = "BACKING-FILE")]
    pub file: PathBuf,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// The end of a help page: examples, then exit codes.
fn help(examples: &str, specific: &[Exit]) -> String {
    format!("{examples}\n\n{}", Exit::help(specific))
}

fn top_level_help() -> String {
    help(
        "Getting started:
  kmsfs init ~/vault                  make a volume; asks for a passphrase
  kmsfs mount ~/vault ~/plain         mount it; work in ~/plain
  kmsfs audit tail                    see who opened what
  kmsfs umount ~/plain                ~/vault holds ciphertext only

In scripts put the passphrase in a file of mode 0600 and name it with --passfile or
KMSFS_PASSFILE. KMSFS_LOG sets what a mount logs (error, warn, info, debug).

In /etc/fstab (see also `kmsfs mount --help`):
  /srv/vault  /srv/plain  fuse.kmsfs  allow_other,passfile=/etc/kmsfs.pass,nofail  0 0

`kmsfs COMMAND --help` explains each command, with examples.",
        &[
            Exit::Tampered,
            Exit::Truncated,
            Exit::Unanchored,
            Exit::WrongSecret,
            Exit::NotAVolume,
            Exit::NewerFormat,
            Exit::CorruptVolume,
            Exit::BadMountPoint,
            Exit::AlreadyMounted,
            Exit::KeyService,
            Exit::PolicyRefused,
            Exit::BadHome,
            Exit::DamagedHeader,
            Exit::RolledBack,
        ],
    )
}

#[cfg(test)]
mod tests;

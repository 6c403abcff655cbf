//! `kmsfs key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, help};
use crate::cli::exit::Exit;

/// Manage the KMS keys of the home
///
/// A KMS key wraps the keys of volumes and files and never leaves the key service. KEY is a key id,
/// an ARN or alias/NAME.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs key list
  kmsfs key create --alias payroll --description 'Payroll documents'
  kmsfs key disable alias/payroll
  kmsfs key rotate alias/payroll",
    &[Exit::WrongSecret, Exit::KeyService, Exit::PolicyRefused, Exit::BadHome],
))]
pub struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// The commands of `kmsfs key`.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Create a key
    Create(CreateArgs),
    /// List the keys with their state and aliases
    List(Output),
    /// Show a key's metadata, aliases and rotations
    Describe(KeyRef),
    /// Let a disabled key be used again
    Enable(KeyRef),
    /// Refuse every use of a key until it is enabled again
    ///
    /// Running mounts refuse new opens of files under the key as soon as this returns. Nothing is
    /// lost: enabling the key makes the files readable again.
    Disable(KeyRef),
    /// Give a key new material; what the old material wrapped stays readable
    Rotate(KeyRef),
    /// Have a key deleted when a waiting time is over
    ///
    /// What it encrypted cannot be read any more then, by anybody. Until then the key refuses every
    /// use, and cancel-deletion keeps it.
    ScheduleDeletion(DeletionArgs),
    /// Keep a key that was to be deleted; it stays disabled until it is enabled
    CancelDeletion(KeyRef),
    /// Manage aliases: friendly names for keys
    Alias(AliasArgs),
}

/// Create a key
///
/// Creates the home first when there is none, as `kmsfs init` does. Without --policy, whoever owns the home administers the key, and every user may use it
/// through a kmsfs mount; the mount's tree policy then decides who opens what.
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// Alias for the new key: NAME or alias/NAME
    #[arg(long, value_name = "NAME")]
    pub alias: Option<String>,
    /// What the key is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    /// Key policy document
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// A key and how long it is to wait for its deletion.
#[derive(Args, Debug)]
pub struct DeletionArgs {
    /// The key.
    #[command(flatten)]
    pub key: KeyRef,
    /// How many days it waits: 7 to 30
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    pub days: i32,
}

/// One key.
#[derive(Args, Debug)]
pub struct KeyRef {
    /// Key id, ARN or alias/NAME
    pub key: String,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Manage aliases: friendly names for keys
///
/// NAME may be written with or without `alias/` before it.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs key alias create payroll 1234abcd-12ab-34cd-56ef-1234567890ab
  kmsfs key alias update payroll alias/payroll-2
  kmsfs key alias list",
    &[Exit::WrongSecret, Exit::KeyService, Exit::BadHome],
))]
pub struct AliasArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: AliasCommand,
}

/// The commands of `kmsfs key alias`.
#[derive(Debug, Subcommand)]
pub enum AliasCommand {
    /// Name a key
    Create(AliasTarget),
    /// Let an alias name another key
    Update(AliasTarget),
    /// Remove an alias; the key stays
    Delete {
        /// The alias
        name: String,
    },
    /// List the aliases and the keys they name
    List(Output),
}

/// An alias and the key it is to name.
#[derive(Args, Debug)]
pub struct AliasTarget {
    /// The alias
    pub name: String,
    /// Key id, ARN or another alias
    pub key: String,
}

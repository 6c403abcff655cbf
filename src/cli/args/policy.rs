//! `kmsfs policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, help};
use crate::cli::exit::Exit;

/// Manage who may do what
///
/// Policies are IAM JSON documents. A tree policy says who may do what with the files of a volume
/// (actions kmsfs:Read, kmsfs:Write, ...); a key policy says who may use or administer a KMS key
/// (actions kms:Decrypt, ...). Both must allow an open; an explicit Deny anywhere refuses it.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    r#"Examples:
  kmsfs policy get --tree ~/plain
  kmsfs policy validate new.json && kmsfs policy put --tree ~/plain new.json
  kmsfs policy put --key alias/payroll key-policy.json

A tree policy that lets ann (uid 1000) do everything and everyone read the directory pub:
  {
    "Version": "2012-10-17",
    "Statement": [
      { "Sid": "Ann", "Effect": "Allow",
        "Principal": { "AWS": "arn:aws:iam::000000000000:user/ann" },
        "Action": "kmsfs:*", "Resource": "*" },
      { "Sid": "Public", "Effect": "Allow", "Principal": "*",
        "Action": ["kmsfs:Read", "kmsfs:List"],
        "Resource": ["arn:aws:kmsfs:us-east-1:000000000000:volume/ID/pub",
                     "arn:aws:kmsfs:us-east-1:000000000000:volume/ID/pub/*"] }
    ]
  }
where ID is the volume id that `kmsfs status` shows."#,
    &[
        Exit::WrongSecret,
        Exit::NotAVolume,
        Exit::NewerFormat,
        Exit::CorruptVolume,
        Exit::KeyService,
        Exit::PolicyRefused,
        Exit::BadHome,
    ],
))]
pub struct PolicyArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// The commands of `kmsfs policy`.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Replace a policy
    ///
    /// A document with a mistake is refused with its line, statement and reason, and the policy
    /// before stays in force. A running mount uses the new one within a second.
    Put(PutArgs),
    /// Print a policy
    Get(GetArgs),
    /// Check a document without using it
    Validate(ValidateArgs),
}

/// Whose policy: exactly one of the two.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct TargetArgs {
    /// The tree policy of the volume with this backing directory or mount point
    #[arg(long, value_name = "BACKING|MOUNTPOINT")]
    tree: Option<PathBuf>,
    /// The key policy of this key: key id, ARN or alias/NAME
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
}

/// Whose policy a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The tree policy of the volume with this backing directory or mount point.
    Tree(PathBuf),
    /// The key policy of this key.
    Key(String),
}

impl From<TargetArgs> for Target {
    fn from(arguments: TargetArgs) -> Self {
        match (arguments.tree, arguments.key) {
            (Some(volume), None) => Self::Tree(volume),
            (None, Some(key)) => Self::Key(key),
            _ => unreachable!("clap's group demands exactly one"),
        }
    }
}

/// Arguments of `kmsfs policy put`.
#[derive(Args, Debug)]
pub struct PutArgs {
    /// Whose policy.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Policy document; - reads standard input
    pub file: PathBuf,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `kmsfs policy get`.
#[derive(Args, Debug)]
pub struct GetArgs {
    /// Whose policy.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Accepted for symmetry: the document is JSON either way
    #[arg(long)]
    pub json: bool,
}

/// What a document is checked as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A volume's tree policy.
    #[default]
    Tree,
    /// A KMS key's policy.
    Key,
    /// A policy attached to a user: one without Principal.
    Identity,
}

/// Arguments of `kmsfs policy validate`.
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Policy document; - reads standard input
    pub file: PathBuf,
    /// What the document is
    #[arg(long, value_enum, default_value_t)]
    pub kind: Kind,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

//! `kmsfs policy`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{Output, help};
use crate::cli::exit::Exit;
use crate::policy::Role;

/// Manage who may do what
///
/// Policies are IAM JSON documents. A tree policy says who may do what with the files of a volume
/// (actions kmsfs:Read, kmsfs:Write, ...); a key policy says who may use or administer a KMS key
/// (actions kms:Decrypt, ...). Both must allow an open; an explicit Deny anywhere refuses it. An identity
/// policy says what a user or group may do, of both kinds, where the other two leave it to the account.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    r#"Examples:
  kmsfs policy get --tree ~/plain
  kmsfs policy validate new.json && kmsfs policy put --tree ~/plain new.json
  kmsfs policy put --key alias/payroll key-policy.json
  kmsfs policy put --group staff staff.json

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
    /// List the policies of the home
    List(Output),
    /// Remove the identity policy of a user or group
    Delete(WhomArgs),
    /// Give a user or group a role: a statement with a name of its own, and the use of the key
    ///
    /// The roles: key-administrator (administers the key, cannot use it), encrypt-only (creates files and
    /// writes each through the handle that created it), decrypt-only (reads, lists, runs), both,
    /// auditor (lists, and sees how the key is administered; cannot use it), backup (copies
    /// ciphertext; is refused all plaintext). A role adds to what other statements allow: what
    /// those allow beyond it is told as a warning.
    Grant(Box<RoleArgs>),
    /// Take a role away again
    Revoke(Box<RoleArgs>),
    /// List the roles that were granted
    Roles(RolesArgs),
    /// Check documents without using them
    ///
    /// Errors refuse a document, and are told with line and column; warnings tell what is probably a
    /// mistake. With a VOLUME, its tree policy is checked against the volume, its KMS key and the
    /// users of this machine; with nothing, every policy of the home.
    Validate(ValidateArgs),
    /// Show who could do what
    Simulate(Box<SimulateArgs>),
    /// Show which statement decides a request, and what would change it
    Explain(Box<ExplainArgs>),
}

/// Which policies are asked.
#[derive(Args, Debug, Default)]
#[command(next_help_heading = "Policies")]
pub struct PoliciesArgs {
    /// Backing directory or mount point of a volume, or its id: its tree policy, the policy and grants
    /// of its KMS key, and the home's identity policies
    #[arg(value_name = "VOLUME")]
    pub volume: Option<PathBuf>,
    /// A tree policy in the place of the volume's
    #[arg(long, value_name = "FILE")]
    pub tree: Option<PathBuf>,
    /// The KMS key in the place of the volume's: key id, ARN or alias/NAME
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
    /// A key policy in the place of the key's own
    #[arg(long, value_name = "FILE")]
    pub key_policy: Option<PathBuf>,
    /// A further identity policy, of whoever is asked about, or with WHO (user/NAME, group/NAME or
    /// role/NAME) of these only; may be repeated
    #[arg(long, value_name = "[WHO=]FILE")]
    pub identity: Vec<String>,
    /// A further group that whoever is asked about is in; may be repeated
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// A condition key of the request, such as kmsfs:Label=hr; may be repeated, also with the same
    /// key. Without it: the user's ids, the path, the time
    #[arg(long, value_name = "KEY=VALUE")]
    pub context: Vec<String>,
}

impl PoliciesArgs {
    /// Those of a volume, as they are.
    pub fn of_volume(volume: PathBuf) -> Self {
        Self {
            volume: Some(volume),
            ..Self::default()
        }
    }
}

/// Show who could do what
///
/// A table of users and paths by action, decided by the engine of the mount. What reads or writes a
/// file, or creates one, needs the KMS key as well: both planes are asked. Nothing is opened and
/// nothing changes.
///
/// Without --user: every user and group that a policy names, and somebody whom none names. Without
/// --path: the volume's root and each path that the tree policy names, its wildcards taken as they
/// stand. With --key alone, or the action kms:*, it is about the use and administration of the key.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs policy simulate ~/plain
  kmsfs policy simulate ~/plain --tree new.json --user ann --path /hr/pay.ods
  kmsfs policy simulate --tree tree.json --key-policy key.json --identity group/staff=staff.json
  kmsfs policy simulate --json ~/plain | jq '.answers[] | select(.allowed)'",
    &[
        Exit::WrongSecret,
        Exit::NotAVolume,
        Exit::KeyService,
        Exit::PolicyRefused,
        Exit::BadHome,
    ],
))]
pub struct SimulateArgs {
    /// Which policies.
    #[command(flatten)]
    pub policies: PoliciesArgs,
    /// A user: name, number or ARN; may be repeated
    #[arg(long, value_name = "USER")]
    pub user: Vec<String>,
    /// A path from the volume's root; may be repeated
    #[arg(long, value_name = "PATH")]
    pub path: Vec<PathBuf>,
    /// An action: Read, kmsfs:Read, kms:Decrypt, kms:*; may be repeated [default: kmsfs:*]
    #[arg(long, value_name = "ACTION")]
    pub action: Vec<String>,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Show which statement decides a request, and what would change it
///
/// Says what each statement about the action says to the request, in the tree policy, the identity
/// policies and the key's policy, and what keeps those that do not apply from it.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs policy explain ~/plain --user ann --path /hr/pay.ods --action Read
  kmsfs policy explain --key alias/payroll --user ann --action kms:PutKeyPolicy
  kmsfs policy explain --tree tree.json --user 1001 --path /a --action Write --context kmsfs:Label=hr",
    &[
        Exit::WrongSecret,
        Exit::NotAVolume,
        Exit::KeyService,
        Exit::PolicyRefused,
        Exit::BadHome,
    ],
))]
pub struct ExplainArgs {
    /// Which policies.
    #[command(flatten)]
    pub policies: PoliciesArgs,
    /// The user: name, number or ARN
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// The path from the volume's root
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub path: PathBuf,
    /// The action: Read, kmsfs:Read, kms:Decrypt
    #[arg(long, value_name = "ACTION")]
    pub action: String,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// `kmsfs policy grant` and `revoke`.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs policy grant ~/plain --role decrypt-only --user ann --path /hr
  kmsfs policy grant --role encrypt-only --group scanner --path /inbox
  kmsfs policy grant --role key-administrator --user kim
  kmsfs policy revoke ~/plain --role decrypt-only --user ann --path /hr",
    &[
        Exit::WrongSecret,
        Exit::NotAVolume,
        Exit::KeyService,
        Exit::PolicyRefused,
        Exit::BadHome,
    ],
))]
pub struct RoleArgs {
    /// Backing directory, mount point or id of the volume; not needed if the home has only one
    #[arg(value_name = "VOLUME")]
    pub volume: Option<PathBuf>,
    /// key-administrator, encrypt-only, decrypt-only, both, auditor or backup
    #[arg(long, value_name = "ROLE")]
    pub role: Role,
    /// Who.
    #[command(flatten)]
    pub whom: WhomArgs,
    /// A directory or file of the volume, with what is in it
    #[arg(long, value_name = "PATH", default_value = "/")]
    pub path: PathBuf,
    /// Only files with this label
    #[arg(long, value_name = "LABEL")]
    pub label: Option<String>,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// `kmsfs policy roles`.
#[derive(Args, Debug)]
pub struct RolesArgs {
    /// Backing directory, mount point or id of the volume; not needed if the home has only one
    #[arg(value_name = "VOLUME")]
    pub volume: Option<PathBuf>,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

/// Whose policy: exactly one of these.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
pub struct TargetArgs {
    /// The tree policy of the volume with this backing directory or mount point
    #[arg(long, value_name = "BACKING|MOUNTPOINT")]
    tree: Option<PathBuf>,
    /// The key policy of this key: key id, ARN or alias/NAME
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// The identity policy of this user: it counts where a tree or key policy delegates to the
    /// account, and its Deny everywhere
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The identity policy of this group, of the system or of kmsfs kms group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

/// Whose policy a command is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The tree policy of the volume with this backing directory or mount point.
    Tree(PathBuf),
    /// The key policy of this key.
    Key(String),
    /// The identity policy of this user or group.
    Identity(Identity),
}

/// Who has an identity policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// The user of this name.
    User(String),
    /// The group of this name.
    Group(String),
}

/// A user or a group.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub struct WhomArgs {
    /// This user: name or number
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// This group
    #[arg(long, value_name = "NAME")]
    group: Option<String>,
}

impl From<WhomArgs> for Identity {
    fn from(arguments: WhomArgs) -> Self {
        match (arguments.user, arguments.group) {
            (Some(user), None) => Self::User(user),
            (None, Some(group)) => Self::Group(group),
            _ => unreachable!("clap's group demands exactly one"),
        }
    }
}

impl From<TargetArgs> for Target {
    fn from(arguments: TargetArgs) -> Self {
        match (
            arguments.tree,
            arguments.key,
            arguments.user,
            arguments.group,
        ) {
            (Some(volume), None, None, None) => Self::Tree(volume),
            (None, Some(key), None, None) => Self::Key(key),
            (None, None, Some(user), None) => Self::Identity(Identity::User(user)),
            (None, None, None, Some(group)) => Self::Identity(Identity::Group(group)),
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A volume's tree policy.
    Tree,
    /// A KMS key's policy.
    Key,
    /// A policy attached to a user: one without Principal.
    Identity,
}

/// Arguments of `kmsfs policy validate`.
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// Policy document (- reads standard input), or a volume: backing directory or mount point
    #[arg(value_name = "FILE|VOLUME")]
    pub document: Option<PathBuf>,
    /// What the document is [default: tree]
    #[arg(long, value_enum, requires = "document")]
    pub kind: Option<Kind>,
    /// How to print the result.
    #[command(flatten)]
    pub output: Output,
}

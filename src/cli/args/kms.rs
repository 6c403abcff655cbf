//! `kmsfs kms`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Output, help};
use crate::cli::exit::Exit;
use crate::kms::Region;

/// Run the key service by itself, and manage who may use it
///
/// `kmsfs kms serve` is a local AWS KMS: any AWS client uses it with an access key from
/// `kmsfs kms user create` and this server as its endpoint.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs --passfile pass kms user create admin --admin
  kmsfs --passfile pass kms serve --listen 127.0.0.1:4599
  aws --endpoint-url http://127.0.0.1:4599 kms create-key",
    &[Exit::WrongSecret, Exit::KeyService, Exit::PolicyRefused, Exit::BadHome],
))]
pub struct KmsArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KmsCommand,
}

/// The commands of `kmsfs kms`.
#[derive(Debug, Subcommand)]
pub enum KmsCommand {
    /// Serve the home's keys to AWS clients and mounts, until SIGTERM
    Serve(ServeArgs),
    /// Manage users and their access keys
    User(UserArgs),
    /// Manage groups of users and their policies
    Group(GroupArgs),
    /// Manage the system users whose mounts may speak for their users on a Unix socket
    MountUser(MountUserArgs),
    /// Show how the key service is
    Status(Output),
    /// Give a sealed server its passphrase or key file
    ///
    /// Through the home's Unix socket, as the home's owner or root. The passphrase comes from
    /// --passfile, --keyfile or the terminal.
    Unseal,
    /// Write a sealed backup of the home, while it is in use or not
    Backup(BackupArgs),
    /// Make a home from a backup
    Restore(RestoreArgs),
}

/// Serve the home's keys to AWS clients and mounts, until SIGTERM
///
/// Makes the home first when there is none, as `kmsfs init` does. Prints one line for each address
/// when it serves. The home's own socket, HOME/kms.sock, is always served, and commands and mounts
/// of that home use it.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs --passfile pass kms serve --listen 127.0.0.1:4599
  kmsfs --passfile pass kms serve --socket /run/kmsfs.sock --socket-mode 660 --socket-owner :kms
  kmsfs --keyfile key kms serve --listen 0.0.0.0:443 --tls-cert cert.pem --tls-key key.pem

SIGTERM and SIGINT end it when the requests under way are answered; SIGHUP reads the certificate
anew.",
    &[Exit::WrongSecret, Exit::BadHome],
))]
pub struct ServeArgs {
    /// Serve this Unix socket as well; who calls is told by the kernel
    #[arg(long, value_name = "PATH")]
    pub socket: Option<PathBuf>,
    /// Its permission bits, octal
    #[arg(long, value_name = "MODE", default_value = "600", requires = "socket", value_parser = octal)]
    pub socket_mode: u32,
    /// Its owner, as chown(1) takes it
    #[arg(long, value_name = "USER[:GROUP]", requires = "socket")]
    pub socket_owner: Option<String>,
    /// Listen on TCP; requests are signed with access keys. Port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Certificate chain in PEM; without TLS only loopback addresses are served
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Let only clients in that have a certificate of one of these authorities, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_client_ca: Option<PathBuf>,
    /// Serve these Regions only; the first is the home's own if the home is new
    #[arg(long, value_name = "REGION", value_delimiter = ',')]
    pub region: Vec<Region>,
    /// The account in the keys' ARNs, 12 digits; the first command that names it fixes it
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
    /// Serve POST /reset, which removes every key, for test suites; on loopback only
    #[arg(long)]
    pub allow_reset: bool,
    /// Start sealed: wait for `kmsfs kms unseal`
    #[arg(long)]
    pub sealed: bool,
    /// Take the passphrase from this systemd credential ($CREDENTIALS_DIRECTORY/NAME)
    #[arg(long, value_name = "NAME", conflicts_with = "sealed")]
    pub credential: Option<String>,
}

fn octal(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o777)
        .ok_or_else(|| format!("{text:?} is no octal mode such as 660"))
}

/// Manage users and their access keys
///
/// A user is arn:aws:iam::ACCOUNT:user/NAME. Without --admin and --policy only key policies and
/// grants let it in.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs kms user create admin --admin
  kmsfs kms user create app --policy may-decrypt.json
  kmsfs kms user key create app
  kmsfs kms user key revoke AKIAIOSFODNN7EXAMPLE
  kmsfs kms user list",
    &[Exit::WrongSecret, Exit::KeyService, Exit::PolicyRefused, Exit::BadHome],
))]
pub struct UserArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: UserCommand,
}

/// The commands of `kmsfs kms user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Make a user and its first access key; prints them as JSON
    ///
    /// Makes the home first when there is none. The secret is shown this once and never again.
    Create(UserCreateArgs),
    /// List the users, their policies, groups and access keys
    List(Output),
    /// Remove a user; its access keys and policies are gone at once
    Delete(UserName),
    /// Replace a user's identity policy
    Policy(UserPolicyArgs),
    /// Manage a user's access keys
    #[command(subcommand)]
    Key(UserKeyCommand),
}

/// A user by name.
#[derive(Args, Debug)]
pub struct UserName {
    /// The user's name
    pub name: String,
    /// The user belongs to this account and not to the home's
    #[arg(long, value_name = "ID")]
    pub foreign_account: Option<String>,
}

/// A user's identity policy.
#[derive(Args, Debug)]
pub struct IdentityPolicy {
    /// Allow everything in the key service
    #[arg(long)]
    pub admin: bool,
    /// Identity policy document
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

/// `kmsfs kms user create`.
#[derive(Args, Debug)]
pub struct UserCreateArgs {
    /// Who.
    #[command(flatten)]
    pub user: UserName,
    /// What it may do.
    #[command(flatten)]
    pub policy: IdentityPolicy,
    /// Put it into this group; may be repeated
    #[arg(long, value_name = "NAME")]
    pub group: Vec<String>,
    /// It is a mount: may speak for the users of its account
    #[arg(long)]
    pub mount: bool,
    /// The home's account, 12 digits; the first command that names it fixes it
    #[arg(long, value_name = "ID")]
    pub account: Option<String>,
}

/// `kmsfs kms user policy`.
#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
pub struct UserPolicyArgs {
    /// Whose.
    #[command(flatten)]
    pub user: UserName,
    /// Allow everything in the key service
    #[arg(long, group = "what")]
    pub admin: bool,
    /// Identity policy document
    #[arg(long, value_name = "FILE", group = "what")]
    pub policy: Option<PathBuf>,
    /// No policy of its own
    #[arg(long, group = "what", conflicts_with_all = ["admin", "policy"])]
    pub none: bool,
}

/// Manage a user's access keys
#[derive(Debug, Subcommand)]
pub enum UserKeyCommand {
    /// Make a further access key, at most two at once; prints it as JSON
    Create(UserName),
    /// List a user's access keys
    List(UserName),
    /// Revoke an access key: requests signed with it are refused at once
    Revoke {
        /// Its id
        #[arg(value_name = "ACCESS-KEY-ID")]
        id: String,
    },
}

/// Manage groups of users and their policies
///
/// A group is there as long as it has a policy or a member. A policy of group/NAME is also in force
/// for local users whose Unix group has that name.
#[derive(Args, Debug)]
#[command(after_long_help = help(
    "Examples:
  kmsfs kms group policy auditors --policy audit.json
  kmsfs kms group add auditors anna",
    &[Exit::KeyService, Exit::PolicyRefused, Exit::BadHome],
))]
pub struct GroupArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: GroupCommand,
}

/// The commands of `kmsfs kms group`.
#[derive(Debug, Subcommand)]
pub enum GroupCommand {
    /// Replace a group's identity policy, or remove it
    Policy {
        /// The group
        group: String,
        /// Identity policy document; without it the group has none any more
        #[arg(long, value_name = "FILE")]
        policy: Option<PathBuf>,
    },
    /// Put a user into a group
    Add {
        /// The group
        group: String,
        /// Who.
        #[command(flatten)]
        user: UserName,
    },
    /// Take a user out of a group
    Remove {
        /// The group
        group: String,
        /// Who.
        #[command(flatten)]
        user: UserName,
    },
    /// List groups with their members
    List(Output),
}

/// Manage the system users whose mounts may speak for their users on a Unix socket
///
/// Root and the home's owner may from the start. For a mount that reaches the service over TCP give
/// its access key that right: `kmsfs kms user create NAME --mount`.
#[derive(Args, Debug)]
pub struct MountUserArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MountUserCommand,
}

/// The commands of `kmsfs kms mount-user`.
#[derive(Debug, Subcommand)]
pub enum MountUserCommand {
    /// Register a user, by name or id
    Add {
        /// Name or id
        user: String,
    },
    /// Register a user no longer
    Remove {
        /// Name or id
        user: String,
    },
    /// List the registered users
    List(Output),
}

/// `kmsfs kms backup`.
#[derive(Args, Debug)]
pub struct BackupArgs {
    /// The file to write, or with --check to read
    pub file: PathBuf,
    /// Only check that FILE is a whole backup of this home
    #[arg(long)]
    pub check: bool,
}

/// Make a home from a backup
///
/// The home must not exist. It opens with the passphrase or key file that opened the one that was
/// backed up; that is checked before anything is written. Audit logs are not part of a backup.
#[derive(Args, Debug)]
pub struct RestoreArgs {
    /// The backup
    pub file: PathBuf,
}

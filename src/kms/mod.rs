//! The key service: KMS keys that never leave it, and everything asked of them.
//!
//! It speaks the AWS KMS API ([`KeyService`]). A [`Home`] holds one; the process that owns the home
//! runs it and serves the others through a Unix socket, and when that process ends a survivor takes
//! over ([`Home::service`]).
//!
//! ```no_run
//! use std::path::Path;
//! use kmsfs::kms::{Caller, CreateKeyRequest, Home, Passphrase, Unlock};
//!
//! let unlock = Unlock::Passphrase(Passphrase::new("correct horse".to_owned())?);
//! let home = Home::open_or_create(Path::new("/var/lib/kmsfs"), &unlock)?;
//! let service = home.service()?;
//! let me = Caller::new(home.admin());
//! let key = service.create_key(&me, &CreateKeyRequest::default())?;
//! println!("{}", key.key_metadata.arn);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod administration;
mod api;
mod attached;
mod backup;
mod blob;
mod client;
mod daemon;
mod embedded;
mod envelope;
mod error;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod home;
mod home_error;
mod home_file;
mod identities;
mod import;
mod import_token;
mod key;
mod key_state;
mod keypair;
mod leases;
mod lock;
mod mac;
mod material;
mod name;
mod owner;
mod principals;
mod remote;
mod sdk;
mod seal;
mod secret;
mod server;
mod service;
mod signer;
mod signing;
mod spec;
mod state;
mod store;
mod target;
#[cfg(test)]
mod testing;
mod watched;
mod wire;
mod wrapping;

pub use administration::{
    AccessKeyEntry, Administration, CreateUserRequest, DeleteAccessKeyRequest,
    ExplainAccessRequest, ExplainAccessResponse, GroupEntry, GroupMemberRequest, IdentityPolicy,
    ListGroupsResponse, ListIdentityPoliciesResponse, ListMountUsersResponse, ListUsersResponse,
    MountUserRequest, NewAccessKey, PutGroupPolicyRequest, PutIdentityPolicyRequest,
    PutUserPolicyRequest, ServiceStatus, UserEntry, UserRef,
};
pub use api::*;
pub use attached::{Attached, AttachedNow};
pub use backup::Backup;
pub use daemon::{Daemon, Inherited, ServeOptions, SocketOptions};
pub use error::KmsError;
pub use home::{Home, HomeSettings};
pub use home_error::HomeError;
pub use identities::SecretAccessKey;
pub use name::{KeyId, NoRegion, Region};
pub use principals::Principals;
pub use remote::{RemoteError, connect};
pub use seal::{Passphrase, PassphraseCost, Unlock};
pub use server::TlsFiles;
pub use service::{Caller, KeyService, OPERATIONS};
pub use target::{Endpoint, Target, TargetError, region_of};
pub use watched::Watched;

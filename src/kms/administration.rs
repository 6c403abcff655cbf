//! Administering a home's key service: who has access keys, which mounts may speak for their users.
//!
//! Not part of the AWS API. Only the home's owner and root are let in, through the home's socket.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Caller, KmsError,
    api::{EncryptionContext, Timestamp},
    identities::SecretAccessKey,
};
use crate::policy::{Explanation, Principal};

/// Proof that whoever asks owns the home or is root.
pub(super) struct Administrator(());

impl Administrator {
    /// The kernel said so of the other end of the socket.
    pub(super) fn over_the_socket() -> Self {
        Self(())
    }

    /// This process holds the home's root key.
    pub(super) fn in_this_process() -> Self {
        Self(())
    }
}

/// A user, by name. The account is the home's unless it is given.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserRef {
    /// 1 to 64 characters of `[A-Za-z0-9_+=,.@-]`.
    pub user_name: String,
    /// Another account than the home's, 12 digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

/// Makes a user with a first access key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateUserRequest {
    /// Who.
    pub user: UserRef,
    /// Whether its identity policy allows everything in the key service.
    #[serde(default)]
    pub admin: bool,
    /// An identity policy. Without one, and not `admin`, only key policies and grants let it in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// The names of the groups it is in.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether it is a mount: may speak for the users of its account.
    #[serde(default)]
    pub mount: bool,
}

/// A new access key. The secret is told this once.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct NewAccessKey {
    /// The user's name.
    pub user_name: String,
    /// The user's ARN.
    pub arn: String,
    /// 20 characters.
    pub access_key_id: String,
    /// 40 characters.
    pub secret_access_key: SecretAccessKey,
}

/// All users.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListUsersResponse {
    /// By ARN.
    pub users: Vec<UserEntry>,
}

/// A user of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UserEntry {
    /// Its name.
    pub user_name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was made.
    pub create_date: Timestamp,
    /// Whether it may speak for others.
    pub mount: bool,
    /// The names of its identity policies.
    pub policies: Vec<String>,
    /// The ARNs of its groups.
    pub groups: Vec<String>,
    /// Its access keys.
    pub access_keys: Vec<AccessKeyEntry>,
}

/// An access key of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct AccessKeyEntry {
    /// Its id.
    pub access_key_id: String,
    /// When it was made.
    pub create_date: Timestamp,
}

/// Replaces the identity policy of a user.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutUserPolicyRequest {
    /// Whose.
    pub user: UserRef,
    /// Whether everything in the key service is allowed.
    #[serde(default)]
    pub admin: bool,
    /// The document; with none, and not `admin`, the user has no policy of its own any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Replaces the identity policy of a group.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutGroupPolicyRequest {
    /// The group's name, as a user's.
    pub group_name: String,
    /// The document; with none the group has no policy any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Puts a user into a group or takes it out.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupMemberRequest {
    /// The group's name.
    pub group_name: String,
    /// The user.
    pub user: UserRef,
}

/// All groups that have a policy or a member.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListGroupsResponse {
    /// By ARN.
    pub groups: Vec<GroupEntry>,
}

/// A group of a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GroupEntry {
    /// Its ARN.
    pub arn: String,
    /// Whether it has a policy.
    pub has_policy: bool,
    /// The ARNs of its members among the users made here.
    pub members: Vec<String>,
}

/// Revokes an access key.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteAccessKeyRequest {
    /// Its id.
    pub access_key_id: String,
}

/// A user id of this machine whose processes may speak for others through the socket.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct MountUserRequest {
    /// The user id.
    pub uid: u32,
}

/// All registered user ids.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListMountUsersResponse {
    /// The user ids.
    pub uids: Vec<u32>,
}

/// What the service says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceStatus {
    /// The process that serves.
    pub pid: u32,
    /// Whether the home is sealed; then nothing else is known.
    pub sealed: bool,
    /// The account in its ARNs.
    pub account: String,
    /// The Region of mounts and of callers who name none.
    pub region: String,
    /// How many keys there are, by state.
    pub keys: BTreeMap<String, u64>,
    /// How many users.
    pub users: u64,
    /// The number of the audit log's last record.
    pub audit_position: u64,
}

/// Asks what policies would say to somebody who uses or administers a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExplainAccessRequest {
    /// Who. The groups that the service keeps are added.
    pub principal: Principal,
    /// Their user id, if they have one.
    pub uid: Option<u32>,
    /// Whether a mount asks on their behalf.
    pub via_kmsfs: bool,
    /// Key id, ARN or alias.
    pub key_id: String,
    /// `kms:` actions.
    pub actions: Vec<String>,
    /// What the requests bind to, if anything.
    #[serde(default)]
    pub encryption_context: EncryptionContext,
    /// A document in the place of the key's policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Identity policies that they have beside those that are attached.
    #[serde(default)]
    pub identity_policies: Vec<String>,
}

/// What policies would say.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ExplainAccessResponse {
    /// The key's ARN.
    pub key_arn: String,
    /// The key's state. Policies do not look at it; nothing is encrypted or decrypted unless it is
    /// `Enabled`.
    pub key_state: String,
    /// One for each action.
    pub explanations: Vec<Explanation>,
}

/// Replaces the identity policy of a user, group or role of the home's account, whether or not the
/// service has a user of that name.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct PutIdentityPolicyRequest {
    /// `user`, `group` or `role`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The document; with none it has no policy of its own any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// An identity policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IdentityPolicy {
    /// The ARN that it is attached to.
    pub principal: String,
    /// Its name.
    pub name: String,
    /// The document.
    pub document: String,
}

/// All identity policies, and whom the service itself has put into groups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListIdentityPoliciesResponse {
    /// By ARN, then by name.
    pub policies: Vec<IdentityPolicy>,
    /// The ARNs of the groups that a user, by ARN, is in.
    pub groups: BTreeMap<String, Vec<String>>,
}

/// Hands the list of these operations to the macro `$consumer`.
macro_rules! with_administration {
    ($consumer:ident) => {
        $consumer! {
            /// Makes a user and its first access key.
            create_user = CreateUser(crate::kms::administration::CreateUserRequest) -> crate::kms::administration::NewAccessKey;
            /// Lists users.
            list_users = ListUsers(crate::kms::api::Empty) -> crate::kms::administration::ListUsersResponse;
            /// Removes a user with its access keys and policies.
            delete_user = DeleteUser(crate::kms::administration::UserRef) -> crate::kms::api::Empty;
            /// Replaces a user's identity policy.
            put_user_policy = PutUserPolicy(crate::kms::administration::PutUserPolicyRequest) -> crate::kms::api::Empty;
            /// Makes a further access key for a user; two at once at most.
            create_access_key = CreateAccessKey(crate::kms::administration::UserRef) -> crate::kms::administration::NewAccessKey;
            /// Revokes an access key.
            delete_access_key = DeleteAccessKey(crate::kms::administration::DeleteAccessKeyRequest) -> crate::kms::api::Empty;
            /// Replaces a group's identity policy.
            put_group_policy = PutGroupPolicy(crate::kms::administration::PutGroupPolicyRequest) -> crate::kms::api::Empty;
            /// Puts a user into a group.
            add_user_to_group = AddUserToGroup(crate::kms::administration::GroupMemberRequest) -> crate::kms::api::Empty;
            /// Takes a user out of a group.
            remove_user_from_group = RemoveUserFromGroup(crate::kms::administration::GroupMemberRequest) -> crate::kms::api::Empty;
            /// Lists groups.
            list_groups = ListGroups(crate::kms::api::Empty) -> crate::kms::administration::ListGroupsResponse;
            /// Replaces an identity policy.
            put_identity_policy = PutIdentityPolicy(crate::kms::administration::PutIdentityPolicyRequest) -> crate::kms::api::Empty;
            /// Lists identity policies with their documents.
            list_identity_policies = ListIdentityPolicies(crate::kms::api::Empty) -> crate::kms::administration::ListIdentityPoliciesResponse;
            /// Tells what policies would say to somebody, and why.
            explain_access = ExplainAccess(crate::kms::administration::ExplainAccessRequest) -> crate::kms::administration::ExplainAccessResponse;
            /// Lets the processes of a user id speak for others.
            register_mount_user = RegisterMountUser(crate::kms::administration::MountUserRequest) -> crate::kms::api::Empty;
            /// Lets them no longer.
            deregister_mount_user = DeregisterMountUser(crate::kms::administration::MountUserRequest) -> crate::kms::api::Empty;
            /// Lists the user ids that may.
            list_mount_users = ListMountUsers(crate::kms::api::Empty) -> crate::kms::administration::ListMountUsersResponse;
            /// Says how the service is.
            service_status = ServiceStatus(crate::kms::api::Empty) -> crate::kms::administration::ServiceStatus;
        }
    };
}
pub(super) use with_administration;

macro_rules! declare_administration {
    ($(
        $(#[$about:meta])*
        $method:ident = $operation:ident($request:ty) -> $response:ty;
    )+) => {
        /// Administers a home's key service. Each change is durable and in force when it is answered,
        /// and recorded in the audit log.
        ///
        /// Errors: `AccessDeniedException` for anybody but the home's owner and root,
        /// `NotFoundException`, `AlreadyExistsException`, `ValidationException`,
        /// `MalformedPolicyDocumentException`, `LimitExceededException`.
        pub trait Administration: Send + Sync {
            $(
                $(#[$about])*
                ///
                /// # Errors
                /// See [`Administration`].
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>;
            )+
        }

        /// The name of the operation, if it is one of these.
        pub(super) fn named(name: &str) -> Option<&'static str> {
            match name {
                $(stringify!($operation) => Some(stringify!($operation)),)+
                _ => None,
            }
        }
    };
}
with_administration!(declare_administration);

/// Whether the operation of this name may take a right away from somebody who has a file open.
pub(super) fn may_revoke(operation: &str) -> bool {
    matches!(
        operation,
        "AddUserToGroup"
            | "DeleteUser"
            | "PutGroupPolicy"
            | "PutIdentityPolicy"
            | "PutUserPolicy"
            | "RemoveUserFromGroup"
            | "Reset"
    )
}

/// Whether the operation of this name changes something.
pub(super) fn changes_something(operation: &str) -> bool {
    if operation == "Reset" {
        return true;
    }
    named(operation).is_some()
        && !matches!(
            operation,
            "ExplainAccess"
                | "ListGroups"
                | "ListIdentityPolicies"
                | "ListMountUsers"
                | "ListUsers"
                | "ServiceStatus"
        )
}

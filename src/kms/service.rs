//! The key service as its users see it: one trait, whoever answers behind it.

use std::sync::Arc;

use super::{KmsError, api};
use crate::{audit::Anchored, policy::Principal};

/// Who asks. The key service trusts it: the socket's server fills it from the peer's credentials,
/// and lets only the home's owner and root speak for somebody else.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The caller's name, account and groups.
    pub principal: Arc<Principal>,
    /// The caller's user id, where there is one.
    pub uid: Option<u32>,
    /// Whether kmsfs asks on the caller's behalf (`kms:ViaService`).
    pub via_kmsfs: bool,
    /// Joins the record of the file event that caused the call with the key service's own record.
    pub shared_event_id: Option<String>,
    /// The process that caused the call.
    pub pid: Option<u32>,
}

impl Caller {
    /// A caller who asks for himself.
    pub fn new(principal: Arc<Principal>) -> Self {
        Self {
            principal,
            uid: None,
            via_kmsfs: false,
            shared_event_id: None,
            pid: None,
        }
    }
}

/// Whether the operation of this name changes who may do what, or what there is. Such a record is on
/// disk before the answer, and such a request is not sent again when its answer is lost.
pub(super) fn changes_something(operation: &str) -> bool {
    matches!(
        operation,
        "CreateKey"
            | "EnableKey"
            | "DisableKey"
            | "CreateAlias"
            | "UpdateAlias"
            | "DeleteAlias"
            | "RotateKeyOnDemand"
            | "PutKeyPolicy"
    )
}

/// Hands the list of the AWS operations to the macro `$consumer`: the trait, the dispatch by name
/// and every implementation that forwards all of them are made from this one list.
macro_rules! with_operations {
    ($consumer:ident $($argument:tt)*) => {
        $consumer! {
            { $($argument)* }
            /// Makes a key.
            create_key = CreateKey(api::CreateKeyRequest) -> api::CreateKeyResponse;
            /// Tells what is known of a key.
            describe_key = DescribeKey(api::DescribeKeyRequest) -> api::DescribeKeyResponse;
            /// Lists the account's keys.
            list_keys = ListKeys(api::ListKeysRequest) -> api::ListKeysResponse;
            /// Lets a disabled key be used again.
            enable_key = EnableKey(api::EnableKeyRequest) -> api::Empty;
            /// Makes a key refuse all cryptographic use.
            disable_key = DisableKey(api::DisableKeyRequest) -> api::Empty;
            /// Makes a data key, in the clear and encrypted.
            generate_data_key = GenerateDataKey(api::GenerateDataKeyRequest) -> api::GenerateDataKeyResponse;
            /// Makes a data key, encrypted only.
            generate_data_key_without_plaintext =
                GenerateDataKeyWithoutPlaintext(api::GenerateDataKeyWithoutPlaintextRequest)
                -> api::GenerateDataKeyWithoutPlaintextResponse;
            /// Encrypts up to 4096 bytes.
            encrypt = Encrypt(api::EncryptRequest) -> api::EncryptResponse;
            /// Opens a ciphertext.
            decrypt = Decrypt(api::DecryptRequest) -> api::DecryptResponse;
            /// Moves a ciphertext under another key or context; the plaintext stays inside.
            re_encrypt = ReEncrypt(api::ReEncryptRequest) -> api::ReEncryptResponse;
            /// Gives a key a name.
            create_alias = CreateAlias(api::CreateAliasRequest) -> api::Empty;
            /// Lists names.
            list_aliases = ListAliases(api::ListAliasesRequest) -> api::ListAliasesResponse;
            /// Points a name at another key.
            update_alias = UpdateAlias(api::UpdateAliasRequest) -> api::Empty;
            /// Removes a name.
            delete_alias = DeleteAlias(api::DeleteAliasRequest) -> api::Empty;
            /// Gives a key new material; the old material still decrypts.
            rotate_key_on_demand =
                RotateKeyOnDemand(api::RotateKeyOnDemandRequest) -> api::RotateKeyOnDemandResponse;
            /// Lists a key's completed rotations.
            list_key_rotations =
                ListKeyRotations(api::ListKeyRotationsRequest) -> api::ListKeyRotationsResponse;
            /// Replaces a key's policy.
            put_key_policy = PutKeyPolicy(api::PutKeyPolicyRequest) -> api::Empty;
            /// Reads a key's policy.
            get_key_policy = GetKeyPolicy(api::GetKeyPolicyRequest) -> api::GetKeyPolicyResponse;
            /// Makes random bytes.
            generate_random = GenerateRandom(api::GenerateRandomRequest) -> api::GenerateRandomResponse;
        }
    };
}
pub(super) use with_operations;

macro_rules! declare_key_service {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        /// The operations of AWS KMS, by their own names and shapes, and the two that a mount needs
        /// beyond them. Every call is authorised and audited before it answers.
        ///
        /// Errors: the exceptions that the operation's page of the API reference lists, as
        /// [`KmsError`]; `KMSInternalException` when the audit log or the store cannot be written,
        /// in which case nothing has changed.
        pub trait KeyService: Send + Sync {
            $(
                $(#[$about])*
                ///
                /// # Errors
                /// See [`KeyService`].
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>;
            )+

            /// A number that grows with every change of a key's state or policy, or of an alias.
            /// What was decided under an older epoch has to be decided again.
            ///
            /// # Errors
            /// [`KmsError::Unreachable`] when the service cannot be asked.
            fn epoch(&self) -> Result<u64, KmsError>;

            /// Signs the head of the log `log` (its last sequence number and hash) with the home's
            /// key, remembers it for the key service's own log, and answers with that log's head.
            ///
            /// # Errors
            /// [`KmsError::Unreachable`] when the service cannot be asked.
            fn audit_anchor(&self, log: &str, seq: u64, hash: &[u8; 32])
                -> Result<Anchored, KmsError>;
        }

        /// The names of the AWS operations that this service has.
        pub const OPERATIONS: &[&str] = &[$(stringify!($operation)),+];
    };
}
with_operations!(declare_key_service);

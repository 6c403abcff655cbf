//! The key service as its users see it: one trait, whoever answers behind it.

use std::{net::IpAddr, sync::Arc, time::Duration};

use super::{KmsError, Region, administration, api, region_of};
use crate::{audit::Anchored, policy::Principal};

/// Who asks, and whence. The key service trusts it: its servers fill it from the peer's credentials
/// or signature, and let only the home's owner and root speak for somebody else.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The caller's name, account and groups.
    pub principal: Arc<Principal>,
    /// The Region that is asked; `None`: the home's own.
    pub region: Option<Region>,
    /// The caller's user id, where there is one.
    pub uid: Option<u32>,
    /// Whether kmsfs asks on the caller's behalf (`kms:ViaService`).
    pub via_kmsfs: bool,
    /// Joins the record of the file event that caused the call with the key service's own record.
    pub shared_event_id: Option<String>,
    /// The process that caused the call.
    pub pid: Option<u32>,
    /// Where the request came from, over a network (`aws:SourceIp`).
    pub source_ip: Option<IpAddr>,
    /// Whether it came over TLS; `None`: not over a network (`aws:SecureTransport`).
    pub secure_transport: Option<bool>,
    /// The access key that signed the request.
    pub access_key_id: Option<String>,
    /// The client's own words about itself.
    pub user_agent: Option<String>,
    /// The id of the request, as its answer names it.
    pub request_id: Option<String>,
    /// The mount that speaks for the caller, where it is not the home's owner's or root's.
    pub forwarded_by: Option<Arc<Principal>>,
}

impl Caller {
    /// A caller who asks for himself, in the home's own Region.
    pub fn new(principal: Arc<Principal>) -> Self {
        Self {
            principal,
            region: None,
            uid: None,
            via_kmsfs: false,
            shared_event_id: None,
            pid: None,
            source_ip: None,
            secure_transport: None,
            access_key_id: None,
            user_agent: None,
            request_id: None,
            forwarded_by: None,
        }
    }

    /// The same caller, asking the Region of the key `key_arn`.
    #[must_use]
    pub fn in_region_of(&self, key_arn: &str) -> Self {
        let region = region_of(key_arn).and_then(|region| region.parse().ok());
        Self {
            region: region.or_else(|| self.region.clone()),
            ..self.clone()
        }
    }
}

/// Whether the operation of this name changes who may do what, or what there is. Such a record is on
/// disk before the answer, and such a request is not sent again when its answer is lost.
pub(super) fn changes_something(operation: &str) -> bool {
    if administration::changes_something(operation) {
        return true;
    }
    matches!(
        operation,
        "CancelKeyDeletion"
            | "ConnectCustomKeyStore"
            | "CreateAlias"
            | "CreateCustomKeyStore"
            | "CreateGrant"
            | "CreateKey"
            | "DeleteAlias"
            | "DeleteCustomKeyStore"
            | "DeleteImportedKeyMaterial"
            | "DisableKey"
            | "DisableKeyRotation"
            | "DisconnectCustomKeyStore"
            | "EnableKey"
            | "EnableKeyRotation"
            | "ImportKeyMaterial"
            | "PutKeyPolicy"
            | "ReplicateKey"
            | "RetireGrant"
            | "RevokeGrant"
            | "RotateKeyOnDemand"
            | "ScheduleKeyDeletion"
            | "TagResource"
            | "UntagResource"
            | "UpdateAlias"
            | "UpdateCustomKeyStore"
            | "UpdateKeyDescription"
            | "UpdatePrimaryRegion"
    )
}

/// Whether the operation of this name may take a right away from somebody who has a file open: it is
/// answered once the mounts have acted on it.
pub(super) fn may_revoke(operation: &str) -> bool {
    if administration::may_revoke(operation) {
        return true;
    }
    matches!(
        operation,
        "CreateAlias"
            | "DeleteAlias"
            | "DeleteImportedKeyMaterial"
            | "DisableKey"
            | "PutKeyPolicy"
            | "RetireGrant"
            | "RevokeGrant"
            | "ScheduleKeyDeletion"
            | "TagResource"
            | "UntagResource"
            | "UpdateAlias"
    )
}

/// Whether a mount asks for the operation of this name on behalf of its users.
pub(super) fn is_of_mounts(operation: &str) -> bool {
    matches!(
        operation,
        "Decrypt"
            | "DescribeKey"
            | "Encrypt"
            | "GenerateDataKey"
            | "GenerateDataKeyWithoutPlaintext"
            | "GenerateRandom"
            | "ReEncrypt"
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
            /// Has a key deleted when a waiting time is over.
            schedule_key_deletion = ScheduleKeyDeletion(api::ScheduleKeyDeletionRequest) -> api::ScheduleKeyDeletionResponse;
            /// Keeps a key that was to be deleted; it stays disabled.
            cancel_key_deletion = CancelKeyDeletion(api::CancelKeyDeletionRequest) -> api::CancelKeyDeletionResponse;
            /// Changes what a key is said to be for.
            update_key_description = UpdateKeyDescription(api::UpdateKeyDescriptionRequest) -> api::Empty;
            /// Tells when a key was last used, and for what.
            get_key_last_usage = GetKeyLastUsage(api::GetKeyLastUsageRequest) -> api::GetKeyLastUsageResponse;
            /// Sets tags of a key.
            tag_resource = TagResource(api::TagResourceRequest) -> api::Empty;
            /// Removes tags of a key.
            untag_resource = UntagResource(api::UntagResourceRequest) -> api::Empty;
            /// Lists a key's tags.
            list_resource_tags = ListResourceTags(api::ListResourceTagsRequest) -> api::ListResourceTagsResponse;
            /// Lists the names of a key's policies: one.
            list_key_policies = ListKeyPolicies(api::ListKeyPoliciesRequest) -> api::ListKeyPoliciesResponse;
            /// Lets a principal use a key.
            create_grant = CreateGrant(api::CreateGrantRequest) -> api::CreateGrantResponse;
            /// Lists a key's grants.
            list_grants = ListGrants(api::ListGrantsRequest) -> api::ListGrantsResponse;
            /// Lists the grants that a principal may retire.
            list_retirable_grants = ListRetirableGrants(api::ListRetirableGrantsRequest) -> api::ListGrantsResponse;
            /// Ends a grant, as the key's administrator.
            revoke_grant = RevokeGrant(api::RevokeGrantRequest) -> api::Empty;
            /// Ends a grant, as one who has done with it.
            retire_grant = RetireGrant(api::RetireGrantRequest) -> api::Empty;
            /// Has a key rotated at intervals.
            enable_key_rotation = EnableKeyRotation(api::EnableKeyRotationRequest) -> api::Empty;
            /// Ends the rotation of a key at intervals.
            disable_key_rotation = DisableKeyRotation(api::DisableKeyRotationRequest) -> api::Empty;
            /// Tells whether and when a key rotates.
            get_key_rotation_status = GetKeyRotationStatus(api::GetKeyRotationStatusRequest) -> api::GetKeyRotationStatusResponse;
            /// Copies a multi-Region key into another Region.
            replicate_key = ReplicateKey(api::ReplicateKeyRequest) -> api::ReplicateKeyResponse;
            /// Makes the replica in another Region the primary key.
            update_primary_region = UpdatePrimaryRegion(api::UpdatePrimaryRegionRequest) -> api::Empty;
            /// Makes a key pair; the private key in the clear and encrypted.
            generate_data_key_pair = GenerateDataKeyPair(api::GenerateDataKeyPairRequest) -> api::GenerateDataKeyPairResponse;
            /// Makes a key pair; the private key encrypted only.
            generate_data_key_pair_without_plaintext = GenerateDataKeyPairWithoutPlaintext(api::GenerateDataKeyPairWithoutPlaintextRequest) -> api::GenerateDataKeyPairWithoutPlaintextResponse;
            /// Signs a message or its digest.
            sign = Sign(api::SignRequest) -> api::SignResponse;
            /// Verifies a signature.
            verify = Verify(api::VerifyRequest) -> api::VerifyResponse;
            /// Hands out the public half of an asymmetric key.
            get_public_key = GetPublicKey(api::GetPublicKeyRequest) -> api::GetPublicKeyResponse;
            /// Authenticates a message.
            generate_mac = GenerateMac(api::GenerateMacRequest) -> api::GenerateMacResponse;
            /// Verifies a message authentication code.
            verify_mac = VerifyMac(api::VerifyMacRequest) -> api::VerifyMacResponse;
            /// Agrees on a secret with the holder of another key.
            derive_shared_secret = DeriveSharedSecret(api::DeriveSharedSecretRequest) -> api::DeriveSharedSecretResponse;
            /// Makes a secret that only the key can open.
            encapsulate = Encapsulate(api::EncapsulateRequest) -> api::EncapsulateResponse;
            /// Opens an encapsulated secret.
            decapsulate = Decapsulate(api::DecapsulateRequest) -> api::DecapsulateResponse;
            /// Makes what an import of key material needs.
            get_parameters_for_import = GetParametersForImport(api::GetParametersForImportRequest) -> api::GetParametersForImportResponse;
            /// Gives a key material from elsewhere.
            import_key_material = ImportKeyMaterial(api::ImportKeyMaterialRequest) -> api::ImportKeyMaterialResponse;
            /// Removes imported material; it may be imported again.
            delete_imported_key_material = DeleteImportedKeyMaterial(api::DeleteImportedKeyMaterialRequest) -> api::DeleteImportedKeyMaterialResponse;
            /// Refused: there are no custom key stores.
            create_custom_key_store = CreateCustomKeyStore(api::CustomKeyStoreRequest) -> api::Empty;
            /// Refused: there are no custom key stores.
            delete_custom_key_store = DeleteCustomKeyStore(api::CustomKeyStoreRequest) -> api::Empty;
            /// Refused: there are no custom key stores.
            describe_custom_key_stores = DescribeCustomKeyStores(api::CustomKeyStoreRequest) -> api::Empty;
            /// Refused: there are no custom key stores.
            update_custom_key_store = UpdateCustomKeyStore(api::CustomKeyStoreRequest) -> api::Empty;
            /// Refused: there are no custom key stores.
            connect_custom_key_store = ConnectCustomKeyStore(api::CustomKeyStoreRequest) -> api::Empty;
            /// Refused: there are no custom key stores.
            disconnect_custom_key_store = DisconnectCustomKeyStore(api::CustomKeyStoreRequest) -> api::Empty;
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
        /// The operations of AWS KMS, by their own names and shapes, and what a mount needs beyond
        /// them. Every call is authorised and audited before it answers.
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

            /// Tells the epoch, and takes note that the mount `mount`, whose name nobody else has, has
            /// acted on every change up to the epoch `enforced`; with `None`, that it ends. A change
            /// that may take a right away is answered once the mounts that follow have acted on it, or
            /// were not heard of for two seconds. A service that cannot wait for them tells the epoch
            /// alone.
            ///
            /// # Errors
            /// [`KmsError::Unreachable`] when the service cannot be asked.
            fn follow(&self, _mount: &str, _enforced: Option<u64>) -> Result<u64, KmsError> {
                self.epoch()
            }

            /// Signs the head of the log `log` (its last sequence number and hash) with the home's
            /// key, remembers it for the key service's own log, and answers with that log's head.
            ///
            /// # Errors
            /// [`KmsError::Unreachable`] when the service cannot be asked.
            fn audit_anchor(&self, log: &str, seq: u64, hash: &[u8; 32])
                -> Result<Anchored, KmsError>;

            /// Whether an answer may take its time: the service runs in another process. A thread
            /// that others wait for does not ask it.
            fn may_wait(&self) -> bool {
                false
            }

            /// How long a service that was not asked for anything is taken to be there.
            fn heartbeat(&self) -> Duration {
                Duration::from_secs(1)
            }

            /// Asks whether it is there; any answer will do.
            ///
            /// # Errors
            /// [`KmsError::Unreachable`].
            fn ping(&self) -> Result<(), KmsError> {
                self.epoch().map(drop)
            }

            /// How long it has not answered, if it does not.
            fn silent_for(&self) -> Option<Duration> {
                None
            }
        }

        /// The names of the AWS operations that this service has.
        pub const OPERATIONS: &[&str] = &[$(stringify!($operation)),+];
    };
}
with_operations!(declare_key_service);

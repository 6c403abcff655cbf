//! The operations that this service refuses: it has no custom key stores, and some operations are
//! still to come.

use super::{Done, Embedded, trail::Trail};
use crate::kms::{KmsError, api};

macro_rules! refuse {
    ($why:literal: $($method:ident($request:ident) -> $response:ident;)+) => {
        impl Embedded {
            $(
                pub(super) fn $method<'a>(
                    &'a self,
                    _trail: &mut Trail<'a>,
                    _request: &'a api::$request,
                ) -> Result<Done<'a, api::$response>, KmsError> {
                    Err(KmsError::Unsupported($why.to_owned()))
                }
            )+
        }
    };
}

refuse! { "Custom key stores are not supported by this version of kmsfs.":
    create_custom_key_store(CustomKeyStoreRequest) -> Empty;
    delete_custom_key_store(CustomKeyStoreRequest) -> Empty;
    describe_custom_key_stores(CustomKeyStoreRequest) -> Empty;
    update_custom_key_store(CustomKeyStoreRequest) -> Empty;
    connect_custom_key_store(CustomKeyStoreRequest) -> Empty;
    disconnect_custom_key_store(CustomKeyStoreRequest) -> Empty;
}

refuse! { "The operation is not supported by this version of kmsfs.":
    schedule_key_deletion(ScheduleKeyDeletionRequest) -> ScheduleKeyDeletionResponse;
    cancel_key_deletion(CancelKeyDeletionRequest) -> CancelKeyDeletionResponse;
    update_key_description(UpdateKeyDescriptionRequest) -> Empty;
    get_key_last_usage(GetKeyLastUsageRequest) -> GetKeyLastUsageResponse;
    tag_resource(TagResourceRequest) -> Empty;
    untag_resource(UntagResourceRequest) -> Empty;
    list_resource_tags(ListResourceTagsRequest) -> ListResourceTagsResponse;
    list_key_policies(ListKeyPoliciesRequest) -> ListKeyPoliciesResponse;
    create_grant(CreateGrantRequest) -> CreateGrantResponse;
    list_grants(ListGrantsRequest) -> ListGrantsResponse;
    list_retirable_grants(ListRetirableGrantsRequest) -> ListGrantsResponse;
    revoke_grant(RevokeGrantRequest) -> Empty;
    retire_grant(RetireGrantRequest) -> Empty;
    enable_key_rotation(EnableKeyRotationRequest) -> Empty;
    disable_key_rotation(DisableKeyRotationRequest) -> Empty;
    get_key_rotation_status(GetKeyRotationStatusRequest) -> GetKeyRotationStatusResponse;
    replicate_key(ReplicateKeyRequest) -> ReplicateKeyResponse;
    update_primary_region(UpdatePrimaryRegionRequest) -> Empty;
}

//! The key-state table, operation by operation, through the API.

use super::{Fixture, refusal};
use crate::kms::{
    Caller, CreateAliasRequest, CreateGrantRequest, CreateKeyRequest, DisableKeyRequest,
    DisableKeyRotationRequest, EnableKeyRequest, EnableKeyRotationRequest, EncryptRequest,
    GenerateDataKeyRequest, GetKeyPolicyRequest, GrantOperation, KeyService, KmsError,
    ListGrantsRequest, ListKeyPoliciesRequest, ListResourceTagsRequest, Origin, Plaintext,
    PutKeyPolicyRequest, RotateKeyOnDemandRequest, ScheduleKeyDeletionRequest, Tag,
    TagResourceRequest, UntagResourceRequest, UpdateKeyDescriptionRequest,
};
use crate::policy::canned;

/// Does an operation to a key.
type Operation = fn(&dyn KeyService, &Caller, String) -> Result<(), KmsError>;

/// How a key gets into a state: enabled, disabled, pending deletion, pending import.
const STATES: [&str; 4] = ["enabled", "disabled", "pending deletion", "pending import"];

fn key_in(fixture: &Fixture, state: &str) -> String {
    let (service, admin) = (fixture.service(), &fixture.admin);
    let request = CreateKeyRequest {
        origin: (state == "pending import").then_some(Origin::External),
        ..Default::default()
    };
    let key_id = service
        .create_key(admin, &request)
        .unwrap()
        .key_metadata
        .key_id;
    match state {
        "disabled" => {
            let key_id = key_id.clone();
            service
                .disable_key(admin, &DisableKeyRequest { key_id })
                .unwrap();
        }
        "pending deletion" => {
            let request = ScheduleKeyDeletionRequest {
                key_id: key_id.clone(),
                pending_window_in_days: None,
            };
            drop(service.schedule_key_deletion(admin, &request).unwrap());
        }
        _ => {}
    }
    key_id
}

/// `1`: done, `D`: `DisabledException`, `I`: `KMSInvalidStateException`, `U`:
/// `UnsupportedOperationException`.
const TABLE: &[(&str, &str, Operation)] = &[
    ("Encrypt", "1DII", |service, caller, key_id| {
        let request = EncryptRequest {
            key_id,
            plaintext: Plaintext::new(b"x".to_vec()),
            ..Default::default()
        };
        service.encrypt(caller, &request).map(drop)
    }),
    ("GenerateDataKey", "1DII", |service, caller, key_id| {
        let request = GenerateDataKeyRequest {
            key_id,
            number_of_bytes: Some(32),
            ..Default::default()
        };
        service.generate_data_key(caller, &request).map(drop)
    }),
    ("CreateGrant", "1DII", |service, caller, key_id| {
        let request = CreateGrantRequest {
            key_id,
            grantee_principal: Some(caller.principal.arn.clone()),
            operations: vec![GrantOperation::Encrypt],
            ..Default::default()
        };
        service.create_grant(caller, &request).map(drop)
    }),
    ("RotateKeyOnDemand", "1DII", |service, caller, key_id| {
        let request = RotateKeyOnDemandRequest { key_id };
        service.rotate_key_on_demand(caller, &request).map(drop)
    }),
    ("EnableKeyRotation", "1DIU", |service, caller, key_id| {
        let request = EnableKeyRotationRequest {
            key_id,
            ..Default::default()
        };
        service.enable_key_rotation(caller, &request).map(drop)
    }),
    ("DisableKeyRotation", "1DIU", |service, caller, key_id| {
        let request = DisableKeyRotationRequest { key_id };
        service.disable_key_rotation(caller, &request).map(drop)
    }),
    ("EnableKey", "11II", |service, caller, key_id| {
        service
            .enable_key(caller, &EnableKeyRequest { key_id })
            .map(drop)
    }),
    ("DisableKey", "11II", |service, caller, key_id| {
        service
            .disable_key(caller, &DisableKeyRequest { key_id })
            .map(drop)
    }),
    ("CreateAlias", "11I1", |service, caller, key_id| {
        let request = CreateAliasRequest {
            alias_name: format!("alias/{key_id}"),
            target_key_id: key_id,
        };
        service.create_alias(caller, &request).map(drop)
    }),
    ("TagResource", "11I1", |service, caller, key_id| {
        let tags = vec![Tag {
            tag_key: "a".to_owned(),
            tag_value: String::new(),
        }];
        service
            .tag_resource(caller, &TagResourceRequest { key_id, tags })
            .map(drop)
    }),
    ("UntagResource", "11I1", |service, caller, key_id| {
        let request = UntagResourceRequest {
            key_id,
            tag_keys: vec!["a".to_owned()],
        };
        service.untag_resource(caller, &request).map(drop)
    }),
    ("UpdateKeyDescription", "11I1", |service, caller, key_id| {
        let request = UpdateKeyDescriptionRequest {
            key_id,
            description: String::new(),
        };
        service.update_key_description(caller, &request).map(drop)
    }),
    ("ScheduleKeyDeletion", "11I1", |service, caller, key_id| {
        let request = ScheduleKeyDeletionRequest {
            key_id,
            pending_window_in_days: None,
        };
        service.schedule_key_deletion(caller, &request).map(drop)
    }),
    ("GetKeyPolicy", "1111", |service, caller, key_id| {
        let request = GetKeyPolicyRequest {
            key_id,
            ..Default::default()
        };
        service.get_key_policy(caller, &request).map(drop)
    }),
    ("PutKeyPolicy", "1111", |service, caller, key_id| {
        let request = PutKeyPolicyRequest {
            key_id,
            policy: canned::default_key_policy("000000000000"),
            ..Default::default()
        };
        service.put_key_policy(caller, &request).map(drop)
    }),
    ("ListKeyPolicies", "1111", |service, caller, key_id| {
        let request = ListKeyPoliciesRequest {
            key_id,
            ..Default::default()
        };
        service.list_key_policies(caller, &request).map(drop)
    }),
    ("ListGrants", "1111", |service, caller, key_id| {
        let request = ListGrantsRequest {
            key_id,
            ..Default::default()
        };
        service.list_grants(caller, &request).map(drop)
    }),
    ("ListResourceTags", "1111", |service, caller, key_id| {
        let request = ListResourceTagsRequest {
            key_id,
            ..Default::default()
        };
        service.list_resource_tags(caller, &request).map(drop)
    }),
];

#[test]
fn each_operation_is_allowed_in_the_states_that_aws_allows_it_in() {
    let fixture = Fixture::new();
    for (name, expected, operation) in TABLE {
        for (state, expected) in STATES.iter().zip(expected.chars()) {
            let key_id = key_in(&fixture, state);
            let arn = Fixture::arn(&key_id);
            let answer = operation(fixture.service(), &fixture.admin, key_id);
            let what = format!("{name} of a key that is {state}");
            match expected {
                '1' => assert_eq!(answer, Ok(()), "{what}"),
                'D' => assert_eq!(
                    answer,
                    Err(KmsError::Disabled(format!("{arn} is disabled."))),
                    "{what}"
                ),
                'I' => assert_eq!(
                    answer,
                    Err(KmsError::InvalidState(format!("{arn} is {state}."))),
                    "{what}"
                ),
                _ => {
                    let refused = refusal(answer);
                    assert!(
                        matches!(refused, KmsError::Unsupported(_)),
                        "{what}: {refused}"
                    );
                }
            }
        }
    }
}

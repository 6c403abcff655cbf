//! Multi-Region keys and their replicas.

use super::{Fixture, accounts::attach, in_region, refusal};
use crate::kms::{
    Caller, CiphertextBlob, CreateKeyRequest, DecryptRequest, EncryptRequest, KeyMetadata,
    KeyState, KmsError, ListKeyRotationsRequest, MultiRegionKeyType, Plaintext,
    ReplicateKeyRequest, ReplicateKeyResponse, RotateKeyOnDemandRequest,
    ScheduleKeyDeletionRequest, Tag, UpdatePrimaryRegionRequest,
};

const THERE: &str = "eu-west-1";

fn primary(fixture: &Fixture) -> KeyMetadata {
    let request = CreateKeyRequest {
        multi_region: Some(true),
        description: Some("first".to_owned()),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &request);
    made.unwrap().key_metadata
}

fn replicate(
    fixture: &Fixture,
    caller: &Caller,
    key: &str,
    region: &str,
) -> Result<ReplicateKeyResponse, KmsError> {
    let request = ReplicateKeyRequest {
        key_id: key.to_owned(),
        replica_region: region.to_owned(),
        tags: vec![Tag {
            tag_key: "a".to_owned(),
            tag_value: "b".to_owned(),
        }],
        ..Default::default()
    };
    fixture.service().replicate_key(caller, &request)
}

fn encrypt(fixture: &Fixture, caller: &Caller, key: &str) -> CiphertextBlob {
    let request = EncryptRequest {
        key_id: key.to_owned(),
        plaintext: Plaintext::new(b"x".to_vec()),
        ..Default::default()
    };
    let answer = fixture.service().encrypt(caller, &request);
    answer.unwrap().ciphertext_blob
}

fn opens(fixture: &Fixture, caller: &Caller, blob: CiphertextBlob) -> String {
    let request = DecryptRequest {
        ciphertext_blob: blob,
        ..Default::default()
    };
    let opened = fixture.service().decrypt(caller, &request).unwrap();
    assert_eq!(opened.plaintext.expose(), b"x");
    opened.key_id
}

fn schedule(fixture: &Fixture, caller: &Caller, key: &str) -> KeyState {
    let request = ScheduleKeyDeletionRequest {
        key_id: key.to_owned(),
        pending_window_in_days: Some(7),
    };
    let answer = fixture.service().schedule_key_deletion(caller, &request);
    answer.unwrap().key_state
}

#[test]
fn a_replica_is_a_key_of_its_own_with_the_same_material_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let here = fixture.admin.clone();
    let there = in_region(&here, THERE);
    let first = primary(&fixture);
    let before = encrypt(&fixture, &here, &first.key_id);
    let answer = replicate(&fixture, &here, &first.key_id, THERE).unwrap();
    assert_eq!(answer.replica_key_metadata.key_id, first.key_id);
    assert_eq!(answer.replica_key_metadata.key_state, KeyState::Creating);
    assert_eq!(answer.replica_tags[0].tag_key, "a");
    assert!(answer.replica_policy.contains("key-default-1"));
    fixture.reopen();
    let replica = fixture.describe(&there, &first.key_id).unwrap();
    assert_eq!(replica.key_state, KeyState::Enabled);
    assert_eq!(replica.description, "");
    assert_eq!(
        replica.current_key_material_id,
        first.current_key_material_id
    );
    for (caller, kind) in [
        (&here, MultiRegionKeyType::Primary),
        (&there, MultiRegionKeyType::Replica),
    ] {
        let metadata = fixture.describe(caller, &first.key_id).unwrap();
        let configuration = metadata.multi_region_configuration.unwrap();
        assert_eq!(configuration.multi_region_key_type, kind);
        assert_eq!(configuration.primary_key.arn, first.arn);
        assert_eq!(configuration.replica_keys.len(), 1);
        assert_eq!(configuration.replica_keys[0].arn, replica.arn);
    }
    assert_eq!(opens(&fixture, &there, before), replica.arn);
    let from_there = encrypt(&fixture, &there, &first.key_id);
    assert_eq!(opens(&fixture, &here, from_there), first.arn);
}

#[test]
fn only_a_primary_key_is_replicated_and_once_into_a_region() {
    let fixture = Fixture::new();
    let first = primary(&fixture);
    replicate(&fixture, &fixture.admin, &first.key_id, THERE).unwrap();
    for region in [THERE, "us-east-1"] {
        let again = refusal(replicate(&fixture, &fixture.admin, &first.key_id, region));
        assert!(matches!(again, KmsError::AlreadyExists(_)), "{again}");
    }
    let there = in_region(&fixture.admin, THERE);
    let of_replica = refusal(replicate(&fixture, &there, &first.key_id, "us-west-2"));
    assert!(
        matches!(of_replica, KmsError::Unsupported(_)),
        "{of_replica}"
    );
    let single = refusal(replicate(&fixture, &fixture.admin, &fixture.key(), THERE));
    assert!(matches!(single, KmsError::Unsupported(_)), "{single}");
    let nowhere = refusal(replicate(&fixture, &fixture.admin, &first.key_id, "Mars"));
    assert!(matches!(nowhere, KmsError::Validation(_)), "{nowhere}");
}

#[test]
fn a_rotation_of_the_primary_reaches_its_replicas_and_only_the_primary_rotates() {
    let fixture = Fixture::new();
    let there = in_region(&fixture.admin, THERE);
    let first = primary(&fixture);
    replicate(&fixture, &fixture.admin, &first.key_id, THERE).unwrap();
    let rotate = RotateKeyOnDemandRequest {
        key_id: first.key_id.clone(),
    };
    let service = fixture.service();
    service
        .rotate_key_on_demand(&fixture.admin, &rotate)
        .unwrap();
    let new = encrypt(&fixture, &fixture.admin, &first.key_id);
    opens(&fixture, &there, new);
    let list = ListKeyRotationsRequest {
        key_id: first.key_id.clone(),
        ..Default::default()
    };
    let listed = service.list_key_rotations(&there, &list).unwrap();
    assert_eq!(listed.rotations.len(), 1);
    let of_replica = refusal(service.rotate_key_on_demand(&there, &rotate));
    assert!(
        matches!(of_replica, KmsError::Unsupported(_)),
        "{of_replica}"
    );
}

#[test]
fn the_primary_role_moves_to_a_replica() {
    let mut fixture = Fixture::new();
    let there = in_region(&fixture.admin, THERE);
    let first = primary(&fixture);
    replicate(&fixture, &fixture.admin, &first.key_id, THERE).unwrap();
    let update = |region: &str| UpdatePrimaryRegionRequest {
        key_id: first.key_id.clone(),
        primary_region: region.to_owned(),
    };
    let service = fixture.service();
    let nobody = service.update_primary_region(&fixture.admin, &update("us-west-2"));
    assert!(matches!(nobody, Err(KmsError::NotFound(_))));
    service
        .update_primary_region(&fixture.admin, &update(THERE))
        .unwrap();
    fixture.reopen();
    let kind = |caller: &Caller| {
        let metadata = fixture.describe(caller, &first.key_id).unwrap();
        let configuration = metadata.multi_region_configuration.unwrap();
        (
            configuration.multi_region_key_type,
            configuration.primary_key.region,
        )
    };
    let primary = THERE.to_owned();
    assert_eq!(
        kind(&fixture.admin),
        (MultiRegionKeyType::Replica, primary.clone())
    );
    assert_eq!(kind(&there), (MultiRegionKeyType::Primary, primary));
    replicate(&fixture, &there, &first.key_id, "us-west-2").unwrap();
}

#[test]
fn a_primary_key_is_deleted_only_after_its_last_replica() {
    let fixture = Fixture::new();
    let there = in_region(&fixture.admin, THERE);
    let first = primary(&fixture);
    replicate(&fixture, &fixture.admin, &first.key_id, THERE).unwrap();
    let key = &*first.key_id;
    assert_eq!(
        schedule(&fixture, &fixture.admin, key),
        KeyState::PendingReplicaDeletion
    );
    fixture.pass(365);
    let waiting = fixture.describe(&fixture.admin, key).unwrap();
    assert_eq!(waiting.key_state, KeyState::PendingReplicaDeletion);
    assert_eq!(waiting.pending_deletion_window_in_days, Some(7));
    assert_eq!(waiting.deletion_date, None);

    assert_eq!(schedule(&fixture, &there, key), KeyState::PendingDeletion);
    fixture.pass(8);
    assert!(fixture.describe(&there, key).is_err());
    assert_eq!(fixture.state(key), KeyState::PendingDeletion);
    fixture.pass(8);
    assert!(fixture.describe(&fixture.admin, key).is_err());
}

#[test]
fn no_key_goes_into_a_region_that_is_not_served() {
    let fixture = Fixture::new();
    let first = primary(&fixture);
    replicate(&fixture, &fixture.admin, &first.key_id, THERE).unwrap();
    let regions = ["us-east-1".parse().unwrap()];
    fixture.embedded().serve_only(&regions);
    let refused = replicate(&fixture, &fixture.admin, &first.key_id, "us-west-2").err();
    let not_served = |region: &str| {
        let text = format!("The Region {region} is not served.");
        Some(KmsError::Unsupported(text))
    };
    assert_eq!(refused, not_served("us-west-2"));
    let request = UpdatePrimaryRegionRequest {
        key_id: first.key_id,
        primary_region: THERE.to_owned(),
    };
    let moved = fixture
        .service()
        .update_primary_region(&fixture.admin, &request);
    assert_eq!(moved.err(), not_served(THERE));
}

#[test]
fn the_region_in_which_a_replica_is_made_is_the_replicas() {
    let fixture = Fixture::new();
    let first = primary(&fixture);
    let deny = format!(
        r#"{{"Version": "2012-10-17", "Statement": {{"Effect": "Deny",
            "Action": ["kms:CreateKey", "kms:TagResource"], "Resource": "*",
            "Condition": {{"StringEquals": {{"aws:RequestedRegion": "{THERE}"}}}}}}}}"#
    );
    attach(&fixture, &fixture.admin.principal.arn, &deny);
    let refused = replicate(&fixture, &fixture.admin, &first.key_id, THERE).err();
    assert!(matches!(refused, Some(KmsError::AccessDenied(_))));
    replicate(&fixture, &fixture.admin, &first.key_id, "us-west-2").unwrap();
}

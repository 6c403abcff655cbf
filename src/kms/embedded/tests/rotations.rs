use super::{Fixture, refusal};
use crate::kms::{
    DecryptRequest, DescribeKeyRequest, DisableKeyRequest, EncryptRequest, IncludeKeyMaterial,
    KeyMaterialState, KmsError, ListKeyRotationsRequest, Plaintext, RotateKeyOnDemandRequest,
    RotationType, RotationsListEntry,
};

fn rotate(fixture: &Fixture, key_id: &str) -> Result<String, KmsError> {
    let request = RotateKeyOnDemandRequest {
        key_id: key_id.to_owned(),
    };
    fixture
        .service()
        .rotate_key_on_demand(&fixture.admin, &request)
        .map(|answer| answer.key_id)
}

fn list(fixture: &Fixture, request: &ListKeyRotationsRequest) -> Vec<RotationsListEntry> {
    fixture
        .service()
        .list_key_rotations(&fixture.admin, request)
        .unwrap()
        .rotations
}

#[test]
fn a_rotated_key_still_opens_what_it_encrypted_before() {
    let mut fixture = Fixture::new();
    let key_id = fixture.key();
    let mut blobs = Vec::new();
    for round in 0..3 {
        let plaintext = Plaintext::new(vec![round]);
        let request = EncryptRequest {
            key_id: key_id.clone(),
            plaintext,
            ..Default::default()
        };
        blobs.push(
            fixture
                .service()
                .encrypt(&fixture.admin, &request)
                .unwrap()
                .ciphertext_blob,
        );
        assert_eq!(rotate(&fixture, &key_id).unwrap(), Fixture::arn(&key_id));
    }
    fixture.reopen();
    let mut materials = Vec::new();
    for (round, ciphertext_blob) in (0..).zip(blobs) {
        let request = DecryptRequest {
            ciphertext_blob,
            ..Default::default()
        };
        let opened = fixture.service().decrypt(&fixture.admin, &request).unwrap();
        assert_eq!(opened.plaintext.expose(), [round]);
        materials.push(opened.key_material_id);
    }
    materials.dedup();
    assert_eq!(materials.len(), 3, "each round had material of its own");
    let request = DescribeKeyRequest {
        key_id,
        ..DescribeKeyRequest::default()
    };
    let now = fixture
        .service()
        .describe_key(&fixture.admin, &request)
        .unwrap()
        .key_metadata;
    assert!(!materials.contains(&now.current_key_material_id));
}

#[test]
fn rotations_are_listed_and_the_first_material_only_if_asked_for() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    rotate(&fixture, &key_id).unwrap();
    rotate(&fixture, &key_id).unwrap();
    let mut request = ListKeyRotationsRequest {
        key_id: key_id.clone(),
        ..Default::default()
    };
    let rotations = list(&fixture, &request);
    assert_eq!(rotations.len(), 2);
    let states: Vec<_> = rotations
        .iter()
        .map(|entry| entry.key_material_state)
        .collect();
    assert_eq!(
        states,
        [KeyMaterialState::NonCurrent, KeyMaterialState::Current]
    );
    for entry in &rotations {
        assert_eq!(entry.key_id, key_id);
        assert_eq!(entry.rotation_type, Some(RotationType::OnDemand));
        assert!(entry.rotation_date.is_some());
    }
    request.include_key_material = Some(IncludeKeyMaterial::AllKeyMaterial);
    let all = list(&fixture, &request);
    assert_eq!(all.len(), 3);
    assert_eq!((all[0].rotation_date, all[0].rotation_type), (None, None));
    assert_eq!(all[1..], rotations);
    request.limit = Some(2);
    let page = fixture
        .service()
        .list_key_rotations(&fixture.admin, &request)
        .unwrap();
    assert_eq!(page.rotations, all[..2]);
    request.marker = page.next_marker;
    assert_eq!(list(&fixture, &request), all[2..]);
}

#[test]
fn a_key_rotates_on_demand_25_times() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    for _ in 0..25 {
        rotate(&fixture, &key_id).unwrap();
    }
    assert!(matches!(
        rotate(&fixture, &key_id),
        Err(KmsError::LimitExceeded(_))
    ));
}

#[test]
fn a_disabled_key_does_not_rotate() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &disable)
        .unwrap();
    assert!(matches!(
        refusal(rotate(&fixture, &key_id)),
        KmsError::Disabled(_)
    ));
}

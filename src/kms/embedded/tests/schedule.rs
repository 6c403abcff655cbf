//! Rotation on a schedule.

use super::{Fixture, refusal};
use crate::kms::{
    CreateKeyRequest, DisableKeyRequest, DisableKeyRotationRequest, EnableKeyRequest,
    EnableKeyRotationRequest, GetKeyRotationStatusRequest, GetKeyRotationStatusResponse, KeySpec,
    KeyUsage, KmsError, ListKeyRotationsRequest, Origin, RotationType,
};

fn enable(fixture: &Fixture, key: &str, days: Option<i32>) -> Result<(), KmsError> {
    let request = EnableKeyRotationRequest {
        key_id: key.to_owned(),
        rotation_period_in_days: days,
    };
    let service = fixture.service();
    service
        .enable_key_rotation(&fixture.admin, &request)
        .map(drop)
}

fn status(fixture: &Fixture, key: &str) -> GetKeyRotationStatusResponse {
    let request = GetKeyRotationStatusRequest {
        key_id: key.to_owned(),
    };
    let service = fixture.service();
    service
        .get_key_rotation_status(&fixture.admin, &request)
        .unwrap()
}

fn rotations(fixture: &Fixture, key: &str) -> Vec<RotationType> {
    let request = ListKeyRotationsRequest {
        key_id: key.to_owned(),
        ..Default::default()
    };
    let listed = fixture
        .service()
        .list_key_rotations(&fixture.admin, &request);
    let rotations = listed.unwrap().rotations;
    rotations.iter().filter_map(|r| r.rotation_type).collect()
}

#[test]
fn a_key_rotates_by_itself_when_its_period_is_over_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let key = fixture.key();
    assert!(!status(&fixture, &key).key_rotation_enabled);
    enable(&fixture, &key, None).unwrap();
    let enabled = status(&fixture, &key);
    assert_eq!(enabled.rotation_period_in_days, Some(365));
    fixture.pass(364);
    assert!(rotations(&fixture, &key).is_empty());
    fixture.reopen();
    fixture.pass(366);
    assert_eq!(rotations(&fixture, &key), [RotationType::Automatic]);
    assert!(status(&fixture, &key).next_rotation_date > enabled.next_rotation_date);
    fixture.pass(366);
    assert_eq!(rotations(&fixture, &key).len(), 2);
    let disable = DisableKeyRotationRequest {
        key_id: key.clone(),
    };
    fixture
        .service()
        .disable_key_rotation(&fixture.admin, &disable)
        .unwrap();
    fixture.pass(800);
    assert_eq!(rotations(&fixture, &key).len(), 2);
    assert_eq!(status(&fixture, &key).next_rotation_date, None);
}

#[test]
fn a_disabled_key_rotates_once_it_is_enabled_again() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    enable(&fixture, &key_id, Some(90)).unwrap();
    let (service, admin) = (fixture.service(), &fixture.admin);
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    service.disable_key(admin, &disable).unwrap();
    fixture.pass(100);
    assert!(rotations(&fixture, &key_id).is_empty());
    let enable = EnableKeyRequest {
        key_id: key_id.clone(),
    };
    service.enable_key(admin, &enable).unwrap();
    fixture.pass(0);
    assert_eq!(rotations(&fixture, &key_id), [RotationType::Automatic]);
}

#[test]
fn a_period_is_90_to_2560_days() {
    let fixture = Fixture::new();
    let key = fixture.key();
    for days in [90, 2560] {
        enable(&fixture, &key, Some(days)).unwrap();
        assert_eq!(status(&fixture, &key).rotation_period_in_days, Some(days));
    }
    for days in [-1, 89, 2561] {
        let refused = refusal(enable(&fixture, &key, Some(days)));
        assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
    }
}

#[test]
fn only_symmetric_keys_of_the_services_own_material_rotate_by_themselves() {
    let fixture = Fixture::new();
    for request in [
        CreateKeyRequest {
            key_spec: Some(KeySpec::Hmac256),
            key_usage: Some(KeyUsage::GenerateVerifyMac),
            ..Default::default()
        },
        CreateKeyRequest {
            origin: Some(Origin::External),
            ..Default::default()
        },
    ] {
        let made = fixture.service().create_key(&fixture.admin, &request);
        let key = made.unwrap().key_metadata.key_id;
        let refused = refusal(enable(&fixture, &key, None));
        assert!(matches!(refused, KmsError::Unsupported(_)), "{refused}");
    }
}

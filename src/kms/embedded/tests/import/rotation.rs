//! Rotation to imported material, and material of several Regions.

use super::super::{Fixture, in_region, refusal};
use super::{
    NEW, decrypt, delete, describe, encrypt, import_bytes, pending_import, rotate, rotations,
    symmetric, wrap,
};
use crate::kms::KeyMaterialState::{Current, NonCurrent, PendingRotation};
use crate::kms::{
    CiphertextBlob, CreateKeyRequest, DecryptRequest, ExpirationModel,
    GetParametersForImportRequest, ImportKeyMaterialRequest, ImportType, KeyMaterialState,
    KeyState, KmsError, Origin, ReplicateKeyRequest, WrappingAlgorithm, WrappingKeySpec,
};

#[test]
fn each_region_imports_the_material_of_a_multi_region_key() {
    let fixture = Fixture::new();
    let request = CreateKeyRequest {
        origin: Some(Origin::External),
        multi_region: Some(true),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &request);
    let key_id = made.unwrap().key_metadata.key_id;
    let region = "eu-west-1";
    let request = ReplicateKeyRequest {
        key_id: key_id.clone(),
        replica_region: region.to_owned(),
        ..Default::default()
    };
    let service = fixture.service();
    let early = refusal(service.replicate_key(&fixture.admin, &request));
    assert_eq!(early, pending_import(&key_id));
    let first = import_bytes(&fixture, &key_id, &[1; 32], None).unwrap();
    let blob = encrypt(&fixture, &key_id).unwrap();
    service.replicate_key(&fixture.admin, &request).unwrap();

    let there = in_region(&fixture.admin, region);
    let import_there = |material: &[u8], import_type: Option<ImportType>| {
        let request = GetParametersForImportRequest {
            key_id: key_id.clone(),
            wrapping_algorithm: WrappingAlgorithm::RsaesOaepSha256,
            wrapping_key_spec: WrappingKeySpec::Rsa2048,
        };
        let parameters = service.get_parameters_for_import(&there, &request).unwrap();
        let algorithm = request.wrapping_algorithm;
        let request = ImportKeyMaterialRequest {
            key_id: key_id.clone(),
            import_token: parameters.import_token,
            encrypted_key_material: wrap(&parameters.public_key.0, algorithm, material),
            expiration_model: Some(ExpirationModel::DoesNotExpire),
            import_type,
            ..Default::default()
        };
        let answer = service.import_key_material(&there, &request)?;
        Ok(answer.key_material_id)
    };
    let state_there = || fixture.describe(&there, &key_id).unwrap().key_state;
    let opens_there = |blob: &CiphertextBlob| {
        let request = DecryptRequest {
            ciphertext_blob: blob.clone(),
            ..Default::default()
        };
        let opened = service.decrypt(&there, &request).unwrap();
        assert_eq!(opened.plaintext.expose(), b"secret");
    };
    assert_eq!(state_there(), KeyState::PendingImport);
    let refused = refusal(import_there(&[1; 32], NEW));
    assert!(matches!(refused, KmsError::Unsupported(_)), "{refused}");
    let refused = refusal(import_there(&[2; 32], None));
    assert!(
        matches!(refused, KmsError::IncorrectKeyMaterial(_)),
        "{refused}"
    );
    assert_eq!(import_there(&[1; 32], None).unwrap(), first);
    assert_eq!(state_there(), KeyState::Enabled);
    opens_there(&blob);

    // They rotate together, once the new material is everywhere.
    let state = |fixture: &Fixture| rotations(fixture, &key_id)[1].key_material_state;
    import_bytes(&fixture, &key_id, &[2; 32], NEW).unwrap();
    assert_eq!(
        state(&fixture),
        KeyMaterialState::PendingMultiRegionImportAndRotation
    );
    let refused = refusal(rotate(&fixture, &key_id));
    assert!(matches!(refused, KmsError::InvalidState(_)), "{refused}");
    import_there(&[2; 32], None).unwrap();
    assert_eq!(state(&fixture), PendingRotation);
    rotate(&fixture, &key_id).unwrap();
    assert_eq!(state(&fixture), Current);
    opens_there(&encrypt(&fixture, &key_id).unwrap());
    opens_there(&blob);
}

#[test]
fn new_material_waits_for_a_rotation_and_the_old_still_decrypts() {
    let mut fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    let nothing = KmsError::InvalidState(format!(
        "No available key material pending rotation for the key: {}.",
        Fixture::arn(&key_id)
    ));
    let first = import_bytes(&fixture, &key_id, &[1; 32], None).unwrap();
    let old = encrypt(&fixture, &key_id).unwrap();
    assert_eq!(refusal(rotate(&fixture, &key_id)), nothing);

    let by_default = refusal(import_bytes(&fixture, &key_id, &[2; 32], None));
    assert!(matches!(by_default, KmsError::IncorrectKeyMaterial(_)));
    let second = import_bytes(&fixture, &key_id, &[2; 32], NEW).unwrap();
    let current = |fixture: &Fixture| describe(fixture, &key_id).current_key_material_id;
    assert_eq!(current(&fixture), Some(first.clone()));
    let third = refusal(import_bytes(&fixture, &key_id, &[3; 32], NEW));
    let why = third.message();
    assert!(
        matches!(third, KmsError::InvalidState(_)) && why.contains(&second),
        "{third}"
    );
    let states = |fixture: &Fixture| -> Vec<KeyMaterialState> {
        let listed = rotations(fixture, &key_id);
        listed
            .iter()
            .map(|entry| entry.key_material_state)
            .collect()
    };
    assert_eq!(states(&fixture), [Current, PendingRotation]);

    rotate(&fixture, &key_id).unwrap();
    fixture.reopen();
    assert_eq!(states(&fixture), [NonCurrent, Current]);
    assert_eq!(current(&fixture), Some(second.clone()));
    let listed = rotations(&fixture, &key_id);
    assert_eq!(listed[0].rotation_date, None);
    assert!(listed[1].rotation_date.is_some());
    let new = encrypt(&fixture, &key_id).unwrap();
    for blob in [&old, &new] {
        assert_eq!(decrypt(&fixture, blob).unwrap(), b"secret");
    }
    assert_eq!(refusal(rotate(&fixture, &key_id)), nothing);

    // The key needs all that it ever encrypted with.
    delete(&fixture, &key_id, Some(&first)).unwrap();
    assert_eq!(refusal(decrypt(&fixture, &new)), pending_import(&key_id));
    let again = refusal(import_bytes(&fixture, &key_id, &[1; 32], NEW));
    assert!(
        matches!(again, KmsError::IncorrectKeyMaterial(_)),
        "{again}"
    );
    import_bytes(&fixture, &key_id, &[1; 32], None).unwrap();
    assert_eq!(decrypt(&fixture, &old).unwrap(), b"secret");
}

#[test]
fn material_that_never_encrypted_can_be_replaced() {
    let mut fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    import_bytes(&fixture, &key_id, &[1; 32], None).unwrap();
    let waiting = import_bytes(&fixture, &key_id, &[2; 32], NEW).unwrap();
    delete(&fixture, &key_id, Some(&waiting)).unwrap();
    assert_eq!(describe(&fixture, &key_id).key_state, KeyState::Enabled);
    fixture.reopen();
    assert_eq!(rotations(&fixture, &key_id).len(), 1);
    let gone = refusal(delete(&fixture, &key_id, Some(&waiting)));
    assert!(matches!(gone, KmsError::NotFound(_)), "{gone}");
    import_bytes(&fixture, &key_id, &[3; 32], NEW).unwrap();
    rotate(&fixture, &key_id).unwrap();
}

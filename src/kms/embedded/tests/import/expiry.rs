//! Material that expires.

use super::super::{Fixture, refusal};
use super::{
    NEW, asked, decrypt, describe, encrypt, import, import_bytes, pending_import, rotate,
    rotations, symmetric,
};
use crate::kms::{
    ExpirationModel, ImportKeyMaterialRequest, ImportState, KeyState, KmsError, Timestamp,
    UpdateKeyDescriptionRequest, WrappingAlgorithm,
};

const HOUR: i64 = 60 * 60 * 1000;

/// Lets `millis` milliseconds pass.
fn wait(fixture: &Fixture, millis: i64) {
    let ahead = &fixture.embedded().ahead;
    ahead.fetch_add(millis, std::sync::atomic::Ordering::Relaxed);
}

#[test]
fn material_expires_at_its_time_and_not_before() {
    let mut fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    let algorithm = WrappingAlgorithm::RsaesOaepSha256;
    let request = asked(&fixture, &key_id, algorithm, &[7; 32]);
    let until = |fixture: &Fixture, millis: i64| {
        let request = ImportKeyMaterialRequest {
            valid_to: Some(Timestamp {
                millis: fixture.embedded().now().millis + millis,
            }),
            expiration_model: None,
            ..request.clone()
        };
        import(fixture, &request).unwrap();
        request.valid_to
    };
    until(&fixture, HOUR);
    let valid_to = until(&fixture, 2 * HOUR);
    let described = describe(&fixture, &key_id);
    assert_eq!(described.expiration_model, Some(ExpirationModel::Expires));
    assert_eq!(described.valid_to, valid_to);
    let blob = encrypt(&fixture, &key_id).unwrap();
    wait(&fixture, HOUR + HOUR / 2);
    fixture.embedded().do_what_is_due();
    assert_eq!(decrypt(&fixture, &blob).unwrap(), b"secret");

    wait(&fixture, HOUR);
    // At once, though it is erased only a little later.
    for erase in [false, true] {
        if erase {
            fixture.embedded().do_what_is_due();
        }
        let described = describe(&fixture, &key_id);
        assert_eq!(described.key_state, KeyState::PendingImport);
        assert_eq!(described.expiration_model, None);
        assert_eq!(described.valid_to, None);
        assert_eq!(refusal(encrypt(&fixture, &key_id)), pending_import(&key_id));
        assert_eq!(refusal(decrypt(&fixture, &blob)), pending_import(&key_id));
        assert_eq!(
            rotations(&fixture, &key_id)[0].import_state,
            Some(ImportState::PendingImport)
        );
    }
    // The time of the service that is opened now is the true one, when it had not expired yet.
    fixture.reopen();
    assert_eq!(refusal(decrypt(&fixture, &blob)), pending_import(&key_id));
    import_bytes(&fixture, &key_id, &[7; 32], None).unwrap();
    assert_eq!(decrypt(&fixture, &blob).unwrap(), b"secret");
}

#[test]
fn what_is_done_to_a_key_between_expiry_and_erasure_keeps_nothing_from_being_erased() {
    let mut fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    import_bytes(&fixture, &key_id, &[7; 32], None).unwrap();
    let waiting = ImportKeyMaterialRequest {
        import_type: NEW,
        ..asked(
            &fixture,
            &key_id,
            WrappingAlgorithm::RsaesOaepSha256,
            &[8; 32],
        )
    };
    let waiting = ImportKeyMaterialRequest {
        valid_to: Some(Timestamp {
            millis: Timestamp::now().millis + HOUR,
        }),
        expiration_model: None,
        ..waiting
    };
    import(&fixture, &waiting).unwrap();
    wait(&fixture, 2 * HOUR);
    // Material that never encrypted is not missed.
    assert_eq!(describe(&fixture, &key_id).key_state, KeyState::Enabled);
    let refused = refusal(rotate(&fixture, &key_id));
    assert!(matches!(refused, KmsError::InvalidState(_)), "{refused}");
    let request = UpdateKeyDescriptionRequest {
        key_id: key_id.clone(),
        description: "changed".to_owned(),
    };
    fixture
        .service()
        .update_key_description(&fixture.admin, &request)
        .unwrap();
    fixture.embedded().do_what_is_due();
    fixture.reopen();
    assert_eq!(rotations(&fixture, &key_id).len(), 1);
    assert_eq!(describe(&fixture, &key_id).description, "changed");
    import_bytes(&fixture, &key_id, &[9; 32], NEW).unwrap();
    rotate(&fixture, &key_id).unwrap();
}

#[test]
fn an_expiry_has_its_rules() {
    let fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    let now = Timestamp::now().millis;
    let day = 24 * 60 * 60 * 1000;
    let base = asked(
        &fixture,
        &key_id,
        WrappingAlgorithm::RsaesOaepSha256,
        &[7; 32],
    );
    let try_import = |expiration_model, valid_to: Option<i64>| {
        let request = ImportKeyMaterialRequest {
            expiration_model,
            valid_to: valid_to.map(|millis| Timestamp { millis }),
            ..base.clone()
        };
        import(&fixture, &request)
    };
    let without_date =
        "A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES".to_owned();
    assert_eq!(
        refusal(try_import(None, None)),
        KmsError::Validation(without_date)
    );
    for (model, valid_to) in [
        (Some(ExpirationModel::DoesNotExpire), Some(now + day)),
        (None, Some(now - 1)),
        (None, Some(now + 366 * day)),
    ] {
        let refused = refusal(try_import(model, valid_to));
        assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
    }
    try_import(None, Some(now + 364 * day)).unwrap();
}

//! Regions, and kinds of keys beyond symmetric ones of one Region.

use super::{Fixture, in_region, refusal};
use crate::kms::{
    Caller, CreateAliasRequest, CreateKeyRequest, DecryptRequest, GenerateDataKeyRequest,
    KeyMetadata, KeySpec, KeyState, KeyUsage, KmsError, ListAliasesRequest, ListKeysRequest,
    Origin,
};

fn describe(fixture: &Fixture, caller: &Caller, key_id: &str) -> Result<KeyMetadata, KmsError> {
    fixture.describe(caller, key_id)
}

#[test]
fn a_key_of_one_region_is_not_there_in_another_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let there = in_region(&fixture.admin, "eu-west-1");
    let made = fixture
        .service()
        .create_key(&there, &CreateKeyRequest::default());
    let made = made.unwrap().key_metadata;
    let id = &made.key_id;
    assert_eq!(
        made.arn,
        format!("arn:aws:kms:eu-west-1:000000000000:key/{id}")
    );
    let alias = CreateAliasRequest {
        alias_name: "alias/there".to_owned(),
        target_key_id: id.clone(),
    };
    fixture.service().create_alias(&there, &alias).unwrap();

    for reopened in [false, true] {
        if reopened {
            fixture.reopen();
        }
        let here = &fixture.admin;
        let missing = |text: String| Err(KmsError::NotFound(text));
        assert_eq!(describe(&fixture, &there, id).unwrap(), made);
        assert_eq!(describe(&fixture, &there, "alias/there").unwrap(), made);
        assert_eq!(
            describe(&fixture, here, id),
            missing(format!("Key '{}' does not exist", Fixture::arn(id)))
        );
        assert_eq!(
            describe(&fixture, here, &made.arn),
            missing("Invalid arn eu-west-1".to_owned())
        );
        assert_eq!(
            describe(&fixture, here, "alias/there"),
            missing(
                "Alias arn:aws:kms:us-east-1:000000000000:alias/there is not found.".to_owned()
            )
        );
        let keys = |caller| {
            let listed = fixture
                .service()
                .list_keys(caller, &ListKeysRequest::default());
            listed.unwrap().keys.len()
        };
        let aliases = |caller| {
            let listed = fixture
                .service()
                .list_aliases(caller, &ListAliasesRequest::default());
            listed.unwrap().aliases.len()
        };
        assert_eq!((keys(here), aliases(here)), (0, 0));
        assert_eq!((keys(&there), aliases(&there)), (1, 1));
    }
}

#[test]
fn a_blob_does_not_open_in_a_region_that_has_not_its_key() {
    let fixture = Fixture::new();
    let request = GenerateDataKeyRequest {
        key_id: fixture.key(),
        number_of_bytes: Some(32),
        ..Default::default()
    };
    let blob = fixture
        .service()
        .generate_data_key(&fixture.admin, &request)
        .unwrap()
        .ciphertext_blob;
    let request = DecryptRequest {
        ciphertext_blob: blob,
        ..Default::default()
    };
    let there = in_region(&fixture.admin, "eu-west-1");
    let refused = refusal(fixture.service().decrypt(&there, &request));
    assert!(matches!(refused, KmsError::AccessDenied(_)), "{refused}");
    assert!(fixture.service().decrypt(&fixture.admin, &request).is_ok());
}

#[test]
fn a_multi_region_key_has_an_id_of_its_kind_and_its_blobs_open() {
    let mut fixture = Fixture::new();
    let request = CreateKeyRequest {
        multi_region: Some(true),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &request);
    let made = made.unwrap().key_metadata;
    assert!(made.key_id.starts_with("mrk-"), "{}", made.key_id);
    assert_eq!(made.key_id.len(), 36);
    let configuration = made.multi_region_configuration.as_ref().unwrap();
    assert_eq!(configuration.multi_region_key_type.as_str(), "PRIMARY");
    assert_eq!(configuration.primary_key.arn, made.arn);
    assert!(configuration.replica_keys.is_empty());

    let request = GenerateDataKeyRequest {
        key_id: made.key_id.clone(),
        number_of_bytes: Some(32),
        ..Default::default()
    };
    let generated = fixture
        .service()
        .generate_data_key(&fixture.admin, &request)
        .unwrap();
    fixture.reopen();
    let request = DecryptRequest {
        ciphertext_blob: generated.ciphertext_blob,
        ..Default::default()
    };
    let opened = fixture.service().decrypt(&fixture.admin, &request).unwrap();
    assert_eq!(opened.key_id, made.arn);
    assert_eq!(opened.plaintext.expose(), generated.plaintext.expose());
    assert_eq!(
        describe(&fixture, &fixture.admin, &made.key_id).unwrap(),
        made
    );
}

#[test]
fn a_key_for_imported_material_waits_for_it_also_after_a_restart() {
    let mut fixture = Fixture::new();
    let request = CreateKeyRequest {
        origin: Some(Origin::External),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &request);
    let made = made.unwrap().key_metadata;
    assert_eq!(made.key_state, KeyState::PendingImport);
    assert!(!made.enabled);
    assert_eq!(
        (made.expiration_model, &made.current_key_material_id),
        (None, &None)
    );
    fixture.reopen();
    let request = GenerateDataKeyRequest {
        key_id: made.key_id.clone(),
        number_of_bytes: Some(32),
        ..Default::default()
    };
    assert_eq!(
        refusal(
            fixture
                .service()
                .generate_data_key(&fixture.admin, &request)
        ),
        KmsError::InvalidState(format!("{} is pending import.", made.arn))
    );
}

#[test]
fn a_key_that_authenticates_messages_does_not_encrypt() {
    let mut fixture = Fixture::new();
    let request = CreateKeyRequest {
        key_spec: Some(KeySpec::Hmac384),
        key_usage: Some(KeyUsage::GenerateVerifyMac),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &request);
    let made = made.unwrap().key_metadata;
    assert!(made.encryption_algorithms.is_empty());
    assert_eq!(made.mac_algorithms[0].as_str(), "HMAC_SHA_384");
    assert_eq!(made.current_key_material_id, None);
    fixture.reopen();
    let request = GenerateDataKeyRequest {
        key_id: made.key_id.clone(),
        number_of_bytes: Some(32),
        ..Default::default()
    };
    assert_eq!(
        refusal(
            fixture
                .service()
                .generate_data_key(&fixture.admin, &request)
        ),
        KmsError::InvalidKeyUsage(format!(
            "{} key usage is GENERATE_VERIFY_MAC which is not valid for GenerateDataKey.",
            made.arn
        ))
    );
}

use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey,
        PublicEncryptingKey,
    },
};

use super::{Fixture, in_region, refusal};
use crate::kms::{
    CiphertextBlob, CreateKeyRequest, DecryptRequest, DeleteImportedKeyMaterialRequest,
    DescribeKeyRequest, DisableKeyRequest, EncryptRequest, ExpirationModel, GenerateMacRequest,
    GetParametersForImportRequest, GetParametersForImportResponse, GetPublicKeyRequest,
    ImportKeyMaterialRequest, ImportState, ImportType, IncludeKeyMaterial, KeyMaterialState,
    KeyMetadata, KeySpec, KeyState, KeyUsage, KmsError, ListKeyRotationsRequest, MacAlgorithm,
    Origin, Plaintext, ReplicateKeyRequest, RotateKeyOnDemandRequest, RotationsListEntry,
    Timestamp, UpdateKeyDescriptionRequest, WrappingAlgorithm, WrappingKeySpec,
    keypair::{Bits, Curve, KeyPair, Kind},
    mac,
};

/// A key that waits for its material.
fn external(fixture: &Fixture, spec: KeySpec, usage: KeyUsage) -> KeyMetadata {
    let request = CreateKeyRequest {
        key_spec: Some(spec),
        key_usage: Some(usage),
        origin: Some(Origin::External),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &request);
    made.unwrap().key_metadata
}

fn symmetric(fixture: &Fixture) -> String {
    let (spec, usage) = (KeySpec::SymmetricDefault, KeyUsage::EncryptDecrypt);
    external(fixture, spec, usage).key_id
}

fn parameters(
    fixture: &Fixture,
    key_id: &str,
    wrapping_algorithm: WrappingAlgorithm,
) -> Result<GetParametersForImportResponse, KmsError> {
    let request = GetParametersForImportRequest {
        key_id: key_id.to_owned(),
        wrapping_algorithm,
        wrapping_key_spec: WrappingKeySpec::Rsa2048,
    };
    fixture
        .service()
        .get_parameters_for_import(&fixture.admin, &request)
}

/// What the owner of the material does at home.
fn wrap(public_key: &[u8], algorithm: WrappingAlgorithm, material: &[u8]) -> CiphertextBlob {
    let (oaep, with_aes) = match algorithm {
        WrappingAlgorithm::RsaesOaepSha1 => (&OAEP_SHA1_MGF1SHA1, false),
        WrappingAlgorithm::RsaesOaepSha256 => (&OAEP_SHA256_MGF1SHA256, false),
        WrappingAlgorithm::RsaAesKeyWrapSha1 => (&OAEP_SHA1_MGF1SHA1, true),
        WrappingAlgorithm::RsaAesKeyWrapSha256 => (&OAEP_SHA256_MGF1SHA256, true),
        other => panic!("{other}"),
    };
    if !with_aes {
        return CiphertextBlob(encrypt_oaep(public_key, oaep, material));
    }
    let aes = [5; 32];
    let mut wrapped = vec![0; material.len() + 15];
    let kek = AesKek::new(&AES_256, &aes).unwrap();
    let wrapped = kek.wrap_with_padding(material, &mut wrapped).unwrap();
    CiphertextBlob([encrypt_oaep(public_key, oaep, &aes), wrapped.to_vec()].concat())
}

fn encrypt_oaep(public_key: &[u8], oaep: &'static OaepAlgorithm, plaintext: &[u8]) -> Vec<u8> {
    let public = PublicEncryptingKey::from_der(public_key).unwrap();
    let public = OaepPublicEncryptingKey::new(public).unwrap();
    let mut ciphertext = vec![0; public.ciphertext_size()];
    public
        .encrypt(oaep, plaintext, &mut ciphertext, None)
        .unwrap();
    ciphertext
}

/// The request to import `material` for good.
fn asked(
    fixture: &Fixture,
    key_id: &str,
    algorithm: WrappingAlgorithm,
    material: &[u8],
) -> ImportKeyMaterialRequest {
    let parameters = parameters(fixture, key_id, algorithm).unwrap();
    ImportKeyMaterialRequest {
        key_id: key_id.to_owned(),
        import_token: parameters.import_token,
        encrypted_key_material: wrap(&parameters.public_key.0, algorithm, material),
        expiration_model: Some(ExpirationModel::DoesNotExpire),
        ..Default::default()
    }
}

fn import(fixture: &Fixture, request: &ImportKeyMaterialRequest) -> Result<String, KmsError> {
    let answer = fixture
        .service()
        .import_key_material(&fixture.admin, request)?;
    assert_eq!(answer.key_id, Fixture::arn(&request.key_id));
    Ok(answer.key_material_id)
}

/// Imports `material` by the most usual algorithm, perhaps as new.
fn import_bytes(
    fixture: &Fixture,
    key_id: &str,
    material: &[u8],
    import_type: Option<ImportType>,
) -> Result<String, KmsError> {
    let algorithm = WrappingAlgorithm::RsaesOaepSha256;
    let request = ImportKeyMaterialRequest {
        import_type,
        ..asked(fixture, key_id, algorithm, material)
    };
    import(fixture, &request)
}

use KeyMaterialState::{Current, NonCurrent, PendingRotation};

const NEW: Option<ImportType> = Some(ImportType::NewKeyMaterial);

fn describe(fixture: &Fixture, key_id: &str) -> KeyMetadata {
    let request = DescribeKeyRequest {
        key_id: key_id.to_owned(),
        ..Default::default()
    };
    let answer = fixture.service().describe_key(&fixture.admin, &request);
    answer.unwrap().key_metadata
}

fn encrypt(fixture: &Fixture, key_id: &str) -> Result<CiphertextBlob, KmsError> {
    let request = EncryptRequest {
        key_id: key_id.to_owned(),
        plaintext: Plaintext::new(b"secret".to_vec()),
        ..Default::default()
    };
    let answer = fixture.service().encrypt(&fixture.admin, &request)?;
    Ok(answer.ciphertext_blob)
}

fn decrypt(fixture: &Fixture, blob: &CiphertextBlob) -> Result<Vec<u8>, KmsError> {
    let request = DecryptRequest {
        ciphertext_blob: blob.clone(),
        ..Default::default()
    };
    let answer = fixture.service().decrypt(&fixture.admin, &request)?;
    Ok(answer.plaintext.expose().to_vec())
}

fn delete(fixture: &Fixture, key_id: &str, material: Option<&str>) -> Result<(), KmsError> {
    let request = DeleteImportedKeyMaterialRequest {
        key_id: key_id.to_owned(),
        key_material_id: material.map(str::to_owned),
    };
    let deleted = fixture
        .service()
        .delete_imported_key_material(&fixture.admin, &request)?;
    assert_eq!(deleted.key_id, Fixture::arn(key_id));
    Ok(())
}

fn rotate(fixture: &Fixture, key_id: &str) -> Result<(), KmsError> {
    let request = RotateKeyOnDemandRequest {
        key_id: key_id.to_owned(),
    };
    fixture
        .service()
        .rotate_key_on_demand(&fixture.admin, &request)
        .map(drop)
}

fn rotations(fixture: &Fixture, key_id: &str) -> Vec<RotationsListEntry> {
    let request = ListKeyRotationsRequest {
        key_id: key_id.to_owned(),
        include_key_material: Some(IncludeKeyMaterial::AllKeyMaterial),
        ..Default::default()
    };
    fixture
        .service()
        .list_key_rotations(&fixture.admin, &request)
        .unwrap()
        .rotations
}

fn pending_import(key_id: &str) -> KmsError {
    KmsError::InvalidState(format!("{} is pending import.", Fixture::arn(key_id)))
}

#[test]
fn a_key_waits_for_its_material_and_uses_it_once_it_is_there() {
    let mut fixture = Fixture::new();
    for algorithm in [
        WrappingAlgorithm::RsaesOaepSha1,
        WrappingAlgorithm::RsaesOaepSha256,
        WrappingAlgorithm::RsaAesKeyWrapSha1,
        WrappingAlgorithm::RsaAesKeyWrapSha256,
    ] {
        let key_id = symmetric(&fixture);
        let before = describe(&fixture, &key_id);
        assert_eq!(before.key_state, KeyState::PendingImport);
        assert!(!before.enabled);
        assert_eq!(before.expiration_model, None);
        assert_eq!(refusal(encrypt(&fixture, &key_id)), pending_import(&key_id));

        let request = asked(&fixture, &key_id, algorithm, &[7; 32]);
        // Nothing is kept between the two calls but the token.
        fixture.reopen();
        let material = import(&fixture, &request).unwrap();
        let after = describe(&fixture, &key_id);
        assert_eq!(after.key_state, KeyState::Enabled);
        assert!(after.enabled);
        assert_eq!(after.expiration_model, Some(ExpirationModel::DoesNotExpire));
        assert_eq!(after.valid_to, None);
        assert_eq!(after.current_key_material_id, Some(material));
        let blob = encrypt(&fixture, &key_id).unwrap();
        fixture.reopen();
        assert_eq!(decrypt(&fixture, &blob).unwrap(), b"secret");
    }
}

#[test]
fn deleted_material_comes_back_only_as_what_it_was() {
    let mut fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    let material = import_bytes(&fixture, &key_id, &[7; 32], None).unwrap();
    let blob = encrypt(&fixture, &key_id).unwrap();
    delete(&fixture, &key_id, None).unwrap();
    fixture.reopen();
    let described = describe(&fixture, &key_id);
    assert_eq!(described.key_state, KeyState::PendingImport);
    assert_eq!(described.expiration_model, None);
    assert_eq!(refusal(decrypt(&fixture, &blob)), pending_import(&key_id));
    // Once more is no error.
    delete(&fixture, &key_id, None).unwrap();

    let other = refusal(import_bytes(&fixture, &key_id, &[8; 32], None));
    assert!(
        matches!(other, KmsError::IncorrectKeyMaterial(_)),
        "{other}"
    );
    assert_eq!(
        describe(&fixture, &key_id).key_state,
        KeyState::PendingImport
    );
    let again = import_bytes(&fixture, &key_id, &[7; 32], None).unwrap();
    assert_eq!(again, material);
    assert_eq!(decrypt(&fixture, &blob).unwrap(), b"secret");
}

/// Lets `millis` milliseconds pass.
fn wait(fixture: &Fixture, millis: i64) {
    let ahead = &fixture.embedded().ahead;
    ahead.fetch_add(millis, std::sync::atomic::Ordering::Relaxed);
}

const HOUR: i64 = 60 * 60 * 1000;

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

#[test]
fn a_token_is_good_for_its_own_key_and_wrapping_key_only() {
    let fixture = Fixture::new();
    let (key_id, other) = (symmetric(&fixture), symmetric(&fixture));
    let algorithm = WrappingAlgorithm::RsaesOaepSha256;
    let request = asked(&fixture, &key_id, algorithm, &[7; 32]);
    let invalid = KmsError::InvalidImportToken(String::new());
    let for_other = ImportKeyMaterialRequest {
        key_id: other,
        ..request.clone()
    };
    assert_eq!(refusal(import(&fixture, &for_other)), invalid);
    let no_token = ImportKeyMaterialRequest {
        import_token: CiphertextBlob(b"wrong-token".to_vec()),
        encrypted_key_material: CiphertextBlob(b"fake-material".to_vec()),
        ..request.clone()
    };
    assert_eq!(refusal(import(&fixture, &no_token)), invalid);
    let second = asked(&fixture, &key_id, algorithm, &[7; 32]);
    let mixed = ImportKeyMaterialRequest {
        import_token: second.import_token,
        ..request.clone()
    };
    assert_eq!(
        refusal(import(&fixture, &mixed)),
        KmsError::InvalidCiphertext
    );
    let cut = ImportKeyMaterialRequest {
        encrypted_key_material: CiphertextBlob(vec![7; 100]),
        ..request
    };
    assert_eq!(
        refusal(import(&fixture, &cut)),
        KmsError::Validation("Invalid encrypted key size.".to_owned())
    );
}

#[test]
fn a_key_of_the_services_own_material_imports_none() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    let refused = KmsError::Unsupported(format!(
        "{} origin is AWS_KMS which is not valid for this operation.",
        Fixture::arn(&key_id)
    ));
    let asked = parameters(&fixture, &key_id, WrappingAlgorithm::RsaesOaepSha256);
    assert_eq!(refusal(asked), refused);
    let request = ImportKeyMaterialRequest {
        key_id: key_id.clone(),
        import_token: CiphertextBlob(vec![1]),
        encrypted_key_material: CiphertextBlob(vec![1]),
        expiration_model: Some(ExpirationModel::DoesNotExpire),
        ..Default::default()
    };
    assert_eq!(refusal(import(&fixture, &request)), refused);
    assert_eq!(refusal(delete(&fixture, &key_id, None)), refused);
}

#[test]
fn wrappings_that_are_not_offered_or_too_short_are_refused() {
    let fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    for algorithm in [WrappingAlgorithm::RsaesPkcs1V15, WrappingAlgorithm::Sm2Pke] {
        let refused = refusal(parameters(&fixture, &key_id, algorithm));
        assert!(matches!(refused, KmsError::Unsupported(_)), "{refused}");
    }
    let (sign, encrypt) = (KeyUsage::SignVerify, KeyUsage::EncryptDecrypt);
    for (spec, usage) in [(KeySpec::EccNistP521, sign), (KeySpec::Rsa2048, encrypt)] {
        let key_id = external(&fixture, spec, usage).key_id;
        let direct = parameters(&fixture, &key_id, WrappingAlgorithm::RsaesOaepSha256);
        let refused = refusal(direct);
        assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
        let with_aes = parameters(&fixture, &key_id, WrappingAlgorithm::RsaAesKeyWrapSha256);
        assert!(with_aes.is_ok());
    }
}

#[test]
fn an_imported_private_key_is_used_as_it_was_at_home() {
    let fixture = Fixture::new();
    for (spec, kind, usage) in [
        (
            KeySpec::EccNistP256,
            Kind::Ec(Curve::P256),
            KeyUsage::SignVerify,
        ),
        (
            KeySpec::Rsa2048,
            Kind::Rsa(Bits::B2048),
            KeyUsage::EncryptDecrypt,
        ),
        (
            KeySpec::EccNistEdwards25519,
            Kind::Ed25519,
            KeyUsage::SignVerify,
        ),
    ] {
        let key_id = external(&fixture, spec, usage).key_id;
        let pair = KeyPair::generate(kind).ok().unwrap();
        let document = pair.to_pkcs8().unwrap();
        let algorithm = WrappingAlgorithm::RsaAesKeyWrapSha256;
        let request = asked(&fixture, &key_id, algorithm, &document);
        import(&fixture, &request).unwrap();
        let public = GetPublicKeyRequest {
            key_id: key_id.clone(),
            ..Default::default()
        };
        let public = fixture.service().get_public_key(&fixture.admin, &public);
        assert_eq!(public.unwrap().public_key.0, pair.public_key().unwrap());
        assert_eq!(describe(&fixture, &key_id).current_key_material_id, None);

        // It is the key's for good.
        let another = KeyPair::generate(kind).ok().unwrap().to_pkcs8().unwrap();
        let request = asked(&fixture, &key_id, algorithm, &another);
        let refused = refusal(import(&fixture, &request));
        assert!(
            matches!(refused, KmsError::IncorrectKeyMaterial(_)),
            "{refused}"
        );
    }
}

#[test]
fn material_has_to_be_of_the_keys_kind() {
    let fixture = Fixture::new();
    let p384 = KeyPair::generate(Kind::Ec(Curve::P384)).ok().unwrap();
    let p384 = p384.to_pkcs8().unwrap();
    let mac = KeyUsage::GenerateVerifyMac;
    for (spec, usage, material) in [
        (
            KeySpec::SymmetricDefault,
            KeyUsage::EncryptDecrypt,
            &[7; 16][..],
        ),
        (
            KeySpec::SymmetricDefault,
            KeyUsage::EncryptDecrypt,
            &[7; 33],
        ),
        (KeySpec::Hmac256, mac, &[7; 31]),
        (KeySpec::Hmac256, mac, &[7; 65]),
        (KeySpec::Hmac512, mac, &[7; 63]),
        (KeySpec::Hmac512, mac, &[7; 129]),
        (KeySpec::EccNistP256, KeyUsage::SignVerify, &[7; 32]),
        (KeySpec::EccNistP256, KeyUsage::SignVerify, &p384),
    ] {
        let key_id = external(&fixture, spec, usage).key_id;
        let refused = refusal(import_bytes(&fixture, &key_id, material, None));
        let length = material.len();
        assert!(
            matches!(refused, KmsError::IncorrectKeyMaterial(_)),
            "{length} bytes for {spec}: {refused}"
        );
        assert_eq!(
            describe(&fixture, &key_id).key_state,
            KeyState::PendingImport
        );
    }
}

#[test]
fn an_imported_mac_key_makes_the_codes_that_it_makes_at_home() {
    let fixture = Fixture::new();
    let usage = KeyUsage::GenerateVerifyMac;
    for length in [48, 100, 128] {
        let key_id = external(&fixture, KeySpec::Hmac384, usage).key_id;
        let material = vec![9; length];
        import_bytes(&fixture, &key_id, &material, None).unwrap();
        let request = GenerateMacRequest {
            message: Plaintext::new(b"message".to_vec()),
            key_id,
            mac_algorithm: MacAlgorithm::HmacSha384,
            grant_tokens: Vec::new(),
            dry_run: None,
        };
        let made = fixture.service().generate_mac(&fixture.admin, &request);
        let expected = mac::sign(MacAlgorithm::HmacSha384, &material, b"message");
        assert_eq!(made.unwrap().mac.0, expected);
    }
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

#[test]
fn descriptions_stay_and_a_material_id_in_the_request_has_to_be_the_materials() {
    let fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    let algorithm = WrappingAlgorithm::RsaesOaepSha256;
    let request = ImportKeyMaterialRequest {
        key_material_description: Some("from the vault".to_owned()),
        ..asked(&fixture, &key_id, algorithm, &[7; 32])
    };
    let id = import(&fixture, &request).unwrap();
    let again = ImportKeyMaterialRequest {
        key_material_id: Some(id),
        ..asked(&fixture, &key_id, algorithm, &[7; 32])
    };
    import(&fixture, &again).unwrap();
    let described = rotations(&fixture, &key_id)
        .remove(0)
        .key_material_description;
    assert_eq!(described.as_deref(), Some("from the vault"));

    let wrong = ImportKeyMaterialRequest {
        key_material_id: Some("0".repeat(64)),
        ..again.clone()
    };
    let refused = refusal(import(&fixture, &wrong));
    assert!(
        matches!(refused, KmsError::IncorrectKeyMaterial(_)),
        "{refused}"
    );
    for (description, id) in [
        (Some("no § here"), None),
        (Some(&*"x".repeat(257)), None),
        (None, Some("abc")),
        (None, Some(&*"X".repeat(64))),
    ] {
        let request = ImportKeyMaterialRequest {
            key_material_description: description.map(str::to_owned),
            key_material_id: id.map(str::to_owned),
            ..again.clone()
        };
        let refused = refusal(import(&fixture, &request));
        assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
    }
}

#[test]
fn a_disabled_key_stays_disabled_when_its_material_is_imported_again() {
    let fixture = Fixture::new();
    let key_id = symmetric(&fixture);
    import_bytes(&fixture, &key_id, &[7; 32], None).unwrap();
    let request = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &request)
        .unwrap();
    import_bytes(&fixture, &key_id, &[7; 32], None).unwrap();
    assert_eq!(describe(&fixture, &key_id).key_state, KeyState::Disabled);
}

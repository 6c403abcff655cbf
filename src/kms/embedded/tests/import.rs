use aws_lc_rs::{
    key_wrap::{AES_256, AesKek, KeyWrapPadded},
    rsa::{
        OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPublicEncryptingKey,
        PublicEncryptingKey,
    },
};

use super::{Fixture, refusal};
use crate::kms::{
    CiphertextBlob, CreateKeyRequest, DecryptRequest, DeleteImportedKeyMaterialRequest,
    DescribeKeyRequest, DisableKeyRequest, EncryptRequest, ExpirationModel, GenerateMacRequest,
    GetParametersForImportRequest, GetParametersForImportResponse, GetPublicKeyRequest,
    ImportKeyMaterialRequest, ImportType, IncludeKeyMaterial, KeyMetadata, KeySpec, KeyState,
    KeyUsage, KmsError, ListKeyRotationsRequest, MacAlgorithm, Origin, Plaintext,
    RotateKeyOnDemandRequest, RotationsListEntry, WrappingAlgorithm, WrappingKeySpec,
    keypair::{Bits, Curve, KeyPair, Kind},
    mac,
};

mod expiry;
mod rotation;

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

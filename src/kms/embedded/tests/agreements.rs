use super::{Fixture, policy_for, refusal};
use crate::kms::{
    CiphertextBlob, CreateKeyRequest, DecapsulateRequest, DeriveSharedSecretRequest,
    EncapsulateRequest, EncapsulationAlgorithm, GetPublicKeyRequest, KeyAgreementAlgorithm,
    KeySpec, KeyUsage, KmsError, Origin, PublicKey, RecipientInfo, testing::user,
};

fn public_key(fixture: &Fixture, key_id: &str) -> PublicKey {
    let request = GetPublicKeyRequest {
        key_id: key_id.to_owned(),
        ..Default::default()
    };
    fixture
        .service()
        .get_public_key(&fixture.admin, &request)
        .unwrap()
        .public_key
}

fn asked(key_id: &str, public_key: PublicKey) -> DeriveSharedSecretRequest {
    DeriveSharedSecretRequest {
        key_id: key_id.to_owned(),
        key_agreement_algorithm: KeyAgreementAlgorithm::Ecdh,
        public_key,
        grant_tokens: Vec::new(),
        dry_run: None,
        recipient: None,
    }
}

fn derive(fixture: &Fixture, request: &DeriveSharedSecretRequest) -> Result<Vec<u8>, KmsError> {
    let answer = fixture
        .service()
        .derive_shared_secret(&fixture.admin, request)?;
    assert_eq!(answer.key_id, Fixture::arn(&request.key_id));
    assert_eq!(answer.key_origin, Origin::AwsKms);
    Ok(answer.shared_secret.expose().to_vec())
}

#[test]
fn two_keys_derive_the_same_secret() {
    let fixture = Fixture::new();
    for (spec, length) in [
        (KeySpec::EccNistP256, 32),
        (KeySpec::EccNistP384, 48),
        (KeySpec::EccNistP521, 66),
    ] {
        let [one, two] = [(); 2].map(|()| fixture.key_for(spec, KeyUsage::KeyAgreement));
        let derive = |own: &str, other: &str| {
            derive(&fixture, &asked(own, public_key(&fixture, other))).unwrap()
        };
        assert_eq!(derive(&one, &two), derive(&two, &one));
        assert_eq!(derive(&one, &two).len(), length);
        assert_ne!(derive(&one, &two), derive(&one, &one));
    }
}

#[test]
fn no_secret_is_derived_from_another_curve_nor_by_a_key_of_another_usage_nor_for_an_enclave() {
    let fixture = Fixture::new();
    let key = fixture.key_for(KeySpec::EccNistP256, KeyUsage::KeyAgreement);
    let other = fixture.key_for(KeySpec::EccNistP384, KeyUsage::KeyAgreement);
    let signer = fixture.key_for(KeySpec::EccNistP256, KeyUsage::SignVerify);
    let own = public_key(&fixture, &key);
    for peer in [
        public_key(&fixture, &other),
        PublicKey(b"InvalidPublicKey".to_vec()),
    ] {
        let refused = refusal(derive(&fixture, &asked(&key, peer)));
        assert_eq!(refused, KmsError::Validation(String::new()));
    }
    assert_eq!(
        refusal(derive(&fixture, &asked(&signer, own.clone()))),
        KmsError::InvalidKeyUsage(format!(
            "{} key usage is SIGN_VERIFY which is not valid for DeriveSharedSecret.",
            Fixture::arn(&signer)
        ))
    );
    let enclave = DeriveSharedSecretRequest {
        recipient: Some(RecipientInfo {
            key_encryption_algorithm: None,
            attestation_document: None,
        }),
        ..asked(&key, own)
    };
    let refused = refusal(derive(&fixture, &enclave));
    assert!(matches!(refused, KmsError::Unsupported(_)), "{refused}");
}

#[test]
fn an_encapsulated_secret_opens_to_itself_and_an_altered_one_to_another() {
    let fixture = Fixture::new();
    let encapsulation_algorithm = EncapsulationAlgorithm::MlKem;
    for (spec, length) in [
        (KeySpec::MlKem512, 768),
        (KeySpec::MlKem768, 1088),
        (KeySpec::MlKem1024, 1568),
    ] {
        let key_id = fixture.key_for(spec, KeyUsage::EncapsulateDecapsulate);
        let request = EncapsulateRequest {
            key_id: key_id.clone(),
            encapsulation_algorithm,
            grant_tokens: Vec::new(),
            dry_run: None,
        };
        let made = fixture
            .service()
            .encapsulate(&fixture.admin, &request)
            .unwrap();
        assert_eq!(made.key_id, Fixture::arn(&key_id));
        let ciphertext = made.shared_secret_ciphertext_blob.0;
        assert_eq!(ciphertext.len(), length);
        let open = |ciphertext: &[u8]| {
            let request = DecapsulateRequest {
                key_id: key_id.clone(),
                shared_secret_ciphertext_blob: CiphertextBlob(ciphertext.to_vec()),
                encapsulation_algorithm,
                grant_tokens: Vec::new(),
                dry_run: None,
            };
            let opened = fixture.service().decapsulate(&fixture.admin, &request);
            opened.map(|answer| answer.shared_secret.expose().to_vec())
        };
        assert_eq!(open(&ciphertext).unwrap(), made.shared_secret.expose());
        let mut altered = ciphertext.clone();
        altered[0] ^= 1;
        assert_ne!(open(&altered).unwrap(), made.shared_secret.expose());
        assert_eq!(open(&ciphertext[1..]), Err(KmsError::InvalidCiphertext));
    }
}

#[test]
fn policies_see_the_algorithm_of_an_encapsulation() {
    let fixture = Fixture::new();
    let encapsulation_algorithm = EncapsulationAlgorithm::MlKem;
    let condition = r#", "Condition": {"StringEquals": {"kms:EncapsulationAlgorithm": "ML_KEM"}}"#;
    let actions = r#"["kms:Encapsulate", "kms:Decapsulate"]"#;
    let request = CreateKeyRequest {
        key_spec: Some(KeySpec::MlKem768),
        key_usage: Some(KeyUsage::EncapsulateDecapsulate),
        policy: Some(policy_for("anna", actions, condition)),
        ..Default::default()
    };
    let made = fixture.service().create_key(&fixture.admin, &request);
    let key_id = made.unwrap().key_metadata.key_id;
    let anna = user("anna");
    let request = EncapsulateRequest {
        key_id: key_id.clone(),
        encapsulation_algorithm,
        grant_tokens: Vec::new(),
        dry_run: None,
    };
    let made = fixture.service().encapsulate(&anna, &request).ok();
    let request = DecapsulateRequest {
        key_id,
        shared_secret_ciphertext_blob: made.expect("allowed").shared_secret_ciphertext_blob,
        encapsulation_algorithm,
        grant_tokens: Vec::new(),
        dry_run: None,
    };
    assert!(fixture.service().decapsulate(&anna, &request).is_ok());
}

use super::{Fixture, refusal};
use crate::kms::{
    DataKeyPairSpec, DecryptRequest, EncryptionContext, GenerateDataKeyPairRequest,
    GenerateDataKeyPairResponse, GenerateDataKeyPairWithoutPlaintextRequest, KeySpec, KeyUsage,
    KmsError, keypair::KeyPair,
};

fn context() -> EncryptionContext {
    EncryptionContext::from([("for".to_owned(), "test".to_owned())])
}

fn generate(
    fixture: &Fixture,
    key_id: &str,
    key_pair_spec: DataKeyPairSpec,
) -> Result<GenerateDataKeyPairResponse, KmsError> {
    let request = GenerateDataKeyPairRequest {
        encryption_context: context(),
        key_id: key_id.to_owned(),
        key_pair_spec,
        grant_tokens: Vec::new(),
        recipient: None,
        dry_run: None,
    };
    fixture
        .service()
        .generate_data_key_pair(&fixture.admin, &request)
}

#[test]
fn a_data_key_pair_belongs_together_and_its_private_key_decrypts_to_itself() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    for &spec in DataKeyPairSpec::ALL {
        let Some(kind) = spec.key_pair() else {
            let refused = refusal(generate(&fixture, &key_id, spec));
            assert!(matches!(refused, KmsError::Unsupported(_)), "{refused}");
            continue;
        };
        let made = generate(&fixture, &key_id, spec).unwrap();
        assert_eq!(made.key_id, Fixture::arn(&key_id));
        assert_eq!(made.key_pair_spec, spec);
        let private = made.private_key_plaintext.expose();
        let pair = KeyPair::from_pkcs8(kind, private).ok().unwrap();
        assert_eq!(pair.public_key().unwrap(), made.public_key.0, "{spec}");
        let open = |encryption_context| {
            let request = DecryptRequest {
                ciphertext_blob: made.private_key_ciphertext_blob.clone(),
                encryption_context,
                ..Default::default()
            };
            fixture.service().decrypt(&fixture.admin, &request)
        };
        assert_eq!(open(context()).unwrap().plaintext.expose(), private);
        let without = refusal(open(EncryptionContext::new()));
        assert_eq!(without, KmsError::InvalidCiphertext);
    }
}

#[test]
fn a_data_key_pair_without_plaintext_can_be_opened_later() {
    let fixture = Fixture::new();
    let request = GenerateDataKeyPairWithoutPlaintextRequest {
        encryption_context: context(),
        key_id: fixture.key(),
        key_pair_spec: DataKeyPairSpec::EccNistP256,
        grant_tokens: Vec::new(),
        dry_run: None,
    };
    let made = fixture
        .service()
        .generate_data_key_pair_without_plaintext(&fixture.admin, &request)
        .unwrap();
    let open = DecryptRequest {
        ciphertext_blob: made.private_key_ciphertext_blob,
        encryption_context: context(),
        ..Default::default()
    };
    let opened = fixture.service().decrypt(&fixture.admin, &open).unwrap();
    let kind = DataKeyPairSpec::EccNistP256.key_pair().unwrap();
    let pair = KeyPair::from_pkcs8(kind, opened.plaintext.expose());
    let public = pair.ok().unwrap().public_key().unwrap();
    assert_eq!(public, made.public_key.0);
    assert_eq!(opened.key_material_id, Some(made.key_material_id));
}

#[test]
fn only_symmetric_encryption_keys_seal_data_key_pairs() {
    let fixture = Fixture::new();
    let spec = DataKeyPairSpec::EccNistP256;
    let rsa = fixture.key_for(KeySpec::Rsa2048, KeyUsage::EncryptDecrypt);
    assert_eq!(
        refusal(generate(&fixture, &rsa, spec)),
        KmsError::InvalidKeyUsage(
            "You cannot generate a data key with an asymmetric CMK".to_owned()
        )
    );
    let mac = fixture.key_for(KeySpec::Hmac256, KeyUsage::GenerateVerifyMac);
    assert_eq!(
        refusal(generate(&fixture, &mac, spec)),
        KmsError::InvalidKeyUsage(format!(
            "{} key usage is GENERATE_VERIFY_MAC which is not valid for GenerateDataKeyPair.",
            Fixture::arn(&mac)
        ))
    );
}

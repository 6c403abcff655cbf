use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::{Fixture, refusal};
use crate::kms::{
    CiphertextBlob, DisableKeyRequest, GetPublicKeyRequest, GetPublicKeyResponse, KeySpec,
    KeyUsage, KmsError, MessageType, Plaintext, SignRequest, SigningAlgorithm, VerifyRequest,
    testing::user,
};

fn asked(key_id: &str, algorithm: SigningAlgorithm, message: &[u8]) -> SignRequest {
    SignRequest {
        key_id: key_id.to_owned(),
        message: Plaintext::new(message.to_vec()),
        message_type: None,
        grant_tokens: Vec::new(),
        signing_algorithm: algorithm,
        dry_run: None,
    }
}

fn sign(fixture: &Fixture, request: &SignRequest) -> Result<Vec<u8>, KmsError> {
    let answer = fixture.service().sign(&fixture.admin, request)?;
    assert_eq!(answer.key_id, Fixture::arn(&request.key_id));
    assert_eq!(answer.signing_algorithm, request.signing_algorithm);
    Ok(answer.signature.0)
}

fn verify(
    fixture: &Fixture,
    signed: &SignRequest,
    message: &[u8],
    signature: &[u8],
) -> Result<bool, KmsError> {
    let request = VerifyRequest {
        key_id: signed.key_id.clone(),
        message: Plaintext::new(message.to_vec()),
        message_type: signed.message_type,
        signature: CiphertextBlob(signature.to_vec()),
        signing_algorithm: signed.signing_algorithm,
        grant_tokens: Vec::new(),
        dry_run: signed.dry_run,
    };
    let answer = fixture.service().verify(&fixture.admin, &request)?;
    Ok(answer.signature_valid)
}

fn public_key(fixture: &Fixture, key_id: &str) -> Result<GetPublicKeyResponse, KmsError> {
    let request = GetPublicKeyRequest {
        key_id: key_id.to_owned(),
        ..Default::default()
    };
    fixture.service().get_public_key(&fixture.admin, &request)
}

fn invalid_signature<T>() -> Result<T, KmsError> {
    Err(KmsError::InvalidSignature(String::new()))
}

#[test]
fn every_kind_of_signing_key_signs_and_verifies_after_a_restart_too() {
    let mut fixture = Fixture::new();
    let mut signed = Vec::new();
    for spec in [
        KeySpec::Rsa2048,
        KeySpec::EccNistP256,
        KeySpec::EccNistP384,
        KeySpec::EccNistP521,
        KeySpec::EccSecgP256k1,
        KeySpec::EccNistEdwards25519,
        KeySpec::MlDsa44,
        KeySpec::MlDsa65,
        KeySpec::MlDsa87,
    ] {
        let key_id = fixture.key_for(spec, KeyUsage::SignVerify);
        for &algorithm in spec.signing_algorithms(KeyUsage::SignVerify) {
            let mut request = asked(&key_id, algorithm, &[7; 64]);
            if algorithm == SigningAlgorithm::Ed25519PhSha512 {
                request.message_type = Some(MessageType::Digest);
            }
            let signature = sign(&fixture, &request).unwrap();
            signed.push((request, signature));
        }
    }
    fixture.reopen();
    for (request, signature) in signed {
        assert_eq!(verify(&fixture, &request, &[7; 64], &signature), Ok(true));
        let other = verify(&fixture, &request, &[8; 64], &signature);
        assert_eq!(other, invalid_signature());
        let garbage = verify(&fixture, &request, &[7; 64], &[1; 97]);
        assert_eq!(garbage, invalid_signature());
    }
}

#[test]
fn who_has_the_public_key_verifies_without_the_service() {
    let fixture = Fixture::new();
    let key_id = fixture.key_for(KeySpec::EccNistP256, KeyUsage::SignVerify);
    let request = asked(&key_id, SigningAlgorithm::EcdsaSha256, b"message");
    let signature = sign(&fixture, &request).unwrap();
    let public = public_key(&fixture, &key_id).unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public.public_key.0)
        .verify(b"message", &signature)
        .unwrap();
}

#[test]
fn a_public_key_comes_with_what_it_is_for() {
    let fixture = Fixture::new();
    let key_id = fixture.key_for(KeySpec::EccNistP384, KeyUsage::KeyAgreement);
    let answer = public_key(&fixture, &key_id).unwrap();
    assert_eq!(answer.key_id, Fixture::arn(&key_id));
    assert_eq!(answer.key_spec, KeySpec::EccNistP384);
    assert_eq!(answer.customer_master_key_spec, KeySpec::EccNistP384);
    assert_eq!(answer.key_usage, KeyUsage::KeyAgreement);
    let json = serde_json::to_value(&answer).unwrap();
    assert_eq!(json["KeyAgreementAlgorithms"], serde_json::json!(["ECDH"]));
    assert_eq!(json.get("SigningAlgorithms"), None);
}

#[test]
fn a_symmetric_key_has_no_public_key_and_a_disabled_one_still_has() {
    let fixture = Fixture::new();
    for key_id in [
        fixture.key(),
        fixture.key_for(KeySpec::Hmac256, KeyUsage::GenerateVerifyMac),
    ] {
        let refused = refusal(public_key(&fixture, &key_id));
        assert_eq!(refused, KmsError::Unsupported(String::new()));
    }
    let key_id = fixture.key_for(KeySpec::EccNistP256, KeyUsage::SignVerify);
    let before = public_key(&fixture, &key_id).unwrap().public_key;
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &disable)
        .unwrap();
    assert_eq!(public_key(&fixture, &key_id).unwrap().public_key, before);
}

#[test]
fn a_digest_is_signed_as_its_message() {
    let fixture = Fixture::new();
    let key_id = fixture.key_for(KeySpec::EccNistP384, KeyUsage::SignVerify);
    let raw = asked(&key_id, SigningAlgorithm::EcdsaSha384, b"message");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA384, b"message");
    let mut digested = asked(&key_id, SigningAlgorithm::EcdsaSha384, digest.as_ref());
    digested.message_type = Some(MessageType::Digest);
    let signature = sign(&fixture, &digested).unwrap();
    assert_eq!(verify(&fixture, &raw, b"message", &signature), Ok(true));
    let again = verify(&fixture, &raw, digest.as_ref(), &signature);
    assert_eq!(again, invalid_signature());
}

/// Usage, state, kind: AWS looks in this order, and at all of them before the message.
#[test]
fn what_does_not_fit_the_key_is_refused_in_the_order_of_aws() {
    let fixture = Fixture::new();
    let mac = fixture.key_for(KeySpec::Hmac256, KeyUsage::GenerateVerifyMac);
    let signer = fixture.key_for(KeySpec::EccNistP256, KeyUsage::SignVerify);
    let other_usage = KmsError::InvalidKeyUsage(format!(
        "{} key usage is GENERATE_VERIFY_MAC which is not valid for Sign.",
        Fixture::arn(&mac)
    ));
    let other_kind = KmsError::InvalidKeyUsage(
        "Algorithm ECDSA_SHA_384 is incompatible with key spec ECC_NIST_P256.".to_owned(),
    );
    let disabled = KmsError::Disabled(format!("{} is disabled.", Fixture::arn(&signer)));
    let try_signing = |key_id: &str| {
        let mut request = asked(key_id, SigningAlgorithm::EcdsaSha384, b"no digest");
        request.message_type = Some(MessageType::Digest);
        refusal(sign(&fixture, &request))
    };
    assert_eq!(try_signing(&mac), other_usage);
    assert_eq!(try_signing(&signer), other_kind);
    for key_id in [&mac, &signer] {
        let request = DisableKeyRequest {
            key_id: key_id.clone(),
        };
        fixture
            .service()
            .disable_key(&fixture.admin, &request)
            .unwrap();
    }
    assert_eq!(try_signing(&mac), other_usage);
    assert_eq!(try_signing(&signer), disabled);
    let denied = fixture.service().sign(
        &user("eve"),
        &asked(&signer, SigningAlgorithm::EcdsaSha256, b"message"),
    );
    assert!(matches!(refusal(denied), KmsError::AccessDenied(_)));
}

#[test]
fn messages_and_signatures_have_their_limits() {
    let fixture = Fixture::new();
    let key_id = fixture.key_for(KeySpec::EccNistP256, KeyUsage::SignVerify);
    let algorithm = SigningAlgorithm::EcdsaSha256;
    assert!(sign(&fixture, &asked(&key_id, algorithm, &[7; 4096])).is_ok());
    for (length, bound) in [
        (0, "greater than or equal to 1"),
        (4097, "less than or equal to 4096"),
    ] {
        let refused = refusal(sign(&fixture, &asked(&key_id, algorithm, &vec![7; length])));
        assert_eq!(
            refused,
            KmsError::Validation(format!(
                "1 validation error detected: Value at 'message' failed to satisfy constraint: \
                 Member must have length {bound}"
            ))
        );
    }
    let signed = asked(&key_id, algorithm, b"message");
    for length in [0, 6145] {
        let refused = refusal(verify(&fixture, &signed, b"message", &vec![7; length]));
        assert!(
            refused.message().contains("'signature'"),
            "{length}: {refused}"
        );
    }
}

#[test]
fn a_dry_run_makes_no_signature_and_tells_whether_one_is_good() {
    let fixture = Fixture::new();
    let key_id = fixture.key_for(KeySpec::EccNistP256, KeyUsage::SignVerify);
    let mut request = asked(&key_id, SigningAlgorithm::EcdsaSha256, b"message");
    let signature = sign(&fixture, &request).unwrap();
    request.dry_run = Some(true);
    assert!(matches!(
        refusal(sign(&fixture, &request)),
        KmsError::DryRun(_)
    ));
    let good = verify(&fixture, &request, b"message", &signature);
    assert!(matches!(good, Err(KmsError::DryRun(_))));
    let bad = verify(&fixture, &request, b"other", &signature);
    assert_eq!(bad, invalid_signature());
}

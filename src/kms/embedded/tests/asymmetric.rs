//! Encryption with asymmetric keys.

use super::{Fixture, refusal};
use crate::kms::{
    CiphertextBlob, DecryptRequest, DryRunModifier, EncryptRequest, EncryptionAlgorithm,
    EncryptionContext, GenerateDataKeyRequest, KeySpec, KeyUsage, KmsError, Plaintext,
    ReEncryptRequest,
};

use EncryptionAlgorithm::{RsaesOaepSha1, RsaesOaepSha256, SymmetricDefault};

fn encrypt(
    fixture: &Fixture,
    key_id: &str,
    algorithm: Option<EncryptionAlgorithm>,
    plaintext: &[u8],
) -> Result<CiphertextBlob, KmsError> {
    let request = EncryptRequest {
        key_id: key_id.to_owned(),
        plaintext: Plaintext::new(plaintext.to_vec()),
        encryption_algorithm: algorithm,
        ..Default::default()
    };
    let answer = fixture.service().encrypt(&fixture.admin, &request)?;
    assert_eq!(
        answer.encryption_algorithm,
        algorithm.unwrap_or(SymmetricDefault)
    );
    Ok(answer.ciphertext_blob)
}

fn asked(
    ciphertext_blob: &CiphertextBlob,
    key_id: Option<&str>,
    encryption_algorithm: Option<EncryptionAlgorithm>,
) -> DecryptRequest {
    DecryptRequest {
        ciphertext_blob: ciphertext_blob.clone(),
        key_id: key_id.map(str::to_owned),
        encryption_algorithm,
        ..Default::default()
    }
}

fn decrypt(fixture: &Fixture, request: &DecryptRequest) -> Result<Vec<u8>, KmsError> {
    let answer = fixture.service().decrypt(&fixture.admin, request)?;
    Ok(answer.plaintext.expose().to_vec())
}

fn rsa(fixture: &Fixture) -> String {
    fixture.key_for(KeySpec::Rsa2048, KeyUsage::EncryptDecrypt)
}

#[test]
fn rsa_encrypts_as_much_as_the_padding_leaves_room_for() {
    let fixture = Fixture::new();
    let key = rsa(&fixture);
    for (algorithm, longest) in [(RsaesOaepSha1, 214), (RsaesOaepSha256, 190)] {
        let plaintext = vec![7; longest];
        let blob = encrypt(&fixture, &key, Some(algorithm), &plaintext).unwrap();
        assert_eq!(blob.0.len(), 256);
        let request = asked(&blob, Some(&key), Some(algorithm));
        assert_eq!(decrypt(&fixture, &request).unwrap(), plaintext);
        let answer = fixture.service().decrypt(&fixture.admin, &request).unwrap();
        assert_eq!(answer.key_material_id, None);
        let longer = encrypt(&fixture, &key, Some(algorithm), &vec![7; longest + 1]);
        assert_eq!(
            refusal(longer),
            KmsError::Validation(format!(
                "Algorithm {algorithm} and key spec RSA_2048 cannot encrypt data larger than \
                 {longest} bytes."
            ))
        );
    }
}

#[test]
fn a_ciphertext_opens_with_its_key_and_algorithm_only() {
    let fixture = Fixture::new();
    let (key, other, symmetric) = (rsa(&fixture), rsa(&fixture), fixture.key());
    let blob = encrypt(&fixture, &key, Some(RsaesOaepSha256), b"secret").unwrap();
    let mut altered = blob.clone();
    altered.0[0] ^= 1;
    for (blob, key_id, algorithm, expected) in [
        (
            &blob,
            Some(&key),
            Some(RsaesOaepSha1),
            KmsError::InvalidCiphertext,
        ),
        (
            &blob,
            Some(&other),
            Some(RsaesOaepSha256),
            KmsError::InvalidCiphertext,
        ),
        (
            &altered,
            Some(&key),
            Some(RsaesOaepSha256),
            KmsError::InvalidCiphertext,
        ),
        // AWS reads the ciphertext before it compares algorithm and kind of key.
        (&blob, Some(&key), None, KmsError::InvalidCiphertext),
        (
            &blob,
            None,
            Some(RsaesOaepSha256),
            KmsError::Validation("KeyId must not be null".to_owned()),
        ),
        (
            &blob,
            Some(&symmetric),
            Some(RsaesOaepSha256),
            KmsError::InvalidKeyUsage(
                "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
                    .to_owned(),
            ),
        ),
    ] {
        let request = asked(blob, key_id.map(|id| &**id), algorithm);
        let refused = refusal(decrypt(&fixture, &request));
        assert_eq!(refused, expected, "{key_id:?} {algorithm:?}");
    }
}

#[test]
fn an_asymmetric_key_takes_no_default_algorithm_and_no_encryption_context() {
    let fixture = Fixture::new();
    let key = rsa(&fixture);
    assert_eq!(
        refusal(encrypt(&fixture, &key, None, b"secret")),
        KmsError::InvalidKeyUsage(
            "Algorithm SYMMETRIC_DEFAULT is incompatible with key spec RSA_2048.".to_owned()
        )
    );
    let context = EncryptionContext::from([("a".to_owned(), "b".to_owned())]);
    let request = EncryptRequest {
        key_id: key.clone(),
        plaintext: Plaintext::new(b"secret".to_vec()),
        encryption_context: context.clone(),
        encryption_algorithm: Some(RsaesOaepSha256),
        ..Default::default()
    };
    let refused = KmsError::Validation(
        "EncryptionContext is not supported when encrypting/decrypting with asymmetric CMKs."
            .to_owned(),
    );
    let encrypted = fixture.service().encrypt(&fixture.admin, &request);
    assert_eq!(refusal(encrypted), refused);
    let blob = encrypt(&fixture, &key, Some(RsaesOaepSha256), b"secret").unwrap();
    let request = DecryptRequest {
        encryption_context: context,
        ..asked(&blob, Some(&key), Some(RsaesOaepSha256))
    };
    assert_eq!(refusal(decrypt(&fixture, &request)), refused);
}

#[test]
fn re_encryption_goes_from_one_kind_of_key_to_another_and_back() {
    let fixture = Fixture::new();
    let (key, symmetric) = (rsa(&fixture), fixture.key());
    let blob = encrypt(&fixture, &symmetric, None, b"secret").unwrap();
    let to_rsa = ReEncryptRequest {
        ciphertext_blob: blob,
        destination_key_id: key.clone(),
        destination_encryption_algorithm: Some(RsaesOaepSha256),
        ..Default::default()
    };
    let service = fixture.service();
    let moved = service.re_encrypt(&fixture.admin, &to_rsa).unwrap();
    assert_eq!(moved.source_encryption_algorithm, SymmetricDefault);
    assert_eq!(moved.destination_encryption_algorithm, RsaesOaepSha256);
    assert!(moved.source_key_material_id.is_some());
    assert_eq!(moved.destination_key_material_id, None);

    let back = ReEncryptRequest {
        ciphertext_blob: moved.ciphertext_blob,
        source_key_id: Some(key),
        source_encryption_algorithm: Some(RsaesOaepSha256),
        destination_key_id: symmetric,
        ..Default::default()
    };
    let moved = service.re_encrypt(&fixture.admin, &back).unwrap();
    assert_eq!(moved.source_key_material_id, None);
    let request = asked(&moved.ciphertext_blob, None, None);
    assert_eq!(decrypt(&fixture, &request).unwrap(), b"secret");

    let nameless = ReEncryptRequest {
        source_key_id: None,
        ..back
    };
    let refused = refusal(service.re_encrypt(&fixture.admin, &nameless));
    assert!(matches!(refused, KmsError::Validation(_)), "{refused}");
}

#[test]
fn a_signing_key_encrypts_nothing_and_an_asymmetric_key_makes_no_data_keys() {
    let fixture = Fixture::new();
    let signer = fixture.key_for(KeySpec::Rsa2048, KeyUsage::SignVerify);
    assert_eq!(
        refusal(encrypt(&fixture, &signer, Some(RsaesOaepSha256), b"secret")),
        KmsError::InvalidKeyUsage(format!(
            "{} key usage is SIGN_VERIFY which is not valid for Encrypt.",
            Fixture::arn(&signer)
        ))
    );
    let request = GenerateDataKeyRequest {
        key_id: rsa(&fixture),
        number_of_bytes: Some(32),
        ..Default::default()
    };
    let made = fixture
        .service()
        .generate_data_key(&fixture.admin, &request);
    assert_eq!(
        refusal(made),
        KmsError::InvalidKeyUsage(
            "You cannot generate a data key with an asymmetric CMK".to_owned()
        )
    );
}

#[test]
fn a_dry_run_may_leave_the_ciphertext_out() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let mut request = DecryptRequest {
        dry_run: Some(true),
        dry_run_modifiers: vec![DryRunModifier::IgnoreCiphertext],
        key_id: Some(key),
        ..Default::default()
    };
    let dry = refusal(decrypt(&fixture, &request));
    assert!(matches!(dry, KmsError::DryRun(_)), "{dry}");
    request.key_id = None;
    let nameless = refusal(decrypt(&fixture, &request));
    assert!(matches!(nameless, KmsError::Validation(_)), "{nameless}");
}

use super::{Fixture, policy_for, refusal};
use crate::kms::{
    Caller, CiphertextBlob, CreateAliasRequest, DataKeySpec, DecryptRequest, DisableKeyRequest,
    EncryptRequest, EncryptionAlgorithm, EncryptionContext, GenerateDataKeyRequest,
    GenerateRandomRequest, KmsError, Plaintext, ReEncryptRequest, testing::user,
};

fn context(name: &str, value: &str) -> EncryptionContext {
    EncryptionContext::from([(name.to_owned(), value.to_owned())])
}

fn encrypt(fixture: &Fixture, key_id: &str, text: &[u8]) -> CiphertextBlob {
    let request = EncryptRequest {
        key_id: key_id.to_owned(),
        plaintext: Plaintext::new(text.to_vec()),
        ..Default::default()
    };
    fixture
        .service()
        .encrypt(&fixture.admin, &request)
        .unwrap()
        .ciphertext_blob
}

fn decrypt(
    fixture: &Fixture,
    caller: &Caller,
    ciphertext_blob: &CiphertextBlob,
) -> Result<Vec<u8>, KmsError> {
    let request = DecryptRequest {
        ciphertext_blob: ciphertext_blob.clone(),
        ..Default::default()
    };
    let answer = fixture.service().decrypt(caller, &request)?;
    Ok(answer.plaintext.expose().to_vec())
}

#[test]
fn a_data_key_decrypts_to_itself() {
    let mut fixture = Fixture::new();
    let key_id = fixture.key();
    for (key_spec, number_of_bytes, length) in [
        (Some(DataKeySpec::Aes256), None, 32),
        (Some(DataKeySpec::Aes128), None, 16),
        (None, Some(1024), 1024),
        (None, Some(1), 1),
    ] {
        let request = GenerateDataKeyRequest {
            key_id: key_id.clone(),
            key_spec,
            number_of_bytes,
            encryption_context: context("file", "1"),
            ..Default::default()
        };
        let made = fixture
            .service()
            .generate_data_key(&fixture.admin, &request)
            .unwrap();
        assert_eq!(made.key_id, Fixture::arn(&key_id));
        assert_eq!(made.plaintext.expose().len(), length);
        fixture.reopen();
        let request = DecryptRequest {
            ciphertext_blob: made.ciphertext_blob,
            encryption_context: context("file", "1"),
            ..Default::default()
        };
        let opened = fixture.service().decrypt(&fixture.admin, &request).unwrap();
        assert_eq!(opened.plaintext.expose(), made.plaintext.expose());
        assert_eq!(opened.key_material_id, Some(made.key_material_id));
        assert_eq!(opened.key_id, made.key_id);
    }
}

#[test]
fn without_plaintext_there_is_only_the_blob() {
    let fixture = Fixture::new();
    let request = GenerateDataKeyRequest {
        key_id: fixture.key(),
        key_spec: Some(DataKeySpec::Aes256),
        ..Default::default()
    };
    let service = fixture.service();
    let made = service
        .generate_data_key_without_plaintext(&fixture.admin, &request)
        .unwrap();
    assert_eq!(
        decrypt(&fixture, &fixture.admin, &made.ciphertext_blob)
            .unwrap()
            .len(),
        32
    );
}

#[test]
fn a_data_key_has_one_length() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    let generate = |key_spec, number_of_bytes| {
        let key_id = key_id.clone();
        let request = GenerateDataKeyRequest {
            key_id,
            key_spec,
            number_of_bytes,
            ..Default::default()
        };
        refusal(
            fixture
                .service()
                .generate_data_key(&fixture.admin, &request),
        )
    };
    let either = "Please specify either number of bytes or key spec.";
    assert_eq!(
        generate(None, None),
        KmsError::Validation(either.to_owned())
    );
    let both = generate(Some(DataKeySpec::Aes256), Some(32));
    assert_eq!(both, KmsError::Validation(either.to_owned()));
    for number in [i32::MIN, 0, 1025] {
        assert!(
            matches!(generate(None, Some(number)), KmsError::Validation(_)),
            "{number}"
        );
    }
}

#[test]
fn plaintexts_and_blobs_have_their_limits() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    let encrypt = |length| {
        let request = EncryptRequest {
            key_id: key_id.clone(),
            plaintext: Plaintext::new(vec![7; length]),
            ..Default::default()
        };
        fixture.service().encrypt(&fixture.admin, &request)
    };
    let longest = encrypt(4096).unwrap().ciphertext_blob;
    assert_eq!(
        decrypt(&fixture, &fixture.admin, &longest).unwrap(),
        [7; 4096]
    );
    assert_eq!(
        refusal(encrypt(4097)),
        KmsError::Validation(
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: \
             Member must have length less than or equal to 4096"
                .to_owned()
        )
    );
    assert!(matches!(refusal(encrypt(0)), KmsError::Validation(_)));
    for length in [0, 6145] {
        let blob = CiphertextBlob(vec![1; length]);
        let refused = refusal(decrypt(&fixture, &fixture.admin, &blob));
        assert!(matches!(refused, KmsError::Validation(_)), "{length}");
    }
    let nonsense = CiphertextBlob(vec![9; 6144]);
    let refused = refusal(decrypt(&fixture, &fixture.admin, &nonsense));
    assert_eq!(refused, KmsError::InvalidCiphertext);
}

#[test]
fn another_context_or_a_flipped_bit_is_an_invalid_ciphertext_without_a_message() {
    let fixture = Fixture::new();
    let request = EncryptRequest {
        key_id: fixture.key(),
        plaintext: Plaintext::new(b"secret".to_vec()),
        encryption_context: context("a", "bc"),
        ..Default::default()
    };
    let made = fixture
        .service()
        .encrypt(&fixture.admin, &request)
        .unwrap()
        .ciphertext_blob;
    let open = |ciphertext_blob: CiphertextBlob, encryption_context| {
        let request = DecryptRequest {
            ciphertext_blob,
            encryption_context,
            ..Default::default()
        };
        fixture.service().decrypt(&fixture.admin, &request)
    };
    assert!(open(made.clone(), context("a", "bc")).is_ok());
    let moved = refusal(open(made.clone(), context("ab", "c")));
    assert_eq!(moved, KmsError::InvalidCiphertext);
    assert_eq!(moved.message(), "");
    let mut damaged = made;
    *damaged.0.last_mut().unwrap() ^= 1;
    assert_eq!(
        refusal(open(damaged, context("a", "bc"))),
        KmsError::InvalidCiphertext
    );
}

#[test]
fn a_named_key_has_to_be_the_one_that_encrypted() {
    let fixture = Fixture::new();
    let (key, other) = (fixture.key(), fixture.key());
    let ciphertext_blob = encrypt(&fixture, &key, b"secret");
    let alias = CreateAliasRequest {
        alias_name: "alias/k".to_owned(),
        target_key_id: key.clone(),
    };
    fixture
        .service()
        .create_alias(&fixture.admin, &alias)
        .unwrap();
    let open = |key_id: &str| {
        let request = DecryptRequest {
            ciphertext_blob: ciphertext_blob.clone(),
            key_id: Some(key_id.to_owned()),
            ..Default::default()
        };
        fixture.service().decrypt(&fixture.admin, &request)
    };
    assert!(open(&key).is_ok());
    assert!(open(&Fixture::arn(&key)).is_ok());
    assert!(open("alias/k").is_ok());
    assert_eq!(
        refusal(open(&other)),
        KmsError::IncorrectKey(
            "The key ID in the request does not identify a CMK that can perform this operation."
                .to_owned()
        )
    );
}

#[test]
fn a_ciphertext_of_an_unknown_key_is_denied_without_telling_why() {
    let (here, elsewhere) = (Fixture::new(), Fixture::new());
    let foreign = encrypt(&elsewhere, &elsewhere.key(), b"secret");
    let refused = refusal(decrypt(&here, &here.admin, &foreign));
    assert!(matches!(refused, KmsError::AccessDenied(_)), "{refused}");
}

#[test]
fn a_disabled_key_does_nothing() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let blob = encrypt(&fixture, &key, b"secret");
    let disable = DisableKeyRequest {
        key_id: key.clone(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &disable)
        .unwrap();
    let disabled = KmsError::Disabled(format!("{} is disabled.", Fixture::arn(&key)));
    assert_eq!(refusal(decrypt(&fixture, &fixture.admin, &blob)), disabled);
    let generate = GenerateDataKeyRequest {
        key_id: key.clone(),
        key_spec: Some(DataKeySpec::Aes256),
        ..Default::default()
    };
    let generated = fixture
        .service()
        .generate_data_key(&fixture.admin, &generate);
    assert_eq!(refusal(generated), disabled);
    // Policy is asked first: whoever may not use it does not learn its state.
    let refused = refusal(decrypt(&fixture, &user("eve"), &blob));
    assert!(matches!(refused, KmsError::AccessDenied(_)));
}

#[test]
fn re_encryption_moves_a_ciphertext_under_another_key_and_context() {
    let fixture = Fixture::new();
    let (from, to) = (fixture.key(), fixture.key());
    let old = encrypt(&fixture, &from, b"secret");
    let request = ReEncryptRequest {
        ciphertext_blob: old,
        destination_key_id: to.clone(),
        destination_encryption_context: context("new", "one"),
        ..Default::default()
    };
    let moved = fixture
        .service()
        .re_encrypt(&fixture.admin, &request)
        .unwrap();
    assert_eq!(moved.source_key_id, Fixture::arn(&from));
    assert_eq!(moved.key_id, Fixture::arn(&to));
    assert_ne!(
        moved.source_key_material_id,
        moved.destination_key_material_id
    );
    let open = DecryptRequest {
        ciphertext_blob: moved.ciphertext_blob,
        encryption_context: context("new", "one"),
        key_id: Some(to),
        ..Default::default()
    };
    let opened = fixture.service().decrypt(&fixture.admin, &open).unwrap();
    assert_eq!(opened.plaintext.expose(), b"secret");
}

#[test]
fn re_encryption_has_to_be_allowed_on_both_keys() {
    let fixture = Fixture::new();
    let from = fixture.key_with(&policy_for("anna", r#""kms:ReEncryptFrom""#, ""));
    let to = fixture.key_with(&policy_for("anna", r#""kms:ReEncryptTo""#, ""));
    let re_encrypt = |from: &str, to: &str| {
        let request = ReEncryptRequest {
            ciphertext_blob: encrypt(&fixture, from, b"secret"),
            destination_key_id: to.to_owned(),
            ..Default::default()
        };
        fixture.service().re_encrypt(&user("anna"), &request)
    };
    assert!(re_encrypt(&from, &to).is_ok());
    for (from, to) in [(&from, &from), (&to, &to), (&to, &from)] {
        assert!(matches!(
            refusal(re_encrypt(from, to)),
            KmsError::AccessDenied(_)
        ));
    }
}

#[test]
fn an_algorithm_of_another_kind_of_key_is_an_invalid_usage() {
    let fixture = Fixture::new();
    let request = EncryptRequest {
        key_id: fixture.key(),
        plaintext: Plaintext::new(vec![1]),
        encryption_algorithm: Some(EncryptionAlgorithm::RsaesOaepSha256),
        ..Default::default()
    };
    assert_eq!(
        refusal(fixture.service().encrypt(&fixture.admin, &request)),
        KmsError::InvalidKeyUsage(
            "Algorithm RSAES_OAEP_SHA_256 is incompatible with key spec SYMMETRIC_DEFAULT."
                .to_owned()
        )
    );
}

#[test]
fn a_dry_run_tells_whether_the_call_would_succeed() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    let request = GenerateDataKeyRequest {
        key_id,
        key_spec: Some(DataKeySpec::Aes256),
        dry_run: Some(true),
        ..Default::default()
    };
    let would = refusal(
        fixture
            .service()
            .generate_data_key(&fixture.admin, &request),
    );
    assert!(matches!(would, KmsError::DryRun(_)));
    let would_not = refusal(fixture.service().generate_data_key(&user("eve"), &request));
    assert!(matches!(would_not, KmsError::AccessDenied(_)));
}

#[test]
fn random_bytes_come_in_the_length_asked_for() {
    let fixture = Fixture::new();
    let random = |number_of_bytes| {
        let request = GenerateRandomRequest {
            number_of_bytes,
            ..Default::default()
        };
        fixture.service().generate_random(&fixture.admin, &request)
    };
    for length in [1, 1024] {
        let made = random(Some(length)).ok().unwrap();
        assert_eq!(
            made.plaintext.expose().len(),
            usize::try_from(length).unwrap()
        );
    }
    let required = KmsError::Validation("NumberOfBytes is required.".to_owned());
    assert_eq!(refusal(random(None)), required);
    assert_eq!(
        refusal(random(Some(1025))),
        KmsError::Validation(
            "1 validation error detected: Value '1025' at 'numberOfBytes' failed to satisfy \
             constraint: Member must have value less than or equal to 1024"
                .to_owned()
        )
    );
}

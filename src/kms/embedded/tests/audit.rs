use std::fs;

use serde_json::Value;

use super::{Fixture, refusal};
use crate::{
    audit::{Anchor, Verdict, verify},
    kms::{
        Caller, CreateKeyRequest, DataKeySpec, DescribeKeyRequest, DisableKeyRequest,
        EnableKeyRequest, EncryptRequest, EncryptionContext, GenerateDataKeyRequest, KmsError,
        ListKeysRequest, Plaintext, Tag, testing::user,
    },
};

/// The records of operations, oldest first.
fn records(fixture: &Fixture) -> Vec<Value> {
    let log = fs::read_to_string(fixture.home.audit_dir().join("kms.jsonl")).unwrap();
    let records = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    records
        .filter(|record| record["eventType"] == "AwsApiCall")
        .collect()
}

fn last(fixture: &Fixture) -> Value {
    records(fixture).pop().expect("something is recorded")
}

#[test]
fn an_operation_is_recorded_in_cloudtrails_shape() {
    let fixture = Fixture::new();
    let key = fixture.key();
    let request = GenerateDataKeyRequest {
        key_id: key.clone(),
        key_spec: Some(DataKeySpec::Aes256),
        encryption_context: EncryptionContext::from([("kmsfs:file".into(), "1".into())]),
        ..Default::default()
    };
    let caller = Caller {
        uid: Some(1000),
        pid: Some(4711),
        via_kmsfs: true,
        shared_event_id: Some("the-open".to_owned()),
        ..fixture.admin.clone()
    };
    fixture
        .service()
        .generate_data_key(&caller, &request)
        .unwrap();
    let record = last(&fixture);
    assert_eq!(record["eventSource"], "kms.amazonaws.com");
    assert_eq!(record["eventName"], "GenerateDataKey");
    assert_eq!(record["awsRegion"], "us-east-1");
    assert_eq!(record["readOnly"], true);
    assert_eq!(record["sharedEventID"], "the-open");
    assert_eq!(record["process"]["pid"], 4711);
    let identity = &record["userIdentity"];
    assert_eq!(identity["arn"], *fixture.admin.principal.arn);
    assert_eq!(identity["uid"], 1000);
    assert_eq!(identity["invokedBy"], "kmsfs.us-east-1.amazonaws.com");
    assert_eq!(record["resources"][0]["ARN"], Fixture::arn(&key));
    assert_eq!(record["resources"][0]["type"], "AWS::KMS::Key");
    let parameters = &record["requestParameters"];
    assert_eq!(parameters["keyId"], *key);
    assert_eq!(parameters["keySpec"], "AES_256");
    assert_eq!(parameters["encryptionContext"]["kmsfs:file"], "1");
    assert_eq!(record["decision"]["effect"], "Allow");
    assert!(record["errorCode"].is_null());
}

#[test]
fn refusals_and_failures_are_recorded_with_their_error() {
    let fixture = Fixture::new();
    let key_id = fixture.key();
    let describe = DescribeKeyRequest {
        key_id: key_id.clone(),
        ..DescribeKeyRequest::default()
    };
    let refused = refusal(fixture.service().describe_key(&user("eve"), &describe));
    let record = last(&fixture);
    assert_eq!(record["eventName"], "DescribeKey");
    assert_eq!(record["errorCode"], "AccessDeniedException");
    assert_eq!(record["errorMessage"], refused.message());
    assert_eq!(record["decision"]["effect"], "Deny");
    assert_eq!(record["userIdentity"]["userName"], "eve");

    let absent = DisableKeyRequest {
        key_id: "absent".to_owned(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &absent)
        .unwrap_err();
    let record = last(&fixture);
    assert_eq!(record["eventName"], "DisableKey");
    assert_eq!(record["errorCode"], "NotFoundException");
    assert_eq!(record["readOnly"], false);
}

#[test]
fn no_secret_is_recorded() {
    let fixture = Fixture::new();
    let secret = b"a very secret plaintext indeed";
    let plaintext = Plaintext::new(secret.to_vec());
    let request = EncryptRequest {
        key_id: fixture.key(),
        plaintext,
        ..Default::default()
    };
    fixture.service().encrypt(&fixture.admin, &request).unwrap();
    let log = fs::read(fixture.home.audit_dir().join("kms.jsonl")).unwrap();
    let encoded = serde_json::to_string(&request.plaintext).unwrap();
    let encoded = encoded.trim_matches('"').as_bytes();
    assert!(!log.windows(secret.len()).any(|window| window == secret));
    assert!(!log.windows(encoded.len()).any(|window| window == encoded));
}

/// A caller whose record is longer than a record may be, so that it cannot be written.
fn unrecordable(caller: &Caller) -> Caller {
    Caller {
        shared_event_id: Some("x".repeat(2 << 20)),
        ..caller.clone()
    }
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let mut fixture = Fixture::new();
    let key_id = fixture.key();
    let epoch = fixture.service().epoch().unwrap();
    let caller = unrecordable(&fixture.admin);

    let request = CreateKeyRequest::default();
    let refused = refusal(fixture.service().create_key(&caller, &request));
    assert!(matches!(refused, KmsError::Internal(_)), "{refused}");
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    let refused = refusal(fixture.service().disable_key(&caller, &disable));
    assert!(matches!(refused, KmsError::Internal(_)), "{refused}");
    let plaintext = Plaintext::new(vec![1]);
    let encrypt = EncryptRequest {
        key_id: key_id.clone(),
        plaintext,
        ..Default::default()
    };
    let refused = refusal(fixture.service().encrypt(&caller, &encrypt));
    assert!(matches!(refused, KmsError::Internal(_)), "{refused}");

    let unchanged = |fixture: &Fixture, epoch: u64| {
        let listed = fixture
            .service()
            .list_keys(&fixture.admin, &ListKeysRequest::default());
        let keys = listed.unwrap().keys;
        assert_eq!(
            keys.iter().map(|entry| &*entry.key_id).collect::<Vec<_>>(),
            [&*key_id]
        );
        assert!(fixture.service().encrypt(&fixture.admin, &encrypt).is_ok());
        assert_eq!(fixture.service().epoch().unwrap(), epoch);
    };
    unchanged(&fixture, epoch);
    // The next change brings nothing of it to disk.
    let disable = DisableKeyRequest {
        key_id: key_id.clone(),
    };
    fixture
        .service()
        .disable_key(&fixture.admin, &disable)
        .unwrap();
    fixture
        .service()
        .enable_key(
            &fixture.admin,
            &EnableKeyRequest {
                key_id: key_id.clone(),
            },
        )
        .unwrap();
    fixture.reopen();
    unchanged(&fixture, epoch + 2);
}

#[test]
fn the_log_verifies_with_the_homes_key() {
    let mut fixture = Fixture::new();
    fixture.key();
    fixture.reopen();
    fixture.key();
    let public_key = fixture.home.signing_public_key();
    assert_eq!(fixture.embedded().signer.public_key(), public_key);
    fixture.service = None;
    let report = verify(&fixture.home.audit_dir(), Some(&public_key)).unwrap();
    assert_eq!(report.logs.len(), 1);
    assert!(
        matches!(report.logs[0].verdict, Verdict::Intact),
        "{:?}",
        report.logs[0].verdict
    );
}

#[test]
fn the_head_of_a_volumes_log_is_signed_and_goes_into_ours() {
    let mut fixture = Fixture::new();
    let anchored = fixture
        .service()
        .audit_anchor("volume-7", 3, &[9; 32])
        .unwrap();
    assert_eq!(
        anchored.signature,
        fixture.embedded().signer.sign("volume-7", 3, &[9; 32])
    );
    assert_eq!(anchored.other.unwrap().log, "kms");
    let refused = refusal(fixture.service().audit_anchor("kms", 3, &[9; 32]));
    assert!(matches!(refused, KmsError::AccessDenied(_)));
    for log in ["volume-7\n3", "", &"v".repeat(129)] {
        let refused = refusal(fixture.service().audit_anchor(log, 3, &[9; 32]));
        assert!(matches!(refused, KmsError::Validation(_)), "{log:?}");
    }
    fixture.service = None;
    let log = fs::read_to_string(fixture.home.audit_dir().join("kms.jsonl")).unwrap();
    assert!(
        log.lines()
            .any(|line| line.contains(r#""log":"volume-7","seq":3"#)),
        "{log}"
    );
}

#[test]
fn a_refused_call_leaves_a_record_however_much_it_says() {
    let fixture = Fixture::new();
    let eve = user("eve");
    let service = fixture.service();
    let long = || "\u{1}".repeat(1 << 20);
    let tags = |count: usize| {
        let tag = |n: usize| Tag {
            tag_key: format!("{n:0128}"),
            tag_value: "\u{1}".repeat(256),
        };
        Some((0..count).map(tag).collect())
    };
    let before = records(&fixture).len();
    for (request, code) in [
        (
            CreateKeyRequest {
                policy: Some(long()),
                ..Default::default()
            },
            "LimitExceededException",
        ),
        (
            CreateKeyRequest {
                description: Some(long()),
                ..Default::default()
            },
            "ValidationException",
        ),
        (
            CreateKeyRequest {
                tags: tags(2000),
                ..Default::default()
            },
            "TagException",
        ),
        (
            CreateKeyRequest {
                tags: tags(50),
                policy: Some("\u{1}".repeat(32 << 10)),
                ..Default::default()
            },
            "AccessDeniedException",
        ),
    ] {
        refusal(service.create_key(&eve, &request));
        let record = last(&fixture);
        assert_eq!(record["errorCode"], code);
        assert!(record.to_string().len() < 256 << 10, "{code}");
    }
    let record = last(&fixture);
    let policy = record["requestParameters"]["policy"].as_str().unwrap();
    assert!(policy.len() < 9 << 10 && policy.ends_with("(truncated)"));
    let tags = record["requestParameters"]["tags"].as_array().unwrap();
    assert_eq!(tags.last().unwrap(), "(truncated)");
    assert!(tags[0]["tagKey"].is_string());

    let named = |key_id: String, context: EncryptionContext| EncryptRequest {
        key_id,
        encryption_context: context,
        plaintext: Plaintext::new(vec![1]),
        ..Default::default()
    };
    let context = |length| EncryptionContext::from([("k".to_owned(), "v".repeat(length))]);
    let key = fixture.key();
    for request in [
        named(long(), EncryptionContext::new()),
        named(key.clone(), context(8192)),
        named(key.clone(), context(1 << 20)),
    ] {
        let refused = refusal(service.encrypt(&fixture.admin, &request));
        assert!(matches!(refused, KmsError::Validation(_)));
        assert_eq!(last(&fixture)["errorCode"], "ValidationException");
    }
    let longest = named(key, context(8191));
    service.encrypt(&fixture.admin, &longest).unwrap();
    // One for the key, one for what is allowed.
    assert_eq!(records(&fixture).len(), before + 4 + 3 + 2);
}

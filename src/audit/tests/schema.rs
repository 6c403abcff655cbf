//! The published JSON Schema, against what is written. The logs of the mount tests and of the key
//! service's tests are held to it where they end.

use std::sync::LazyLock;

use jsonschema::Validator;
use serde_json::{Value as Json, json};

use super::*;

static VALIDATOR: LazyLock<Validator> = LazyLock::new(|| {
    let schema = serde_json::from_str(SCHEMA).unwrap();
    jsonschema::draft202012::meta::validate(&schema).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
});

#[track_caller]
fn assert_valid(line: &str) {
    let record: Json = serde_json::from_str(line).unwrap();
    let errors = VALIDATOR.iter_errors(&record);
    let errors: Vec<String> = errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "{line}: {errors:#?}");
}

/// Events with every field that an event can have, and with none but the least.
fn events(origin: &Origin) -> Vec<Event<'_>> {
    let context = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
    let context: &'static BTreeMap<_, _> = Box::leak(Box::new(context));
    let full = Identity {
        access_key_id: Some("AKIA0".into()),
        invoked_by: Some("kmsfs.us-east-1.amazonaws.com".into()),
        forwarded_by: Some("arn:aws:iam::000000000000:user/mount".into()),
        ..alice()
    };
    let every_field = Event::new(origin, "Open", full)
        .process(Process {
            pid: 42,
            exe: Some(b"/usr/bin/cat".into()),
        })
        .resource("arn:aws:kmsfs:us-east-1:0:volume/1", "AWS::KMSFS::Volume")
        .key("arn:aws:kms:us-east-1:111111111111:key/2")
        .path(b"hr/\xff\n")
        .new_path(b"")
        .file_id("17")
        .parameter("encryptionContext", context)
        .parameter("list", Value::List(vec![Value::Integer(-1), true.into()]))
        .response("bytesRead", 4096_u64)
        .additional("keyMaterialId", "x")
        .from_address("::1")
        .user_agent("aws-cli")
        .request_id("r")
        .error("EIO", "the header is damaged")
        .allowed(vec!["Owner".to_owned()])
        .shared_id("shared")
        .read_only();
    let denied = |reason| Event::new(origin, "Open", alice()).denied(reason, Vec::new());
    vec![
        every_field,
        Event::new(origin, "Open", Identity::of(IdentityKind::Unknown)),
        Event::new(origin, "Panic", Identity::of(IdentityKind::AwsService)).administration(),
        denied(Refusal::NoAllow).error("AccessDenied", ""),
        denied(Refusal::ExplicitDeny),
    ]
}

#[test]
fn every_record_is_as_the_schema_says() {
    let place = Place::with_logs();
    let (origin, log) = (origin(), place.open("volume-1"));
    for event in events(&origin) {
        log.record(event).unwrap();
    }
    log.close().unwrap();
    let lines = [place.lines("kms"), place.lines("volume-1")].concat();
    for name in ["LogCreated", "Checkpoint"] {
        let of_name = format!(r#""eventName":"{name}""#);
        assert!(lines.iter().any(|line| line.contains(&of_name)), "{name}");
    }
    for line in &lines {
        assert_valid(line);
    }
}

#[test]
fn what_a_crash_leaves_is_recorded_as_the_schema_says() {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 2);
    let content = std::fs::read(place.file("kms.jsonl")).unwrap();
    let head = std::fs::read(place.file("kms.head")).unwrap();
    log.close().unwrap();
    std::fs::write(place.file("kms.jsonl"), [&content[..], b"{\"torn"].concat()).unwrap();
    std::fs::write(place.file("kms.head"), head).unwrap();
    place.open("kms").close().unwrap();
    let lines = place.lines("kms");
    assert!(lines.iter().any(|line| line.contains(r#""LogRecovered""#)));
    for line in &lines {
        assert_valid(line);
    }
}

#[test]
fn what_rotation_and_retention_record_is_as_the_schema_says() {
    let place = Place::new();
    let settings = Settings {
        keep_bytes: Some(std::num::NonZeroU64::MIN),
        ..Settings::default()
    };
    settings.write(place.path()).unwrap();
    let log = place.open("kms");
    open_files(&log, 2);
    log.rotate().unwrap();
    log.close().unwrap();
    let lines = place.lines("kms");
    for name in ["LogContinued", "SegmentRemoved"] {
        let of_name = format!(r#""eventName":"{name}""#);
        assert!(lines.iter().any(|line| line.contains(&of_name)), "{name}");
    }
    for line in &lines {
        assert_valid(line);
    }
}

#[test]
fn what_is_no_record_is_not_as_the_schema_says() {
    let place = Place::new();
    let (origin, log) = (origin(), place.open("volume-1"));
    log.record(events(&origin).swap_remove(0)).unwrap();
    log.close().unwrap();
    let record: Json = serde_json::from_str(&place.lines("volume-1")[1]).unwrap();
    assert!(VALIDATOR.is_valid(&record));
    for required in [
        "eventName",
        "eventTime",
        "userIdentity",
        "seq",
        "hash",
        "awsRegion",
    ] {
        let mut without = record.clone();
        without.as_object_mut().unwrap().remove(required).unwrap();
        assert!(!VALIDATOR.is_valid(&without), "without {required}");
    }
    for (field, value) in [
        ("unheardOf", json!(1)),
        ("seq", json!(0)),
        ("hash", json!("AB")),
        ("eventTime", json!("2026-01-01T00:00:00Z")),
        ("requestParameters", json!({ "path": "not base64" })),
        ("decision", json!({ "effect": "Deny", "statements": [] })),
        ("eventType", json!("AwsServiceEvent")),
    ] {
        let mut other = record.clone();
        other[field] = value;
        assert!(!VALIDATOR.is_valid(&other), "{field}");
    }
}

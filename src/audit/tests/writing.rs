//! Records as they are written.

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::*;

fn last(place: &Place, name: &str) -> Json {
    serde_json::from_str(place.lines(name).last().unwrap()).unwrap()
}

#[test]
fn an_event_becomes_a_cloudtrail_record() {
    let place = Place::new();
    let log = place.open("volume-1");
    let origin = origin();
    let context = BTreeMap::from([("kmsfs:FileId".to_owned(), "17".to_owned())]);
    let (by, exe) = (alice(), b"/usr/bin/cat");
    let event = Event::new(&origin, "Open", by)
        .process(Process {
            pid: 42,
            exe: Some(exe.into()),
        })
        .resource(
            "arn:aws:kmsfs:us-east-1:000000000000:volume/1/hr",
            "AWS::KMSFS::File",
        )
        .key("arn:aws:kms:us-east-1:111111111111:key/2")
        .path(b"hr/\xff\n")
        .file_id("17")
        .parameter("flags", 2_u32)
        .parameter("create", false)
        .parameter("encryptionContext", &context)
        .response("bytesRead", 4096_u64)
        .error("EIO", "the header is damaged")
        .allowed(vec!["Owner".to_owned()])
        .shared_id("shared")
        .read_only();
    let id = event.id().to_owned();
    let recorded = log.record(event).unwrap();
    assert_eq!(
        recorded,
        Recorded {
            event_id: id.clone(),
            seq: 2
        }
    );

    let mut record = last(&place, "volume-1");
    let time: jiff::Timestamp = record["eventTime"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(time).as_secs() < 60);
    assert_eq!(
        record["eventTime"].as_str().unwrap().len(),
        "2026-01-01T00:00:00.000000Z".len()
    );
    for field in ["eventTime", "prevHash", "hash"] {
        record.as_object_mut().unwrap().remove(field).unwrap();
    }
    let expected = json!({
        "eventVersion": "1.11",
        "eventType": "AwsApiCall",
        "eventName": "Open",
        "eventID": id,
        "eventSource": "kmsfs.amazonaws.com",
        "awsRegion": "us-east-1",
        "userIdentity": {
            "type": "IAMUser",
            "arn": "arn:aws:iam::000000000000:user/alice",
            "accountId": "000000000000",
            "userName": "alice",
            "uid": 1000,
            "gid": 100,
        },
        "process": {"pid": 42, "exe": "L3Vzci9iaW4vY2F0"},
        "resources": [
            {
                "ARN": "arn:aws:kmsfs:us-east-1:000000000000:volume/1/hr",
                "type": "AWS::KMSFS::File",
                "accountId": "000000000000",
            },
            {
                "ARN": "arn:aws:kms:us-east-1:111111111111:key/2",
                "type": "AWS::KMS::Key",
                "accountId": "111111111111",
            },
        ],
        "requestParameters": {
            "path": "aHIv/wo=",
            "fileId": "17",
            "flags": 2,
            "create": false,
            "encryptionContext": {"kmsfs:FileId": "17"},
        },
        "responseElements": {"bytesRead": 4096},
        "errorCode": "EIO",
        "errorMessage": "the header is damaged",
        "decision": {"effect": "Allow", "statements": ["Owner"]},
        "sharedEventID": "shared",
        "readOnly": true,
        "eventCategory": "Data",
        "recipientAccountId": "000000000000",
        "seq": 2,
    });
    assert_eq!(record, expected);
}

#[test]
fn names_with_newlines_and_escape_codes_cannot_forge_lines() {
    let place = Place::new();
    let log = place.open("volume-1");
    let origin = origin();
    let evil = "x\n{\"eventName\":\"Open\",\"seq\":3}\n\u{1b}[2J\u{9b}31m\u{202e}\u{7f}\\\"";
    let user = Identity {
        user_name: Some(evil.into()),
        ..Identity::of(IdentityKind::Unknown)
    };
    let event = Event::new(&origin, "Open", user)
        .path(evil.as_bytes())
        .parameter("target", evil)
        .error(evil, evil)
        .denied(Refusal::NoAllow, vec![evil.to_owned()])
        .shared_id(evil)
        .key(evil);
    log.record(event).unwrap();
    log.close().unwrap();
    let text = std::fs::read(place.file("volume-1.jsonl")).unwrap();
    assert!(
        text.iter()
            .all(|byte| *byte == b'\n' || (0x20..0x7f).contains(byte))
    );
    let lines = place.lines("volume-1");
    assert_eq!(lines.len(), 3, "the event is one line of three");
    let record: Json = serde_json::from_str(&lines[1]).unwrap();
    assert_eq!(record["requestParameters"]["target"], evil);
    assert_eq!(place.verify().exit_code(), 0);
    let found: Vec<Record> = query(place.path(), Filter::default())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(found[1].path.as_deref(), Some(evil.as_bytes()));
}

#[test]
fn the_hash_can_be_checked_with_common_tools() {
    let place = Place::with_logs();
    let script = r#"sed -n 3p "$1" | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum"#;
    let mut shell = std::process::Command::new("sh");
    let output = shell
        .args(["-c", script, "sh"])
        .arg(place.file("kms.jsonl"))
        .output()
        .unwrap();
    let record: Json = serde_json::from_str(&place.lines("kms")[2]).unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.split(' ').next(), record["hash"].as_str());
}

#[test]
fn a_log_is_for_its_owner_only() {
    let place = Place::with_logs();
    for name in ["kms.jsonl", "kms.head"] {
        let mode = std::fs::metadata(place.file(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn a_second_writer_is_told_that_the_log_is_in_use() {
    let place = Place::new();
    let log = place.open("kms");
    let refused = place.try_open("kms").err().unwrap();
    assert!(matches!(refused, AuditError::Busy { .. }), "{refused}");
    log.close().unwrap();
    place.open("kms");
}

#[test]
fn a_name_that_would_leave_the_directory_is_refused() {
    let place = Place::new();
    for name in ["", ".", "../kms", "a/b", "a\nb", "über", &"a".repeat(101)] {
        let refused = place.try_open(name).err().unwrap();
        assert!(
            matches!(refused, AuditError::Name(_)),
            "{name:?}: {refused}"
        );
    }
}

#[test]
fn an_event_larger_than_a_record_may_be_is_refused_and_harms_nothing() {
    let place = Place::new();
    let log = place.open("kms");
    let (origin, huge) = (origin(), "x".repeat(chain::MAX_LINE));
    let event = Event::new(&origin, "PutKeyPolicy", alice()).parameter("policy", huge);
    assert!(matches!(
        log.record(event),
        Err(AuditError::TooLarge { .. })
    ));
    open_files(&log, 1);
    log.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0);
}

#[test]
fn many_threads_write_one_chain_in_either_durability() {
    for durability in [Durability::Balanced, Durability::Strict] {
        let place = Place::new();
        let log = Log::open(place.path(), "kms", durability, place.signer.clone()).unwrap();
        let mut seqs = std::thread::scope(|scope| {
            let write = || {
                let origin = origin();
                let record = |_| {
                    log.record(Event::new(&origin, "Open", alice()))
                        .unwrap()
                        .seq
                };
                (0..50).map(record).collect::<Vec<_>>()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        });
        seqs.sort_unstable();
        assert_eq!(
            seqs,
            (2..=201).collect::<Vec<_>>(),
            "the first record is the log's own"
        );
        log.close().unwrap();
        assert_eq!(place.verify().exit_code(), 0);
    }
}

#[test]
fn the_signed_head_follows_on_its_own() {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 3);
    let begun = Instant::now();
    let head = || -> Json {
        serde_json::from_slice(&std::fs::read(place.file("kms.head")).unwrap()).unwrap()
    };
    while head()["seq"] != 4 {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "the head does not follow"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(log.head().seq, 4);
    // Running, with its newest records not yet covered, a log is intact all the same.
    open_files(&log, 3);
    assert_eq!(
        verify(place.path(), Some(&place.signer.public_key()))
            .unwrap()
            .exit_code(),
        0
    );
}

#[test]
fn a_running_log_whose_tail_is_cut_is_truncated() {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 3);
    log.checkpoint().unwrap();
    let lines = place.lines("kms");
    place.write_lines("kms", &lines[..lines.len() - 1]);
    let report = verify(place.path(), Some(&place.signer.public_key())).unwrap();
    assert_eq!(report.exit_code(), 4, "{report}");
}

#[test]
fn a_log_verified_while_it_is_written_is_intact() {
    let place = Place::new();
    let (kms, volume) = (place.open("kms"), place.open("volume-1"));
    let key = place.signer.public_key();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..100 {
                open_files(&volume, 20);
                volume.checkpoint().unwrap();
                open_files(&kms, 20);
                kms.checkpoint().unwrap();
            }
        });
        while !writing.is_finished() {
            let report = verify(place.path(), Some(&key)).unwrap();
            assert_eq!(report.exit_code(), 0, "{report}");
        }
    });
}

#[test]
fn a_checkpoint_is_written_every_4096_records() {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 4096);
    let begun = Instant::now();
    while !place
        .lines("kms")
        .iter()
        .any(|line| line.as_bytes().starts_with(checkpoint::PREFIX))
    {
        assert!(
            begun.elapsed() < Duration::from_secs(5),
            "no checkpoint before its 10 seconds"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    log.close().unwrap();
    let report = place.verify();
    assert_eq!(
        (report.exit_code(), report.logs[0].checkpoints > 0),
        (0, true),
        "{report}"
    );
}

#[test]
fn an_anchor_that_fails_stops_a_new_log_and_does_not_stop_a_running_one() {
    let place = Place::new();
    let anchor = Arc::new(Deaf::new(&place.signer));
    let log = Log::open(
        place.path(),
        "volume-1",
        Durability::Balanced,
        anchor.clone(),
    )
    .unwrap();
    anchor.turn(true);
    open_files(&log, 3);
    assert!(matches!(log.checkpoint(), Err(AuditError::Anchor { .. })));
    assert!(matches!(log.close(), Err(AuditError::Anchor { .. })));
    assert_eq!(place.verify().exit_code(), 5);
    assert!(matches!(
        Log::open(place.path(), "volume-2", Durability::Balanced, anchor),
        Err(AuditError::Anchor { .. })
    ));
}

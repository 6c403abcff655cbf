//! Queries and tails.

use super::*;

fn record(
    log: &Log,
    name: &'static str,
    user: &str,
    path: &[u8],
    add: impl FnOnce(Event<'_>) -> Event<'_>,
) {
    let origin = origin();
    let by = Identity::user(format!("arn:aws:iam::000000000000:user/{user}"));
    let uid = if user == "alice" { 1000 } else { 1001 };
    let event = Event::new(&origin, name, by.ids(Some(uid), None)).path(path);
    log.record(add(event)).unwrap();
}

const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/k-1";

fn sample() -> Place {
    let place = Place::new();
    let (kms, volume) = (place.open("kms"), place.open("volume-1"));
    record(&volume, "Open", "alice", b"hr/a", |event| {
        event.file_id("f-1").key(KEY)
    });
    record(&volume, "Open", "bob", b"hr/a", |event| {
        event.denied(Refusal::NoAllow, Vec::new())
    });
    record(&kms, "Decrypt", "bob", b"", |event| {
        event.key(KEY).error("AccessDeniedException", "")
    });
    record(&volume, "Rename", "bob", b"tmp/x", |event| {
        event.new_path(b"hr/\xff")
    });
    record(&volume, "Open", "alice", b"etc", |event| {
        event.error("EIO", "damaged")
    });
    place
}

/// The records of callers that pass, as `name user`.
fn found(place: &Place, filter: Filter) -> Vec<String> {
    let records = query(place.path(), filter).unwrap().map(Result::unwrap);
    let records = records.filter(|record| record.user != "AWSService");
    records
        .map(|record| format!("{} {}", record.name, record.user))
        .collect()
}

#[test]
fn each_filter_selects_what_it_names() {
    type Case = (fn(&mut Filter), &'static [&'static str]);
    const ALL: &[&str] = &[
        "Open alice",
        "Open bob",
        "Decrypt bob",
        "Rename bob",
        "Open alice",
    ];
    const BOB: &[&str] = &["Open bob", "Decrypt bob", "Rename bob"];
    const BOB_ARN: &str = "arn:aws:iam::000000000000:user/bob";
    const WITH_KEY: &[&str] = &["Open alice", "Decrypt bob"];
    const BELOW_HR: &[&str] = &["Open alice", "Open bob", "Rename bob"];
    let cases: &[Case] = &[
        (|_| {}, ALL),
        (|filter| filter.log = Some("kms".into()), &["Decrypt bob"]),
        (|filter| filter.user = Some("bob".into()), BOB),
        (|filter| filter.user = Some(BOB_ARN.into()), BOB),
        (|filter| filter.user = Some("1001".into()), BOB),
        (|filter| filter.user = Some("carol".into()), &[]),
        (
            |filter| filter.event = Some("Rename".into()),
            &["Rename bob"],
        ),
        (
            |filter| filter.path = Some(Paths::parse("/hr").unwrap()),
            BELOW_HR,
        ),
        (
            |filter| filter.path = Some(Paths::Below(b"hr/\xff".to_vec())),
            &["Rename bob"],
        ),
        (
            |filter| filter.outcome = Some(Outcome::Denied),
            &["Open bob", "Decrypt bob"],
        ),
        (
            |filter| filter.outcome = Some(Outcome::Failed),
            &["Open alice"],
        ),
        (
            |filter| filter.outcome = Some(Outcome::Allowed),
            &["Open alice", "Rename bob"],
        ),
        (|filter| filter.key = Some(KEY.into()), WITH_KEY),
        (|filter| filter.key = Some("k-1".into()), WITH_KEY),
        (
            |filter| filter.file_id = Some("f-1".into()),
            &["Open alice"],
        ),
        (
            |filter| (filter.user, filter.event) = (Some("bob".into()), Some("Open".into())),
            &["Open bob"],
        ),
    ];
    let place = sample();
    for (set, expected) in cases {
        let mut filter = Filter::default();
        set(&mut filter);
        assert_eq!(found(&place, filter.clone()), *expected, "{filter:?}");
    }
}

#[test]
fn since_selects_by_time_across_logs() {
    let place = sample();
    let records: Vec<Record> = query(place.path(), Filter::default())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(records.is_sorted_by_key(|record| record.time.clone()));
    let decrypt = records
        .iter()
        .find(|record| record.name == "Decrypt")
        .unwrap();
    let since = Some(decrypt.time.parse().unwrap());
    let found = found(
        &place,
        Filter {
            since,
            ..Filter::default()
        },
    );
    assert_eq!(found, ["Decrypt bob", "Rename bob", "Open alice"]);
}

#[test]
fn a_line_that_is_no_record_is_reported_and_passed_over() {
    let place = sample();
    let mut lines = place.lines("volume-1");
    lines[1] = "garbage".to_owned();
    place.write_lines("volume-1", &lines);
    let (good, bad): (Vec<_>, Vec<_>) = query(place.path(), Filter::default())
        .unwrap()
        .partition(Result::is_ok);
    assert!(matches!(&bad[..], [Err(AuditError::Malformed { .. })]));
    assert!(
        good.iter()
            .any(|record| record.as_ref().unwrap().error_code.as_deref() == Some("EIO"))
    );
}

#[test]
fn a_tail_gives_the_last_records_of_all_logs_and_follows() {
    let place = sample();
    let (records, mut follow) = tail(place.path(), 3, Filter::default()).unwrap();
    let names: Vec<_> = records.iter().map(|record| record.name.as_str()).collect();
    // Closing wrote checkpoints; they are the newest.
    assert_eq!(records.len(), 3);
    assert_eq!(names[1..], ["Checkpoint", "Checkpoint"]);
    assert_eq!(follow.poll().unwrap(), []);

    let (kms, other) = (place.open("kms"), place.open("volume-2"));
    record(&kms, "Encrypt", "alice", b"", |event| event);
    record(&other, "Open", "alice", b"x", |event| event);
    let names: Vec<_> = follow
        .poll()
        .unwrap()
        .into_iter()
        .map(|record| record.name)
        .collect();
    assert_eq!(names, ["LogOpened", "LogCreated", "Encrypt", "Open"]);
    assert_eq!(follow.poll().unwrap(), []);
}

#[test]
fn a_filtered_tail_looks_back_as_far_as_it_has_to() {
    let place = Place::new();
    let log = place.open("volume-1");
    record(&log, "Open", "bob", b"only", |event| event);
    open_files(&log, 1000);
    let filter = Filter {
        user: Some("bob".to_owned()),
        ..Filter::default()
    };
    let (records, mut follow) = tail(place.path(), 10, filter).unwrap();
    assert_eq!(
        records.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [2]
    );
    open_files(&log, 3);
    record(&log, "Open", "bob", b"again", |event| event);
    let paths: Vec<_> = follow
        .poll()
        .unwrap()
        .into_iter()
        .filter_map(|record| record.path)
        .collect();
    assert_eq!(paths, [b"again"]);
}

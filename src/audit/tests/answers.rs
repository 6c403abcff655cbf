//! Who used a file, what a user touched, what was refused; and records for other collectors.

use super::*;

const KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/k-1";

fn record(
    log: &Log,
    name: &'static str,
    user: &str,
    with: impl for<'e> FnOnce(Event<'e>) -> Event<'e>,
) {
    let origin = origin();
    let by = Identity::user(format!("arn:aws:iam::000000000000:user/{user}"));
    let event = Event::new(&origin, name, by.ids(Some(1000), None));
    log.record(with(event)).unwrap();
}

/// `june` is made by ann, read by bob, renamed by ann to `old` and read there by cid; another file
/// becomes `june` afterwards, and dan is refused.
fn sample() -> Place {
    let place = Place::new();
    let (kms, log) = (place.open("kms"), place.open("volume-1"));
    record(&log, "Create", "ann", |e| e.path(b"hr/june").file_id("f-1"));
    record(&log, "Close", "ann", |e| {
        let e = e.path(b"hr/june").file_id("f-1").read_only();
        e.parameter("bytesRead", 0_u64)
            .parameter("bytesWritten", 7_u64)
    });
    record(&log, "Open", "bob", |e| {
        e.path(b"hr/june").file_id("f-1").read_only()
    });
    record(&kms, "Decrypt", "bob", |e| e.key(KEY).read_only());
    record(&log, "Close", "bob", |e| {
        let e = e.path(b"hr/june").file_id("f-1").read_only();
        e.parameter("bytesRead", 5_u64)
            .parameter("bytesWritten", 0_u64)
    });
    record(&log, "Rename", "ann", |e| {
        e.path(b"hr/june").new_path(b"old")
    });
    record(&log, "Open", "cid", |e| {
        e.path(b"old").file_id("f-1").read_only()
    });
    record(&log, "Open", "eve", |e| {
        e.path(b"hr/july").file_id("f-2").read_only()
    });
    for _ in 0..2 {
        record(&log, "Open", "dan", |e| {
            let no = e.path(b"hr/june").error("AccessDenied", "refused");
            no.denied(Refusal::ExplicitDeny, vec!["tree:NoDan".to_owned()])
        });
    }
    place
}

fn by_path(path: &str) -> Filter {
    Filter {
        path: Some(Paths::parse(path).unwrap()),
        ..Filter::default()
    }
}

#[test]
fn a_file_is_followed_under_every_name_it_had() {
    let place = sample();
    for filter in [
        by_path("/hr/june"),
        Filter {
            file_id: Some("f-1".to_owned()),
            ..Filter::default()
        },
    ] {
        let by_id = filter.file_id.is_some();
        let users = users_of(place.path(), &filter).unwrap();
        let of = |name: &str| {
            let found = users.iter().find(|(who, _)| who.user == name);
            found.map(|(_, used)| used.clone()).unwrap_or_default()
        };
        let (ann, bob, cid, dan) = (of("ann"), of("bob"), of("cid"), of("dan"));
        assert_eq!((ann.opens, ann.bytes_written), (1, 7));
        assert_eq!((bob.opens, bob.bytes_read, bob.changes), (1, 5, 0));
        assert_eq!(cid.opens, 1);
        assert_eq!(cid.paths, [b"old".to_vec()].into());
        // A rename and a refused open have a path and no id.
        assert_eq!(
            (ann.changes, dan.denied),
            if by_id { (0, 0) } else { (1, 2) }
        );
        assert_eq!(of("eve"), Use::default());
    }
}

#[test]
fn a_directory_stands_for_what_is_below_it() {
    let users = users_of(sample().path(), &by_path("/hr")).unwrap();
    let names: Vec<_> = users.keys().map(|who| &*who.user).collect();
    assert_eq!(names, ["ann", "bob", "cid", "dan", "eve"]);
}

#[test]
fn what_a_user_touched_is_told_by_path_and_key() {
    let filter = Filter {
        user: Some("bob".to_owned()),
        ..Filter::default()
    };
    let touched = touched_by(sample().path(), filter).unwrap();
    let rows: Vec<_> = touched
        .iter()
        .map(|(subject, touched)| {
            (
                subject.path.clone(),
                subject.keys.len(),
                touched.events.clone(),
            )
        })
        .collect();
    let count = |names: &[&str]| -> BTreeMap<String, u64> {
        names.iter().map(|name| ((*name).to_owned(), 1)).collect()
    };
    assert_eq!(
        rows,
        [
            (None, 1, count(&["Decrypt"])),
            (Some(b"hr/june".to_vec()), 0, count(&["Open", "Close"])),
        ]
    );
}

#[test]
fn repeated_denials_are_one_row_with_the_statements_that_refused() {
    let denials = denials(sample().path(), Filter::default()).unwrap();
    assert_eq!(denials.len(), 1);
    let (denial, times) = denials.first_key_value().unwrap();
    assert_eq!(
        (&*denial.who.user, &*denial.event, times.count),
        ("dan", "Open", 2)
    );
    assert_eq!(denial.statements, ["tree:NoDan"]);
    assert!(times.span.first < times.span.last);
}

#[test]
fn each_record_becomes_an_event_of_the_open_schema() {
    let place = sample();
    for record in query(place.path(), Filter::default()).unwrap() {
        let record = record.unwrap();
        let event = ocsf(&record, "host-1");
        let number = |name: &str| {
            event[name]
                .as_u64()
                .unwrap_or_else(|| panic!("{name}: {event}"))
        };
        let (class, activity) = (number("class_uid"), number("activity_id"));
        assert_eq!(number("type_uid"), class * 100 + activity);
        assert_eq!(number("category_uid"), class / 1000);
        assert!(number("time") > 1_700_000_000_000, "milliseconds: {event}");
        assert_eq!(event["raw_data"], record.line);
        assert_eq!(event["metadata"]["uid"], record.event_id);
        let required: &[&str] = match class {
            1001 => &[
                "actor",
                "device",
                "file",
                "metadata",
                "severity_id",
                "status_id",
            ],
            6003 => &[
                "actor",
                "api",
                "src_endpoint",
                "metadata",
                "severity_id",
                "status_id",
            ],
            other => panic!("class {other}"),
        };
        for name in required {
            assert!(!event[name].is_null(), "{name}: {event}");
        }
        let expected = match (&*record.name, record.outcome) {
            ("Create", _) => (1001, 1, 1),
            ("Open", Outcome::Allowed) => (1001, 14, 1),
            ("Open", _) => (1001, 14, 2),
            ("Rename", _) => (1001, 5, 1),
            ("Decrypt" | "LogCreated" | "Checkpoint", _) => (6003, 99, 1),
            _ => continue,
        };
        assert_eq!(
            (class, activity, number("disposition_id")),
            expected,
            "{event}"
        );
        if record.name == "Rename" {
            assert_eq!(event["file"]["path"], "/hr/june");
            assert_eq!(event["file_result"]["name"], "old");
        }
    }
}

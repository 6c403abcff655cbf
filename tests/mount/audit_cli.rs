//! What is recorded, and that a changed log is found.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use predicates::prelude::*;
use serde_json::{Value, json};

use crate::common::{ANN, BOB, Home, ROOT, TAKES_EFFECT, kmsfs, within};

const INTACT: i32 = 0;
const TAMPERED: i32 = 3;
const TRUNCATED: i32 = 4;
const UNANCHORED: i32 = 5;

/// A home with some history, nothing mounted.
fn with_history() -> Home {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    ROOT.can(
        &mount.point,
        "for n in 1 2 3 4 5; do echo text > f$n; cat f$n; mv f$n g$n; done; rm g1; chmod 600 g2",
    );
    home.run(["key", "rotate", &volume.key]);
    drop(mount);
    home
}

fn volume_log(home: &Home) -> PathBuf {
    let is_volumes = |path: &PathBuf| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("volume-")
    };
    home.audit_logs().into_iter().find(is_volumes).unwrap()
}

/// Whether any string of the record is this path, as the base64 of its bytes.
fn names_path(record: &Value, path: &str) -> bool {
    match record {
        Value::String(text) => STANDARD
            .decode(text)
            .is_ok_and(|bytes| bytes.strip_prefix(b"/").unwrap_or(&bytes) == path.as_bytes()),
        Value::Array(values) => values.iter().any(|value| names_path(value, path)),
        Value::Object(fields) => fields.values().any(|value| names_path(value, path)),
        _ => false,
    }
}

#[test]
fn an_untouched_log_is_intact() {
    let home = with_history();
    home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
    let report = home.json(["audit", "verify"]);
    assert_eq!(report["verdict"], "intact");
    let logs = report["logs"].as_array().unwrap();
    assert_eq!(
        logs.len(),
        2,
        "the key service's and the volume's: {report}"
    );
    assert!(
        logs.iter().all(|log| log["verdict"] == "intact"),
        "{report}"
    );
}

#[test]
fn a_log_is_intact_while_its_volume_is_mounted() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    for round in 0..50 {
        fs::write(mount.path(round.to_string()), b"x").unwrap();
        if round % 10 == 0 {
            home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
        }
    }
}

#[test]
fn every_way_to_change_a_log_is_found_and_its_line_named() {
    type Change = fn(&mut Vec<String>);
    let home = with_history();
    let changes: [(&str, Change, i32); 6] = [
        (
            "edited",
            |lines| lines[4] = lines[4].replacen("event", "evont", 1),
            TAMPERED,
        ),
        ("deleted", |lines| drop(lines.remove(4)), TAMPERED),
        (
            "inserted",
            |lines| lines.insert(4, lines[2].clone()),
            TAMPERED,
        ),
        ("reordered", |lines| lines.swap(4, 5), TAMPERED),
        ("last line cut", |lines| drop(lines.pop()), TRUNCATED),
        (
            "half cut",
            |lines| lines.truncate(lines.len() / 2),
            TRUNCATED,
        ),
    ];
    for log in home.audit_logs() {
        let original = fs::read_to_string(&log).unwrap();
        for (what, change, code) in changes {
            let mut lines: Vec<String> = original.lines().map(str::to_owned).collect();
            assert!(lines.len() > 6, "{}", log.display());
            change(&mut lines);
            fs::write(&log, lines.join("\n") + "\n").unwrap();
            let assert = home.kmsfs().args(["audit", "verify"]).assert();
            let output = assert.get_output();
            let text = [output.stdout.as_slice(), &output.stderr].concat();
            let text = String::from_utf8_lossy(&text).into_owned();
            assert_eq!(output.status.code(), Some(code), "{what}: {text}");
            assert!(
                text.contains(log.file_name().unwrap().to_str().unwrap()),
                "{what}: {text}"
            );
            if code == TAMPERED {
                assert!(text.contains("line 5"), "{what}: {text}");
            }
        }
        fs::write(&log, original).unwrap();
        home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
    }
}

#[test]
fn a_log_that_is_gone_is_missed() {
    let home = with_history();
    fs::remove_file(volume_log(&home)).unwrap();
    home.kmsfs()
        .args(["audit", "verify"])
        .assert()
        .code(TRUNCATED);
}

#[test]
fn a_log_without_its_signed_head_is_not_anchored() {
    let home = with_history();
    fs::remove_file(volume_log(&home).with_extension("head")).unwrap();
    home.kmsfs()
        .args(["audit", "verify"])
        .assert()
        .code(UNANCHORED);
}

#[test]
fn opens_changes_and_closes_are_recorded_with_who_and_what() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    ANN.can(
        &mount.point,
        "printf 12345 > paper; cat paper; chmod 640 paper; mv paper slip; rm slip",
    );
    drop(mount);
    let records = home.audit_records();
    let of_ann: Vec<&Value> = records
        .iter()
        .filter(|record| record["userIdentity"]["uid"] == ANN.0)
        .collect();
    let named = |path: &str| {
        of_ann
            .iter()
            .filter(|record| names_path(record, path))
            .count()
    };
    assert!(
        named("paper") >= 4,
        "create, open, chmod, rename: {of_ann:#?}"
    );
    assert!(named("slip") >= 2, "rename, unlink: {of_ann:#?}");
    for record in &of_ann {
        assert_eq!(record["userIdentity"]["arn"], ANN.arn());
        assert_eq!(record["eventVersion"], "1.11");
    }
    let totals = records.iter().any(|record| {
        names_path(record, "paper") && record.to_string().contains("\"bytesWritten\":5")
    });
    assert!(totals, "a close tells how much was written: {records:#?}");
}

#[test]
fn a_denial_is_recorded_and_found_by_query() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    ROOT.can(&mount.point, "umask 0; echo text > secret.txt");
    ANN.cannot(&mount.point, "cat secret.txt");
    let found = home.run([
        "audit",
        "query",
        "--outcome",
        "denied",
        "--path",
        "/secret*",
        "--user",
        &ANN.0.to_string(),
        "--json",
    ]);
    let records: Vec<Value> = found
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(records.len(), 1, "{found}");
    assert_eq!(records[0]["userIdentity"]["uid"], ANN.0);
    assert_eq!(records[0]["errorCode"], "AccessDenied");
    let text = home.run(["audit", "query", "--outcome", "denied"]);
    assert!(
        text.contains("secret.txt") && text.contains("denied"),
        "{text}"
    );
}

#[test]
fn a_file_event_and_its_key_event_share_an_id() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), b"x").unwrap();
    let mount = volume.mount(); // no data key is cached now: an open asks the key service
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"x");
    drop(mount);
    let records = home.audit_records();
    let decrypts: Vec<&Value> = records
        .iter()
        .filter(|record| {
            record["eventSource"] == "kms.amazonaws.com" && record["eventName"] == "Decrypt"
        })
        .collect();
    let joined = decrypts.iter().any(|decrypt| {
        let shared = &decrypt["sharedEventID"];
        !shared.is_null()
            && records.iter().any(|record| {
                record["eventSource"] == "kmsfs.amazonaws.com"
                    && &record["sharedEventID"] == shared
                    && names_path(record, "f")
            })
    });
    assert!(joined, "{decrypts:#?}");
}

#[test]
fn a_file_name_cannot_forge_a_record() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let name = "x\n{\"eventName\":\"Forged\"}\n";
    fs::write(mount.path(name), b"x").unwrap();
    drop(mount);
    home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
    assert!(
        home.audit_records()
            .iter()
            .all(|record| record["eventName"] != "Forged")
    );
    let shown = home.run(["audit", "query", "--path", "/x*"]);
    assert!(shown.lines().all(|line| !line.starts_with('{')), "{shown}");
}

#[test]
fn query_narrows_by_event_key_time_and_limit() {
    let home = with_history();
    let count = |arguments: &[&str]| {
        let command = ["audit", "query", "--json"].iter().chain(arguments);
        home.run(command).lines().count()
    };
    let all = count(&[]);
    assert!(all > 20, "{all}");
    assert_eq!(count(&["--limit", "3"]), 3);
    assert_eq!(count(&["--since", "1h"]), all);
    assert_eq!(count(&["--since", "2999-01-01"]), 0);
    assert_eq!(count(&["--event", "RotateKeyOnDemand"]), 1);
    assert_eq!(count(&["--path", "/no/such*"]), 0);
    let key = home.json(["key", "list"])["Keys"][0]["KeyId"]
        .as_str()
        .unwrap()
        .to_owned();
    let of_key = count(&["--key", &key]);
    assert!(of_key > 0 && of_key < all, "{of_key} of {all}");
}

#[test]
fn tail_shows_the_last_records_oldest_first() {
    let home = with_history();
    let tail = home.run(["audit", "tail", "-n", "4", "--json"]);
    let times: Vec<String> = tail
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["eventTime"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(times.len(), 4);
    assert!(times.is_sorted());
    assert_eq!(home.run(["audit", "tail"]).lines().count(), 10);
}

#[test]
fn the_logs_hold_no_plaintext_and_no_key_bytes() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("f"), b"PLAINTEXT-CONTENT").unwrap();
    fs::read(mount.path("f")).unwrap();
    drop(mount);
    let absent = predicate::str::contains("PLAINTEXT-CONTENT")
        .or(predicate::str::contains("\"Plaintext\""))
        .or(predicate::str::contains("correct horse"))
        .not();
    for log in home.audit_logs() {
        let text = fs::read_to_string(&log).unwrap();
        assert!(absent.eval(&text), "{}", log.display());
    }
}

#[test]
fn a_log_that_cannot_be_written_stops_new_opens_with_eio() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let small = TinyFilesystem::for_logs(&home, "512k");
    let audit = home.dir().join("audit");

    let mount = volume.mount();
    fs::write(mount.path("f"), b"content").unwrap();
    let filler = audit.join("filler");
    small.fill(&filler);
    let mut refused = None;
    for round in 0..2000 {
        if let Err(error) = fs::File::open(mount.path("f")) {
            refused = Some((round, error));
            break;
        }
    }
    let (_, error) = refused.expect("opens went on without a record");
    assert_eq!(
        error.raw_os_error(),
        Some(rustix::io::Errno::IO.raw_os_error())
    );

    let log = volume_log(&home);
    within(TAKES_EFFECT, "the log says that it is full", || {
        let _ = fs::File::open(mount.path("f"));
        let text = fs::read_to_string(&log).unwrap();
        text.contains("\"eventName\":\"LogFull\"")
    });

    fs::remove_file(filler).unwrap();
    assert_eq!(
        fs::read(mount.path("f")).unwrap(),
        b"content",
        "it recovers when there is space"
    );
    drop(mount);
    home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
    let recovered = home.run(["audit", "query", "--event", "LogRecovered", "--json"]);
    assert!(recovered.contains("\"refusedEvents\":"), "{recovered}");
}

struct TinyFilesystem(PathBuf);

impl TinyFilesystem {
    fn mount(point: &Path, size: &str) -> Self {
        assert_cmd::Command::new("mount")
            .args(["-t", "tmpfs", "-o"])
            .arg(format!("size={size},mode=0700"))
            .arg("kmsfs-test")
            .arg(point)
            .assert()
            .success();
        Self(point.to_owned())
    }

    /// Puts the logs of `home` on a filesystem of their own, small enough to fill.
    fn for_logs(home: &Home, size: &str) -> Self {
        let audit = home.dir().join("audit");
        let saved = home.path("saved");
        fs::rename(&audit, &saved).unwrap();
        fs::create_dir(&audit).unwrap();
        let small = Self::mount(&audit, size);
        copy_all(&saved, &audit);
        small
    }

    fn fill(&self, file: &Path) {
        assert!(file.starts_with(&self.0));
        let result = fs::write(file, vec![0; 8 << 20]);
        assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    }
}

impl Drop for TinyFilesystem {
    fn drop(&mut self) {
        // Lazily, so that it also goes when a failed test left a mount with the log open.
        std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status()
            .unwrap();
    }
}

fn copy_all(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn a_rename_that_fails_is_recorded_as_failed() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::create_dir(mount.path("one")).unwrap();
    fs::create_dir_all(mount.path("two/full")).unwrap();
    let error = fs::rename(mount.path("one"), mount.path("two")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::DirectoryNotEmpty);
    drop(mount);
    let records = home.audit_records();
    let failed =
        |record: &&Value| record["eventName"] == "Rename" && record["errorCode"] == "Failed";
    assert_eq!(records.iter().filter(failed).count(), 1, "{records:#?}");
}

/// Ann makes a file, Bob is refused, Ann renames it and reads it there.
fn with_a_story() -> Home {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    ANN.can(&mount.point, "printf 12345 > june; mv june old; cat old");
    let deny_bob = json!({
        "Version": "2012-10-17",
        "Statement": [
            { "Sid": "all", "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" },
            { "Sid": "NotBob", "Effect": "Deny", "Principal": { "AWS": BOB.arn() },
              "Action": "kmsfs:*", "Resource": "*" },
        ],
    });
    volume.put_policy(&deny_bob);
    within(TAKES_EFFECT, "Bob is refused", || {
        !BOB.sh(&mount.point, "cat old").status.success()
    });
    drop(mount);
    home
}

#[test]
fn a_report_tells_who_used_a_file_under_whatever_name() {
    let home = with_a_story();
    let report = home.json(["audit", "report", "--path", "/june"]);
    let users = report["users"].as_array().unwrap();
    let ann = users
        .iter()
        .find(|row| row["uid"] == ANN.0)
        .unwrap_or_else(|| panic!("{report}"));
    assert_eq!(ann["bytesWritten"], 5, "{report}");
    assert_eq!(ann["opens"], 2, "made as `june`, opened as `old`: {report}");
    let paths = ann["paths"].as_array().unwrap();
    assert_eq!(paths.len(), 2, "{report}");
    let text = home.run(["audit", "report", "--path", "/june"]);
    assert!(text.contains("/june /old"), "{text}");
}

#[test]
fn a_report_tells_what_a_user_touched_and_what_was_denied_by_which_statement() {
    let home = with_a_story();
    let (ann, bob) = (ANN.0.to_string(), BOB.0.to_string());
    let text = home.run(["audit", "report", "--user", &ann]);
    assert!(
        text.contains("/june") && text.contains("Rename 1"),
        "{text}"
    );
    let text = home.run(["audit", "report", "--denials"]);
    assert!(text.contains("/old") && text.contains("NotBob"), "{text}");
    let denials = home.json(["audit", "report", "--denials", "--since", "1h"]);
    assert_eq!(denials["denials"][0]["uid"], BOB.0, "{denials}");
    let text = home.run(["audit", "report", "--denials", "--until", "1h"]);
    assert!(text.contains("nothing was denied"), "{text}");
    let text = home.run(["audit", "report", "--user", &bob, "--until", "1h"]);
    assert!(text.contains("touched nothing"), "{text}");
}

#[test]
fn a_report_wants_exactly_one_question() {
    let home = Home::new();
    for line in [
        "audit report",
        "audit report --denials --user ann",
        "audit report --rollbacks",
        "audit report --denials /backing",
    ] {
        home.kmsfs().args(line.split(' ')).assert().code(2);
    }
}

#[test]
fn query_prints_tables_json_and_csv() {
    let home = with_a_story();
    let ann = ANN.0.to_string();
    let query = |format: &str| home.run(["audit", "query", "--user", &ann, "--format", format]);
    let (table, json, csv) = (query("table"), query("json"), query("csv"));
    let records = json.lines().count();
    assert!(records > 3, "{json}");
    assert_eq!(table.lines().count(), records + 1);
    assert!(table.starts_with("TIME "), "{table}");
    assert_eq!(csv.lines().count(), records + 1);
    let header: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert_eq!(header[..4], ["time", "log", "seq", "event"]);
    assert!(
        csv.lines()
            .all(|line| line.split(',').count() == header.len()),
        "{csv}"
    );
    assert!(csv.contains("/june,/old"), "the rename: {csv}");
    assert_eq!(home.run(["audit", "query", "--user", &ann, "--json"]), json);
}

#[test]
fn query_follows_what_is_recorded() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let out = home.path("followed");
    let mut follower = std::process::Command::new(env!("CARGO_BIN_EXE_kmsfs"))
        .arg("--home")
        .arg(home.dir())
        .args([
            "audit", "query", "--follow", "--path", "/late*", "--format", "csv",
        ])
        .stdout(fs::File::create(&out).unwrap())
        .spawn()
        .unwrap();
    fs::write(mount.path("early"), b"x").unwrap();
    fs::write(mount.path("late"), b"x").unwrap();
    let shown = || fs::read_to_string(&out).unwrap();
    within(TAKES_EFFECT * 2, "the new record is shown", || {
        shown().contains("/late")
    });
    follower.kill().unwrap();
    follower.wait().unwrap();
    assert!(!shown().contains("/early"), "{}", shown());
    assert!(shown().starts_with("time,log,"), "{}", shown());
}

#[test]
fn export_gives_an_ocsf_event_for_each_record() {
    let home = with_a_story();
    let events = home.run(["audit", "export", "--ocsf"]);
    let records = home.run(["audit", "query", "--json"]);
    let raw: Vec<String> = events
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| event["raw_data"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(raw, records.lines().collect::<Vec<_>>());
}

#[test]
fn the_schema_that_is_printed_is_the_published_one() {
    let printed = kmsfs().args(["audit", "schema"]).assert().success();
    let published = include_str!("../../docs/audit.schema.json");
    assert_eq!(printed.get_output().stdout, published.as_bytes());
}

#[test]
fn logs_of_a_mount_and_its_key_service_rotate_as_they_were_told_and_stay_whole() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let settings = home.json([
        "audit",
        "settings",
        "--rotate-size",
        "1M",
        "--keep-age",
        "400d",
    ]);
    assert_eq!(settings["rotateBytes"], 1 << 20, "{settings}");
    assert_eq!(home.json(["audit", "settings"]), settings);
    let shown = home.run(["audit", "settings"]);
    assert!(
        shown.contains("400 days") && shown.contains("1.00 MiB"),
        "{shown}"
    );
    let audit = home.dir().join("audit");
    // Less than the command takes, so as not to write so much.
    let mut small = settings;
    small["rotateBytes"] = json!(8192);
    fs::write(audit.join("settings.json"), small.to_string()).unwrap();
    let mount = volume.mount();
    let names = ["kms".to_owned(), format!("volume-{}", volume.id)];
    let is_rotated = |name: &String| {
        let closed = fs::read_dir(audit.join(format!("{name}.closed")));
        closed.is_ok_and(|mut files| {
            files.any(|file| file.unwrap().path().extension() == Some("gz".as_ref()))
        })
    };
    let mut number = 0;
    within(Duration::from_secs(30), "both logs rotate", || {
        number += 1;
        fs::write(mount.path(format!("f{number}")), b"x").unwrap();
        home.run(["key", "list"]);
        names.iter().all(is_rotated)
    });
    home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
    drop(mount);
    home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
    let created = home.run(["audit", "query", "--event", "Create", "--json"]);
    assert_eq!(created.lines().count(), number);
    // The first closed file of each log goes; the other log says what is missing, or the log itself.
    for name in &names {
        let closed = audit.join(format!("{name}.closed"));
        let first = fs::read_dir(closed)
            .unwrap()
            .map(|file| file.unwrap().path())
            .min()
            .unwrap();
        let aside = home.path("aside");
        fs::rename(&first, &aside).unwrap();
        home.kmsfs()
            .args(["audit", "verify"])
            .assert()
            .code(TAMPERED);
        fs::rename(&aside, &first).unwrap();
    }
}

#[test]
fn heads_kept_elsewhere_tell_that_all_logs_of_a_home_were_removed() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let (heads, audit) = (home.path("heads"), home.dir().join("audit"));
    let sink = format!("heads:{}", heads.display());
    let settings = home.json(["audit", "settings", "--sink", &sink]);
    assert_eq!(settings["sinks"], json!([sink]), "{settings}");
    fs::write(volume.mount().path("f"), b"x").unwrap();
    let verify = |code: i32| {
        let mut command = home.kmsfs();
        command.args(["audit", "verify", "--heads"]).arg(&heads);
        command.assert().code(code);
    };
    verify(INTACT);
    for entry in fs::read_dir(&audit).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    home.kmsfs()
        .args(["audit", "verify"])
        .assert()
        .code(UNANCHORED);
    verify(TRUNCATED);
}

/// Whether a log has the record of an open of `path`.
fn has_open_of(log: &Path, path: &str) -> bool {
    let path = format!("\"path\":\"{}\"", STANDARD.encode(path));
    let text = fs::read_to_string(log).unwrap();
    text.lines()
        .any(|line| line.contains(&path) && line.contains("\"eventName\":\"Open\""))
}

#[test]
fn no_open_succeeds_before_its_record_is_in_the_log() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let small = TinyFilesystem::for_logs(&home, "4m");
    let audit = home.dir().join("audit");

    let mount = volume.mount();
    let log = volume_log(&home);
    let names: Vec<String> = (0..150).map(|number| format!("f{number}")).collect();
    for name in &names {
        fs::write(mount.path(name), b"x").unwrap();
    }
    // The disk is full every other moment, while three threads open.
    let (done, opened, refused) = (
        AtomicBool::new(false),
        AtomicUsize::new(0),
        AtomicUsize::new(0),
    );
    std::thread::scope(|scope| {
        let filler = audit.join("filler");
        let (small, done) = (&small, &done);
        scope.spawn(move || {
            while !done.load(Ordering::Relaxed) {
                small.fill(&filler);
                std::thread::sleep(Duration::from_millis(30));
                fs::remove_file(&filler).unwrap();
                std::thread::sleep(Duration::from_millis(30));
            }
        });
        let openers: Vec<_> = names
            .chunks(names.len() / 3)
            .map(|names| {
                let (mount, log, opened, refused) = (&mount, &log, &opened, &refused);
                scope.spawn(move || {
                    for name in names {
                        std::thread::sleep(Duration::from_millis(3));
                        match fs::File::open(mount.path(name)) {
                            Ok(_) => {
                                opened.fetch_add(1, Ordering::Relaxed);
                                assert!(
                                    has_open_of(log, name),
                                    "{name} was opened without a record"
                                );
                            }
                            Err(error) => {
                                let code = rustix::io::Errno::IO.raw_os_error();
                                assert_eq!(error.raw_os_error(), Some(code), "{name}");
                                refused.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                    }
                })
            })
            .collect();
        let mut results = Vec::new();
        for opener in openers {
            results.push(opener.join());
        }
        done.store(true, Ordering::Relaxed);
        for result in results {
            result.unwrap();
        }
    });
    assert!(opened.into_inner() > 0, "no open succeeded");
    assert!(refused.into_inner() > 0, "the disk was never full");
    drop(mount);
    home.kmsfs().args(["audit", "verify"]).assert().code(INTACT);
}

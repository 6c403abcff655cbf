//! What a killed writer or a power loss leaves, and that nothing else is taken for it.

use std::fs;
use std::io::Write;

use super::*;

/// A log as SIGKILL leaves it: its last `unsigned` records are not covered by the head.
fn crashed(unsigned: u64) -> Place {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 5);
    log.checkpoint().unwrap();
    let head = fs::read(place.file("kms.head")).unwrap();
    open_files(&log, unsigned);
    let content = fs::read(place.file("kms.jsonl")).unwrap();
    log.close().unwrap();
    fs::write(place.file("kms.jsonl"), content).unwrap();
    fs::write(place.file("kms.head"), head).unwrap();
    place
}

fn append(place: &Place, bytes: &[u8]) {
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(place.file("kms.jsonl"))
        .unwrap();
    file.write_all(bytes).unwrap();
}

fn refusal(place: &Place) -> String {
    match place.try_open("kms") {
        Err(error @ AuditError::Damaged { .. }) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("a damaged log was opened"),
    }
}

#[test]
fn records_after_the_head_are_kept_and_the_recovery_is_recorded() {
    let place = crashed(3);
    assert_eq!(place.verify().exit_code(), 5);
    let before = place.lines("kms");
    place.open("kms").close().unwrap();
    let after = place.lines("kms");
    assert_eq!(after[..before.len()], before);
    let recovered = &after[before.len()];
    assert!(
        recovered.contains(r#""eventName":"LogRecovered""#),
        "{recovered}"
    );
    assert!(
        recovered.contains(r#""unsignedRecords":3,"tornBytes":0"#),
        "{recovered}"
    );
    assert_eq!(place.verify().exit_code(), 0);
}

#[test]
fn an_unfinished_line_is_moved_aside() {
    for torn in [
        &br#"{"eventVersion":"1.11","eventType""#[..],
        b"\0\0\0\0",
        b"\0\0\n\0\n",
    ] {
        let place = crashed(1);
        let before = place.lines("kms");
        append(&place, torn);
        assert_ne!(place.verify().exit_code(), 0);
        place.open("kms").close().unwrap();
        let after = place.lines("kms");
        assert_eq!(after[..before.len()], before);
        let said = format!(r#""unsignedRecords":1,"tornBytes":{}"#, torn.len());
        assert!(
            after[before.len()].contains(&said),
            "{}",
            after[before.len()]
        );
        assert_eq!(
            fs::read(place.file("kms.torn")).unwrap(),
            [torn, b"\n"].concat()
        );
        assert_eq!(place.verify().exit_code(), 0);
    }
}

#[test]
fn an_unfinished_line_alone_is_unanchored_until_the_next_start() {
    let place = crashed(0);
    append(&place, br#"{"eventVersion""#);
    let verdict = place.verdict("kms");
    assert!(
        matches!(&verdict, Verdict::Unanchored(finding) if finding.reason.contains("unfinished"))
    );
}

#[test]
fn a_crash_before_the_first_head_does_not_hinder_the_next_start() {
    let place = Place::new();
    let log = place.open("kms");
    drop(log);
    let first = place.lines("kms").remove(0);
    for left in [String::new(), first[..40].to_owned(), format!("{first}\n")] {
        fs::remove_file(place.file("kms.head")).unwrap();
        fs::write(place.file("kms.jsonl"), left).unwrap();
        place.open("kms").close().unwrap();
        assert_eq!(place.verify().exit_code(), 0);
    }
}

#[test]
fn a_log_that_could_not_be_opened_several_times_is_intact_and_goes_on() {
    let place = Place::new();
    let deaf = Arc::new(Deaf::new(&place.signer));
    let fails = |name| {
        for _ in 0..4 {
            let opened = Log::open(place.path(), name, Durability::Balanced, deaf.clone());
            assert!(matches!(opened, Err(AuditError::Anchor { .. })));
        }
    };
    deaf.turn(true);
    fails("new");
    place.open("new").close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
    fails("new");
    let verdict = place.verdict("new");
    assert!(matches!(verdict, Verdict::Unanchored(_)), "{verdict:?}");
    place.open("new").close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

#[test]
fn a_log_whose_opening_found_the_disk_full_goes_on() {
    let place = Place::new();
    place.open("kms").close().unwrap();
    let mut lines = place.lines("kms");
    let at = lines.len();
    let full =
        r#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"LogFull","seq":1}"#;
    lines.push(full.to_owned());
    rehash("kms", &mut lines, at);
    place.write_lines("kms", &lines);
    let verdict = place.verdict("kms");
    assert!(matches!(verdict, Verdict::Unanchored(_)), "{verdict:?}");
    place.open("kms").close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

#[test]
fn a_log_closed_properly_says_so_and_that_it_was_opened() {
    let place = Place::new();
    place.open("kms").close().unwrap();
    let before = place.lines("kms");
    assert!(before[1].contains(r#""closing":true"#), "{}", before[1]);
    place.open("kms").close().unwrap();
    let after = place.lines("kms");
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), before.len() + 2);
    assert!(
        after[2].contains(r#""eventName":"LogOpened""#),
        "{}",
        after[2]
    );
    assert!(
        after[2].contains(r#""settings":{"rotateBytes":"#),
        "{}",
        after[2]
    );
}

#[test]
fn a_log_that_ends_before_its_head_is_not_continued() {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 5);
    log.close().unwrap();
    let lines = place.lines("kms");
    place.write_lines("kms", &lines[..lines.len() - 1]);
    assert!(refusal(&place).contains("it ends before record 7"));
    fs::remove_file(place.file("kms.jsonl")).unwrap();
    assert!(refusal(&place).contains("it ends before record 7"));
}

#[test]
fn a_log_whose_last_record_was_edited_is_not_continued() {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 5);
    log.close().unwrap();
    let mut lines = place.lines("kms");
    let last = lines.len() - 1;
    lines[last] = lines[last].replacen("AwsServiceEvent", "AwsServiceEvenT", 1);
    place.write_lines("kms", &lines);
    assert!(refusal(&place).contains("is not where it was"));
    rehash("kms", &mut lines, last);
    place.write_lines("kms", &lines);
    assert!(refusal(&place).contains("is not where it was"));
}

#[test]
fn a_record_after_the_head_that_was_edited_is_not_taken_for_a_crash() {
    let place = crashed(3);
    let mut lines = place.lines("kms");
    let at = lines.len() - 2;
    lines[at] = lines[at].replace("alice", "mallory");
    place.write_lines("kms", &lines);
    let refused = refusal(&place);
    assert!(refused.contains(&format!("line {}: ", at + 1)), "{refused}");
    assert_eq!(place.lines("kms"), lines, "a refused log is left as it is");
}

#[test]
fn a_log_without_its_head_is_not_continued() {
    let place = crashed(3);
    fs::remove_file(place.file("kms.head")).unwrap();
    assert!(refusal(&place).contains("is gone"));
}

#[test]
fn a_head_that_nobody_signed_is_not_believed() {
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 5);
    log.close().unwrap();
    // Cut to three records, with a head that fits but for the signature.
    let lines = place.lines("kms");
    place.write_lines("kms", &lines[..3]);
    let mut link = Link::genesis("kms");
    for line in &lines[..3] {
        link = link.follow(line.as_bytes()).unwrap();
    }
    let end = fs::metadata(place.file("kms.jsonl")).unwrap().len();
    let forger = Signer::new();
    let signature = forger
        .anchor("kms", link.seq, &link.hash)
        .unwrap()
        .signature;
    let files = files::Files::new(place.path(), "kms").unwrap();
    let tail = writer::Tail {
        link,
        first: 1,
        end,
    };
    head::SignedHead::new("kms", tail, signature)
        .write(&files)
        .unwrap();
    assert!(refusal(&place).contains("not signed"));
}

//! Each thing somebody with write access to the directory can do, and what is said of it.

use std::fs;

use super::*;

const VOLUME: &str = "volume-1";

/// Expects `verdict` to be `Tampered` at `line`.
#[track_caller]
fn assert_tampered_at(place: &Place, line: usize, reason: &str) {
    let verdict = place.verdict(VOLUME);
    let Verdict::Tampered(finding) = &verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(finding.line, line as u64, "{finding:?}");
    assert_eq!(finding.seq, line as u64, "{finding:?}");
    assert_eq!(finding.file, place.file("volume-1.jsonl"));
    assert!(finding.reason.contains(reason), "{finding:?}");
    assert_eq!(place.verify().exit_code(), 3);
    assert_eq!(
        place.verdict("kms"),
        Verdict::Intact,
        "the other log is not blamed"
    );
}

#[track_caller]
fn assert_truncated_after(place: &Place, lines: usize) {
    let verdict = place.verdict(VOLUME);
    let Verdict::Truncated(finding) = &verdict else {
        panic!("{verdict:?}")
    };
    assert_eq!(
        (finding.line, finding.seq),
        (lines as u64, lines as u64 + 1),
        "{finding:?}"
    );
    assert_eq!(place.verify().exit_code(), 4);
    assert_eq!(place.verdict("kms"), Verdict::Intact);
}

/// Does `attack` to the lines of a fresh copy of the same logs, at each line.
fn at_each_line(attack: impl Fn(&mut Vec<String>, usize), check: impl Fn(&Place, usize, usize)) {
    let place = Place::with_logs();
    let original = place.lines(VOLUME);
    for index in 0..original.len() {
        let mut lines = original.clone();
        attack(&mut lines, index);
        place.write_lines(VOLUME, &lines);
        check(&place, index, original.len());
    }
    place.write_lines(VOLUME, &original);
    assert_eq!(place.verify().exit_code(), 0);
}

#[test]
fn each_edited_line_is_named() {
    at_each_line(
        |lines, index| {
            // Every line has the one or the other.
            let edited = lines[index].replacen("us-east-1", "us-west-1", 1);
            lines[index] = edited.replacen("AWSService", "AwsService", 1);
        },
        |place, index, _| assert_tampered_at(place, index + 1, "edited"),
    );
}

#[test]
fn each_removed_line_is_named_by_the_line_in_its_place() {
    at_each_line(
        |lines, index| drop(lines.remove(index)),
        |place, index, count| {
            if index + 1 == count {
                assert_truncated_after(place, index);
            } else {
                assert_tampered_at(place, index + 1, "removed");
            }
        },
    );
}

#[test]
fn each_inserted_line_is_named() {
    at_each_line(
        |lines, index| {
            // The best that can be inserted: sealed to the line before it.
            lines.insert(index, lines[index].clone());
            let before = lines[index + 1..].to_vec();
            lines[index] = lines[index]
                .replace("alice", "mallory")
                .replace("AWSService", "Root");
            rehash(VOLUME, &mut lines[..=index], index);
            assert_eq!(lines[index + 1..], before);
        },
        |place, index, _| {
            // The line itself, if somebody vouches for the one whose place it took; else its
            // successor, whose place it took.
            let verdict = place.verdict(VOLUME);
            let Verdict::Tampered(finding) = &verdict else {
                panic!("{verdict:?}")
            };
            let (line, claimed) = (finding.line, finding.reason.contains("made anew"));
            let expected = if claimed { index + 1 } else { index + 2 };
            assert_eq!(line, expected as u64, "{finding:?}");
        },
    );
}

#[test]
fn each_line_of_garbage_is_named() {
    at_each_line(
        |lines, index| lines.insert(index, r#"{"eventName":"Open"}"#.to_owned()),
        |place, index, _| assert_tampered_at(place, index + 1, "no record"),
    );
}

#[test]
fn each_swapped_pair_is_named() {
    at_each_line(
        |lines, index| {
            let other = (index + 1) % lines.len();
            lines.swap(index, other);
        },
        |place, index, count| {
            let first = if index + 1 == count { 1 } else { index + 1 };
            assert_tampered_at(place, first, "moved");
        },
    );
}

#[test]
fn each_duplicated_line_is_named() {
    at_each_line(
        |lines, index| lines.insert(index, lines[index].clone()),
        |place, index, _| assert_tampered_at(place, index + 2, "inserted"),
    );
}

#[test]
fn a_cut_tail_of_any_length_is_truncation() {
    at_each_line(Vec::truncate, |place, index, _| {
        assert_truncated_after(place, index);
    });
}

#[test]
fn a_chain_made_anew_from_any_line_is_found_at_the_next_record_somebody_vouches_for() {
    at_each_line(
        |lines, index| {
            lines[index] = lines[index]
                .replace("alice", "mallory")
                .replace("AWSService", "Root");
            rehash(VOLUME, lines, index);
        },
        |place, index, _| {
            let verdict = place.verdict(VOLUME);
            let Verdict::Tampered(finding) = &verdict else {
                panic!("{verdict:?}")
            };
            assert!(finding.line > index as u64, "{finding:?}");
            assert!(finding.reason.contains("made anew"), "{finding:?}");
            assert_eq!(place.verify().exit_code(), 3);
        },
    );
}

#[test]
fn a_checkpoint_made_for_an_edited_chain_is_not_signed() {
    let place = Place::with_logs();
    let mut lines = place.lines(VOLUME);
    let at = lines
        .iter()
        .position(|line| line.contains(r#""Checkpoint""#))
        .unwrap();
    lines[1] = lines[1].replace("alice", "mallory");
    rehash(VOLUME, &mut lines[..at], 1);
    // The claim is made to fit the new chain; the signature cannot be.
    let mut link = Link::genesis(VOLUME);
    for line in &lines[..at] {
        link = link.follow(line.as_bytes()).unwrap();
    }
    let start = lines[at].find(r#""hash":""#).unwrap() + 8;
    let hex = super::super::json::hex(&link.hash);
    lines[at].replace_range(start..start + 64, std::str::from_utf8(&hex).unwrap());
    rehash(VOLUME, &mut lines, at);
    place.write_lines(VOLUME, &lines);
    assert_tampered_at(&place, at + 1, "not signed");
}

#[test]
fn a_deleted_log_is_truncation_whether_its_head_is_left_or_not() {
    let place = Place::with_logs();
    fs::remove_file(place.file("volume-1.jsonl")).unwrap();
    assert_truncated_after(&place, 0);
    fs::remove_file(place.file("volume-1.head")).unwrap();
    assert_truncated_after(&place, 0);
}

#[test]
fn an_older_copy_of_log_and_head_is_found_by_the_other_log() {
    let place = Place::new();
    let (kms, volume) = (place.open("kms"), place.open(VOLUME));
    open_files(&volume, 5);
    volume.close().unwrap();
    let copy = ["volume-1.jsonl", "volume-1.head"].map(|name| fs::read(place.file(name)).unwrap());
    let old = place.lines(VOLUME).len();

    let volume = place.open(VOLUME);
    open_files(&volume, 5);
    volume.close().unwrap();
    kms.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0);

    fs::write(place.file("volume-1.jsonl"), &copy[0]).unwrap();
    fs::write(place.file("volume-1.head"), &copy[1]).unwrap();
    assert_truncated_after(&place, old);
}

#[test]
fn a_log_begun_anew_in_place_of_the_old_one_is_found_by_the_other_log() {
    let place = Place::with_logs();
    fs::remove_file(place.file("volume-1.jsonl")).unwrap();
    fs::remove_file(place.file("volume-1.head")).unwrap();
    let volume = place.open(VOLUME);
    open_files(&volume, 40);
    volume.close().unwrap();
    let verdict = place.verdict(VOLUME);
    let Verdict::Tampered(finding) = &verdict else {
        panic!("{verdict:?}")
    };
    assert!(finding.reason.contains("of the log kms"), "{finding:?}");
}

#[test]
fn another_logs_file_and_head_do_not_pass_for_this_one() {
    let place = Place::with_logs();
    fs::copy(place.file("kms.jsonl"), place.file("volume-1.jsonl")).unwrap();
    fs::copy(place.file("kms.head"), place.file("volume-1.head")).unwrap();
    assert_tampered_at(&place, 1, "does not continue");
}

#[test]
fn a_removed_head_leaves_the_log_unanchored() {
    let place = Place::with_logs();
    fs::remove_file(place.file("volume-1.head")).unwrap();
    let verdict = place.verdict(VOLUME);
    assert!(matches!(&verdict, Verdict::Unanchored(finding) if finding.reason.contains("gone")));
    assert_eq!(place.verify().exit_code(), 5);
}

#[test]
fn a_removed_head_does_not_hide_a_cut_tail_from_the_other_log() {
    let place = Place::with_logs();
    fs::remove_file(place.file("volume-1.head")).unwrap();
    let lines = place.lines(VOLUME);
    place.write_lines(VOLUME, &lines[..lines.len() - 1]);
    assert_truncated_after(&place, lines.len() - 1);
}

#[test]
fn an_edited_head_is_tampering_with_the_head() {
    let place = Place::with_logs();
    let head = fs::read_to_string(place.file("volume-1.head")).unwrap();
    let count = place.lines(VOLUME).len();
    let edits = [
        head.replace(&format!("\"seq\":{count}"), "\"seq\":3"),
        head.replace("\"log\":\"volume-1\"", "\"log\":\"kms\""),
        head[..head.len() / 2].to_owned(),
        String::new(),
    ];
    for edited in edits {
        assert_ne!(edited, head);
        fs::write(place.file("volume-1.head"), &edited).unwrap();
        let verdict = place.verdict(VOLUME);
        let Verdict::Tampered(finding) = &verdict else {
            panic!("{edited}: {verdict:?}")
        };
        assert_eq!(finding.file, place.file("volume-1.head"));
        assert_eq!(place.verify().exit_code(), 3);
    }
}

#[test]
fn a_head_signed_by_another_key_is_tampering() {
    let place = Place::with_logs();
    let other = Place {
        directory: place.directory,
        signer: Signer::new(),
    };
    assert_eq!(other.verify().exit_code(), 3);
    assert!(matches!(
        other.try_open(VOLUME),
        Err(AuditError::Damaged { .. })
    ));
}

#[test]
fn a_record_appended_to_a_closed_log_is_tampering_and_never_signed() {
    let place = Place::with_logs();
    let closed = place.lines(VOLUME);
    let opening =
        r#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"LogOpened","seq":1}"#;
    let forged = closed[2].replace("alice", "mallory");
    let opened = opening.to_owned();
    let recovered = opening.replace("LogOpened", "LogRecovered");
    for appended in [
        vec![forged.as_str()],
        vec![&opened, forged.as_str()],
        vec![&opened, &recovered, forged.as_str()],
    ] {
        let mut lines = closed.clone();
        lines.extend(appended.iter().map(|line| (*line).to_owned()));
        rehash(VOLUME, &mut lines, closed.len());
        place.write_lines(VOLUME, &lines);
        let line = closed.len() + appended.len();
        assert_tampered_at(&place, line, "after the log had been closed");
        let refused = place.try_open(VOLUME).err().unwrap().to_string();
        assert!(refused.contains("had been closed"), "{refused}");
    }
}

#[test]
fn a_log_killed_while_it_was_opened_is_unanchored_and_goes_on() {
    let place = Place::with_logs();
    let closed = std::fs::read(place.file("volume-1.head")).unwrap();
    let count = place.lines(VOLUME).len();
    place.open(VOLUME).close().unwrap();
    let mut lines = place.lines(VOLUME);
    assert!(
        lines[count].contains(r#""eventName":"LogOpened""#),
        "{}",
        lines[count]
    );
    lines.truncate(count + 1);
    place.write_lines(VOLUME, &lines);
    std::fs::write(place.file("volume-1.head"), closed).unwrap();
    assert!(matches!(place.verdict(VOLUME), Verdict::Unanchored(_)));
    place.open(VOLUME).close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

#[test]
fn an_edited_checkpoint_of_one_log_does_not_accuse_the_other() {
    let place = Place::with_logs();
    let mut lines = place.lines("kms");
    let at = lines
        .iter()
        .rposition(|line| line.contains(r#""log":"volume-1","seq":"#))
        .unwrap();
    lines[at] = lines[at].replace(r#""log":"volume-1","seq":1"#, r#""log":"volume-1","seq":9"#);
    lines[at] = lines[at].replace(r#""log":"volume-1","seq":2"#, r#""log":"volume-1","seq":9"#);
    rehash("kms", &mut lines, at);
    place.write_lines("kms", &lines);
    assert!(matches!(place.verdict("kms"), Verdict::Tampered(_)));
    assert_eq!(place.verdict(VOLUME), Verdict::Intact);
}

#[test]
fn without_a_public_key_nothing_is_better_than_unanchored() {
    let place = Place::with_logs();
    let report = verify(place.path(), None).unwrap();
    assert_eq!(report.exit_code(), 5);
    let mut lines = place.lines(VOLUME);
    lines.remove(3);
    place.write_lines(VOLUME, &lines);
    assert_eq!(verify(place.path(), None).unwrap().exit_code(), 3);
}

#[test]
fn a_directory_without_logs_is_not_called_intact() {
    assert_eq!(Place::new().verify().exit_code(), 5);
}

#[test]
fn a_line_longer_than_any_record_is_tampering_and_not_read_whole() {
    let place = Place::with_logs();
    let mut lines = place.lines(VOLUME);
    lines.insert(4, "x".repeat(3 << 20));
    place.write_lines(VOLUME, &lines);
    assert_tampered_at(&place, 5, "no record");
}

#[test]
fn a_clock_set_back_a_day_breaks_nothing_and_lets_nothing_go() {
    let place = Place::new();
    let hour = std::num::NonZeroU64::new(3600);
    let settings = Settings {
        rotate_seconds: hour,
        keep_seconds: hour,
        ..Settings::default()
    };
    settings.write(place.path()).unwrap();
    let log = place.open(VOLUME);
    let mut lines = place.lines(VOLUME);
    log.close().unwrap();
    // The log as it would be had it been begun tomorrow, signed by the same key.
    let time = |line: &str| -> String {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        record["eventTime"].as_str().unwrap().to_owned()
    };
    let now: jiff::Timestamp = time(&lines[0]).parse().unwrap();
    let tomorrow = now + jiff::SignedDuration::from_hours(24);
    lines[0] = lines[0].replace(&time(&lines[0]), &format!("{tomorrow:.6}"));
    rehash(VOLUME, &mut lines, 0);
    place.write_lines(VOLUME, &lines);
    let link = Link::genesis(VOLUME).follow(lines[0].as_bytes()).unwrap();
    let tail = writer::Tail {
        link,
        first: 1,
        end: lines[0].len() as u64 + 1,
    };
    let signed = place.signer.anchor(VOLUME, link.seq, &link.hash).unwrap();
    let files = files::Files::new(place.path(), VOLUME).unwrap();
    let head = head::SignedHead::new(VOLUME, tail, signed.signature);
    head.write(&files).unwrap();

    let log = place.open(VOLUME);
    open_files(&log, 5);
    log.rotate().unwrap();
    open_files(&log, 5);
    log.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
    let early = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24);
    let key = place.signer.public_key();
    let report = super::super::verify::verify_at(place.path(), Some(&key), early).unwrap();
    assert_eq!(report.exit_code(), 0, "{report}");
    let records = query(place.path(), Filter::default()).unwrap();
    let seqs: Vec<u64> = records.map(|record| record.unwrap().seq).collect();
    assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
}

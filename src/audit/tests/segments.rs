//! Logs of several files: rotation, compression, retention, and what can be done to the files.

use std::fs;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use super::*;

const VOLUME: &str = "volume-1";

impl Place {
    fn settings(&self, settings: &Settings) {
        settings.write(self.path()).unwrap();
    }

    /// The closed segments of the volume's log, oldest first.
    fn closed(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.file("volume-1.closed")).unwrap();
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn seqs(&self) -> Vec<u64> {
        let filter = Filter {
            log: Some(VOLUME.to_owned()),
            ..Filter::default()
        };
        let records = query(self.path(), filter).unwrap();
        records.map(|record| record.unwrap().seq).collect()
    }
}

fn plain() -> Settings {
    Settings {
        compress: false,
        ..Settings::default()
    }
}

/// Two closed logs; the volume's has three closed segments and one that is written.
fn rotated(settings: &Settings) -> Place {
    let place = Place::new();
    place.settings(settings);
    let (kms, volume) = (place.open("kms"), place.open(VOLUME));
    for _ in 0..3 {
        open_files(&volume, 5);
        volume.rotate().unwrap();
        open_files(&kms, 2);
        kms.checkpoint().unwrap();
    }
    open_files(&volume, 5);
    volume.close().unwrap();
    kms.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
    place
}

fn nonzero(number: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(number)
}

#[test]
fn the_chain_runs_across_segments_plain_or_compressed() {
    for settings in [plain(), Settings::default()] {
        let place = rotated(&settings);
        let closed = place.closed();
        assert_eq!(closed.len(), 3, "{closed:?}");
        let extension = if settings.compress { "gz" } else { "jsonl" };
        assert!(
            closed
                .iter()
                .all(|file| file.extension() == Some(extension.as_ref()))
        );
        let seqs = place.seqs();
        assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
        let report = place.verify();
        let volume = &report.logs[1];
        assert_eq!((&*volume.log, volume.records), (VOLUME, seqs.len() as u64));
        // It goes on where it was.
        open_files(&place.open(VOLUME), 1);
        assert_eq!(place.verify().exit_code(), 0);
    }
}

#[test]
fn a_compressed_segment_is_gzip_of_the_lines() {
    let place = rotated(&Settings::default());
    let mut gzip = std::process::Command::new("gzip");
    let output = gzip.arg("-dc").args(place.closed()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut link = Link::genesis(VOLUME);
    for line in text.lines() {
        link = link.follow(line.as_bytes()).unwrap();
    }
    let next = place.lines(VOLUME).remove(0);
    assert!(next.contains(r#""eventName":"LogContinued""#), "{next}");
    assert!(link.follow(next.as_bytes()).is_ok());
}

#[test]
fn a_segment_is_closed_by_its_size_or_its_age_without_being_asked() {
    for settings in [
        Settings {
            rotate_bytes: nonzero(2000).unwrap(),
            ..Settings::default()
        },
        Settings {
            rotate_seconds: nonzero(1),
            ..Settings::default()
        },
    ] {
        let place = Place::new();
        place.settings(&settings);
        let log = place.open(VOLUME);
        let begun = Instant::now();
        // Closed, and compressed.
        let is_closed = || {
            let directory = place.file("volume-1.closed");
            directory.exists()
                && place
                    .closed()
                    .iter()
                    .any(|file| file.to_str().unwrap().ends_with("gz"))
        };
        while !is_closed() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{settings:?}");
            open_files(&log, 1);
            std::thread::sleep(Duration::from_millis(50));
        }
        log.close().unwrap();
        assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
    }
}

#[test]
fn tails_and_follows_cross_segments() {
    let place = rotated(&Settings::default());
    let filter = || Filter {
        log: Some(VOLUME.to_owned()),
        ..Filter::default()
    };
    let all = place.seqs();
    for count in [0, 1, 7, 12, 100] {
        let (records, _) = tail(place.path(), count, filter()).unwrap();
        let seqs: Vec<u64> = records.iter().map(|record| record.seq).collect();
        assert_eq!(seqs, all[all.len().saturating_sub(count)..], "{count}");
    }
    let (_, mut follow) = tail(place.path(), 0, filter()).unwrap();
    let log = place.open(VOLUME);
    open_files(&log, 3);
    log.rotate().unwrap();
    open_files(&log, 3);
    log.rotate().unwrap();
    open_files(&log, 2);
    let mut seqs = all.clone();
    seqs.extend(follow.poll().unwrap().iter().map(|record| record.seq));
    open_files(&log, 1);
    seqs.extend(follow.poll().unwrap().iter().map(|record| record.seq));
    drop(log);
    let written = place.seqs();
    assert_eq!(seqs[..], written[..seqs.len()], "each once, none missed");
    assert!(seqs.len() > all.len() + 8);
}

/// The volume's verdict, and the exit code over all logs.
fn judged(place: &Place) -> (Verdict, u8) {
    (place.verdict(VOLUME), place.verify().exit_code())
}

#[track_caller]
fn assert_tampered(place: &Place, what: &str, reason: &str) {
    let (verdict, code) = judged(place);
    let Verdict::Tampered(finding) = &verdict else {
        panic!("{what}: {verdict:?}")
    };
    assert!(finding.reason.contains(reason), "{what}: {finding:?}");
    assert_eq!(code, 3, "{what}");
}

#[test]
fn each_removed_segment_is_found() {
    for settings in [plain(), Settings::default()] {
        let place = rotated(&settings);
        for (index, file) in place.closed().into_iter().enumerate() {
            let content = fs::read(&file).unwrap();
            fs::remove_file(&file).unwrap();
            let reason = if index == 0 { "let go" } else { "removed" };
            assert_tampered(&place, &format!("segment {index}"), reason);
            fs::write(&file, content).unwrap();
        }
        assert_eq!(judged(&place).1, 0);
        // The one that is written, with and without its head.
        fs::remove_file(place.file("volume-1.jsonl")).unwrap();
        assert!(matches!(judged(&place), (Verdict::Truncated(_), 4)));
        assert!(matches!(
            place.try_open(VOLUME),
            Err(AuditError::Damaged { .. })
        ));
        fs::remove_file(place.file("volume-1.head")).unwrap();
        assert!(matches!(judged(&place), (Verdict::Truncated(_), 4)));
        assert!(matches!(
            place.try_open(VOLUME),
            Err(AuditError::Damaged { .. })
        ));
    }
}

#[test]
fn swapped_duplicated_and_renamed_segments_are_found() {
    let place = rotated(&plain());
    let files = place.closed();
    let swap = |one: &Path, other: &Path| {
        let aside = place.file("aside");
        fs::rename(one, &aside).unwrap();
        fs::rename(other, one).unwrap();
        fs::rename(&aside, other).unwrap();
    };
    swap(&files[0], &files[1]);
    assert_tampered(&place, "swapped", "");
    swap(&files[0], &files[1]);

    let copy = files[2].with_file_name("00000000000000000002.jsonl");
    fs::copy(&files[0], &copy).unwrap();
    assert_tampered(&place, "duplicated", "removed, inserted or moved");
    fs::remove_file(&copy).unwrap();

    fs::rename(
        &files[2],
        files[2].with_file_name("00000000000000000099.jsonl"),
    )
    .unwrap();
    assert_tampered(&place, "renamed", "removed, inserted or moved");
}

#[test]
fn each_edited_line_of_a_segment_is_named_with_its_file() {
    let place = rotated(&plain());
    let file = place.closed().swap_remove(1);
    let original = fs::read_to_string(&file).unwrap();
    let first: u64 = file.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    for (index, line) in original.lines().enumerate() {
        let edited = line.replacen("event", "evemt", 1);
        fs::write(&file, original.replacen(line, &edited, 1)).unwrap();
        let (verdict, _) = judged(&place);
        let Verdict::Tampered(finding) = &verdict else {
            panic!("{verdict:?}")
        };
        let expected = (&file, index as u64 + 1, first + index as u64);
        assert_eq!((&finding.file, finding.line, finding.seq), expected);
    }
}

#[test]
fn a_damaged_compressed_segment_is_not_called_intact() {
    let place = rotated(&Settings::default());
    let file = place.closed().swap_remove(1);
    let mut content = fs::read(&file).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 0x40;
    fs::write(&file, &content).unwrap();
    assert_tampered(&place, "one bit", "");
    fs::write(&file, &content[..middle]).unwrap();
    assert_tampered(&place, "cut", "");
}

#[test]
fn a_chain_made_anew_from_a_closed_segment_on_is_found() {
    let place = rotated(&plain());
    let files = [place.closed(), vec![place.file("volume-1.jsonl")]].concat();
    let read = |file: &PathBuf| fs::read_to_string(file).unwrap();
    let lengths: Vec<usize> = files
        .iter()
        .map(|file| read(file).lines().count())
        .collect();
    let mut lines: Vec<String> = files
        .iter()
        .flat_map(|file| read(file).lines().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let at = lengths[0] + 2;
    lines[at] = lines[at].replace("alice", "mallory");
    rehash(VOLUME, &mut lines, at);
    let mut rest = &lines[..];
    for (file, length) in files.iter().zip(lengths) {
        let (these, others) = rest.split_at(length);
        fs::write(file, these.join("\n") + "\n").unwrap();
        rest = others;
    }
    assert_tampered(&place, "made anew", "made anew");
}

#[test]
fn what_retention_lets_go_is_recorded_and_the_rest_stays_verifiable() {
    let place = rotated(&Settings::default());
    let sizes: u64 = place.closed()[1..]
        .iter()
        .map(|file| file.metadata().unwrap().len())
        .sum();
    place.settings(&Settings {
        keep_bytes: nonzero(sizes + 2000),
        ..Settings::default()
    });
    let before = place.seqs();
    let log = place.open(VOLUME);
    log.rotate().unwrap();
    log.close().unwrap();
    let after = place.seqs();
    assert!(after[0] > before[0], "{after:?}");
    let kept = place.closed().len();
    assert!((1..4).contains(&kept), "{kept}");
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
    let last = place.lines(VOLUME).join("\n");
    assert!(last.contains(r#""eventName":"SegmentRemoved""#), "{last}");
    assert!(last.contains(r#""reason":"size""#), "{last}");

    // One more, without a word.
    fs::remove_file(place.closed().swap_remove(0)).unwrap();
    assert_tampered(&place, "removed", "let go");
}

/// Waits until the closed segments of the volume's log are `expected`.
fn wait_for(place: &Place, expected: &[PathBuf]) {
    let begun = Instant::now();
    while place.closed() != expected {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?} is not {expected:?}",
            place.closed()
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_segment_that_cannot_be_compressed_keeps_nothing_else_from_being_compressed_or_let_go() {
    let place = rotated(&plain());
    let [first, second, third] = <[PathBuf; 3]>::try_from(place.closed()).unwrap();
    let compressed = |file: &PathBuf| file.with_added_extension("gz");
    // No file takes the place of a directory.
    let obstacle = compressed(&second);
    fs::create_dir(&obstacle).unwrap();
    place.settings(&Settings::default());
    let log = place.open(VOLUME);
    let left = [
        compressed(&first),
        second,
        obstacle.clone(),
        compressed(&third),
    ];
    wait_for(&place, &left);
    log.close().unwrap();
    place.settings(&Settings {
        keep_bytes: nonzero(1),
        ..Settings::default()
    });
    let log = place.open(VOLUME);
    wait_for(&place, std::slice::from_ref(&obstacle));
    log.close().unwrap();
    fs::remove_dir(&obstacle).unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

#[test]
fn what_was_being_compressed_when_the_process_was_killed_is_removed() {
    let place = rotated(&plain());
    let closed = place.closed();
    fs::write(closed[0].with_added_extension("gz.tmp"), "killed").unwrap();
    place.open(VOLUME).close().unwrap();
    assert_eq!(place.closed(), closed);
}

#[test]
fn retention_by_age_keeps_what_is_younger() {
    let place = rotated(&Settings {
        keep_seconds: nonzero(3600),
        ..Settings::default()
    });
    assert_eq!(place.closed().len(), 3);
    place.settings(&Settings {
        keep_seconds: nonzero(1),
        ..Settings::default()
    });
    std::thread::sleep(Duration::from_millis(2100));
    let log = place.open(VOLUME);
    let begun = Instant::now();
    while !place.closed().is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "not let go when it was opened"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    log.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

#[test]
fn a_record_that_nobody_signed_lets_nothing_go() {
    let place = rotated(&plain());
    let files = place.closed();
    let second = fs::read_to_string(&files[1]).unwrap();
    let boundary =
        super::super::segments::before(second.lines().next().unwrap().as_bytes()).unwrap();
    fs::remove_file(&files[0]).unwrap();
    let hash = super::super::json::hex(&boundary.hash);
    let forged = format!(
        r#"{{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"SegmentRemoved","serviceEventDetails":{{"firstSeq":1,"lastSeq":{},"lastHash":"{}","reason":"age"}}}}"#,
        boundary.seq,
        std::str::from_utf8(&hash).unwrap()
    );
    let log = place.file("volume-1.jsonl");
    let mut text = fs::read_to_string(&log).unwrap();
    let last = text.lines().last().unwrap().to_owned();
    let end = super::super::segments::before(last.as_bytes())
        .unwrap()
        .follow(last.as_bytes())
        .unwrap();
    let (_, line) = Unsealed::new(forged.into_bytes()).seal(end);
    text.push_str(std::str::from_utf8(&line).unwrap());
    fs::write(&log, text).unwrap();
    assert_tampered(&place, "forged", "let go");
}

type Content = fn(&[u8]) -> Vec<u8>;

/// A log whose process was killed in the middle of a rotation: as it was before and after, file by file.
struct Killed {
    place: Place,
    /// What the segment was that was written, and its head.
    before: [Vec<u8>; 2],
    closed: PathBuf,
}

fn killed_while_rotating() -> Killed {
    let place = Place::new();
    place.settings(&plain());
    let log = place.open(VOLUME);
    open_files(&log, 5);
    log.checkpoint().unwrap();
    let head = fs::read(place.file("volume-1.head")).unwrap();
    open_files(&log, 2);
    log.rotate().unwrap();
    log.close().unwrap();
    let closed = place.closed().swap_remove(0);
    let before = [fs::read(&closed).unwrap(), head];
    Killed {
        place,
        before,
        closed,
    }
}

#[track_caller]
fn assert_goes_on(place: &Place, what: &str) {
    let log = place
        .try_open(VOLUME)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    open_files(&log, 1);
    log.rotate().unwrap();
    open_files(&log, 1);
    log.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{what}: {}", place.verify());
    let seqs = place.seqs();
    assert!(
        seqs.iter().copied().eq(1..=seqs.len() as u64),
        "{what}: {seqs:?}"
    );
}

#[test]
fn a_rotation_that_was_cut_short_is_set_right() {
    // The new segment is not yet in place, and the old one may be linked as closed already.
    for linked in [false, true] {
        let Killed {
            place,
            before: [log, head],
            closed,
        } = killed_while_rotating();
        let active = place.file("volume-1.jsonl");
        fs::rename(&active, place.file("volume-1.jsonl.new")).unwrap();
        fs::remove_file(&closed).unwrap();
        fs::write(&active, &log).unwrap();
        fs::write(place.file("volume-1.head"), &head).unwrap();
        if linked {
            fs::hard_link(&active, &closed).unwrap();
            assert_eq!(
                place.verify().logs[0].records,
                String::from_utf8_lossy(&log).lines().count() as u64
            );
        }
        assert_goes_on(&place, "before");
    }
    // The new segment is in place, whole, torn, empty, or as zeros, and the head is an older one.
    let contents: [Content; 4] = [
        |new| new.to_vec(),
        |new| new[..50].to_vec(),
        |_| Vec::new(),
        |new| vec![0; new.len()],
    ];
    for content in contents {
        let Killed {
            place,
            before: [_, head],
            ..
        } = killed_while_rotating();
        let active = place.file("volume-1.jsonl");
        let first = fs::read_to_string(&active)
            .unwrap()
            .lines()
            .next()
            .unwrap()
            .to_owned()
            + "\n";
        fs::write(&active, content(first.as_bytes())).unwrap();
        fs::write(place.file("volume-1.head"), &head).unwrap();
        assert_goes_on(&place, "after");
    }
}

#[test]
fn a_segment_that_is_linked_and_still_written_is_neither_compressed_nor_removed() {
    let place = Place::new();
    let keep_nothing = Settings {
        keep_bytes: nonzero(1),
        ..Settings::default()
    };
    place.settings(&keep_nothing);
    let log = place.open(VOLUME);
    open_files(&log, 5);
    // A rotation that failed after its first step.
    fs::create_dir(place.file("volume-1.closed")).unwrap();
    let link = place.file("volume-1.closed/00000000000000000001.jsonl");
    fs::hard_link(place.file("volume-1.jsonl"), &link).unwrap();
    log.tidy().unwrap();
    assert_eq!(place.closed(), [link]);
    open_files(&log, 5);
    log.rotate().unwrap();
    log.close().unwrap();
    assert_eq!(place.closed(), [] as [PathBuf; 0], "then it was let go");
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

#[test]
fn a_closed_segment_changed_behind_a_rotation_is_not_continued() {
    let Killed {
        place,
        before: [log, head],
        closed,
    } = killed_while_rotating();
    fs::write(place.file("volume-1.head"), &head).unwrap();
    let edited = String::from_utf8(log)
        .unwrap()
        .replacen("alice", "mallory", 1);
    fs::write(&closed, edited).unwrap();
    assert!(matches!(
        place.try_open(VOLUME),
        Err(AuditError::Damaged { .. })
    ));
}

#[test]
fn a_log_verified_and_read_while_it_rotates_is_intact_and_whole() {
    let place = Place::new();
    place.settings(&Settings::default());
    let (kms, volume) = (place.open("kms"), place.open(VOLUME));
    let key = place.signer.public_key();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..40 {
                open_files(&volume, 20);
                volume.rotate().unwrap();
                open_files(&kms, 5);
                kms.checkpoint().unwrap();
            }
        });
        while !writing.is_finished() {
            let report = verify(place.path(), Some(&key)).unwrap();
            assert_eq!(report.exit_code(), 0, "{report}");
            let seqs = place.seqs();
            assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");
        }
    });
}

#[test]
fn settings_that_are_none_are_refused_and_those_written_are_read() {
    let place = Place::new();
    assert_eq!(Settings::read(place.path()).unwrap(), Settings::default());
    for text in ["{", r#"{"rotateBytes":0}"#, r#"{"rotateByte":5}"#] {
        fs::write(place.file("settings.json"), text).unwrap();
        assert!(
            matches!(place.try_open("kms"), Err(AuditError::Settings { .. })),
            "{text}"
        );
    }
    let settings = Settings {
        keep_bytes: nonzero(7),
        compress: false,
        ..Settings::default()
    };
    place.settings(&settings);
    assert_eq!(Settings::read(place.path()).unwrap(), settings);
}

/// As many records as `AUDIT_RECORDS` says: the soak run has ten million.
#[test]
fn a_long_log_is_verified_whole_and_its_one_changed_record_is_found() {
    let records = std::env::var("AUDIT_RECORDS").map_or(200_000, |text| text.parse().unwrap());
    let place = Place::new();
    place.settings(&Settings {
        rotate_bytes: nonzero(16 << 20).unwrap(),
        ..Settings::default()
    });
    let log = place.open(VOLUME);
    open_files(&log, records);
    log.close().unwrap();
    // Some in a segment that is not just closing.
    place.settings(&Settings::default());
    let log = place.open(VOLUME);
    open_files(&log, 10);
    log.close().unwrap();
    let begun = Instant::now();
    let report = place.verify();
    println!(
        "figure: {records} records verified in {:.1?}",
        begun.elapsed()
    );
    assert_eq!(report.exit_code(), 0, "{report}");
    assert!(report.logs[0].records > records);
    let file = place.file("volume-1.jsonl");
    let mut text = fs::read(&file).unwrap();
    let at = text.windows(5).rposition(|word| word == b"alice").unwrap();
    text[at] = b'A';
    let line = text[..at].split(|byte| *byte == b'\n').count();
    fs::write(&file, text).unwrap();
    let Verdict::Tampered(finding) = place.verdict(VOLUME) else {
        panic!("{}", place.verify())
    };
    assert_eq!((finding.file, finding.line), (file, line as u64));
}

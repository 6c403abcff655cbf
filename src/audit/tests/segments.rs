//! Logs of several files.

mod attacks;
mod crashes;
mod retention;

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

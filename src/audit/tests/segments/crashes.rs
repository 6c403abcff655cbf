//! Rotations that were cut short.

use super::*;

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
fn a_rotation_that_cannot_be_adds_nothing_to_the_log() {
    let place = Place::new();
    place.settings(&plain());
    let log = place.open(VOLUME);
    open_files(&log, 5);
    // A file where the directory of closed segments belongs.
    fs::write(place.file("volume-1.closed"), "").unwrap();
    let before = fs::read(place.file("volume-1.jsonl")).unwrap();
    for _ in 0..3 {
        assert!(matches!(log.rotate(), Err(AuditError::Io { .. })));
    }
    let after = fs::read(place.file("volume-1.jsonl")).unwrap();
    assert!(before == after);
    fs::remove_file(place.file("volume-1.closed")).unwrap();
    log.rotate().unwrap();
    log.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

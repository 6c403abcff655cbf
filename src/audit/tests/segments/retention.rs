//! What becomes of closed segments: compressed, and let go.

use super::*;

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
        crate::audit::segments::before(second.lines().next().unwrap().as_bytes()).unwrap();
    fs::remove_file(&files[0]).unwrap();
    let hash = crate::audit::json::hex(&boundary.hash);
    let forged = format!(
        r#"{{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"SegmentRemoved","serviceEventDetails":{{"firstSeq":1,"lastSeq":{},"lastHash":"{}","reason":"age"}}}}"#,
        boundary.seq,
        std::str::from_utf8(&hash).unwrap()
    );
    let log = place.file("volume-1.jsonl");
    let mut text = fs::read_to_string(&log).unwrap();
    let last = text.lines().last().unwrap().to_owned();
    let end = crate::audit::segments::before(last.as_bytes())
        .unwrap()
        .follow(last.as_bytes())
        .unwrap();
    let (_, line) = Unsealed::new(forged.into_bytes()).seal(end);
    text.push_str(std::str::from_utf8(&line).unwrap());
    fs::write(&log, text).unwrap();
    assert_tampered(&place, "forged", "let go");
}

//! The states of files that a log vouches for.

use super::{Event, Log, Place, alice, generations, origin};

const LOG: &str = "volume-1";

fn left(log: &Log, name: &'static str, file: &str, generation: u64) {
    let origin = origin();
    let event = Event::new(&origin, name, alice())
        .path(b"docs/a")
        .file_id(file)
        .parameter("generation", generation)
        .parameter("length", 10 * generation);
    log.record(event).unwrap();
}

fn session(log: &Log, name: &'static str, clean: bool) {
    let origin = origin();
    let event = Event::new(&origin, name, alice()).parameter("clean", clean);
    log.record(event).unwrap();
}

fn found(place: &Place) -> Vec<(String, u64)> {
    let states = generations(place.path(), LOG).unwrap();
    let mut found: Vec<_> = states
        .into_iter()
        .map(|(file, left)| (file, left.generation))
        .collect();
    found.sort();
    found
}

#[test]
fn a_synced_state_counts_at_once_and_a_closed_one_after_a_clean_unmount() {
    let place = Place::new();
    let log = place.open(LOG);
    session(&log, "Mount", false);
    left(&log, "Sync", "a", 2);
    left(&log, "Close", "a", 3);
    left(&log, "Close", "b", 1);
    assert_eq!(found(&place), [("a".into(), 2)]);
    session(&log, "Unmount", true);
    assert_eq!(found(&place), [("a".into(), 3), ("b".into(), 1)]);

    let states = generations(place.path(), LOG).unwrap();
    let a = &states["a"];
    assert_eq!((a.length, &*a.user), (30, "alice"));
    assert_eq!(a.path.as_deref(), Some(&b"docs/a"[..]));
}

#[test]
fn what_was_closed_before_an_end_that_was_not_clean_may_be_lost_and_does_not_count() {
    let place = Place::new();
    let log = place.open(LOG);
    session(&log, "Mount", false);
    left(&log, "Close", "a", 7);
    session(&log, "Mount", false);
    left(&log, "Close", "a", 5);
    session(&log, "Unmount", true);
    session(&log, "Mount", false);
    left(&log, "Close", "a", 9);
    session(&log, "Unmount", false);
    session(&log, "Mount", false);
    assert_eq!(found(&place), [("a".into(), 5)]);
}

#[test]
fn an_older_state_never_replaces_a_newer_one() {
    let place = Place::new();
    let log = place.open(LOG);
    left(&log, "Sync", "a", 8);
    left(&log, "Close", "a", 3);
    session(&log, "Unmount", true);
    assert_eq!(found(&place), [("a".into(), 8)]);
}

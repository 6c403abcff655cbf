//! What only the log's inside shows: what is on disk when.

use std::os::fd::OwnedFd;

use super::super::tests::{Place, alice, origin};
use super::super::{Identity, Refusal};
use super::*;

fn event<'a>(origin: &'a super::super::Origin, by: Identity<'a>) -> Event<'a> {
    Event::new(origin, "Open", by)
}

#[test]
fn denials_and_administration_are_on_disk_when_record_returns() {
    let place = Place::new();
    let (log, origin) = (place.open("volume-1"), origin());
    let synced = |recorded: Recorded| log.shared.synced.lock().link.seq >= recorded.seq;
    let none = Vec::new;
    for strict in [
        event(&origin, alice()).denied(Refusal::ExplicitDeny, none()),
        event(&origin, alice()).error("AccessDeniedException", "by the key's policy"),
        event(&origin, alice()).allowed(none()).administration(),
    ] {
        assert!(synced(log.record(strict).unwrap()));
    }
    assert!(!event(&origin, alice()).allowed(none()).is_strict());
    assert!(!event(&origin, alice()).error("ENOENT", "").is_strict());
}

#[test]
fn every_record_of_a_strict_log_is_on_disk_when_record_returns() {
    let (place, origin) = (Place::new(), origin());
    let log = Log::open(
        place.path(),
        "kms",
        Durability::Strict,
        place.signer.clone(),
    )
    .unwrap();
    for _ in 0..5 {
        let recorded = log.record(event(&origin, alice())).unwrap();
        assert!(log.shared.synced.lock().link.seq >= recorded.seq);
    }
}

#[test]
fn after_a_failed_sync_nothing_more_is_taken() {
    let (place, origin) = (Place::new(), origin());
    // A pipe takes writes, and fsync(2) of it fails: EINVAL.
    let (reader, pipe) = std::io::pipe().unwrap();
    let files = Files::new(place.path(), "kms").unwrap();
    let tail = Tail {
        link: Link::genesis("kms"),
        first: 1,
        end: 0,
    };
    let pipe = OwnedFd::from(pipe).into();
    let sinks: Arc<[Sink]> = [].into();
    let writer = Writer::new(&files, pipe, Timestamp::now(), tail, sinks.clone());
    let settings = Settings::default();
    let shared = Shared::new(
        files,
        settings,
        Durability::Balanced,
        place.signer,
        sinks,
        writer,
    );
    shared.record(event(&origin, alice())).unwrap();
    for _ in 0..2 {
        let denied = event(&origin, alice()).denied(Refusal::NoAllow, Vec::new());
        assert!(matches!(
            shared.record(denied),
            Err(AuditError::Sync { .. })
        ));
    }
    assert!(matches!(
        shared.record(event(&origin, alice())),
        Err(AuditError::Sync { .. })
    ));
    assert!(matches!(
        shared.publish_head(),
        Err(AuditError::Sync { .. })
    ));
    drop(reader);
}

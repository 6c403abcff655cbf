//! A log that cannot grow. The limit is a real one (`RLIMIT_FSIZE`); as it holds for a whole
//! process, the test runs itself again in a process of its own.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::process::{Resource, Rlimit, setrlimit};

use super::*;

const CHILD: &str = "KMSFS_TEST_FULL_DISK";

fn limit_files_to(bytes: Option<u64>) {
    setrlimit(
        Resource::Fsize,
        Rlimit {
            current: bytes,
            maximum: None,
        },
    )
    .unwrap();
}

#[test]
fn a_log_that_cannot_grow_refuses_events_leaves_no_part_of_them_and_recovers() {
    if std::env::var_os(CHILD).is_none() {
        let test = concat!(
            module_path!(),
            "::a_log_that_cannot_grow_refuses_events_leaves_no_part_of_them_and_recovers"
        );
        let (_crate, name) = test.split_once("::").unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child
            .args(["--exact", name])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    // Caught, the signal leaves write(2) to fail with EFBIG.
    signal_hook::flag::register(libc::SIGXFSZ, Arc::new(AtomicBool::new(false))).unwrap();
    let place = Place::new();
    let log = place.open("kms");
    open_files(&log, 3);
    let size = std::fs::metadata(place.file("kms.jsonl")).unwrap().len();
    let (origin, written) = (origin(), place.lines("kms"));

    // Room for a part of a line: write(2) is short, then fails.
    limit_files_to(Some(size + 100));
    for _ in 0..2 {
        let refused = log
            .record(Event::new(&origin, "Open", alice()))
            .unwrap_err();
        assert!(matches!(refused, AuditError::Write { .. }), "{refused}");
        assert_eq!(place.lines("kms"), written);
    }
    limit_files_to(None);
    let recorded = log.record(Event::new(&origin, "Open", alice())).unwrap();
    let lines = place.lines("kms");
    assert_eq!(recorded.seq, lines.len() as u64);
    assert!(
        lines[written.len()].contains(r#""refusedEvents":2,"since":"20"#),
        "{}",
        lines[written.len()]
    );
    log.close().unwrap();
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

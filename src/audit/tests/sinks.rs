//! Copies of the records elsewhere: that they come, that a sink delays nothing, and that what it lost is
//! said.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::*;

const VOLUME: &str = "volume-1";

impl Place {
    fn sinks(&self, sinks: &[&str]) {
        let settings = Settings {
            sinks: sinks.iter().map(|sink| sink.parse().unwrap()).collect(),
            ..Settings::default()
        };
        settings.write(self.path()).unwrap();
    }

    fn socket(&self) -> (UnixDatagram, String) {
        let path = self.file("socket");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        (socket, path.to_str().unwrap().to_owned())
    }
}

fn receive(socket: &UnixDatagram) -> String {
    let mut buffer = vec![0; 1 << 16];
    let length = socket.recv(&mut buffer).unwrap();
    buffer.truncate(length);
    String::from_utf8(buffer).unwrap()
}

/// The record in a syslog message, after its header of seven words.
fn record_of(message: &str) -> Json {
    serde_json::from_str(message.splitn(8, ' ').nth(7).unwrap()).unwrap()
}

#[test]
fn a_syslog_daemon_gets_each_record_in_order_as_rfc_5424_has_it() {
    let place = Place::new();
    let (socket, path) = place.socket();
    place.sinks(&[&format!("syslog:{path}")]);
    let log = place.open(VOLUME);
    open_files(&log, 20);
    let origin = origin();
    let denied = Event::new(&origin, "Open", alice()).denied(Refusal::NoAllow, Vec::new());
    log.record(denied).unwrap();
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    for seq in 1..=22 {
        let message = receive(&socket);
        let record = record_of(&message);
        assert_eq!(record["seq"], seq);
        let words: Vec<&str> = message.split(' ').collect();
        let priority = if seq == 22 { "<108>1" } else { "<110>1" };
        let name = record["eventName"].as_str().unwrap();
        let time = record["eventTime"].as_str().unwrap();
        let header = [priority, time, host.trim_end(), "kmsfs", VOLUME, name, "-"];
        assert_eq!(words[..7], header);
        assert!(
            place
                .lines(VOLUME)
                .contains(&message.splitn(8, ' ').nth(7).unwrap().to_owned())
        );
    }
}

#[test]
fn the_journal_gets_a_field_a_line_whatever_a_user_is_called() {
    let place = Place::new();
    let (socket, path) = place.socket();
    place.sinks(&[&format!("journald:{path}")]);
    let log = place.open("kms");
    let (origin, user) = (
        origin(),
        Identity {
            user_name: Some("ann\nPRIORITY=0".into()),
            ..alice()
        },
    );
    log.record(Event::new(&origin, "Open", user)).unwrap();
    receive(&socket);
    let message = receive(&socket);
    let fields: BTreeMap<&str, &str> = message
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .collect();
    assert_eq!(fields["PRIORITY"], "6");
    assert_eq!(
        fields["MESSAGE"],
        "Open by ann\\nPRIORITY=0: allowed (record 2 of kms)"
    );
    assert_eq!((fields["KMSFS_LOG"], fields["KMSFS_SEQ"]), ("kms", "2"));
    assert_eq!(fields["KMSFS_RECORD"], place.lines("kms")[1]);
}

#[test]
fn a_tcp_collector_that_went_away_gets_what_comes_after_it_is_back() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    place.sinks(&[&format!("syslog:tcp:{address}")]);
    let log = place.open(VOLUME);
    open_files(&log, 3);
    let next = |source: &mut BufReader<std::net::TcpStream>| {
        let mut length = Vec::new();
        source.read_until(b' ', &mut length).unwrap();
        let length = String::from_utf8(length).unwrap();
        let mut message = vec![0; length.trim_end().parse().unwrap()];
        source.read_exact(&mut message).unwrap();
        record_of(std::str::from_utf8(&message).unwrap())["seq"]
            .as_u64()
            .unwrap()
    };
    let mut collector = BufReader::new(listener.accept().unwrap().0);
    assert_eq!([1, 2, 3, 4].map(|_| next(&mut collector)), [1, 2, 3, 4]);
    drop(collector);
    // What the system had taken before it noticed may be gone, as RFC 6587 says; nothing later is.
    let begun = Instant::now();
    listener.set_nonblocking(true).unwrap();
    let stream = loop {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it does not come back"
        );
        open_files(&log, 1);
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    stream.set_nonblocking(false).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let mut collector = BufReader::new(stream);
    open_files(&log, 5);
    let last = log.head().seq;
    let mut seq = next(&mut collector);
    while seq < last {
        let following = next(&mut collector);
        assert_eq!(following, seq + 1);
        seq = following;
    }
}

#[test]
fn a_sink_that_stalls_delays_nothing_and_what_it_lost_is_said_exactly() {
    const RECORDS: u64 = 12_000;
    let place = Place::new();
    // It takes what the socket holds, and then no more until the log is closed.
    let (socket, path) = place.socket();
    place.sinks(&[&format!("syslog:{path}")]);
    let log = place.open(VOLUME);
    let mut slowest = Duration::ZERO;
    let origin = origin();
    for _ in 0..RECORDS {
        let begun = Instant::now();
        log.record(Event::new(&origin, "Open", alice())).unwrap();
        slowest = slowest.max(begun.elapsed());
    }
    // An attempt to deliver takes two seconds before it is given up.
    assert!(slowest < Duration::from_millis(1500), "{slowest:?}");
    log.close().unwrap();

    let mut delivered = BTreeSet::new();
    socket.set_nonblocking(true).unwrap();
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length) = socket.recv(&mut buffer) {
        let message = std::str::from_utf8(&buffer[..length]).unwrap();
        delivered.insert(record_of(message)["seq"].as_u64().unwrap());
    }
    let records = query(place.path(), Filter::default()).unwrap();
    let (mut calls, mut lost, mut counted) = (BTreeSet::new(), BTreeSet::new(), 0);
    for record in records.map(Result::unwrap) {
        let line: Json = serde_json::from_str(&record.line).unwrap();
        match &*record.name {
            "SinkLost" => {
                let details = &line["serviceEventDetails"];
                counted += details["records"].as_u64().unwrap();
                for range in details["ranges"].as_array().unwrap() {
                    let bound = |index: usize| range[index].as_u64().unwrap();
                    lost.extend(bound(0)..=bound(1));
                }
            }
            "Open" => drop(calls.insert(record.seq)),
            _ => {}
        }
    }
    assert!(!lost.is_empty() && !delivered.is_empty());
    assert_eq!(lost.len() as u64, counted);
    assert!(
        lost.is_disjoint(&delivered),
        "{:?}",
        lost.intersection(&delivered)
    );
    let accounted: BTreeSet<u64> = lost.union(&delivered).copied().collect();
    assert!(
        calls.is_subset(&accounted),
        "each record came, or is said to be lost"
    );
    assert_eq!(place.verify().exit_code(), 0, "{}", place.verify());
}

#[test]
fn a_sink_that_is_not_there_stops_neither_opens_nor_the_end() {
    let place = Place::new();
    place.sinks(&["syslog:/nonexistent/socket", "syslog:tcp:127.0.0.1:1"]);
    let begun = Instant::now();
    let log = place.open(VOLUME);
    open_files(&log, 5);
    log.close().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
    let lines = place.lines(VOLUME).join("\n");
    assert_eq!(
        lines.matches(r#""eventName":"SinkLost""#).count(),
        2,
        "{lines}"
    );
    assert!(
        lines.contains("\"records\":7,\"ranges\":[[1,7]]"),
        "{lines}"
    );
}

/// A place whose heads are kept elsewhere, with two closed logs.
fn with_heads() -> (Place, PathBuf) {
    let place = Place::new();
    let heads = place.file("elsewhere");
    place.sinks(&[&format!("heads:{}", heads.display())]);
    for name in ["kms", VOLUME] {
        let log = place.open(name);
        open_files(&log, 5);
        log.close().unwrap();
    }
    let key = place.signer.public_key();
    assert_eq!(
        verify_with(place.path(), &key, &heads).unwrap().exit_code(),
        0
    );
    (place, heads)
}

#[test]
fn heads_kept_elsewhere_tell_that_all_logs_were_removed_or_put_back_together() {
    let (place, heads) = with_heads();
    let key = place.signer.public_key();
    let files = ["kms.jsonl", "kms.head", "volume-1.jsonl", "volume-1.head"];
    let copies = files.map(|name| fs::read(place.file(name)).unwrap());
    for name in ["kms", VOLUME] {
        let log = place.open(name);
        open_files(&log, 5);
        log.close().unwrap();
    }
    assert_eq!(
        verify_with(place.path(), &key, &heads).unwrap().exit_code(),
        0
    );
    for (name, copy) in files.iter().zip(&copies) {
        fs::write(place.file(name), copy).unwrap();
    }
    assert_eq!(place.verify().exit_code(), 0, "nothing else tells");
    let report = verify_with(place.path(), &key, &heads).unwrap();
    assert_eq!(report.exit_code(), 4, "{report}");
    for name in files {
        fs::remove_file(place.file(name)).unwrap();
    }
    let report = verify_with(place.path(), &key, &heads).unwrap();
    assert_eq!((report.exit_code(), report.logs.len()), (4, 2), "{report}");
    // Begun anew in their place.
    let log = place.open(VOLUME);
    open_files(&log, 50);
    log.close().unwrap();
    let report = verify_with(place.path(), &key, &heads).unwrap();
    assert_eq!(report.exit_code(), 3, "{report}");
}

#[test]
fn heads_that_nobody_signed_are_not_taken_for_evidence() {
    let (place, heads) = with_heads();
    let key = place.signer.public_key();
    let text = fs::read_to_string(&heads).unwrap();
    let refused = || {
        verify_with(place.path(), &key, &heads)
            .unwrap_err()
            .to_string()
    };
    fs::write(&heads, text.replacen("\"seq\":6", "\"seq\":9", 1)).unwrap();
    assert!(refused().contains("not signed"), "{}", refused());
    fs::write(&heads, "{}\n").unwrap();
    assert!(refused().contains("byte 0"), "{}", refused());
    // A crash leaves an unfinished line.
    fs::write(&heads, &text[..text.len() - 7]).unwrap();
    assert_eq!(
        verify_with(place.path(), &key, &heads).unwrap().exit_code(),
        0
    );
}

#[test]
fn a_head_whose_writing_was_cut_short_costs_no_other_head() {
    let (place, heads) = with_heads();
    let key = place.signer.public_key();
    let text = fs::read_to_string(&heads).unwrap();
    fs::write(&heads, &text[..text.len() - 7]).unwrap();
    let log = place.open(VOLUME);
    open_files(&log, 5);
    log.close().unwrap();
    let report = verify_with(place.path(), &key, &heads).unwrap();
    assert_eq!((report.exit_code(), report.unreadable_heads), (0, 1));
    let lines = fs::read_to_string(&heads).unwrap();
    assert!(lines.lines().count() > text.lines().count(), "{lines}");
    // The heads behind it count: without its records the log is truncated.
    let mut lines = place.lines(VOLUME);
    lines.truncate(8);
    place.write_lines(VOLUME, &lines);
    fs::remove_file(place.file("volume-1.head")).unwrap();
    let report = verify_with(place.path(), &key, &heads).unwrap();
    assert_eq!(report.exit_code(), 4, "{report}");
}

#[test]
fn sinks_are_told_apart_by_their_names() {
    for text in [
        "journald:/run/j",
        "syslog:/dev/log",
        "syslog:udp:collector.example:514",
        "syslog:tcp:[::1]:601",
        "heads:/mnt/heads",
    ] {
        assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
    }
    assert_eq!(
        "syslog".parse::<Target>().unwrap().to_string(),
        "syslog:/dev/log"
    );
    for text in [
        "",
        "heads",
        "heads:relative",
        "syslog:udp:host",
        "syslog:tcp::1",
        "kafka:x",
    ] {
        assert!(text.parse::<Target>().is_err(), "{text}");
    }
}

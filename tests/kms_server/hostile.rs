//! What clients send that they should not.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;

use super::common::{Place, exchange, read_answer};

const LIST: (&str, &str) = ("x-amz-target", "TrentService.ListKeys");

#[test]
fn a_body_above_the_limit_is_refused_by_its_length_alone() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let now = std::time::SystemTime::now();
    let mut headers = admin.sign(server.host(), now, &[LIST], b"{}");
    headers.push(("content-length".to_owned(), (1 << 30).to_string()));
    let mut head = "POST / HTTP/1.1\r\n".to_owned();
    for (name, value) in headers {
        head.extend([&*name, ": ", &*value, "\r\n"]);
    }
    let mut stream = server.connect();
    write!(stream, "{head}\r\n").unwrap();
    let mut start = [0; 12];
    stream.read_exact(&mut start).unwrap();
    assert_eq!(&start, b"HTTP/1.1 413");
    server.done(&admin, "ListKeys", &json!({}));
}

#[test]
fn malformed_json_is_a_serialization_error_and_nothing_else() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let deep = "[".repeat(100_000);
    for body in ["{", "[]", "{\"KeyId\": 7}", "\u{0}", "nul", &*deep] {
        let now = std::time::SystemTime::now();
        let target = [("x-amz-target", "TrentService.DescribeKey")];
        let headers = admin.sign(server.host(), now, &target, body.as_bytes());
        let (status, answer) = exchange(
            server.connect(),
            "POST / HTTP/1.1",
            &headers,
            body.as_bytes(),
        );
        assert_eq!(
            (status, &answer["__type"]),
            (400, &json!("SerializationException"))
        );
    }
    let (_, answer) = server.ask(&admin, "DescribeKey", &json!({}));
    assert_eq!(answer["__type"], "ValidationException");
}

#[test]
fn what_is_not_http_ends_its_connection_only() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let long = [b"GET /".to_vec(), vec![b'a'; 300_000]].concat();
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(10_000));
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01"[..],
        b"\0\0\0\0\r\n\r\n",
        &long,
        many.as_bytes(),
    ] {
        let mut stream = server.connect();
        // It may be closed while this is written.
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let (status, _) = read_answer(&mut stream);
        assert!(status == 0 || (400..500).contains(&status), "{status}");
    }
    for (request, expected) in [
        ("GET / HTTP/1.1", 404),
        ("POST /other HTTP/1.1", 404),
        ("PUT / HTTP/1.1", 404),
        ("POST /reset HTTP/1.1", 404),
    ] {
        assert_eq!(server.plain(request, &[LIST], b"").0, expected, "{request}");
    }
    server.done(&admin, "ListKeys", &json!({}));
}

#[test]
fn clients_that_dawdle_hold_nobody_up() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let dawdling: Vec<TcpStream> = (0..300)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\n").unwrap();
            stream
        })
        .collect();
    for _ in 0..20 {
        server.done(&admin, "ListKeys", &json!({}));
    }
    drop(dawdling);
}

#[test]
fn connections_beyond_the_limit_are_told_to_come_back_and_keep_nobody_from_the_home() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let idle: Vec<TcpStream> = (0..2048).map(|_| server.connect()).collect();
    // They are accepted in order, but perhaps not yet.
    let deadline = Instant::now() + Duration::from_secs(40);
    loop {
        let (status, answer) = read_answer(server.connect());
        if (status, &answer["__type"]) == (400, &json!("ThrottlingException")) {
            break;
        }
        assert!(Instant::now() < deadline, "{status} {answer}");
    }
    place.run(&["key", "list"]);
    place.run(&["kms", "status"]);
    drop(idle);
    let deadline = Instant::now() + Duration::from_secs(40);
    while server.ask(&admin, "ListKeys", &json!({})).0 != 200 {
        assert!(Instant::now() < deadline);
    }
}

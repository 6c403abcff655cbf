//! Starting, settings that do not go together, resetting, ending.

use std::{os::unix::fs::PermissionsExt, thread, time::Duration};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::common::Place;

#[test]
fn it_makes_the_home_and_says_where_it_listens() {
    let place = Place::new();
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    assert!(server.addresses[0].starts_with("http://127.0.0.1:"));
    assert!(place.home().join("home.json").exists());
    let (status, health) = server.plain("GET /health HTTP/1.1", &[], b"");
    assert_eq!((status, &health["status"]), (200, &json!("ok")));
    assert_eq!(server.plain("GET /ready HTTP/1.1", &[], b"").0, 200);
    let said: Value = serde_json::from_str(&place.run(&["kms", "status", "--json"])).unwrap();
    assert_eq!(said["Pid"], server.child.id());
}

#[test]
fn requests_under_way_are_answered_when_it_is_told_to_end() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let mut server = place.serve(&["--listen", "127.0.0.1:0"]);
    let answered = thread::scope(|scope| {
        // Each takes its time: it looks for primes.
        let asking: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    server.ask(
                        &admin,
                        "CreateKey",
                        &json!({"KeySpec": "RSA_2048", "KeyUsage": "SIGN_VERIFY"}),
                    )
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(100));
        server.signal(Signal::TERM);
        asking
            .into_iter()
            .map(|asked| asked.join().unwrap())
            .filter(|(status, _)| *status == 200)
            .map(|(_, made)| made["KeyMetadata"]["KeyId"].clone())
            .collect::<Vec<_>>()
    });
    assert_eq!(server.wait(), Some(0));
    assert!(!place.home().join("kms.sock").exists());
    // What was answered is there, and no answer was lost on the way.
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let listed = server.done(&admin, "ListKeys", &json!({}));
    let listed = listed["Keys"].as_array().unwrap().clone();
    assert_eq!(listed.len(), answered.len());
    for key in answered {
        assert!(listed.iter().any(|other| other["KeyId"] == key));
    }
}

#[test]
fn a_second_server_of_a_home_is_refused_and_says_why() {
    let place = Place::new();
    let _server = place.serve(&["--listen", "127.0.0.1:0"]);
    let refused = place.refused(&["kms", "serve", "--listen", "127.0.0.1:0"]);
    assert!(
        refused.contains("another process serves the home"),
        "{refused}"
    );
}

#[test]
fn plain_http_and_resets_are_for_loopback() {
    let place = Place::new();
    let refused = place.refused(&["kms", "serve", "--listen", "0.0.0.0:0"]);
    assert!(refused.contains("--tls-cert"), "{refused}");
}

#[test]
fn the_account_is_fixed_by_the_first_command_that_names_it() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin", "--account", "111122223333"]);
    assert_eq!(admin.arn, "arn:aws:iam::111122223333:user/admin");
    let refused = place.refused(&["kms", "serve", "--account", "444455556666"]);
    assert!(refused.contains("111122223333"), "{refused}");
    let server = place.serve(&["--listen", "127.0.0.1:0", "--account", "111122223333"]);
    let made = server.done(&admin, "CreateKey", &json!({}));
    assert_eq!(made["KeyMetadata"]["AWSAccountId"], "111122223333");
}

#[test]
fn a_home_without_keys_can_still_be_given_its_account() {
    let place = Place::new();
    drop(place.serve(&["--listen", "127.0.0.1:0"]));
    let server = place.serve(&["--listen", "127.0.0.1:0", "--account", "111122223333"]);
    drop(server);
    let admin = place.user(&["admin", "--admin"]);
    assert_eq!(admin.arn, "arn:aws:iam::111122223333:user/admin");
    let refused = place.refused(&["kms", "user", "create", "x", "--account", "000000000000"]);
    assert!(refused.contains("cannot be changed"), "{refused}");
}

#[test]
fn a_reset_removes_the_keys_and_keeps_the_users() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0", "--allow-reset"]);
    let key = server.new_key(&admin);
    let alias = json!({"AliasName": "alias/a", "TargetKeyId": key});
    server.done(&admin, "CreateAlias", &alias);
    let west = admin.in_region("eu-west-1");
    server.new_key(&west);
    let from_a_page = [("origin", "https://example.com")];
    assert_eq!(
        server.plain("POST /reset HTTP/1.1", &from_a_page, b"").0,
        403
    );
    assert_eq!(server.plain("POST /reset HTTP/1.1", &[], b"").0, 200);
    for user in [&admin, &west] {
        let listed = server.done(user, "ListKeys", &json!({}));
        assert_eq!(listed["Keys"], json!([]));
    }
    let key = server.new_key(&admin);
    let alias = json!({"AliasName": "alias/a", "TargetKeyId": key});
    server.done(&admin, "CreateAlias", &alias);
}

#[test]
fn a_socket_has_the_mode_it_was_given_and_the_kernel_says_who_calls() {
    let place = Place::new();
    let socket = place.path("kms.sock");
    let path = socket.to_str().unwrap();
    let server = place.serve(&["--socket", path, "--socket-mode", "666"]);
    assert_eq!(server.addresses[0], format!("unix:{path}"));
    let mode = socket.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o666);
    let stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let headers = [(
        "x-amz-target".to_owned(),
        "TrentService.ListKeys".to_owned(),
    )];
    let (status, listed) = super::common::exchange(stream, "POST / HTTP/1.1", &headers, b"{}");
    assert_eq!((status, &listed["Keys"]), (200, &json!([])));
}

#[test]
fn the_metrics_count_requests_by_operation_and_result() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    server.new_key(&admin);
    server.error(&admin, "DescribeKey", &json!({"KeyId": "x"}));
    server.error(&admin, "MadeUp", &json!({}));
    let mut stream = server.connect();
    std::io::Write::write_all(
        &mut stream,
        b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    )
    .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut stream, &mut text).unwrap();
    for line in [
        "kmsfs_kms_requests_total{operation=\"CreateKey\",result=\"ok\"} 1",
        "kmsfs_kms_requests_total{operation=\"DescribeKey\",result=\"NotFoundException\"} 1",
        "kmsfs_kms_requests_total{operation=\"unknown\",result=\"UnknownOperationException\"} 1",
        "kmsfs_kms_keys{state=\"Enabled\"} 1",
        "kmsfs_kms_sealed 0",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn a_backup_made_while_it_serves_restores_to_the_same_keys() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let key = server.new_key(&admin);
    let encrypted = server.done(
        &admin,
        "Encrypt",
        &json!({"KeyId": key, "Plaintext": "YQ=="}),
    );
    let file = place.path("backup");
    let file = file.to_str().unwrap();
    place.run(&["kms", "backup", file]);
    let checked: Value =
        serde_json::from_str(&place.run(&["kms", "backup", "--check", file])).unwrap();
    assert_eq!(checked["Keys"], 1);
    let refused = place.refused(&["kms", "restore", file]);
    assert!(refused.contains("is a kmsfs home already"), "{refused}");
    drop(server);
    std::fs::remove_dir_all(place.home()).unwrap();
    place.run(&["kms", "restore", file]);
    let server = place.serve(&["--listen", "127.0.0.1:0"]);
    let blob = &encrypted["CiphertextBlob"];
    let decrypted = server.done(&admin, "Decrypt", &json!({"CiphertextBlob": blob}));
    assert_eq!(decrypted["Plaintext"], "YQ==");
}

//! A server that starts without its secret.

use serde_json::json;

use super::common::{Place, Server, write};

#[test]
fn a_sealed_server_says_so_and_nothing_else_until_it_is_unsealed() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    // No secret and no terminal.
    let server = Server::start(place.bare(&["kms", "serve", "--listen", "127.0.0.1:0"]));
    let health = || server.plain("GET /health HTTP/1.1", &[], b"");
    assert_eq!((health().0, &health().1["status"]), (200, &json!("sealed")));
    assert_eq!(server.plain("GET /ready HTTP/1.1", &[], b"").0, 503);
    let (status, answer) = server.ask(&admin, "ListKeys", &json!({}));
    assert_eq!(
        (status, &answer["__type"]),
        (503, &json!("ServiceUnavailableException"))
    );
    let said = place.bare(&["kms", "status"]).output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("sealed"));

    let wrong = write(&place.path("wrong"), "wrong horse\n");
    let refused = place
        .bare(&["--passfile", &wrong, "kms", "unseal"])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(10));
    assert_eq!(health().1["status"], "sealed");

    place.run(&["kms", "unseal"]);
    assert_eq!(health().1["status"], "ok");
    server.done(&admin, "CreateKey", &json!({}));
    // Once more does no harm.
    place.run(&["kms", "unseal"]);
    server.done(&admin, "ListKeys", &json!({}));
}

#[test]
fn a_systemd_credential_is_a_passphrase() {
    let place = Place::new();
    let admin = place.user(&["admin", "--admin"]);
    write(&place.path("kmsfs.pass"), "correct horse\n");
    let mut command = place.bare(&["kms", "serve", "--listen", "127.0.0.1:0"]);
    command.env("CREDENTIALS_DIRECTORY", place.directory.path());
    let server = Server::start(command);
    server.done(&admin, "ListKeys", &json!({}));
}

//! Roles, granted and taken away: what real users can then do on a real mount, with a key whose policy lets
//! nobody use it by itself.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use predicates::prelude::*;
use serde_json::{Value, json};

use crate::common::{ANN, BOB, Home, Mount, ROOT, User, Volume};

/// Only the home's owner, who mounts, may use the key; everybody else needs a grant.
fn close_key(volume: &Volume<'_>) {
    let file = volume.home.path("closed-key.json");
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "Administration", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
          "Principal": { "AWS": "arn:aws:iam::000000000000:root" } } ] });
    fs::write(&file, document.to_string()).unwrap();
    let file = file.to_str().unwrap();
    volume
        .home
        .run(["policy", "put", "--key", &volume.key, file]);
}

fn role(volume: &Volume<'_>, verb: &str, role: &str, user: User, path: &str) {
    let user = user.0.to_string();
    let backing = volume.backing.to_str().unwrap();
    let mut arguments = vec!["policy", verb, backing, "--role", role, "--user", &user];
    if path != "/" {
        arguments.extend(["--path", path]);
    }
    volume.home.run(arguments);
}

fn tree_for_root<'a>(volume: &'a Volume<'a>) -> Mount<'a> {
    let mount = volume.mount();
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    ROOT.can(
        &mount.point,
        "umask 0; mkdir hr pub; for d in hr pub; do echo text > $d/f; done; echo top > f",
    );
    mount
}

#[test]
fn who_may_only_decrypt_reads_the_subtree_and_changes_nothing() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = tree_for_root(&volume);
    close_key(&volume);
    ANN.cannot(&mount.point, "cat hr/f");
    role(&volume, "grant", "decrypt-only", ANN, "/hr");
    assert_eq!(ANN.can(&mount.point, "cat hr/f; ls hr"), "text\nf\n");
    for refused in [
        "cat pub/f",
        "cat f",
        "echo x >> hr/f",
        "echo x > hr/new",
        "rm -f hr/f",
    ] {
        ANN.cannot(&mount.point, refused);
    }
    BOB.cannot(&mount.point, "cat hr/f");
    role(&volume, "revoke", "decrypt-only", ANN, "/hr");
    ANN.cannot(&mount.point, "cat hr/f");
}

#[test]
fn who_may_only_encrypt_writes_through_the_handle_that_created_and_reads_nothing_back() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = tree_for_root(&volume);
    close_key(&volume);
    role(&volume, "grant", "encrypt-only", ANN, "/pub");
    ANN.can(&mount.point, "umask 0; printf 'one\\ntwo\\n' > pub/mine");
    for refused in [
        "cat pub/mine",
        "echo x >> pub/mine",
        "cat pub/f",
        "echo x > hr/new",
        "ls pub",
    ] {
        ANN.cannot(&mount.point, refused);
    }
    assert_eq!(ROOT.can(&mount.point, "cat pub/mine"), "one\ntwo\n");
    // Both: what she has, and the rest.
    role(&volume, "grant", "both", ANN, "/pub");
    assert_eq!(
        ANN.can(
            &mount.point,
            "echo x >> pub/mine; cat pub/mine; rm pub/mine"
        ),
        "one\ntwo\nx\n"
    );
    ANN.cannot(&mount.point, "cat hr/f");
    role(&volume, "revoke", "both", ANN, "/pub");
    ANN.can(&mount.point, "echo again > pub/mine");
    ANN.cannot(&mount.point, "cat pub/mine");
}

#[test]
fn the_grant_of_a_key_goes_with_the_last_statement_that_needs_it() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = tree_for_root(&volume);
    close_key(&volume);
    role(&volume, "grant", "decrypt-only", ANN, "/hr");
    role(&volume, "grant", "decrypt-only", ANN, "/pub");
    role(&volume, "revoke", "decrypt-only", ANN, "/hr");
    ANN.cannot(&mount.point, "cat hr/f");
    assert_eq!(ANN.can(&mount.point, "cat pub/f"), "text\n");
    let backing = volume.backing.to_str().unwrap();
    let listed = home.json(["policy", "roles", backing]);
    let whom = format!("decrypt-only user/uid-{}", ANN.0);
    let expected = json!([
        { "role": format!("{whom} /pub"), "in": "tree policy" },
        { "role": whom, "in": "grant on the key" },
    ]);
    assert_eq!(listed["roles"], expected);
    role(&volume, "revoke", "decrypt-only", ANN, "/pub");
    assert_eq!(home.json(["policy", "roles"])["roles"], json!([]));
    let ann = ANN.0.to_string();
    let again = [
        "policy",
        "revoke",
        "--role",
        "decrypt-only",
        "--user",
        &ann,
        "--path",
        "/pub",
    ];
    home.kmsfs()
        .args(again)
        .assert()
        .code(1)
        .stderr(predicate::str::contains("was not granted"));
}

#[test]
fn administrators_auditors_and_backups_get_no_plaintext_whatever_else_allows_it() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = tree_for_root(&volume);
    let explain = |user: User, action: &str| {
        let user = user.0.to_string();
        let asked = [
            "policy",
            "explain",
            "--key",
            &volume.key,
            "--user",
            &user,
            "--action",
            action,
        ];
        home.json(asked)["allowed"].as_bool().unwrap()
    };
    assert_eq!(ANN.can(&mount.point, "cat f"), "top\n");
    role(&volume, "grant", "key-administrator", ANN, "/");
    ANN.cannot(&mount.point, "cat f");
    ANN.cannot(&mount.point, "echo x > new");
    assert!(explain(ANN, "kms:PutKeyPolicy") && explain(ANN, "kms:DisableKey"));
    assert!(!explain(ANN, "kms:Decrypt") && !explain(ANN, "kms:CreateGrant"));

    role(&volume, "grant", "auditor", BOB, "/");
    BOB.can(&mount.point, "ls hr");
    BOB.cannot(&mount.point, "cat f");
    assert!(explain(BOB, "kms:GetKeyPolicy") && !explain(BOB, "kms:PutKeyPolicy"));
    role(&volume, "revoke", "auditor", BOB, "/");
    BOB.can(&mount.point, "cat f");

    role(&volume, "grant", "backup", BOB, "/");
    for refused in ["cat f", "ls", "rm -f hr/f"] {
        BOB.cannot(&mount.point, refused);
    }
    // What is left is what a backup copies.
    let ciphertext: Vec<_> = volume.backing_entries();
    assert!(ciphertext.iter().any(|path| path.is_file()));
    role(&volume, "revoke", "backup", BOB, "/");
    role(&volume, "revoke", "key-administrator", ANN, "/");
    assert_eq!(ANN.can(&mount.point, "cat f"), "top\n");

    // Whoever mounts uses the key, so that these roles are not for them.
    let refused = [
        "policy",
        "grant",
        "--role",
        "key-administrator",
        "--user",
        "root",
    ];
    home.kmsfs()
        .args(refused)
        .assert()
        .code(2)
        .stderr(predicate::str::contains("mounts"));
}

#[test]
fn granting_a_role_tells_what_other_statements_allow_beyond_it() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let ann = ANN.0.to_string();
    let backing = volume.backing.to_str().unwrap();
    let arguments = [
        "policy",
        "grant",
        backing,
        "--role",
        "encrypt-only",
        "--user",
        &ann,
        "--path",
        "/in",
    ];
    home.kmsfs()
        .args(arguments)
        .assert()
        .success()
        .stderr(predicate::str::contains(
            "may do kmsfs:Read there too, by tree:Everyone",
        ));
    let tree: Value =
        serde_json::from_str(&home.run(["policy", "get", "--tree", backing])).unwrap();
    let added = &tree["Statement"][1];
    assert_eq!(added["Sid"], format!("encrypt-only user/uid-{ann} /in"));
    assert_eq!(added["Action"], "kmsfs:Create");
    assert_eq!(
        added["Resource"],
        json!([volume.arn("in"), volume.arn("in/*")])
    );
}

//! Tree policies in force on a mount with several users.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use predicates::prelude::*;
use serde_json::{Value, json};

use crate::common::{ANN, BOB, Home, ROOT, TAKES_EFFECT, User, Volume, within};

fn allow(user: User, actions: &Value, resources: &Value) -> Value {
    json!({
        "Sid": format!("Allow{}", user.0), "Effect": "Allow", "Principal": { "AWS": user.arn() },
        "Action": actions, "Resource": resources,
    })
}

fn document(statements: &[Value]) -> Value {
    json!({ "Version": "2012-10-17", "Statement": statements })
}

fn everything_for_root() -> Value {
    allow(ROOT, &json!("kmsfs:*"), &json!("*"))
}

fn put_and_wait(
    volume: &Volume<'_>,
    document: &Value,
    what: &str,
    mut in_force: impl FnMut() -> bool,
) {
    volume.put_policy(document);
    within(TAKES_EFFECT, what, &mut in_force);
}

/// A mounted volume's root is made writable for all: what is refused is refused by policy.
fn open_modes(mount: &crate::common::Mount<'_>) {
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
}

#[test]
fn the_owner_policy_lets_the_initialising_user_in_and_nobody_else() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(
        &mount.point,
        "echo text > f; mkdir d; mv f d/f; cat d/f; rm d/f; echo text > f",
    );
    for refused in [
        "cat f",
        "ls",
        "echo x >> f",
        "touch new",
        "mkdir e",
        "rm -f f",
        "mv f g",
        "ln f g",
    ] {
        ANN.cannot(&mount.point, refused);
    }
    assert_eq!(ROOT.can(&mount.point, "cat f"), "text\n");
}

#[test]
fn the_everyone_policy_lets_every_user_do_what_modes_allow() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    open_modes(&mount);
    ANN.can(
        &mount.point,
        "echo ann > f; chmod 640 f; mkdir d; mv f d; cat d/f; ln -s d/f s; cat s",
    );
    BOB.cannot(&mount.point, "cat d/f");
    BOB.can(&mount.point, "echo bob > g; rm g; ls");
}

#[test]
fn a_new_file_belongs_to_the_user_who_made_it() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    open_modes(&mount);
    let made = ANN.can(
        &mount.point,
        "umask 027; touch f; mkdir d; ln -s x s; mkfifo p; stat -c %u:%g:%a f d s p",
    );
    let id = ANN.0;
    assert_eq!(
        made,
        format!("{id}:{id}:640\n{id}:{id}:750\n{id}:{id}:777\n{id}:{id}:640\n")
    );
}

#[test]
fn root_is_a_caller_like_any_other() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount);
    let only_ann = document(&[allow(ANN, &json!("kmsfs:*"), &json!("*"))]);
    put_and_wait(&volume, &only_ann, "ann is let in", || {
        ANN.sh(&mount.point, "echo ann > f").status.success()
    });
    within(TAKES_EFFECT, "root is kept out", || {
        !ROOT.sh(&mount.point, "cat f").status.success()
    });
    ROOT.cannot(&mount.point, "cat f");
    ROOT.cannot(&mount.point, "echo x >> f");
    ROOT.cannot(&mount.point, "rm f");
    assert_eq!(ANN.can(&mount.point, "cat f"), "ann\n");
}

#[test]
fn a_statement_reaches_the_paths_it_names_and_no_others() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(
        &mount.point,
        "mkdir -p pub/deep pubs private; for d in pub/deep pubs private; do echo $d > $d/f; done",
    );
    let public = json!([volume.arn("pub"), volume.arn("pub/*")]);
    let policy = document(&[
        everything_for_root(),
        allow(ANN, &json!(["kmsfs:Read", "kmsfs:List"]), &public),
    ]);
    put_and_wait(&volume, &policy, "ann reads pub", || {
        ANN.sh(&mount.point, "ls pub").status.success()
    });
    assert_eq!(ANN.can(&mount.point, "cat pub/deep/f"), "pub/deep\n");
    ANN.cannot(&mount.point, "cat pubs/f");
    ANN.cannot(&mount.point, "cat private/f");
    ANN.cannot(&mount.point, "ls private");
    ANN.cannot(&mount.point, "chmod 777 pub/deep");
    BOB.cannot(&mount.point, "cat pub/deep/f");
}

#[test]
fn reading_writing_creating_and_deleting_are_allowed_one_by_one() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(&mount.point, "umask 0; echo text > f");
    // What ann is allowed, what that lets her do, and what it does not.
    let steps = [
        (
            "kmsfs:Read",
            "cat f",
            ["echo x > f", "echo x >> f", "touch new"],
        ),
        (
            "kmsfs:Append",
            "echo x >> f",
            ["cat f", "echo x > f", "touch new"],
        ),
        (
            "kmsfs:Write",
            "echo x > f",
            ["cat f", "touch new", "rm -f f"],
        ),
        (
            "kmsfs:Delete",
            "rm -f f; true",
            ["cat f", "touch new", "ls"],
        ),
    ];
    for (action, works, refused) in steps {
        ROOT.can(&mount.point, "umask 0; echo text > f");
        let policy = document(&[
            everything_for_root(),
            allow(ANN, &json!(action), &json!("*")),
        ]);
        put_and_wait(&volume, &policy, action, || {
            ANN.sh(&mount.point, works).status.success()
        });
        std::thread::sleep(TAKES_EFFECT); // the former policy's decisions are gone now
        ROOT.can(&mount.point, "umask 0; echo text > f");
        for script in refused {
            ANN.cannot(&mount.point, script);
        }
    }
}

#[test]
fn an_explicit_deny_beats_an_allow_for_everyone() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(
        &mount.point,
        "umask 0; mkdir secret; echo text > secret/f; echo text > f",
    );
    let policy = document(&[
        json!({ "Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" }),
        json!({ "Sid": "Closed", "Effect": "Deny", "Principal": "*", "Action": "kmsfs:Read",
                "Resource": volume.arn("secret/*"),
                "Condition": { "NumericEquals": { "kmsfs:Uid": ANN.0.to_string() } } }),
    ]);
    put_and_wait(&volume, &policy, "ann is denied", || {
        !ANN.sh(&mount.point, "cat secret/f").status.success()
    });
    ANN.cannot(&mount.point, "cat secret/f");
    ANN.can(&mount.point, "cat f");
    BOB.can(&mount.point, "cat secret/f");
}

#[test]
fn a_denied_name_is_denied_through_every_hard_link() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(
        &mount.point,
        "umask 0; mkdir secret; echo text > secret/f; ln secret/f elsewhere; cat secret/f",
    );
    let policy = document(&[
        json!({ "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" }),
        json!({ "Effect": "Deny", "Principal": { "AWS": ANN.arn() }, "Action": "kmsfs:Read",
                "Resource": volume.arn("secret/*") }),
    ]);
    put_and_wait(&volume, &policy, "ann is denied", || {
        !ANN.sh(&mount.point, "cat secret/f").status.success()
    });
    ROOT.can(&mount.point, "cat secret/f elsewhere");
    ANN.cannot(&mount.point, "cat elsewhere");
}

#[test]
fn a_bad_policy_is_refused_with_line_statement_and_reason_and_the_old_one_stays() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(&mount.point, "umask 0; echo text > f");
    let bad = home.path("bad.json");
    fs::write(
        &bad,
        r#"{
  "Version": "2012-10-17",
  "Statement": [
    { "Sid": "Fine", "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" },
    { "Sid": "Typo", "Effect": "Allow", "Principal": "*",
      "Action": "kmsfs:Reed", "Resource": "*" }
  ]
}"#,
    )
    .unwrap();
    let before = home.run([
        "policy".as_ref(),
        "get".as_ref(),
        "--tree".as_ref(),
        volume.backing.as_os_str(),
    ]);
    for command in [
        vec!["policy", "validate"],
        vec!["policy", "put", "--tree", volume.backing.to_str().unwrap()],
    ] {
        let names_it = predicate::str::contains("kmsfs:Reed")
            .and(predicate::str::contains("Typo"))
            .and(predicate::str::contains("6"));
        home.kmsfs()
            .args(&command)
            .arg(&bad)
            .assert()
            .code(17)
            .stderr(names_it);
    }
    let after = home.run([
        "policy".as_ref(),
        "get".as_ref(),
        "--tree".as_ref(),
        mount.point.as_os_str(),
    ]);
    assert_eq!(before, after);
    std::thread::sleep(TAKES_EFFECT);
    ANN.cannot(&mount.point, "cat f");
    ROOT.can(&mount.point, "cat f");
}

#[test]
fn policy_get_prints_what_policy_put_took() {
    let home = Home::new();
    let volume = home.volume("owner");
    let policy = document(&[everything_for_root()]);
    volume.put_policy(&policy);
    let printed = home.run([
        "policy".as_ref(),
        "get".as_ref(),
        "--tree".as_ref(),
        volume.backing.as_os_str(),
    ]);
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), policy);
}

#[test]
fn a_volume_may_start_with_a_policy_of_its_own() {
    let home = Home::new();
    let file = home.path("start.json");
    let policy = document(&[
        allow(BOB, &json!("kmsfs:*"), &json!("*")),
        everything_for_root(),
    ]);
    fs::write(&file, policy.to_string()).unwrap();
    let volume = home.volume(file.to_str().unwrap());
    let mount = volume.mount();
    open_modes(&mount);
    BOB.can(&mount.point, "echo bob > f; cat f");
    ANN.cannot(&mount.point, "cat f");
}

#[test]
fn metadata_is_governed_by_modes_alone() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    ROOT.can(&mount.point, "echo text > f; ln -s f s");
    assert_eq!(ANN.can(&mount.point, "stat -c %s f; readlink s"), "5\nf\n");
    ANN.cannot(&mount.point, "cat f");
}

#[test]
fn who_may_only_append_cannot_write_over_what_is_there() {
    let home = Home::new();
    let volume = home.volume("owner");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(&mount.point, "umask 0; printf 'first\\n' > log");
    let policy = document(&[
        everything_for_root(),
        allow(ANN, &json!("kmsfs:Append"), &json!("*")),
    ]);
    put_and_wait(&volume, &policy, "Append", || {
        ANN.sh(&mount.point, "printf 'second\\n' >> log")
            .status
            .success()
    });
    // O_APPEND is taken off again with fcntl(2): the kernel does not tell the filesystem.
    let forge = "python3 -c '
import fcntl, os
log = os.open(\"log\", os.O_WRONLY | os.O_APPEND)
fcntl.fcntl(log, fcntl.F_SETFL, 0)
os.pwrite(log, b\"FORGED\", 0)'";
    ANN.cannot(&mount.point, forge);
    let content = ROOT.can(&mount.point, "cat log");
    assert!(content.starts_with("first\nsecond\n"), "{content}");
}

#[test]
fn a_denied_subtree_is_not_freed_by_renaming_its_directory_or_removing_the_name() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    open_modes(&mount);
    ROOT.can(
        &mount.point,
        "umask 0; mkdir hr; echo text > hr/pay; echo text > hr/list",
    );
    let policy = document(&[
        json!({ "Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" }),
        json!({ "Sid": "Closed", "Effect": "Deny", "Principal": { "AWS": ANN.arn() }, "Action": "kmsfs:Read",
                "Resource": volume.arn("hr/*") }),
    ]);
    put_and_wait(&volume, &policy, "Deny", || {
        !ANN.sh(&mount.point, "cat hr/pay").status.success()
    });
    ANN.cannot(&mount.point, "mv hr mine");
    // An O_PATH descriptor outlives the name, and /proc opens the file anew by it.
    let by_descriptor = "python3 -c '
import os
path = os.open(\"hr/pay\", os.O_PATH)
os.unlink(\"hr/pay\")
print(open(f\"/proc/self/fd/{path}\").read())'";
    ANN.cannot(&mount.point, by_descriptor);
}

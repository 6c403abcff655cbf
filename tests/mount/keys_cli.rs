//! `kmsfs key`, and what a key's state does to a mount.

use std::fs;

use predicates::prelude::*;
use serde_json::Value;

use crate::common::{Home, Mount, TAKES_EFFECT, is_mounted, within};

/// A home that exists, because a volume was made in it.
fn home() -> Home {
    let home = Home::new();
    home.volume("everyone");
    home
}

fn opens(mount: &Mount<'_>, name: &str) -> bool {
    match fs::read(mount.path(name)) {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            false
        }
    }
}

#[test]
fn a_created_key_is_listed_and_described_with_its_alias() {
    let home = home();
    let created = home.json([
        "key",
        "create",
        "--alias",
        "payroll",
        "--description",
        "Pay slips",
    ]);
    let id = created["KeyMetadata"]["KeyId"].as_str().unwrap();
    for name in [
        id,
        "alias/payroll",
        created["KeyMetadata"]["Arn"].as_str().unwrap(),
    ] {
        let described = home.json(["key", "describe", name]);
        assert_eq!(described["KeyMetadata"]["KeyId"], id, "{name}");
        assert_eq!(described["KeyMetadata"]["Description"], "Pay slips");
        assert_eq!(described["KeyMetadata"]["KeyState"], "Enabled");
        assert_eq!(described["KeyMetadata"]["KeySpec"], "SYMMETRIC_DEFAULT");
    }
    let listed = home.json(["key", "list"]);
    let keys = listed["Keys"].as_array().unwrap();
    assert_eq!(keys.len(), 2, "the volume's key and the new one: {listed}");
    assert!(keys.iter().any(|key| key["KeyId"] == id));
    let text = home.run(["key", "list"]);
    assert!(text.contains(id) && text.contains("payroll"), "{text}");
}

#[test]
fn an_alias_is_created_moved_listed_and_deleted() {
    let home = home();
    let id = |created: Value| created["KeyMetadata"]["KeyId"].as_str().unwrap().to_owned();
    let (one, two) = (
        id(home.json(["key", "create"])),
        id(home.json(["key", "create"])),
    );
    home.run(["key", "alias", "create", "mine", &one]);
    let target = || home.json(["key", "describe", "alias/mine"])["KeyMetadata"]["KeyId"].clone();
    assert_eq!(target(), one);
    home.run(["key", "alias", "update", "alias/mine", &two]);
    assert_eq!(target(), two);
    let listed = home.json(["key", "alias", "list"]);
    let aliases = listed["Aliases"].as_array().unwrap();
    assert!(
        aliases
            .iter()
            .any(|a| a["AliasName"] == "alias/mine" && a["TargetKeyId"] == two.as_str())
    );
    let taken = home
        .kmsfs()
        .args(["key", "alias", "create", "mine", &one])
        .assert()
        .code(16);
    taken.stderr(predicate::str::contains("AlreadyExistsException"));
    home.run(["key", "alias", "delete", "mine"]);
    let gone = home
        .kmsfs()
        .args(["key", "describe", "alias/mine"])
        .assert()
        .code(16);
    gone.stderr(predicate::str::contains("NotFoundException"));
}

#[test]
fn a_disabled_key_refuses_opens_on_a_running_mount_until_it_is_enabled() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("f"), b"content").unwrap();
    assert!(opens(&mount, "f"));

    home.run(["key", "disable", &volume.key]);
    within(TAKES_EFFECT, "an open is refused", || !opens(&mount, "f"));
    let refused = fs::write(mount.path("new"), b"x").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!(
        home.json(["key", "describe", &volume.key])["KeyMetadata"]["KeyState"],
        "Disabled"
    );

    home.run(["key", "enable", &volume.key]);
    within(TAKES_EFFECT, "an open is allowed", || opens(&mount, "f"));
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"content");
    fs::write(mount.path("new"), b"x").unwrap();
}

#[test]
fn a_volume_whose_key_is_disabled_does_not_mount_and_loses_nothing() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), b"content").unwrap();
    home.run(["key", "disable", &volume.key]);
    let point = home.path("point");
    fs::create_dir(&point).unwrap();
    let refused = home
        .kmsfs()
        .arg("mount")
        .arg(&volume.backing)
        .arg(&point)
        .assert()
        .code(16);
    refused.stderr(predicate::str::contains("DisabledException"));
    assert!(!is_mounted(&point));
    home.run(["key", "enable", &volume.key]);
    assert_eq!(fs::read(volume.mount().path("f")).unwrap(), b"content");
}

#[test]
fn files_from_before_a_rotation_stay_readable_beside_new_ones() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("old"), b"before").unwrap();
    home.run(["key", "rotate", &volume.key]);
    fs::write(mount.path("new"), b"after").unwrap();
    drop(mount);
    home.run(["key", "rotate", &volume.key]);
    let mount = volume.mount();
    assert_eq!(fs::read(mount.path("old")).unwrap(), b"before");
    assert_eq!(fs::read(mount.path("new")).unwrap(), b"after");
    fs::write(mount.path("old"), b"rewritten").unwrap();
    assert_eq!(fs::read(mount.path("old")).unwrap(), b"rewritten");
}

#[test]
fn a_volume_uses_the_key_it_was_made_with() {
    let home = home();
    let created = home.json(["key", "create", "--alias", "mine"]);
    let backing = home.path("second");
    let made = home.json([
        "init".as_ref(),
        backing.as_os_str(),
        "--key".as_ref(),
        "alias/mine".as_ref(),
    ]);
    assert_eq!(made["keyArn"], created["KeyMetadata"]["Arn"]);
    let status = home.json(["status".as_ref(), backing.as_os_str()]);
    assert_eq!(status["keyArn"], created["KeyMetadata"]["Arn"]);
}

#[test]
fn disabling_one_key_leaves_a_volume_under_another_alone() {
    let home = Home::new();
    let (one, two) = (
        home.named_volume("one", "everyone"),
        home.named_volume("two", "everyone"),
    );
    let (first, second) = (one.mount(), two.mount());
    fs::write(first.path("f"), b"1").unwrap();
    fs::write(second.path("f"), b"2").unwrap();
    home.run(["key", "disable", &one.key]);
    within(TAKES_EFFECT, "the first volume refuses", || {
        !opens(&first, "f")
    });
    assert_eq!(fs::read(second.path("f")).unwrap(), b"2");
}

#[test]
fn a_second_mount_takes_the_key_service_over_when_the_first_ends() {
    let home = Home::new();
    let (one, two) = (
        home.named_volume("one", "everyone"),
        home.named_volume("two", "everyone"),
    );
    let first = one.mount();
    let second = two.mount();
    fs::write(second.path("f"), b"2").unwrap();
    drop(first);
    fs::write(second.path("g"), b"3").unwrap();
    assert_eq!(fs::read(second.path("f")).unwrap(), b"2");
    home.run(["key", "disable", &two.key]);
    within(TAKES_EFFECT, "the survivor's mount refuses", || {
        !opens(&second, "f")
    });
}

#[test]
fn a_key_policy_is_printed_replaced_and_checked() {
    let home = home();
    let created = home.json(["key", "create", "--alias", "mine"]);
    let account = created["KeyMetadata"]["AWSAccountId"]
        .as_str()
        .unwrap()
        .to_owned();
    let printed = home.run(["policy", "get", "--key", "alias/mine"]);
    let policy: Value = serde_json::from_str(&printed).unwrap();
    assert!(
        policy["Statement"]
            .as_array()
            .is_some_and(|statements| !statements.is_empty())
    );

    let file = home.path("key-policy.json");
    let text = printed.replace("kms:ViaService", "kms:ViaServis");
    assert_ne!(
        text, printed,
        "account {account}: the default policy is for use through kmsfs"
    );
    fs::write(&file, text).unwrap();
    let put = [
        "policy".as_ref(),
        "put".as_ref(),
        "--key".as_ref(),
        "alias/mine".as_ref(),
        file.as_os_str(),
    ];
    home.kmsfs()
        .args(put)
        .assert()
        .code(17)
        .stderr(predicate::str::contains("kms:ViaServis"));
    assert_eq!(home.run(["policy", "get", "--key", "alias/mine"]), printed);
    fs::write(&file, &printed).unwrap();
    home.run(put);
}

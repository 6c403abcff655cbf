//! Bad input: one clear line, an exit code of its own, nothing lost.

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

use crate::common::{Home, Volume, is_mounted, kmsfs, write_secret};

const FAILURE: i32 = 1;
const USAGE: i32 = 2;
const WRONG_SECRET: i32 = 10;
const NOT_A_VOLUME: i32 = 11;
const NEWER_FORMAT: i32 = 12;
const CORRUPT_VOLUME: i32 = 13;
const BAD_MOUNT_POINT: i32 = 14;
const ALREADY_MOUNTED: i32 = 15;
const KEY_SERVICE: i32 = 16;
const POLICY_REFUSED: i32 = 17;
const BAD_HOME: i32 = 18;
const DAMAGED_HEADER: i32 = 19;

/// The command fails with `code` and one line that mentions each of `words`.
fn refused(mut command: Command, code: i32, words: &[&str]) {
    let assert = command.assert().code(code);
    let message = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert_eq!(message.lines().count(), 1, "not one line: {message}");
    assert!(message.starts_with("kmsfs: "), "{message}");
    for word in words {
        assert!(message.contains(word), "`{word}` is not in: {message}");
    }
}

fn mount_command(home: &Home, backing: &Path) -> Command {
    let point = home.path("point");
    fs::create_dir_all(&point).unwrap();
    let mut command = home.kmsfs();
    command.arg("mount").arg(backing).arg(point);
    command
}

/// A volume with a file in it, and a check that the file is still whole.
fn with_content(home: &Home) -> Volume<'_> {
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), b"content").unwrap();
    volume
}

fn nothing_is_lost(volume: &Volume<'_>) {
    assert!(!is_mounted(&volume.home.path("point")));
    assert_eq!(fs::read(volume.mount().path("f")).unwrap(), b"content");
}

#[test]
fn a_wrong_passphrase_opens_nothing() {
    let home = Home::new();
    let volume = with_content(&home);
    let right = fs::read_to_string(home.passfile()).unwrap();
    write_secret(&home.passfile(), "wrong\n");
    refused(
        mount_command(&home, &volume.backing),
        WRONG_SECRET,
        &["passphrase"],
    );
    let mut list = home.kmsfs();
    list.args(["key", "list"]);
    refused(list, WRONG_SECRET, &["passphrase"]);
    write_secret(&home.passfile(), &right);
    nothing_is_lost(&volume);
}

#[test]
fn a_missing_an_empty_and_an_exposed_passphrase_file_are_told_apart() {
    let home = Home::new();
    let volume = with_content(&home);
    let right = fs::read_to_string(home.passfile()).unwrap();
    fs::remove_file(home.passfile()).unwrap();
    refused(
        mount_command(&home, &volume.backing),
        WRONG_SECRET,
        &["passfile", "No such file"],
    );
    write_secret(&home.passfile(), "");
    refused(
        mount_command(&home, &volume.backing),
        WRONG_SECRET,
        &["passfile", "empty"],
    );
    write_secret(&home.passfile(), &right);
    nothing_is_lost(&volume);
}

#[test]
fn without_a_passphrase_or_a_terminal_the_message_says_what_to_give() {
    let home = Home::new();
    let volume = with_content(&home);
    let point = home.path("point");
    fs::create_dir(&point).unwrap();
    let mut command = kmsfs();
    command
        .arg("--home")
        .arg(home.dir())
        .arg("mount")
        .arg(&volume.backing)
        .arg(&point);
    refused(command, WRONG_SECRET, &["--passfile", "--keyfile"]);
    nothing_is_lost(&volume);
}

#[test]
fn a_home_sealed_by_a_key_file_opens_with_that_file_only() {
    let home = Home::new();
    let keyfile = home.path("keyfile");
    let run = |arguments: &[&Path]| {
        let mut command = kmsfs();
        command
            .arg("--home")
            .arg(home.dir())
            .arg("--keyfile")
            .arg(&keyfile)
            .args(arguments);
        command
    };
    let backing = home.path("backing");
    run(&[Path::new("init"), &backing]).assert().success();
    run(&[Path::new("key"), Path::new("list")])
        .assert()
        .success();
    let original = fs::read(&keyfile).unwrap();
    let mut changed = original.clone();
    changed[0] ^= 1;
    fs::write(&keyfile, changed).unwrap();
    refused(
        run(&[Path::new("key"), Path::new("list")]),
        WRONG_SECRET,
        &["key file"],
    );
    let mut with_passphrase = home.kmsfs();
    with_passphrase.args(["key", "list"]);
    refused(with_passphrase, WRONG_SECRET, &["key file"]);
    fs::write(&keyfile, original).unwrap();
    run(&[Path::new("key"), Path::new("list")])
        .assert()
        .success();
}

#[test]
fn a_directory_that_is_no_volume_is_named_and_left_alone() {
    let home = Home::new();
    let volume = with_content(&home);
    let other = home.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), b"mine").unwrap();
    refused(
        mount_command(&home, &other),
        NOT_A_VOLUME,
        &["other", "kmsfs init"],
    );
    refused(
        mount_command(&home, &home.path("nowhere")),
        NOT_A_VOLUME,
        &["nowhere"],
    );
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    nothing_is_lost(&volume);
}

#[test]
fn init_refuses_a_directory_that_is_not_empty_and_a_volume() {
    let home = Home::new();
    let volume = with_content(&home);
    let other = home.path("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("mine"), b"mine").unwrap();
    for backing in [&other, &volume.backing] {
        let mut command = home.kmsfs();
        command.arg("init").arg(backing);
        refused(
            command,
            FAILURE,
            &[backing.file_name().unwrap().to_str().unwrap()],
        );
    }
    assert_eq!(fs::read_dir(&other).unwrap().count(), 1);
    nothing_is_lost(&volume);
}

#[test]
fn a_volume_of_a_newer_format_is_refused_as_such() {
    let home = Home::new();
    let volume = with_content(&home);
    let config = volume.backing.join(".kmsfs/volume.json");
    let original = fs::read_to_string(&config).unwrap();
    let mut newer: Value = serde_json::from_str(&original).unwrap();
    let version = newer["version"].as_u64().unwrap();
    newer["version"] = (version + 1).into();
    fs::write(&config, newer.to_string()).unwrap();
    let number = (version + 1).to_string();
    refused(
        mount_command(&home, &volume.backing),
        NEWER_FORMAT,
        &["version", &number],
    );
    fs::write(&config, original).unwrap();
    nothing_is_lost(&volume);
}

#[test]
fn a_damaged_volume_configuration_is_refused_however_it_is_damaged() {
    let home = Home::new();
    let volume = with_content(&home);
    let config = volume.backing.join(".kmsfs/volume.json");
    let original = fs::read_to_string(&config).unwrap();
    let half = original[..original.len() / 2].to_owned();
    let mut damaged = vec![String::new(), half, "[]".to_owned()];
    // One character of every string value: the MAC must find each.
    let parsed: Value = serde_json::from_str(&original).unwrap();
    for (name, value) in parsed.as_object().unwrap() {
        if let Some(text) = value.as_str().filter(|text| !text.is_empty()) {
            let flipped = if text.starts_with('A') { 'B' } else { 'A' };
            let changed = format!("{flipped}{}", &text[1..]);
            let mut config = parsed.clone();
            config[name] = changed.into();
            damaged.push(config.to_string());
        }
    }
    assert!(damaged.len() > 5);
    for text in damaged {
        fs::write(&config, &text).unwrap();
        let assert = mount_command(&home, &volume.backing).assert().failure();
        let code = assert.get_output().status.code().unwrap();
        // Another key ARN or wrapped key is for the key service to refuse.
        assert!(
            [CORRUPT_VOLUME, KEY_SERVICE].contains(&code),
            "{code} for {text}"
        );
    }
    fs::write(&config, "{").unwrap();
    refused(
        mount_command(&home, &volume.backing),
        CORRUPT_VOLUME,
        &["volume.json"],
    );
    fs::write(&config, original).unwrap();
    nothing_is_lost(&volume);
}

#[test]
fn a_mount_point_must_be_an_existing_directory_with_nothing_mounted_on_it() {
    let home = Home::new();
    let volume = with_content(&home);
    let mount_at = |point: &Path| {
        let mut command = home.kmsfs();
        command.arg("mount").arg(&volume.backing).arg(point);
        command
    };
    refused(
        mount_at(&home.path("nowhere")),
        BAD_MOUNT_POINT,
        &["nowhere"],
    );
    fs::write(home.path("file"), b"").unwrap();
    refused(
        mount_at(&home.path("file")),
        BAD_MOUNT_POINT,
        &["file", "not a directory"],
    );
    let second = home.named_volume("second", "everyone");
    let mounted = second.mount();
    refused(mount_at(&mounted.point), BAD_MOUNT_POINT, &["mounted"]);
    drop(mounted);
    nothing_is_lost(&volume);
}

#[test]
fn umount_of_what_is_no_kmsfs_mount_touches_nothing() {
    let home = Home::new();
    let directory = home.path("directory");
    fs::create_dir(&directory).unwrap();
    for point in [
        directory.as_path(),
        Path::new("/proc"),
        &home.path("nowhere"),
    ] {
        let mut command = home.kmsfs();
        command.arg("umount").arg(point);
        refused(command, BAD_MOUNT_POINT, &[point.to_str().unwrap()]);
    }
    assert!(is_mounted(Path::new("/proc")));
}

#[test]
fn umount_of_a_mount_in_use_fails_and_changes_nothing() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let open = fs::File::create_new(mount.path("f")).unwrap();
    let mut command = home.kmsfs();
    command.arg("umount").arg(&mount.point);
    refused(command, FAILURE, &["busy"]);
    std::io::Write::write_all(&mut &open, b"content").unwrap();
    drop((open, mount));
    assert_eq!(fs::read(volume.mount().path("f")).unwrap(), b"content");
}

#[test]
fn a_mounted_volume_is_not_mounted_again() {
    let home = Home::new();
    let volume = with_content(&home);
    let mount = volume.mount();
    let where_it_is = mount.point.to_str().unwrap().to_owned();
    refused(
        mount_command(&home, &volume.backing),
        ALREADY_MOUNTED,
        &["mounted", &where_it_is],
    );
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"content");
    drop(mount);
    nothing_is_lost(&volume);
}

#[test]
fn the_key_services_refusals_carry_its_error_names() {
    let home = Home::new();
    let volume = with_content(&home);
    let command = |arguments: &[&str]| {
        let mut command = home.kmsfs();
        command.args(arguments);
        command
    };
    refused(
        command(&["key", "describe", "alias/none"]),
        KEY_SERVICE,
        &["NotFoundException"],
    );
    let backing = home.path("new");
    let backing = backing.to_str().unwrap();
    let init = command(&["init", backing, "--key", "alias/none"]);
    refused(init, KEY_SERVICE, &["NotFoundException", "alias/none"]);
    assert!(
        !Path::new(backing).join(".kmsfs").exists(),
        "half a volume was left"
    );
    nothing_is_lost(&volume);
}

#[test]
fn a_refused_policy_at_init_leaves_no_volume() {
    let home = Home::new();
    let policy = home.path("policy.json");
    fs::write(
        &policy,
        r#"{ "Version": "2012-10-17", "Statement": [ { "Effect": "Alow" } ] }"#,
    )
    .unwrap();
    let backing = home.path("backing");
    home.kmsfs()
        .arg("init")
        .arg(&backing)
        .arg("--policy")
        .arg(&policy)
        .assert()
        .code(POLICY_REFUSED);
    assert!(!backing.join(".kmsfs").exists());
}

#[test]
fn a_home_that_is_missing_or_a_file_is_refused() {
    let home = Home::new();
    let mut missing = home.kmsfs();
    missing.args(["key", "list"]);
    refused(missing, BAD_HOME, &["home", "kmsfs init"]);
    fs::write(home.dir(), b"a file").unwrap();
    let mut file = home.kmsfs();
    file.args(["key", "list"]);
    refused(file, BAD_HOME, &["home"]);
}

#[test]
fn a_damaged_header_is_reported_by_inspect() {
    let home = Home::new();
    let volume = with_content(&home);
    let file = volume.only_backing_file();
    let original = fs::read(&file).unwrap();
    let inspect = |file: &Path| {
        let mut command = kmsfs();
        command.arg("inspect").arg(file);
        command
    };
    inspect(&file).assert().success();
    let mut damaged = original.clone();
    damaged[30] ^= 1;
    damaged[2048 + 30] ^= 1;
    fs::write(&file, damaged).unwrap();
    refused(inspect(&file), DAMAGED_HEADER, &["header"]);
    fs::write(&file, b"").unwrap();
    refused(inspect(&file), DAMAGED_HEADER, &["header"]);
    fs::write(&file, original).unwrap();
    nothing_is_lost(&volume);
}

#[test]
fn inspect_shows_the_header_and_no_key_bytes() {
    let home = Home::new();
    let volume = with_content(&home);
    let shown = home.json(["inspect".as_ref(), volume.only_backing_file().as_os_str()]);
    assert_eq!(shown["keyArn"], volume.key.as_str());
    assert_eq!(shown["length"], 7);
    assert!(shown["fileId"].as_str().is_some_and(|id| id.len() >= 32));
}

#[test]
fn wrong_usage_has_claps_exit_code() {
    for arguments in [
        &["frobnicate"][..],
        &["mount", "only-one"],
        &["mount", "/b", "/m", "-o", "what=1"],
    ] {
        kmsfs().args(arguments).assert().code(USAGE);
    }
}

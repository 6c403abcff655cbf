//! Directories with a KMS key and label of their own, as root and as users.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::{ANN, BOB, Home, Mount, ROOT, TAKES_EFFECT, Volume, kmsfs, within};

fn new_key(home: &Home, alias: &str) -> String {
    let made = home.json(["key", "create", "--alias", alias]);
    made["KeyMetadata"]["Arn"].as_str().unwrap().to_owned()
}

fn set_key(home: &Home, directory: &Path, arguments: &[&str]) {
    home.kmsfs()
        .arg("set-key")
        .arg(directory)
        .args(arguments)
        .assert()
        .success();
}

/// The complaint of a `set-key` that must fail.
fn cannot_set_key(directory: &Path, arguments: &[&str]) -> String {
    let mut command = kmsfs();
    let assert = command
        .arg("set-key")
        .arg(directory)
        .args(arguments)
        .assert()
        .failure();
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// The backing entry of a path of the mount.
fn backing(volume: &Volume<'_>, path: &Path) -> PathBuf {
    use std::os::unix::fs::MetadataExt as _;
    let number = path.symlink_metadata().unwrap().ino();
    let mut entries = volume.backing_entries().into_iter();
    entries
        .find(|entry| entry.symlink_metadata().unwrap().ino() == number)
        .unwrap()
}

fn inspect(home: &Home, path: &Path) -> Value {
    home.json(["inspect".as_ref(), path.as_os_str()])
}

/// A volume with the boundary `hr`, of a key and label of its own, and a file in it.
fn furnish<'v>(home: &'v Home, volume: &'v Volume<'v>) -> (Mount<'v>, String) {
    let key = new_key(home, "alias/hr");
    let mount = volume.mount();
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    for name in ["hr", "pub"] {
        fs::create_dir(mount.path(name)).unwrap();
        fs::set_permissions(mount.path(name), fs::Permissions::from_mode(0o777)).unwrap();
    }
    set_key(
        home,
        &mount.path("hr"),
        &["--key", "alias/hr", "--label", "hr"],
    );
    ANN.can(
        &mount.point,
        "echo secret >hr/f; mkdir -p hr/below; echo deep >hr/below/f; echo open >pub/f",
    );
    (mount, key)
}

#[test]
fn files_below_a_boundary_have_its_key_and_label_and_mv_encrypts_anew() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let (mount, key) = furnish(&home, &volume);
    for path in ["hr/f", "hr/below/f"] {
        let header = inspect(&home, &backing(&volume, &mount.path(path)));
        assert_eq!(header["keyArn"], key.as_str(), "{path}");
        assert_eq!(header["label"], "hr", "{path}");
    }
    let outside = inspect(&home, &backing(&volume, &mount.path("pub/f")));
    assert_eq!(outside["keyArn"], volume.key.as_str());
    assert_eq!(outside["label"], Value::Null);
    // mv(1) copies across, and so encrypts under the other key; ln(1) cannot.
    ANN.can(
        &mount.point,
        "mv hr/f pub/was-hr; cat pub/was-hr; mv pub/f hr/was-pub",
    );
    let moved = inspect(&home, &backing(&volume, &mount.path("pub/was-hr")));
    assert_eq!(moved["label"], Value::Null);
    let moved = inspect(&home, &backing(&volume, &mount.path("hr/was-pub")));
    assert_eq!(
        (&moved["keyArn"], &moved["label"]),
        (&json!(key), &json!("hr"))
    );
    let link = ANN.sh(&mount.point, "ln hr/was-pub pub/link");
    let message = String::from_utf8_lossy(&link.stderr).into_owned();
    assert!(message.contains("cross-device"), "{message}");
    let renamed = fs::rename(mount.path("hr"), mount.path("personnel"));
    assert_eq!(
        renamed.unwrap_err().kind(),
        std::io::ErrorKind::CrossesDevices
    );
    // A copy of the tree with all attributes carries no boundary.
    ROOT.can(&mount.point, "cp -a hr pub/copy");
    let copy = inspect(&home, &backing(&volume, &mount.path("pub/copy/below/f")));
    assert_eq!(copy["label"], Value::Null);

    let status = home.json(["status".as_ref(), mount.path("hr/below").as_os_str()]);
    assert_eq!(status["boundaries"], true);
    let expected = json!({ "keyArn": key, "label": "hr", "boundary": false });
    assert_eq!(status["directory"], expected);
    assert_eq!(status["mountpoint"], mount.point.to_str().unwrap());
    let record = inspect(&home, &backing(&volume, &mount.path("hr")));
    assert_eq!(
        record,
        json!({ "isBoundary": true, "hasBoundaries": false })
    );
    let record = inspect(&home, &volume.backing);
    assert_eq!(
        record,
        json!({ "isBoundary": false, "hasBoundaries": true })
    );
    drop(mount);
    let fsck = home.json(["fsck".as_ref(), volume.backing.as_os_str()]);
    assert_eq!(fsck["findings"], json!([]), "{fsck}");
    let records = home.audit_records();
    let set = records
        .iter()
        .find(|record| record["eventName"] == "SetBoundary");
    let set = set.expect("it is recorded");
    assert_eq!(set["requestParameters"]["label"], "hr", "{set}");
    let shared = |record: &&Value| {
        record["sharedEventID"] == set["sharedEventID"] && record["eventName"] == "GenerateDataKey"
    };
    let proof = records
        .iter()
        .find(shared)
        .expect("the key plane was asked");
    let context = &proof["requestParameters"]["encryptionContext"];
    assert_eq!(context["kmsfs:label"], "hr", "{proof}");
}

#[test]
fn a_key_is_set_by_root_and_the_mounter_alone_and_as_policies_and_the_key_allow() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let (mount, key) = furnish(&home, &volume);
    ANN.can(&mount.point, "mkdir mine");
    // The build directory need not be reachable for other users.
    fs::copy(env!("CARGO_BIN_EXE_kmsfs"), home.path("kmsfs")).unwrap();
    let script = format!(
        "{} set-key mine --key alias/hr",
        home.path("kmsfs").display()
    );
    let refused = ANN.sh(&mount.point, &script);
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        message.contains("only root and the user who mounted"),
        "{message}"
    );

    let mine = mount.path("mine");
    for (directory, arguments, why) in [
        (mount.path("hr"), &["--label", "x"][..], "it is not empty"),
        (
            mount.point.clone(),
            &["--label", "x"][..],
            "the root of the volume",
        ),
        (mine.clone(), &["--label", ""][..], "a label has 1 to 255"),
        (
            mine.clone(),
            &["--key", "alias/none"][..],
            "if there is one",
        ),
        (home.path(""), &["--label", "x"][..], "not a mount of kmsfs"),
        (mount.path("hr/f"), &["--label", "x"][..], "Not a directory"),
    ] {
        let message = cannot_set_key(&directory, arguments);
        assert!(
            message.contains(why),
            "{directory:?} {arguments:?}: {message}"
        );
    }
    // Root is asked for like any other.
    home.run(["key", "disable", &key]);
    assert!(cannot_set_key(&mine, &["--key", &key]).contains("refused"));
    home.run(["key", "enable", &key]);
    volume.put_policy(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" },
        { "Effect": "Deny", "Principal": "*", "Action": "kmsfs:SetSecurity", "Resource": "*",
          "Condition": { "StringEquals": { "kmsfs:Label": "hr" } } } ] }));
    within(TAKES_EFFECT, "a label that policy denies", || {
        let mut command = kmsfs();
        command.arg("set-key").arg(&mine).args(["--label", "hr"]);
        let output = command.output().unwrap();
        set_key(&home, &mine, &["--label", "other"]);
        !output.status.success()
    });
    let denied = home.audit_records().into_iter().any(|record| {
        record["eventName"] == "SetBoundary" && record["errorCode"] == "AccessDenied"
    });
    assert!(denied);
}

#[test]
fn labels_decide_in_tree_policies_and_in_key_policies() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let (mount, _) = furnish(&home, &volume);
    BOB.can(&mount.point, "cat hr/f hr/below/f pub/f; echo new >hr/bob");
    // Ann alone reads and makes what is labelled hr, wherever it lies.
    volume.put_policy(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" },
        { "Sid": "Hr", "Effect": "Deny", "NotPrincipal": { "AWS": ANN.arn() },
          "Action": ["kmsfs:Read", "kmsfs:Create"], "Resource": "*",
          "Condition": { "StringEquals": { "kmsfs:Label": "hr" } } } ] }));
    within(TAKES_EFFECT, "the policy", || {
        !BOB.sh(&mount.point, "cat hr/f").status.success()
    });
    BOB.cannot(&mount.point, "cat hr/below/f");
    BOB.cannot(&mount.point, "echo new >hr/below/bob");
    BOB.cannot(&mount.point, "mkdir hr/below/bob");
    ROOT.cannot(&mount.point, "cat hr/f");
    BOB.can(&mount.point, "cat pub/f; echo new >pub/bob");
    ANN.can(&mount.point, "cat hr/f hr/below/f; echo new >hr/ann");

    // The key service decides by the label too: it is in the encryption context.
    volume.put_policy(&json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" } ] }));
    let policy = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Resource": "*", "Action": "kms:*",
          "Principal": { "AWS": "arn:aws:iam::000000000000:root" } },
        { "Effect": "Allow", "Resource": "*", "Principal": "*",
          "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
          "Condition": { "StringEquals": { "kms:ViaService": "kmsfs.us-east-1.amazonaws.com" } } },
        { "Effect": "Deny", "Resource": "*", "Principal": { "AWS": BOB.arn() }, "Action": "kms:Decrypt",
          "Condition": { "StringEquals": { "kms:EncryptionContext:kmsfs:label": "hr" } } } ] });
    let file = home.path("key-policy.json");
    fs::write(&file, policy.to_string()).unwrap();
    let file = file.to_str().unwrap();
    home.run(["policy", "put", "--key", "alias/hr", file]);
    within(TAKES_EFFECT, "the tree policy", || {
        ROOT.sh(&mount.point, "cat hr/f").status.success()
    });
    BOB.cannot(&mount.point, "cat hr/f");
    BOB.can(&mount.point, "cat pub/f");
    ANN.can(&mount.point, "cat hr/f");
}

#[test]
fn what_was_moved_between_labels_behind_the_mount_is_refused_recorded_and_found_by_fsck() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let (mount, _) = furnish(&home, &volume);
    let (hr, public) = (
        backing(&volume, &mount.path("hr/f")),
        backing(&volume, &mount.path("pub/f")),
    );
    drop(mount);
    fs::copy(&hr, &public).unwrap();
    let fsck = home
        .kmsfs()
        .args(["fsck", "--json"])
        .arg(&volume.backing)
        .output()
        .unwrap();
    let fsck: Value = serde_json::from_slice(&fsck.stdout).unwrap();
    let findings = fsck["findings"].as_array().unwrap();
    let label = findings
        .iter()
        .find(|finding| finding["kind"] == "label")
        .unwrap();
    assert_eq!(
        (&label["path"], &label["class"]),
        (&json!("/pub/f"), &json!("damage"))
    );
    let mount = volume.mount();
    let read = fs::read(mount.path("pub/f")).unwrap_err();
    assert_eq!(
        read.raw_os_error(),
        Some(rustix::io::Errno::IO.raw_os_error())
    );
    let recorded = home.audit_records().into_iter().any(|record| {
        record["eventName"] == "IntegrityFailure"
            && record["errorMessage"].to_string().contains("label")
    });
    assert!(recorded);
    // It can be replaced all the same.
    fs::write(mount.path("pub/f"), "new").unwrap();
    assert_eq!(fs::read(mount.path("pub/f")).unwrap(), b"new");
    let (hr, public) = (
        backing(&volume, &mount.path("hr")),
        backing(&volume, &mount.path("pub")),
    );
    drop(mount);
    let flags = rustix::fs::RenameFlags::EXCHANGE;
    rustix::fs::renameat_with(rustix::fs::CWD, &hr, rustix::fs::CWD, &public, flags).unwrap();
    let mount = volume.mount();
    for path in ["hr", "pub"] {
        let listed = fs::read_dir(mount.path(path)).unwrap_err();
        assert_eq!(
            listed.raw_os_error(),
            Some(rustix::io::Errno::IO.raw_os_error())
        );
    }
}

#[test]
fn a_boundary_and_what_is_in_it_survive_a_kill_and_a_killed_mount_refuses_nothing_new() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let (mount, key) = furnish(&home, &volume);
    fs::create_dir(mount.path("late")).unwrap();
    set_key(&home, &mount.path("late"), &["--label", "late"]);
    fs::write(mount.path("late/f"), "late").unwrap();
    let daemon = mount.daemon();
    rustix::process::kill_process(daemon, rustix::process::Signal::KILL).unwrap();
    std::process::Command::new("umount")
        .arg("-l")
        .arg(&mount.point)
        .output()
        .unwrap();
    drop(mount);
    let mount = volume.mount();
    assert_eq!(fs::read(mount.path("late/f")).unwrap(), b"late");
    assert_eq!(fs::read(mount.path("hr/f")).unwrap(), b"secret\n");
    ANN.can(&mount.point, "echo new >hr/new");
    let header = inspect(&home, &backing(&volume, &mount.path("hr/new")));
    assert_eq!(
        (&header["keyArn"], &header["label"]),
        (&json!(key), &json!("hr"))
    );
}

//! Golden volumes: what a kmsfs of the past wrote reads as it was, for ever. `tests/golden` says how
//! they were made.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use rustix::fs::{CWD, FileType, Gid, Mode, Uid};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::common::{Home, Volume, kmsfs};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Unpacks the golden volume `name` into `home`.
fn unpack<'h>(home: &'h Home, name: &str) -> Volume<'h> {
    let archive = golden().join(name).join("volume.tar.gz");
    Command::new("tar")
        .arg("--extract")
        .arg("--gzip")
        .arg("--file")
        .arg(archive)
        .arg("--directory")
        .arg(home.path(""))
        .args(["--preserve-permissions", "--same-owner", "--numeric-owner"])
        .args(["--acls", "--xattrs", "--xattrs-include=*"])
        .assert()
        .success();
    if let Ok(sockets) = fs::read_to_string(home.path("sockets")) {
        for line in sockets.lines() {
            make_socket(home, line);
        }
    }
    let volume = fs::read(home.path("backing/.kmsfs/volume.json")).unwrap();
    let volume: Value = serde_json::from_slice(&volume).unwrap();
    Volume {
        home,
        backing: home.path("backing"),
        id: volume["volume_id"].as_str().unwrap().to_owned(),
        key: volume["kms_key"].as_str().unwrap().to_owned(),
    }
}

/// tar(1) holds no sockets: `<mode> <uid> <gid> <mtime> <backing path>` stands for one.
fn make_socket(home: &Home, line: &str) {
    let fields: Vec<&str> = line.splitn(5, ' ').collect();
    let [mode, uid, gid, time, path] = fields[..] else {
        panic!("{line}");
    };
    let path = home.path(path);
    let parent = fs::File::open(path.parent().unwrap()).unwrap();
    let before = parent.metadata().unwrap().modified().unwrap();
    let mode = Mode::from_raw_mode(u32::from_str_radix(mode, 8).unwrap());
    rustix::fs::mknodat(CWD, &path, FileType::Socket, mode, 0).unwrap();
    let (uid, gid) = (uid.parse().unwrap(), gid.parse().unwrap());
    let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    rustix::fs::chown(&path, owner.0, owner.1).unwrap();
    rustix::fs::chmod(&path, mode).unwrap();
    Command::new("touch")
        .arg("-d")
        .arg(format!("@{time}"))
        .arg(&path)
        .assert()
        .success();
    parent.set_modified(before).unwrap();
}

/// All that a program can see of the tree at `root`, path by path.
fn describe(root: &Path) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap();
            let name = name.as_os_str().as_bytes().escape_ascii().to_string();
            found.insert(name, describe_one(&path));
            if path.symlink_metadata().unwrap().is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

fn describe_one(path: &Path) -> Value {
    let stat = path.symlink_metadata().unwrap();
    let kind = stat.file_type();
    let mut seen = json!({
        "mode": format!("{:04o}", stat.mode() & 0o7777),
        "owner": format!("{}:{}", stat.uid(), stat.gid()),
        "modified": format!("{}.{:09}", stat.mtime(), stat.mtime_nsec()),
    });
    seen["kind"] = if kind.is_dir() {
        "directory".into()
    } else if kind.is_symlink() {
        let target = fs::read_link(path).unwrap().into_os_string().into_vec();
        seen["target"] = target.escape_ascii().to_string().into();
        "link".into()
    } else if kind.is_file() {
        seen["length"] = stat.len().into();
        seen["sha256"] = sha256(path).into();
        "file".into()
    } else if kind.is_fifo() {
        "fifo".into()
    } else if kind.is_socket() {
        "socket".into()
    } else {
        let (major, minor) = (
            rustix::fs::major(stat.rdev()),
            rustix::fs::minor(stat.rdev()),
        );
        seen["device"] = format!("{major}:{minor}").into();
        if kind.is_char_device() {
            "character device".into()
        } else {
            "block device".into()
        }
    };
    if !kind.is_dir() {
        seen["links"] = stat.nlink().into();
    }
    let attributes = attributes(path);
    if !attributes.is_empty() {
        seen["attributes"] = json!(attributes);
    }
    seen
}

fn sha256(path: &Path) -> String {
    let mut digits = String::new();
    for byte in Sha256::digest(fs::read(path).unwrap()) {
        write!(digits, "{byte:02x}").unwrap();
    }
    digits
}

/// Extended attributes, ACLs among them, but for those that a security module of the machine gives.
fn attributes(path: &Path) -> BTreeMap<String, String> {
    let mut names = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut names[..]).unwrap();
    let names = names[..length].split(|&byte| byte == 0);
    names
        .filter(|name| !name.is_empty() && *name != b"security.selinux")
        .map(|name| {
            let mut value = vec![0; 65536];
            let length =
                rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]).unwrap();
            let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
            (text(name), text(&value[..length]))
        })
        .collect()
}

fn manifest() -> BTreeMap<String, Value> {
    serde_json::from_slice(&fs::read(golden().join("v1/manifest.json")).unwrap()).unwrap()
}

fn assert_as_in_manifest(root: &Path) {
    let (expected, found) = (manifest(), describe(root));
    let paths = |tree: &BTreeMap<String, Value>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&found), paths(&expected));
    for (path, expected) in expected {
        assert_eq!(found[&path], expected, "{path}");
    }
}

#[test]
fn the_golden_volume_of_format_1_reads_as_it_was_written() {
    let home = Home::new();
    let volume = unpack(&home, "v1");
    // SQLite keeps `user_version` at byte 60 (https://www.sqlite.org/fileformat2.html).
    let store = fs::read(home.dir().join("kms.sqlite")).unwrap();
    assert_eq!(store[60..64], 1_u32.to_be_bytes(), "the key store's schema");

    let fsck = home.json(["fsck".as_ref(), volume.backing.as_os_str()]);
    assert_eq!(fsck["findings"], json!([]), "{fsck}");
    assert_as_in_manifest(&volume.mount_with(&["-o", "ro,allow_other,dev"]).point);
    let mount = volume.mount_with(&["-o", "allow_other,dev"]);
    assert_as_in_manifest(&mount.point);
    let file = mount.path("rotated/new");
    let longer = [fs::read(&file).unwrap(), b"more".to_vec()].concat();
    fs::write(&file, &longer).unwrap();
    drop(mount);
    assert!(fs::read(volume.mount().path("rotated/new")).unwrap() == longer);

    home.run(["audit", "verify"]);
    let disabled = home.run(["key", "describe", "alias/disabled"]);
    assert!(disabled.contains("Disabled"), "{disabled}");
    let golden = home.json(["key", "describe", &volume.key]);
    assert_eq!(golden["KeyState"], "Enabled", "{golden}");
}

#[test]
fn the_golden_home_of_a_key_file_opens() {
    let home = Home::new();
    unpack(&home, "v1");
    let keyed = |arguments: &[&str]| {
        let mut command = kmsfs();
        command
            .arg("--home")
            .arg(home.path("keyed"))
            .arg("--keyfile")
            .arg(home.path("keyfile"))
            .args(arguments);
        command.assert().success();
    };
    let (backing, point) = (home.path("keyed-backing"), home.path("keyed-mnt"));
    fs::create_dir(&point).unwrap();
    let (backing, point) = (backing.to_str().unwrap(), point.to_str().unwrap());
    keyed(&["mount", backing, point]);
    let read = fs::read_to_string(Path::new(point).join("file"));
    keyed(&["umount", point]);
    assert_eq!(read.unwrap(), "under a key file\n");
}

#[test]
fn the_golden_volume_with_boundary_directories_reads_as_it_was_written() {
    let home = Home::new();
    let volume = unpack(&home, "v1-boundaries");
    let fsck = home.json(["fsck".as_ref(), volume.backing.as_os_str()]);
    assert_eq!(fsck["findings"], json!([]), "{fsck}");
    // The same tree on an ordinary filesystem.
    let plain = home.path("plain");
    fs::create_dir(&plain).unwrap();
    Command::new(golden().join("boundaries.sh"))
        .arg(&plain)
        .arg("true")
        .assert()
        .success();
    let expected = describe(&plain);
    let read_only = volume.mount_with(&["-o", "ro,allow_other"]);
    assert_eq!(describe(&read_only.point), expected);
    drop(read_only);
    let mount = volume.mount();
    assert_eq!(describe(&mount.point), expected);

    let key = |name: &str| home.json(["key", "describe", name])["Arn"].clone();
    let (own, hr, payroll) = (json!(volume.key), key("alias/hr"), key("alias/payroll"));
    assert_ne!(hr, payroll);
    for (path, key, label) in [
        ("plain", &own, Value::Null),
        ("hr", &hr, json!("hr")),
        ("hr/below/deep", &hr, json!("hr")),
        ("hr/key", &payroll, json!("hr")),
        ("hr/key/inner", &payroll, json!("inner")),
        ("hr/label", &hr, json!("pay")),
        ("legal", &own, json!("legal")),
        ("again", &own, json!("again")),
        ("inherits", &own, Value::Null),
    ] {
        let status = home.json(["status".as_ref(), mount.path(path).as_os_str()]);
        let directory = &status["directory"];
        assert_eq!(
            (&directory["keyArn"], &directory["label"]),
            (key, &label),
            "{path}"
        );
    }
    fs::create_dir(mount.path("gone")).unwrap();
    let status = home.json(["status".as_ref(), mount.path("gone").as_os_str()]);
    assert_eq!(status["directory"]["label"], "gone");
    fs::write(mount.path("hr/new"), "new").unwrap();
    let renamed = fs::rename(mount.path("hr/new"), mount.path("new"));
    assert_eq!(
        renamed.unwrap_err().kind(),
        std::io::ErrorKind::CrossesDevices
    );
    drop(mount);
    assert_eq!(fs::read(volume.mount().path("hr/new")).unwrap(), b"new");
    home.run(["audit", "verify"]);
}

/// The manifest was not taken from the volume: the same tree on an ordinary filesystem has it too.
#[test]
fn the_golden_manifest_is_that_of_the_tree_that_was_written() {
    let home = Home::new();
    let plain = home.path("plain");
    fs::create_dir(&plain).unwrap();
    for part in ["first", "second"] {
        Command::new(golden().join("tree.sh"))
            .arg(&plain)
            .arg(part)
            .assert()
            .success();
    }
    assert_as_in_manifest(&plain);
}

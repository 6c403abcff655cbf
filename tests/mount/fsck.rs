//! `kmsfs fsck`: what it finds, what it does not call damage, and that it writes nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use assert_cmd::Command;
use rustix::fs::{FallocateFlags, XattrFlags};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Home, Volume, pattern, within};

const CLEAN: i32 = 0;
const UNCORRECTED: i32 = 4;
const OPERATIONAL: i32 = 8;
const USAGE: i32 = 16;
const CANCELLED: i32 = 32;

const BLOCK: usize = 4096;
const HEADER: u64 = 4096;
const STORED_BLOCK: u64 = 4136;

/// Runs fsck, and returns its exit code and report.
fn fsck(volume: &Volume<'_>) -> (i32, Value) {
    let output = volume
        .home
        .kmsfs()
        .args(["fsck", "--json"])
        .arg(&volume.backing)
        .output()
        .unwrap();
    let code = output.status.code().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text:?} {:?}", output.stderr));
    assert_eq!(report["exitCode"], code);
    (code, report)
}

/// The findings as `kind path`, sorted.
fn found(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap();
    let mut found: Vec<String> = findings
        .iter()
        .map(|finding| {
            let path = finding["path"].as_str().or(finding["backing"].as_str());
            format!("{} {}", finding["kind"].as_str().unwrap(), path.unwrap())
        })
        .collect();
    found.sort();
    found
}

/// A volume with one of everything, and the backing entry of each path in it.
fn with_everything(home: &Home) -> (Volume<'_>, BTreeMap<String, PathBuf>) {
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let at = |name: &str| mount.path(name);
    fs::create_dir(at("docs")).unwrap();
    fs::create_dir(at("docs/empty")).unwrap();
    fs::create_dir(at("other")).unwrap();
    fs::write(at("docs/four"), pattern(4 * BLOCK)).unwrap();
    fs::write(at("docs/short"), pattern(5000)).unwrap();
    fs::write(at("other/two"), pattern(2 * BLOCK)).unwrap();
    fs::write(at("none"), b"").unwrap();
    fs::write(at(&"long".repeat(60)), b"long").unwrap();
    let sparse = fs::File::create(at("sparse")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    sparse.write_all_at(&pattern(BLOCK), 1 << 30).unwrap();
    drop(sparse);
    symlink("docs/four", at("link")).unwrap();
    symlink("x/".repeat(1000), at("far")).unwrap();
    fs::write(at("twice"), b"two names").unwrap();
    fs::hard_link(at("twice"), at("other/twice")).unwrap();
    let flags = XattrFlags::empty();
    rustix::fs::setxattr(at("none"), "user.a", b"1", flags).unwrap();
    rustix::fs::setxattr(at("docs"), "user.a", b"2", flags).unwrap();

    let mut names = BTreeMap::new();
    for path in volume.backing_entries() {
        let ino = path.symlink_metadata().unwrap().ino();
        names.insert(ino, path);
    }
    let mut backing = BTreeMap::new();
    for name in [
        "docs",
        "docs/empty",
        "docs/four",
        "docs/short",
        "other",
        "other/two",
        "none",
        "sparse",
        "link",
        "far",
    ] {
        let ino = at(name).symlink_metadata().unwrap().ino();
        backing.insert(name.to_owned(), names[&ino].clone());
    }
    drop(mount);
    (volume, backing)
}

fn copy(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to);
    Command::new("cp")
        .args(["--archive", "--sparse=always"])
        .arg(from)
        .arg(to)
        .assert()
        .success();
}

fn flip_bit(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// Everything that a write could change.
fn state_of(directory: &Path) -> Vec<(PathBuf, u64, i64, i64, i64)> {
    let mut state = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(path) = pending.pop() {
        let stat = path.symlink_metadata().unwrap();
        if stat.is_dir() {
            pending.extend(
                fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
        }
        let changed = (stat.ctime() << 32) + stat.ctime_nsec();
        let modified = (stat.mtime() << 32) + stat.mtime_nsec();
        state.push((
            path,
            stat.ino(),
            changed,
            modified,
            stat.len().cast_signed(),
        ));
    }
    state.sort();
    state
}

#[test]
fn a_volume_with_one_of_everything_is_clean_and_not_a_byte_of_it_changes() {
    let home = Home::new();
    let (volume, _) = with_everything(&home);
    let before = state_of(&volume.backing);
    let (code, report) = fsck(&volume);
    assert_eq!((code, found(&report)), (CLEAN, vec![]), "{report}");
    assert_eq!(report["volumeId"], *volume.id);
    assert_eq!(
        report["checked"],
        json!({ "files": 7, "directories": 4, "links": 2, "others": 0, "bytes": report["checked"]["bytes"] })
    );
    let text = home.run(["fsck".as_ref(), volume.backing.as_os_str()]);
    assert!(
        text.contains("7 files, 4 directories, 2 links") && text.contains("clean"),
        "{text}"
    );
    assert!(state_of(&volume.backing) == before);
    home.run(["audit", "verify"]);
}

#[test]
fn a_volume_that_was_never_mounted_is_checked_without_making_its_lock() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let before = state_of(&volume.backing);
    assert_eq!(fsck(&volume).0, CLEAN);
    assert!(state_of(&volume.backing) == before);
}

/// A volume that is attacked, and restored before each attack.
struct Attacked<'h> {
    volume: Volume<'h>,
    backing: BTreeMap<String, PathBuf>,
    whole: PathBuf,
}

impl<'h> Attacked<'h> {
    fn new(home: &'h Home) -> Self {
        let (volume, backing) = with_everything(home);
        let whole = home.path("whole");
        copy(&volume.backing, &whole);
        Self {
            volume,
            backing,
            whole,
        }
    }

    /// The backing entry of a path.
    fn at(&self, name: &str) -> &Path {
        &self.backing[name]
    }

    fn control(&self, name: &str) -> PathBuf {
        self.volume.backing.join(".kmsfs").join(name)
    }

    /// The whole volume is attacked so, and then `expected` is what is found.
    fn finds(&self, expected: &[&str], attack: impl FnOnce()) {
        copy(&self.whole, &self.volume.backing);
        attack();
        let (code, report) = fsck(&self.volume);
        assert_eq!(code & UNCORRECTED, UNCORRECTED, "{expected:?}: {report}");
        let mut found = found(&report);
        for finding in &mut found {
            // Which of two is met first is chance; a name that cannot be read is the backing one.
            for kind in ["duplicate /", "name /other/"] {
                if finding.starts_with(kind) {
                    finding.truncate(kind.len());
                }
            }
        }
        assert_eq!(found, expected, "{report}");
    }

    /// Nothing was found for another reason than the attacks.
    fn is_clean_when_restored(&self) {
        copy(&self.whole, &self.volume.backing);
        let (code, report) = fsck(&self.volume);
        assert_eq!(code, CLEAN, "{report}");
    }
}

fn blank(path: &Path, from: u64, length: usize) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&vec![0; length], from).unwrap();
}

fn set_length(path: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(length).unwrap();
}

/// Puts a part of one file where it is in another.
fn transplant(from: &Path, to: &Path, part: Range<u64>) {
    let mut bytes = vec![0; usize::try_from(part.end - part.start).unwrap()];
    let source = fs::File::open(from).unwrap();
    source.read_exact_at(&mut bytes, part.start).unwrap();
    let target = OpenOptions::new().write(true).open(to).unwrap();
    target.write_all_at(&bytes, part.start).unwrap();
}

fn block(number: u64) -> u64 {
    HEADER + number * STORED_BLOCK
}

#[test]
fn altered_blanked_punched_and_foreign_blocks_are_found() {
    let home = Home::new();
    let volume = Attacked::new(&home);
    let (four, two) = (volume.at("docs/four"), volume.at("other/two"));
    volume.finds(&["blocks /docs/four"], || flip_bit(four, block(2) + 100));
    volume.finds(&["blocks /docs/four"], || blank(four, block(1), 4136));
    volume.finds(&["blocks /docs/four"], || {
        let file = OpenOptions::new().write(true).open(four).unwrap();
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, 4096, 4 * STORED_BLOCK).unwrap();
    });
    volume.finds(&["blocks /other/two"], || {
        transplant(four, two, block(1)..block(2));
    });
    volume.is_clean_when_restored();
}

#[test]
fn damaged_headers_and_wrong_lengths_are_found() {
    let home = Home::new();
    let volume = Attacked::new(&home);
    let (four, two) = (volume.at("docs/four"), volume.at("other/two"));
    let short = volume.at("docs/short");
    volume.finds(&["length /docs/short"], || set_length(short, block(1)));
    volume.finds(&["length /docs/short"], || set_length(short, block(7)));
    volume.finds(&["header /docs/short"], || set_length(short, 0));
    volume.finds(&["header /none"], || blank(volume.at("none"), 0, 4096));
    // The older copy, and the newest: with that one the file is back to what the older one says.
    volume.finds(&["header-copy /docs/short"], || flip_bit(short, 900));
    let expected = [
        "header-copy /docs/short",
        "length /docs/short",
        "rollback /docs/short",
    ];
    volume.finds(&expected, || flip_bit(short, 3000));
    let expected = ["blocks /other/two", "duplicate /", "length /other/two"];
    volume.finds(&expected, || transplant(four, two, 0..HEADER));
    volume.is_clean_when_restored();
}

#[test]
fn records_and_names_out_of_their_places_are_found() {
    let home = Home::new();
    let volume = Attacked::new(&home);
    let (docs, other) = (volume.at("docs"), volume.at("other"));
    let (record, empty) = (docs.join(".kmsfs.dir"), volume.at("docs/empty"));
    volume.finds(&["duplicate /"], || {
        fs::write(empty.join(".kmsfs.dir"), fs::read(&record).unwrap()).unwrap();
    });
    volume.finds(&["directory-record /docs/empty"], || {
        flip_bit(&empty.join(".kmsfs.dir"), 20);
    });
    volume.finds(&["directory-record /docs"], || {
        fs::remove_file(&record).unwrap();
    });
    volume.finds(&["directory-record /docs"], || {
        fs::remove_file(&record).unwrap();
        fs::create_dir(&record).unwrap();
    });
    volume.finds(&["name /other/"], || {
        let entry = volume.at("docs/short");
        fs::rename(entry, other.join(entry.file_name().unwrap())).unwrap();
    });
    // A whole directory, under the name of one that was removed: docs, empty, four and short.
    volume.finds(&["duplicate /"; 4], || {
        fs::remove_dir_all(other).unwrap();
        copy(docs, other);
    });
    volume.is_clean_when_restored();
}

#[test]
fn altered_links_attributes_and_control_files_are_found() {
    let home = Home::new();
    let volume = Attacked::new(&home);
    volume.finds(&["target /link"], || {
        fs::remove_file(volume.at("link")).unwrap();
        symlink("AAAA", volume.at("link")).unwrap();
    });
    volume.finds(&["target /far"], || {
        for entry in fs::read_dir(volume.control("links")).unwrap() {
            flip_bit(&entry.unwrap().path(), 100);
        }
    });
    volume.finds(&["control .kmsfs/links", "target /far"], || {
        fs::remove_dir_all(volume.control("links")).unwrap();
    });
    volume.finds(&["attribute /docs/short"], || {
        let (from, to) = (volume.at("none"), volume.at("docs/short"));
        let mut names = vec![0; 1000];
        let length = rustix::fs::listxattr(from, &mut names[..]).unwrap();
        let name = OsStr::from_bytes(&names[..length - 1]);
        let mut value = [0; 100];
        let length = rustix::fs::getxattr(from, name, &mut value[..]).unwrap();
        rustix::fs::setxattr(to, name, &value[..length], XattrFlags::empty()).unwrap();
    });
    let expected = ["config .kmsfs/volume.json", "unreadable .kmsfs/volume.json"];
    volume.finds(&expected, || {
        let file = volume.control("volume.json");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("\"mac\": \"", "\"mac\": \"AAAA")).unwrap();
    });
    volume.is_clean_when_restored();
}

#[test]
fn leftovers_and_foreign_files_are_notes_and_no_damage() {
    let home = Home::new();
    let (volume, backing) = with_everything(&home);
    fs::write(volume.backing.join(".stfolder"), b"").unwrap();
    fs::write(volume.backing.join(".kmsfs/mine"), b"").unwrap();
    fs::write(backing["docs"].join(".kmsfs.long.gone.name"), b"x").unwrap();
    let id = "00112233445566778899aabbccddeeff";
    fs::write(volume.backing.join(".kmsfs/links").join(id), b"x").unwrap();
    fs::write(backing["docs/empty"].join(".kmsfs.dir"), b"").unwrap();
    fs::hard_link(&backing["docs/short"], home.path("elsewhere")).unwrap();
    let (code, report) = fsck(&volume);
    assert_eq!(
        (code, found(&report)),
        (
            CLEAN,
            vec![
                "foreign .kmsfs/mine".to_owned(),
                "foreign /.stfolder".to_owned(),
                format!("leftover .kmsfs/links/{id}"),
                "leftover /docs/.kmsfs.long.gone.name".to_owned(),
                "leftover /docs/empty".to_owned(),
                "linked-outside /docs/short".to_owned(),
            ]
        ),
        "{report}"
    );
    assert_eq!(report["notes"], 6);
}

#[test]
fn a_mounted_volume_is_refused_with_the_mount_point() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let assert = home
        .kmsfs()
        .arg("fsck")
        .arg(&volume.backing)
        .assert()
        .code(OPERATIONAL);
    let message = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    let point = mount.point.to_str().unwrap();
    assert!(
        message.contains("mounted") && message.contains(point),
        "{message}"
    );
}

#[test]
fn what_a_kill_left_open_is_told_as_what_the_next_mount_does() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let file = fs::File::create(mount.path("open")).unwrap();
    file.write_all_at(&pattern(3 * BLOCK), 0).unwrap();
    rustix::fs::syncfs(&file).unwrap();
    kill_process(mount.daemon(), Signal::KILL).unwrap();
    drop(file);
    let backing = volume.only_backing_file();
    within(Duration::from_secs(5), "the lock is free", || {
        fsck_text(&volume).0 != OPERATIONAL
    });
    assert!(backing.metadata().unwrap().len() > HEADER);
    let (code, report) = fsck(&volume);
    let expected = [
        "settle /open".to_owned(),
        "unclean .kmsfs/unclean".to_owned(),
    ];
    assert_eq!(
        (code, found(&report)),
        (CLEAN, expected.to_vec()),
        "{report}"
    );
    assert_eq!(report["unclean"], true);
    let message = report["findings"].to_string();
    assert!(message.contains("settles it at 12288 bytes"), "{message}");
    drop(mount);

    assert_eq!(
        fs::read(volume.mount().path("open")).unwrap(),
        pattern(3 * BLOCK)
    );
    let (code, report) = fsck(&volume);
    assert_eq!((code, found(&report)), (CLEAN, vec![]), "{report}");
}

fn fsck_text(volume: &Volume<'_>) -> (i32, String) {
    let output = volume
        .home
        .kmsfs()
        .arg("fsck")
        .arg(&volume.backing)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    (output.status.code().unwrap(), text)
}

#[test]
fn a_whole_file_that_was_put_back_is_found_by_fsck_and_by_audit_report() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("ledger"), b"owes 100").unwrap();
    let backing = volume.only_backing_file();
    let old = fs::read(&backing).unwrap();
    // As long as before: only the generation tells.
    let mount = volume.mount();
    let file = OpenOptions::new()
        .write(true)
        .open(mount.path("ledger"))
        .unwrap();
    file.write_all_at(b"paid all", 0).unwrap();
    drop((file, mount));
    assert_eq!(fsck(&volume).0, CLEAN);
    let report = ["audit", "report", "--rollbacks"];
    let of_log = |code: i32| {
        let assert = home
            .kmsfs()
            .args(report)
            .arg(&volume.backing)
            .assert()
            .code(code);
        String::from_utf8(assert.get_output().stdout.clone()).unwrap()
    };
    assert!(of_log(0).contains("0 files are older"));

    fs::write(&backing, &old).unwrap();
    // A mount cannot tell: it reads the old state.
    assert_eq!(
        fs::read(volume.mount().path("ledger")).unwrap(),
        b"owes 100"
    );
    let (code, found_now) = fsck(&volume);
    assert_eq!(
        (code, found(&found_now)),
        (UNCORRECTED, vec!["rollback /ledger".to_owned()])
    );
    let text = of_log(20);
    assert!(
        text.contains("/ledger") && text.contains("by root at"),
        "{text}"
    );
}

#[test]
fn a_file_rolled_back_before_its_last_fsync_is_found_after_a_kill_too() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), pattern(3 * BLOCK)).unwrap();
    let backing = volume.only_backing_file();
    let old = fs::read(&backing).unwrap();
    let mount = volume.mount();
    let file = OpenOptions::new()
        .write(true)
        .open(mount.path("f"))
        .unwrap();
    file.write_all_at(&[7; BLOCK], 0).unwrap();
    file.sync_all().unwrap();
    kill_process(mount.daemon(), Signal::KILL).unwrap();
    drop((file, mount));
    drop(volume.mount());
    assert_eq!(fsck(&volume).0, CLEAN);
    fs::write(&backing, &old).unwrap();
    assert_eq!(found(&fsck(&volume).1), ["rollback /f"]);
}

#[test]
fn a_tampered_audit_log_stops_the_check_before_it_vouches_for_anything() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), b"content").unwrap();
    let log = home
        .audit_logs()
        .into_iter()
        .find(|log| log.to_str().unwrap().contains("volume-"))
        .unwrap();
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.replacen("\"Create\"", "\"Delete\"", 1)).unwrap();
    let (code, report) = fsck(&volume);
    assert_eq!(
        (code, found(&report)),
        (OPERATIONAL, vec!["audit-log ".to_owned()]),
        "{report}"
    );
}

#[test]
fn a_file_whose_key_is_refused_is_reported_as_not_checked() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("mine"), b"mine").unwrap();
    drop(mount);
    let secret = volume.only_backing_file();
    let inspected = home.json(["inspect".as_ref(), secret.as_os_str()]);
    fs::write(volume.mount().path("yours"), b"yours").unwrap();

    let mut policy = home.json(["policy", "get", "--key", &volume.key]);
    policy["Statement"].as_array_mut().unwrap().push(json!({
        "Sid": "NotThisOne", "Effect": "Deny", "Principal": "*", "Action": "kms:Decrypt",
        "Resource": "*",
        "Condition": { "StringEquals": { "kms:EncryptionContext:kmsfs:file": inspected["fileId"] } },
    }));
    volume.put_key_policy(&policy);
    let (code, report) = fsck(&volume);
    assert_eq!(
        (code, found(&report)),
        (OPERATIONAL, vec!["key /mine".to_owned()]),
        "{report}"
    );
    assert_eq!(
        (&report["damaged"], &report["notChecked"]),
        (&json!(0), &json!(1))
    );

    home.run(["key", "disable", &volume.key]);
    home.kmsfs()
        .arg("fsck")
        .arg(&volume.backing)
        .assert()
        .code(OPERATIONAL);
}

#[test]
fn that_a_volume_was_checked_is_recorded_with_what_came_of_it() {
    let home = Home::new();
    let (volume, backing) = with_everything(&home);
    flip_bit(&backing["docs/four"], HEADER + 30);
    assert_eq!(fsck(&volume).0, UNCORRECTED);
    let records = home.audit_records();
    let of = |name: &str| {
        let mut of = records.iter().filter(|record| record["eventName"] == name);
        of.next_back().unwrap_or_else(|| panic!("no {name}"))
    };
    assert_eq!(of("Check")["userIdentity"]["userName"], "root");
    let finished = &of("CheckFinished")["requestParameters"];
    assert_eq!(
        (&finished["files"], &finished["damage"]),
        (&json!(7), &json!(1))
    );
}

#[test]
fn names_that_would_speak_to_the_terminal_are_escaped() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("a\u{1b}[31m\u{202e}\nb"), b"content").unwrap();
    flip_bit(&volume.only_backing_file(), HEADER + 3);
    let (code, text) = fsck_text(&volume);
    assert_eq!(code, UNCORRECTED);
    assert!(
        text.contains("DAMAGED: /a\\u{1b}[31m\\u{202e}\\nb: block 0"),
        "{text}"
    );
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
    let finding = fsck(&volume).1["findings"][0].clone();
    let path = "YRtbMzFt4oCuCmI=";
    assert_eq!(finding["pathBase64"], path);
}

#[test]
fn wrong_usage_and_what_is_no_volume_have_the_codes_of_fsck() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let code = |arguments: &[&str]| {
        let output = home.kmsfs().arg("fsck").args(arguments).output().unwrap();
        output.status.code().unwrap()
    };
    assert_eq!(code(&["--frobnicate"]), USAGE);
    assert_eq!(code(&[]), USAGE);
    assert_eq!(
        code(&["--jobs", "0", volume.backing.to_str().unwrap()]),
        USAGE
    );
    assert_eq!(code(&["/nowhere"]), OPERATIONAL);
    assert_eq!(code(&["--help"]), CLEAN);
}

#[test]
fn an_interrupted_check_says_so_and_leaves_the_volume_free() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let block = pattern(1 << 20);
    let file = fs::File::create(mount.path("large")).unwrap();
    for megabyte in 0..256_u64 {
        file.write_all_at(&block, megabyte << 20).unwrap();
    }
    drop((file, mount));
    let child = std::process::Command::new(env!("CARGO_BIN_EXE_kmsfs"))
        .arg("--home")
        .arg(home.dir())
        .arg("--passfile")
        .arg(home.passfile())
        .args(["fsck", "--json", "--jobs", "1"])
        .arg(&volume.backing)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let begun = || {
        home.audit_records()
            .iter()
            .any(|record| record["eventName"] == "Check")
    };
    within(Duration::from_secs(20), "the check has begun", begun);
    let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(CANCELLED));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&report["interrupted"], &report["damaged"]),
        (&json!(true), &json!(0))
    );
    assert!(report["checked"]["bytes"].as_u64().unwrap() < 256 << 20);
    drop(volume.mount());
}

#[test]
fn a_volume_that_is_being_checked_is_not_mounted() {
    let home = Home::new();
    let volume = home.volume("everyone");
    drop(volume.mount());
    let lock = fs::File::open(volume.backing.join(".kmsfs/lock")).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockShared).unwrap();
    assert_eq!(
        fsck(&volume).0,
        CLEAN,
        "two checks do not disturb each other"
    );
    let point = home.path("point");
    fs::create_dir(&point).unwrap();
    let mut mount = home.kmsfs();
    mount.arg("mount").arg(&volume.backing).arg(&point);
    let assert = mount.assert().failure();
    let message = String::from_utf8(assert.get_output().stderr.clone()).unwrap();
    assert!(message.contains("being checked"), "{message}");
}

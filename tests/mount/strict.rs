//! `--audit strict`: each read and write is asked for by whoever makes it, and recorded.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use crate::common::{ANN, BOB, Home, Mount, ROOT, User, Volume, pattern};

fn strict<'v>(volume: &'v Volume<'_>) -> Mount<'v> {
    let mount = volume.mount_with(&["--audit", "strict", "-o", "allow_other"]);
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    mount
}

/// All may do everything, but for `user` and `action`.
fn all_but(user: User, action: &str) -> Value {
    json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": "*", "Action": "kmsfs:*", "Resource": "*" },
        { "Effect": "Deny", "Principal": { "AWS": user.arn() }, "Action": action, "Resource": "*" },
    ] })
}

/// Python that opens `f` as root, and goes on as `user`.
fn as_heir(user: User, mode: &str, rest: &str) -> String {
    format!(
        "python3 -c '
import os
fd = os.open(\"f\", os.{mode})
os.setgroups([])
os.setresgid({0}, {0}, {0})
os.setresuid({0}, {0}, {0})
{rest}'",
        user.0
    )
}

#[test]
fn each_read_and_write_is_decided_for_and_recorded_of_its_real_caller() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = strict(&volume);
    ROOT.can(&mount.point, "umask 0; echo text > f");
    volume.put_policy(&all_but(ANN, "kmsfs:Read"));
    let read = "print(os.read(fd, 100))";
    ANN.cannot(&mount.point, "cat f");
    ROOT.cannot(&mount.point, &as_heir(ANN, "O_RDONLY", read));
    ROOT.can(&mount.point, &as_heir(BOB, "O_RDONLY", read));
    let written = "os.pwrite(fd, b\"heir\", 0)";
    ROOT.can(&mount.point, &as_heir(ANN, "O_RDWR", written));
    volume.put_policy(&all_but(ANN, "kmsfs:Write"));
    ROOT.cannot(&mount.point, &as_heir(ANN, "O_RDWR", written));
    let three = "[os.pread(fd, 1, at) for at in range(3)]; [os.pread(fd, 1, 0) for _ in range(2)]";
    ROOT.can(&mount.point, &as_heir(ANN, "O_RDONLY", three));
    assert_eq!(ROOT.can(&mount.point, "cat f"), "heir\n");
    drop(mount);
    let records = home.audit_records();
    let of = |user: User, name: &str, denied: bool| {
        let is = |record: &&Value| {
            record["eventName"] == name
                && record["userIdentity"]["arn"] == user.arn()
                && (record["decision"]["effect"] == "Deny") == denied
        };
        records.iter().filter(is).count()
    };
    assert_eq!(of(ANN, "Read", true), 1);
    assert_eq!(of(ANN, "Read", false), 5, "one for each call");
    assert_eq!(of(BOB, "Read", false), 1);
    assert_eq!(of(ANN, "Write", false), 1);
    assert_eq!(of(ANN, "Write", true), 1);
    home.kmsfs().args(["audit", "verify"]).assert().code(0);
}

#[test]
fn the_right_to_use_what_one_creates_is_not_inherited_with_the_handle() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = strict(&volume);
    volume.put_policy(&all_but(ANN, "kmsfs:Read"));
    // Ann may create here, and that is what this handle was opened by.
    let made = "O_RDWR | os.O_CREAT";
    let used = "os.pwrite(fd, b\"own\", 0); print(os.pread(fd, 100, 0))";
    let read = "print(os.pread(fd, 100, 0))";
    ROOT.can(&mount.point, &as_heir(ROOT, made, used));
    ROOT.can(&mount.point, "rm f");
    ROOT.cannot(&mount.point, &as_heir(ANN, made, read));
}

#[test]
fn an_heir_of_a_handle_needs_the_key_as_well() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = strict(&volume);
    ROOT.can(&mount.point, "umask 0; echo text > f");
    let document = json!({ "Version": "2012-10-17", "Statement": [
        { "Effect": "Allow", "Principal": { "AWS": [ROOT.arn(), BOB.arn()] }, "Action": "kms:*",
          "Resource": "*" },
    ] });
    volume.put_key_policy(&document);
    let read = "print(os.read(fd, 100))";
    ROOT.cannot(&mount.point, &as_heir(ANN, "O_RDONLY", read));
    ROOT.can(&mount.point, &as_heir(BOB, "O_RDONLY", read));
}

#[test]
fn a_shared_mapping_is_refused_and_a_private_one_and_an_executable_work() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = strict(&volume);
    ROOT.can(
        &mount.point,
        "umask 0; echo text > f; cp /bin/true t; chmod 755 t; ./t",
    );
    let map = |kind: &str| {
        let script = format!(
            "python3 -c '
import mmap, os
fd = os.open(\"f\", os.O_RDWR)
print(mmap.mmap(fd, 5, mmap.{kind})[:5])'"
        );
        ROOT.sh(&mount.point, &script)
    };
    let refused = map("MAP_SHARED");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(message.contains("No such device"), "{message}");
    assert_eq!(map("MAP_PRIVATE").stdout, b"b'text\\n'\n");
}

#[test]
fn holes_are_found_where_a_local_filesystem_finds_them() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = strict(&volume);
    // Data at the start, in the middle and at the end, a hole punched into the middle.
    let make = "python3 -c '
import os
fd = os.open(\"f\", os.O_RDWR | os.O_CREAT)
os.pwrite(fd, b\"a\" * 10000, 0)
os.pwrite(fd, b\"b\" * 200000, 1 << 20)
os.pwrite(fd, b\"c\", 3 << 20)
os.close(fd)'; fallocate -p -o 1114112 -l 65536 f";
    let map = "python3 -c '
import os
fd = os.open(\"f\", os.O_RDONLY)
end = os.fstat(fd).st_size
at, found = 0, []
while at < end:
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError:
        break
    at = os.lseek(fd, data, os.SEEK_HOLE)
    assert at > data
    assert os.lseek(fd, data, os.SEEK_DATA) == data
    found.append((data // 4096, -(-at // 4096)))
print(found, os.lseek(fd, 0, os.SEEK_END))
try:
    os.lseek(fd, end, os.SEEK_DATA)
except OSError as error:
    print(error.errno)'";
    let here = ROOT.can(&mount.point, &format!("{make}; {map}"));
    let blocks = "[(0, 3), (256, 272), (288, 305), (768, 769)]";
    // The backing filesystem keeps a hole from the next block of its own on.
    let expected = format!("{blocks} {}\n6\n", (3 << 20) + 1);
    assert_eq!(here, expected);
    // Whoever copies by them has the same content.
    ROOT.can(&mount.point, "cp --sparse=auto f g; cmp f g");
    fs::write(mount.path("plain"), pattern(50_000)).unwrap();
    let plain = ROOT.can(&mount.point, &map.replace("\"f\"", "\"plain\""));
    assert_eq!(plain, "[(0, 13)] 50000\n6\n");
}

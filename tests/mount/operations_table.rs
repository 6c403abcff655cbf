//! The rows of the table in `docs/policy.md`: each operation needs exactly what its row says, whoever asks.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::common::{ANN, BOB, Home, ROOT, TAKES_EFFECT, User, within};

/// An operation, the actions that it takes, how it comes about and what is there before.
struct Row {
    name: &'static str,
    takes: &'static [&'static str],
    before: &'static str,
    script: &'static str,
}

const fn row(
    name: &'static str,
    takes: &'static [&'static str],
    before: &'static str,
    script: &'static str,
) -> Row {
    Row {
        name,
        takes,
        before,
        script,
    }
}

const ROWS: &[Row] = &[
    row("read", &["Read"], "echo text > f", "cat f"),
    row(
        "write",
        &["Write"],
        "echo text > f",
        "printf x | dd of=f conv=notrunc status=none",
    ),
    row(
        "both",
        &["Read", "Write"],
        "echo text > f",
        "python3 -c 'import os; os.pread(os.open(\"f\", os.O_RDWR), 1, 0)'",
    ),
    row("append", &["Append"], "echo text > f", "echo x >> f"),
    row("empty", &["Write"], "echo text > f", ": > f"),
    row("run", &["Execute"], "cp /bin/true f; chmod 755 f", "./f"),
    row("create", &["Create"], "", ": > f"),
    row("mkdir", &["Create"], "", "mkdir d"),
    row("symlink", &["Create"], "", "ln -s x s"),
    row("mknod", &["Create"], "", "mkfifo p"),
    row("unlink", &["Delete"], "echo text > f", "rm -f f"),
    row("rmdir", &["Delete"], "mkdir d", "rmdir d"),
    row(
        "rename",
        &["Create", "Delete"],
        "echo text > f",
        "mv -T f g",
    ),
    row(
        "replace",
        &["Create", "Delete", "Overwrite"],
        "echo text > f; echo text > g",
        "mv -fT f g",
    ),
    row(
        "move",
        &["Create", "Delete", "Read", "Write"],
        "mkdir a b; echo text > a/f",
        "python3 -c 'import os; os.rename(\"a/f\", \"b/f\")'",
    ),
    row("link", &["Create", "Delete"], "echo text > f", "ln f g"),
    row(
        "link elsewhere",
        &["Create", "Delete", "Read", "Write"],
        "mkdir a b; echo text > a/f",
        "ln a/f b/f",
    ),
    row("list", &["List"], "mkdir d; echo text > d/f", "ls d"),
    row(
        "truncate",
        &["Write"],
        "echo text > f",
        "python3 -c 'import os; os.truncate(\"f\", 1)'",
    ),
    row(
        "fallocate",
        &["Append", "Write"],
        "echo text > f",
        "python3 -c 'import os; os.posix_fallocate(os.open(\"f\", os.O_WRONLY | os.O_APPEND), 0, 9000)'",
    ),
    row(
        "copy a range",
        &["Read", "Write"],
        "echo text > f; echo text > g",
        "python3 -c 'import os; os.copy_file_range(os.open(\"f\", os.O_RDONLY), os.open(\"g\", os.O_WRONLY), 4)'",
    ),
    row("chmod", &["SetSecurity"], "echo text > f", "chmod 640 f"),
    row(
        "chown",
        &["SetSecurity"],
        "echo text > f",
        "python3 -c 'import os; os.chown(\"f\", os.getuid(), os.getgid())'",
    ),
    row(
        "acl",
        &["SetSecurity"],
        "echo text > f",
        "python3 -c 'import os, struct; os.setxattr(\"f\", \"system.posix_acl_access\", struct.pack(\"<I\", 2) \
         + b\"\".join(struct.pack(\"<HHI\", *entry) for entry in [(1, 7, 0xffffffff), (2, 4, 7), \
         (4, 4, 0xffffffff), (16, 4, 0xffffffff), (32, 4, 0xffffffff)]))'",
    ),
    row(
        "times",
        &["SetAttr"],
        "echo text > f",
        "python3 -c 'import os; os.utime(\"f\", (1, 1))'",
    ),
    row(
        "xattr",
        &["SetAttr"],
        "echo text > f",
        "python3 -c 'import os; os.setxattr(\"f\", \"user.a\", b\"1\")'",
    ),
    row(
        "no xattr",
        &["SetAttr"],
        "echo text > f; python3 -c 'import os; os.setxattr(\"f\", \"user.a\", b\"1\")'",
        "python3 -c 'import os; os.removexattr(\"f\", \"user.a\")'",
    ),
];

/// A directory for each user, row, and action that is left out of it (or none).
fn places() -> Vec<(User, &'static Row, Option<&'static str>, String)> {
    let mut places = Vec::new();
    for user in [ROOT, ANN, BOB] {
        for (number, row) in ROWS.iter().enumerate() {
            for without in [None]
                .into_iter()
                .chain(row.takes.iter().copied().map(Some))
            {
                let name = format!("{}-{number}-{}", user.0, without.unwrap_or("all"));
                places.push((user, row, without, name));
            }
        }
    }
    places
}

#[test]
fn each_operation_takes_the_actions_of_its_row_and_each_of_them_for_every_user() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    let places = places();
    let mut statements = Vec::new();
    let mut script = "umask 0\n".to_owned();
    for (user, row, without, name) in &places {
        let (before, owner) = (row.before, user.0);
        writeln!(
            script,
            "mkdir {name}; cd {name}; {before}\nchown -R {owner}:{owner} .; cd .."
        )
        .unwrap();
        let actions: Vec<_> = row
            .takes
            .iter()
            .filter(|action| Some(**action) != *without)
            .map(|action| format!("kmsfs:{action}"))
            .collect();
        if !actions.is_empty() {
            statements.push(json!({
                "Effect": "Allow", "Principal": { "AWS": user.arn() }, "Action": actions,
                "Resource": volume.arn(&format!("{name}/*")),
            }));
        }
    }
    ROOT.can(&mount.point, &script);
    volume.put_policy(&json!({ "Version": "2012-10-17", "Statement": statements }));
    within(TAKES_EFFECT, "the policy is in force", || {
        !ROOT.sh(&mount.point, ": > new").status.success()
    });
    for (user, row, without, name) in &places {
        let directory = mount.path(name);
        match without {
            None => {
                let output = user.sh(&directory, row.script);
                assert!(output.status.success(), "{user:?} {}: {output:?}", row.name);
            }
            Some(action) => {
                let output = user.sh(&directory, row.script);
                let message = String::from_utf8_lossy(&output.stderr);
                assert!(
                    !output.status.success() && message.contains("Permission denied"),
                    "{user:?} {} without {action}: {message}",
                    row.name
                );
            }
        }
    }
}

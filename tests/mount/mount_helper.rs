//! mount(8), umount(8) and fstab.
//!
//! mount(8) finds the helper as `/sbin/mount.fuse.kmsfs`. Each test runs in a mount namespace of
//! its own in which another directory lies over `/sbin`, so nothing is installed and nothing stays
//! mounted.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Output;

use assert_cmd::Command;

use crate::common::Home;

/// Runs a script in which `mount -t fuse.kmsfs` works.
fn in_namespace(home: &Home, script: &str) -> Output {
    let sbin = home.path("sbin");
    if !sbin.exists() {
        fs::create_dir(&sbin).unwrap();
        symlink(env!("CARGO_BIN_EXE_kmsfs"), sbin.join("mount.fuse.kmsfs")).unwrap();
    }
    let real_sbin = fs::canonicalize("/sbin").unwrap();
    Command::new("unshare")
        .args(["--mount", "sh", "-euc"])
        .arg(format!(
            "mount --bind '{}' '{}'\n{script}",
            sbin.display(),
            real_sbin.display()
        ))
        .current_dir(home.path(""))
        .env("LC_ALL", "C")
        .timeout(std::time::Duration::from_mins(1))
        .output()
        .unwrap()
}

fn succeeds(home: &Home, script: &str) -> String {
    let output = in_namespace(home, script);
    assert!(output.status.success(), "{script}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A home with a volume `backing` and a directory `point`.
fn prepared() -> Home {
    let home = Home::new();
    home.volume("everyone");
    fs::create_dir(home.path("point")).unwrap();
    home
}

fn options(home: &Home) -> String {
    format!(
        "home={},passfile={}",
        home.dir().display(),
        home.passfile().display()
    )
}

#[test]
fn mount_and_umount_work_by_type() {
    let home = prepared();
    let options = options(&home);
    succeeds(
        &home,
        &format!(
            "mount -t fuse.kmsfs \"$PWD/backing\" \"$PWD/point\" -o {options}
             echo text > point/f
             umount point
             test ! -e point/f
             mount -t fuse.kmsfs \"$PWD/backing\" \"$PWD/point\" -o {options}
             grep -qx text point/f
             umount point"
        ),
    );
}

#[test]
fn options_reach_the_mount() {
    let home = prepared();
    let table = succeeds(
        &home,
        &format!(
            "mount -t fuse.kmsfs \"$PWD/backing\" \"$PWD/point\" \
                -o ro,noexec,allow_other,fsname=the-vault,audit=strict,{}
             grep ' '\"$PWD\"'/point ' /proc/self/mounts
             umount point",
            options(&home)
        ),
    );
    let fields: Vec<&str> = table.split_whitespace().collect();
    assert_eq!(fields[0], "the-vault", "{table}");
    assert_eq!(fields[2], "fuse.kmsfs", "{table}");
    let shown: Vec<&str> = fields[3].split(',').collect();
    for option in [
        "ro",
        "noexec",
        "nosuid",
        "nodev",
        "allow_other",
        "default_permissions",
    ] {
        assert!(shown.contains(&option), "{option} is not in {table}");
    }
}

#[test]
fn a_remount_makes_a_mount_read_only_and_writable_again() {
    let home = prepared();
    succeeds(
        &home,
        &format!(
            "mount -t fuse.kmsfs \"$PWD/backing\" \"$PWD/point\" -o {}
             echo text > point/f
             mount -o remount,ro point
             ! touch point/f 2> message
             grep -q 'Read-only file system' message
             grep -qx text point/f
             mount -o remount,rw point
             echo more >> point/f
             umount point",
            options(&home)
        ),
    );
}

#[test]
fn an_fstab_line_works_for_its_mount_point_and_for_mount_all() {
    let home = prepared();
    let root = home.path("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    fs::write(
        home.path("fstab"),
        format!(
            "{root}/backing  {root}/point  fuse.kmsfs  \
             allow_other,nofail,_netdev,x-systemd.device-timeout=5,{}  0 0\n",
            options(&home)
        ),
    )
    .unwrap();
    succeeds(
        &home,
        "mount -T fstab \"$PWD/point\"
         echo text > point/f
         umount point
         mount -a -T fstab
         grep -qx text point/f
         umount point",
    );
}

#[test]
fn a_mount_that_fails_says_why_with_mounts_own_exit_code() {
    let home = prepared();
    let options = options(&home);
    for (backing, more, reason) in [
        ("nowhere", "", "nowhere"),
        ("backing", ",what=1", "what"),
        ("backing", ",passfile=/none", "/none"),
    ] {
        let script =
            format!("mount -t fuse.kmsfs \"$PWD/{backing}\" \"$PWD/point\" -o {options}{more}");
        let output = in_namespace(&home, &script);
        let code = output.status.code().unwrap();
        assert!(code == 32 || code == 1, "{code}: {output:?}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(reason),
            "{output:?}"
        );
    }
}

#[test]
fn the_helper_can_check_without_mounting() {
    let home = prepared();
    let output = in_namespace(
        &home,
        &format!(
            "/sbin/mount.fuse.kmsfs \"$PWD/backing\" \"$PWD/point\" -f -o {}
             ! grep -q ' '\"$PWD\"'/point ' /proc/self/mounts",
            options(&home)
        ),
    );
    assert!(output.status.success(), "{output:?}");
}

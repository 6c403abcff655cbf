//! Programs see what they see on a local filesystem.
//!
//! Each script of `tests/mount/posix` prints what comes of its system calls. It runs twice, in a
//! directory of the local filesystem under the volume and in a mount, and has to print the same.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::{Home, ROOT};

const PRELUDE: &str = include_str!("posix/prelude.py");

/// What a script prints in `directory`.
fn printed(directory: &Path, script: &str) -> String {
    let output = Command::new("timeout")
        .args(["120", "python3", "-c", &format!("{PRELUDE}\n{script}")])
        .current_dir(directory)
        .env("LC_ALL", "C")
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "in {}: {}",
        directory.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `script` in both places and shows the first lines that differ, with what led to them.
fn same_as_a_local_filesystem(script: &str) {
    let home = Home::new();
    let local = home.path("local");
    fs::create_dir(&local).unwrap();
    let volume = home.volume("everyone");
    let mount = volume.mount_with(&["-o", "allow_other,suid,dev"]);
    ROOT.can(&mount.point, "chmod 755 .");
    let (expected, seen) = (printed(&local, script), printed(&mount.point, script));
    let lines = || expected.lines().zip(seen.lines());
    if let Some(at) = lines().position(|(expected, seen)| expected != seen) {
        let context: Vec<&str> = expected.lines().take(at).collect();
        let differ: Vec<_> = lines().skip(at).filter(|(e, s)| e != s).take(12).collect();
        panic!(
            "after\n{}\n(local, mount):\n{differ:#?}",
            context[context.len().saturating_sub(3)..].join("\n")
        );
    }
    assert_eq!(expected.lines().count(), seen.lines().count(), "{seen}");
    assert!(expected.lines().count() > 10, "{expected}");
}

#[test]
fn set_id_bits_go_when_a_local_filesystem_takes_them() {
    same_as_a_local_filesystem(include_str!("posix/set_ids.py"));
}

#[test]
fn a_capability_goes_with_every_change_of_content() {
    same_as_a_local_filesystem(include_str!("posix/capabilities.py"));
}

#[test]
fn groups_sticky_directories_and_acls_govern_as_on_a_local_filesystem() {
    same_as_a_local_filesystem(include_str!("posix/groups_and_acls.py"));
}

#[test]
fn extended_attributes_of_every_namespace_and_node_behave_as_on_a_local_filesystem() {
    same_as_a_local_filesystem(include_str!("posix/xattrs.py"));
}

#[test]
fn renames_links_opens_and_their_errors_are_those_of_a_local_filesystem() {
    same_as_a_local_filesystem(include_str!("posix/names_and_flags.py"));
}

#[test]
fn times_change_when_they_do_on_a_local_filesystem() {
    same_as_a_local_filesystem(include_str!("posix/times.py"));
}

#[test]
fn files_unlinked_or_renamed_over_while_open_stay_whole() {
    same_as_a_local_filesystem(include_str!("posix/open_files.py"));
}

#[test]
fn locks_of_every_kind_exclude_as_on_a_local_filesystem() {
    same_as_a_local_filesystem(include_str!("posix/locks.py"));
}

#[test]
fn writes_of_every_kind_leave_what_a_local_filesystem_holds() {
    same_as_a_local_filesystem(include_str!("posix/writing.py"));
}

#[test]
fn a_file_handle_outlives_the_kernels_memory_of_the_file_and_its_renames() {
    on_a_mount(include_str!("posix/file_handles.py"));
}

#[test]
fn a_position_in_a_listing_stays_good_while_entries_come_and_go() {
    on_a_mount(include_str!("posix/positions.py"));
}

#[test]
fn what_fuse_cannot_do_is_refused_as_not_supported() {
    on_a_mount(include_str!("posix/not_supported.py"));
}

#[test]
fn reading_updates_access_times_unless_the_mount_says_noatime() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let read_old = "touch -a -d 2001-01-01 f d; cat f; ls d >/dev/null
                    stat -c %X f; stat -c %X d";
    let mount = volume.mount();
    ROOT.can(&mount.point, "echo text > f; mkdir d; touch d/x");
    let updated = ROOT.can(&mount.point, &format!("export TZ=UTC; {read_old}"));
    assert!(!updated.contains("978307200"), "{updated}");
    drop(mount);
    let mount = volume.mount_with(&["-o", "noatime"]);
    let kept = ROOT.can(
        &mount.point,
        &format!("export TZ=UTC; {read_old}; echo more >> f"),
    );
    assert_eq!(kept, "text\n978307200\n978307200\n");
    let after_writing = ROOT.can(&mount.point, "stat -c %X f");
    assert_eq!(after_writing, "978307200\n");
}

#[test]
fn quotas_and_reserved_space_bind_the_daemon_on_behalf_of_users() {
    const CAP_SYS_RESOURCE: u32 = 24;
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let tasks = format!("/proc/{}/task", mount.daemon().as_raw_nonzero());
    let mut workers = 0;
    for task in fs::read_dir(tasks).unwrap() {
        let task = task.unwrap().path();
        let name = fs::read_to_string(task.join("comm")).unwrap();
        if !name.starts_with("fuser") && !name.starts_with("kmsfs-slow") {
            continue;
        }
        let status = fs::read_to_string(task.join("status")).unwrap();
        let effective = status
            .lines()
            .find_map(|line| line.strip_prefix("CapEff:"))
            .unwrap();
        let effective = u64::from_str_radix(effective.trim(), 16).unwrap();
        assert_eq!(effective >> CAP_SYS_RESOURCE & 1, 0, "{name}");
        workers += 1;
    }
    assert!(
        workers > 8,
        "{workers} threads that serve requests were found"
    );
}

/// Runs a script that checks for itself.
fn on_a_mount(script: &str) {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let said = printed(&mount.point, script);
    assert!(said.ends_with("checked\n"), "{said}");
}

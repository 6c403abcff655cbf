//! File names and directories.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::io::Errno;

use crate::common::Home;

fn listed(directory: &Path) -> BTreeSet<OsString> {
    let names: Vec<OsString> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    let set: BTreeSet<OsString> = names.iter().cloned().collect();
    assert_eq!(set.len(), names.len(), "a name is listed twice");
    set
}

#[test]
fn every_name_linux_allows_works_for_files_and_directories() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let (longest, long_utf8) = ("n".repeat(255), "ü".repeat(127));
    let names: Vec<&OsStr> = [
        b"plain".as_slice(),
        b" space and\ttab ",
        b"two\nlines",
        b"\xff\xfe no utf-8",
        b"-rf",
        b"*?[]\\'\"$",
        b".hidden",
        b"...",
        b".kmsfs",
        b".kmsfs.dir",
        b".kmsfs.long.name",
        "z".repeat(180).as_bytes(),
        longest.as_bytes(),
        long_utf8.as_bytes(),
    ]
    .iter()
    .map(|name| OsStr::from_bytes(Box::leak(name.to_vec().into_boxed_slice())))
    .collect();
    fs::create_dir(mount.path("dirs")).unwrap();
    for name in &names {
        fs::write(mount.path(name), name.as_bytes()).unwrap();
        fs::create_dir(mount.path("dirs").join(name)).unwrap();
        fs::write(mount.path("dirs").join(name).join(name), b"below").unwrap();
    }
    drop(mount);
    let mount = volume.mount();
    let mut expected: BTreeSet<OsString> = names.iter().map(OsString::from).collect();
    assert_eq!(listed(&mount.path("dirs")), expected);
    expected.insert("dirs".into());
    assert_eq!(listed(&mount.point), expected);
    for name in &names {
        assert_eq!(fs::read(mount.path(name)).unwrap(), name.as_bytes());
        assert_eq!(
            fs::read(mount.path("dirs").join(name).join(name)).unwrap(),
            b"below"
        );
        fs::remove_file(mount.path(name)).unwrap();
    }
    fs::remove_dir_all(mount.path("dirs")).unwrap();
    assert!(listed(&mount.point).is_empty());
    drop(mount);
    assert!(volume.backing_entries().is_empty());
}

#[test]
fn a_name_of_256_bytes_is_too_long() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let error = fs::write(mount.path("n".repeat(256)), b"").unwrap_err();
    assert_eq!(
        error.raw_os_error(),
        Some(Errno::NAMETOOLONG.raw_os_error())
    );
}

#[test]
fn a_long_name_is_renamed_linked_and_removed_like_a_short_one() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let long = |letter: &str| mount.path(letter.repeat(250));
    fs::write(long("a"), b"content").unwrap();
    fs::rename(long("a"), long("b")).unwrap();
    fs::rename(long("b"), mount.path("short")).unwrap();
    fs::rename(mount.path("short"), long("c")).unwrap();
    fs::hard_link(long("c"), long("d")).unwrap();
    fs::remove_file(long("c")).unwrap();
    assert_eq!(fs::read(long("d")).unwrap(), b"content");
    assert_eq!(
        listed(&mount.point),
        BTreeSet::from([OsString::from("d".repeat(250))])
    );
    fs::remove_file(long("d")).unwrap();
    drop(mount);
    // No name file is left behind either.
    let left: Vec<_> = fs::read_dir(&volume.backing)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with(".kmsfs.long."))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_directory_of_thousands_lists_every_entry_once_while_entries_are_removed() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let expected: BTreeSet<OsString> = (0..3000)
        .map(|number| format!("entry number {number:05}").into())
        .collect();
    for name in &expected {
        fs::File::create_new(mount.path(name)).unwrap();
    }
    assert_eq!(listed(&mount.point), expected);
    drop(mount);
    let mount = volume.mount();
    assert_eq!(listed(&mount.point), expected);
    // The entries after the reading position must not be skipped because some before it went.
    for entry in fs::read_dir(&mount.point).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(listed(&mount.point).is_empty());
}

#[test]
fn a_directory_counts_its_subdirectories_and_goes_only_when_empty() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::create_dir_all(mount.path("d/sub")).unwrap();
    let error = fs::remove_dir(mount.path("d")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DirectoryNotEmpty);
    assert_eq!(
        fs::create_dir(mount.path("d")).unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    fs::remove_dir(mount.path("d/sub")).unwrap();
    fs::remove_dir(mount.path("d")).unwrap();
    assert_eq!(
        fs::read_dir(mount.path("d")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
}

#[test]
fn paths_nest_deeply() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let deep = "deeper and deeper/".repeat(100);
    fs::create_dir_all(mount.path(&deep)).unwrap();
    fs::write(mount.path(&deep).join("bottom"), b"reached").unwrap();
    drop(mount);
    assert_eq!(
        fs::read(volume.mount().path(&deep).join("bottom")).unwrap(),
        b"reached"
    );
}

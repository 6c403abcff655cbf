//! Links, renames, attributes, extended attributes and special files.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, RenameFlags, Timespec, Timestamps, XattrFlags, getxattr,
    listxattr, mknodat, removexattr, renameat_with, setxattr, utimensat,
};
use rustix::io::Errno;

use crate::common::{ANN, Home, ROOT, pattern};

#[test]
fn rename_replaces_its_target_and_keeps_content() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::create_dir(mount.path("dir")).unwrap();
    fs::write(mount.path("new"), b"new").unwrap();
    fs::write(mount.path("dir/old"), b"old").unwrap();
    fs::rename(mount.path("new"), mount.path("dir/old")).unwrap();
    assert_eq!(fs::read(mount.path("dir/old")).unwrap(), b"new");
    assert_eq!(
        fs::read(mount.path("new")).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    drop(mount);
    assert_eq!(fs::read(volume.mount().path("dir/old")).unwrap(), b"new");
}

#[test]
fn an_open_file_follows_its_rename() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let mut file = File::create_new(mount.path("before")).unwrap();
    file.write_all(b"one ").unwrap();
    fs::rename(mount.path("before"), mount.path("after")).unwrap();
    file.write_all(b"two").unwrap();
    drop(file);
    assert_eq!(fs::read(mount.path("after")).unwrap(), b"one two");
}

#[test]
fn a_renamed_directory_keeps_its_tree() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::create_dir_all(mount.path("a/b/c")).unwrap();
    fs::create_dir(mount.path("target")).unwrap();
    fs::write(mount.path("a/b/c/f"), b"deep").unwrap();
    fs::rename(mount.path("a/b"), mount.path("target/b2")).unwrap();
    assert_eq!(fs::read(mount.path("target/b2/c/f")).unwrap(), b"deep");
    drop(mount);
    assert_eq!(
        fs::read(volume.mount().path("target/b2/c/f")).unwrap(),
        b"deep"
    );
}

#[test]
fn rename_can_refuse_to_replace_and_can_exchange() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let (one, two) = (mount.path("one"), mount.path("two"));
    fs::write(&one, b"1").unwrap();
    fs::create_dir(&two).unwrap();
    fs::write(two.join("inside"), b"2").unwrap();
    let refused = renameat_with(CWD, &one, CWD, &two, RenameFlags::NOREPLACE);
    assert_eq!(refused, Err(Errno::EXIST));
    renameat_with(CWD, &one, CWD, &two, RenameFlags::EXCHANGE).unwrap();
    assert_eq!(fs::read(&two).unwrap(), b"1");
    assert_eq!(fs::read(one.join("inside")).unwrap(), b"2");
}

#[test]
fn hard_links_share_one_file_and_count_themselves() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::create_dir(mount.path("dir")).unwrap();
    fs::write(mount.path("first"), b"shared").unwrap();
    fs::hard_link(mount.path("first"), mount.path("dir/second")).unwrap();
    let (first, second) = (
        mount.path("first").metadata().unwrap(),
        mount.path("dir/second").metadata().unwrap(),
    );
    assert_eq!((first.ino(), first.nlink()), (second.ino(), 2));
    OpenOptions::new()
        .append(true)
        .open(mount.path("first"))
        .unwrap()
        .write_all(b" content")
        .unwrap();
    fs::remove_file(mount.path("first")).unwrap();
    drop(mount);
    let mount = volume.mount();
    assert_eq!(
        fs::read(mount.path("dir/second")).unwrap(),
        b"shared content"
    );
    assert_eq!(mount.path("dir/second").metadata().unwrap().nlink(), 1);
}

#[test]
fn a_symlink_keeps_its_target_up_to_the_longest() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let longest = "t/".repeat(2047) + "t";
    assert_eq!(longest.len(), 4095);
    let targets = [
        "file",
        "../outside",
        "/absolute/path",
        "no such place",
        &longest,
    ];
    for (index, target) in targets.iter().enumerate() {
        symlink(target, mount.path(index.to_string())).unwrap();
    }
    drop(mount);
    let mount = volume.mount();
    for (index, target) in targets.iter().enumerate() {
        let link = mount.path(index.to_string());
        assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
        assert_eq!(link.symlink_metadata().unwrap().len(), target.len() as u64);
    }
    fs::write(mount.path("file"), b"followed").unwrap();
    assert_eq!(fs::read(mount.path("0")).unwrap(), b"followed");
}

#[test]
fn mode_owner_and_times_are_kept() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let path = mount.path("f");
    fs::write(&path, b"content").unwrap();
    std::os::unix::fs::chown(&path, Some(ANN.0), Some(ANN.0 + 7)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 1_000_000_000,
            tv_nsec: 1,
        },
        last_modification: Timespec {
            tv_sec: -86_400,
            tv_nsec: 999_999_999,
        },
    };
    utimensat(CWD, &path, &times, AtFlags::empty()).unwrap();
    let check = |path: &Path| {
        let metadata = path.metadata().unwrap();
        assert_eq!(metadata.mode() & 0o7777, 0o4751);
        assert_eq!((metadata.uid(), metadata.gid()), (ANN.0, ANN.0 + 7));
        assert_eq!(
            (metadata.atime(), metadata.atime_nsec()),
            (1_000_000_000, 1)
        );
        assert_eq!(
            (metadata.mtime(), metadata.mtime_nsec()),
            (-86_400, 999_999_999)
        );
    };
    check(&path);
    drop((path, mount));
    check(&volume.mount().path("f"));
}

#[test]
fn a_write_by_someone_else_drops_the_set_user_id_bit() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("f"), b"#!/bin/sh").unwrap();
    fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o6777)).unwrap();
    ANN.can(&mount.point, "echo changed >> f");
    assert_eq!(mount.path("f").metadata().unwrap().mode() & 0o7777, 0o777);
}

#[test]
fn a_file_its_owner_may_only_write_can_be_written() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::set_permissions(&mount.point, fs::Permissions::from_mode(0o777)).unwrap();
    ANN.can(&mount.point, "echo one > f; chmod 0200 f; echo two >> f");
    ANN.cannot(&mount.point, "cat f");
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"one\ntwo\n");
}

#[test]
fn modes_govern_users_whom_policy_allows_everything() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("secret"), b"x").unwrap();
    fs::set_permissions(mount.path("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    ANN.cannot(&mount.point, "cat secret");
    ANN.cannot(&mount.point, "touch new");
}

#[test]
fn a_posix_acl_lets_one_more_user_in() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("f"), b"for ann").unwrap();
    fs::set_permissions(mount.path("f"), fs::Permissions::from_mode(0o600)).unwrap();
    assert_cmd::Command::new("setfacl")
        .arg("-m")
        .arg(format!("u:{}:r", ANN.0))
        .arg(mount.path("f"))
        .assert()
        .success();
    assert_eq!(ANN.can(&mount.point, "cat f"), "for ann");
    drop(mount);
    assert_eq!(ANN.can(&volume.mount().point, "cat f"), "for ann");
}

#[test]
fn extended_attributes_are_kept_listed_replaced_and_removed() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("f"), b"").unwrap();
    fs::create_dir(mount.path("d")).unwrap();
    let long = pattern(1500);
    for name in ["f", "d"] {
        let path = mount.path(name);
        setxattr(&path, "user.note", b"first", XattrFlags::CREATE).unwrap();
        let again = setxattr(&path, "user.note", b"again", XattrFlags::CREATE);
        assert_eq!(again, Err(Errno::EXIST));
        setxattr(&path, "user.note", b"second", XattrFlags::REPLACE).unwrap();
        let missing = setxattr(&path, "user.missing", b"", XattrFlags::REPLACE);
        assert_eq!(missing, Err(Errno::NODATA));
        setxattr(&path, "user.long", &long, XattrFlags::empty()).unwrap();
        setxattr(&path, "user.empty", b"", XattrFlags::empty()).unwrap();
        setxattr(&path, "trusted.root", b"only", XattrFlags::empty()).unwrap();
        removexattr(&path, "user.empty").unwrap();
    }
    drop(mount);
    let mount = volume.mount();
    for name in ["f", "d"] {
        let path = mount.path(name);
        let mut buffer = vec![0; 4096];
        let length = getxattr(&path, "user.note", &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"second");
        // getfattr asks for the size first.
        let shown = ROOT.can(
            &mount.point,
            &format!("getfattr --only-values -n user.note {name}"),
        );
        assert_eq!(shown, "second");
        assert_eq!(
            getxattr(&path, "user.note", &mut [0_u8; 3]),
            Err(Errno::RANGE)
        );
        let length = getxattr(&path, "user.long", &mut buffer).unwrap();
        assert!(buffer[..length] == long);
        assert_eq!(
            getxattr(&path, "user.empty", &mut buffer),
            Err(Errno::NODATA)
        );
        let length = listxattr(&path, &mut buffer).unwrap();
        let mut names: Vec<&[u8]> = buffer[..length].split(|&byte| byte == 0).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [&b""[..], b"trusted.root", b"user.long", b"user.note"]
        );
    }
}

#[test]
fn special_files_keep_their_type_and_a_fifo_carries_data() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let make = |name: &str, kind, device| {
        mknodat(
            CWD,
            mount.path(name),
            kind,
            Mode::from_raw_mode(0o644),
            device,
        )
        .unwrap();
    };
    make("fifo", FileType::Fifo, 0);
    make("socket", FileType::Socket, 0);
    make("char", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    make("block", FileType::BlockDevice, rustix::fs::makedev(7, 200));
    drop(mount);
    let mount = volume.mount();
    let kind = |name: &str| mount.path(name).symlink_metadata().unwrap();
    assert!(kind("fifo").file_type().is_fifo());
    assert!(kind("socket").file_type().is_socket());
    assert!(kind("char").file_type().is_char_device());
    assert_eq!(kind("char").rdev(), rustix::fs::makedev(1, 3));
    assert!(kind("block").file_type().is_block_device());
    assert_eq!(kind("block").rdev(), rustix::fs::makedev(7, 200));

    let fifo = mount.path("fifo");
    let writer = std::thread::spawn({
        let fifo = fifo.clone();
        move || fs::write(fifo, b"through the pipe").unwrap()
    });
    assert_eq!(fs::read(&fifo).unwrap(), b"through the pipe");
    writer.join().unwrap();
}

#[test]
fn free_space_is_that_of_the_backing_filesystem() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let (plain, backing) = (
        rustix::fs::statvfs(&mount.point).unwrap(),
        rustix::fs::statvfs(&volume.backing).unwrap(),
    );
    assert_eq!(
        plain.f_blocks * plain.f_frsize,
        backing.f_blocks * backing.f_frsize
    );
    assert_eq!(plain.f_namemax, 255);
    // Other processes use the same disk meanwhile.
    let (plain_free, backing_free) = (
        plain.f_bavail * plain.f_frsize,
        backing.f_bavail * backing.f_frsize,
    );
    assert!(
        plain_free.abs_diff(backing_free) < 1 << 30,
        "{plain_free} {backing_free}"
    );
}

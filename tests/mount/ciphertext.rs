//! What the backing directory gives away.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{XattrFlags, setxattr};

use crate::common::{Home, Volume};

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

/// Everything a copy of the backing directory has: names, contents, link targets and xattrs,
/// kmsfs's own files among them.
fn everything(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.symlink_metadata().unwrap().file_type();
        let mut bytes = path.file_name().unwrap().as_bytes().to_vec();
        if kind.is_dir() {
            found.extend(everything(&path));
        } else if kind.is_symlink() {
            bytes.extend_from_slice(fs::read_link(&path).unwrap().as_os_str().as_bytes());
        } else if kind.is_file() {
            bytes.extend(fs::read(&path).unwrap());
        }
        let dump = assert_cmd::Command::new("getfattr")
            .args(["--dump", "--match=-", "--no-dereference", "--encoding=text"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(dump.status.success(), "{dump:?}");
        // The first line is `# file:` and the path.
        bytes.extend(dump.stdout.split(|&byte| byte == b'\n').skip(1).flatten());
        found.push((path, bytes));
    }
    found
}

fn write_marked(volume: &Volume<'_>) -> Vec<String> {
    let mount = volume.mount();
    let mut markers = Vec::new();
    let mut marker = |what: &str, number: usize| {
        let text = format!("MARKER-{what}-{number}");
        markers.push(text.clone());
        text
    };
    for number in 0..20 {
        let directory = mount.path(marker("directory", number));
        fs::create_dir(&directory).unwrap();
        let file = directory.join(marker("file", number));
        let line = marker("content", number);
        fs::write(&file, format!("{line}\n").repeat(500)).unwrap();
        let (name, value) = (marker("xattr", number), marker("value", number));
        setxattr(
            &file,
            format!("user.{name}"),
            value.as_bytes(),
            XattrFlags::empty(),
        )
        .unwrap();
        symlink(
            marker("target", number),
            directory.join(marker("link", number)),
        )
        .unwrap();
        let long = marker("long", number) + &"-long".repeat(40);
        fs::write(directory.join(long), marker("small", number)).unwrap();
    }
    markers
}

#[test]
fn no_name_content_link_target_or_xattr_is_found_in_the_backing_directory() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let markers = write_marked(&volume);
    assert!(markers.len() > 100);
    let stored = everything(&volume.backing);
    assert!(stored.len() > 80, "{}", stored.len());
    for (path, bytes) in stored {
        assert!(
            !contains(&bytes, b"MARKER"),
            "{} shows plaintext",
            path.display()
        );
    }
}

#[test]
fn nothing_is_readable_while_mounted_either() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::create_dir(mount.path("MARKER-directory")).unwrap();
    let file = fs::File::create_new(mount.path("MARKER-directory/MARKER-file")).unwrap();
    std::io::Write::write_all(&mut &file, &b"MARKER".repeat(5000)).unwrap();
    file.sync_all().unwrap();
    for (path, bytes) in everything(&volume.backing) {
        assert!(
            !contains(&bytes, b"MARKER"),
            "{} shows plaintext",
            path.display()
        );
    }
}

#[test]
fn equal_files_and_equal_names_are_stored_differently() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let mut kept = BTreeSet::new();
    for directory in ["one", "two", "three"] {
        fs::create_dir(mount.path(directory)).unwrap();
        fs::write(mount.path(directory).join("same name"), vec![b'x'; 8192]).unwrap();
    }
    drop(mount);
    let files: Vec<PathBuf> = volume
        .backing_entries()
        .into_iter()
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(files.len(), 3);
    for file in files {
        assert!(
            kept.insert(file.file_name().unwrap().as_bytes().to_vec()),
            "equal names"
        );
        let content = fs::read(file).unwrap();
        assert_eq!(content.len(), 4096 + 2 * 4136);
        for block in content[4096..].chunks(4136) {
            assert!(kept.insert(block.to_vec()), "equal blocks");
        }
    }
}

#[test]
fn rewriting_the_same_bytes_changes_the_ciphertext() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), b"the same").unwrap();
    let before = fs::read(volume.only_backing_file()).unwrap();
    let mount = volume.mount();
    let file = fs::OpenOptions::new()
        .write(true)
        .open(mount.path("f"))
        .unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"the same", 0).unwrap();
    drop((file, mount));
    let after = fs::read(volume.only_backing_file()).unwrap();
    assert!(before[4096..] != after[4096..]);
}

#[test]
fn the_home_and_what_is_in_it_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let volume = home.volume("everyone");
    drop(volume.mount());
    let mode = |path: &Path| path.symlink_metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.dir()), 0o700);
    for entry in fs::read_dir(home.dir()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
    }
}

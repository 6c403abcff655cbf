//! What is not detected, as the design and `docs/threat-model.md` say. These tests show it, so that the
//! documents stay true; `kmsfs fsck` and `kmsfs audit report` find the third.

use crate::fs::Writer;
use std::fs;
use std::num::NonZeroUsize;

use parking_lot::Mutex;

use crate::fs::{Finding, Kind, OpenFlags, Watch};

use super::super::world::{CALLER, World};
use super::{Attacked, BLOCK, HEADER, SEALED, bytes, exchange_entries, overwrite, pattern};

#[test]
fn an_older_version_of_a_block_is_read_as_if_nothing_had_happened() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(3 * BLOCK));
    let path = attacked.backing("f");
    let old = bytes(&path, HEADER + SEALED, SEALED as usize);
    let ino = attacked.find("f").unwrap().ino;
    let handle = attacked
        .fs
        .open(CALLER, ino, OpenFlags::WRITE)
        .unwrap()
        .handle;
    let _ = attacked
        .fs
        .write(handle, BLOCK as u64, &[9; BLOCK], Writer::Cache)
        .unwrap();
    attacked.fs.close(handle).unwrap();
    assert!(attacked.read("f").unwrap() != pattern(3 * BLOCK));
    overwrite(&path, HEADER + SEALED, &old);
    assert!(attacked.read("f").unwrap() == pattern(3 * BLOCK));
    attacked.all_is_recorded();
}

#[test]
fn two_files_exchanged_in_a_directory_have_each_others_content() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("public", b"public");
    attacked.write("secret", b"secret");
    exchange_entries(&attacked.backing("public"), &attacked.backing("secret"));
    assert_eq!(attacked.read("public").unwrap(), b"secret");
    assert_eq!(attacked.read("secret").unwrap(), b"public");
    attacked.all_is_recorded();
}

#[test]
fn a_hole_in_a_file_with_holes_is_read_as_zeros() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", b"begins");
    let ino = attacked.find("f").unwrap().ino;
    let handle = attacked
        .fs
        .open(CALLER, ino, OpenFlags::WRITE)
        .unwrap()
        .handle;
    let _ = attacked
        .fs
        .write(handle, 10 * BLOCK as u64, &[9; BLOCK], Writer::Cache)
        .unwrap();
    attacked.fs.close(handle).unwrap();
    overwrite(
        &attacked.backing("f"),
        HEADER + 10 * SEALED,
        &[0; SEALED as usize],
    );
    assert!(
        attacked.read("f").unwrap()[BLOCK..]
            .iter()
            .all(|&byte| byte == 0)
    );
    attacked.all_is_recorded();
}

#[test]
fn a_whole_file_put_back_is_read_and_found_by_a_check() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("ledger", b"owes 100");
    attacked.write("other", b"other");
    let path = attacked.backing("ledger");
    attacked.fs.unmount().unwrap();
    let old = fs::read(&path).unwrap();
    let attacked = Attacked::new(&volume);
    let ino = attacked.find("ledger").unwrap().ino;
    let handle = attacked
        .fs
        .open(CALLER, ino, OpenFlags::WRITE)
        .unwrap()
        .handle;
    let _ = attacked
        .fs
        .write(handle, 0, b"paid all", Writer::Cache)
        .unwrap();
    attacked.fs.close(handle).unwrap();
    attacked.fs.unmount().unwrap();
    fs::write(&path, old).unwrap();

    let attacked = Attacked::new(&volume);
    assert_eq!(attacked.read("ledger").unwrap(), b"owes 100");
    attacked.all_is_recorded();
    let found = Found::default();
    volume.check(NonZeroUsize::MIN).run(&found).unwrap();
    let found = found.0.into_inner();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].kind, found[0].path.as_deref()),
        (Kind::Rollback, Some(&b"ledger"[..]))
    );
}

#[derive(Default)]
struct Found(Mutex<Vec<Finding>>);

impl Watch for Found {
    fn found(&self, finding: Finding) {
        self.0.lock().push(finding);
    }
    fn expect(&self, _: u64) {}
    fn advance(&self, _: u64) {}
    fn is_cancelled(&self) -> bool {
        false
    }
}

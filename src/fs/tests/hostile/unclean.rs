//! A forged mark of an unclean end: settling is then as lenient as after a crash, and says so. No
//! byte that does not authenticate comes of it.

use std::fs;

use super::super::world::World;
use super::{Attacked, BLOCK, HEADER, SEALED, bytes, overwrite, pattern, set_length};

const SESSION: &str = "00112233445566778899aabbccddeeff";

#[test]
fn a_forged_mark_is_recorded_and_cuts_no_further_than_blocks_authenticate() {
    let world = World::new();
    for mark in [SESSION, "", "nonsense", "../../../etc", "\u{0}"] {
        let volume = world.volume("volume");
        let attacked = Attacked::new(&volume);
        for name in ["cut", "torn", "grown", "whole", "blanked"] {
            attacked.write(name, &pattern(3 * BLOCK));
        }
        let path = |name: &str| attacked.backing(name);
        let (cut, torn, grown, blanked) =
            (path("cut"), path("torn"), path("grown"), path("blanked"));
        attacked.fs.unmount().unwrap();
        set_length(&cut, HEADER + 2 * SEALED);
        set_length(&torn, HEADER + SEALED + 1000);
        let more = bytes(&grown, HEADER, SEALED as usize);
        overwrite(&grown, HEADER + 3 * SEALED, &more);
        overwrite(&blanked, HEADER + SEALED, &[0; SEALED as usize]);
        fs::write(volume.backing.join(".kmsfs/unclean"), mark).unwrap();

        let attacked = Attacked::new(&volume);
        let mount = volume.records("Mount");
        assert_eq!(mount.last().unwrap()["requestParameters"]["unclean"], true);
        let whole = pattern(3 * BLOCK);
        assert!(attacked.read("cut").unwrap() == whole[..2 * BLOCK]);
        assert!(attacked.read("torn").unwrap() == whole[..BLOCK]);
        assert!(
            attacked.read("grown").unwrap() == whole,
            "what does not authenticate is cut off"
        );
        assert!(attacked.read("whole").unwrap() == whole);
        attacked.fails("a blanked block", attacked.read("blanked"));
        let settled = volume.records("FileSettled");
        assert_eq!(settled.len(), 3, "{settled:?}");
        assert!(
            settled
                .iter()
                .all(|record| record["requestParameters"]["fileId"].is_string())
        );
        attacked.fs.sweep(|| true).unwrap();
        attacked.all_is_recorded();
        assert!(!volume.is_unclean());
        volume.remove();
    }
}

#[test]
fn a_mark_that_is_no_file_stops_the_mount_and_changes_nothing() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", b"content");
    attacked.fs.unmount().unwrap();
    let mark = volume.backing.join(".kmsfs/unclean");
    fs::create_dir(&mark).unwrap();
    assert!(volume.try_mount().is_err());
    fs::remove_dir(&mark).unwrap();
    assert_eq!(Attacked::new(&volume).read("f").unwrap(), b"content");
}

#[test]
fn a_forged_mark_makes_no_altered_header_or_block_readable() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(2 * BLOCK + 9));
    let path = attacked.backing("f");
    attacked.fs.unmount().unwrap();
    let whole = fs::read(&path).unwrap();
    let mark = volume.backing.join(".kmsfs/unclean");
    for at in (0..4096)
        .step_by(37)
        .chain((4096..whole.len()).step_by(411))
    {
        overwrite(&path, at as u64, &[whole[at] ^ 4]);
        fs::write(&mark, SESSION).unwrap();
        let attacked = Attacked::new(&volume);
        // A torn copy of a header is mended where the other one is whole: here there is no other.
        attacked.fails_or_is(
            &format!("byte {at}"),
            attacked.read("f"),
            &pattern(2 * BLOCK + 9),
        );
        attacked.all_is_recorded();
        fs::write(&path, &whole).unwrap();
    }
}

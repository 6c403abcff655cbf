//! Blocks: every bit, other places, other files, nothing at all.

use crate::fs::OpenFlags;
use crate::fs::Writer;

use super::super::world::{CALLER, World};
use super::{Attacked, BLOCK, HEADER, SEALED, bytes, exchange, mend, newest, overwrite, pattern};

#[test]
fn no_flipped_bit_of_a_block_goes_unnoticed() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("short", &pattern(30));
    attacked.write("full", &pattern(BLOCK));
    for (name, step) in [("short", 1), ("full", 11)] {
        let path = attacked.backing(name);
        let whole = std::fs::read(&path).unwrap();
        let sealed = whole.len() - HEADER as usize;
        for bit in (0..8 * sealed).step_by(step) {
            let at = HEADER as usize + bit / 8;
            overwrite(&path, at as u64, &[whole[at] ^ 1 << (bit % 8)]);
            attacked.fails(&format!("bit {bit} of {name}"), attacked.read(name));
            overwrite(&path, at as u64, &[whole[at]]);
        }
        assert!(attacked.read(name).is_ok());
    }
    attacked.all_is_recorded();
}

#[test]
fn a_damaged_block_costs_no_other_block_and_can_be_written_over() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(5 * BLOCK));
    let path = attacked.backing("f");
    overwrite(&path, HEADER + 2 * SEALED + 7, &[0xff; 3]);
    let ino = attacked.find("f").unwrap().ino;
    let flags = OpenFlags::READ | OpenFlags::WRITE;
    let handle = attacked.fs.open(CALLER, ino, flags).unwrap().handle;
    let mut read = Vec::new();
    for block in 0..5_usize {
        let offset = (block * BLOCK) as u64;
        let result = attacked.fs.read(handle, offset, BLOCK, &mut read);
        if block == 2 {
            attacked.fails("the block", result);
        } else {
            result.unwrap();
            assert!(
                read == pattern(5 * BLOCK)[block * BLOCK..][..BLOCK],
                "block {block}"
            );
        }
    }
    // A part of it would be made up with what is not known.
    let part = attacked
        .fs
        .write(handle, 2 * BLOCK as u64 + 5, b"part", Writer::Cache);
    attacked.fails("writing a part", part);
    let offset = 2 * BLOCK as u64;
    let _ = attacked
        .fs
        .write(handle, offset, &[9; BLOCK], Writer::Cache)
        .unwrap();
    attacked.fs.read(handle, offset, BLOCK, &mut read).unwrap();
    assert!(read == [9; BLOCK]);
    attacked.fs.close(handle).unwrap();
    attacked.all_is_recorded();
}

#[test]
fn blocks_in_other_places_and_of_other_files_are_refused() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("one", &pattern(4 * BLOCK));
    attacked.write("two", &pattern(4 * BLOCK));
    let (one, two) = (attacked.backing("one"), attacked.backing("two"));
    let whole = std::fs::read(&one).unwrap();
    for (from, to) in [(0, 1), (1, 0), (3, 2), (0, 3)] {
        let moved = bytes(&one, HEADER + from * SEALED, SEALED as usize);
        overwrite(&one, HEADER + to * SEALED, &moved);
        attacked.fails(&format!("{from} at {to}"), attacked.read("one"));
        std::fs::write(&one, &whole).unwrap();
    }
    for block in 0..4 {
        exchange(&one, &two, HEADER + block * SEALED, SEALED as usize);
        attacked.fails("another file's", attacked.read("one"));
        attacked.fails("another file's", attacked.read("two"));
        exchange(&one, &two, HEADER + block * SEALED, SEALED as usize);
    }
    assert_eq!(attacked.read("two").unwrap(), pattern(4 * BLOCK));
    attacked.all_is_recorded();
}

#[test]
fn a_blanked_block_is_a_hole_only_where_the_header_says_so() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(3 * BLOCK + 50));
    let path = attacked.backing("f");
    let whole = std::fs::read(&path).unwrap();
    for block in 0..4 {
        let (from, length) = (
            HEADER + block * SEALED,
            if block == 3 { 90 } else { SEALED },
        );
        for blank in [vec![0; length as usize], vec![0; 24], vec![0; 25]] {
            overwrite(&path, from, &blank);
            attacked.fails(
                &format!("{} zeros at {block}", blank.len()),
                attacked.read("f"),
            );
            std::fs::write(&path, &whole).unwrap();
        }
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        rustix::fs::fallocate(&file, flags, from, length).unwrap();
        attacked.fails(&format!("a hole at {block}"), attacked.read("f"));
        std::fs::write(&path, &whole).unwrap();
    }
    // The flag cannot be set from outside: it is authentic.
    let flags = newest(&path) as u64 + 10;
    overwrite(&path, flags, &[bytes(&path, flags, 1)[0] | 2]);
    mend(&path);
    overwrite(&path, HEADER + SEALED, &[0; SEALED as usize]);
    attacked.fails("a forged flag", attacked.read("f"));
    attacked.all_is_recorded();
}

//! Headers: every bit, both copies, those of other files.

use crate::fs::Writer;
use std::path::Path;

use crate::format::{COPY_LEN, seal_anew};
use crate::fs::FsError;

use super::super::world::{CALLER, World};
use super::{
    Attacked, BLOCK, HEADER, bytes, exchange, mend, newest, overwrite, pattern, set_length,
};

/// Flips one bit of the copy at `copy`, and has its checksum hold if that is wanted.
fn flip(whole: &[u8], path: &Path, copy: usize, bit: usize, mended: bool) {
    let mut region = whole.to_vec();
    region[copy + bit / 8] ^= 1 << (bit % 8);
    if mended {
        let copy = &mut region[copy..copy + COPY_LEN];
        seal_anew(copy.try_into().unwrap(), None);
    }
    overwrite(path, 0, &region);
}

/// Whether the key service, which holds what names a file's KMS key, may be the one to refuse.
fn names_the_key(bit: usize) -> bool {
    matches!(bit / 8, 58..60 | 352..608)
}

#[test]
fn no_flipped_bit_of_a_header_goes_unnoticed() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(100));
    let path = attacked.backing("f");
    let whole = bytes(&path, 0, 4096);
    for bit in 0..COPY_LEN * 8 {
        flip(&whole, &path, 0, bit, false);
        attacked.fails(&format!("bit {bit}"), attacked.read("f"));
    }
    overwrite(&path, 0, &whole);
    assert_eq!(attacked.read("f").unwrap(), pattern(100));
    assert_eq!(attacked.all_is_recorded(), COPY_LEN * 8);
}

#[test]
fn no_flipped_bit_of_a_header_goes_unnoticed_when_its_checksum_is_made_right() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(100));
    let path = attacked.backing("f");
    let whole = bytes(&path, 0, 4096);
    let copy = newest(&path);
    let mut refused = 0;
    // The magic and the checksum itself are made right again.
    for bit in (8 * 8..(COPY_LEN - 4) * 8).filter(|bit| !names_the_key(*bit)) {
        flip(&whole, &path, copy, bit, true);
        attacked.fails(&format!("bit {bit}"), attacked.read("f"));
    }
    for bit in (0..COPY_LEN * 8).filter(|bit| names_the_key(*bit)) {
        flip(&whole, &path, copy, bit, true);
        match attacked.read("f").map_err(|error| attacked.fs.wait(error)) {
            // No such key, as far as the key service knows.
            Err(FsError::Key(_)) => refused += 1,
            // The same key in capitals.
            other => attacked.fails_or_is(&format!("bit {bit}"), other, &pattern(100)),
        }
    }
    assert!(refused > 0);
    overwrite(&path, 0, &whole);
    assert_eq!(attacked.read("f").unwrap(), pattern(100));
    attacked.all_is_recorded();
    let denied = volume.records("Open");
    let denied = denied
        .iter()
        .filter(|record| record["errorCode"].is_string());
    assert_eq!(
        denied.count(),
        refused,
        "what the key service refused is recorded too"
    );
}

#[test]
fn no_flipped_bit_of_either_copy_changes_what_is_read() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(100));
    let file = attacked.find("f").unwrap();
    let flags = crate::fs::OpenFlags::READ | crate::fs::OpenFlags::WRITE;
    let handle = attacked.fs.open(CALLER, file.ino, flags).unwrap().handle;
    attacked.fs.fsync(handle).unwrap();
    let _ = attacked
        .fs
        .write(handle, 100, &pattern(60), Writer::Cache)
        .unwrap();
    attacked.fs.close(handle).unwrap();
    let content = [pattern(100), pattern(60)].concat();

    let path = attacked.backing("f");
    let whole = bytes(&path, 0, 4096);
    assert!(
        whole[..8] == whole[COPY_LEN..COPY_LEN + 8],
        "both copies are in use"
    );
    for copy in [0, COPY_LEN] {
        // Some of each byte.
        for bit in (0..COPY_LEN * 8).step_by(3) {
            let what = format!("bit {bit} of the copy at {copy}");
            flip(&whole, &path, copy, bit, false);
            attacked.fails(&what, attacked.read("f"));
            if bit % 7 == 0 {
                flip(&whole, &path, copy, bit, true);
                match attacked.read("f").map_err(|error| attacked.fs.wait(error)) {
                    Err(FsError::Key(_)) if names_the_key(bit) => {}
                    other => attacked.fails_or_is(&what, other, &content),
                }
            }
        }
    }
    overwrite(&path, 0, &whole);
    assert_eq!(attacked.read("f").unwrap(), content);
    attacked.all_is_recorded();
}

#[test]
fn headers_and_wrapped_keys_of_other_files_are_refused() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("one", &pattern(2 * BLOCK));
    attacked.write("two", &pattern(2 * BLOCK));
    let (one, two) = (attacked.backing("one"), attacked.backing("two"));
    let read_both = |what: &str| {
        attacked.fails(what, attacked.read("one"));
        attacked.fails(what, attacked.read("two"));
    };

    exchange(&one, &two, 0, HEADER as usize);
    read_both("the whole header");
    exchange(&one, &two, 0, HEADER as usize);

    let exchange_in_both_copies = |from: u64, length: usize| {
        for copy in [0, COPY_LEN as u64] {
            exchange(&one, &two, copy + from, length);
        }
        mend(&one);
        mend(&two);
    };
    // File id; length and what authenticates the header; the wrapped key.
    for (from, length) in [(24, 16), (320, 32), (608, 1024)] {
        exchange_in_both_copies(from, length);
        read_both(&format!("bytes {from}"));
        exchange_in_both_copies(from, length);
    }
    // Id and key together are consistent: then the header does not authenticate.
    exchange_in_both_copies(24, 16);
    exchange_in_both_copies(608, 1024);
    read_both("identity");
    exchange_in_both_copies(24, 16);
    exchange_in_both_copies(608, 1024);
    assert_eq!(attacked.read("one").unwrap(), pattern(2 * BLOCK));
    attacked.all_is_recorded();
}

#[test]
fn a_second_copy_of_another_file_is_refused() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("one", b"one");
    attacked.write("two", b"two");
    let (one, two) = (attacked.backing("one"), attacked.backing("two"));
    // Not over the newest: that one stays good.
    let other = if newest(&one) == 0 { COPY_LEN } else { 0 };
    let foreign = bytes(&two, newest(&two) as u64, COPY_LEN);
    overwrite(&one, other as u64, &foreign);
    attacked.fails("the copy of another file", attacked.read("one"));
    attacked.all_is_recorded();
}

#[test]
fn a_file_cut_or_grown_to_any_length_is_refused() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", &pattern(2 * BLOCK + 100));
    let path = attacked.backing("f");
    let whole = std::fs::read(&path).unwrap();
    let length = whole.len() as u64;
    let ends = [0, 1, 2048, HEADER, HEADER + 4136, HEADER + 2 * 4136, length];
    let around = ends.iter().flat_map(|end| end.saturating_sub(42)..end + 42);
    for cut in around.filter(|cut| *cut != length) {
        set_length(&path, cut);
        attacked.fails(&format!("cut to {cut}"), attacked.read("f"));
        std::fs::write(&path, &whole).unwrap();
    }
    for more in [1, 40, 41, 4036, 4136, 2 * 4136, 1 << 30] {
        set_length(&path, length + more);
        attacked.fails(&format!("longer by {more}"), attacked.read("f"));
        std::fs::write(&path, &whole).unwrap();
    }
    let block = bytes(&path, HEADER, 4136);
    std::fs::write(&path, [whole.clone(), block].concat()).unwrap();
    attacked.fails("longer by one of its own blocks", attacked.read("f"));
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(attacked.read("f").unwrap(), pattern(2 * BLOCK + 100));
    attacked.all_is_recorded();
}

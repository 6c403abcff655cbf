//! What someone who can write to the backing directory cannot do unseen.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use crate::common::{Home, Volume, pattern};

const BLOCK: usize = 4096;
const STORED_BLOCK: u64 = 4136;
const HEADER: u64 = 4096;

/// Reads each block alone, past the page cache's readahead.
fn read_blocks(path: &Path, count: usize) -> Vec<io::Result<Vec<u8>>> {
    let file = File::open(path).unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Random).unwrap();
    (0..count)
        .map(|block| {
            let mut buffer = vec![0; BLOCK];
            file.read_exact_at(&mut buffer, (block * BLOCK) as u64)
                .map(|()| buffer)
        })
        .collect()
}

fn is_eio<T>(result: &io::Result<T>) -> bool {
    result
        .as_ref()
        .is_err_and(|error| error.raw_os_error() == Some(Errno::IO.raw_os_error()))
}

fn flip_bit(path: &Path, at: u64) {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(path)
        .unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

/// A volume with one file of `blocks` blocks, unmounted, and that file's backing file.
fn with_one_file(home: &Home, blocks: usize) -> (Volume<'_>, PathBuf) {
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), pattern(blocks * BLOCK)).unwrap();
    let file = volume.only_backing_file();
    (volume, file)
}

fn integrity_failures(home: &Home) -> usize {
    home.audit_records()
        .iter()
        .filter(|record| record["eventName"] == "IntegrityFailure")
        .count()
}

#[test]
fn a_flipped_bit_costs_its_own_block_and_is_recorded() {
    let home = Home::new();
    let (volume, file) = with_one_file(&home, 8);
    // In the nonce, the ciphertext and the tag.
    for (block, within) in [(1, 3), (4, 2000), (6, STORED_BLOCK - 1)] {
        flip_bit(&file, HEADER + block * STORED_BLOCK + within);
    }
    let mount = volume.mount();
    let expected = pattern(8 * BLOCK);
    for (index, block) in read_blocks(&mount.path("f"), 8).iter().enumerate() {
        if [1, 4, 6].contains(&index) {
            assert!(is_eio(block), "block {index} was read: {block:?}");
        } else {
            assert!(
                block.as_ref().unwrap() == &expected[index * BLOCK..][..BLOCK],
                "block {index}"
            );
        }
    }
    drop(mount);
    assert!(integrity_failures(&home) > 0);
}

#[test]
fn a_damaged_block_can_be_overwritten_and_is_whole_again() {
    let home = Home::new();
    let (volume, file) = with_one_file(&home, 4);
    flip_bit(&file, HEADER + 2 * STORED_BLOCK + 100);
    let mount = volume.mount();
    let plain = OpenOptions::new()
        .write(true)
        .open(mount.path("f"))
        .unwrap();
    plain.write_all_at(&[7; BLOCK], 2 * BLOCK as u64).unwrap();
    drop((plain, mount));
    let mount = volume.mount();
    assert_eq!(
        &fs::read(mount.path("f")).unwrap()[2 * BLOCK..3 * BLOCK],
        &[7; BLOCK]
    );
}

#[test]
fn blocks_that_changed_places_are_refused() {
    let home = Home::new();
    let (volume, file) = with_one_file(&home, 4);
    let stored = fs::read(&file).unwrap();
    let block = |index: u64| {
        let start = usize::try_from(HEADER + index * STORED_BLOCK).unwrap();
        &stored[start..start + usize::try_from(STORED_BLOCK).unwrap()]
    };
    let backing = OpenOptions::new().write(true).open(&file).unwrap();
    backing
        .write_all_at(block(1), HEADER + 2 * STORED_BLOCK)
        .unwrap();
    backing
        .write_all_at(block(2), HEADER + STORED_BLOCK)
        .unwrap();
    let mount = volume.mount();
    let blocks = read_blocks(&mount.path("f"), 4);
    let refused: Vec<bool> = blocks.iter().map(is_eio).collect();
    assert_eq!(refused, [false, true, true, false]);
}

#[test]
fn a_block_of_zeros_in_a_file_without_holes_is_refused() {
    let home = Home::new();
    let (volume, file) = with_one_file(&home, 4);
    let backing = OpenOptions::new().write(true).open(&file).unwrap();
    backing
        .write_all_at(&vec![0; 4136], HEADER + STORED_BLOCK)
        .unwrap();
    let mount = volume.mount();
    let refused: Vec<bool> = read_blocks(&mount.path("f"), 4)
        .iter()
        .map(is_eio)
        .collect();
    assert_eq!(refused, [false, true, false, false]);
}

#[test]
fn a_cut_an_emptied_and_a_grown_file_are_refused_at_open_and_can_be_removed() {
    let home = Home::new();
    let (volume, file) = with_one_file(&home, 4);
    let whole = fs::read(&file).unwrap();
    for length in [
        HEADER + 2 * STORED_BLOCK,
        HEADER + STORED_BLOCK + 50,
        HEADER,
        100,
        0,
    ] {
        OpenOptions::new()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(length)
            .unwrap();
        assert!(
            is_eio(&fs::read(volume.mount().path("f"))),
            "cut to {length}"
        );
        fs::write(&file, &whole).unwrap();
    }
    let grown = [whole.as_slice(), &whole[4096..4096 + 4136]].concat();
    fs::write(&file, grown).unwrap();
    assert!(
        is_eio(&fs::read(volume.mount().path("f"))),
        "grown by a block"
    );

    fs::write(&file, b"").unwrap();
    let mount = volume.mount();
    fs::write(mount.path("other"), b"new").unwrap();
    fs::rename(mount.path("other"), mount.path("f")).unwrap();
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"new");
    fs::remove_file(mount.path("f")).unwrap();
}

#[test]
fn a_damaged_header_copy_never_changes_content_and_two_are_refused() {
    let home = Home::new();
    let (volume, file) = with_one_file(&home, 2);
    let whole = fs::read(&file).unwrap();
    for copy in [0, 2048] {
        flip_bit(&file, copy + 40);
        let read = fs::read(volume.mount().path("f"));
        assert!(
            is_eio(&read) || read.unwrap() == pattern(2 * BLOCK),
            "copy at {copy}"
        );
        fs::write(&file, &whole).unwrap();
    }
    flip_bit(&file, 40);
    flip_bit(&file, 2048 + 40);
    assert!(is_eio(&fs::read(volume.mount().path("f"))));
    assert!(integrity_failures(&home) > 0);
    fs::write(&file, &whole).unwrap();
    assert!(
        fs::read(volume.mount().path("f")).unwrap() == pattern(2 * BLOCK),
        "nothing is lost"
    );
}

#[test]
fn a_header_from_another_file_is_refused() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("one"), pattern(2 * BLOCK)).unwrap();
    fs::write(mount.path("two"), pattern(2 * BLOCK)).unwrap();
    drop(mount);
    let files = volume.backing_entries();
    let (first, second) = (fs::read(&files[0]).unwrap(), fs::read(&files[1]).unwrap());
    let mixed = [&first[..4096], &second[4096..]].concat();
    fs::write(&files[1], mixed).unwrap();
    let mount = volume.mount();
    let results = ["one", "two"].map(|name| fs::read(mount.path(name)));
    assert_eq!(results.iter().filter(|result| is_eio(result)).count(), 1);
}

#[test]
fn a_file_written_in_one_go_has_no_holes_though_the_kernel_writes_it_back_in_any_order() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let content: Vec<u8> = (0..24_u32 << 20).map(|i| (i / 4096) as u8 | 1).collect();
    fs::write(mount.path("f"), &content).unwrap();
    drop(mount);
    let backing = volume.only_backing_file();
    let header = home.json(["inspect".as_ref(), backing.as_os_str()]);
    assert_eq!(header["sparse"], false, "{header}");

    // So a block that is blanked behind the mount's back is damage, not a hole.
    let file = fs::OpenOptions::new().write(true).open(&backing).unwrap();
    file.write_all_at(&[0; 4136], 4096 + 5 * 4136).unwrap();
    let mount = volume.mount();
    let file = fs::File::open(mount.path("f")).unwrap();
    let mut block = [0; 4096];
    let error = file.read_exact_at(&mut block, 5 * 4096).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(5));
    file.read_exact_at(&mut block, 400 * 4096).unwrap();
    assert_eq!(block[..], content[400 * 4096..401 * 4096]);
}

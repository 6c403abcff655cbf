//! Reading and writing file content.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::fs::{FallocateFlags, fallocate};

use crate::common::{Home, compile_c, pattern};

const BLOCK: usize = 4096;

#[test]
fn files_of_every_size_around_the_block_borders_survive_a_remount() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let sizes = [
        0,
        1,
        BLOCK - 1,
        BLOCK,
        BLOCK + 1,
        2 * BLOCK,
        33 * BLOCK + 17,
        3_000_001,
    ];
    let mount = volume.mount();
    for size in sizes {
        fs::write(mount.path(size.to_string()), pattern(size)).unwrap();
    }
    drop(mount);
    let mount = volume.mount();
    for size in sizes {
        let path = mount.path(size.to_string());
        assert_eq!(path.metadata().unwrap().len(), size as u64);
        assert!(
            fs::read(path).unwrap() == pattern(size),
            "{size} bytes differ"
        );
    }
}

#[test]
fn an_overwrite_in_the_middle_changes_nothing_around_it() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let path = mount.path("f");
    let mut expected = pattern(5 * BLOCK + 100);
    fs::write(&path, &expected).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for (at, length) in [
        (10, 5),
        (BLOCK - 3, 6),
        (2 * BLOCK, BLOCK),
        (3 * BLOCK + 1, 2 * BLOCK),
    ] {
        let new = vec![0xA5; length];
        file.write_all_at(&new, at as u64).unwrap();
        if expected.len() < at + length {
            expected.resize(at + length, 0);
        }
        expected[at..at + length].copy_from_slice(&new);
    }
    drop((file, mount));
    let mount = volume.mount();
    assert!(fs::read(mount.path("f")).unwrap() == expected);
}

#[test]
fn appends_from_two_handles_never_overwrite_each_other() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let path = mount.path("log");
    let append = || {
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&path)
            .unwrap()
    };
    let (mut one, mut two) = (append(), append());
    let mut expected = String::new();
    for round in 0..500 {
        let line = format!("line {round}\n");
        expected.push_str(&line);
        let writer = if round % 2 == 0 { &mut one } else { &mut two };
        writer.write_all(line.as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), expected);
}

#[test]
fn truncating_cuts_and_extending_reads_as_zeros() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let path = mount.path("f");
    let mut expected = pattern(3 * BLOCK);
    fs::write(&path, &expected).unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for length in [
        3 * BLOCK - 1,
        BLOCK + 1,
        BLOCK,
        7 * BLOCK + 9,
        5,
        4000,
        0,
        123,
    ] {
        file.set_len(length as u64).unwrap();
        expected.resize(length, 0);
        assert_eq!(path.metadata().unwrap().len(), length as u64);
        assert!(
            fs::read(&path).unwrap() == expected,
            "after truncating to {length}"
        );
    }
    drop((file, mount));
    let mount = volume.mount();
    assert!(fs::read(mount.path("f")).unwrap() == expected);
}

#[test]
fn opening_with_truncation_empties_the_file() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("f"), pattern(2 * BLOCK)).unwrap();
    fs::write(mount.path("f"), b"short").unwrap();
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"short");
}

#[test]
fn a_gap_between_writes_reads_as_zeros_and_takes_no_space() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let mut file = File::create_new(mount.path("sparse")).unwrap();
    file.write_all(b"head").unwrap();
    file.seek(SeekFrom::Start(64 << 20)).unwrap();
    file.write_all(b"tail").unwrap();
    file.sync_all().unwrap();
    drop((file, mount));
    let backing = volume.only_backing_file().metadata().unwrap();
    assert!(
        backing.blocks() * 512 < 1 << 20,
        "{} blocks behind a hole",
        backing.blocks()
    );

    let mount = volume.mount();
    let content = fs::read(mount.path("sparse")).unwrap();
    assert_eq!(content.len(), (64 << 20) + 4);
    assert_eq!(&content[..4], b"head");
    assert!(content[4..64 << 20].iter().all(|&byte| byte == 0));
    assert_eq!(&content[64 << 20..], b"tail");
}

#[test]
fn fallocate_allocates_punches_and_zeroes() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let path = mount.path("f");
    let mut expected = pattern(10 * BLOCK);
    fs::write(&path, &expected).unwrap();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&path)
        .unwrap();

    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(&file, punch, 1000, 3 * BLOCK as u64).unwrap();
    expected[1000..1000 + 3 * BLOCK].fill(0);
    assert!(fs::read(&path).unwrap() == expected, "after punching");

    fallocate(&file, FallocateFlags::ZERO_RANGE, 6 * BLOCK as u64 + 1, 100).unwrap();
    expected[6 * BLOCK + 1..6 * BLOCK + 101].fill(0);
    assert!(fs::read(&path).unwrap() == expected, "after zeroing");

    fallocate(
        &file,
        FallocateFlags::empty(),
        9 * BLOCK as u64,
        4 * BLOCK as u64,
    )
    .unwrap();
    expected.resize(13 * BLOCK, 0);
    assert!(
        fs::read(&path).unwrap() == expected,
        "after allocating beyond the end"
    );

    fallocate(&file, FallocateFlags::KEEP_SIZE, 0, 20 * BLOCK as u64).unwrap();
    assert_eq!(path.metadata().unwrap().len(), 13 * BLOCK as u64);
    drop((file, mount));
    let mount = volume.mount();
    assert!(
        fs::read(mount.path("f")).unwrap() == expected,
        "after a remount"
    );
}

#[test]
fn a_range_copied_inside_the_mount_is_the_same_bytes() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let source_bytes = pattern(300_000);
    fs::write(mount.path("source"), &source_bytes).unwrap();
    let source = File::open(mount.path("source")).unwrap();
    let target = File::create_new(mount.path("target")).unwrap();
    let (mut from, mut to, mut left) = (1234, 99, 200_000);
    while left > 0 {
        let copied =
            rustix::fs::copy_file_range(&source, Some(&mut from), &target, Some(&mut to), left)
                .unwrap();
        assert!(
            copied > 0,
            "copy_file_range stopped with {left} bytes to go"
        );
        left -= copied;
    }
    let copy = fs::read(mount.path("target")).unwrap();
    assert_eq!(copy.len(), 200_099);
    assert!(copy[..99].iter().all(|&byte| byte == 0));
    assert!(copy[99..] == source_bytes[1234..201_234]);
}

#[test]
fn a_shared_mapping_and_read_and_write_see_each_other() {
    const SOURCE: &str = r#"
        #include <fcntl.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <unistd.h>
        int main(int argc, char **argv) {
            char seen[5] = {0};
            int fd = open(argv[1], O_RDWR);
            if (fd < 0) return 1;
            char *map = mmap(0, 20000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (map == MAP_FAILED) return 2;
            if (pwrite(fd, "wrote", 5, 8190) != 5) return 3;
            if (memcmp(map + 8190, "wrote", 5)) return 4;
            memcpy(map + 12286, "store", 5);
            if (pread(fd, seen, 5, 12286) != 5 || memcmp(seen, "store", 5)) return 5;
            if (msync(map, 20000, MS_SYNC)) return 6;
            return munmap(map, 20000) || close(fd) ? 7 : 0;
        }
    "#;
    let home = Home::new();
    let program = compile_c(&home, "mapping", SOURCE);
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let mut expected = pattern(20_000);
    fs::write(mount.path("f"), &expected).unwrap();
    assert_cmd::Command::new(program)
        .arg(mount.path("f"))
        .assert()
        .success();
    expected[8190..8195].copy_from_slice(b"wrote");
    expected[12_286..12_291].copy_from_slice(b"store");
    drop(mount);
    let mount = volume.mount();
    assert!(fs::read(mount.path("f")).unwrap() == expected);
}

#[test]
fn threads_writing_their_own_parts_of_one_file_do_not_disturb_each_other() {
    const PIECE: usize = 1000; // pieces share blocks
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(mount.path("f"))
        .unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                for round in 0..100 {
                    let at = (round * 4 + usize::from(writer)) * PIECE;
                    file.write_all_at(&[b'a' + writer; PIECE], at as u64)
                        .unwrap();
                }
            });
        }
    });
    drop((file, mount));
    let mount = volume.mount();
    let content = fs::read(mount.path("f")).unwrap();
    assert_eq!(content.len(), 400 * PIECE);
    for (index, piece) in content.chunks(PIECE).enumerate() {
        let writer = b'a' + u8::try_from(index % 4).unwrap();
        assert!(piece.iter().all(|&byte| byte == writer), "piece {index}");
    }
}

#[test]
fn an_unlinked_file_stays_usable_until_it_is_closed() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(mount.path("f"))
        .unwrap();
    file.write_all(b"still here").unwrap();
    fs::remove_file(mount.path("f")).unwrap();
    file.sync_all().unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let mut content = String::new();
    file.read_to_string(&mut content).unwrap();
    assert_eq!(content, "still here");
    assert_eq!(file.metadata().unwrap().nlink(), 0);
    drop(file);
    assert!(volume.backing_entries().is_empty());
}

#[test]
fn a_file_written_and_synced_is_on_the_backing_side_before_it_is_closed() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let mut file = File::create_new(mount.path("f")).unwrap();
    file.write_all(&pattern(10 * BLOCK)).unwrap();
    file.sync_all().unwrap();
    assert_eq!(
        volume.only_backing_file().metadata().unwrap().len(),
        4096 + 10 * 4136
    );
    File::open(&mount.point).unwrap().sync_all().unwrap();
}

#[test]
fn a_read_only_mount_reads_and_refuses_every_change() {
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), b"content").unwrap();
    let mount = volume.mount_with(&["--read-only"]);
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"content");
    let refused = [
        fs::write(mount.path("f"), b"other"),
        fs::write(mount.path("g"), b"new"),
        fs::create_dir(mount.path("d")),
        fs::remove_file(mount.path("f")),
        fs::rename(mount.path("f"), mount.path("g")),
    ];
    for result in refused {
        assert_eq!(
            result.unwrap_err().kind(),
            std::io::ErrorKind::ReadOnlyFilesystem
        );
    }
}

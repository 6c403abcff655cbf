//! SIGKILL of the process that serves a mount: what was written is there afterwards.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Signal, kill_process, test_kill_process};

use crate::common::{Home, Mount, ROOT, Volume, pattern, within};

const BLOCK: usize = 4096;

/// Kills the daemon at once and takes its dead mount away.
pub(crate) fn kill(mount: Mount<'_>) {
    let daemon = mount.daemon();
    kill_process(daemon, Signal::KILL).unwrap();
    within(Duration::from_secs(10), "the daemon ends", || {
        test_kill_process(daemon).is_err()
    });
    assert!(
        fs::read_dir(&mount.point).is_err(),
        "a dead mount still answers"
    );
    lazy_unmount(&mount.point);
    drop(mount);
}

fn lazy_unmount(point: &Path) {
    let status = std::process::Command::new("umount")
        .arg("-l")
        .arg(point)
        .status()
        .unwrap();
    assert!(status.success());
}

pub(crate) fn verify_log(volume: &Volume<'_>) {
    volume
        .home
        .kmsfs()
        .args(["audit", "verify"])
        .assert()
        .code(0);
}

#[test]
fn closed_files_survive_a_kill_in_any_number_and_size() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    for number in 0..100 {
        fs::write(mount.path(format!("file {number}")), pattern(number * 997)).unwrap();
    }
    fs::create_dir_all(mount.path("a/b")).unwrap();
    fs::rename(mount.path("file 99"), mount.path("a/b/moved")).unwrap();
    fs::remove_file(mount.path("file 98")).unwrap();
    kill(mount);
    let mount = volume.mount();
    for number in 0..98 {
        let content = fs::read(mount.path(format!("file {number}"))).unwrap();
        assert!(content == pattern(number * 997), "file {number}");
    }
    assert!(fs::read(mount.path("a/b/moved")).unwrap() == pattern(99 * 997));
    assert!(!mount.path("file 98").exists());
    drop(mount);
    verify_log(&volume);
}

#[test]
fn synced_data_of_an_open_file_survives_a_kill() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let mut file = File::create_new(mount.path("f")).unwrap();
    file.write_all(&pattern(3 * BLOCK + 100)).unwrap();
    file.sync_all().unwrap();
    file.write_all(b"perhaps lost").unwrap();
    kill(mount);
    drop(file);
    let content = fs::read(volume.mount().path("f")).unwrap();
    assert!(
        content.starts_with(&pattern(3 * BLOCK + 100)),
        "{} bytes",
        content.len()
    );
    assert!(content.len() <= 3 * BLOCK + 112);
}

#[test]
fn a_kill_during_overwrites_leaves_every_block_readable_and_none_older_than_its_sync() {
    const BLOCKS: usize = 256;
    let home = Home::new();
    let volume = home.volume("everyone");
    fs::write(volume.mount().path("f"), vec![0; BLOCKS * BLOCK]).unwrap();
    for round in 0..8_u64 {
        let mount = volume.mount();
        let file = OpenOptions::new()
            .write(true)
            .open(mount.path("f"))
            .unwrap();
        let synced = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Ends with an error when the daemon is gone.
                for generation in 1.. {
                    let byte = u8::try_from(generation % 250).unwrap() + 1;
                    let written = file.write_all_at(&vec![byte; BLOCKS * BLOCK], 0);
                    if written.and_then(|()| file.sync_data()).is_err() {
                        break;
                    }
                    synced.store(generation, Ordering::SeqCst);
                }
            });
            within(
                Duration::from_secs(20),
                "two generations are synced",
                || synced.load(Ordering::SeqCst) >= 2,
            );
            std::thread::sleep(Duration::from_millis(3 + 7 * round));
            kill(mount);
        });
        drop(file);
        let last = synced.load(Ordering::SeqCst);
        let allowed = [last, last + 1].map(|g| u8::try_from(g % 250).unwrap() + 1);
        let content = fs::read(volume.mount().path("f")).unwrap();
        assert_eq!(content.len(), BLOCKS * BLOCK);
        for (index, block) in content.chunks(BLOCK).enumerate() {
            assert!(
                block.iter().all(|&byte| byte == block[0]) && allowed.contains(&block[0]),
                "round {round}, block {index}: {} is none of {allowed:?}",
                block[0]
            );
        }
    }
    verify_log(&volume);
}

#[test]
fn a_kill_during_appends_keeps_a_prefix_at_least_as_long_as_what_was_synced() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let expected = pattern(40_000_000);
    for round in 0..5_u64 {
        let mount = volume.mount();
        let name = format!("log {round}");
        let mut file = File::create_new(mount.path(&name)).unwrap();
        let synced = AtomicU32::new(0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for piece in expected.chunks(3001) {
                    if file
                        .write_all(piece)
                        .and_then(|()| file.sync_data())
                        .is_err()
                    {
                        break;
                    }
                    synced.fetch_add(u32::try_from(piece.len()).unwrap(), Ordering::SeqCst);
                }
            });
            within(Duration::from_secs(20), "something is synced", || {
                synced.load(Ordering::SeqCst) > 0
            });
            std::thread::sleep(Duration::from_millis(5 + 11 * round));
            kill(mount);
        });
        drop(file);
        let content = fs::read(volume.mount().path(&name)).unwrap();
        assert!(
            content.len() >= synced.load(Ordering::SeqCst) as usize,
            "round {round}"
        );
        assert!(
            expected.starts_with(&content),
            "round {round}: {} bytes",
            content.len()
        );
    }
}

#[test]
fn a_holed_file_survives_a_kill() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    let file = File::create_new(mount.path("f")).unwrap();
    file.write_all_at(b"end", 1 << 20).unwrap();
    drop(file);
    kill(mount);
    let content = fs::read(volume.mount().path("f")).unwrap();
    assert_eq!(content.len(), (1 << 20) + 3);
    assert!(content[..1 << 20].iter().all(|&byte| byte == 0));
    assert_eq!(&content[1 << 20..], b"end");
}

#[test]
fn keys_changed_just_before_a_kill_stay_changed() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    fs::write(mount.path("f"), b"content").unwrap();
    // The daemon owns the key service: this goes through its socket.
    let id = home.json(["key", "create", "--alias", "late"])["KeyMetadata"]["KeyId"].clone();
    home.run(["key", "rotate", &volume.key]);
    fs::write(mount.path("g"), b"after").unwrap();
    kill(mount);
    assert_eq!(
        home.json(["key", "describe", "alias/late"])["KeyMetadata"]["KeyId"],
        id
    );
    let mount = volume.mount();
    assert_eq!(fs::read(mount.path("f")).unwrap(), b"content");
    assert_eq!(fs::read(mount.path("g")).unwrap(), b"after");
    drop(mount);
    verify_log(&volume);
}

#[test]
fn sigterm_writes_what_is_cached_and_unmounts() {
    let home = Home::new();
    let volume = home.volume("everyone");
    let mount = volume.mount();
    ROOT.can(&mount.point, "echo text > f");
    let daemon = mount.daemon();
    kill_process(daemon, Signal::TERM).unwrap();
    within(Duration::from_secs(10), "the daemon ends", || {
        test_kill_process(daemon).is_err()
    });
    assert!(!crate::common::is_mounted(&mount.point));
    drop(mount);
    assert_eq!(fs::read(volume.mount().path("f")).unwrap(), b"text\n");
    assert!(
        !volume.backing.join(".kmsfs/unclean").exists(),
        "the end was a clean one"
    );
}

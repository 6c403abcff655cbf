//! The backing filesystem fails while a volume that was not unmounted is mounted, settled, swept and
//! unmounted: the mount after that finds what it would have found.

use std::cell::RefCell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use rustix::io::Errno;

use crate::fs::Ino;
use crate::sys::seam::watch;

use super::disk::Disk;
use super::faults::{Fault, Faults};
use super::operations::{LONG, pattern};
use super::power::{Stage, mount_twice};
use super::snapshot::snapshot;
use super::world::{CALLER, TestVolume, World};

/// Files of every kind that settling has to do with, none of them as its header says.
fn leave_unsettled(stage: &mut Stage) {
    let longer = stage.create(&[b"longer"]);
    stage.write(longer, 0, &pattern(0, 9000));
    stage.fsync(longer);
    stage.write(longer, 9000, &pattern(1, 7000));
    let shorter = stage.create(&[LONG]);
    stage.write(shorter, 0, &pattern(2, 20_000));
    stage.fsync(shorter);
    stage.set_length(shorter, 5000);
    stage
        .record(|fs| fs.make_directory(CALLER, Ino::ROOT, b"dir", 0o700, 0))
        .unwrap();
    let sparse = stage.create(&[b"dir", b"sparse"]);
    stage.write(sparse, 30_000, &pattern(3, 100));
    stage.sync_directory(&[b"dir"]);
    stage.sync_directory(&[]);
    let never = stage.create(&[b"dir", b"never synced"]);
    stage.write(never, 0, &pattern(4, 6000));
}

/// Mounts `disk`, settles all of it and unmounts, as far as that goes; how many calls were made.
fn mount_with(volume: &TestVolume<'_>, fault: Fault, at: usize) -> usize {
    let backing = volume.backing.with_extension("lost");
    let faults = Rc::new(RefCell::new(Faults::new(fault, at)));
    watch(faults.clone(), || {
        let Ok(fs) = volume.try_mount_at(&backing) else {
            return;
        };
        // Whatever fails is tried again by the next mount.
        let _ = fs.sweep(|| true);
        let _ = fs.unmount();
    });
    faults.borrow().calls
}

fn every_call_fails(fault: Fault) {
    let world = World::new();
    let volume = world.volume("volume");
    let mut stage = Stage::new(&volume);
    leave_unsettled(&mut stage);
    let recorded = stage.finish();
    for seed in 0..3 {
        let mut random = ChaCha20Rng::seed_from_u64(seed);
        let events = &recorded.events;
        let disk = recorded.before.after_power_loss(events, true, &mut random);
        every_call_fails_on(&volume, disk, fault, &format!("seed {seed}"));
    }
    assert!(!volume.records("FileSettled").is_empty());
}

fn every_call_fails_on(volume: &TestVolume<'_>, mut disk: Disk, fault: Fault, context: &str) {
    let expected = mount_twice(volume, &mut disk, context);
    let backing = volume.backing.with_extension("lost");
    let mut at = 0;
    loop {
        let context = format!("{context}, {fault:?} at call {at}");
        store(&disk, volume);
        let calls = mount_with(volume, fault, at);
        let fs = volume.mount_at(&backing);
        assert_eq!(snapshot(&fs), expected, "{context}");
        while fs.needs_sweep() {
            fs.sweep(|| true).unwrap();
        }
        fs.unmount().unwrap();
        fs::remove_dir_all(&backing).unwrap();
        if calls <= at {
            break;
        }
        at += 1;
    }
    assert!(at > 50, "{context}: {at} calls are not all");
}

fn store(disk: &Disk, volume: &TestVolume<'_>) {
    disk.store(&volume.backing.with_extension("lost"));
    // The clock of a filesystem goes by ticks: the files are older than the next mark.
    std::thread::sleep(Duration::from_millis(5));
}

#[test]
fn a_call_that_fails_while_a_volume_is_settled_changes_nothing_of_what_is_found() {
    every_call_fails(Fault::Once(Errno::IO));
}

#[test]
fn a_disk_that_fails_while_a_volume_is_settled_changes_nothing_of_what_is_found() {
    every_call_fails(Fault::From(Errno::IO));
}

#[test]
fn a_disk_that_is_full_while_a_volume_is_settled_changes_nothing_of_what_is_found() {
    every_call_fails(Fault::Full);
}

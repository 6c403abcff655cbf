//! What one torn write, one failed sync, one denied operation leaves.

use crate::fs::Writer;
use std::cell::RefCell;
use std::rc::Rc;

use rustix::io::Errno;

use crate::fs::{Change, Ino, NewTime, OpenFlags, XattrCreate};
use crate::sys::seam::{Call, Watch, watch};

use super::disk::{Disk, Event};
use super::operations::pattern;
use super::power::{Stage, mount_twice};
use super::snapshot::{Content, Snapshot};
use super::world::{CALLER, TestVolume, World, errno};

/// Mounts what is on the disk when the last of `events` that `is_it` knows came half-way, and those
/// behind it not at all.
fn torn(
    volume: &TestVolume<'_>,
    before: &Disk,
    events: &[Event],
    is_it: impl Fn(&Event) -> bool,
) -> Snapshot {
    let last = events.iter().rposition(is_it).unwrap();
    let mut disk = before.clone();
    events[..last].iter().for_each(|event| disk.apply(event));
    if let Event::Write(file, offset, bytes) = &events[last] {
        disk.apply(&Event::Write(
            *file,
            *offset,
            bytes[..bytes.len() / 2].to_vec(),
        ));
    }
    mount_twice(volume, &mut disk, "torn")
}

fn blocks<'s>(shown: &'s Snapshot, path: &[u8]) -> &'s [Result<Vec<u8>, Errno>] {
    match &shown[path].content {
        Content::Blocks(blocks) => blocks,
        other => panic!("{other:?}"),
    }
}

fn is_header(event: &Event) -> bool {
    matches!(event, Event::Write(_, 0 | 2048, _))
}

#[test]
fn power_lost_in_the_middle_of_overwriting_a_synced_block_can_cost_that_block() {
    let world = World::new();
    let volume = world.volume("volume");
    let mut stage = Stage::new(&volume);
    let content = pattern(0, 3 * 4096);
    let file = stage.create(&[b"file"]);
    stage.write(file, 0, &content);
    stage.fsync(file);
    stage.sync_directory(&[]);
    stage.write(file, 4096, &[7; 4096]);
    let recorded = stage.finish();
    let shown = torn(
        &volume,
        &recorded.before,
        &recorded.events,
        |event| matches!(event, Event::Write(_, offset, _) if *offset > 4096),
    );
    let blocks = blocks(&shown, b"/file");
    assert_eq!(blocks[0].as_deref(), Ok(&content[..4096]));
    assert_eq!(blocks[1], Err(Errno::IO));
    assert_eq!(blocks[2].as_deref(), Ok(&content[8192..]));
}

#[test]
fn a_torn_header_leaves_the_other_copy() {
    let world = World::new();
    for synced in [true, false] {
        let volume = world.volume(&format!("volume {synced}"));
        let mut stage = Stage::new(&volume);
        let file = stage.create(&[b"file"]);
        stage.write(file, 0, &pattern(0, 5000));
        if synced {
            stage.fsync(file);
        }
        for round in 1..4 {
            stage.reopen(file);
            stage.write(file, 5000 * round, &pattern(5000 * round, 5000));
        }
        stage.reopen(file);
        let recorded = stage.finish();
        let shown = torn(&volume, &recorded.before, &recorded.events, is_header);
        let found: Vec<u8> = blocks(&shown, b"/file")
            .iter()
            .flat_map(|block| block.clone().unwrap())
            .collect();
        assert!(found == pattern(0, 20_000), "{} bytes", found.len());
    }
}

#[test]
fn a_file_that_never_had_a_header_is_not_there() {
    let world = World::new();
    let volume = world.volume("volume");
    let mut stage = Stage::new(&volume);
    stage.create(&[b"file"]);
    let recorded = stage.finish();
    let mut disk = recorded.before.clone();
    disk.apply(&recorded.events[0]);
    let shown = mount_twice(&volume, &mut disk, "without a header");
    assert!(shown.is_empty(), "{shown:?}");
    assert_eq!(volume.records("UnfinishedFileRemoved").len(), 1);
}

/// Fails the first sync.
struct FailedSync(bool);

impl Watch for FailedSync {
    fn before(&mut self, call: &Call<'_>) -> Result<(), Errno> {
        match call {
            Call::SyncData(_) if !std::mem::replace(&mut self.0, true) => Err(Errno::IO),
            _ => Ok(()),
        }
    }
}

#[test]
fn a_sync_that_failed_is_not_followed_by_one_that_succeeds() {
    let world = World::new();
    let volume = world.volume("volume");
    let fs = volume.mount();
    let (attr, handle) = fs.create(CALLER, Ino::ROOT, b"file", 0o600, 0).unwrap();
    let _set_ids = fs
        .write(handle, 0, b"perhaps on disk", Writer::Cache)
        .unwrap();
    let failing = Rc::new(RefCell::new(FailedSync(false)));
    assert!(watch(failing, || fs.fsync(handle)).is_err());
    assert_eq!(errno(&fs.fsync(handle).unwrap_err()), Errno::IO);
    fs.close(handle).unwrap();
    let opened = fs.open(CALLER, attr.ino, OpenFlags::READ).unwrap();
    fs.close(opened.handle).unwrap();
    fs.unmount().unwrap();
    assert!(volume.is_unclean(), "nobody knows what is on disk");
}

/// Sees whether anything is made.
#[derive(Default)]
struct Made(usize);

impl Watch for Made {
    fn before(&mut self, call: &Call<'_>) -> Result<(), Errno> {
        self.0 += usize::from(matches!(call, Call::Make { .. } | Call::Write { .. }));
        Ok(())
    }
}

#[test]
fn a_denied_symlink_writes_nothing() {
    let world = World::new();
    let volume = world.volume("volume");
    let fs = volume.mount();
    volume.deny("kmsfs:Create");
    fs.review_policy();
    let made = Rc::new(RefCell::new(Made::default()));
    let denied = watch(made.clone(), || {
        fs.symlink(CALLER, Ino::ROOT, b"link", &[b'x'; 4000])
    });
    assert_eq!(errno(&denied.unwrap_err()), Errno::ACCESS);
    assert_eq!(made.borrow().0, 0);
    fs.unmount().unwrap();
}

#[test]
fn only_the_time_of_a_write_is_set_without_asking() {
    let world = World::new();
    let volume = world.volume("volume");
    let fs = volume.mount();
    let (attr, handle) = fs.create(CALLER, Ino::ROOT, b"file", 0o600, 0).unwrap();
    let _set_ids = fs.write(handle, 0, b"text", Writer::Cache).unwrap();
    volume.deny("kmsfs:SetAttr");
    fs.review_policy();
    let now = jiff::Timestamp::now().as_second();
    let set = |modified, changed| {
        let change = Change {
            modified: Some(modified),
            changed: Some(changed),
            ..Change::default()
        };
        fs.set_attr(CALLER, attr.ino, &change)
    };
    let write = NewTime::At(now - 3, 500);
    set(write, write).unwrap();
    let chosen = set(NewTime::At(now - 60, 0), NewTime::At(now - 30, 0));
    assert_eq!(errno(&chosen.unwrap_err()), Errno::ACCESS);
    fs.close(handle).unwrap();
    fs.unmount().unwrap();
}

#[test]
fn a_change_that_was_recorded_and_then_fails_is_recorded_again() {
    let world = World::new();
    let volume = world.volume("volume");
    let fs = volume.mount();
    let (attr, handle) = fs.create(CALLER, Ino::ROOT, b"file", 0o600, 0).unwrap();
    let set = |create| fs.set_xattr(CALLER, attr.ino, "user.name", b"value", create);
    set(XattrCreate::Create).unwrap();
    assert_eq!(errno(&set(XattrCreate::Create).unwrap_err()), Errno::EXIST);
    let records = volume.records("SetXattr");
    let errors: Vec<_> = records.iter().map(|record| &record["errorCode"]).collect();
    assert_eq!(errors.len(), 3);
    assert!(errors[0].is_null() && errors[1].is_null());
    assert_eq!(errors[2], "Failed");
    fs.close(handle).unwrap();
    fs.unmount().unwrap();
}

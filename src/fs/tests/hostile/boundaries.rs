//! Boundaries, from behind the mount's back: no file is read under another label than its own, and no
//! new file gets another key or label than its place says.

use std::fs;

use crate::fs::OpenFlags;

use super::super::boundaries::request;
use super::super::world::{CALLER, World, header_of};
use super::{Attacked, exchange_entries};

/// Two boundaries, a plain directory, and a file in each and above.
fn furnish(attacked: &Attacked<'_>) {
    for name in ["hr", "legal", "pub"] {
        attacked.make_directory(name);
        if name != "pub" {
            let ino = attacked.find(name).unwrap().ino;
            let set = attacked
                .fs
                .set_boundary(CALLER, ino, &request(None, Some(name)));
            set.unwrap();
        }
        attacked.write(&format!("{name}/f"), name.as_bytes());
    }
    attacked.write("f", b"root");
}

#[test]
fn a_file_put_into_a_directory_of_another_label_is_refused() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    furnish(&attacked);
    let files = ["f", "hr/f", "legal/f", "pub/f"].map(|path| (path, attacked.backing(path)));
    attacked.fs.unmount().unwrap();
    for (one, from) in &files {
        for (other, to) in &files {
            if one == other || !one.contains("hr") && !one.contains("legal") {
                continue;
            }
            exchange_entries(from, to);
            let attacked = Attacked::new(&volume);
            for path in [one, other] {
                attacked.fails(path, attacked.read(path));
            }
            attacked.all_is_recorded();
            exchange_entries(from, to);
        }
    }
    // Also while it is mounted, and as a further name.
    let attacked = Attacked::new(&volume);
    let (from, to) = (attacked.backing("hr/f"), attacked.backing("pub/f"));
    fs::remove_file(&to).unwrap();
    fs::hard_link(&from, &to).unwrap();
    attacked.fails("pub/f", attacked.read("pub/f"));
    // Emptied, it is a new file of its place.
    let ino = attacked.find("pub/f").unwrap().ino;
    let flags = OpenFlags::WRITE | OpenFlags::TRUNCATE;
    let opened = attacked.fs.open(CALLER, ino, flags).unwrap();
    attacked.fs.close(opened.handle).unwrap();
    assert_eq!(header_of(&to).label, None);
    attacked.fs.unmount().unwrap();
}

#[test]
fn a_label_in_a_header_cannot_be_changed_to_suit_another_place() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    furnish(&attacked);
    let (from, to) = (attacked.backing("hr/f"), attacked.backing("legal/f"));
    attacked.fs.unmount().unwrap();
    // "hr" is shorter than "legal": both copies are rewritten as a whole, with sums that hold.
    let mut bytes = fs::read(&from).unwrap();
    for copy in bytes[..4096].chunks_exact_mut(2048) {
        if copy.iter().any(|&byte| byte != 0) {
            copy[56] = 5;
            copy[64..69].copy_from_slice(b"legal");
            crate::format::seal_anew(copy.try_into().unwrap(), None);
        }
    }
    fs::write(&to, bytes).unwrap();
    let attacked = Attacked::new(&volume);
    assert_eq!(header_of(&to).label.as_deref(), Some("legal"));
    attacked.fails("legal/f", attacked.read("legal/f"));
    attacked.all_is_recorded();
}

#[test]
fn a_boundary_directory_that_was_moved_renamed_or_replaced_is_refused() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    furnish(&attacked);
    attacked.make_directory("pub/below");
    attacked.write("pub/below/f", b"below");
    let backing = |path: &str| attacked.backing(path);
    let pairs = [("hr", "legal"), ("hr", "pub"), ("hr", "pub/below")]
        .map(|(one, other)| ((one, backing(one)), (other, backing(other))));
    attacked.fs.unmount().unwrap();
    for ((one, from), (other, to)) in &pairs {
        // An entry of another directory has no name here: its place is taken under the other's.
        exchange_entries(from, to);
        let attacked = Attacked::new(&volume);
        for path in [one, other] {
            attacked.fails(path, attacked.list(path));
            attacked.fails(path, attacked.read(&format!("{path}/f")));
        }
        attacked.all_is_recorded();
        exchange_entries(from, to);
    }
    let attacked = Attacked::new(&volume);
    assert_eq!(attacked.read("hr/f").unwrap(), b"hr");
    // An empty one, too.
    let ino = attacked.find("hr").unwrap().ino;
    attacked.fs.unlink(CALLER, ino, b"f").unwrap();
    attacked.fs.unmount().unwrap();
    let ((_, from), (_, to)) = &pairs[1];
    exchange_entries(from, to);
    let attacked = Attacked::new(&volume);
    attacked.fails("pub", attacked.list("pub"));
    attacked.all_is_recorded();
}

#[test]
fn no_record_put_into_a_boundarys_place_gives_new_files_another_key_or_label() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    furnish(&attacked);
    attacked.make_directory("ordinary");
    let label_of = |attacked: &Attacked<'_>| {
        attacked.write("hr/new", b"secret");
        header_of(&attacked.backing("hr/new")).label
    };
    let hr = attacked.backing("hr");
    let record = hr.join(".kmsfs.dir");
    let ordinary = fs::read(attacked.backing("ordinary").join(".kmsfs.dir")).unwrap();
    let legal = fs::read(attacked.backing("legal").join(".kmsfs.dir")).unwrap();
    let own = fs::read(&record).unwrap();
    attacked.fs.unmount().unwrap();

    // With something in it: no other record is taken.
    for other in [&ordinary, &legal] {
        fs::write(&record, other).unwrap();
        let attacked = Attacked::new(&volume);
        attacked.fails("another record", attacked.find("hr/new"));
        attacked.all_is_recorded();
    }
    // Emptied: whatever becomes of it, new files are as the place says.
    for entry in fs::read_dir(&hr).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let attacked = Attacked::new(&volume);
    assert_eq!(
        label_of(&attacked).as_deref(),
        Some("hr"),
        "without a record"
    );
    let ino = attacked.find("hr").unwrap().ino;
    attacked.fs.unlink(CALLER, ino, b"new").unwrap();
    attacked.fs.unmount().unwrap();
    fs::write(&record, &ordinary).unwrap();
    let attacked = Attacked::new(&volume);
    assert_eq!(
        label_of(&attacked).as_deref(),
        Some("hr"),
        "an ordinary one"
    );
    let ino = attacked.find("hr").unwrap().ino;
    attacked.fs.unlink(CALLER, ino, b"new").unwrap();
    attacked.fs.unmount().unwrap();
    fs::write(&record, &legal).unwrap();
    let attacked = Attacked::new(&volume);
    attacked.fails("another boundary's", attacked.find("hr/new"));
    attacked.all_is_recorded();
    fs::write(&record, own).unwrap();
    let attacked = Attacked::new(&volume);
    assert_eq!(label_of(&attacked).as_deref(), Some("hr"));
    attacked.fs.unmount().unwrap();
}

#[test]
fn the_feature_flag_cannot_be_taken_away() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    furnish(&attacked);
    attacked.fs.unmount().unwrap();
    let path = volume.backing.join(".kmsfs/volume.json");
    let text = fs::read_to_string(&path).unwrap();
    let altered = text.replace("\n    \"boundaries\"\n  ", "");
    assert_ne!(altered, text);
    fs::write(&path, altered).unwrap();
    assert!(volume.try_mount().is_err());
    fs::write(&path, text).unwrap();
    volume.try_mount().unwrap().unmount().unwrap();
}

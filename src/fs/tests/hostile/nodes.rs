//! What is left of a damaged file: it can be removed, emptied and replaced. And nodes that another
//! takes the place of.

use crate::fs::Writer;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::fs::{Change, Ino, OpenFlags, RenameMode, Volume, VolumeError};

use super::super::world::{CALLER, World};
use super::{Attacked, BLOCK, HEADER, bytes, exchange_entries, overwrite, pattern, set_length};

/// A way to damage a file of three blocks.
type Damaged = (&'static str, fn(&Path));

fn damages() -> [Damaged; 7] {
    [
        ("a header of zeros", |path| overwrite(path, 0, &[0; 4096])),
        ("a header of ones", |path| overwrite(path, 0, &[0xff; 4096])),
        ("an altered header", |path| overwrite(path, 40, &[0xff])),
        ("nothing at all", |path| set_length(path, 0)),
        ("half a header", |path| set_length(path, 1000)),
        ("a cut file", |path| set_length(path, HEADER + 4136 + 7)),
        ("altered blocks", |path| {
            overwrite(path, HEADER, &[7; 3 * 4136]);
        }),
    ]
}

#[test]
fn a_damaged_file_can_be_removed_emptied_cut_and_replaced() {
    let world = World::new();
    for (what, damage) in damages() {
        let volume = world.volume("volume");
        let attacked = Attacked::new(&volume);
        for name in ["removed", "emptied", "cut", "replaced", "moved"] {
            attacked.write(name, &pattern(3 * BLOCK));
            damage(&attacked.backing(name));
        }
        attacked.write("new", b"new");
        let fs = &attacked.fs;
        attacked.fails(what, attacked.read("removed"));
        fs.unlink(CALLER, Ino::ROOT, b"removed").unwrap();
        assert!(attacked.find("removed").is_err());

        let ino = attacked.find("emptied").unwrap().ino;
        let flags = OpenFlags::WRITE | OpenFlags::TRUNCATE;
        let handle = fs.open(CALLER, ino, flags).unwrap().handle;
        let _ = fs.write(handle, 0, b"again", Writer::Cache).unwrap();
        fs.close(handle).unwrap();
        assert_eq!(attacked.read("emptied").unwrap(), b"again", "{what}");

        let ino = attacked.find("cut").unwrap().ino;
        let nothing = Change {
            size: Some(0),
            ..Change::default()
        };
        fs.set_attr(CALLER, ino, &nothing).unwrap();
        assert_eq!(attacked.read("cut").unwrap(), b"", "{what}");

        let (from, to) = ((Ino::ROOT, &b"new"[..]), (Ino::ROOT, &b"replaced"[..]));
        fs.rename(CALLER, from, to, RenameMode::Replace).unwrap();
        assert_eq!(attacked.read("replaced").unwrap(), b"new", "{what}");

        // Its name is its own: it can be moved, and is no better for it.
        let (from, to) = ((Ino::ROOT, &b"moved"[..]), (Ino::ROOT, &b"there"[..]));
        fs.rename(CALLER, from, to, RenameMode::NoReplace).unwrap();
        attacked.fails(what, attacked.read("there"));
        attacked.all_is_recorded();
        volume.remove();
    }
}

#[test]
fn emptying_a_damaged_file_is_recorded_with_what_was_wrong() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", b"content");
    overwrite(&attacked.backing("f"), 30, &[0xff]);
    let ino = attacked.find("f").unwrap().ino;
    let flags = OpenFlags::WRITE | OpenFlags::TRUNCATE;
    let handle = attacked.fs.open(CALLER, ino, flags).unwrap().handle;
    attacked.fs.close(handle).unwrap();
    let records = volume.records("DamagedFileEmptied");
    assert_eq!(records.len(), 1);
    let damage = records[0]["requestParameters"]["damage"].as_str().unwrap();
    assert!(damage.contains("header"), "{damage}");
}

#[test]
fn links_and_files_from_outside_in_a_files_place_are_no_way_out_of_the_volume() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", b"content");
    attacked.make_directory("d");
    let (file, directory) = (attacked.backing("f"), attacked.backing("d"));
    fs::remove_file(&file).unwrap();
    symlink("/etc/passwd", &file).unwrap();
    let link = |path: &str| {
        attacked
            .find(path)
            .and_then(|attr| attacked.fs.read_link(attr.ino))
    };
    attacked.fails("a link to a file", link("f"));
    fs::remove_dir_all(&directory).unwrap();
    symlink("/etc", &directory).unwrap();
    attacked.fails("a link to a directory", link("d"));
    attacked.fails("what is below it", attacked.find("d/passwd"));

    fs::remove_file(&file).unwrap();
    let outside = volume.backing.with_file_name("outside");
    fs::write(&outside, pattern(3 * BLOCK)).unwrap();
    fs::hard_link(&outside, &file).unwrap();
    attacked.fails("a file from outside", attacked.read("f"));
    attacked.all_is_recorded();
    fs::remove_file(outside).unwrap();
}

#[test]
fn a_node_that_another_takes_the_place_of_while_it_is_known_is_noticed() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    for name in ["one", "two", "three", "four"] {
        attacked.make_directory(name);
        attacked.write(&format!("{name}/f"), name.as_bytes());
    }
    let known = attacked.find("one/f").unwrap();
    exchange_entries(&attacked.backing("one"), &attacked.backing("two"));
    // The cache holds few descriptors: others push its own out.
    for name in ["three", "four"] {
        attacked.find(&format!("{name}/f")).unwrap();
    }
    let opened = attacked.fs.open(CALLER, known.ino, OpenFlags::READ);
    attacked.fails("another directory above it", opened);
    attacked.all_is_recorded();
}

#[test]
fn no_field_of_the_configuration_can_be_changed() {
    let world = World::new();
    let volume = world.volume("volume");
    Attacked::new(&volume).write("f", b"content");
    let other = world.volume("other");
    let file = volume.backing.join(".kmsfs/volume.json");
    let whole = fs::read_to_string(&file).unwrap();
    let of_other = fs::read_to_string(other.backing.join(".kmsfs/volume.json")).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&whole).unwrap();
    let foreign: serde_json::Value = serde_json::from_str(&of_other).unwrap();
    let mut forged = Vec::new();
    for (name, value) in parsed.as_object().unwrap() {
        let mut without = parsed.clone();
        without.as_object_mut().unwrap().remove(name);
        forged.push(without.to_string());
        let mut values = vec![
            foreign[name].clone(),
            serde_json::Value::Null,
            7.into(),
            "".into(),
        ];
        values.extend([serde_json::json!(["x"]), serde_json::json!({})]);
        if let Some(text) = value.as_str() {
            let at = text.len() / 2;
            let other = if text[at..].starts_with('1') {
                '2'
            } else {
                '1'
            };
            values.push(format!("{}{other}{}", &text[..at], &text[at + 1..]).into());
            values.push(format!("{text}A").into());
        }
        for changed in values.into_iter().filter(|changed| changed != value) {
            let mut altered = parsed.clone();
            altered[name] = changed;
            forged.push(altered.to_string());
        }
    }
    let mut more = parsed.clone();
    more["extra"] = 1.into();
    forged.extend([
        more.to_string(),
        of_other,
        "null".into(),
        "[".repeat(100_000),
    ]);
    assert!(forged.len() > 60, "{}", forged.len());
    for text in forged {
        fs::write(&file, &text).unwrap();
        let refused = match Volume::read(&volume.backing) {
            Err(VolumeError::Config { .. }) => true,
            Err(other) => panic!("{other}: {text}"),
            Ok(_) => volume.try_mount().is_err(),
        };
        // Another of this home's volumes is what it says it is: but these names are not its own.
        if text != fs::read_to_string(other.backing.join(".kmsfs/volume.json")).unwrap() {
            assert!(refused, "{text}");
        }
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(Attacked::new(&volume).read("f").unwrap(), b"content");
}

#[test]
fn the_configuration_of_another_volume_opens_nothing_of_this_one() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", b"content");
    attacked.fs.unmount().unwrap();
    let other = world.volume("other");
    let config = |backing: &Path| backing.join(".kmsfs/volume.json");
    fs::copy(config(&other.backing), config(&volume.backing)).unwrap();
    assert!(matches!(
        volume.try_mount(),
        Err(VolumeError::RootRecord(_))
    ));
    assert!(bytes(&config(&volume.backing), 0, 10).len() == 10);
}

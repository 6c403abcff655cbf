//! Names, directory records, links and attributes, out of their places.

use std::fs;
use std::os::unix::fs::symlink;

use crate::fs::{Ino, XattrCreate};

use super::super::world::{CALLER, World, errno};
use super::{Attacked, exchange_entries, overwrite};

const LONG: &str = "a name of more than a hundred and seventy-five bytes, which therefore lies in a file of its own \
     beside the entry, whose name is only a hash of it: a name as people do give now and then";

#[test]
fn an_entry_moved_to_another_directory_is_none_there() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    for directory in ["one", "two"] {
        attacked.make_directory(directory);
    }
    attacked.write("one/f", b"content");
    attacked.write(&format!("one/{LONG}"), b"content");
    attacked.make_directory("one/sub");
    let (one, two) = (attacked.backing("one"), attacked.backing("two"));
    for name in ["f", "sub", LONG] {
        let entry = attacked.backing(&format!("one/{name}"));
        let there = two.join(entry.file_name().unwrap());
        fs::rename(&entry, &there).unwrap();
        for directory in ["one", "two"] {
            let found = attacked.find(&format!("{directory}/{name}"));
            assert_eq!(errno(&found.unwrap_err()), rustix::io::Errno::NOENT);
        }
        assert!(!attacked.list("one").unwrap().contains(&name.to_owned()));
        assert_eq!(attacked.list("two").unwrap(), Vec::<String>::new());
        attacked.note_left_out();
        fs::rename(there, entry).unwrap();
        assert!(attacked.find(&format!("one/{name}")).is_ok());
    }
    assert!(one.exists());
    attacked.all_is_recorded();
}

#[test]
fn a_record_of_another_directory_leaves_its_names_unreadable() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    for directory in ["one", "two"] {
        attacked.make_directory(directory);
        attacked.write(&format!("{directory}/f"), directory.as_bytes());
    }
    let (one, two) = (attacked.backing("one"), attacked.backing("two"));
    attacked.fs.unmount().unwrap();
    exchange_entries(&one.join(".kmsfs.dir"), &two.join(".kmsfs.dir"));
    let attacked = Attacked::new(&volume);
    for directory in ["one", "two"] {
        let found = attacked.find(&format!("{directory}/f"));
        assert_eq!(errno(&found.unwrap_err()), rustix::io::Errno::NOENT);
        assert_eq!(attacked.list(directory).unwrap(), Vec::<String>::new());
        attacked.note_left_out();
    }
    attacked.all_is_recorded();
    exchange_entries(&one.join(".kmsfs.dir"), &two.join(".kmsfs.dir"));
    assert_eq!(Attacked::new(&volume).read("one/f").unwrap(), b"one");
}

#[test]
fn a_missing_altered_or_replaced_record_is_a_failure() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.make_directory("d");
    attacked.write("d/f", b"content");
    let record = attacked.backing("d").join(".kmsfs.dir");
    attacked.fs.unmount().unwrap();
    let whole = fs::read(&record).unwrap();
    let flipped = |at: usize| {
        let mut altered = whole.clone();
        altered[at] ^= 1;
        altered
    };
    let mut forged: Vec<Vec<u8>> = (0..whole.len()).map(flipped).collect();
    forged.extend([
        vec![],
        vec![0; 44],
        whole[..43].to_vec(),
        [&whole[..], b"x"].concat(),
    ]);
    for altered in forged {
        fs::write(&record, &altered).unwrap();
        let attacked = Attacked::new(&volume);
        attacked.fails(&format!("{altered:?}"), attacked.find("d/f"));
        attacked.fails(&format!("{altered:?}"), attacked.list("d"));
        attacked.all_is_recorded();
    }
    fs::remove_file(&record).unwrap();
    let others: [&dyn Fn(); 4] = [
        &|| {},
        &|| fs::create_dir(&record).unwrap(),
        &|| symlink("/etc/passwd", &record).unwrap(),
        &|| {
            let kind = rustix::fs::FileType::Fifo;
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            rustix::fs::mknodat(rustix::fs::CWD, &record, kind, mode, 0).unwrap();
        },
    ];
    for make in others {
        make();
        let attacked = Attacked::new(&volume);
        attacked.fails("what is no file", attacked.find("d/f"));
        attacked.all_is_recorded();
        let _ = fs::remove_dir(&record).or_else(|_| fs::remove_file(&record));
    }
    fs::write(&record, &whole).unwrap();
    assert_eq!(Attacked::new(&volume).read("d/f").unwrap(), b"content");
}

#[test]
fn a_name_file_that_is_not_its_entrys_leaves_the_entry_out_of_the_listing() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    let other = LONG.replace('a', "b");
    for name in [LONG, &other] {
        attacked.write(name, name.as_bytes());
    }
    attacked.write("short", b"short");
    let name_file = |name: &str| {
        let entry = attacked.backing(name);
        let name = entry.file_name().unwrap().to_str().unwrap();
        entry.with_file_name(format!("{name}.name"))
    };
    let (one, two) = (name_file(LONG), name_file(&other));
    let whole = fs::read(&one).unwrap();
    let left_out = |expected: &[&str]| {
        assert_eq!(attacked.list("").unwrap(), expected);
        attacked.note_left_out();
        // By its name it is found all the same.
        assert_eq!(attacked.read(LONG).unwrap(), LONG.as_bytes());
    };
    exchange_entries(&one, &two);
    left_out(&["short"]);
    exchange_entries(&one, &two);
    for at in [0, whole.len() / 2, whole.len() - 1] {
        overwrite(&one, at as u64, &[whole[at] ^ 1]);
        left_out(&[&other, "short"]);
        fs::write(&one, &whole).unwrap();
    }
    for content in [vec![], vec![b'A'; 4096], b"AAAA".to_vec(), vec![0xff; 300]] {
        fs::write(&one, content).unwrap();
        left_out(&[&other, "short"]);
    }
    fs::remove_file(&one).unwrap();
    left_out(&[&other, "short"]);
    symlink("/etc/passwd", &one).unwrap();
    left_out(&[&other, "short"]);
    fs::remove_file(&one).unwrap();
    fs::create_dir(&one).unwrap();
    left_out(&[&other, "short"]);
    attacked.all_is_recorded();
}

#[test]
fn what_is_no_name_of_ours_is_not_shown() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("f", b"content");
    for name in [".stfolder", ".kmsfs.foreign", ".kmsfs.long.x.name"] {
        fs::write(volume.backing.join(name), b"").unwrap();
    }
    assert_eq!(attacked.list("").unwrap(), ["f"]);
    assert_eq!(
        attacked.all_is_recorded(),
        0,
        "what does not look like a name is no failure"
    );
    for name in ["AAAA", "not base64!", ".kmsfs.long.x", "x"] {
        fs::write(volume.backing.join(name), b"").unwrap();
        let attacked = Attacked::new(&volume);
        assert_eq!(attacked.list("").unwrap(), ["f"]);
        attacked.note_left_out();
        attacked.all_is_recorded();
        fs::remove_file(volume.backing.join(name)).unwrap();
    }
}

#[test]
fn attributes_of_other_objects_are_refused() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    attacked.write("one", b"");
    attacked.write("two", b"");
    attacked.make_directory("d");
    for path in ["one", "d"] {
        let ino = attacked.find(path).unwrap().ino;
        let create = XattrCreate::Create;
        for name in ["user.a", "user.b"] {
            attacked
                .fs
                .set_xattr(CALLER, ino, name, name.as_bytes(), create)
                .unwrap();
        }
    }
    let raw = |path: &std::path::Path| {
        let mut names = vec![0; 4096];
        let length = rustix::fs::listxattr(path, &mut names[..]).unwrap();
        let names = names[..length].split(|&byte| byte == 0);
        let names = names.filter(|name| name.starts_with(b"user.kmsfs."));
        let names: Vec<String> = names
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
            .collect();
        let values: Vec<Vec<u8>> = names
            .iter()
            .map(|name| {
                let mut value = vec![0; 4096];
                let length = rustix::fs::getxattr(path, &**name, &mut value[..]).unwrap();
                value.truncate(length);
                value
            })
            .collect();
        (names, values)
    };
    let set = |path: &std::path::Path, name: &str, value: &[u8]| {
        rustix::fs::setxattr(path, name, value, rustix::fs::XattrFlags::empty()).unwrap();
    };
    let (one, two, d) = (
        attacked.backing("one"),
        attacked.backing("two"),
        attacked.backing("d"),
    );
    let get = |path: &str, name: &str| {
        let ino = attacked.find(path).unwrap().ino;
        attacked.fs.get_xattr(ino, name)
    };
    let names = |path: &str| {
        attacked
            .fs
            .list_xattrs(CALLER, attacked.find(path).unwrap().ino)
    };
    let (of_one, values) = raw(&one);
    let (of_d, values_of_d) = raw(&d);

    // Exchanged values, a changed value, a cut value.
    set(&one, &of_one[0], &values[1]);
    let first = match get("one", "user.a") {
        Ok(_) => "user.b",
        failure => {
            attacked.fails("another attribute's value", failure);
            "user.a"
        }
    };
    attacked.fails("another attribute's value", get("one", first));
    let mut changed = values[0].clone();
    changed[3] ^= 4;
    for value in [&changed[..], &values[0][..10], &[]] {
        set(&one, &of_one[0], value);
        attacked.fails("an altered value", get("one", first));
    }
    set(&one, &of_one[0], &values[0]);
    assert_eq!(get("one", first).unwrap(), first.as_bytes());

    // Another object's attributes: they are found, and fail.
    set(&two, &of_one[0], &values[0]);
    attacked.fails("another file's", names("two"));
    rustix::fs::removexattr(&two, &*of_one[0]).unwrap();
    set(&one, &of_d[0], &values_of_d[0]);
    attacked.fails("a directory's", names("one"));
    rustix::fs::removexattr(&one, &*of_d[0]).unwrap();
    assert!(!names("one").unwrap().is_empty());
    attacked.all_is_recorded();
}

#[test]
fn altered_targets_of_links_are_failures() {
    let world = World::new();
    let volume = world.volume("volume");
    let attacked = Attacked::new(&volume);
    let far = vec![b'x'; 2000];
    let link = |name: &str, target: &[u8]| {
        let made = attacked
            .fs
            .symlink(CALLER, Ino::ROOT, name.as_bytes(), target);
        attacked.fs.forget(made.unwrap().ino, 1);
    };
    link("near", b"target");
    link("far", &far);
    link("farther", &[b'y'; 2000]);
    let read = |name: &str| {
        attacked
            .find(name)
            .and_then(|attr| attacked.fs.read_link(attr.ino))
    };
    let near = attacked.backing("near");
    let whole = fs::read_link(&near)
        .unwrap()
        .into_os_string()
        .into_string()
        .unwrap();
    let far_id = fs::read_link(attacked.backing("far")).unwrap();
    let replace = |target: &str| {
        fs::remove_file(&near).unwrap();
        symlink(target, &near).unwrap();
    };
    let id = far_id.to_str().unwrap();
    let forged = [
        "AAAA".to_owned(),
        "/etc/passwd".to_owned(),
        whole[1..].to_owned(),
        format!("A{}", &whole[1..]),
        format!("{whole}AAAA"),
        format!("{id}0"),
        "@00112233445566778899aabbccddeeff".to_owned(),
        "@../volume.json".to_owned(),
    ];
    for target in forged {
        replace(&target);
        attacked.fails(&target, read("near"));
    }
    replace(&whole);
    assert_eq!(read("near").unwrap(), b"target");

    // The sidecars of long ones: exchanged, altered, cut, gone, something else.
    let links = volume.backing.join(".kmsfs/links");
    let of = |name: &str| {
        let link = fs::read_link(attacked.backing(name)).unwrap();
        links.join(&link.to_str().unwrap()[1..])
    };
    let (one, two) = (of("far"), of("farther"));
    exchange_entries(&one, &two);
    attacked.fails("another link's", read("far"));
    attacked.fails("another link's", read("farther"));
    exchange_entries(&one, &two);
    let sealed = fs::read(&one).unwrap();
    for altered in [
        vec![],
        sealed[1..].to_vec(),
        vec![7; 5000],
        [&sealed[..], b"x"].concat(),
    ] {
        fs::write(&one, altered).unwrap();
        attacked.fails("an altered sidecar", read("far"));
    }
    fs::remove_file(&one).unwrap();
    attacked.fails("no sidecar", read("far"));
    fs::create_dir(&one).unwrap();
    attacked.fails("a directory", read("far"));
    fs::remove_dir(&one).unwrap();
    symlink("/etc/passwd", &one).unwrap();
    attacked.fails("a link", read("far"));
    fs::remove_file(&one).unwrap();
    fs::write(&one, sealed).unwrap();
    assert_eq!(read("far").unwrap(), far);
    attacked.all_is_recorded();
}

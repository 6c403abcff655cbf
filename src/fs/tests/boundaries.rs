//! Directories with a key and label of their own.

use rustix::io::Errno;

use crate::fs::{
    BOUNDARY_ATTRIBUTE, BoundaryRequest, BoundaryTold, FileSystem, Ino, OpenFlags, RenameMode,
    XattrCreate,
};

use super::world::{CALLER, TestVolume, World, errno, header_of, resolve};

pub(super) fn request(key: Option<&str>, label: Option<&str>) -> BoundaryRequest {
    BoundaryRequest {
        key: key.map(str::to_owned),
        label: label.map(str::to_owned),
    }
}

fn directory(fs: &FileSystem, path: &[&[u8]]) -> Ino {
    let (name, above) = path.split_last().unwrap();
    let parent = resolve(fs, above).unwrap().ino;
    fs.make_directory(CALLER, parent, name, 0o755, 0)
        .unwrap()
        .ino
}

fn told(fs: &FileSystem, path: &[&[u8]]) -> BoundaryTold {
    fs.boundary(resolve(fs, path).unwrap().ino).unwrap()
}

/// Makes a file; what the key and label in its header are.
fn file(fs: &FileSystem, volume: &TestVolume<'_>, path: &[&[u8]]) -> (String, Option<String>) {
    let (name, above) = path.split_last().unwrap();
    let parent = resolve(fs, above).unwrap().ino;
    let (attr, handle) = fs.create(CALLER, parent, name, 0o644, 0).unwrap();
    fs.close(handle).unwrap();
    let header = header_of(&volume.backing_of(attr.stat.st_ino));
    (header.key.key_arn, header.label)
}

fn names(fs: &FileSystem, path: &[&[u8]]) -> usize {
    let handle = fs
        .open_directory(CALLER, resolve(fs, path).unwrap().ino)
        .unwrap();
    let mut names = 0;
    fs.list(handle, 0, |_| {
        names += 1;
        true
    })
    .unwrap();
    fs.close_directory(handle).unwrap();
    names - 2
}

#[test]
fn what_is_made_in_a_boundary_and_below_has_its_key_and_label_also_after_a_remount() {
    let world = World::new();
    let (hr, payroll) = (world.new_key(), world.new_key());
    let volume = world.volume("volume");
    let fs = volume.mount();
    let ino = directory(&fs, &[b"hr"]);
    fs.set_boundary(CALLER, ino, &request(Some(&hr), Some("hr")))
        .unwrap();
    // One after the other of a key alone and of a label alone, in it and in what is no boundary.
    directory(&fs, &[b"hr", b"plain"]);
    let ino = directory(&fs, &[b"hr", b"plain", b"key"]);
    fs.set_boundary(CALLER, ino, &request(Some(&payroll), None))
        .unwrap();
    let ino = directory(&fs, &[b"hr", b"plain", b"key", b"label"]);
    fs.set_boundary(CALLER, ino, &request(None, Some("pay")))
        .unwrap();
    directory(&fs, &[b"pub"]);
    let ino = directory(&fs, &[b"pub", b"label"]);
    fs.set_boundary(CALLER, ino, &request(None, Some("l")))
        .unwrap();

    let label = |label: &str| Some(label.to_owned());
    let expect = |fs: &FileSystem, name: &[u8]| {
        let (own, label_of_hr) = (fs.config().key_arn.clone(), label("hr"));
        let at = |above: &[&[u8]]| file(fs, &volume, &[above, &[name]].concat());
        assert_eq!(at(&[]), (own.clone(), None));
        assert_eq!(at(&[b"pub"]), (own.clone(), None));
        assert_eq!(at(&[b"pub", b"label"]), (own, label("l")));
        assert_eq!(at(&[b"hr"]), (hr.clone(), label_of_hr.clone()));
        assert_eq!(at(&[b"hr", b"plain"]), (hr.clone(), label_of_hr.clone()));
        let below: &[&[u8]] = &[b"hr", b"plain", b"key"];
        assert_eq!(at(below), (payroll.clone(), label_of_hr));
        let below: &[&[u8]] = &[b"hr", b"plain", b"key", b"label"];
        assert_eq!(at(below), (payroll.clone(), label("pay")));
    };
    expect(&fs, b"first");
    assert!(told(&fs, &[b"hr"]).boundary);
    let inherited = told(&fs, &[b"hr", b"plain"]);
    assert!(!inherited.boundary);
    assert_eq!(
        (inherited.key_arn, inherited.label),
        (hr.clone(), label("hr"))
    );
    fs.unmount().unwrap();

    let fs = volume.mount();
    assert!(fs.config().boundaries, "an older kmsfs refuses the volume");
    expect(&fs, b"second");
    for path in [
        &[b"hr" as &[u8], b"first"][..],
        &[b"hr", b"plain", b"first"],
    ] {
        let ino = resolve(&fs, path).unwrap().ino;
        let opened = fs.open(CALLER, ino, OpenFlags::READ).unwrap();
        fs.close(opened.handle).unwrap();
    }
    assert!(volume.records("IntegrityFailure").is_empty());
    let set = volume.records("SetBoundary");
    assert_eq!(set.len(), 4);
    assert_eq!(set[0]["requestParameters"]["label"], "hr");
    fs.unmount().unwrap();
}

#[test]
fn nothing_is_renamed_or_linked_across_a_boundary_and_no_boundary_is_renamed() {
    let world = World::new();
    let volume = world.volume("volume");
    let fs = volume.mount();
    let root = Ino::ROOT;
    let (one, two) = (directory(&fs, &[b"one"]), directory(&fs, &[b"two"]));
    let plain = directory(&fs, &[b"plain"]);
    let moved = directory(&fs, &[b"moved"]);
    // Alike, and two boundaries all the same.
    for ino in [one, two] {
        fs.set_boundary(CALLER, ino, &request(None, Some("l")))
            .unwrap();
    }
    let inside = directory(&fs, &[b"one", b"inside"]);
    file(&fs, &volume, &[b"f"]);
    file(&fs, &volume, &[b"one", b"f"]);
    let modes = [
        RenameMode::Replace,
        RenameMode::NoReplace,
        RenameMode::Exchange,
    ];
    let rename = |from: (Ino, &[u8]), to: (Ino, &[u8]), mode| fs.rename(CALLER, from, to, mode);
    let crosses = |from: (Ino, &[u8]), to: (Ino, &[u8])| {
        for mode in modes {
            if mode == RenameMode::Exchange && fs.lookup(to.0, to.1).is_err() {
                continue;
            }
            let refused = rename(from, to, mode).unwrap_err();
            assert_eq!(errno(&refused), Errno::XDEV, "{mode:?}");
        }
    };
    crosses((root, b"f"), (one, b"g"));
    crosses((one, b"f"), (root, b"g"));
    crosses((one, b"f"), (root, b"f"));
    crosses((one, b"f"), (two, b"g"));
    crosses((one, b"inside"), (root, b"inside"));
    crosses((root, b"moved"), (two, b"moved"));
    crosses((root, b"one"), (root, b"new"));
    crosses((root, b"one"), (plain, b"one"));
    crosses((root, b"moved"), (root, b"one"));
    let f = fs.lookup(one, b"f").unwrap().ino;
    for parent in [root, plain, two] {
        let refused = fs.link(CALLER, f, parent, b"h").unwrap_err();
        assert_eq!(errno(&refused), Errno::XDEV);
    }

    // Inside, and of what has a boundary below it, everything as ever.
    rename((one, b"f"), (inside, b"f"), RenameMode::Replace).unwrap();
    fs.link(CALLER, f, one, b"g").unwrap();
    let nested = directory(&fs, &[b"moved", b"nested"]);
    fs.set_boundary(CALLER, nested, &request(None, Some("n")))
        .unwrap();
    file(&fs, &volume, &[b"moved", b"nested", b"f"]);
    rename((root, b"moved"), (plain, b"there"), RenameMode::Replace).unwrap();
    fs.forget(moved, 100);
    let path: &[&[u8]] = &[b"plain", b"there", b"nested", b"f"];
    let ino = resolve(&fs, path).unwrap().ino;
    fs.open(CALLER, ino, OpenFlags::READ).unwrap();
    // A file under a boundary's name is none.
    fs.remove_directory(CALLER, root, b"two").unwrap();
    rename((root, b"f"), (root, b"two"), RenameMode::Replace).unwrap();
    fs.unmount().unwrap();
    let fs = volume.mount();
    let ino = resolve(&fs, path).unwrap().ino;
    fs.open(CALLER, ino, OpenFlags::READ).unwrap();
    fs.unmount().unwrap();
    assert!(volume.records("IntegrityFailure").is_empty());
}

#[test]
fn a_boundary_is_made_of_an_empty_directory_that_is_not_the_root_and_changed_while_it_is_empty() {
    let world = World::new();
    let (key, other) = (world.new_key(), world.new_key());
    let volume = world.volume("volume");
    let fs = volume.mount();
    let ino = directory(&fs, &[b"d"]);
    let set = |ino, key: Option<&str>, label: Option<&str>| {
        fs.set_boundary(CALLER, ino, &request(key, label))
            .map_err(|error| errno(&error))
    };
    let arn = Some(&*key);
    assert_eq!(set(Ino::ROOT, arn, None), Err(Errno::INVAL));
    assert_eq!(set(ino, Some("alias/none"), None), Err(Errno::ACCESS));
    assert_eq!(set(ino, Some("no key at all"), None), Err(Errno::ACCESS));
    for label in ["", "a\nb", &"l".repeat(256)] {
        assert_eq!(set(ino, arn, Some(label)), Err(Errno::INVAL), "{label}");
    }
    file(&fs, &volume, &[b"d", b"f"]);
    assert_eq!(set(ino, arn, None), Err(Errno::NOTEMPTY));
    let f = resolve(&fs, &[b"d", b"f"]).unwrap().ino;
    assert_eq!(set(f, arn, None), Err(Errno::NOTDIR));
    assert!(!told(&fs, &[b"d"]).boundary);
    let left = volume.backing.join(".kmsfs/record.new");
    assert!(!left.exists(), "what was refused leaves nothing");
    fs.unlink(CALLER, ino, b"f").unwrap();
    // Attributes are bound to the record that would be replaced.
    fs.set_xattr(CALLER, ino, "user.x", b"1", XattrCreate::Create)
        .unwrap();
    assert_eq!(set(ino, arn, None), Err(Errno::BUSY));
    assert_eq!(fs.get_xattr(ino, "user.x").unwrap(), b"1");
    fs.remove_xattr(CALLER, ino, "user.x").unwrap();
    assert!(volume.records("IntegrityFailure").is_empty());

    // By its id too; what is recorded is the ARN.
    let id = key.rsplit('/').next();
    set(ino, id, Some(&"l".repeat(255))).unwrap();
    assert_eq!(told(&fs, &[b"d"]).key_arn, key);
    set(ino, Some(&other), None).unwrap();
    let now = told(&fs, &[b"d"]);
    assert_eq!((now.key_arn, now.label), (other.clone(), None));
    file(&fs, &volume, &[b"d", b"f"]);
    assert_eq!(set(ino, None, None), Err(Errno::NOTEMPTY));
    fs.unlink(CALLER, ino, b"f").unwrap();

    // It belongs to the name.
    fs.remove_directory(CALLER, Ino::ROOT, b"d").unwrap();
    let ino = directory(&fs, &[b"d"]);
    assert_eq!(told(&fs, &[b"d"]).key_arn, other);
    assert_eq!(file(&fs, &volume, &[b"d", b"f"]).0, other);
    fs.unlink(CALLER, ino, b"f").unwrap();
    set(ino, None, None).unwrap();
    let now = told(&fs, &[b"d"]);
    assert!(!now.boundary && now.key_arn == fs.config().key_arn);
    fs.rename(
        CALLER,
        (Ino::ROOT, b"d"),
        (Ino::ROOT, b"e"),
        RenameMode::Replace,
    )
    .unwrap();
    let shown = fs.list_xattrs(CALLER, ino).unwrap();
    assert!(shown.is_empty(), "{BOUNDARY_ATTRIBUTE} is in no listing");
    fs.unmount().unwrap();
}

#[test]
fn a_setting_that_was_interrupted_is_finished_by_the_next_mount() {
    let world = World::new();
    let volume = world.volume("volume");
    let fs = volume.mount();
    let ino = directory(&fs, &[b"d"]);
    let record = volume
        .backing_of(resolve(&fs, &[b"d"]).unwrap().stat.st_ino)
        .join(".kmsfs.dir");
    let ordinary = std::fs::read(&record).unwrap();
    let label = request(None, Some("l"));
    fs.set_boundary(CALLER, ino, &label).unwrap();
    let boundary = std::fs::read(&record).unwrap();
    fs.unmount().unwrap();
    // The directory above says so, and the directory itself not yet.
    std::fs::write(&record, &ordinary).unwrap();
    let fs = volume.mount();
    assert_eq!(names(&fs, &[b"d"]), 0);
    assert_eq!(
        file(&fs, &volume, &[b"d", b"f"]).1.as_deref(),
        Some("l"),
        "the directory above decides"
    );
    let ino = resolve(&fs, &[b"d"]).unwrap().ino;
    fs.unlink(CALLER, ino, b"f").unwrap();
    fs.set_boundary(CALLER, ino, &request(None, None)).unwrap();
    fs.unmount().unwrap();
    std::fs::write(&record, &boundary).unwrap();
    let fs = volume.mount();
    assert_eq!(file(&fs, &volume, &[b"d", b"f"]).1, None);
    fs.unmount().unwrap();
    assert!(volume.records("IntegrityFailure").is_empty());
}

#[test]
fn policy_is_asked_for_the_label_of_the_object_and_of_the_directory_of_what_is_made() {
    let world = World::new();
    let volume = world.volume("volume");
    let fs = volume.mount();
    let ino = directory(&fs, &[b"hr"]);
    fs.set_boundary(CALLER, ino, &request(None, Some("hr")))
        .unwrap();
    file(&fs, &volume, &[b"hr", b"f"]);
    file(&fs, &volume, &[b"f"]);
    let below = directory(&fs, &[b"hr", b"below"]);
    volume.deny_if(
        "kmsfs:*",
        &serde_json::json!({ "StringEquals": { "kmsfs:Label": "hr" } }),
    );
    fs.review_policy();
    let denied = |what: &str, done: Result<(), Errno>| {
        assert_eq!(done, Err(Errno::ACCESS), "{what}");
    };
    let plain = |error| errno(&error);
    let hr = resolve(&fs, &[b"hr"]).unwrap().ino;
    let inside = resolve(&fs, &[b"hr", b"f"]).unwrap().ino;
    let outside = resolve(&fs, &[b"f"]).unwrap().ino;
    let open = |ino| fs.open(CALLER, ino, OpenFlags::READ).map(drop);
    denied("open", open(inside).map_err(plain));
    open(outside).unwrap();
    let make = |parent, name| fs.make_directory(CALLER, parent, name, 0o755, 0).map(drop);
    denied("mkdir", make(hr, b"new").map_err(plain));
    denied("mkdir below", make(below, b"new").map_err(plain));
    make(Ino::ROOT, b"new").unwrap();
    let create = fs.create(CALLER, hr, b"new", 0o644, 0).map(drop);
    denied("create", create.map_err(plain));
    let list = |ino| fs.open_directory(CALLER, ino).map(drop);
    denied("list", list(hr).map_err(plain));
    denied("list below", list(below).map_err(plain));
    list(Ino::ROOT).unwrap();
    let unlink = fs.unlink(CALLER, hr, b"f");
    denied("unlink", unlink.map_err(plain));
    let remove = fs.remove_directory(CALLER, Ino::ROOT, b"hr");
    denied("rmdir", remove.map_err(plain));
    let set = |ino, request: &BoundaryRequest| fs.set_boundary(CALLER, ino, request);
    denied(
        "set-key",
        set(below, &request(None, Some("other"))).map_err(plain),
    );
    let new = resolve(&fs, &[b"new"]).unwrap().ino;
    let under_it = set(new, &request(None, Some("hr")));
    denied("set-key to this label", under_it.map_err(plain));
    set(new, &request(None, Some("other"))).unwrap();
    fs.unmount().unwrap();
}

//! Random bytes as every structure: a failure or the right content, and no panic.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use proptest::prelude::*;

use crate::format::{COPY_LEN, seal_anew};
use crate::fs::{Ino, XattrCreate};

use super::super::boundaries::request;
use super::super::world::{CALLER, World, header_of};
use super::{Attacked, BLOCK, overwrite, pattern};

/// Where random bytes are put.
#[derive(Debug, Clone, Copy)]
enum Structure {
    Header,
    /// With checksums that hold.
    MendedHeader,
    Blocks,
    Record,
    /// Of a boundary directory, and of the one that it is in.
    BoundaryRecord,
    RecordAbove,
    NameFile,
    LinkTarget,
    LinkSidecar,
    XattrValue,
    XattrName,
    Entry,
    Mark,
}

const ALL: [Structure; 13] = [
    Structure::Header,
    Structure::MendedHeader,
    Structure::Blocks,
    Structure::Record,
    Structure::BoundaryRecord,
    Structure::RecordAbove,
    Structure::NameFile,
    Structure::LinkTarget,
    Structure::LinkSidecar,
    Structure::XattrValue,
    Structure::XattrName,
    Structure::Entry,
    Structure::Mark,
];

fn long() -> String {
    "n".repeat(200)
}

fn fill(attacked: &Attacked<'_>) {
    attacked.make_directory("d");
    attacked.write("d/f", &pattern(2 * BLOCK));
    attacked.write(&format!("d/{}", long()), b"long");
    attacked.make_directory("above");
    attacked.make_directory("above/hr");
    let hr = attacked.find("above/hr").unwrap().ino;
    let label = request(None, Some("hr"));
    attacked.fs.set_boundary(CALLER, hr, &label).unwrap();
    let (root, fs) = (Ino::ROOT, &attacked.fs);
    fs.symlink(CALLER, root, b"near", b"target").unwrap();
    fs.symlink(CALLER, root, b"far", &[b'x'; 2000]).unwrap();
    let ino = attacked.find("d/f").unwrap().ino;
    fs.set_xattr(CALLER, ino, "user.a", b"value", XattrCreate::Create)
        .unwrap();
}

/// A piece of a file that random bytes replace.
fn replace(path: &Path, at: usize, data: &[u8], whole: bool) {
    if whole {
        fs::write(path, data).unwrap();
    } else {
        overwrite(path, at as u64, data);
    }
}

struct Places {
    file: std::path::PathBuf,
    record: std::path::PathBuf,
    boundary_record: std::path::PathBuf,
    record_above: std::path::PathBuf,
    name_file: std::path::PathBuf,
    near: std::path::PathBuf,
    sidecar: std::path::PathBuf,
}

fn attack(places: &Places, backing: &Path, structure: Structure, at: usize, data: &[u8]) {
    let whole = at.is_multiple_of(2);
    let text: String = data
        .iter()
        .map(|byte| char::from(b'-' + byte % 77))
        .collect();
    match structure {
        Structure::Header => {
            let at = at % 4000;
            overwrite(&places.file, at as u64, &data[..data.len().min(4096 - at)]);
        }
        Structure::MendedHeader => {
            let mut region = fs::read(&places.file).unwrap()[..4096].to_vec();
            let at = at % 4000;
            for (byte, random) in region[at..].iter_mut().zip(data) {
                *byte = *random;
            }
            for copy in region.chunks_exact_mut(COPY_LEN).take(1 + at % 2) {
                seal_anew(copy.try_into().unwrap(), None);
            }
            overwrite(&places.file, 0, &region);
        }
        Structure::Blocks => overwrite(&places.file, 4096 + (at % 8000) as u64, data),
        Structure::Record => replace(&places.record, at % 44, data, whole),
        Structure::BoundaryRecord => replace(&places.boundary_record, at % 44, data, whole),
        Structure::RecordAbove => replace(&places.record_above, at % 60, data, whole),
        Structure::NameFile => replace(&places.name_file, at % 200, data, whole),
        Structure::LinkTarget => {
            let text: String = text.chars().take(1000).collect();
            if !text.is_empty() {
                fs::remove_file(&places.near).unwrap();
                symlink(text, &places.near).unwrap();
            }
        }
        Structure::LinkSidecar => replace(&places.sidecar, at % 2000, data, whole),
        Structure::XattrValue | Structure::XattrName => {
            let mut names = vec![0; 4096];
            let length = rustix::fs::listxattr(&places.file, &mut names[..]).unwrap();
            let names = names[..length].split(|&byte| byte == 0);
            let ours = names
                .map(|name| String::from_utf8_lossy(name).into_owned())
                .find(|name| name.starts_with("user.kmsfs."))
                .unwrap();
            let name = match structure {
                Structure::XattrValue => ours,
                _ => format!("user.kmsfs.{}", text.chars().take(200).collect::<String>()),
            };
            let value = &data[..data.len().min(1000)];
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::setxattr(&places.file, name, value, flags).unwrap();
        }
        Structure::Entry => {
            let name: String = text.chars().filter(|c| *c != '/').take(250).collect();
            if !name.is_empty() && !name.starts_with('.') {
                fs::write(places.file.with_file_name(name), data).unwrap();
            }
        }
        Structure::Mark => fs::write(backing.join(".kmsfs/unclean"), data).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_as_any_structure_lead_to_no_other_content(
        structure in prop::sample::select(&ALL[..]),
        at in 0..100_000_usize,
        data in prop::collection::vec(any::<u8>(), 0..3000),
    ) {
        thread_local! {
            static WORLD: World = World::new();
        }
        WORLD.with(|world| {
            let volume = world.volume("volume");
            let attacked = Attacked::new(&volume);
            fill(&attacked);
            let target = fs::read_link(attacked.backing("far")).unwrap();
            let long = attacked.backing(&format!("d/{}", long()));
            let places = Places {
                file: attacked.backing("d/f"),
                record: attacked.backing("d").join(".kmsfs.dir"),
                boundary_record: attacked.backing("above/hr").join(".kmsfs.dir"),
                record_above: attacked.backing("above").join(".kmsfs.dir"),
                name_file: long.with_file_name(format!("{}.name", long.file_name().unwrap().to_str().unwrap())),
                near: attacked.backing("near"),
                sidecar: volume.backing.join(".kmsfs/links").join(&target.to_str().unwrap()[1..]),
            };
            attacked.fs.unmount().unwrap();
            attack(&places, &volume.backing, structure, at, &data);

            let attacked = Attacked::new(&volume);
            let link = |name| attacked.find(name).and_then(|attr| attacked.fs.read_link(attr.ino));
            if let Ok(content) = attacked.read("d/f") {
                // A forged mark may have it cut at a block, and nothing else.
                assert!(pattern(2 * BLOCK).starts_with(&content));
                assert!(content.len() == 2 * BLOCK || matches!(structure, Structure::Mark));
            }
            for (name, target) in [("near", b"target".to_vec()), ("far", vec![b'x'; 2000])] {
                if let Ok(read) = link(name) {
                    assert_eq!(read, target);
                }
            }
            if let Ok(attr) = attacked.find("d/f") {
                if let Ok(value) = attacked.fs.get_xattr(attr.ino, "user.a") {
                    assert_eq!(value, b"value");
                }
                if let Ok(names) = attacked.fs.list_xattrs(CALLER, attr.ino) {
                    assert_eq!(names, b"user.a\0");
                }
            }
            if let Ok(names) = attacked.list("d") {
                assert!(names.iter().all(|name| *name == "f" || *name == self::long()), "{names:?}");
            }
            // A new file has the label of the place, if there can be one at all.
            if let Ok(hr) = attacked.find("above/hr")
                && let Ok((attr, handle)) = attacked.fs.create(CALLER, hr.ino, b"new", 0o644, 0)
            {
                attacked.fs.close(handle).unwrap();
                let header = header_of(&volume.backing_of(attr.stat.st_ino));
                assert_eq!(header.label.as_deref(), Some("hr"));
            }
            attacked.fs.sweep(|| true).unwrap();
            attacked.fs.unmount().unwrap();
            volume.remove();
        });
    }
}

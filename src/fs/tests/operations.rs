//! One operation of every kind, on a volume with something of every kind in it.

use crate::fs::Writer;
use crate::fs::{
    Allocation, BoundaryRequest, Change, FileSystem, FsError, HandleId, Ino, NewTime, OpenFlags,
    RenameMode, XattrCreate,
};
use crate::sys;

use super::world::{CALLER, resolve};

type Done = Result<(), FsError>;

/// An operation and what comes before it. `act` is what fails.
pub(super) struct Operation {
    pub(super) name: &'static str,
    pub(super) prepare: fn(&FileSystem) -> Prepared,
    pub(super) act: fn(&FileSystem, Prepared) -> Done,
}

/// An open handle of the file, for operations that need one.
pub(super) type Prepared = HandleId;

const ROOT: Ino = Ino::ROOT;
pub(super) const LONG: &[u8] = &[b'l'; 255];
const OTHER_LONG: &[u8] = &[b'm'; 200];
/// Three blocks and a bit.
pub(super) const FILE_LEN: usize = 3 * 4096 + 100;

/// Bytes that repeat with no power of two, so that a block in the wrong place shows.
pub(super) fn pattern(seed: usize, length: usize) -> Vec<u8> {
    (seed..seed + length)
        .map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap())
        .collect()
}

fn write_file(fs: &FileSystem, parent: Ino, name: &[u8], content: &[u8]) {
    let (_, handle) = fs.create(CALLER, parent, name, 0o644, 0).unwrap();
    let _set_ids = fs.write(handle, 0, content, Writer::Cache).unwrap();
    fs.close(handle).unwrap();
}

/// Makes the tree that the operations work on.
pub(super) fn furnish(fs: &FileSystem) {
    write_file(fs, ROOT, b"file", &pattern(0, FILE_LEN));
    write_file(fs, ROOT, b"other", &pattern(5, 5000));
    write_file(fs, ROOT, LONG, b"under a long name");
    let file = ino(fs, b"file");
    fs.set_xattr(CALLER, file, "user.kept", b"value", XattrCreate::Create)
        .unwrap();
    for name in [&b"empty"[..], b"full", b"moved"] {
        fs.make_directory(CALLER, ROOT, name, 0o755, 0).unwrap();
    }
    write_file(fs, ino(fs, b"full"), b"inside", &pattern(9, 4096));
    write_file(fs, ino(fs, b"moved"), b"inside", b"moved along");
    for name in [&b"boundary"[..], b"gone"] {
        fs.make_directory(CALLER, ROOT, name, 0o755, 0).unwrap();
        set_boundary(fs, name, Some("label")).unwrap();
    }
    fs.remove_directory(CALLER, ROOT, b"gone").unwrap();
    fs.symlink(CALLER, ROOT, b"link", &[b't'; 100]).unwrap();
    fs.symlink(CALLER, ROOT, b"long link", &[b't'; 4000])
        .unwrap();
}

fn ino(fs: &FileSystem, name: &[u8]) -> Ino {
    resolve(fs, &[name]).unwrap().ino
}

fn open(fs: &FileSystem) -> Prepared {
    let file = ino(fs, b"file");
    let opened = fs.open(CALLER, file, OpenFlags::READ | OpenFlags::WRITE);
    opened.unwrap().handle
}

fn open_and_write(fs: &FileSystem) -> Prepared {
    let handle = open(fs);
    let _set_ids = fs
        .write(handle, FILE_LEN as u64, &[1; 5000], Writer::Cache)
        .unwrap();
    handle
}

fn nothing(fs: &FileSystem) -> Prepared {
    // The kernel has looked everything up that it asks about.
    let directories = [&b"empty"[..], b"full", b"moved", b"boundary"];
    for name in [&b"file"[..], b"other", LONG]
        .into_iter()
        .chain(directories)
    {
        ino(fs, name);
    }
    HandleId(0)
}

fn set_boundary(fs: &FileSystem, name: &[u8], label: Option<&str>) -> Done {
    let request = BoundaryRequest {
        label: label.map(str::to_owned),
        key: None,
    };
    fs.set_boundary(CALLER, known(fs, name)?, &request)
}

fn rename(fs: &FileSystem, from: &[u8], to: &[u8], mode: RenameMode) -> Done {
    fs.rename(CALLER, (ROOT, from), (ROOT, to), mode)
}

fn set_length(fs: &FileSystem, length: u64) -> Done {
    let change = Change {
        size: Some(length),
        ..Change::default()
    };
    fs.set_attr(CALLER, known(fs, b"file")?, &change)
        .map(|_| ())
}

/// The number of what was looked up before; another lookup for the balance.
fn known(fs: &FileSystem, name: &[u8]) -> Result<Ino, FsError> {
    Ok(fs.lookup(ROOT, name)?.ino)
}

macro_rules! operations {
    ($($name:literal: $prepare:expr => $act:expr;)*) => {
        &[$(Operation { name: $name, prepare: $prepare, act: $act }),*]
    };
}

pub(super) const OPERATIONS: &[Operation] = operations! {
    "create": nothing => |fs, _| fs.create(CALLER, ROOT, b"new", 0o644, 0).map(|_| ());
    "create under a long name": nothing =>
        |fs, _| fs.create(CALLER, ROOT, OTHER_LONG, 0o644, 0).map(|_| ());
    "mkdir": nothing => |fs, _| fs.make_directory(CALLER, ROOT, b"new", 0o755, 0).map(|_| ());
    "set boundary": nothing => |fs, _| set_boundary(fs, b"empty", Some("label"));
    "set boundary of a boundary": nothing => |fs, _| set_boundary(fs, b"boundary", Some("other"));
    "take a boundary away": nothing => |fs, _| set_boundary(fs, b"boundary", None);
    "mkdir of a boundary": nothing =>
        |fs, _| fs.make_directory(CALLER, ROOT, b"gone", 0o755, 0).map(|_| ());
    "mkdir under a long name": nothing =>
        |fs, _| fs.make_directory(CALLER, ROOT, OTHER_LONG, 0o755, 0).map(|_| ());
    "symlink": nothing => |fs, _| fs.symlink(CALLER, ROOT, b"new", b"target").map(|_| ());
    "long symlink under a long name": nothing =>
        |fs, _| fs.symlink(CALLER, ROOT, OTHER_LONG, &[b'x'; 4095]).map(|_| ());
    "mknod": nothing => |fs, _| {
        let node = sys::NewNode { mode: 0o010_644, device: 0 };
        fs.make_node(CALLER, ROOT, b"new", node, 0).map(|_| ())
    };
    "link": nothing => |fs, _| {
        fs.link(CALLER, known(fs, b"file")?, known(fs, b"full")?, b"new").map(|_| ())
    };
    "link under a long name": nothing =>
        |fs, _| fs.link(CALLER, known(fs, b"file")?, ROOT, OTHER_LONG).map(|_| ());
    "unlink": nothing => |fs, _| fs.unlink(CALLER, ROOT, b"file");
    "unlink a long name": nothing => |fs, _| fs.unlink(CALLER, ROOT, LONG);
    "unlink a long symlink": nothing => |fs, _| fs.unlink(CALLER, ROOT, b"long link");
    "unlink an open file": open => |fs, _| fs.unlink(CALLER, ROOT, b"file");
    "rmdir": nothing => |fs, _| fs.remove_directory(CALLER, ROOT, b"empty");
    "rename": nothing => |fs, _| rename(fs, b"file", b"new", RenameMode::NoReplace);
    "rename to a long name": nothing =>
        |fs, _| rename(fs, b"file", OTHER_LONG, RenameMode::Replace);
    "rename from a long name": nothing => |fs, _| rename(fs, LONG, b"new", RenameMode::Replace);
    "rename over a file": nothing => |fs, _| rename(fs, b"file", b"other", RenameMode::Replace);
    "rename over a long name": nothing => |fs, _| rename(fs, b"file", LONG, RenameMode::Replace);
    "rename over a long symlink": nothing =>
        |fs, _| rename(fs, b"file", b"long link", RenameMode::Replace);
    "rename over a directory": nothing =>
        |fs, _| rename(fs, b"moved", b"empty", RenameMode::Replace);
    "rename into another directory": nothing => |fs, _| {
        fs.rename(CALLER, (ROOT, b"file"), (known(fs, b"empty")?, b"new"), RenameMode::Replace)
    };
    "exchange": nothing => |fs, _| rename(fs, LONG, b"full", RenameMode::Exchange);
    "rename with a whiteout": nothing => |fs, _| rename(fs, LONG, b"new", RenameMode::Whiteout);
    "open": nothing => |fs, _| {
        fs.open(CALLER, known(fs, b"file")?, OpenFlags::READ).map(|_| ())
    };
    "open and empty": nothing => |fs, _| {
        let flags = OpenFlags::WRITE | OpenFlags::TRUNCATE;
        fs.open(CALLER, known(fs, b"file")?, flags).map(|_| ())
    };
    "truncate to nothing": nothing => |fs, _| set_length(fs, 0);
    "truncate at a block": nothing => |fs, _| set_length(fs, 8192);
    "truncate within a block": nothing => |fs, _| set_length(fs, 5000);
    "truncate an open file": open => |fs, _| set_length(fs, 5000);
    "extend within the block": nothing => |fs, _| set_length(fs, FILE_LEN as u64 + 10);
    "extend by a hole": nothing => |fs, _| set_length(fs, 40_000);
    "overwrite": open => |fs, handle| fs.write(handle, 4096, &[7; 8192], Writer::Cache).map(|_| ());
    "overwrite parts of blocks": open =>
        |fs, handle| fs.write(handle, 4000, &[7; 5000], Writer::Cache).map(|_| ());
    "append": open =>
        |fs, handle| fs.write(handle, FILE_LEN as u64, &[7; 10_000], Writer::Cache).map(|_| ());
    "overwrite and append": open =>
        |fs, handle| fs.write(handle, 8000, &[7; 10_000], Writer::Cache).map(|_| ());
    "write beyond the end": open => |fs, handle| fs.write(handle, 30_000, &[7; 99], Writer::Cache).map(|_| ());
    "write a mebibyte and more": open =>
        |fs, handle| fs.write(handle, 100, &vec![7; (1 << 20) + 5000], Writer::Cache).map(|_| ());
    "punch": open =>
        |fs, handle| fs.allocate(CALLER, handle, 100..9000, Allocation::Punch).map(|_| ());
    "zero beyond the end": open => |fs, handle| {
        let mode = Allocation::Zero { keep_length: false };
        fs.allocate(CALLER, handle, 5000..20_000, mode).map(|_| ())
    };
    "reserve": open => |fs, handle| {
        let mode = Allocation::Reserve { keep_length: false };
        fs.allocate(CALLER, handle, 5000..20_000, mode).map(|_| ())
    };
    "fsync": open_and_write => |fs, handle| fs.fsync(handle);
    "close": open_and_write => |fs, handle| fs.close(handle);
    "fsync of a directory": nothing => |fs, _| {
        let handle = fs.open_directory(CALLER, ROOT)?;
        fs.fsync_directory(handle)
    };
    "chmod": nothing => |fs, _| {
        let change = Change { mode: Some(0o600), ..Change::default() };
        fs.set_attr(CALLER, known(fs, b"file")?, &change).map(|_| ())
    };
    "utimes": open => |fs, _| {
        let change = Change { modified: Some(NewTime::At(7, 7)), ..Change::default() };
        fs.set_attr(CALLER, known(fs, b"file")?, &change).map(|_| ())
    };
    "setxattr": nothing => |fs, _| {
        let file = known(fs, b"file")?;
        fs.set_xattr(CALLER, file, "user.new", b"new", XattrCreate::CreateOrReplace)
    };
    "removexattr": nothing => |fs, _| {
        fs.remove_xattr(CALLER, known(fs, b"file")?, "user.kept")
    };
    "read": open => |fs, handle| fs.read(handle, 100, 9000, &mut Vec::new());
    "readlink": nothing => |fs, _| fs.read_link(known(fs, b"long link")?).map(|_| ());
    "getxattr": nothing => |fs, _| {
        fs.get_xattr(known(fs, b"file")?, "user.kept").map(|_| ())
    };
    "readdir": nothing => |fs, _| {
        let handle = fs.open_directory(CALLER, ROOT)?;
        fs.list(handle, 0, |_| true)
    };
};

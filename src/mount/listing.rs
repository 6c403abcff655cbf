//! Directory listings as the protocol wants them.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use fuser::{INodeNo, ReplyDirectory, ReplyDirectoryPlus};

use crate::fs::{FileSystem, FsError, HandleId, Ino, Listed};

use super::convert::{absent, file_attr, file_type};
use super::reply::{GENERATION, ttl};

/// Fills `reply` with names.
pub(super) fn list_names(
    filesystem: &FileSystem,
    handle: HandleId,
    offset: u64,
    reply: &mut ReplyDirectory,
) -> Result<(), FsError> {
    filesystem.list(handle, offset, |item| {
        let name = OsStr::from_bytes(item.name);
        !reply.add(INodeNo(item.ino.0), item.next, file_type(item.kind), name)
    })
}

/// Fills `reply` with entries and their attributes, each of which counts as a lookup; with
/// `names_only` the kernel looks them up itself.
pub(super) fn list_with_attributes(
    filesystem: &FileSystem,
    directory: Ino,
    handle: HandleId,
    offset: u64,
    names_only: bool,
    reply: &mut ReplyDirectoryPlus,
) -> Result<(), FsError> {
    filesystem.list(handle, offset, |item| {
        // The kernel looks at no more than the name and number of `.` and `..`.
        let looked_up = match item.name {
            b"." | b".." => None,
            _ if names_only => None,
            // An entry that cannot be looked up is listed all the same.
            name => filesystem.lookup(directory, name).ok(),
        };
        let name = OsStr::from_bytes(item.name);
        let Some(attr) = looked_up else {
            return !add_bare(reply, &item, name);
        };
        let full = reply.add(
            INodeNo(attr.ino.0),
            item.next,
            name,
            &ttl(filesystem, attr.ino),
            &file_attr(&attr),
            GENERATION,
        );
        if full {
            filesystem.forget(attr.ino, 1);
        }
        !full
    })
}

/// An entry with node 0: the kernel finds it by itself when it is used.
fn add_bare(reply: &mut ReplyDirectoryPlus, item: &Listed<'_>, name: &OsStr) -> bool {
    let bare = fuser::FileAttr {
        ino: INodeNo(item.ino.0),
        kind: file_type(item.kind),
        ..absent()
    };
    reply.add(
        INodeNo(0),
        item.next,
        name,
        &Duration::ZERO,
        &bare,
        GENERATION,
    )
}

//! Everything that a volume shows.

use std::collections::BTreeMap;

use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::BLOCK_LEN;
use crate::fs::{FileSystem, Ino, OpenFlags};

use super::world::{CALLER, errno};

/// What a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    kind: u32,
    mode: u32,
    links: u64,
    pub(super) size: u64,
    pub(super) content: Content,
    xattrs: BTreeMap<String, Vec<u8>>,
    /// Of a directory, that of new files.
    label: Option<String>,
}

/// A file's blocks, each with the error of reading it; another node's text.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Content {
    Blocks(Vec<Result<Vec<u8>, Errno>>),
    Refused(Errno),
    Target(Vec<u8>),
    None,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Blocks(blocks) => f
                .debug_list()
                .entries(blocks.iter().map(|block| {
                    block.as_ref().map(|block| {
                        let sum = crc32fast::hash(block);
                        format!("{} bytes {sum:08x}", block.len())
                    })
                }))
                .finish(),
            Self::Refused(error) => write!(f, "{error:?}"),
            Self::Target(target) => write!(f, "link of {} bytes", target.len()),
            Self::None => f.write_str("-"),
        }
    }
}

pub(super) type Snapshot = BTreeMap<Vec<u8>, Shown>;

/// What `fs` shows, by path. Nothing of it may fail but reading.
pub(super) fn snapshot(fs: &FileSystem) -> Snapshot {
    let mut shown = Snapshot::new();
    let mut directories = vec![(Ino::ROOT, Vec::new())];
    while let Some((directory, path)) = directories.pop() {
        for name in names(fs, directory) {
            let attr = match fs.lookup(directory, &name) {
                // Made, but not so far that it had a header: gone with the first look.
                Err(error) if errno(&error) == Errno::NOENT => continue,
                other => other.unwrap(),
            };
            let path = [&path[..], b"/", &name[..]].concat();
            let kind = FileType::from_raw_mode(attr.stat.st_mode);
            let content = match kind {
                FileType::RegularFile => blocks(fs, attr.ino, attr.size),
                FileType::Symlink => Content::Target(fs.read_link(attr.ino).unwrap()),
                FileType::Directory => {
                    directories.push((attr.ino, path.clone()));
                    Content::None
                }
                _ => Content::None,
            };
            let listed = fs.list_xattrs(CALLER, attr.ino).unwrap();
            let xattrs = listed
                .split(|&byte| byte == 0)
                .filter(|name| !name.is_empty())
                .map(|name| {
                    let name = String::from_utf8(name.to_vec()).unwrap();
                    let value = fs.get_xattr(attr.ino, &name).unwrap();
                    (name, value)
                });
            let is_directory = kind == FileType::Directory;
            let label = is_directory.then(|| fs.boundary(attr.ino).unwrap().label);
            let node = Shown {
                label: label.flatten(),
                kind: kind.as_raw_mode(),
                mode: attr.stat.st_mode & 0o7777,
                links: attr.stat.st_nlink,
                size: if is_directory { 0 } else { attr.size },
                content,
                xattrs: xattrs.collect(),
            };
            shown.insert(path, node);
        }
    }
    shown
}

fn names(fs: &FileSystem, directory: Ino) -> Vec<Vec<u8>> {
    let handle = fs.open_directory(CALLER, directory).unwrap();
    let mut names = Vec::new();
    let listed = fs.list(handle, 0, |entry| {
        names.push(entry.name.to_vec());
        true
    });
    listed.unwrap();
    fs.close_directory(handle).unwrap();
    names.retain(|name| name != b"." && name != b"..");
    names
}

fn blocks(fs: &FileSystem, ino: Ino, size: u64) -> Content {
    let handle = match fs.open(CALLER, ino, OpenFlags::READ) {
        Ok(opened) => opened.handle,
        Err(error) => return Content::Refused(errno(&error)),
    };
    let blocks = (0..size.div_ceil(BLOCK_LEN as u64)).map(|number| {
        let mut block = Vec::new();
        let offset = number * BLOCK_LEN as u64;
        let read = fs.read(handle, offset, BLOCK_LEN, &mut block);
        read.map(|()| block).map_err(|error| errno(&error))
    });
    let blocks = blocks.collect();
    // A close that fails says so again; what was read is what counts.
    let _ = fs.close(handle);
    Content::Blocks(blocks)
}

/// What of `found` is neither as it was `before` nor as it is `after`: each path, and of a file each
/// block, is one of the two. On a disk that failed for good a file may be left with a length between,
/// and one block be lost.
pub(super) fn is_between(
    before: &Snapshot,
    after: &Snapshot,
    found: &Snapshot,
    for_good: bool,
) -> Option<String> {
    let paths = before.keys().chain(after.keys()).chain(found.keys());
    for path in paths {
        let (old, new, is) = (before.get(path), after.get(path), found.get(path));
        let agrees = is == old
            || is == new
            || matches!((old, new, is), (Some(old), Some(new), Some(is))
                if is.is_between(old, new, for_good));
        if !agrees {
            let path = String::from_utf8_lossy(path);
            return Some(format!(
                "{path} is {is:?}, was {old:?}, and should be {new:?}"
            ));
        }
    }
    None
}

impl Shown {
    fn is_between(&self, old: &Self, new: &Self, for_good: bool) -> bool {
        let same = |other: &Self| {
            (self.kind, self.mode, &self.xattrs) == (other.kind, other.mode, &other.xattrs)
        };
        let is_one = same(old) || same(new);
        let sizes = [old.size, new.size];
        let size_agrees =
            sizes.contains(&self.size) || for_good && (old.size..=new.size).contains(&self.size);
        let (Content::Blocks(old), Content::Blocks(new), Content::Blocks(is)) =
            (&old.content, &new.content, &self.content)
        else {
            return false;
        };
        let mut lost = 0;
        let mut agree = true;
        for (number, block) in is.iter().enumerate() {
            let Ok(block) = block else {
                lost += 1;
                continue;
            };
            let get = |blocks: &[Result<Vec<u8>, Errno>]| {
                let block = blocks.get(number).and_then(|block| block.as_ref().ok());
                block.cloned().unwrap_or_default()
            };
            let (old, new) = (get(old), get(new));
            let longer = |mut old: Vec<u8>| {
                old.resize(block.len().max(old.len()), 0);
                old
            };
            let is_last = number + 1 == is.len();
            agree &= *block == old
                || *block == new
                || is_last && new.starts_with(block)
                || for_good && *block == longer(old);
        }
        is_one && size_agrees && agree && lost <= usize::from(for_good)
    }
}

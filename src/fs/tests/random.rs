//! Random sequences of operations on the filesystem and on the model, which must agree.

use crate::fs::Writer;
use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::fs::{Allocation, Change, NewTime, OpenFlags, RenameMode, XattrCreate};
use crate::sys;

use super::model::{At, Id, Kind};
use super::ops::{Offset, Op, name, op};
use super::pair::{Agreed, Pair, agree, succeeds};
use super::world::{CALLER, World};

impl Pair<'_> {
    fn apply(mut self, op: &Op) -> Agreed<Self> {
        match op {
            Op::Remount(close) => return self.remount(*close),
            Op::Forget(at) => {
                if let Ok(id) = self.model.get((self.directory(at.0), &name(at.1))) {
                    self.kernel_forgets(id);
                }
            }
            Op::List(number) => self.list(self.directory(*number))?,
            Op::FsyncDirectory(number) => {
                let ino = self.ino(self.directory(*number))?;
                let handle = succeeds("opendir", self.fs.open_directory(CALLER, ino))?;
                succeeds("fsyncdir", self.fs.fsync_directory(handle))?;
                succeeds("closedir", self.fs.close_directory(handle))?;
            }
            Op::Close(_)
            | Op::Read(..)
            | Op::Write(..)
            | Op::SetLengthOpen(..)
            | Op::Allocate(..)
            | Op::Fsync(_) => self.apply_to_handle(op)?,
            Op::Link(from, to) | Op::Rename(from, to, _) => {
                let from = (self.directory(from.0), name(from.1));
                let to = (self.directory(to.0), name(to.1));
                self.apply_to_two(op, (from.0, &from.1), (to.0, &to.1))?;
            }
            Op::Create(at, _)
            | Op::MakeDirectory(at)
            | Op::RemoveDirectory(at)
            | Op::Symlink(at, _)
            | Op::Fifo(at)
            | Op::Unlink(at) => {
                let directory = self.directory(at.0);
                self.apply_to_name(op, (directory, &name(at.1)))?;
                self.check(directory)?;
            }
            Op::Open(at, _)
            | Op::SetLength(at, _)
            | Op::SetMode(at, _)
            | Op::SetTime(at, _)
            | Op::SetXattr(at, ..)
            | Op::RemoveXattr(at, _) => {
                if let Ok(id) = self.model.get((self.directory(at.0), &name(at.1))) {
                    self.apply_to_node(op, id)?;
                    self.check(id)?;
                }
            }
        }
        Ok(self)
    }

    fn apply_to_handle(&mut self, op: &Op) -> Agreed {
        let (Op::Close(number)
        | Op::Read(number, ..)
        | Op::Write(number, ..)
        | Op::SetLengthOpen(number, _)
        | Op::Allocate(number, ..)
        | Op::Fsync(number)) = op
        else {
            unreachable!("{op:?}")
        };
        let Some((handle, id)) = self.handle(*number) else {
            return Ok(());
        };
        match *op {
            Op::Close(_) => {
                succeeds("close", self.fs.close(handle))?;
                self.handles.retain(|(open, _)| *open != handle);
                if self.model.links(id) == 0 {
                    self.kernel_forgets(id);
                    return Ok(());
                }
            }
            Op::Read(_, offset, len) => {
                let offset = self.offset(id, offset);
                let mut found = Vec::new();
                let read = self.fs.read(handle, offset, len as usize, &mut found);
                succeeds("read", read)?;
                let Kind::File(content) = &self.model.node(id).kind else {
                    unreachable!()
                };
                let start = (offset as usize).min(content.len());
                let end = start.saturating_add(len as usize).min(content.len());
                prop_assert!(found == content[start..end], "read {offset} {len}");
            }
            Op::Write(_, offset, len, byte) => {
                let offset = self.offset(id, offset) as usize;
                let data: Vec<u8> = (0..len)
                    .map(|at| byte.wrapping_add((at / 7) as u8))
                    .collect();
                let written = self.fs.write(handle, offset as u64, &data, Writer::Cache);
                let _set_ids = succeeds("write", written)?;
                if !data.is_empty() {
                    let content = self.model.content(id);
                    content.resize(content.len().max(offset + data.len()), 0);
                    content[offset..offset + data.len()].copy_from_slice(&data);
                }
            }
            Op::SetLengthOpen(_, offset) => self.set_length(id, offset)?,
            Op::Allocate(_, offset, len, mode) => {
                let range = self.offset(id, offset)..self.offset(id, offset) + len.max(1);
                let keep_length = mode % 2 == 0;
                let mode = match mode {
                    0 | 1 => Allocation::Reserve { keep_length },
                    2 | 3 => Allocation::Zero { keep_length },
                    _ => Allocation::Punch,
                };
                let done = self.fs.allocate(CALLER, handle, range.clone(), mode);
                let _set_ids = succeeds("fallocate", done)?;
                let content = self.model.content(id);
                if !keep_length {
                    content.resize(content.len().max(range.end as usize), 0);
                }
                if !matches!(mode, Allocation::Reserve { .. }) {
                    let end = content.len().min(range.end as usize);
                    let start = end.min(range.start as usize);
                    content[start..end].fill(0);
                }
            }
            Op::Fsync(_) => succeeds("fsync", self.fs.fsync(handle))?,
            _ => unreachable!("{op:?}"),
        }
        self.check(id)
    }

    fn set_length(&mut self, id: Id, offset: Offset) -> Agreed {
        let length = self.offset(id, offset);
        let ino = self.ino(id)?;
        let change = Change {
            size: Some(length),
            ..Change::default()
        };
        succeeds("truncate", self.fs.set_attr(CALLER, ino, &change))?;
        self.model.content(id).resize(length as usize, 0);
        Ok(())
    }

    fn apply_to_name(&mut self, op: &Op, at: At<'_>) -> Agreed {
        let parent = self.ino(at.0)?;
        match *op {
            Op::Create(_, mode) => {
                let real = self.fs.create(CALLER, parent, at.1, mode, 0o022);
                let real = real.map(|(attr, handle)| (attr.ino, handle));
                let model = self.model.make(at, Kind::File(Vec::new()), mode & !0o022);
                if let Some(((ino, handle), id)) = agree("create", real, model)? {
                    self.handles.push((handle, id));
                    self.made(Some((ino, id)))?;
                }
            }
            Op::MakeDirectory(_) => {
                let real = self.fs.make_directory(CALLER, parent, at.1, 0o755, 0o022);
                let model = self.model.make(at, Kind::Directory(BTreeMap::new()), 0o755);
                let made = agree("mkdir", real.map(|attr| attr.ino), model)?;
                self.made(made)?;
            }
            Op::Symlink(_, len) => {
                let target: Vec<u8> = (0..len).map(|at| (at % 251 + 1) as u8).collect();
                let real = self.fs.symlink(CALLER, parent, at.1, &target);
                let model = self.model.make(at, Kind::Link(target), 0o777);
                let made = agree("symlink", real.map(|attr| attr.ino), model)?;
                self.made(made)?;
            }
            Op::Fifo(_) => {
                let node = sys::NewNode {
                    mode: 0o010_600,
                    device: 0,
                };
                let real = self.fs.make_node(CALLER, parent, at.1, node, 0);
                let model = self.model.make(at, Kind::Fifo, 0o600);
                let made = agree("mknod", real.map(|attr| attr.ino), model)?;
                self.made(made)?;
            }
            Op::Unlink(_) => {
                let id = self.model.get(at);
                let real = self.fs.unlink(CALLER, parent, at.1);
                if agree("unlink", real, self.model.unlink(at))?.is_some() {
                    self.lost_a_name(id.unwrap())?;
                }
            }
            Op::RemoveDirectory(_) => {
                let id = self.model.get(at);
                let real = self.fs.remove_directory(CALLER, parent, at.1);
                if agree("rmdir", real, self.model.remove_directory(at))?.is_some() {
                    self.kernel_forgets(id.unwrap());
                }
            }
            _ => unreachable!("{op:?}"),
        }
        Ok(())
    }

    /// The kernel forgets what has no name and is not open; what is open goes on.
    fn lost_a_name(&mut self, id: Id) -> Agreed {
        if self.model.is_directory(id) || self.model.links(id) == 0 {
            self.kernel_forgets(id);
        }
        if self.known.contains_key(&id) && !self.model.is_directory(id) {
            self.check(id)?;
        }
        Ok(())
    }

    fn apply_to_two(&mut self, op: &Op, from: At<'_>, to: At<'_>) -> Agreed {
        let parents = (self.ino(from.0)?, self.ino(to.0)?);
        let source = self.model.get(from).ok();
        match *op {
            Op::Link(..) => {
                let Some(id) = source.filter(|&id| !self.model.is_directory(id)) else {
                    return Ok(());
                };
                let ino = self.ino(id)?;
                let real = self.fs.link(CALLER, ino, parents.1, to.1);
                let model = self.model.link(id, to);
                if let Some((attr, ())) = agree("link", real, model)? {
                    self.told(id, attr.ino)?;
                    self.check(id)?;
                }
            }
            Op::Rename(_, _, mode) => {
                if self.model.is_loop(from, to) {
                    return Ok(());
                }
                let mode = [
                    RenameMode::Replace,
                    RenameMode::NoReplace,
                    RenameMode::Exchange,
                    RenameMode::Whiteout,
                ][usize::from(mode % 4)];
                let victim = self.model.get(to).ok();
                let real = self
                    .fs
                    .rename(CALLER, (parents.0, from.1), (parents.1, to.1), mode);
                let done = agree("rename", real, self.model.rename(from, to, mode))?;
                let replaced = mode != RenameMode::Exchange && victim != source;
                if let (Some(victim), true) = (victim.filter(|_| replaced), done.is_some()) {
                    self.lost_a_name(victim)?;
                }
                if let Some(source) = source {
                    self.check(source)?;
                }
                self.check(from.0)?;
                self.check(to.0)?;
            }
            _ => unreachable!("{op:?}"),
        }
        Ok(())
    }

    fn apply_to_node(&mut self, op: &Op, id: Id) -> Agreed {
        let ino = self.ino(id)?;
        let is_file = matches!(self.model.node(id).kind, Kind::File(_));
        let has_xattrs = is_file || self.model.is_directory(id);
        match *op {
            Op::Open(_, empty) if is_file => {
                let mut flags = OpenFlags::READ | OpenFlags::WRITE;
                if empty {
                    flags |= OpenFlags::TRUNCATE;
                }
                let opened = succeeds("open", self.fs.open(CALLER, ino, flags))?;
                self.handles.push((opened.handle, id));
                if empty {
                    self.model.content(id).clear();
                }
            }
            Op::SetLength(_, offset) if is_file => self.set_length(id, offset)?,
            Op::SetMode(_, mode) if has_xattrs => {
                let change = Change {
                    mode: Some(mode),
                    ..Change::default()
                };
                succeeds("chmod", self.fs.set_attr(CALLER, ino, &change))?;
                self.model.node_mut(id).mode = mode;
            }
            Op::SetTime(_, time) if is_file => {
                let change = Change {
                    modified: Some(NewTime::At(time, 0)),
                    ..Change::default()
                };
                succeeds("utimes", self.fs.set_attr(CALLER, ino, &change))?;
                self.model.node_mut(id).modified = Some(time);
            }
            Op::SetXattr(_, name, len, create) if has_xattrs => {
                let (name, value) = (format!("user.{name}"), vec![name; len]);
                let create = [
                    XattrCreate::CreateOrReplace,
                    XattrCreate::Create,
                    XattrCreate::Replace,
                ][usize::from(create % 3)];
                let real = self.fs.set_xattr(CALLER, ino, &name, &value, create);
                agree(
                    "setxattr",
                    real,
                    self.model.set_xattr(id, &name, &value, create),
                )?;
            }
            Op::RemoveXattr(_, name) if has_xattrs => {
                let name = format!("user.{name}");
                let real = self.fs.remove_xattr(CALLER, ino, &name);
                agree("removexattr", real, self.model.remove_xattr(id, &name))?;
            }
            _ => {}
        }
        Ok(())
    }
}

fn run(world: &World, number: u64, ops: &[Op]) -> Agreed {
    let volume = world.volume(&format!("volume {number}"));
    let mut pair = Pair::new(&volume);
    for op in ops {
        pair = pair.apply(op)?;
    }
    pair.check_all()?;
    pair = pair.remount(false)?;
    pair.check_all()?;
    let Pair { fs, model, .. } = pair;
    succeeds("unmount", fs.unmount())?;
    prop_assert_eq!(volume.sidecars(), model.sidecars());
    prop_assert_eq!(volume.records("IntegrityFailure").len(), 0);
    volume.remove();
    Ok(())
}

#[test]
fn any_sequence_of_operations_does_what_a_filesystem_in_memory_does() {
    let world = World::new();
    let number = Cell::new(0);
    let mut runner = TestRunner::new(ProptestConfig {
        source_file: Some(file!()),
        ..ProptestConfig::default()
    });
    let ran = runner.run(&vec(op(), 1..60), |ops| {
        number.set(number.get() + 1);
        run(&world, number.get(), &ops)
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

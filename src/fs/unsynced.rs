//! What names depend on: directory records, name files and link targets that this mount made. They
//! are durable before whatever needs them is said to be.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::sys;

use super::inode::Inode;
use super::{FileSystem, FsError, Ino};

/// More than this is made durable in one go with everything else, instead of being remembered.
const REMEMBERED: usize = 16_384;

/// By directory and not in its inode, since the kernel may forget a directory long before a file in
/// it is synced.
#[derive(Default)]
pub(super) struct Unsynced {
    found: Mutex<Made>,
    /// Whoever syncs holds it, so that nobody is told that it is done while another is at it.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Made {
    /// Record and name files of each directory.
    names: HashMap<Ino, Vec<String>>,
    /// Targets of long symbolic links.
    targets: Vec<String>,
    count: usize,
    /// There was more than could be remembered.
    more: bool,
}

impl Made {
    fn add(&mut self, add: impl FnOnce(&mut Self)) {
        if self.count < REMEMBERED {
            self.count += 1;
            add(self);
        } else {
            *self = Self {
                more: true,
                ..Self::default()
            };
        }
    }
}

impl Unsynced {
    /// `name` in `directory` was made or written.
    pub(super) fn add_name(&self, directory: &Inode, name: String) {
        let directory = directory.ino;
        self.found
            .lock()
            .add(|made| made.names.entry(directory).or_default().push(name));
    }

    /// The target `name` of a long symbolic link was written.
    pub(super) fn add_target(&self, name: String) {
        self.found.lock().add(|made| made.targets.push(name));
    }

    fn take_names(&self, directory: Ino) -> Vec<String> {
        let mut found = self.found.lock();
        let names = found.names.remove(&directory).unwrap_or_default();
        found.count -= names.len();
        names
    }

    fn take_targets(&self) -> Vec<String> {
        let mut found = self.found.lock();
        let targets = std::mem::take(&mut found.targets);
        found.count -= targets.len();
        targets
    }
}

impl FileSystem {
    /// Makes durable what this mount made to find the names of `directory` and above again.
    pub(super) fn sync_names(&self, directory: &Arc<Inode>) -> Result<(), FsError> {
        let _turn = self.unsynced.turn.lock();
        self.sync_what_was_too_much()?;
        let mut next = Some(directory.clone());
        while let Some(inode) = next.take() {
            let names = self.unsynced.take_names(inode.ino);
            if !names.is_empty() {
                let synced = (|| {
                    let descriptor = self.inodes.descriptor(&inode)?;
                    sync_files(&*descriptor, &names)?;
                    let opened = sys::reopen_directory(&*descriptor)?;
                    Ok(sys::sync_directory(&opened)?)
                })();
                if synced.is_err() {
                    for name in names {
                        self.unsynced.add_name(&inode, name);
                    }
                    return synced;
                }
            }
            next = inode.link().map(|link| link.parent);
        }
        Ok(())
    }

    /// Makes the targets of long symbolic links durable.
    pub(super) fn sync_targets(&self) -> Result<(), FsError> {
        let _turn = self.unsynced.turn.lock();
        self.sync_what_was_too_much()?;
        let targets = self.unsynced.take_targets();
        if targets.is_empty() {
            return Ok(());
        }
        let links = self.volume.links();
        let synced = sync_files(links, &targets).and_then(|()| sys::sync_directory(links));
        if synced.is_err() {
            for target in targets {
                self.unsynced.add_target(target);
            }
        }
        Ok(synced?)
    }

    fn sync_what_was_too_much(&self) -> Result<(), FsError> {
        if self.unsynced.found.lock().more {
            sys::sync_filesystem(&*self.root()?)?;
            self.unsynced.found.lock().more = false;
        }
        Ok(())
    }
}

fn sync_files(directory: impl AsFd, names: &[String]) -> io::Result<()> {
    for name in names {
        match sys::open_node_path(&directory, name, sys::Access::Read) {
            Ok(file) => sys::sync_data(&file)?,
            // Removed since: nothing depends on it any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

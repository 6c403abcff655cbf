//! A name in a directory, with what it stands for.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::FileType;

use crate::format::StoredName;
use crate::sys;

use super::guard::Target;
use super::inode::{Inode, InodeTable};
use super::node::Parent;
use super::{FileSystem, FsError};

/// A name with what it stands for in the backing directory, if anything.
pub(super) struct Place<'a> {
    pub(super) parent: &'a Parent,
    pub(super) name: &'a [u8],
    pub(super) stored: StoredName,
    pub(super) node: Option<Node>,
}

pub(super) struct Node {
    pub(super) descriptor: Arc<OwnedFd>,
    pub(super) stat: sys::Stat,
    pub(super) inode: Option<Arc<Inode>>,
}

impl Node {
    pub(super) fn is_directory(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::Directory
    }
}

impl FileSystem {
    pub(super) fn place<'a>(
        &self,
        parent: &'a Parent,
        name: &'a [u8],
    ) -> Result<Place<'a>, FsError> {
        let stored = self.stored(parent, name)?;
        let node = match sys::open_node(&*parent.descriptor, stored.entry()) {
            Ok(descriptor) => {
                let stat = sys::stat(&descriptor)?;
                let inode = self.inodes.find(&stat);
                Some(Node {
                    descriptor: Arc::new(descriptor),
                    stat,
                    inode,
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Place {
            parent,
            name,
            stored,
            node,
        })
    }
}

impl Place<'_> {
    /// What is there, or is to be. A Deny at another name of a file counts too.
    pub(super) fn target(&self) -> Result<Target, FsError> {
        let path = self.parent.path_of(self.name)?;
        Ok(match &self.node {
            Some(Node {
                inode: Some(inode), ..
            }) => Target::of(inode).used_as(path),
            Some(node) if node.is_directory() => {
                let label = self.parent.directory.zone_of(self.name).label.clone();
                Target::path(path).labelled(label)
            }
            _ => self.parent.new_target(self.name)?,
        })
    }

    /// The name no longer stands for this node.
    pub(super) fn forget(&self) {
        let Some(Node {
            descriptor,
            inode: Some(inode),
            ..
        }) = &self.node
        else {
            return;
        };
        InodeTable::remove_link(inode, &self.parent.inode, self.name, descriptor.clone());
    }

    /// This node is now known by the name of `place`.
    pub(super) fn link_to(&self, place: &Place<'_>) {
        let Some(Node {
            inode: Some(inode), ..
        }) = &self.node
        else {
            return;
        };
        InodeTable::add_link(inode, place.parent.link(place.name, &place.stored));
    }
}

//! The inodes that the kernel knows of, and how their backing nodes are reached.
//!
//! Descriptors are bounded: each inode's `O_PATH` descriptor lives in an LRU cache and is opened anew
//! by parent and name when it was evicted. An inode without a known name left keeps its descriptor.

use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use lru::LruCache;
use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustix::fs::FileType;
use rustix::io::Errno;

use crate::format::FileId;
use crate::sys;

use super::boundary::{Directory, Zone};
use super::content::Content;
use super::{Damage, FsError};

/// A number that the kernel knows an inode by: the backing inode's, but for the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ino(pub u64);

impl Ino {
    /// The root's, fixed by the protocol (`FUSE_ROOT_ID`).
    pub const ROOT: Self = Self(1);
}

/// A backing node's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct NodeId {
    device: u64,
    ino: u64,
}

impl NodeId {
    pub(super) fn of(stat: &sys::Stat) -> Self {
        Self {
            device: stat.st_dev,
            ino: stat.st_ino,
        }
    }

    /// The number that a backing inode other than the root's is known by.
    pub(super) fn ino_of(backing: u64) -> Ino {
        if backing == Ino::ROOT.0 {
            Ino(u64::MAX)
        } else {
            Ino(backing)
        }
    }
}

/// A name of an inode: where it was last seen.
#[derive(Clone)]
pub(super) struct Link {
    pub(super) parent: Arc<Inode>,
    /// The plaintext name.
    pub(super) name: Vec<u8>,
    /// The name of the backing entry.
    pub(super) entry: String,
}

pub(super) struct Inode {
    pub(super) ino: Ino,
    pub(super) node: NodeId,
    pub(super) kind: FileType,
    names: Mutex<Names>,
    /// What a directory's record says, once it was read, and while it is there. Known of every
    /// directory that is a [`Link::parent`].
    pub(super) directory: Mutex<Option<Arc<Directory>>>,
    /// A file's id, once its header was read.
    pub(super) file: Mutex<Option<FileId>>,
    /// When a name was given or taken last, in seconds since 1970.
    pub(super) renamed: AtomicI64,
    /// A file's content while handles are open.
    pub(super) open: Mutex<Open>,
}

#[derive(Default)]
struct Names {
    links: Vec<Link>,
    /// Held when no name is left, or for the root.
    pinned: Option<Arc<OwnedFd>>,
    /// The path of the last name, once it is gone, and what governed it there: what policy then goes
    /// by.
    last: Option<(Vec<u8>, Option<Arc<Zone>>)>,
}

/// The open state of a file: its content and how many handles share it.
#[derive(Default)]
pub(super) struct Open {
    pub(super) content: Option<Arc<Content>>,
    pub(super) handles: usize,
    /// How many of them are revoked.
    pub(super) revoked: usize,
    pub(super) write_recorded: bool,
    /// A write took the file's capability, and none was set since.
    pub(super) capability_gone: bool,
}

impl Open {
    /// Takes in the first handle's content.
    pub(super) fn put(&mut self, content: Content) -> Arc<Content> {
        let content = Arc::new(content);
        self.content = Some(content.clone());
        self.handles += 1;
        content
    }
}

impl Inode {
    fn new(ino: Ino, node: NodeId, kind: FileType) -> Self {
        Self {
            ino,
            node,
            kind,
            names: Mutex::default(),
            renamed: AtomicI64::new(0),
            directory: Mutex::default(),
            file: Mutex::default(),
            open: Mutex::default(),
        }
    }

    fn note_renamed(&self) {
        let now = jiff::Timestamp::now().as_second();
        self.renamed.store(now, Ordering::Relaxed);
    }

    pub(super) fn is_directory(&self) -> bool {
        self.kind == FileType::Directory
    }

    /// The content, while it is open.
    pub(super) fn content(&self) -> Option<Arc<Content>> {
        self.open.lock().content.clone()
    }

    /// A name of this inode: of several, the one seen first.
    pub(super) fn link(&self) -> Option<Link> {
        self.names.lock().links.first().cloned()
    }

    /// The directories in which it is known to have a name.
    pub(super) fn parents(&self) -> Vec<Arc<Inode>> {
        let names = self.names.lock();
        names.links.iter().map(|link| link.parent.clone()).collect()
    }

    /// The plaintext path from the root of the volume, without a leading slash; `None` for an inode
    /// whose last name is gone.
    pub(super) fn path(&self) -> Option<Vec<u8>> {
        if self.ino == Ino::ROOT {
            return Some(Vec::new());
        }
        let mut names = Vec::new();
        let mut link = self.link()?;
        loop {
            names.push(link.name);
            if link.parent.ino == Ino::ROOT {
                break;
            }
            link = link.parent.link()?;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }

    /// The path of its entry in the backing directory; empty for the root.
    pub(super) fn backing_path(&self) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut next = self.link();
        while let Some(link) = next {
            entries.push(link.entry.into_bytes());
            next = link.parent.link();
        }
        entries.reverse();
        entries.join(&b'/')
    }

    /// What governs it at each of its known names; of one without a name left, at its last. It is the
    /// same everywhere, unless somebody gave it a name behind the mount's back.
    pub(super) fn zones(&self) -> Vec<Arc<Zone>> {
        if self.ino == Ino::ROOT {
            let known = self.directory.lock();
            return known.iter().map(|known| known.zone.clone()).collect();
        }
        let names = self.names.lock();
        let links = names.links.clone();
        let last = names.last.as_ref().and_then(|(_, zone)| zone.clone());
        drop(names);
        if links.is_empty() {
            return last.into_iter().collect();
        }
        let zone = |link: &Link| link.zone(self.is_directory());
        links.iter().filter_map(zone).collect()
    }

    /// The label that policy knows it by.
    pub(super) fn label(&self) -> Option<String> {
        self.zones().first()?.label.clone()
    }

    /// Every plaintext path by which this inode is known; of one without a name left, its last.
    pub(super) fn paths(&self) -> Vec<Vec<u8>> {
        let names = self.names.lock();
        let links = names.links.clone();
        let last = names.last.as_ref().map(|(path, _)| path.clone());
        drop(names);
        if links.is_empty() {
            return last.or_else(|| self.path()).into_iter().collect();
        }
        let under = |parent: &Inode| parent.path().or_else(|| parent.paths().pop());
        links
            .iter()
            .filter_map(|link| Some(join(&under(&link.parent)?, &link.name)))
            .collect()
    }
}

impl Link {
    /// What governs the inode there: of a directory, what is made in it.
    fn zone(&self, is_directory: bool) -> Option<Arc<Zone>> {
        let parent = self.parent.directory.lock();
        let parent = parent.as_ref()?;
        Some(if is_directory {
            parent.zone_of(&self.name)
        } else {
            parent.zone.clone()
        })
    }
}

/// `name` below `parent`.
pub(super) fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() {
        name.to_vec()
    } else {
        [parent, b"/", name].concat()
    }
}

struct Known {
    inode: Arc<Inode>,
    /// How often the kernel was told of it and did not yet forget.
    lookups: u64,
}

struct Inner {
    by_ino: HashMap<Ino, Known>,
    descriptors: LruCache<Ino, Arc<OwnedFd>>,
}

pub(super) struct InodeTable {
    root: Arc<Inode>,
    inner: Mutex<Inner>,
    names_change: RwLock<()>,
}

impl InodeTable {
    /// A table with the root in it; `descriptors` bounds the cache.
    pub(super) fn new(root: OwnedFd, descriptors: NonZeroUsize) -> io::Result<Self> {
        let node = NodeId::of(&sys::stat(&root)?);
        let inode = Inode::new(Ino::ROOT, node, FileType::Directory);
        inode.names.lock().pinned = Some(Arc::new(root));
        let descriptors = LruCache::new(descriptors);
        let inner = Mutex::new(Inner {
            by_ino: HashMap::new(),
            descriptors,
        });
        Ok(Self {
            root: Arc::new(inode),
            inner,
            names_change: RwLock::new(()),
        })
    }

    pub(super) fn root(&self) -> &Arc<Inode> {
        &self.root
    }

    /// The inode that the kernel names.
    pub(super) fn get(&self, ino: Ino) -> Result<Arc<Inode>, FsError> {
        if ino == Ino::ROOT {
            return Ok(self.root.clone());
        }
        let inner = self.inner.lock();
        inner
            .by_ino
            .get(&ino)
            .map(|known| known.inode.clone())
            .ok_or(Errno::STALE.into())
    }

    /// How many inodes are known.
    pub(super) fn len(&self) -> usize {
        self.inner.lock().by_ino.len()
    }

    /// Takes note that the kernel is told of the node that `descriptor` and `stat` are of, by `link`.
    pub(super) fn remember(
        &self,
        link: Link,
        stat: &sys::Stat,
        descriptor: OwnedFd,
    ) -> Result<Arc<Inode>, FsError> {
        let node = NodeId::of(stat);
        if node.device != self.root.node.device {
            // Something is mounted inside the backing directory: its inode numbers may repeat ours.
            return Err(Errno::XDEV.into());
        }
        let ino = NodeId::ino_of(node.ino);
        let mut inner = self.inner.lock();
        let known = inner.by_ino.entry(ino).or_insert_with(|| Known {
            inode: Arc::new(Inode::new(ino, node, FileType::from_raw_mode(stat.st_mode))),
            lookups: 0,
        });
        known.lookups += 1;
        let inode = known.inode.clone();
        inner.descriptors.put(ino, Arc::new(descriptor));
        drop(inner);
        inode.names.lock().add(link);
        Ok(inode)
    }

    /// The inode `ino`, if it is known; the kernel is told of it once more.
    pub(super) fn remember_again(&self, ino: Ino) -> Option<Arc<Inode>> {
        if ino == Ino::ROOT {
            return Some(self.root.clone());
        }
        let mut inner = self.inner.lock();
        let known = inner.by_ino.get_mut(&ino)?;
        known.lookups += 1;
        Some(known.inode.clone())
    }

    /// The inode of the backing node `stat`, if the kernel knows it.
    pub(super) fn find(&self, stat: &sys::Stat) -> Option<Arc<Inode>> {
        let node = NodeId::of(stat);
        let inner = self.inner.lock();
        inner
            .by_ino
            .get(&NodeId::ino_of(node.ino))
            .map(|known| &known.inode)
            .filter(|i| i.node == node)
            .cloned()
    }

    /// The kernel forgets `count` of its lookups.
    pub(super) fn forget(&self, ino: Ino, count: u64) {
        let mut inner = self.inner.lock();
        let Some(known) = inner.by_ino.get_mut(&ino) else {
            return;
        };
        known.lookups = known.lookups.saturating_sub(count);
        inner.reap(ino);
    }

    /// A descriptor of the inode's backing node (`O_PATH`).
    pub(super) fn descriptor(&self, inode: &Inode) -> Result<Arc<OwnedFd>, FsError> {
        if let Some(held) = self.held(inode) {
            return Ok(held);
        }
        let _unchanging = self.names_change.read();
        // Upwards to an ancestor whose descriptor is held, then down again: a loop, since a tree may
        // be deeper than a stack.
        let mut way = Vec::new();
        let mut next = (inode.ino, inode.node, inode.link());
        let mut descriptor = loop {
            let (ino, node, Some(link)) = next else {
                return Err(Errno::STALE.into());
            };
            let parent = link.parent.clone();
            way.push((ino, node, link));
            match self.held(&parent) {
                Some(held) => break held,
                None => next = (parent.ino, parent.node, parent.link()),
            }
        };
        for (ino, node, link) in way.into_iter().rev() {
            let opened = sys::open_node(&*descriptor, &link.entry)?;
            if NodeId::of(&sys::stat(&opened)?) != node {
                return Err(Damage::Replaced.into());
            }
            descriptor = Arc::new(opened);
            self.inner.lock().descriptors.put(ino, descriptor.clone());
        }
        Ok(descriptor)
    }

    fn held(&self, inode: &Inode) -> Option<Arc<OwnedFd>> {
        let pinned = inode.names.lock().pinned.clone();
        pinned.or_else(|| self.inner.lock().descriptors.get(&inode.ino).cloned())
    }

    /// A name that was told to nobody is gone again, with the lookup that it came with.
    pub(super) fn forget_link(&self, inode: &Inode, parent: &Inode, name: &[u8]) {
        if let Some(held) = self.held(inode) {
            Self::remove_link(inode, parent, name, held);
        }
        self.forget(inode.ino, 1);
    }

    /// Held while a name changes on disk and then here, so that no inode is sought by a name that it
    /// no longer has. Whoever holds it asks for no descriptor.
    pub(super) fn changing_names(&self) -> RwLockWriteGuard<'_, ()> {
        self.names_change.write()
    }

    /// Held while no name may change here or on disk.
    pub(super) fn names_unchanging(&self) -> RwLockReadGuard<'_, ()> {
        self.names_change.read()
    }

    /// Takes note of a further name.
    pub(super) fn add_link(inode: &Inode, link: Link) {
        inode.note_renamed();
        inode.names.lock().add(link);
    }

    /// Takes note that the name `name` in `parent` is gone. `descriptor` keeps an inode without
    /// another known name reachable.
    pub(super) fn remove_link(
        inode: &Inode,
        parent: &Inode,
        name: &[u8],
        descriptor: Arc<OwnedFd>,
    ) {
        inode.note_renamed();
        let last_path = parent.path().map(|parent| join(&parent, name));
        let last_zone = inode.zones().into_iter().next();
        let mut names = inode.names.lock();
        names
            .links
            .retain(|link| link.parent.ino != parent.ino || link.name != name);
        if names.links.is_empty() {
            names.pinned = Some(descriptor);
            names.last = last_path.map(|path| (path, last_zone));
        }
    }
}

impl Drop for InodeTable {
    /// Inodes hold their parents: let go of one by one, a deep tree would be left by a recursion as
    /// deep.
    fn drop(&mut self) {
        for known in self.inner.get_mut().by_ino.values() {
            known.inode.names.lock().links.clear();
        }
    }
}

impl Inner {
    /// Drops the entry of `ino` and then of its ancestors, as far as nothing needs them.
    fn reap(&mut self, ino: Ino) {
        let mut next = Some(ino);
        while let Some(ino) = next.take() {
            // The table's own reference is one; children, handles and requests hold the others.
            let unneeded = self
                .by_ino
                .get(&ino)
                .is_some_and(|known| known.lookups == 0 && Arc::strong_count(&known.inode) == 1);
            if unneeded {
                self.descriptors.pop(&ino);
                let known = self.by_ino.remove(&ino).expect("it was just there");
                next = known.inode.link().map(|link| link.parent.ino);
            }
        }
    }
}

impl Names {
    fn add(&mut self, link: Link) {
        let known = |old: &Link| old.parent.ino == link.parent.ino && old.name == link.name;
        if !self.links.iter().any(known) {
            // Nearly every inode has one name: a vector that grows by itself makes room for four.
            self.links.reserve_exact(1);
            self.links.push(link);
        }
        // A name is enough to find it again: the root alone stays pinned, and has no name.
        self.pinned = None;
    }
}

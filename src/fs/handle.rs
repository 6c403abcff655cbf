//! Open handles by the number that the kernel gives back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rustix::io::Errno;

use super::FsError;

/// The number of an open handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HandleId(pub u64);

/// The open handles of one kind. A number is never used twice.
pub(super) struct Handles<T> {
    next: AtomicU64,
    open: RwLock<HashMap<HandleId, Arc<T>>>,
}

impl<T> Handles<T> {
    pub(super) fn new() -> Self {
        Self {
            next: AtomicU64::new(1),
            open: RwLock::default(),
        }
    }

    pub(super) fn insert(&self, handle: T) -> (HandleId, Arc<T>) {
        let id = HandleId(self.next.fetch_add(1, Ordering::Relaxed));
        let handle = Arc::new(handle);
        self.open.write().insert(id, handle.clone());
        (id, handle)
    }

    pub(super) fn get(&self, id: HandleId) -> Result<Arc<T>, FsError> {
        self.open.read().get(&id).cloned().ok_or(Errno::BADF.into())
    }

    pub(super) fn remove(&self, id: HandleId) -> Result<Arc<T>, FsError> {
        self.open.write().remove(&id).ok_or(Errno::BADF.into())
    }

    pub(super) fn len(&self) -> usize {
        self.open.read().len()
    }

    /// All that are open.
    pub(super) fn all(&self) -> Vec<Arc<T>> {
        self.open.read().values().cloned().collect()
    }

    /// Something of each that is open.
    pub(super) fn map<R>(&self, of: impl Fn(&T) -> R) -> Vec<R> {
        self.open.read().values().map(|handle| of(handle)).collect()
    }

    /// All that are open, to be closed.
    pub(super) fn ids(&self) -> Vec<HandleId> {
        self.open.read().keys().copied().collect()
    }
}

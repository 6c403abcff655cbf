//! How much of a server one door may take. Each has its own: whoever fills the network's, which takes
//! no authentication, does not keep out the mounts at the home's own socket.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::limits;

/// The places of one door.
pub(super) struct Room {
    connections: Arc<Semaphore>,
    requests: Semaphore,
}

impl Room {
    /// Room for one of `doors` doors of a process that may have `files` files open.
    pub(super) fn new(files: u64, doors: usize) -> Self {
        // A quarter of the descriptors: the rest is for the store, the log and a mount's files.
        let share = usize::try_from(files / 4).unwrap_or(usize::MAX) / doors.max(1);
        Self {
            connections: Arc::new(Semaphore::new(share.clamp(16, limits::CONNECTIONS))),
            requests: Semaphore::new(limits::REQUESTS),
        }
    }

    /// A place for a connection; `None` when all are taken.
    pub(super) fn connection(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.connections).try_acquire_owned().ok()
    }

    /// A place for a request; `None` when all are taken.
    pub(super) fn request(&self) -> Option<SemaphorePermit<'_>> {
        self.requests.try_acquire().ok()
    }

    /// Whether a request would be throttled.
    pub(super) fn is_full(&self) -> bool {
        self.requests.available_permits() == 0
    }
}

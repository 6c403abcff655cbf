//! How much of a server one door may take. Each has its own: whoever fills the network's, which takes
//! no authentication, does not keep out the mounts at the home's own socket.

use std::sync::Arc;

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    task::{JoinError, spawn_blocking},
};

use super::limits;

/// The places of one door.
pub(super) struct Room {
    connections: Arc<Semaphore>,
    requests: Semaphore,
    threads: Arc<Semaphore>,
}

impl Room {
    /// Room for one of `doors` doors of a process that may have `files` files open.
    pub(super) fn new(files: u64, doors: usize) -> Self {
        // A quarter of the descriptors: the rest is for the store, the log and a mount's files.
        let share = usize::try_from(files / 4).unwrap_or(usize::MAX) / doors.max(1);
        Self {
            connections: Arc::new(Semaphore::new(share.clamp(16, limits::CONNECTIONS))),
            requests: Semaphore::new(limits::REQUESTS),
            threads: Arc::new(Semaphore::new(limits::BLOCKING)),
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

    /// Has a thread do `work`, which may take its time, once this door has one free. What is given up
    /// before is not begun: otherwise the work of clients who do not wait would pile up.
    pub(super) async fn on_thread<R: Send + 'static>(
        &self,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, JoinError> {
        let turn = Arc::clone(&self.threads).acquire_owned().await;
        spawn_blocking(move || {
            let _turn = turn;
            work()
        })
        .await
    }

    /// Whether a request would be throttled.
    pub(super) fn is_full(&self) -> bool {
        self.requests.available_permits() == 0
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        time::Duration,
    };

    use tokio::time::timeout;

    use super::{Room, limits};

    #[test]
    fn work_that_is_given_up_before_its_turn_is_not_begun() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_time()
            .build()
            .unwrap();
        let room = Arc::new(Room::new(1024, 1));
        let (begun, end) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Barrier::new(limits::BLOCKING + 1)),
        );
        let work = || {
            let (begun, end) = (Arc::clone(&begun), Arc::clone(&end));
            move || {
                begun.fetch_add(1, Ordering::SeqCst);
                end.wait();
            }
        };
        runtime.block_on(async {
            let mut running = Vec::new();
            for _ in 0..limits::BLOCKING {
                let (room, work) = (Arc::clone(&room), work());
                running.push(tokio::spawn(async move { room.on_thread(work).await }));
            }
            while begun.load(Ordering::SeqCst) < limits::BLOCKING {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let given_up = timeout(Duration::from_millis(10), room.on_thread(work())).await;
            assert!(given_up.is_err());
            end.wait();
            for done in running {
                done.await.unwrap().unwrap();
            }
        });
        assert_eq!(begun.load(Ordering::SeqCst), limits::BLOCKING);
    }
}

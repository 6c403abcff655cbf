//! Serving the key service: a thin HTTP adapter on Unix sockets and TCP.
//!
//! `HOME/kms.sock` serves the home's other processes; `kmsfs kms serve` opens more doors. On a Unix
//! socket the kernel says who calls (`SO_PEERCRED`), on TCP a signature does ([`sigv4`]).

mod admission;
mod answer;
mod connection;
mod dispatch;
mod doors;
mod limits;
mod metrics;
mod respond;
mod room;
mod sigv4;

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Runtime,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

pub use self::doors::TlsFiles;
pub(super) use self::doors::{Door, Tls, remove as remove_socket};
use self::{limits::GRACE, metrics::Metrics, room::Room};
use super::{
    HomeError, KmsError,
    administration::Administrator,
    api::Plaintext,
    embedded::{Embedded, Scheduler},
    home::Inner,
    name::Region,
    wire::{self, CALLER, TARGET},
};
use crate::sys;

/// What a server lets its clients do beyond the API itself.
#[derive(Default)]
pub(super) struct Rules {
    /// The Regions it serves; `None` serves every one.
    pub(super) regions: Option<Vec<Region>>,
    /// Whether `POST /reset` empties it.
    pub(super) allow_reset: bool,
}

impl Rules {
    /// Has `service` keep to them where it does by itself what no request is addressed to.
    fn bind(&self, service: &Embedded) {
        if let Some(regions) = &self.regions {
            service.serve_only(regions);
        }
    }
}

/// What requests are answered from.
pub(super) struct Shared {
    home: Arc<Inner>,
    /// Before the service, so that it ends first.
    scheduler: OnceLock<Scheduler>,
    /// Empty while the home is sealed.
    service: OnceLock<Arc<Embedded>>,
    rules: Rules,
    metrics: Metrics,
    started: Instant,
    unsealing: Mutex<()>,
}

impl Shared {
    pub(super) fn new(
        home: &Arc<Inner>,
        service: Option<Arc<Embedded>>,
        rules: Rules,
    ) -> Arc<Self> {
        if let Some(service) = &service {
            rules.bind(service);
        }
        Arc::new(Self {
            home: Arc::clone(home),
            scheduler: OnceLock::new(),
            service: service.map_or_else(OnceLock::new, OnceLock::from),
            rules,
            metrics: Metrics::new(),
            started: Instant::now(),
            unsealing: Mutex::default(),
        })
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.service.get().is_none()
    }

    /// Opens the store and the log, and answers from now on. The root key is there.
    pub(super) fn open(&self) -> Result<(), HomeError> {
        let service = Arc::new(Embedded::open(&self.home)?);
        self.rules.bind(&service);
        let _ = self.scheduler.set(Scheduler::start(&service)?);
        let _ = self.service.set(service);
        Ok(())
    }

    /// Opens the store and the log with the root key, and answers from now on.
    fn unseal(&self, _administrator: &Administrator, root: Plaintext) -> Result<(), KmsError> {
        let root = root
            .into_key()
            .filter(|root| self.home.json.has_root(root))
            .ok_or_else(|| KmsError::AccessDenied("this is not the home's root key".to_owned()))?;
        // One at a time: the store and the log are opened once.
        let _unsealing = self.unsealing.lock();
        if self.service.get().is_some() {
            return Ok(());
        }
        // It may be there already, from an attempt that failed below.
        let _ = self.home.root.set(Arc::new(root));
        self.open().map_err(|error| {
            tracing::error!(%error, "the home has its root key and still cannot be opened");
            KmsError::Internal(error.to_string())
        })?;
        tracing::info!("unsealed");
        Ok(())
    }
}

/// A running server. Dropped, it takes no more requests, finishes those under way and removes its
/// sockets.
pub(super) struct Server {
    runtime: Option<Runtime>,
    stop: watch::Sender<bool>,
    /// Ends once every request under way is answered.
    serving: Option<JoinHandle<()>>,
    sockets: Vec<PathBuf>,
}

impl Server {
    /// Serves at `doors` with `workers` threads. The caller holds the home's lock.
    pub(super) fn start(
        shared: &Arc<Shared>,
        doors: Vec<Door>,
        workers: usize,
    ) -> Result<Self, HomeError> {
        let failed = |what| HomeError::io(what, &shared.home.path);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(limits::BLOCKING * doors.len().max(1))
            .thread_name("kms-server")
            .enable_all()
            .build()
            .map_err(failed("start threads to serve"))?;
        let sockets = doors.iter().filter_map(Door::socket).collect();
        let (stop, stopped) = watch::channel(false);
        let mut open = JoinSet::new();
        let (files, count) = (sys::file_limit(), doors.len());
        for door in doors {
            let entered = runtime.enter();
            let room = Arc::new(Room::new(files, count));
            let serve = door.serve(Arc::clone(shared), room, stopped.clone());
            let serve = serve.map_err(failed("listen for"))?;
            drop(entered);
            open.spawn_on(serve, runtime.handle());
        }
        let serving = runtime.spawn(async move { while open.join_next().await.is_some() {} });
        Ok(Self {
            runtime: Some(runtime),
            stop,
            serving: Some(serving),
            sockets,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Doors that have failed do not listen.
        let _ = self.stop.send(true);
        for socket in &self.sockets {
            // Best effort: whoever owns the home next removes it as well.
            drop(fs::remove_file(socket));
        }
        let (Some(runtime), Some(serving)) = (self.runtime.take(), self.serving.take()) else {
            return;
        };
        // Shutting the runtime down cancels what it runs, so first the answers have to be out:
        // otherwise an operation is done and its caller told that it failed.
        if runtime
            .block_on(async { timeout(GRACE, serving).await })
            .is_err()
        {
            tracing::warn!("requests to the key service took too long to end and were cut off");
        }
        runtime.shutdown_timeout(GRACE);
    }
}

#[cfg(test)]
mod tests;

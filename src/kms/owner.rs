//! Who answers for a home: this process, if it holds the home's lock, else the one that does; and
//! taking over from it when it ends.

use std::{
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use super::{
    Caller, HomeError, KeyService, KmsError,
    administration::{Administration, Administrator, with_administration},
    api::{self, Empty, Plaintext},
    client::{Client, Failure},
    embedded::{Embedded, Scheduler},
    home::Inner,
    lock::{Lock, LockFile},
    server::{self, Door, Rules, Server},
    service::{changes_something, with_operations},
    wire::{
        AttachedRequest, AttachedResponse, AuditAnchorRequest, AuditAnchorResponse, EpochRequest,
        EpochResponse, SOCKET, UnsealRequest,
    },
};
use crate::{
    audit::{Anchored, Head},
    crypto::SecretKey,
    sys,
};

/// How long a call may take when another process answers, taking over included.
const PATIENCE: Duration = Duration::from_secs(5);
/// Threads that serve the others beside what this process does itself.
const WORKERS: usize = 1;
/// How long to wait before asking again while the owner changes.
const RETRY: Duration = Duration::from_millis(10);

/// The home's key service, wherever it runs. Dropped, it stops serving and releases the home.
pub(super) struct Owner {
    shared: Arc<Shared>,
}

struct Shared {
    home: Arc<Inner>,
    backend: Mutex<Backend>,
    /// Wakes those who wait for another owner.
    taken_over: Condvar,
}

#[derive(Clone)]
enum Backend {
    Here(Arc<Serving>),
    Elsewhere(Arc<Client>),
}

/// Owning a home. The order of the fields is the order in which they end: no more requests, then
/// store and log closed, then the lock released.
struct Serving {
    _server: Server,
    _scheduler: Scheduler,
    service: Arc<Embedded>,
    _lock: Lock,
}

impl Serving {
    fn start(home: &Arc<Inner>, lock: Lock) -> Result<Arc<Self>, HomeError> {
        let service = Arc::new(Embedded::open(home)?);
        let scheduler = Scheduler::start(&service)?;
        let socket = home.file(SOCKET);
        let door = Door::of_home(socket.clone());
        let doors = vec![door.map_err(HomeError::io("serve", &socket))?];
        let shared = server::Shared::new(home, Some(Arc::clone(&service)), Rules::default());
        let server = Server::start(&shared, doors, WORKERS)?;
        Ok(Arc::new(Self {
            _server: server,
            _scheduler: scheduler,
            service,
            _lock: lock,
        }))
    }
}

impl Owner {
    pub(super) fn start(home: Arc<Inner>) -> Result<Arc<Self>, HomeError> {
        let backend = match LockFile::open(&home.path)?.try_lock() {
            Ok(lock) => {
                check_owner(&home)?;
                Backend::Here(Serving::start(&home, lock)?)
            }
            Err(None) => Backend::Elsewhere(Arc::new(Client::new(home.file(SOCKET)))),
            Err(Some(error)) => return Err(error),
        };
        let successor = matches!(backend, Backend::Elsewhere(_)) && check_owner(&home).is_ok();
        let shared = Arc::new(Shared {
            home,
            backend: Mutex::new(backend),
            taken_over: Condvar::new(),
        });
        if successor {
            succeed_later(&shared)?;
        }
        Ok(Arc::new(Self { shared }))
    }

    /// Has `here` answer if this process owns the home, else `elsewhere`; waits, within
    /// [`PATIENCE`], for another owner if there is none at the moment.
    fn ask<R>(
        &self,
        operation: &str,
        here: impl Fn(&Embedded) -> Result<R, KmsError>,
        elsewhere: impl Fn(&Client, Instant) -> Result<R, Failure>,
    ) -> Result<R, KmsError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let backend = self.shared.backend.lock().clone();
            let failure = match &backend {
                Backend::Here(serving) => return here(&serving.service),
                Backend::Elsewhere(client) => match elsewhere(client, deadline) {
                    Ok(response) => return Ok(response),
                    Err(Failure::Refused(error)) => return Err(error),
                    Err(Failure::Lost(reason)) if changes_something(operation) => {
                        return Err(KmsError::Unreachable(format!(
                            "the key service ended while it was asked for {operation} ({reason}): \
                             look whether it was done before asking again"
                        )));
                    }
                    Err(Failure::NotSent(reason) | Failure::Lost(reason)) => reason,
                },
            };
            if Instant::now() + RETRY >= deadline {
                let home = self.shared.home.path.display();
                return Err(KmsError::Unreachable(format!(
                    "the key service of {home} does not answer ({failure}): another process holds \
                     {home}/lock and should serve {home}/{SOCKET}; `fuser {home}/lock` names it"
                )));
            }
            let mut backend = self.shared.backend.lock();
            if matches!(*backend, Backend::Elsewhere(_)) {
                self.shared.taken_over.wait_for(&mut backend, RETRY);
            }
        }
    }
}

impl Owner {
    /// What is attached to users and groups, with its epoch; `None` while that is still `since`.
    pub(super) fn attached(&self, since: Option<u64>) -> Result<AttachedResponse, KmsError> {
        self.ask(
            "Attached",
            |service| Ok(service.attached(since)),
            |client, deadline| {
                let request = AttachedRequest { since };
                client.call("Kmsfs.Attached", None, &request, deadline)
            },
        )
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        // The successor's thread may hold `shared` for another moment: the home is released now.
        let nothing = Backend::Elsewhere(Arc::new(Client::new(self.shared.home.file(SOCKET))));
        let former = std::mem::replace(&mut *self.shared.backend.lock(), nothing);
        drop(former);
    }
}

/// Only the user who owns a home may own its service, or root in that user's place
/// ([`sys::act_for`]): files that another makes in it would lock the first one out. And only with the root key.
fn check_owner(home: &Inner) -> Result<(), HomeError> {
    let owner = home.owner_uid;
    if sys::own_identity().uid != owner {
        return Err(HomeError::NotOwner {
            path: home.path.clone(),
            owner,
        });
    }
    if home.root.get().is_none() {
        return Err(HomeError::Sealed(home.path.clone()));
    }
    Ok(())
}

/// Waits for the home's lock in a thread of its own, and takes over when it comes. The kernel hands
/// the lock over the moment its holder ends, however it ends.
fn succeed_later(shared: &Arc<Shared>) -> Result<(), HomeError> {
    let (home, weak) = (Arc::clone(&shared.home), Arc::downgrade(shared));
    let path = home.path.clone();
    // Never joined: it sleeps in flock(2), which nothing but the lock ends. Whoever drops the
    // `Owner` leaves it a dead `Weak`, and it ends when the lock comes, or with the process.
    thread::Builder::new()
        .name("kms-successor".to_owned())
        .spawn(move || {
            while let Err(error) = succeed(&home, &weak) {
                tracing::error!(%error, "cannot take over the key service; trying again");
                thread::sleep(Duration::from_secs(1));
            }
        })
        .map(drop)
        .map_err(HomeError::io("start a thread for", &path))
}

fn succeed(home: &Arc<Inner>, shared: &Weak<Shared>) -> Result<(), HomeError> {
    let lock = LockFile::open(&home.path)?.lock()?;
    let Some(shared) = shared.upgrade() else {
        return Ok(());
    };
    let serving = Serving::start(home, lock)?;
    tracing::info!(home = %home.path.display(), "took over the key service");
    *shared.backend.lock() = Backend::Here(serving);
    shared.taken_over.notify_all();
    Ok(())
}

macro_rules! forward_operations {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        impl KeyService for Owner {
            $(
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>
                {
                    let target = concat!("TrentService.", stringify!($operation));
                    self.ask(
                        stringify!($operation),
                        |service| KeyService::$method(service, caller, request),
                        |client, deadline| client.call(target, Some(caller), request, deadline),
                    )
                }
            )+

            fn epoch(&self) -> Result<u64, KmsError> {
                let answer = self.ask(
                    "Epoch",
                    |service| Ok(EpochResponse { epoch: service.epoch()? }),
                    |client, deadline| client.call("Kmsfs.Epoch", None, &Empty {}, deadline),
                )?;
                Ok(answer.epoch)
            }

            fn follow(&self, mount: &str, enforced: Option<u64>) -> Result<u64, KmsError> {
                let request = EpochRequest::of_mount(mount, enforced);
                let answer = self.ask(
                    "Epoch",
                    |service| Ok(EpochResponse { epoch: service.follow(mount, enforced)? }),
                    |client, deadline| client.call("Kmsfs.Epoch", None, &request, deadline),
                )?;
                Ok(answer.epoch)
            }

            fn audit_anchor(&self, log: &str, seq: u64, hash: &[u8; 32])
                -> Result<Anchored, KmsError>
            {
                let head = Head { log: log.to_owned(), seq, hash: *hash };
                let request = AuditAnchorRequest { head };
                self.ask(
                    "AuditAnchor",
                    |service| service.audit_anchor(log, seq, hash),
                    |client, deadline| {
                        let target = "Kmsfs.AuditAnchor";
                        let answer: AuditAnchorResponse =
                            client.call(target, None, &request, deadline)?;
                        Ok(Anchored { signature: answer.signature, other: answer.other })
                    },
                )
            }

            fn may_wait(&self) -> bool {
                matches!(*self.shared.backend.lock(), Backend::Elsewhere(_))
            }
        }
    };
}
with_operations!(forward_operations);

macro_rules! forward_administration {
    ($(
        $(#[$about:meta])*
        $method:ident = $operation:ident($request:ty) -> $response:ty;
    )+) => {
        impl Administration for Owner {
            $(
                fn $method(&self, caller: &Caller, request: &$request)
                    -> Result<$response, KmsError>
                {
                    let target = concat!("Kmsfs.", stringify!($operation));
                    let administrator = Administrator::in_this_process();
                    self.ask(
                        stringify!($operation),
                        |service| service.administer(&administrator).$method(caller, request),
                        |client, deadline| client.call(target, Some(caller), request, deadline),
                    )
                }
            )+
        }
    };
}
with_administration!(forward_administration);

/// Sends the root key to the sealed server of the home.
pub(super) fn unseal_server(home: &Inner, root: &SecretKey) -> Result<(), HomeError> {
    let request = UnsealRequest {
        root_key: Plaintext::new(root.expose().to_vec()),
    };
    let deadline = Instant::now() + PATIENCE;
    let client = Client::new(home.file(SOCKET));
    let answer: Result<Empty, Failure> = client.call("Kmsfs.Unseal", None, &request, deadline);
    let failed = |reason| HomeError::Unseal {
        path: home.path.clone(),
        reason,
    };
    match answer {
        Ok(Empty {}) => Ok(()),
        Err(Failure::Refused(error)) => Err(failed(error.to_string())),
        Err(Failure::NotSent(reason) | Failure::Lost(reason)) => Err(failed(reason)),
    }
}

#[cfg(test)]
mod tests;

//! Serving the home's other processes: a thin HTTP adapter on `HOME/kms.sock`.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixListener as StdListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, DefaultBodyLimit, State, connect_info::Connected},
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
    serve::IncomingStream,
};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    net::UnixListener,
    runtime::Runtime,
    sync::oneshot,
    task::{self, JoinHandle},
    time::timeout,
};
use zeroize::Zeroizing;

use super::{
    Caller, HomeError, KeyService, KmsError,
    api::{self, names::VIOLATION},
    embedded::Embedded,
    home::Inner,
    service::with_operations,
    wire::{
        self, AWS, AuditAnchorRequest, AuditAnchorResponse, CALLER, CONTENT_TYPE, EpochResponse,
        ErrorBody, OURS, SOCKET, SocketPath, TARGET,
    },
};

/// The longest request body: a key policy of 128 KiB (the API's own limit), escaped.
const MAX_BODY: usize = 1 << 20;
/// How many requests are worked on at once; more wait.
const WORKERS: usize = 16;
/// How long requests under way may take to finish when the service ends.
const GRACE: Duration = Duration::from_secs(2);

/// A running server. Dropped, it takes no more requests, finishes those under way and removes the
/// socket.
pub(super) struct Server {
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    /// Ends once every request under way is answered.
    serving: Option<JoinHandle<()>>,
    socket: PathBuf,
}

/// What a request is answered from.
#[derive(Clone)]
struct Shared {
    home: Arc<Inner>,
    service: Arc<Embedded>,
}

/// Who is at the other end of a connection, as the kernel tells (`SO_PEERCRED`).
#[derive(Clone, Copy)]
struct Peer {
    uid: u32,
    gid: u32,
    pid: Option<u32>,
}

/// A connection's peer; `None` when the kernel does not tell, which refuses its requests.
#[derive(Clone)]
struct Connection(Option<Peer>);

impl Connected<IncomingStream<'_, UnixListener>> for Connection {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self(credentials.map(|credentials| Peer {
            uid: credentials.uid(),
            gid: credentials.gid(),
            pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()),
        }))
    }
}

impl Server {
    /// Serves `service` on the home's socket. The caller holds the home's lock, so a socket that is
    /// there already is a dead owner's.
    pub(super) fn start(home: &Arc<Inner>, service: &Arc<Embedded>) -> Result<Self, HomeError> {
        let socket = home.file(SOCKET);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(WORKERS)
            .thread_name("kms-server")
            .enable_all()
            .build()
            .map_err(HomeError::io("start threads to serve", &socket))?;
        let listener = runtime.block_on(async { listen(&socket) });
        let listener = listener.map_err(HomeError::io("serve", &socket))?;
        let shared = Shared {
            home: Arc::clone(home),
            service: Arc::clone(service),
        };
        let router = Router::new()
            .fallback(answer)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(shared)
            .into_make_service_with_connect_info::<Connection>();
        let (stop, stopped) = oneshot::channel();
        let serving = runtime.spawn(async move {
            let serve = axum::serve(listener, router).with_graceful_shutdown(async {
                // Told to stop, or the server was dropped without telling: the same.
                drop(stopped.await);
            });
            if let Err(error) = serve.await {
                tracing::error!(%error, "the key service's socket failed");
            }
        });
        Ok(Self {
            runtime: Some(runtime),
            stop: Some(stop),
            serving: Some(serving),
            socket,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        // Best effort: whoever owns the home next removes it as well.
        drop(fs::remove_file(&self.socket));
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

fn listen(socket: &Path) -> io::Result<UnixListener> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = StdListener::bind(SocketPath::new(socket)?.as_path())?;
    // The home itself lets nobody else in; this is for whoever loosens it.
    fs::set_permissions(socket, fs::Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

async fn answer(
    State(shared): State<Shared>,
    ConnectInfo(Connection(peer)): ConnectInfo<Connection>,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    // Off the runtime's own thread: an operation may wait for the disk.
    let answered = task::spawn_blocking(move || shared.answer(peer, &headers, &body));
    let result = answered.await.unwrap_or_else(|panic| {
        tracing::error!(%panic, "an operation of the key service panicked");
        Err(KmsError::Internal(
            "the operation failed unexpectedly".to_owned(),
        ))
    });
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (
            StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            write(&ErrorBody {
                code: error.code().to_owned(),
                message: error.message().to_owned(),
            }),
        ),
    };
    let mut response = Response::new(Body::from(Bytes::from_owner(body)));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(CONTENT_TYPE);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert("x-amzn-requestid", id);
    }
    response
}

/// A response's body. It may hold a plaintext, so it is wiped once sent.
type ResponseBody = Zeroizing<Vec<u8>>;

impl Shared {
    fn answer(
        &self,
        peer: Option<Peer>,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<ResponseBody, KmsError> {
        let target = headers
            .get(TARGET)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let no_peer = || KmsError::AccessDenied("the peer has no credentials".to_owned());
        let (caller, trusted) = self.caller(peer.ok_or_else(no_peer)?, headers)?;
        if let Some(operation) = target.strip_prefix(AWS) {
            self.dispatch(operation, &caller, body)
        } else if let Some(operation) = target.strip_prefix(OURS) {
            self.dispatch_ours(operation, trusted, body)
        } else {
            Err(KmsError::UnknownOperation(format!(
                "{TARGET}: {target:?} names no operation"
            )))
        }
    }

    /// Who calls, and whether the peer is trusted to speak for others.
    fn caller(&self, peer: Peer, headers: &HeaderMap) -> Result<(Caller, bool), KmsError> {
        let Peer { uid, gid, pid } = peer;
        let trusted = uid == 0 || uid == self.home.owner_uid;
        let Some(forwarded) = headers.get(CALLER) else {
            let unknown =
                |error| KmsError::Internal(format!("user {uid} cannot be looked up: {error}"));
            let principal = self.home.principals.get(uid, gid).map_err(unknown)?;
            return Ok((
                Caller {
                    uid: Some(uid),
                    pid,
                    ..Caller::new(principal)
                },
                trusted,
            ));
        };
        if !trusted {
            return Err(KmsError::AccessDenied(format!(
                "user id {uid} may not speak for others: only root and the home's owner may"
            )));
        }
        let caller = wire::decode_caller(forwarded.as_bytes());
        let malformed = || KmsError::Serialization(format!("the header {CALLER} is malformed"));
        Ok((caller.ok_or_else(malformed)?, trusted))
    }

    fn dispatch_ours(
        &self,
        operation: &str,
        trusted: bool,
        body: &[u8],
    ) -> Result<ResponseBody, KmsError> {
        match operation {
            "Epoch" => Ok(write(&EpochResponse {
                epoch: self.service.epoch()?,
            })),
            "AuditAnchor" if trusted => {
                let AuditAnchorRequest { head } = read(body)?;
                let anchored = self.service.audit_anchor(&head.log, head.seq, &head.hash)?;
                let (signature, other) = (anchored.signature, anchored.other);
                Ok(write(&AuditAnchorResponse { signature, other }))
            }
            "AuditAnchor" => Err(KmsError::AccessDenied(
                "only root and the home's owner have audit logs anchored".to_owned(),
            )),
            unknown => Err(KmsError::UnknownOperation(format!("{OURS}{unknown}"))),
        }
    }
}

macro_rules! dispatch_operations {
    (
        {}
        $(
            $(#[$about:meta])*
            $method:ident = $operation:ident($request:ty) -> $response:ty;
        )+
    ) => {
        impl Shared {
            fn dispatch(&self, operation: &str, caller: &Caller, body: &[u8])
                -> Result<ResponseBody, KmsError>
            {
                match operation {
                    $(
                        stringify!($operation) => {
                            let request: $request = read(body)?;
                            let response: $response = self.service.$method(caller, &request)?;
                            Ok(write(&response))
                        }
                    )+
                    unknown => Err(KmsError::UnknownOperation(format!("{AWS}{unknown}"))),
                }
            }
        }
    };
}
with_operations!(dispatch_operations);

fn write(response: &impl Serialize) -> ResponseBody {
    Zeroizing::new(serde_json::to_vec(response).expect("responses are plain data"))
}

/// Reads a request. What serde finds is told in AWS's words: a missing member and a name outside
/// its set are violated constraints, everything else is not JSON of this shape.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, KmsError> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body).map_err(|error| {
        let position = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string();
        let message = message.strip_suffix(&position).unwrap_or(&message);
        let missing = message
            .strip_prefix("missing field `")
            .and_then(|m| m.strip_suffix('`'));
        if let Some(member) = missing {
            let (first, rest) = member.split_at(1);
            KmsError::constraint(&format!(
                "Value null at '{}{rest}' failed to satisfy constraint: Member must not be null",
                first.to_lowercase()
            ))
        } else if message.starts_with(VIOLATION) {
            KmsError::constraint(message)
        } else {
            KmsError::Serialization(message.to_owned())
        }
    })
}

#[cfg(test)]
mod tests;

//! One connection: its TLS handshake, and HTTP/1.1 or HTTP/2 on it.

use std::{
    convert::Infallible,
    fmt::Display,
    mem,
    net::IpAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{
    Request,
    body::Incoming,
    rt::{Read, Write},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::Watcher,
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::{Duration, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

use super::{
    Shared,
    admission::{Credentials, Peer},
    answer::answer,
    limits,
    respond::TOO_MANY_CONNECTIONS,
    room::Room,
};

/// A connection as it was accepted.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream, IpAddr),
}

/// Serves a connection until it ends.
pub(super) async fn serve(
    stream: Stream,
    tls: Option<Arc<ServerConfig>>,
    shared: &Arc<Shared>,
    room: &Arc<Room>,
    watcher: Watcher,
) {
    match (stream, tls) {
        (Stream::Unix(stream), _) => {
            let credentials = stream.peer_cred().ok().map(|credentials| Credentials {
                uid: credentials.uid(),
                gid: credentials.gid(),
                pid: credentials.pid().and_then(|pid| u32::try_from(pid).ok()),
            });
            let peer = Peer::Unix(credentials);
            http_1(
                TokioIo::new(stream),
                peer,
                limits::UNIX_HEAD,
                shared,
                room,
                watcher,
            )
            .await;
        }
        (Stream::Tcp(stream, address), None) => {
            let peer = Peer::Tcp {
                address,
                tls: false,
            };
            http_1(
                TokioIo::new(stream),
                peer,
                limits::TCP_HEAD,
                shared,
                room,
                watcher,
            )
            .await;
        }
        (Stream::Tcp(stream, address), Some(config)) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            let stream = match timeout(limits::HANDSHAKE, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => {
                    tracing::debug!(%address, %error, "a TLS handshake failed");
                    return;
                }
                Err(_) => return,
            };
            let peer = Peer::Tcp { address, tls: true };
            let is_http_2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
            let io = TokioIo::new(stream);
            if is_http_2 {
                http_2(io, peer, shared, room, watcher).await;
            } else {
                http_1(io, peer, limits::TCP_HEAD, shared, room, watcher).await;
            }
        }
    }
}

async fn http_1<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    peer: Peer,
    head: Duration,
    shared: &Arc<Shared>,
    room: &Arc<Room>,
    watcher: Watcher,
) {
    let requests = Requests::default();
    let service = service_fn(|request: Request<Incoming>| async {
        let _open = requests.begin();
        Ok::<_, Infallible>(answer(shared, room, peer, request).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(limits::MAX_HEAD)
        .serve_connection(io, service);
    while_busy(watcher.watch(connection), &requests, head).await;
}

async fn http_2<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    peer: Peer,
    shared: &Arc<Shared>,
    room: &Arc<Room>,
    watcher: Watcher,
) {
    let requests = Arc::new(Requests::default());
    let service = {
        let (shared, room, requests) =
            (Arc::clone(shared), Arc::clone(room), Arc::clone(&requests));
        service_fn(move |request: Request<Incoming>| {
            let (shared, room) = (Arc::clone(&shared), Arc::clone(&room));
            let requests = Arc::clone(&requests);
            async move {
                let _open = requests.begin();
                Ok::<_, Infallible>(answer(&shared, &room, peer, request).await)
            }
        })
    };
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::TCP_HEAD)
        .keep_alive_timeout(limits::HANDSHAKE)
        .max_concurrent_streams(limits::STREAMS)
        .max_header_list_size(limits::MAX_HEAD as u32)
        .serve_connection(io, service);
    while_busy(watcher.watch(connection), &requests, limits::TCP_HEAD).await;
}

/// The requests of one connection.
#[derive(Default)]
struct Requests {
    begun: AtomicU64,
    open: AtomicU64,
}

/// A request that is not answered yet, nor given up.
struct OpenRequest<'a>(&'a Requests);

impl Requests {
    fn begin(&self) -> OpenRequest<'_> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenRequest(self)
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Lets a connection go on until it ends, or nothing was asked on it for as long as `idle` (up to
/// twice that). HTTP/2 has no such limit of its own: a client that answers pings would keep its
/// place for ever, and so would one of HTTP/1.1 that reads no answer.
async fn while_busy<E: Display>(
    connection: impl Future<Output = Result<(), E>>,
    requests: &Requests,
    idle: Duration,
) {
    let mut connection = pin!(connection);
    let mut begun = 0;
    loop {
        match timeout(idle, &mut connection).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                tracing::debug!(%error, "a connection ended badly");
                return;
            }
            Err(_) => {}
        }
        let before = mem::replace(&mut begun, requests.begun.load(Ordering::Relaxed));
        if begun == before && requests.open.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}

/// Tells a client to come back later, without reading anything. Under TLS there is no way to say so
/// without a handshake, and that is what there is no room for.
pub(super) fn turn_away(stream: Stream, tls: bool) {
    if tls {
        return;
    }
    tokio::spawn(async move {
        let told = async {
            match stream {
                Stream::Unix(mut stream) => stream.write_all(TOO_MANY_CONNECTIONS).await,
                Stream::Tcp(mut stream, _) => stream.write_all(TOO_MANY_CONNECTIONS).await,
            }
        };
        // Whoever is told may be gone.
        let _ = timeout(Duration::from_secs(1), told).await;
    });
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, future::pending};

    use tokio::time::{Duration, timeout};

    use super::{Requests, while_busy};

    const IDLE: Duration = Duration::from_millis(10);
    const LONG: Duration = Duration::from_secs(30);

    fn run(future: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(future);
    }

    #[test]
    fn a_connection_on_which_nothing_is_asked_is_closed() {
        let requests = Requests::default();
        drop(requests.begin());
        let connection = pending::<Result<(), Infallible>>();
        run(async {
            let closed = timeout(LONG, while_busy(connection, &requests, IDLE));
            assert!(closed.await.is_ok());
        });
    }

    #[test]
    fn a_connection_with_a_request_under_way_is_not_closed() {
        let requests = Requests::default();
        let open = requests.begin();
        run(async {
            let connection = pending::<Result<(), Infallible>>();
            let closed = timeout(20 * IDLE, while_busy(connection, &requests, IDLE));
            assert!(closed.await.is_err());
            drop(open);
            let connection = pending::<Result<(), Infallible>>();
            let closed = timeout(LONG, while_busy(connection, &requests, IDLE));
            assert!(closed.await.is_ok());
        });
    }
}

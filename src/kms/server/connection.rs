//! One connection: its TLS handshake, and HTTP/1.1 or HTTP/2 on it.

use std::{convert::Infallible, net::IpAddr, sync::Arc};

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
                http_2(io, peer, shared, watcher).await;
            } else {
                http_1(io, peer, limits::TCP_HEAD, shared, watcher).await;
            }
        }
    }
}

async fn http_1<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    peer: Peer,
    head: Duration,
    shared: &Arc<Shared>,
    watcher: Watcher,
) {
    let service = service_fn(|request: Request<Incoming>| async move {
        Ok::<_, Infallible>(answer(shared, peer, request).await)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(limits::MAX_HEAD)
        .serve_connection(io, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended badly");
    }
}

async fn http_2<I: Read + Write + Unpin + Send + 'static>(
    io: I,
    peer: Peer,
    shared: &Arc<Shared>,
    watcher: Watcher,
) {
    let shared = Arc::clone(shared);
    let service = service_fn(move |request: Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, peer, request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(limits::TCP_HEAD)
        .keep_alive_timeout(limits::HANDSHAKE)
        .max_concurrent_streams(limits::STREAMS)
        .max_header_list_size(limits::MAX_HEAD as u32)
        .serve_connection(io, service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%error, "a connection ended badly");
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

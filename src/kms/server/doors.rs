//! Where clients come in: listening, and greeting each connection.

use std::{
    fs, io,
    net::TcpListener as StdTcpListener,
    os::unix::net::UnixListener as StdUnixListener,
    path::{Path, PathBuf},
    sync::Arc,
};

use arc_swap::ArcSwap;
use hyper_util::server::graceful::GracefulShutdown;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, watch},
    time::{Duration, sleep},
};
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{
    Shared,
    connection::{self, Stream},
    room::Room,
};
use crate::kms::{HomeError, wire::SocketPath};

/// How long to wait before accepting again when that failed, as it does without file descriptors.
const AFTER_FAILURE: Duration = Duration::from_millis(50);

/// A listening socket.
pub(in crate::kms) enum Door {
    /// A Unix socket; the path is removed at the end if this process made it.
    Unix(StdUnixListener, Option<PathBuf>),
    /// TCP, with TLS if there is a certificate.
    Tcp(StdTcpListener, Option<Arc<Tls>>),
}

impl Door {
    /// The home's own socket. The caller holds the home's lock, so a socket that is there already is
    /// a dead owner's.
    pub(in crate::kms) fn of_home(socket: PathBuf) -> io::Result<Self> {
        remove(&socket)?;
        let listener = StdUnixListener::bind(SocketPath::new(&socket)?.as_path())?;
        // The home itself lets nobody else in; this is for whoever loosens it.
        fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        Ok(Self::Unix(listener, Some(socket)))
    }

    /// The socket file to remove at the end.
    pub(super) fn socket(&self) -> Option<PathBuf> {
        match self {
            Self::Unix(_, path) => path.clone(),
            Self::Tcp(..) => None,
        }
    }

    /// Listens until `stopped`, then until every request is answered. To be called in a runtime.
    pub(super) fn serve(
        self,
        shared: Arc<Shared>,
        room: Arc<Room>,
        stopped: watch::Receiver<bool>,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let listener = match self {
            Self::Unix(listener, _) => {
                listener.set_nonblocking(true)?;
                Listener::Unix(UnixListener::from_std(listener)?)
            }
            Self::Tcp(listener, tls) => {
                listener.set_nonblocking(true)?;
                Listener::Tcp(TcpListener::from_std(listener)?, tls)
            }
        };
        Ok(listener.serve(shared, room, stopped))
    }
}

/// Removes what is left of a socket.
pub(in crate::kms) fn remove(socket: &Path) -> io::Result<()> {
    match fs::remove_file(socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener, Option<Arc<Tls>>),
}

enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream, std::net::SocketAddr),
}

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener) => listener.accept().await.map(|(s, _)| Accepted::Unix(s)),
            Self::Tcp(listener, _) => listener.accept().await.map(|(s, a)| Accepted::Tcp(s, a)),
        }
    }

    async fn serve(self, shared: Arc<Shared>, room: Arc<Room>, mut stopped: watch::Receiver<bool>) {
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                // Told to stop, or the server was dropped without telling: the same.
                _ = stopped.changed() => break,
            };
            match accepted {
                Ok(accepted) => match room.connection() {
                    Some(place) => self.greet(accepted, place, &shared, &room, &graceful),
                    None => connection::turn_away(accepted_stream(accepted), self.has_tls()),
                },
                Err(error) => {
                    tracing::warn!(%error, "a connection to the key service failed");
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
        graceful.shutdown().await;
    }

    fn has_tls(&self) -> bool {
        matches!(self, Self::Tcp(_, Some(_)))
    }

    fn greet(
        &self,
        accepted: Accepted,
        place: OwnedSemaphorePermit,
        shared: &Arc<Shared>,
        room: &Arc<Room>,
        graceful: &GracefulShutdown,
    ) {
        let tls = match self {
            Self::Tcp(_, Some(tls)) => Some(tls.current()),
            _ => None,
        };
        let stream = accepted_stream(accepted);
        let (shared, room, watcher) = (Arc::clone(shared), Arc::clone(room), graceful.watcher());
        tokio::spawn(async move {
            let _open = shared.metrics.connected();
            connection::serve(stream, tls, &shared, &room, watcher).await;
            drop(place);
        });
    }
}

fn accepted_stream(accepted: Accepted) -> Stream {
    match accepted {
        Accepted::Unix(stream) => Stream::Unix(stream),
        Accepted::Tcp(stream, address) => {
            // Answers are small and waited for.
            let _ = stream.set_nodelay(true);
            Stream::Tcp(stream, address.ip())
        }
    }
}

/// A certificate and its key, and which clients' certificates are accepted.
pub(in crate::kms) struct Tls {
    files: TlsFiles,
    config: ArcSwap<ServerConfig>,
}

/// Where a `Tls` comes from.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// PEM: the server's certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: with these, only clients with a certificate that one of them signed are let in.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    pub(in crate::kms) fn read(files: TlsFiles) -> Result<Self, HomeError> {
        let config = ArcSwap::from(files.config()?);
        Ok(Self { files, config })
    }

    fn current(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }

    /// Reads the files again, for connections from now on.
    pub(in crate::kms) fn reload(&self) -> Result<(), HomeError> {
        self.config.store(self.files.config()?);
        Ok(())
    }
}

impl TlsFiles {
    fn config(&self) -> Result<Arc<ServerConfig>, HomeError> {
        let unusable = |path: &Path, error: &dyn std::fmt::Display| {
            HomeError::Settings(format!("cannot use {}: {error}", path.display()))
        };
        let certificates = |path: &Path| -> Result<Vec<CertificateDer<'static>>, HomeError> {
            let read = CertificateDer::pem_file_iter(path)
                .and_then(Iterator::collect::<Result<Vec<_>, _>>);
            match read {
                Ok(read) if read.is_empty() => {
                    Err(unusable(path, &"it holds no certificate in PEM"))
                }
                Ok(read) => Ok(read),
                Err(error) => Err(unusable(path, &error)),
            }
        };
        let chain = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key).map_err(|e| unusable(&self.key, &e))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier: Arc<dyn ClientCertVerifier> = match &self.client_ca {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|e| unusable(path, &e))?;
                }
                WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(&provider))
                    .build()
                    .map_err(|e| unusable(path, &e))?
            }
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| unusable(&self.certificate, &e))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|e| unusable(&self.certificate, &e))?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

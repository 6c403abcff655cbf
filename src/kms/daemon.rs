//! A home's key service as a process of its own: `kmsfs kms serve`.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::fs::{Gid, Uid};

use super::{
    Home, HomeError, Region,
    home::Inner,
    lock::{Lock, LockFile},
    server::{Door, Rules, Server, Shared, Tls, TlsFiles, remove_socket},
    wire::SOCKET,
};
use crate::sys;

/// How long a predecessor may take to end.
const PATIENCE: Duration = Duration::from_secs(10);
const RETRY: Duration = Duration::from_millis(20);

/// What a daemon serves beside the home's own socket, and how.
#[derive(Debug, Default)]
pub struct ServeOptions {
    /// A further Unix socket.
    pub socket: Option<SocketOptions>,
    /// An address to listen on with TCP.
    pub listen: Option<SocketAddr>,
    /// TLS for TCP; without it only loopback addresses are allowed.
    pub tls: Option<TlsFiles>,
    /// The Regions to serve; `None`: every one.
    pub regions: Option<Vec<Region>>,
    /// Serve `POST /reset`; only where everything listens on loopback.
    pub allow_reset: bool,
    /// Sockets that somebody else opened, such as systemd.
    pub inherited: Inherited,
}

/// Sockets that were open when the process started.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Unix sockets.
    pub unix: Vec<UnixListener>,
    /// TCP sockets.
    pub tcp: Vec<TcpListener>,
}

/// A Unix socket and who may connect to it.
#[derive(Debug, Clone)]
pub struct SocketOptions {
    /// Where.
    pub path: PathBuf,
    /// Its permission bits. Whoever may write to it may connect; who they are the kernel says.
    pub mode: u32,
    /// Its owner and group, where they are not this process's.
    pub owner: Option<(Option<u32>, Option<u32>)>,
}

/// A running key service. Dropped, it answers what is under way, closes store and log and releases
/// the home. The order of the fields is the order in which they end.
pub struct Daemon {
    _server: Server,
    shared: Arc<Shared>,
    _lock: Lock,
    tls: Option<Arc<Tls>>,
    addresses: Vec<String>,
}

impl Daemon {
    /// Serves `home`; sealed, if it was opened without its secret. Waits some seconds for a
    /// predecessor to end.
    ///
    /// It starts threads.
    ///
    /// # Errors
    /// [`HomeError::Served`] when another process serves the home; [`HomeError::Settings`] for plain
    /// HTTP or a reset beyond loopback; errors of sockets, certificates, the store and the log.
    pub fn start(home: &Home, options: ServeOptions) -> Result<Self, HomeError> {
        let inner = &home.inner;
        check(&options)?;
        let lock = wait_for_lock(inner)?;
        let tls = options.tls.map(Tls::read).transpose()?.map(Arc::new);
        let mut addresses = Vec::new();
        let mut doors = vec![of_home(inner)?];
        if let Some(socket) = options.socket {
            addresses.push(format!("unix:{}", socket.path.display()));
            doors.push(open_socket(&socket)?);
        }
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = options.listen.map(|address| {
            TcpListener::bind(address)
                .map_err(HomeError::io("listen on", Path::new(&address.to_string())))
        });
        let tcp = options.inherited.tcp;
        for listener in tcp.into_iter().chain(listener.transpose()?) {
            let address = listener.local_addr();
            let address = address.map_err(HomeError::io("examine", Path::new("the socket")))?;
            check_plain(address.ip(), tls.is_some())?;
            if options.allow_reset {
                check_reset(address.ip())?;
            }
            addresses.push(format!("{scheme}://{address}"));
            doors.push(Door::Tcp(listener, tls.clone()));
        }
        for listener in options.inherited.unix {
            let path = listener.local_addr().ok();
            let path = path.as_ref().and_then(|address| address.as_pathname());
            let shown = path.map_or_else(|| "inherited".into(), Path::to_string_lossy);
            addresses.push(format!("unix:{shown}"));
            doors.push(Door::Unix(listener, None));
        }
        if addresses.is_empty() {
            addresses.push(format!("unix:{}", inner.file(SOCKET).display()));
        }
        let rules = Rules {
            regions: options.regions,
            allow_reset: options.allow_reset,
        };
        let shared = Shared::new(inner, None, rules);
        if inner.root.get().is_some() {
            shared.open()?;
        }
        let workers = thread::available_parallelism().map_or(2, usize::from);
        let server = Server::start(&shared, doors, workers)?;
        Ok(Self {
            _server: server,
            shared,
            _lock: lock,
            tls,
            addresses,
        })
    }

    /// Where it listens, as `unix:PATH`, `http://…` and `https://…`.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Whether it waits for its secret.
    pub fn is_sealed(&self) -> bool {
        self.shared.is_sealed()
    }

    /// Reads certificate and key again, for connections from now on.
    ///
    /// # Errors
    /// [`HomeError::Settings`]; the former ones stay in use.
    pub fn reload(&self) -> Result<(), HomeError> {
        self.tls.as_ref().map_or(Ok(()), |tls| tls.reload())
    }
}

fn check(options: &ServeOptions) -> Result<(), HomeError> {
    if options.regions.as_ref().is_some_and(Vec::is_empty) {
        return Err(HomeError::Settings("no Region is to be served".to_owned()));
    }
    let Some(address) = options.listen else {
        return Ok(());
    };
    check_plain(address.ip(), options.tls.is_some())?;
    if options.allow_reset {
        check_reset(address.ip())?;
    }
    Ok(())
}

fn check_plain(address: IpAddr, tls: bool) -> Result<(), HomeError> {
    if tls || address.is_loopback() {
        return Ok(());
    }
    Err(HomeError::Settings(format!(
        "plain HTTP is served on loopback only, and {address} is not: give --tls-cert and --tls-key"
    )))
}

fn check_reset(address: IpAddr) -> Result<(), HomeError> {
    if address.is_loopback() {
        return Ok(());
    }
    Err(HomeError::Settings(format!(
        "--allow-reset lets anybody who connects remove all keys, so it goes with loopback \
         addresses only, and {address} is not one"
    )))
}

fn wait_for_lock(home: &Inner) -> Result<Lock, HomeError> {
    if sys::own_identity().uid != home.owner_uid {
        return Err(HomeError::NotOwner {
            path: home.path.clone(),
            owner: home.owner_uid,
        });
    }
    let deadline = Instant::now() + PATIENCE;
    loop {
        match LockFile::open(&home.path)?.try_lock() {
            Ok(lock) => return Ok(lock),
            Err(Some(error)) => return Err(error),
            Err(None) if Instant::now() >= deadline => {
                return Err(HomeError::Served(home.path.clone()));
            }
            Err(None) => thread::sleep(RETRY),
        }
    }
}

fn of_home(home: &Inner) -> Result<Door, HomeError> {
    let socket = home.file(SOCKET);
    Door::of_home(socket.clone()).map_err(HomeError::io("serve", &socket))
}

/// Opens a socket with its mode and owner, before anybody may connect.
fn open_socket(options: &SocketOptions) -> Result<Door, HomeError> {
    let path = &options.path;
    let open = || -> std::io::Result<Door> {
        remove_socket(path)?;
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(options.mode))?;
        if let Some((user, group)) = options.owner {
            let (user, group) = (user.map(Uid::from_raw), group.map(Gid::from_raw));
            rustix::fs::chown(path, user, group)?;
        }
        Ok(Door::Unix(listener, Some(path.clone())))
    };
    open().map_err(HomeError::io("serve", path))
}

#[cfg(test)]
mod tests {
    use super::{check_plain, check_reset};

    #[test]
    fn plain_http_and_resets_stay_on_loopback() {
        for loopback in ["127.0.0.1", "127.8.9.10", "::1"] {
            assert!(check_plain(loopback.parse().unwrap(), false).is_ok());
            assert!(check_reset(loopback.parse().unwrap()).is_ok());
        }
        for open in ["0.0.0.0", "192.0.2.1", "::", "::ffff:192.0.2.1"] {
            assert!(check_plain(open.parse().unwrap(), false).is_err(), "{open}");
            assert!(check_plain(open.parse().unwrap(), true).is_ok(), "{open}");
            assert!(check_reset(open.parse().unwrap()).is_err(), "{open}");
        }
    }
}

//! Asking the key service of another process, through its socket.

use std::{io, os::unix::net::UnixStream as StdStream, path::PathBuf, time::Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1::{self, SendRequest},
    header,
};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{net::UnixStream, runtime::Runtime, time::timeout};
use zeroize::Zeroizing;

use super::{
    Caller, HomeError, KmsError,
    server::with_short_path,
    wire::{self, CALLER, CONTENT_TYPE, ErrorBody, SOCKET, TARGET},
};

/// The longest answer that is read: a page of a thousand keys takes a fifth of it.
const MAX_ANSWER: usize = 1 << 20;
/// Connections kept for the next call; more than this many callers at once open their own.
const IDLE: usize = 16;

/// Why a call was not answered.
#[derive(Debug)]
pub(super) enum Failure {
    /// The service said no.
    Refused(KmsError),
    /// The request did not reach a service; it may be sent again.
    NotSent(String),
    /// It was sent and no answer came: nobody knows whether it was done.
    Lost(String),
}

type Connection = SendRequest<Full<Bytes>>;

/// A client of one home's socket. Calls block; any number of threads may share it. Not to be used
/// from asynchronous code.
pub(super) struct Client {
    home: PathBuf,
    runtime: Runtime,
    idle: Mutex<Vec<Connection>>,
}

impl Client {
    pub(super) fn new(home: PathBuf) -> Result<Self, HomeError> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kms-client")
            .enable_all()
            .build()
            .map_err(HomeError::io("start threads to reach", &home.join(SOCKET)))?;
        Ok(Self {
            home,
            runtime,
            idle: Mutex::default(),
        })
    }

    /// Calls the operation `target`, for `caller` if it is one that has a caller. Ends by `deadline`.
    pub(super) fn call<R: DeserializeOwned>(
        &self,
        target: &str,
        caller: Option<&Caller>,
        request: &impl Serialize,
        deadline: Instant,
    ) -> Result<R, Failure> {
        let body = serde_json::to_vec(request).expect("requests are plain data");
        let mut builder = Request::builder()
            .method(Method::POST)
            .uri("/")
            .header(header::HOST, "kmsfs")
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(TARGET, target);
        if let Some(caller) = caller {
            builder = builder.header(CALLER, wire::encode_caller(caller));
        }
        // The body may hold a plaintext: wiped once sent.
        let body = Full::new(Bytes::from_owner(Zeroizing::new(body)));
        let request = builder
            .body(body)
            .expect("the headers are base64 and constants");
        let (status, answer) = self.runtime.block_on(self.exchange(request, deadline))?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&answer).map_err(|error| {
                Failure::Lost(format!("its answer to {target} is malformed: {error}"))
            });
        }
        match serde_json::from_slice::<ErrorBody>(&answer) {
            Ok(error) => Err(Failure::Refused(KmsError::from_wire(
                &error.code,
                error.message,
            ))),
            Err(_) => Err(Failure::Lost(format!(
                "it answered {target} with status {status}"
            ))),
        }
    }

    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<(StatusCode, Zeroizing<Vec<u8>>), Failure> {
        let left = || deadline.saturating_duration_since(Instant::now());
        loop {
            let idle = self.idle.lock().pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => match timeout(left(), self.connect()).await {
                    Ok(connected) => {
                        connected.map_err(|error| Failure::NotSent(error.to_string()))?
                    }
                    Err(_) => return Err(Failure::NotSent("no connection in time".to_owned())),
                },
            };
            let response = match timeout(left(), connection.try_send_request(request)).await {
                Ok(Ok(response)) => response,
                Ok(Err(mut unsent)) => match unsent.take_message() {
                    // The other side closed an idle connection: nothing was sent on it.
                    Some(message) => {
                        request = message;
                        continue;
                    }
                    None => return Err(Failure::Lost(unsent.error().to_string())),
                },
                Err(_) => return Err(Failure::Lost("no answer in time".to_owned())),
            };
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect();
            let answer = match timeout(left(), body).await {
                Ok(Ok(body)) => Zeroizing::new(body.to_bytes().into()),
                Ok(Err(error)) => return Err(Failure::Lost(error.to_string())),
                Err(_) => return Err(Failure::Lost("no whole answer in time".to_owned())),
            };
            let mut idle = self.idle.lock();
            if idle.len() < IDLE {
                idle.push(connection);
            }
            return Ok((status, answer));
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = with_short_path(&self.home, |path| StdStream::connect(path))?;
        stream.set_nonblocking(true)?;
        let stream = UnixStream::from_std(stream)?;
        let (connection, driver) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(driver);
        Ok(connection)
    }
}

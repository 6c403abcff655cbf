//! Asking the key service of another process, through its socket.

use std::{
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

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
    Caller, KmsError,
    wire::{self, CALLER, CONTENT_TYPE, ErrorBody, SocketPath, TARGET},
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

/// A client of one socket. Calls block; any number of threads may share it. Not to be used
/// from asynchronous code.
pub(super) struct Client {
    socket: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

/// An open connection with what drives it: the calling thread itself, while it waits for its answer.
/// So a call wakes no other thread of this process.
struct Connection {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
}

impl Client {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            idle: Mutex::default(),
        }
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
        let (status, answer) = self.exchange(request, deadline)?;
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

    fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Answer, Failure> {
        loop {
            let idle = self.idle.lock().pop();
            let mut connection = match idle {
                Some(connection) => connection,
                None => Connection::open(&self.socket, deadline)
                    .map_err(|error| Failure::NotSent(error.to_string()))?,
            };
            match connection.exchange(request, deadline)? {
                Exchanged::Answer(answer) => {
                    let mut idle = self.idle.lock();
                    if idle.len() < IDLE {
                        idle.push(connection);
                    }
                    return Ok(answer);
                }
                Exchanged::Unsent(unsent) => request = *unsent,
            }
        }
    }
}

/// Status and body. The body may hold a plaintext.
type Answer = (StatusCode, Zeroizing<Vec<u8>>);

enum Exchanged {
    Answer(Answer),
    /// The other side had closed the idle connection: nothing was sent on it.
    Unsent(Box<Request<Full<Bytes>>>),
}

impl Connection {
    fn open(socket: &Path, deadline: Instant) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let connect = async {
            let stream = UnixStream::connect(SocketPath::new(socket)?.as_path()).await?;
            let handshake = http1::handshake(TokioIo::new(stream)).await;
            let (sender, driver) = handshake.map_err(io::Error::other)?;
            tokio::spawn(driver);
            io::Result::Ok(sender)
        };
        let sender = runtime.block_on(async { timeout(left(deadline), connect).await })??;
        Ok(Self { runtime, sender })
    }

    fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<Exchanged, Failure> {
        let sender = &mut self.sender;
        let exchange = async {
            let response = match sender.try_send_request(request).await {
                Ok(response) => response,
                Err(mut failed) => {
                    return match failed.take_message() {
                        Some(request) => Ok(Exchanged::Unsent(Box::new(request))),
                        None => Err(Failure::Lost(failed.error().to_string())),
                    };
                }
            };
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER)
                .collect()
                .await;
            let body = body.map_err(|error| Failure::Lost(error.to_string()))?;
            Ok(Exchanged::Answer((
                status,
                Zeroizing::new(body.to_bytes().into()),
            )))
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let answered = self
            .runtime
            .block_on(async { timeout(left, exchange).await });
        answered.unwrap_or_else(|_| Err(Failure::Lost("no answer in time".to_owned())))
    }
}

fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}

//! From a request to its response.

use std::{
    error::Error,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    Method, Request, StatusCode,
    body::{Body, Incoming},
    header,
    http::request::Parts,
};
use serde_json::json;
use tokio::{sync::SemaphorePermit, time::timeout};
use zeroize::{Zeroize, Zeroizing};

use super::{
    Shared, TARGET,
    admission::{Admitted, Peer},
    dispatch::Operation,
    limits,
    respond::{HttpResponse, Refusal, RequestId, ResponseBody, of_operation, plain, write},
    room::Room,
};
use crate::kms::KmsError;

const JSON: &str = "application/json";

pub(super) async fn answer(
    shared: &Arc<Shared>,
    room: &Room,
    peer: Peer,
    request: Request<Incoming>,
) -> HttpResponse {
    let id = RequestId::new();
    // What costs nothing is answered by a busy server as well.
    match (request.method(), request.uri().path()) {
        (&Method::GET | &Method::HEAD, "/health") => return shared.health(),
        (&Method::GET | &Method::HEAD, "/ready") => return shared.ready(room),
        _ => {}
    }
    let place = room.request();
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/") => call(shared, room, place, peer, request, id).await,
        _ if place.is_none() => of_operation(Err(Refusal::throttled()), &id),
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let shared = Arc::clone(shared);
            let text = room.on_thread(move || shared.exposition()).await;
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            plain(StatusCode::OK, media_type, text.unwrap_or_default().into())
        }
        (&Method::POST, "/reset") if shared.rules.allow_reset => {
            of_operation(reset(shared, room, peer, &request).await, &id)
        }
        _ => of_operation(Err(Refusal::no_such_page()), &id),
    }
}

impl Shared {
    /// Whether the process lives; a sealed one does.
    fn health(&self) -> HttpResponse {
        let status = if self.service.get().is_some() {
            "ok"
        } else {
            "sealed"
        };
        let body = json!({ "status": status, "version": env!("CARGO_PKG_VERSION") });
        plain(StatusCode::OK, JSON, body.to_string().into())
    }

    /// Whether operations are answered.
    fn ready(&self, room: &Room) -> HttpResponse {
        let (status, reason) = match self.service.get() {
            None => (StatusCode::SERVICE_UNAVAILABLE, "sealed"),
            Some(_) if room.is_full() => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Some(_) => (StatusCode::OK, "ready"),
        };
        plain(status, JSON, json!({ "status": reason }).to_string().into())
    }
}

/// Empties the service, for test suites.
async fn reset(
    shared: &Arc<Shared>,
    room: &Room,
    peer: Peer,
    request: &Request<Incoming>,
) -> Result<ResponseBody, Refusal> {
    // A page in a browser on this machine reaches loopback as well, and says where it comes from.
    if request.headers().contains_key(header::ORIGIN) {
        return Err(Refusal::forbidden("A web page may not reset the service."));
    }
    if let Peer::Tcp { address, .. } = peer
        && !address.to_canonical().is_loopback()
    {
        return Err(Refusal::forbidden(
            "Only this machine may reset the service.",
        ));
    }
    let service = Arc::clone(shared.service.get().ok_or_else(Refusal::sealed)?);
    let done = room.on_thread(move || service.reset()).await;
    done.unwrap_or_else(|panic| Err(panicked(&panic)))?;
    Ok(write(&json!({})))
}

/// An operation of the API, or one of ours.
async fn call(
    shared: &Arc<Shared>,
    room: &Room,
    place: Option<SemaphorePermit<'_>>,
    peer: Peer,
    request: Request<Incoming>,
    id: RequestId,
) -> HttpResponse {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let operation = parts.headers.get(TARGET).map(|target| target.to_str());
    let operation = Operation::named(operation.and_then(Result::ok).unwrap_or_default());
    let result = match place {
        None => Err(Refusal::throttled()),
        Some(_place) => {
            let _in_flight = shared.metrics.begin();
            work(shared, room, peer, operation, &parts, body, &id).await
        }
    };
    let name = operation.ok().map(Operation::name);
    shared
        .metrics
        .end(name, result.as_ref().err(), began.elapsed());
    of_operation(result, &id)
}

async fn work(
    shared: &Arc<Shared>,
    room: &Room,
    peer: Peer,
    operation: Result<Operation, &str>,
    parts: &Parts,
    body: Incoming,
    id: &RequestId,
) -> Result<ResponseBody, Refusal> {
    let service = shared.service.get();
    let admission = shared.admit(service.map(|service| &**service), peer, parts)?;
    let body = read(body).await?;
    let mut admitted = admission.settle(shared, peer, parts, &body)?;
    admitted.caller.request_id = Some(id.to_string());
    let operation = operation.map_err(|target| {
        KmsError::UnknownOperation(format!("{TARGET}: {target:?} names no operation"))
    })?;
    admitted.check_operation(operation.name())?;
    if let Operation::Aws(_) = operation {
        shared.check_served(&admitted.caller)?;
    }
    if is_brief(operation) {
        return brief(shared, operation, &admitted, &body);
    }
    let shared = Arc::clone(shared);
    let done = room
        .on_thread(move || shared.perform(operation, &admitted, &body))
        .await;
    done.unwrap_or_else(|panic| Err(panicked(&panic).into()))
}

/// Whether an operation is done in less time than it takes to hand it to another thread. What writes
/// to the store, and so waits for the disk, is not. What mounts tell of themselves must be: changes
/// wait for it on the other threads.
fn is_brief(operation: Operation) -> bool {
    match operation {
        Operation::Aws(name) => matches!(
            name,
            "Decrypt"
                | "Encrypt"
                | "ReEncrypt"
                | "GenerateDataKey"
                | "GenerateDataKeyWithoutPlaintext"
                | "GenerateRandom"
                | "GenerateMac"
                | "VerifyMac"
                | "DescribeKey"
        ),
        Operation::Epoch | Operation::Attached => true,
        Operation::AuditAnchor | Operation::Administration(_) | Operation::Unseal => false,
    }
}

fn brief(
    shared: &Shared,
    operation: Operation,
    admitted: &Admitted,
    body: &[u8],
) -> Result<ResponseBody, Refusal> {
    let call = || shared.perform(operation, admitted, body);
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(panicked(&said.unwrap_or("a panic")).into())
    })
}

fn panicked(panic: &dyn std::fmt::Display) -> KmsError {
    tracing::error!(%panic, "an operation of the key service panicked");
    KmsError::Internal("the operation failed unexpectedly".to_owned())
}

/// Reads a body, unless it is too long or too slow. It may hold a plaintext, so it is wiped in the
/// end.
async fn read(body: Incoming) -> Result<Zeroizing<Vec<u8>>, Refusal> {
    let expected = body.size_hint().lower();
    if expected > limits::MAX_BODY as u64 {
        return Err(Refusal::too_large(limits::MAX_BODY));
    }
    let mut body = Limited::new(body, limits::MAX_BODY);
    let whole = async {
        let mut whole = Zeroizing::new(Vec::with_capacity(expected as usize));
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                append(&mut whole, data);
            }
        }
        Ok::<_, Box<dyn Error + Send + Sync>>(whole)
    };
    match timeout(limits::BODY, whole).await {
        Ok(Ok(whole)) => Ok(whole),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::too_large(limits::MAX_BODY))
        }
        Ok(Err(_)) | Err(_) => Err(Refusal::unread()),
    }
}

/// Moves `data` to the end of `whole`, and leaves no copy where that can be helped: neither where it
/// was received, nor where `whole` was before it grew.
fn append(whole: &mut Zeroizing<Vec<u8>>, data: Bytes) {
    if whole.capacity() - whole.len() < data.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * (whole.len() + data.len())));
        larger.extend_from_slice(whole);
        *whole = larger;
    }
    whole.extend_from_slice(&data);
    if let Ok(mut received) = data.try_into_mut() {
        received.zeroize();
    }
}

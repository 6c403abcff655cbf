//! From a request to its response.

use std::{
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
use tokio::{task, time::timeout};

use super::{
    Shared, TARGET,
    admission::{Admitted, Peer},
    dispatch::Operation,
    limits,
    respond::{HttpResponse, Refusal, ResponseBody, of_operation, plain, write},
};
use crate::kms::{KmsError, embedded::Embedded};

const JSON: &str = "application/json";

pub(super) async fn answer(
    shared: &Arc<Shared>,
    peer: Peer,
    request: Request<Incoming>,
) -> HttpResponse {
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/") => call(shared, peer, request).await,
        (&Method::GET | &Method::HEAD, "/health") => shared.health(),
        (&Method::GET | &Method::HEAD, "/ready") => shared.ready(),
        (&Method::GET | &Method::HEAD, "/metrics") => {
            let shared = Arc::clone(shared);
            let text = task::spawn_blocking(move || shared.exposition()).await;
            let media_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            plain(StatusCode::OK, media_type, text.unwrap_or_default().into())
        }
        (&Method::POST, "/reset") if shared.rules.allow_reset => {
            of_operation(reset(shared, peer, &request).await)
        }
        _ => of_operation(Err(Refusal::no_such_page())),
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
    fn ready(&self) -> HttpResponse {
        let (status, reason) = match self.service.get() {
            None => (StatusCode::SERVICE_UNAVAILABLE, "sealed"),
            Some(_) if self.requests.available_permits() == 0 => {
                (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
            }
            Some(_) => (StatusCode::OK, "ready"),
        };
        plain(status, JSON, json!({ "status": reason }).to_string().into())
    }
}

/// Empties the service, for test suites.
async fn reset(
    shared: &Arc<Shared>,
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
    let done = task::spawn_blocking(move || service.reset()).await;
    done.unwrap_or_else(|panic| Err(panicked(&panic)))?;
    Ok(write(&json!({})))
}

/// An operation of the API, or one of ours.
async fn call(shared: &Arc<Shared>, peer: Peer, request: Request<Incoming>) -> HttpResponse {
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let operation = parts.headers.get(TARGET).map(|target| target.to_str());
    let operation = Operation::named(operation.and_then(Result::ok).unwrap_or_default());
    let result = match (operation, shared.requests.try_acquire()) {
        (_, Err(_)) => Err(Refusal::throttled()),
        (operation, Ok(_place)) => {
            let _in_flight = shared.metrics.begin();
            work(shared, peer, operation, &parts, body).await
        }
    };
    let name = operation.ok().map(Operation::name);
    shared
        .metrics
        .end(name, result.as_ref().err(), began.elapsed());
    of_operation(result)
}

async fn work(
    shared: &Arc<Shared>,
    peer: Peer,
    operation: Result<Operation, &str>,
    parts: &Parts,
    body: Incoming,
) -> Result<ResponseBody, Refusal> {
    let service = shared.service.get();
    let admission = shared.admit(service.map(|service| &**service), peer, parts)?;
    let body = read(body).await?;
    let admitted = admission.settle(shared, peer, parts, &body)?;
    let operation = operation.map_err(|target| {
        KmsError::UnknownOperation(format!("{TARGET}: {target:?} names no operation"))
    })?;
    admitted.check_operation(operation.name())?;
    if let Operation::Aws(_) = operation {
        shared.check_served(&admitted.caller)?;
    }
    if let (Operation::Aws(name), Some(service)) = (operation, service)
        && is_brief(name)
    {
        return Ok(brief(service, name, &admitted, &body)?);
    }
    let shared = Arc::clone(shared);
    let done = task::spawn_blocking(move || shared.perform(operation, &admitted, &body)).await;
    done.unwrap_or_else(|panic| Err(panicked(&panic).into()))
}

/// Whether an operation is done in less time than it takes to hand it to another thread. What writes
/// to the store, and so waits for the disk, is not.
fn is_brief(operation: &str) -> bool {
    matches!(
        operation,
        "Decrypt"
            | "Encrypt"
            | "ReEncrypt"
            | "GenerateDataKey"
            | "GenerateDataKeyWithoutPlaintext"
            | "GenerateRandom"
            | "GenerateMac"
            | "VerifyMac"
            | "DescribeKey"
    )
}

fn brief(
    service: &Embedded,
    operation: &'static str,
    admitted: &Admitted,
    body: &[u8],
) -> Result<ResponseBody, KmsError> {
    let call = || super::dispatch::aws(service, operation, &admitted.caller, body);
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(panicked(&said.unwrap_or("a panic")))
    })
}

fn panicked(panic: &dyn std::fmt::Display) -> KmsError {
    tracing::error!(%panic, "an operation of the key service panicked");
    KmsError::Internal("the operation failed unexpectedly".to_owned())
}

/// Reads a body, unless it is too long or too slow.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limits::MAX_BODY as u64 {
        return Err(Refusal::too_large(limits::MAX_BODY));
    }
    let read = Limited::new(body, limits::MAX_BODY).collect();
    match timeout(limits::BODY, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::too_large(limits::MAX_BODY))
        }
        Ok(Err(_)) | Err(_) => Err(Refusal::unread()),
    }
}

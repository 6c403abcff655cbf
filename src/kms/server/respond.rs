//! Responses: headers, errors in AWS's shape.

use std::{borrow::Cow, fmt};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response, StatusCode,
    header::{self, HeaderValue},
};
use serde::Serialize;
use zeroize::Zeroizing;

use super::sigv4::Unauthenticated;
use crate::kms::{
    KmsError,
    wire::{CONTENT_TYPE, ErrorBody},
};

/// A response's body. It may hold a plaintext, so it is wiped once sent.
pub(super) type ResponseBody = Zeroizing<Vec<u8>>;

pub(super) type HttpResponse = Response<Full<Bytes>>;

/// What a connection beyond [`CONNECTIONS`](super::limits::CONNECTIONS) is told.
pub(super) const TOO_MANY_CONNECTIONS: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\
content-type: application/x-amz-json-1.1\r\n\
connection: close\r\n\
content-length: 68\r\n\
\r\n\
{\"__type\":\"ThrottlingException\",\"message\":\"Too many connections.\"}\r\n";

/// An error as the client sees it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) code: Cow<'static, str>,
    pub(super) message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
        }
    }

    /// More is asked than can be worked on.
    pub(super) fn throttled() -> Self {
        let message = "You have exceeded the rate at which you may call KMS. Reduce the frequency \
                       of your calls.";
        Self::new(StatusCode::BAD_REQUEST, "ThrottlingException", message)
    }

    /// The home is sealed.
    pub(super) fn sealed() -> Self {
        let message = "The key service is sealed: run `kmsfs kms unseal` on its machine.";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
            message,
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "RequestEntityTooLargeException",
            format!("The request body exceeds {limit} bytes."),
        )
    }

    /// The client took too long, or ended, while it sent the body.
    pub(super) fn unread() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "RequestTimeoutException",
            "The request body did not arrive in time.",
        )
    }

    /// Nothing is at this path.
    pub(super) fn no_such_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "UnknownOperationException", "")
    }

    pub(super) fn forbidden(message: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "AccessDeniedException", message)
    }
}

impl From<KmsError> for Refusal {
    fn from(error: KmsError) -> Self {
        let status = StatusCode::from_u16(error.status());
        Self::new(
            status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error.code(),
            error.message(),
        )
    }
}

impl From<Unauthenticated> for Refusal {
    fn from(error: Unauthenticated) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error.code(), error.message())
    }
}

/// The id of a request: its answer and its audit record carry it.
pub(super) struct RequestId(uuid::Uuid);

impl RequestId {
    pub(super) fn new() -> Self {
        Self(uuid::Uuid::new_v4())
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

/// The response of the operation that `id` asked for.
pub(super) fn of_operation(result: Result<ResponseBody, Refusal>, id: &RequestId) -> HttpResponse {
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => {
            let body = write(&ErrorBody {
                code: refusal.code.into_owned(),
                message: refusal.message,
            });
            (refusal.status, body)
        }
    };
    let mut response = plain(status, CONTENT_TYPE, Bytes::from_owner(body));
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id.to_string()) {
        headers.insert("x-amzn-requestid", id);
    }
    response
}

/// A response of this media type, which nobody keeps.
pub(super) fn plain(status: StatusCode, media_type: &'static str, body: Bytes) -> HttpResponse {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn write(response: &impl Serialize) -> ResponseBody {
    Zeroizing::new(serde_json::to_vec(response).expect("responses are plain data"))
}

#[cfg(test)]
mod tests {
    use super::TOO_MANY_CONNECTIONS;

    #[test]
    fn the_prepared_answer_has_the_length_it_says() {
        let text = std::str::from_utf8(TOO_MANY_CONNECTIONS).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
    }
}

//! The one text that stands for a request, however it was written.

use aws_lc_rs::digest::{self, SHA256};
use hyper::{Uri, http::request::Parts};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::kms::material::hex;

/// RFC 3986's unreserved characters stay as they are in a canonical query.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
/// The canonical request: what the signature covers.
pub(super) fn request(parts: &Parts, signed_headers: &str, body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(512);
    text.extend_from_slice(parts.method.as_str().as_bytes());
    text.extend_from_slice(b"\n/\n");
    text.extend_from_slice(query(&parts.uri).as_bytes());
    text.push(b'\n');
    for name in signed_headers.split(';') {
        text.extend_from_slice(name.as_bytes());
        text.push(b':');
        values(name, parts, &mut text);
        text.push(b'\n');
    }
    text.push(b'\n');
    text.extend_from_slice(signed_headers.as_bytes());
    text.push(b'\n');
    let payload = digest::digest(&SHA256, body);
    text.extend_from_slice(hex(payload.as_ref()).as_bytes());
    text
}

/// The values of a header, trimmed, with single spaces, joined by commas.
fn values(name: &str, parts: &Parts, out: &mut Vec<u8>) {
    let mut values = parts.headers.get_all(name).iter().peekable();
    if values.peek().is_none()
        && name == "host"
        && let Some(authority) = parts.uri.authority()
    {
        // HTTP/2 has it in a pseudo-header.
        out.extend_from_slice(authority.as_str().as_bytes());
    }
    let mut first = true;
    for value in values {
        if !first {
            out.push(b',');
        }
        first = false;
        let words = value.as_bytes().split(|b| *b == b' ' || *b == b'\t');
        for (n, word) in words.filter(|word| !word.is_empty()).enumerate() {
            if n > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
    }
}

fn query(uri: &Uri) -> String {
    let Some(query) = uri.query().filter(|query| !query.is_empty()) else {
        return String::new();
    };
    let encoded = |text: &str| utf8_percent_encode(&decoded(text), ENCODED).to_string();
    let mut all: Vec<(String, String)> = pairs(query)
        .filter(|(name, _)| *name != "X-Amz-Signature")
        .map(|(name, value)| (encoded(name), encoded(value)))
        .collect();
    all.sort();
    let joined: Vec<String> = all
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    joined.join("&")
}

pub(super) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

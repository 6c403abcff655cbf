//! Signature Version 4: who signed a request, and whether the signature is theirs.
//!
//! Source: <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>; the tests
//! hold it to AWS's published vectors. Only requests for `/` are verified, the one path that KMS has,
//! so a canonical path is never worked out.

mod canonical;
mod time;

use std::{borrow::Cow, time::Duration};

use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{self, SHA256},
    hmac::{self, HMAC_SHA256},
};
use hyper::{HeaderMap, header, http::request::Parts};
use jiff::Timestamp;
use zeroize::Zeroizing;

use self::{
    canonical::{decoded, pairs},
    time::basic,
};
use crate::kms::material::hex;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";
const AMZ_DATE: &str = "x-amz-date";
/// How far the clocks of client and server may be apart.
const SKEW: Duration = Duration::from_mins(5);
/// The longest a presigned request may be good for: a week.
const MAX_EXPIRES: u64 = 604_800;
/// Headers that decide what a request does: unsigned they could be changed on the way.
const MUST_BE_SIGNED: [&str; 2] = [super::TARGET, super::CALLER];

/// Why a request is nobody's.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unauthenticated {
    /// It carries no signature.
    Missing,
    /// What it carries is not a whole signature.
    Incomplete(String),
    /// The signature is another's, too old, or made for another service.
    Invalid(String),
    /// Nobody has that access key.
    UnknownKey,
}

impl Unauthenticated {
    /// The exception's name
    /// (<https://docs.aws.amazon.com/kms/latest/APIReference/CommonErrors.html>, as the JSON
    /// protocol spells them).
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Incomplete(_) => "IncompleteSignatureException",
            Self::Invalid(_) => "InvalidSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
        }
    }

    pub(super) fn message(&self) -> &str {
        match self {
            Self::Missing => "Missing Authentication Token",
            Self::Incomplete(message) | Self::Invalid(message) => message,
            Self::UnknownKey => "The security token included in the request is invalid.",
        }
    }
}

/// A signature as a request presents it. Nothing of it is verified yet.
#[derive(Debug)]
pub(super) struct Presented<'r> {
    pub(super) key_id: String,
    date: String,
    pub(super) region: String,
    service: String,
    signed_headers: Cow<'r, str>,
    signature: Vec<u8>,
    /// When it was signed, as the request writes it.
    amz_date: String,
    time: Timestamp,
    /// How long it is good for, if it is in the query.
    expires: Option<Duration>,
}

/// A signature that its owner's secret key made, over the whole request.
#[derive(Debug)]
pub(super) struct Verified {
    /// The Region it was made for.
    pub(super) region: String,
}

impl<'r> Presented<'r> {
    /// Reads the `Authorization` header, or the query of a presigned request.
    pub(super) fn read(parts: &'r Parts) -> Result<Self, Unauthenticated> {
        if let Some(authorization) = parts.headers.get(header::AUTHORIZATION) {
            let text = authorization
                .to_str()
                .map_err(|_| incomplete("The Authorization header is not plain text."))?;
            return Self::from_header(text, &parts.headers);
        }
        match parts.uri.query() {
            Some(query) if query.contains("X-Amz-Signature=") => Self::from_query(query),
            _ => Err(Unauthenticated::Missing),
        }
    }

    fn from_header(text: &'r str, headers: &HeaderMap) -> Result<Self, Unauthenticated> {
        let Some(parameters) = text.strip_prefix(ALGORITHM) else {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': '{}'.",
                text.split(' ').next().unwrap_or_default()
            )));
        };
        let (mut credential, mut signed, mut signature) = (None, None, None);
        for parameter in parameters.split(',') {
            match parameter.trim().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => signed = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                _ => {
                    return Err(incomplete(format!(
                        "'{}' not a valid key=value pair (missing equal-sign) in Authorization \
                         header.",
                        parameter.trim()
                    )));
                }
            }
        }
        let date = headers
            .get(AMZ_DATE)
            .or_else(|| headers.get(header::DATE))
            .and_then(|value| value.to_str().ok());
        let mut missing: Vec<String> = [
            ("Credential", credential),
            ("Signature", signature),
            ("SignedHeaders", signed),
        ]
        .into_iter()
        .filter(|(_, value)| value.is_none_or(str::is_empty))
        .map(|(name, _)| format!("Authorization header requires '{name}' parameter."))
        .collect();
        if date.is_none() {
            missing.push(
                "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' \
                 header."
                    .to_owned(),
            );
        }
        match (credential, signed, signature, date) {
            (Some(credential), Some(signed), Some(signature), Some(date)) if missing.is_empty() => {
                Self::new(credential, signed.into(), signature, date, None)
            }
            _ => Err(incomplete(missing.join(" "))),
        }
    }

    fn from_query(query: &str) -> Result<Self, Unauthenticated> {
        let parameter = |name: &str| {
            let found = pairs(query).find(|(found, _)| *found == name);
            let value = found.map(|(_, value)| decoded(value));
            value.ok_or_else(|| {
                incomplete(format!(
                    "AWS query-string parameters must include '{name}'."
                ))
            })
        };
        let algorithm = parameter("X-Amz-Algorithm")?;
        if algorithm != ALGORITHM {
            return Err(incomplete(format!(
                "Unsupported AWS 'algorithm': '{algorithm}'."
            )));
        }
        let expires = parameter("X-Amz-Expires")?;
        let expires = expires
            .parse()
            .ok()
            .filter(|seconds| *seconds <= MAX_EXPIRES);
        let expires = expires.ok_or_else(|| {
            incomplete(format!(
                "X-Amz-Expires must be a number of seconds up to {MAX_EXPIRES}."
            ))
        })?;
        Self::new(
            &parameter("X-Amz-Credential")?,
            parameter("X-Amz-SignedHeaders")?.into(),
            &parameter("X-Amz-Signature")?,
            &parameter("X-Amz-Date")?,
            Some(Duration::from_secs(expires)),
        )
    }

    fn new(
        credential: &str,
        signed_headers: Cow<'r, str>,
        signature: &str,
        date: &str,
        expires: Option<Duration>,
    ) -> Result<Self, Unauthenticated> {
        let fields: Vec<&str> = credential.split('/').collect();
        let [key_id, day, region, service, terminator] = fields[..] else {
            return Err(incomplete(format!(
                "Credential must have exactly 5 slash-delimited elements, e.g. \
                 keyid/date/region/service/term, got '{credential}'."
            )));
        };
        if terminator != TERMINATOR {
            return Err(invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not \
                 '{terminator}'."
            )));
        }
        let time = time::parse(date).ok_or_else(|| {
            incomplete(format!(
                "Date must be in ISO-8601 'basic format'. Got '{date}'. See \
                 http://en.wikipedia.org/wiki/ISO_8601"
            ))
        })?;
        let amz_date = basic(time);
        if !amz_date.starts_with(day) || day.len() != 8 {
            return Err(invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date \
                 from HTTP: '{day}' != '{}', from '{amz_date}'.",
                &amz_date[..8]
            )));
        }
        let (key_id, date, region, service) = (
            key_id.to_owned(),
            day.to_owned(),
            region.to_owned(),
            service.to_owned(),
        );
        Ok(Self {
            key_id,
            date,
            region,
            service,
            signature: unhex(signature).ok_or_else(mismatch)?,
            signed_headers,
            amz_date,
            time,
            expires,
        })
    }

    /// Checks everything that needs no secret: the scope, the clock and what has to be signed.
    pub(super) fn check(
        &self,
        parts: &Parts,
        service: &str,
        now: Timestamp,
    ) -> Result<(), Unauthenticated> {
        if self.service != service {
            return Err(invalid(format!(
                "Credential should be scoped to correct service: '{service}'. "
            )));
        }
        self.check_time(now)?;
        let signed = || self.signed_headers.split(';');
        if !signed().is_sorted_by(|a, b| a < b) {
            return Err(invalid(
                "SignedHeaders must be in order, each once.".to_owned(),
            ));
        }
        if !signed().any(|name| name == "host" || name == ":authority") {
            return Err(invalid(
                "'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization."
                    .to_owned(),
            ));
        }
        for name in MUST_BE_SIGNED {
            if parts.headers.contains_key(name) && !signed().any(|signed| signed == name) {
                return Err(invalid(format!(
                    "'{name}' must be a 'SignedHeader' in the AWS Authorization."
                )));
            }
        }
        Ok(())
    }

    fn check_time(&self, now: Timestamp) -> Result<(), Unauthenticated> {
        let earliest = now - SKEW;
        let latest = now + SKEW;
        let (signed, now_text) = (&self.amz_date, basic(now));
        if self.time > latest {
            return Err(invalid(format!(
                "Signature not yet current: {signed} is still later than {} ({now_text} + 5 min.)",
                basic(latest)
            )));
        }
        let expired = match self.expires {
            None => self.time < earliest,
            Some(expires) => self.time + expires < now,
        };
        if !expired {
            return Ok(());
        }
        Err(invalid(match self.expires {
            None => format!(
                "Signature expired: {signed} is now earlier than {} ({now_text} - 5 min.)",
                basic(earliest)
            ),
            Some(expires) => format!(
                "Signature expired: {now_text} is now later than {} ({signed} + {} s)",
                basic(self.time + expires),
                expires.as_secs()
            ),
        }))
    }

    /// Checks that `secret` signed this request with this body.
    pub(super) fn verify(
        self,
        parts: &Parts,
        body: &[u8],
        secret: &[u8],
    ) -> Result<Verified, Unauthenticated> {
        let request = digest::digest(
            &SHA256,
            &canonical::request(parts, &self.signed_headers, body),
        );
        let scope = format!(
            "{}/{}/{}/{TERMINATOR}",
            self.date, self.region, self.service
        );
        let to_sign = format!(
            "{ALGORITHM}\n{}\n{scope}\n{}",
            self.amz_date,
            hex(request.as_ref())
        );
        let key = self.signing_key(secret);
        let signature = hmac::sign(&key, to_sign.as_bytes());
        verify_slices_are_equal(signature.as_ref(), &self.signature).map_err(|_| mismatch())?;
        Ok(Verified {
            region: self.region,
        })
    }

    fn signing_key(&self, secret: &[u8]) -> hmac::Key {
        let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
        first.extend_from_slice(b"AWS4");
        first.extend_from_slice(secret);
        let mut key = hmac::Key::new(HMAC_SHA256, &first);
        for part in [&*self.date, &self.region, &self.service, TERMINATOR] {
            key = hmac::Key::new(HMAC_SHA256, hmac::sign(&key, part.as_bytes()).as_ref());
        }
        key
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: u8| char::from(digit).to_digit(16);
    let bytes = text.as_bytes().chunks(2).map(|pair| match pair {
        [high, low] => u8::try_from(nibble(*high)? << 4 | nibble(*low)?).ok(),
        _ => None,
    });
    bytes.collect()
}

fn incomplete(message: impl Into<String>) -> Unauthenticated {
    Unauthenticated::Incomplete(message.into())
}

fn invalid(message: String) -> Unauthenticated {
    Unauthenticated::Invalid(message)
}

fn mismatch() -> Unauthenticated {
    Unauthenticated::Invalid(
        "The request signature we calculated does not match the signature you provided. Check your \
         AWS Secret Access Key and signing method. Consult the service documentation for details."
            .to_owned(),
    )
}

#[cfg(test)]
mod tests;

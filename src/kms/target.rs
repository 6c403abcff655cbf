//! Which key service a mount uses.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

/// Where the key service is that holds a volume's KMS key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Target {
    /// The home's own, wherever it runs.
    #[default]
    Embedded,
    /// The socket of a `kmsfs kms serve` on this machine, which may be another user's.
    Unix(PathBuf),
    /// A kmsfs server or AWS KMS.
    Http(Endpoint),
}

/// The URL of a key service: plain `http` only where nobody else listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    url: String,
    tls: bool,
}

impl Endpoint {
    /// Its URL, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls
    }
}

/// The Region in a key's ARN.
pub fn region_of(key_arn: &str) -> Option<&str> {
    key_arn
        .split(':')
        .nth(3)
        .filter(|region| !region.is_empty())
}

/// What is no key service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing of the three.
    #[error("{0:?} is none of embedded, unix:PATH, https://HOST[:PORT], http://HOST[:PORT]")]
    Unknown(String),
    /// Data keys would travel in the clear.
    #[error("{0}: plain http is for this machine only (127.0.0.1, ::1, localhost); use https")]
    Plain(String),
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let unknown = || TargetError::Unknown(text.to_owned());
        if text == "embedded" {
            return Ok(Self::Embedded);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path);
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(unknown())
            };
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(unknown)?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let uri: http::Uri = format!("{scheme}://{authority}")
            .parse()
            .map_err(|_| unknown())?;
        let host = uri.host().ok_or_else(unknown)?;
        if uri.path() != "/" || uri.query().is_some() || authority.contains('@') {
            return Err(unknown());
        }
        let tls = match scheme {
            "https" => true,
            "http" if is_loopback(host) => false,
            "http" => return Err(TargetError::Plain(text.to_owned())),
            _ => return Err(unknown()),
        };
        Ok(Self::Http(Endpoint {
            url: format!("{scheme}://{authority}"),
            tls,
        }))
    }
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http(endpoint) => f.write_str(&endpoint.url),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Target, TargetError};

    fn parse(text: &str) -> Result<Target, TargetError> {
        text.parse()
    }

    #[test]
    fn every_kind_of_target_is_read_and_written_alike() {
        for text in [
            "embedded",
            "unix:/run/kmsfs/kms.sock",
            "https://kms.eu-west-1.amazonaws.com",
            "https://kms.example:8443",
            "http://127.0.0.1:4566",
            "http://localhost:4566",
            "http://[::1]:4566",
        ] {
            assert_eq!(parse(text).unwrap().to_string(), text);
        }
        let with_slash = parse("https://kms.example/").unwrap();
        assert_eq!(with_slash.to_string(), "https://kms.example");
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for text in [
            "http://kms.example",
            "http://10.0.0.1:80",
            "http://127.0.0.1.example",
        ] {
            assert_eq!(parse(text), Err(TargetError::Plain(text.to_owned())));
        }
    }

    #[test]
    fn what_is_no_target_is_refused() {
        for text in [
            "",
            "Embedded",
            "unix:",
            "unix:relative",
            "ftp://host",
            "https://",
            "https://host/path",
            "https://host?query",
            "https://user:password@host",
            "host:8443",
        ] {
            assert_eq!(parse(text), Err(TargetError::Unknown(text.to_owned())));
        }
    }
}

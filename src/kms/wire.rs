//! What server and client of the socket agree on.
//!
//! The AWS JSON 1.1 protocol (<https://smithy.io/2.0/aws/protocols/aws-json-1_1-protocol.html>) over
//! HTTP/1.1: `POST /`, the operation in `X-Amz-Target`. `TrentService.<Operation>` are the AWS
//! operations, `Kmsfs.<Operation>` ours.

use std::{
    fs::File,
    io,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    sync::Arc,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Caller, Region, administration::ListIdentityPoliciesResponse, api::Plaintext};
use crate::{audit::Head, policy::Principal};

/// The media type of requests and responses.
pub(super) const CONTENT_TYPE: &str = "application/x-amz-json-1.1";
/// The header that names the operation.
pub(super) const TARGET: &str = "x-amz-target";
/// Before the names of the AWS operations.
pub(super) const AWS: &str = "TrentService.";
/// Before the names of ours.
pub(super) const OURS: &str = "Kmsfs.";
/// The header by which the home's owner, or root, speaks for somebody else: [`Forwarded`] as JSON in
/// base64.
pub(super) const CALLER: &str = "x-kmsfs-caller";
/// The socket's name in the home.
pub(super) const SOCKET: &str = "kms.sock";

/// A path to a socket that is short enough for `sockaddr_un` (108 bytes), however long its own path
/// is. Good for as long as it lives.
pub(super) struct SocketPath {
    path: PathBuf,
    _directory: Option<File>,
}

impl SocketPath {
    pub(super) fn new(socket: &Path) -> io::Result<Self> {
        let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
            return Err(io::ErrorKind::InvalidFilename.into());
        };
        if socket.as_os_str().len() < 100 {
            return Ok(Self {
                path: socket.to_owned(),
                _directory: None,
            });
        }
        let directory = File::open(directory)?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name);
        Ok(Self {
            path,
            _directory: Some(directory),
        })
    }

    pub(super) fn as_path(&self) -> &Path {
        &self.path
    }
}

/// A [`Caller`] that a mount passes on. Where a request came from is the server's own to know.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Forwarded {
    arn: String,
    account: String,
    also: Vec<String>,
    #[serde(default)]
    region: Option<String>,
    uid: Option<u32>,
    via_kmsfs: bool,
    shared_event_id: Option<String>,
    pid: Option<u32>,
}

/// The value of [`CALLER`] for `caller`.
pub(super) fn encode_caller(caller: &Caller) -> String {
    let Principal { arn, account, also } = &*caller.principal;
    let forwarded = Forwarded {
        arn: arn.clone(),
        account: account.clone(),
        also: also.clone(),
        region: caller.region.as_ref().map(Region::to_string),
        uid: caller.uid,
        via_kmsfs: caller.via_kmsfs,
        shared_event_id: caller.shared_event_id.clone(),
        pid: caller.pid,
    };
    STANDARD.encode(serde_json::to_vec(&forwarded).expect("plain text and numbers"))
}

/// The caller in a [`CALLER`] header; `None` if it is malformed.
pub(super) fn decode_caller(header: &[u8]) -> Option<Caller> {
    let json = STANDARD.decode(header).ok()?;
    let forwarded: Forwarded = serde_json::from_slice(&json).ok()?;
    let Forwarded {
        arn,
        account,
        also,
        region,
        uid,
        via_kmsfs,
        shared_event_id,
        pid,
    } = forwarded;
    let region = region.map(|region| region.parse()).transpose().ok()?;
    let principal = Arc::new(Principal { arn, account, also });
    Some(Caller {
        region,
        uid,
        via_kmsfs,
        shared_event_id,
        pid,
        ..Caller::new(principal)
    })
}

/// The body of an error.
#[derive(Serialize, Deserialize)]
pub(super) struct ErrorBody {
    #[serde(rename = "__type")]
    pub(super) code: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) message: String,
}

/// `Kmsfs.Epoch`, of somebody who only asks, or of a mount that follows.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EpochRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mount: Option<String>,
    /// Up to which epoch the mount has acted on every change; none: it ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) enforced: Option<u64>,
}

impl EpochRequest {
    /// As [`KeyService::follow`](super::KeyService::follow) says it.
    pub(super) fn of_mount(mount: &str, enforced: Option<u64>) -> Self {
        Self {
            mount: Some(mount.to_owned()),
            enforced,
        }
    }
}

/// The answer of `Kmsfs.Epoch`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct EpochResponse {
    pub(super) epoch: u64,
}

/// `Kmsfs.Attached`: what is attached to users and groups, unless that is known.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttachedRequest {
    /// The epoch of what the asker knows.
    pub(super) since: Option<u64>,
}

/// The answer of `Kmsfs.Attached`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttachedResponse {
    pub(super) epoch: u64,
    /// Absent when the epoch is the asker's.
    pub(super) listed: Option<ListIdentityPoliciesResponse>,
}

/// `Kmsfs.Unseal`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UnsealRequest {
    pub(super) root_key: Plaintext,
}

/// `Kmsfs.AuditAnchor`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuditAnchorRequest {
    pub(super) head: Head,
}

/// The answer of `Kmsfs.AuditAnchor`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AuditAnchorResponse {
    pub(super) signature: Vec<u8>,
    pub(super) other: Option<Head>,
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{decode_caller, encode_caller};
    use crate::{kms::Caller, policy::Principal};

    #[test]
    fn a_forwarded_caller_arrives_whole() {
        let principal = Principal {
            arn: "arn:aws:iam::000000000000:user/ådäm".to_owned(),
            account: "000000000000".to_owned(),
            also: vec!["arn:aws:iam::000000000000:role/staff".to_owned()],
        };
        let caller = Caller {
            region: Some("eu-west-1".parse().unwrap()),
            uid: Some(1000),
            via_kmsfs: true,
            shared_event_id: Some("id".to_owned()),
            pid: Some(7),
            ..Caller::new(Arc::new(principal))
        };
        let back = decode_caller(encode_caller(&caller).as_bytes()).unwrap();
        assert_eq!(back.principal, caller.principal);
        assert_eq!(back.region, caller.region);
        assert_eq!(back.uid, caller.uid);
        assert_eq!(back.via_kmsfs, caller.via_kmsfs);
        assert_eq!(back.shared_event_id, caller.shared_event_id);
        assert_eq!(back.pid, caller.pid);
        assert!(decode_caller(b"nonsense").is_none());
    }
}

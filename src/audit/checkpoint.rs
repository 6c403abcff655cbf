//! Signatures over a log's head, and the checkpoint records that carry them.

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::json::{as_base64, as_hex, hex};

/// How a checkpoint's line begins: no other record's does (see `Event`).
pub(super) const PREFIX: &[u8] =
    br#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"Checkpoint","#;

/// How the lines begin that opening a log may write: no other record's do.
const OPENING: [&[u8]; 4] = [
    br#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"LogOpened","#,
    br#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"LogCreated","#,
    br#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"LogRecovered","#,
    br#"{"eventVersion":"1.11","eventType":"AwsServiceEvent","eventName":"LogFull","#,
];

/// Whether opening a log writes such a line before the head is signed. An attempt that fails or is killed
/// leaves it, and so does the next. It says nothing of any access: whoever slips one in behind the record
/// that a log was closed with adds nothing to what the log tells.
pub(super) fn is_of_opening(line: &[u8]) -> bool {
    OPENING.iter().any(|prefix| line.starts_with(prefix))
}

/// The state of a log: its last record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The log's name.
    pub log: String,
    /// The record's number.
    pub seq: u64,
    /// The record's hash.
    #[serde(with = "as_hex")]
    pub hash: [u8; 32],
}

/// What vouches for a log from outside: the key service, which signs its heads and remembers them.
pub trait Anchor: Send + Sync {
    /// Signs ([`signed_message`], Ed25519) that the log called `log` has the record `seq` with
    /// `hash`, and remembers it for the other log. The record is on disk when this is called.
    ///
    /// It is called from the log's own thread, at most a few times a second, and may block. It must
    /// not call [`Log::checkpoint`](super::Log::checkpoint) of the same log.
    ///
    /// # Errors
    /// In words, for a log or an error message.
    fn anchor(&self, log: &str, seq: u64, hash: &[u8; 32]) -> Result<Anchored, String>;

    /// The Ed25519 public key (RFC 8032) that [`anchor`](Self::anchor) signs for. A log that is
    /// opened again is continued only if its head is signed by it.
    fn public_key(&self) -> [u8; 32];
}

/// An anchor's answer.
#[derive(Debug, Clone)]
pub struct Anchored {
    /// Ed25519 over [`signed_message`]: 64 bytes.
    pub signature: Vec<u8>,
    /// A head of another log, to be carried by this log's next checkpoint.
    pub other: Option<Head>,
}

/// The bytes that are signed for a head: ASCII lines `kmsfs-audit-head-v1`, the log's name, the
/// number in decimal and the hash in lower-case hexadecimal, each ended by a newline. A log's name
/// has no newline, so no two heads share a message.
pub fn signed_message(log: &str, seq: u64, hash: &[u8; 32]) -> Vec<u8> {
    let mut message = format!("kmsfs-audit-head-v1\n{log}\n{seq}\n").into_bytes();
    message.extend_from_slice(&hex(hash));
    message.push(b'\n');
    message
}

/// Whether `signature` vouches for `link` in the log called `log`.
pub(super) fn is_signed(key: &[u8; 32], log: &str, link: Link, signature: &[u8]) -> bool {
    let message = signed_message(log, link.seq, &link.hash);
    UnparsedPublicKey::new(&ED25519, key)
        .verify(&message, signature)
        .is_ok()
}

/// What a checkpoint record says (its `serviceEventDetails`): that an earlier record of this log
/// was signed, and which heads other logs had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Checkpoint {
    /// The signed record's number, less than the checkpoint's own.
    pub(super) seq: u64,
    /// The signed record's hash.
    #[serde(with = "as_hex")]
    pub(super) hash: [u8; 32],
    #[serde(with = "as_base64")]
    pub(super) signature: Vec<u8>,
    /// Heads of other logs, as the key service knew them.
    pub(super) anchors: Vec<Head>,
    /// Whether the log was closed with this record. What follows then is what opening it wrote
    /// ([`is_of_opening`]), and the head is signed anew before anything else is recorded.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) closing: bool,
}

impl Checkpoint {
    /// Reads a checkpoint record. `None` if the line is another record, `Some(Err)` if it begins as
    /// a checkpoint and is none.
    pub(super) fn read(line: &[u8]) -> Option<Result<Self, serde_json::Error>> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Record {
            service_event_details: Checkpoint,
        }
        let read =
            || serde_json::from_slice(line).map(|record: Record| record.service_event_details);
        line.starts_with(PREFIX).then(read)
    }

    pub(super) fn link(&self) -> Link {
        Link {
            seq: self.seq,
            hash: self.hash,
        }
    }
}

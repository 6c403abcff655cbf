//! The head file `<name>.head`: the signed state of a log, one JSON object in one line.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::checkpoint::{Head, is_signed};
use super::files::Files;
use super::json::as_base64;
use super::writer::Tail;

/// A head as read, its signature not yet checked.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SignedHead {
    format: u32,
    #[serde(flatten)]
    head: Head,
    /// The first record of the segment that the record is in.
    #[serde(default = "one")]
    first: u64,
    /// Where the record ends in that segment, in bytes, so that opening need not read it whole. Neither
    /// is signed: the line that ends there has the signed hash, or the head is no good.
    end: u64,
    #[serde(with = "as_base64")]
    signature: Vec<u8>,
}

/// A record that is known to have been in the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vouched {
    pub(super) link: Link,
    pub(super) first: u64,
    pub(super) end: u64,
}

/// Heads that were written before logs had segments.
fn one() -> u64 {
    1
}

const FORMAT: u32 = 1;

impl SignedHead {
    pub(super) fn new(log: &str, tail: Tail, signature: Vec<u8>) -> Self {
        let Tail { link, first, end } = tail;
        let head = Head {
            log: log.to_owned(),
            seq: link.seq,
            hash: link.hash,
        };
        Self {
            format: FORMAT,
            head,
            first,
            end,
            signature,
        }
    }

    /// Reads the head file; `None` if there is none. The inner error says what is wrong with it.
    pub(super) fn read(files: &Files) -> io::Result<Option<Result<Self, String>>> {
        let mut text = Vec::new();
        match std::fs::File::open(&files.head) {
            // A head is some 300 bytes: whatever is larger fails to parse.
            Ok(file) => file.take(4096).read_to_end(&mut text)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let head = serde_json::from_slice::<Self>(&text)
            .map_err(|error| format!("the head file cannot be read: {error}"))
            .and_then(|head| match head.format {
                FORMAT => Ok(head),
                other => Err(format!(
                    "the head file has format {other}; this program knows {FORMAT}"
                )),
            });
        Ok(Some(head))
    }

    /// The record it vouches for, if `key` signed it for the log called `log`. Without a key only
    /// the name is checked.
    pub(super) fn check(&self, log: &str, key: Option<&[u8; 32]>) -> Result<Vouched, String> {
        let link = Link {
            seq: self.head.seq,
            hash: self.head.hash,
        };
        if self.head.log != log {
            return Err(format!(
                "the head file is that of the log {:?}",
                self.head.log
            ));
        }
        if key.is_some_and(|key| !is_signed(key, log, link, &self.signature)) {
            return Err("the head file is not signed by this home's key".to_owned());
        }
        Ok(Vouched {
            link,
            first: self.first,
            end: self.end,
        })
    }

    /// Replaces the head file. After a crash either the old or the new one is there, and both are
    /// true: a head vouches for a record that is on disk.
    pub(super) fn write(&self, files: &Files) -> io::Result<()> {
        let fresh = files.head.with_added_extension("tmp");
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&fresh)?;
        file.write_all(&line)?;
        file.sync_data()?;
        std::fs::rename(&fresh, &files.head)
    }
}

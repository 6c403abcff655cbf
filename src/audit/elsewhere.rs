//! Signed heads that were kept elsewhere: what finds that all logs of a home were removed or put back.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::chain::Link;
use super::checkpoint::{Checkpoint, Head, is_signed};
use super::files::Files;
use super::json::as_base64;
use super::{AuditError, io_error};

/// A line of a file of heads: a record that a log had, and the key service's signature of that.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ElsewhereHead {
    #[serde(flatten)]
    head: Head,
    #[serde(with = "as_base64")]
    signature: Vec<u8>,
}

impl ElsewhereHead {
    pub(super) fn new(log: &str, checkpoint: &Checkpoint) -> Self {
        Self {
            head: Head {
                log: log.to_owned(),
                seq: checkpoint.seq,
                hash: checkpoint.hash,
            },
            signature: checkpoint.signature.clone(),
        }
    }
}

/// What a file of heads holds.
pub(super) struct Heads {
    /// What was signed, each with its log's name.
    pub(super) signed: Vec<(Link, String)>,
    /// Lines that are no JSON, as a write leaves them that a kill or a full disk cut short.
    pub(super) unreadable: u64,
}

/// The heads in `file` that `key` signed: the whole file has to be of this home. Lines that are no JSON are
/// counted; the last one, if it has no end, may be just being written.
///
/// # Errors
/// When it cannot be read; [`AuditError::Malformed`] for JSON that is no head, or that another key
/// signed.
pub(super) fn heads(file: &Path, key: &[u8; 32]) -> Result<Heads, AuditError> {
    let failed = || io_error("read", file);
    let mut source = BufReader::new(File::open(file).map_err(failed())?);
    let mut heads = Heads {
        signed: Vec::new(),
        unreadable: 0,
    };
    let mut offset = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = source.by_ref().take(1 << 12);
        let read = limited.read_until(b'\n', &mut line).map_err(failed())?;
        if read == 0 || (line.last() != Some(&b'\n') && at_end(&mut source).map_err(failed())?) {
            return Ok(heads);
        }
        let start = offset;
        offset += read as u64;
        if serde_json::from_slice::<IgnoredAny>(&line).is_err() {
            heads.unreadable += 1;
            continue;
        }
        let malformed = |reason: String| AuditError::Malformed {
            file: file.to_path_buf(),
            offset: start,
            reason,
        };
        let ElsewhereHead { head, signature } =
            serde_json::from_slice(&line).map_err(|error| malformed(error.to_string()))?;
        let link = Link {
            seq: head.seq,
            hash: head.hash,
        };
        Files::new(Path::new(""), &head.log).map_err(|error| malformed(error.to_string()))?;
        if !is_signed(key, &head.log, link, &signature) {
            return Err(malformed("it is not signed by this home's key".to_owned()));
        }
        heads.signed.push((link, head.log));
    }
}

fn at_end(source: &mut BufReader<File>) -> io::Result<bool> {
    Ok(source.fill_buf()?.is_empty())
}

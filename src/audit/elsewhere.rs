//! Signed heads that were kept elsewhere: what finds that all logs of a home were removed or put back.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

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

/// The heads in `file` that `key` signed, each with its log's name: the whole file has to be of this home.
/// An unfinished last line, as a crash leaves it, is passed over.
///
/// # Errors
/// When it cannot be read; [`AuditError::Malformed`] for a line that is no head, or that another key
/// signed.
pub(super) fn heads(file: &Path, key: &[u8; 32]) -> Result<Vec<(Link, String)>, AuditError> {
    let failed = || io_error("read", file);
    let mut source = BufReader::new(File::open(file).map_err(failed())?);
    let mut heads = Vec::new();
    let mut offset = 0;
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = source.by_ref().take(1 << 12);
        let read = limited.read_until(b'\n', &mut line).map_err(failed())?;
        if read == 0 || (line.last() != Some(&b'\n') && at_end(&mut source).map_err(failed())?) {
            return Ok(heads);
        }
        let malformed = |reason: String| AuditError::Malformed {
            file: file.to_path_buf(),
            offset,
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
        heads.push((link, head.log));
        offset += read as u64;
    }
}

fn at_end(source: &mut BufReader<File>) -> io::Result<bool> {
    Ok(source.fill_buf()?.is_empty())
}

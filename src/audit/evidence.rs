//! What vouches for a log: its signed head, its signed checkpoints, other logs' checkpoints.

use std::collections::BTreeSet;
use std::path::Path;

use super::chain::Link;
use super::checkpoint::{Checkpoint, Head, is_signed};
use super::files::Files;
use super::head::SignedHead;
use super::segments::Segment;
use super::{AuditError, io_error};

/// A line of a log: its segment, by the number of its first record, and its number in it, from 1.
/// Places are ordered as the lines are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) segment: u64,
    pub(super) line: u64,
}

/// Somebody's word that a log has a record.
pub(super) struct Claim {
    pub(super) link: Link,
    pub(super) by: By,
}

pub(super) enum By {
    /// The signed head.
    Head,
    /// A signed checkpoint of the log itself.
    Checkpoint,
    /// A checkpoint of another log.
    Other { log: String, at: Place },
    /// A signed head that was kept elsewhere.
    Elsewhere,
}

impl Claim {
    pub(super) fn is_own(&self) -> bool {
        !matches!(self.by, By::Other { .. })
    }

    pub(super) fn describe(&self) -> String {
        match &self.by {
            By::Head => "the signed head".to_owned(),
            By::Checkpoint => "a signed checkpoint".to_owned(),
            By::Elsewhere => "a signed head kept elsewhere".to_owned(),
            By::Other { log, at } => {
                format!("record {} of the log {log}", at.segment + at.line - 1)
            }
        }
    }
}

/// What vouches for a log, and what cannot be made out.
pub(super) struct Evidence {
    pub(super) files: Files,
    pub(super) claims: Vec<Claim>,
    pub(super) checkpoints: u64,
    /// The records that it was closed with.
    pub(super) closings: BTreeSet<u64>,
    /// The record its head vouches for.
    pub(super) head: Option<u64>,
    pub(super) bad_head: Option<String>,
    /// The first checkpoint that nobody signed.
    pub(super) bad_checkpoint: Option<(Place, String)>,
}

/// The checkpoints of one segment.
pub(super) struct Found {
    checkpoints: Vec<(Place, Result<Checkpoint, String>)>,
}

impl Evidence {
    /// Takes the log's head as evidence.
    pub(super) fn gather_head(files: Files, key: Option<&[u8; 32]>) -> Result<Self, AuditError> {
        let head = SignedHead::read(&files).map_err(io_error("read", &files.head))?;
        let mut evidence = Self {
            files,
            claims: Vec::new(),
            checkpoints: 0,
            closings: BTreeSet::new(),
            head: None,
            bad_head: None,
            bad_checkpoint: None,
        };
        match head.map(|head| head.and_then(|head| head.check(&evidence.files.name, key))) {
            None => {}
            Some(Ok(vouched)) => {
                evidence.head = Some(vouched.link.seq);
                evidence.claims.push(Claim {
                    link: vouched.link,
                    by: By::Head,
                });
            }
            Some(Err(reason)) => evidence.bad_head = Some(reason),
        }
        Ok(evidence)
    }

    /// Takes a segment's checkpoints as evidence and returns what they say of other logs.
    pub(super) fn take(&mut self, found: Found) -> Vec<(Claim, String)> {
        let mut others = Vec::new();
        for (at, checkpoint) in found.checkpoints {
            match checkpoint {
                Ok(checkpoint) => {
                    self.checkpoints += 1;
                    if checkpoint.closing {
                        self.closings.insert(at.segment + at.line - 1);
                    }
                    self.claims.push(Claim {
                        link: checkpoint.link(),
                        by: By::Checkpoint,
                    });
                    for Head { log, seq, hash } in checkpoint.anchors {
                        let link = Link { seq, hash };
                        let by = By::Other {
                            log: self.files.name.clone(),
                            at,
                        };
                        others.push((Claim { link, by }, log));
                    }
                }
                Err(reason) => {
                    self.bad_checkpoint.get_or_insert((at, reason));
                }
            }
        }
        others
    }
}

/// First pass over a segment of the log called `log`: its checkpoints.
pub(super) fn checkpoints(
    log: &str,
    segment: &Segment,
    key: Option<&[u8; 32]>,
) -> Result<Found, AuditError> {
    let mut checkpoints = Vec::new();
    let mut lines = segment.lines(0)?;
    let failed = || io_error("read", &segment.file);
    let mut number = 0;
    loop {
        let line = match lines.next() {
            // The second pass says so.
            Err(error) if segment.is_corrupt(&error) => break,
            line => line.map_err(failed())?,
        };
        // A checkpoint that is just being written vouches for nothing yet.
        let Some(line) = line.filter(|line| line.ended) else {
            break;
        };
        number += 1;
        if let Some(read) = Checkpoint::read(line.bytes) {
            let at = Place {
                segment: segment.first,
                line: number,
            };
            checkpoints.push((at, check(log, read, key)));
        }
    }
    Ok(Found { checkpoints })
}

fn check(
    log: &str,
    read: Result<Checkpoint, serde_json::Error>,
    key: Option<&[u8; 32]>,
) -> Result<Checkpoint, String> {
    let checkpoint = read.map_err(|error| format!("the checkpoint cannot be read: {error}"))?;
    let signed = |key| is_signed(key, log, checkpoint.link(), &checkpoint.signature);
    if !key.is_none_or(signed) {
        return Err("the checkpoint is not signed by this home's key".to_owned());
    }
    let mut heads = checkpoint.anchors.iter();
    if let Some(head) = heads.find(|head| Files::new(Path::new(""), &head.log).is_err()) {
        return Err(format!(
            "the checkpoint speaks of {:?}, which no log is called",
            head.log
        ));
    }
    Ok(checkpoint)
}

//! What vouches for a log: its signed head, its signed checkpoints, other logs' checkpoints.

use std::fs::File;
use std::io;
use std::path::Path;

use super::chain::Link;
use super::checkpoint::{Checkpoint, Head, is_signed};
use super::files::Files;
use super::head::SignedHead;
use super::lines::Lines;
use super::{AuditError, io_error};

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
    Other { log: String, line: u64 },
}

impl Claim {
    pub(super) fn is_own(&self) -> bool {
        !matches!(self.by, By::Other { .. })
    }

    pub(super) fn describe(&self) -> String {
        match &self.by {
            By::Head => "the signed head".to_owned(),
            By::Checkpoint => "a signed checkpoint".to_owned(),
            By::Other { log, line } => format!("line {line} of the log {log}"),
        }
    }
}

/// What vouches for a log, and what cannot be made out.
pub(super) struct Evidence {
    pub(super) files: Files,
    pub(super) claims: Vec<Claim>,
    pub(super) checkpoints: u64,
    /// The record its head vouches for.
    pub(super) head: Option<u64>,
    pub(super) bad_head: Option<String>,
    /// The first checkpoint that nobody signed, by line.
    pub(super) bad_checkpoint: Option<(u64, String)>,
}

impl Evidence {
    /// Takes the log's head as evidence.
    pub(super) fn gather_head(files: Files, key: Option<&[u8; 32]>) -> Result<Self, AuditError> {
        let head = SignedHead::read(&files).map_err(io_error("read", &files.head))?;
        let mut evidence = Self {
            files,
            claims: Vec::new(),
            checkpoints: 0,
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

    /// The log's lines; `None` if it is gone.
    pub(super) fn open(&self) -> Result<Option<Lines>, AuditError> {
        let opened = match File::open(&self.files.log) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.and_then(|file| Lines::from(file, 0)),
        };
        opened.map(Some).map_err(io_error("read", &self.files.log))
    }

    /// First pass: takes the log's own checkpoints as evidence and returns what they say of others.
    pub(super) fn gather_checkpoints(
        &mut self,
        key: Option<&[u8; 32]>,
    ) -> Result<Vec<(Claim, String)>, AuditError> {
        let mut others = Vec::new();
        let Some(mut lines) = self.open()? else {
            return Ok(others);
        };
        let mut number = 0;
        while let Some(line) = lines.next().map_err(io_error("read", &self.files.log))? {
            // A checkpoint that is just being written vouches for nothing yet.
            if !line.ended {
                break;
            }
            number += 1;
            let Some(read) = Checkpoint::read(line.bytes) else {
                continue;
            };
            match self.check(read, key) {
                Ok(checkpoint) => {
                    self.checkpoints += 1;
                    self.claims.push(Claim {
                        link: checkpoint.link(),
                        by: By::Checkpoint,
                    });
                    for Head { log, seq, hash } in checkpoint.anchors {
                        let by = By::Other {
                            log: self.files.name.clone(),
                            line: number,
                        };
                        others.push((
                            Claim {
                                link: Link { seq, hash },
                                by,
                            },
                            log,
                        ));
                    }
                }
                Err(reason) => {
                    self.bad_checkpoint.get_or_insert((number, reason));
                }
            }
        }
        Ok(others)
    }

    fn check(
        &self,
        read: Result<Checkpoint, serde_json::Error>,
        key: Option<&[u8; 32]>,
    ) -> Result<Checkpoint, String> {
        let checkpoint = read.map_err(|error| format!("the checkpoint cannot be read: {error}"))?;
        let signed = |key| {
            is_signed(
                key,
                &self.files.name,
                checkpoint.link(),
                &checkpoint.signature,
            )
        };
        if !key.is_none_or(signed) {
            return Err("the checkpoint is not signed by this home's key".to_owned());
        }
        if let Some(head) = checkpoint
            .anchors
            .iter()
            .find(|head| Files::new(Path::new(""), &head.log).is_err())
        {
            return Err(format!(
                "the checkpoint speaks of {:?}, which no log is called",
                head.log
            ));
        }
        Ok(checkpoint)
    }
}

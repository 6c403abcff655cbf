//! Judging the logs of a directory.
//!
//! Two passes: the first gathers what vouches for each log (heads, then checkpoints, then other
//! logs' checkpoints), the second follows the chains and compares. A log that is being written only
//! grows meanwhile, so whatever vouched in the first pass has to hold in the second.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::chain::{Broken, Link, MAX_LINE};
use super::checkpoint::Head;
use super::evidence::{By, Claim, Evidence};
use super::files::Files;
use super::record::time_of;
use super::report::{Finding, LogReport, Report, Verdict};
use super::{AuditError, io_error};

/// How old a record may be that the head does not cover yet: the head lags half a second plus a
/// sync, and a clock may have been set a little.
const LAG: SignedDuration = SignedDuration::from_secs(5);

/// Verifies every log in `directory`. Without the key service's `public_key` signatures are taken on
/// trust, and no log is called better than unanchored.
///
/// # Errors
/// When a file cannot be read. What is wrong with the logs is no error but the report.
pub fn verify(directory: &Path, public_key: Option<&[u8; 32]>) -> Result<Report, AuditError> {
    verify_at(directory, public_key, Timestamp::now())
}

/// [`verify`] that takes the time as `now`.
pub(super) fn verify_at(
    directory: &Path,
    key: Option<&[u8; 32]>,
    now: Timestamp,
) -> Result<Report, AuditError> {
    let mut logs = BTreeMap::new();
    for files in Files::list(directory)? {
        logs.insert(files.name.clone(), Evidence::gather_head(files, key)?);
    }
    let mut others = Vec::new();
    for evidence in logs.values_mut() {
        others.extend(evidence.gather_checkpoints(key)?);
    }
    for (claim, about) in others {
        if !logs.contains_key(&about) {
            // Gone, or begun since the directory was listed.
            let files = Files::new(directory, &about)?;
            logs.insert(about.clone(), Evidence::gather_head(files, key)?);
        }
        logs.get_mut(&about)
            .expect("just inserted")
            .claims
            .push(claim);
    }
    let mut walks = BTreeMap::new();
    for (name, evidence) in &logs {
        walks.insert(name.as_str(), evidence.walk()?);
    }
    let trusted: BTreeMap<&str, u64> = logs
        .iter()
        .map(|(name, log)| (name.as_str(), log.trusted_lines(&walks[name.as_str()])))
        .collect();
    let report = |(name, evidence): (&String, &Evidence)| {
        evidence.judge(&walks[name.as_str()], &trusted, key.is_some(), now)
    };
    Ok(Report {
        logs: logs.iter().map(report).collect(),
    })
}

/// A log's chain, followed to its end or its first break.
#[derive(Default)]
struct Walk {
    end: Option<Link>,
    broken: Option<(u64, Broken)>,
    /// The last line has no end.
    torn: bool,
    /// The hashes of the records somebody vouches for, by number.
    hashes: BTreeMap<u64, [u8; 32]>,
    /// The time of the first record after the head.
    unsigned_since: Option<Timestamp>,
}

impl Walk {
    fn records(&self) -> u64 {
        self.end.map_or(0, |link| link.seq)
    }

    fn agrees(&self, claim: &Claim) -> bool {
        self.hashes.get(&claim.link.seq) == Some(&claim.link.hash)
    }

    fn contradicts(&self, claim: &Claim) -> bool {
        self.hashes
            .get(&claim.link.seq)
            .is_some_and(|hash| *hash != claim.link.hash)
    }
}

impl Evidence {
    /// Second pass: follows the chain.
    fn walk(&self) -> Result<Walk, AuditError> {
        let mut walk = Walk::default();
        let failed = || io_error("read", &self.files.log);
        let Some(mut lines) = self.open()? else {
            return Ok(walk);
        };
        let wanted: BTreeSet<u64> = self.claims.iter().map(|claim| claim.link.seq).collect();
        let mut wanted = wanted.into_iter().peekable();
        let unsigned = self.head.map(|seq| seq + 1);
        let mut link = Link::genesis(&self.files.name);
        while let Some(line) = lines.next().map_err(failed())? {
            if !line.ended && line.bytes.len() <= MAX_LINE {
                let read = line.start + line.bytes.len() as u64;
                walk.torn = self.rests_at(read).map_err(failed())?;
                break;
            }
            match link.follow(line.bytes) {
                Ok(next) => link = next,
                Err(broken) => {
                    walk.broken = Some((link.seq + 1, broken));
                    break;
                }
            }
            if wanted.next_if_eq(&link.seq).is_some() {
                walk.hashes.insert(link.seq, link.hash);
            }
            if unsigned == Some(link.seq) {
                // A record without a time is as old as can be.
                walk.unsigned_since = Some(time_of(line.bytes).unwrap_or(Timestamp::MIN));
            }
        }
        walk.end = (link.seq > 0).then_some(link);
        Ok(walk)
    }

    /// Whether the log ends at byte `length` for good: an unfinished line that is just being
    /// written is longer a moment later.
    fn rests_at(&self, length: u64) -> io::Result<bool> {
        std::thread::sleep(Duration::from_millis(50));
        Ok(self.files.log.metadata()?.len() <= length)
    }

    /// How many of the log's lines may vouch for other logs: all, unless the log itself is not as
    /// it was. A line that breaks the chain leaves those before it; a chain that was made anew
    /// leaves those up to the last record that is vouched for.
    fn trusted_lines(&self, walk: &Walk) -> u64 {
        let own = || self.claims.iter().filter(|claim| claim.is_own());
        let made_anew = self.bad_checkpoint.is_some() || own().any(|claim| walk.contradicts(claim));
        if made_anew {
            let good = own()
                .filter(|claim| walk.agrees(claim))
                .map(|claim| claim.link.seq);
            good.max().unwrap_or(0)
        } else {
            walk.records()
        }
    }

    fn judge(
        &self,
        walk: &Walk,
        trusted: &BTreeMap<&str, u64>,
        signatures_checked: bool,
        now: Timestamp,
    ) -> LogReport {
        let claims: Vec<&Claim> = self
            .claims
            .iter()
            .filter(|claim| match &claim.by {
                By::Other { log, line } => *line <= trusted[log.as_str()],
                By::Head | By::Checkpoint => true,
            })
            .collect();
        let agreed = claims
            .iter()
            .filter(|claim| walk.agrees(claim))
            .map(|claim| claim.link.seq);
        let anchored = agreed.max().unwrap_or(0);
        let verdict = if let Some(finding) = self.tampered(walk, &claims) {
            Verdict::Tampered(finding)
        } else if let Some(finding) = self.truncated(walk, &claims) {
            Verdict::Truncated(finding)
        } else if let Some(finding) = self.unanchored(walk, signatures_checked, now) {
            Verdict::Unanchored(finding)
        } else {
            Verdict::Intact
        };
        let head = |link: Link| Head {
            log: self.files.name.clone(),
            seq: link.seq,
            hash: link.hash,
        };
        LogReport {
            log: self.files.name.clone(),
            file: self.files.log.clone(),
            records: walk.records(),
            checkpoints: self.checkpoints,
            anchored,
            end: walk.end.map(head),
            verdict,
        }
    }

    /// The first record that is not as it was written; else the head, if that is not.
    fn tampered(&self, walk: &Walk, claims: &[&Claim]) -> Option<Finding> {
        let broken = walk.broken.map(|(line, broken)| (line, broken.to_string()));
        let unsigned = self
            .bad_checkpoint
            .clone()
            .filter(|(line, _)| *line <= walk.records());
        let contradicted = claims.iter().filter(|claim| walk.contradicts(claim)).map(|claim| {
            let seq = claim.link.seq;
            let good = claims.iter().filter(|good| walk.agrees(good) && good.link.seq < seq);
            let good = good.map(|good| good.link.seq).max().unwrap_or(0);
            let by = claim.describe();
            (seq, format!(
                "the record is not the one that {by} vouches for: the chain was made anew somewhere \
                 after line {good}"
            ))
        });
        let first = broken
            .into_iter()
            .chain(unsigned)
            .chain(contradicted)
            .min_by_key(|(line, _)| *line);
        let record = first.map(|(line, reason)| self.finding(line, line, reason));
        record.or_else(|| {
            let reason = self.bad_head.clone()?;
            Some(Finding {
                file: self.files.head.clone(),
                line: 1,
                seq: walk.records(),
                reason,
            })
        })
    }

    fn truncated(&self, walk: &Walk, claims: &[&Claim]) -> Option<Finding> {
        let furthest = claims.iter().max_by_key(|claim| claim.link.seq)?;
        let (records, seq) = (walk.records(), furthest.link.seq);
        (seq > records).then(|| {
            let by = furthest.describe();
            let reason =
                format!("the log ends after record {records}, but {by} vouches for record {seq}");
            self.finding(records, records + 1, reason)
        })
    }

    fn unanchored(&self, walk: &Walk, signatures_checked: bool, now: Timestamp) -> Option<Finding> {
        let records = walk.records();
        let Some(head) = self.head else {
            let reason = format!(
                "the head file {} is gone: nothing vouches for the end of the log",
                self.files.head.display()
            );
            return Some(self.finding(records, records, reason));
        };
        if walk.torn {
            let reason = "the last line is unfinished: the writer was killed, and the next start \
                          moves the line aside";
            return Some(self.finding(records + 1, records + 1, reason.to_owned()));
        }
        let latest = now.max(Timestamp::now());
        let young = |since: Timestamp| {
            now.duration_since(since) <= LAG && since.duration_since(latest) <= LAG
        };
        if walk
            .unsigned_since
            .is_some_and(|since| !(self.is_being_written() && young(since)))
        {
            let reason = format!("the signed head vouches for {head} of {records} records only");
            return Some(self.finding(head + 1, head + 1, reason));
        }
        (!signatures_checked).then(|| {
            let reason =
                "the signatures were not checked: there is no public key to check them with";
            self.finding(records, records, reason.to_owned())
        })
    }

    /// Whether a process has the log open for writing: then its last records may still await their
    /// head. Told by the kernel's list of locks (`proc_locks(5)`), since taking the lock to see would
    /// keep a writer out.
    fn is_being_written(&self) -> bool {
        let Ok(metadata) = self.files.log.metadata() else {
            return false;
        };
        let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
            return false;
        };
        let (major, minor) = (
            rustix::fs::major(metadata.dev()),
            rustix::fs::minor(metadata.dev()),
        );
        let file = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
        locks.lines().any(|line| {
            let mut fields = line.split_whitespace();
            fields.nth(1) == Some("FLOCK") && fields.any(|field| field == file)
        })
    }

    fn finding(&self, line: u64, seq: u64, reason: String) -> Finding {
        Finding {
            file: self.files.log.clone(),
            line,
            seq,
            reason,
        }
    }
}

//! Judging the logs of a directory.
//!
//! Two passes, each over all segments at the same time: the first gathers what vouches for each log
//! (heads, then checkpoints, then other logs' checkpoints), the second follows the chains and compares.
//! A log that is being written only grows meanwhile, so whatever vouched in the first pass has to hold in
//! the second.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};

use super::chain::Link;
use super::checkpoint::Head;
use super::evidence::{By, Claim, Evidence, Place, checkpoints};
use super::files::Files;
use super::report::{Finding, LogReport, Report, Verdict};
use super::segments::{Segment, segments};
use super::walk::{Walk, Wanted, follow};
use super::{AuditError, elsewhere, parallel};

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

/// [`verify`] that also compares with the signed heads in the file `heads`, which was kept where nobody
/// could remove or put back what they vouch for. A log that is gone with everything that told of it is
/// truncated then, and an older state of all logs together too.
///
/// # Errors
/// As [`verify`]; when `heads` cannot be read, or has a head that this home's key has not signed.
pub fn verify_with(
    directory: &Path,
    public_key: &[u8; 32],
    heads: &Path,
) -> Result<Report, AuditError> {
    let heads = elsewhere::heads(heads, public_key)?;
    let report = judge(directory, Some(public_key), Timestamp::now(), &heads.signed)?;
    Ok(Report {
        unreadable_heads: heads.unreadable,
        ..report
    })
}

/// [`verify`] that takes the time as `now`.
pub(super) fn verify_at(
    directory: &Path,
    key: Option<&[u8; 32]>,
    now: Timestamp,
) -> Result<Report, AuditError> {
    judge(directory, key, now, &[])
}

fn judge(
    directory: &Path,
    key: Option<&[u8; 32]>,
    now: Timestamp,
    elsewhere: &[(Link, String)],
) -> Result<Report, AuditError> {
    match judge_all(directory, key, now, elsewhere)? {
        // A segment that retention let go between the passes is missed in the second, and the record
        // that says so was not vouched for in the first.
        Judged {
            report,
            is_missing_start: true,
        } if report.exit_code() != 0 => Ok(judge_all(directory, key, now, elsewhere)?.report),
        judged => Ok(judged.report),
    }
}

struct Judged {
    report: Report,
    is_missing_start: bool,
}

fn judge_all(
    directory: &Path,
    key: Option<&[u8; 32]>,
    now: Timestamp,
    elsewhere: &[(Link, String)],
) -> Result<Judged, AuditError> {
    let mut logs = BTreeMap::new();
    for files in Files::list(directory)? {
        logs.insert(files.name.clone(), Evidence::gather_head(files, key)?);
    }
    let claimed = elsewhere.iter().map(|(link, log)| {
        let claim = Claim {
            link: *link,
            by: By::Elsewhere,
        };
        (claim, log.clone())
    });
    let mut others: Vec<_> = claimed.collect();
    let all = all_segments(&logs)?;
    let found = parallel::map(&all, |(log, segment)| checkpoints(log, segment, key));
    for ((log, _), found) in all.iter().zip(found) {
        let evidence = logs.get_mut(log).expect("its segments were listed");
        others.extend(evidence.take(found?));
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
    let wanted: BTreeMap<&str, Wanted> = logs
        .iter()
        .map(|(name, log)| (name.as_str(), log.wanted()))
        .collect();
    let all = all_segments(&logs)?;
    let followed = parallel::map(&all, |(log, segment)| {
        follow(segment, &wanted[log.as_str()])
    });
    let mut parts = BTreeMap::<&str, Vec<_>>::new();
    for ((log, _), part) in all.iter().zip(followed) {
        parts.entry(log).or_default().push(part?);
    }
    let walk = |(name, log): (&'_ String, &Evidence)| {
        let parts = parts.remove(name.as_str()).unwrap_or_default();
        (name.clone(), Walk::join(&log.files, parts))
    };
    let walks: BTreeMap<String, Walk> = logs.iter().map(walk).collect();
    let trusted: BTreeMap<&str, Place> = logs
        .iter()
        .map(|(name, log)| (name.as_str(), log.trusted_lines(&walks[name])))
        .collect();
    let report = |(name, evidence): (&String, &Evidence)| {
        evidence.judge(&walks[name], &trusted, key.is_some(), now)
    };
    Ok(Judged {
        report: Report {
            logs: logs.iter().map(report).collect(),
            unreadable_heads: 0,
        },
        is_missing_start: walks.values().any(|walk| walk.start.seq > 0),
    })
}

/// The segments of all logs, each with its log's name.
fn all_segments(logs: &BTreeMap<String, Evidence>) -> Result<Vec<(String, Segment)>, AuditError> {
    let mut all = Vec::new();
    for (name, log) in logs {
        let segments = segments(&log.files)?.into_iter();
        all.extend(segments.map(|segment| (name.clone(), segment)));
    }
    Ok(all)
}

impl Evidence {
    fn wanted(&self) -> Wanted {
        Wanted {
            seqs: self.claims.iter().map(|claim| claim.link.seq).collect(),
            unsigned: self.head.map(|seq| seq + 1),
        }
    }

    /// Up to where the log's lines may vouch for other logs: to the end, unless the log itself is not as
    /// it was. A line that breaks the chain leaves those before it; a chain that was made anew leaves
    /// those up to the last record that is vouched for.
    fn trusted_lines(&self, walk: &Walk) -> Place {
        let own = || self.claims.iter().filter(|claim| claim.is_own());
        let made_anew = self.bad_checkpoint.is_some() || own().any(|claim| walk.contradicts(claim));
        let last = if made_anew {
            let good = own()
                .filter(|claim| walk.agrees(claim))
                .map(|claim| claim.link.seq);
            good.max().unwrap_or(0)
        } else {
            walk.end.seq
        };
        let nowhere = Place {
            segment: 0,
            line: 0,
        };
        walk.place(last).map_or(nowhere, |(place, _)| place)
    }

    fn judge(
        &self,
        walk: &Walk,
        trusted: &BTreeMap<&str, Place>,
        signatures_checked: bool,
        now: Timestamp,
    ) -> LogReport {
        let claims: Vec<&Claim> = self
            .claims
            .iter()
            .filter(|claim| match &claim.by {
                By::Other { log, at } => *at <= trusted[log.as_str()],
                By::Head | By::Checkpoint | By::Elsewhere => true,
            })
            .collect();
        let agreed = claims
            .iter()
            .filter(|claim| walk.agrees(claim))
            .map(|claim| claim.link.seq);
        let anchored = agreed.max().unwrap_or(0);
        let verdict = if let Some(finding) = self.tampered(walk, &claims, anchored, now) {
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
            records: walk.end.seq - walk.start.seq,
            checkpoints: self.checkpoints,
            anchored,
            end: (walk.end.seq > 0).then(|| head(walk.end)),
            verdict,
        }
    }

    /// The first record that is not as it was written; else the head, if that is not.
    fn tampered(
        &self,
        walk: &Walk,
        claims: &[&Claim],
        anchored: u64,
        now: Timestamp,
    ) -> Option<Finding> {
        let missing = (!walk.accounts_for_start(anchored)).then(|| {
            let first = walk.start.seq + 1;
            let reason = format!(
                "the log begins with record {first}: records were removed, inserted or moved, and no \
                 record that is vouched for says that those before were let go"
            );
            Finding {
                seq: 1,
                ..self.finding(walk, first, reason)
            }
        });
        let broken = walk.broken.as_ref().map(|broken| Finding {
            file: broken.file.clone(),
            line: broken.at.line,
            seq: broken.seq,
            reason: broken.reason.clone(),
        });
        let unsigned = self
            .bad_checkpoint
            .as_ref()
            .map(|(at, reason)| self.finding(walk, at.segment + at.line - 1, reason.clone()));
        let unsigned = unsigned.filter(|finding| finding.seq <= walk.end.seq);
        let contradicted = claims.iter().filter(|claim| walk.contradicts(claim)).map(|claim| {
            let seq = claim.link.seq;
            let good = claims.iter().filter(|good| walk.agrees(good) && good.link.seq < seq);
            let good = good.map(|good| good.link.seq).max().unwrap_or(0);
            let by = claim.describe();
            self.finding(walk, seq, format!(
                "the record is not the one that {by} vouches for: the chain was made anew somewhere \
                 after record {good}"
            ))
        });
        // The head of a log that was closed is signed anew before anything but its opening is recorded.
        let closed = self.head.filter(|head| self.closings.contains(head));
        let appended = closed.and_then(|head| {
            let last = head + walk.unsigned.map_or(0, |first| first.opening);
            (walk.end.seq > last && !self.is_behind(walk, now)).then(|| {
                let reason = "the record was appended after the log had been closed";
                self.finding(walk, last + 1, reason.to_owned())
            })
        });
        let first = missing
            .into_iter()
            .chain(appended)
            .chain(broken)
            .chain(unsigned)
            .chain(contradicted)
            .min_by_key(|finding| finding.seq);
        first.or_else(|| {
            let reason = self.bad_head.clone()?;
            Some(Finding {
                file: self.files.head.clone(),
                line: 1,
                seq: walk.end.seq,
                reason,
            })
        })
    }

    fn truncated(&self, walk: &Walk, claims: &[&Claim]) -> Option<Finding> {
        let furthest = claims.iter().max_by_key(|claim| claim.link.seq)?;
        let (records, seq) = (walk.end.seq, furthest.link.seq);
        (seq > records).then(|| {
            let by = furthest.describe();
            let reason =
                format!("the log ends after record {records}, but {by} vouches for record {seq}");
            Finding {
                seq: records + 1,
                ..self.finding(walk, records, reason)
            }
        })
    }

    fn unanchored(&self, walk: &Walk, signatures_checked: bool, now: Timestamp) -> Option<Finding> {
        let records = walk.end.seq;
        let Some(head) = self.head else {
            let reason = format!(
                "the head file {} is gone: nothing vouches for the end of the log",
                self.files.head.display()
            );
            return Some(self.finding(walk, records, reason));
        };
        if walk.torn {
            let reason = "the last line is unfinished: the writer was killed, and the next start \
                          moves the line aside";
            return Some(self.finding(walk, records + 1, reason.to_owned()));
        }
        if walk.unsigned.is_some() && !self.is_behind(walk, now) {
            let reason = format!("the signed head vouches for {head} of {records} records only");
            return Some(self.finding(walk, head + 1, reason));
        }
        (!signatures_checked).then(|| {
            let reason =
                "the signatures were not checked: there is no public key to check them with";
            self.finding(walk, records, reason.to_owned())
        })
    }

    /// Whether the records after the head are so young that it only lags behind.
    fn is_behind(&self, walk: &Walk, now: Timestamp) -> bool {
        let latest = now.max(Timestamp::now());
        let young = |since: Timestamp| {
            now.duration_since(since) <= LAG && since.duration_since(latest) <= LAG
        };
        walk.unsigned.is_some_and(|first| young(first.since)) && self.is_being_written()
    }

    /// Whether a process has the log open for writing: then its last records may still await their
    /// head. Told by the kernel's list of locks (`proc_locks(5)`), since taking the lock to see would
    /// keep a writer out.
    fn is_being_written(&self) -> bool {
        let inode = || {
            let metadata = self.files.log.metadata().ok()?;
            Some((metadata.dev(), metadata.ino()))
        };
        let mut found = inode();
        while let Some((device, number)) = found {
            let Ok(locks) = std::fs::read_to_string("/proc/locks") else {
                return false;
            };
            let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
            let file = format!("{major:02x}:{minor:02x}:{number}");
            let is_locked = locks.lines().any(|line| {
                let mut fields = line.split_whitespace();
                fields.nth(1) == Some("FLOCK") && fields.any(|field| field == file)
            });
            if is_locked {
                return true;
            }
            // The segment may have been closed between the two.
            let now = inode();
            if now == found {
                return false;
            }
            found = now;
        }
        false
    }

    /// What is wrong with record `seq`, or with the log's end if `seq` is the one behind it.
    fn finding(&self, walk: &Walk, seq: u64, reason: String) -> Finding {
        let place = walk.place(seq);
        Finding {
            file: place.map_or(&self.files.log, |(_, file)| file).clone(),
            line: place.map_or(seq, |(place, _)| place.line),
            seq,
            reason,
        }
    }
}

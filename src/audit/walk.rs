//! Following a log's chain through its segments: each by itself, then joined.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;

use super::chain::{Broken, Link, MAX_LINE};
use super::checkpoint::is_of_opening;
use super::evidence::{Claim, Place};
use super::files::Files;
use super::record::time_of;
use super::rotate::Removed;
use super::segments::{Segment, before};
use super::{AuditError, io_error};

/// What is looked for on the way.
pub(super) struct Wanted {
    /// The records that somebody vouches for.
    pub(super) seqs: BTreeSet<u64>,
    /// The first record after the head.
    pub(super) unsigned: Option<u64>,
}

/// The chain of one segment, followed to its end or its first break. Where it begins is taken from its
/// first line: whether that is where the segment before ended is told when they are joined.
pub(super) struct Part {
    first: u64,
    file: PathBuf,
    before: Option<Link>,
    end: Option<Link>,
    broken: Option<(u64, Broken)>,
    torn: bool,
    hashes: BTreeMap<u64, [u8; 32]>,
    removed: Vec<(Place, Link)>,
    unsigned: Option<Unsigned>,
}

/// The first record after the head.
#[derive(Clone, Copy)]
pub(super) struct Unsigned {
    /// When it was made. A record without a time is as old as can be.
    pub(super) since: Timestamp,
    /// How many of the records from it on only tell of attempts to open the log.
    pub(super) opening: u64,
}

/// Follows the chain of one segment.
pub(super) fn follow(segment: &Segment, wanted: &Wanted) -> Result<Part, AuditError> {
    let mut part = Part {
        first: segment.first,
        file: segment.file.clone(),
        before: None,
        end: None,
        broken: None,
        torn: false,
        hashes: BTreeMap::new(),
        removed: Vec::new(),
        unsigned: None,
    };
    let failed = || io_error("read", &segment.file);
    let mut lines = segment.lines(0)?;
    let mut wanted_seqs = None;
    let mut number = 0;
    loop {
        let line = match lines.next() {
            Err(error) if segment.is_corrupt(&error) => {
                part.broken = Some((number + 1, Broken::Compressed));
                break;
            }
            line => line.map_err(failed())?,
        };
        let Some(line) = line else { break };
        number += 1;
        if let Some(active) = segment.active()
            && !line.ended
            && line.bytes.len() <= MAX_LINE
        {
            let read = line.start + line.bytes.len() as u64;
            part.torn = rests_at(active, read).map_err(failed())?;
            break;
        }
        let place = part.end.or_else(|| before(line.bytes));
        let link = match place
            .ok_or(Broken::Malformed)
            .and_then(|place| place.follow(line.bytes))
        {
            Ok(link) => link,
            Err(broken) => {
                part.broken = Some((number, broken));
                break;
            }
        };
        part.before = part.before.or(place);
        part.end = Some(link);
        let wanted_seqs =
            wanted_seqs.get_or_insert_with(|| wanted.seqs.range(link.seq..).peekable());
        if wanted_seqs.next_if(|seq| **seq == link.seq).is_some() {
            part.hashes.insert(link.seq, link.hash);
        }
        if wanted.unsigned == Some(link.seq) {
            part.unsigned = Some(Unsigned {
                since: time_of(line.bytes).unwrap_or(Timestamp::MIN),
                opening: 0,
            });
        }
        if let Some(unsigned) = &mut part.unsigned
            && wanted.unsigned.map(|first| first + unsigned.opening) == Some(link.seq)
            && is_of_opening(line.bytes)
        {
            unsigned.opening += 1;
        }
        if let Some(boundary) = Removed::read(line.bytes) {
            let at = Place {
                segment: segment.first,
                line: number,
            };
            part.removed.push((at, boundary));
        }
    }
    Ok(part)
}

/// Whether the log ends at byte `length` for good: an unfinished line that is just being written is
/// longer a moment later.
fn rests_at(file: &std::fs::File, length: u64) -> io::Result<bool> {
    std::thread::sleep(Duration::from_millis(50));
    Ok(file.metadata()?.len() <= length)
}

/// A log's chain, followed through its segments to its end or its first break.
pub(super) struct Walk {
    /// What the first record follows: nothing, or what retention let go.
    pub(super) start: Link,
    pub(super) end: Link,
    /// Where the chain breaks, and which record belongs there.
    pub(super) broken: Option<Break>,
    /// The last line has no end.
    pub(super) torn: bool,
    /// The hashes of the records somebody vouches for, by number.
    pub(super) hashes: BTreeMap<u64, [u8; 32]>,
    /// The first record after the head.
    pub(super) unsigned: Option<Unsigned>,
    /// Segments whose chain was followed, by their first records.
    parts: Vec<(u64, PathBuf)>,
    /// The records that say what retention let go, and up to where.
    removed: Vec<(Place, Link)>,
}

/// Where a chain breaks.
pub(super) struct Break {
    pub(super) at: Place,
    pub(super) file: PathBuf,
    pub(super) seq: u64,
    pub(super) reason: String,
}

impl Walk {
    /// Joins the parts of the log in `files`, in their order.
    pub(super) fn join(files: &Files, parts: Vec<Part>) -> Self {
        let genesis = Link::genesis(&files.name);
        let start = match parts.first().and_then(|part| part.before) {
            // Whether something accounts for what came before is judged with the claims.
            Some(before) if before.seq > 0 => before,
            _ => genesis,
        };
        let mut walk = Self {
            start,
            end: start,
            broken: None,
            torn: false,
            hashes: BTreeMap::new(),
            unsigned: None,
            parts: Vec::new(),
            removed: Vec::new(),
        };
        for part in parts {
            let joint = part.before.and_then(|before| {
                if before.seq != walk.end.seq {
                    let (found, expected) = (before.seq + 1, walk.end.seq + 1);
                    return Some(Broken::Seq { found, expected });
                }
                if part.first != before.seq + 1 {
                    let (found, expected) = (part.first, before.seq + 1);
                    return Some(Broken::Seq { found, expected });
                }
                (before != walk.end).then_some(Broken::Prev)
            });
            walk.parts.push((part.first, part.file.clone()));
            if let Some(broken) = joint {
                walk.break_at(&part, 1, broken);
                break;
            }
            walk.end = part.end.unwrap_or(walk.end);
            walk.hashes.extend(&part.hashes);
            walk.removed.extend(&part.removed);
            walk.unsigned = walk.unsigned.or(part.unsigned);
            walk.torn = part.torn;
            if let Some((line, broken)) = part.broken {
                walk.break_at(&part, line, broken);
                break;
            }
        }
        walk
    }

    fn break_at(&mut self, part: &Part, line: u64, broken: Broken) {
        self.broken = Some(Break {
            at: Place {
                segment: part.first,
                line,
            },
            file: part.file.clone(),
            seq: self.end.seq + 1,
            reason: broken.to_string(),
        });
    }

    pub(super) fn agrees(&self, claim: &Claim) -> bool {
        self.hashes.get(&claim.link.seq) == Some(&claim.link.hash)
    }

    pub(super) fn contradicts(&self, claim: &Claim) -> bool {
        self.hashes
            .get(&claim.link.seq)
            .is_some_and(|hash| *hash != claim.link.hash)
    }

    /// Whether a record no later than `anchored` says that retention let go what came before.
    pub(super) fn accounts_for_start(&self, anchored: u64) -> bool {
        let said = |(at, boundary): &(Place, Link)| {
            *boundary == self.start && at.segment + at.line - 1 <= anchored
        };
        self.start.seq == 0 || self.removed.iter().any(said)
    }

    /// Where record `seq` is, and in which file: behind the last followed record in the last segment.
    pub(super) fn place(&self, seq: u64) -> Option<(Place, &PathBuf)> {
        let holds = |(first, _): &&(u64, PathBuf)| *first <= seq.max(self.start.seq + 1);
        let (first, file) = self.parts.iter().rev().find(holds)?;
        let line = (seq + 1).saturating_sub(*first);
        Some((
            Place {
                segment: *first,
                line,
            },
            file,
        ))
    }
}

//! The chain: how a line is sealed to the one before it.
//!
//! A line is the event's JSON object with three more fields at its end, always in this order and
//! spacing:
//!
//! ```text
//! {…,"seq":N,"prevHash":"<64 hex>","hash":"<64 hex>"}
//! ```
//!
//! - `seq` counts from 1, so line `n` of a log has `seq` `n`.
//! - `prevHash` is the `hash` of the line before; of the first line, [`Link::genesis`].
//! - `hash` is SHA-256 over the exact bytes of the line before `,"hash":`, thus over the event, its
//!   number and the previous hash. With common tools:
//!   `sed -n Np LOG | sed 's/,"hash":"[0-9a-f]*"}$//' | tr -d '\n' | sha256sum`.

use std::fmt;

use sha2::{Digest, Sha256};

use super::json::{hex, unhex};

/// The longest line, in bytes without its newline: more is refused when written and is no record
/// when read.
pub const MAX_LINE: usize = 1 << 20;

const SEQ: &[u8] = b",\"seq\":";
const PREV: &[u8] = b",\"prevHash\":\"";
const HASH: &[u8] = b"\",\"hash\":\"";
const END: &[u8] = b"\"}";
const DIGITS: usize = 64;
/// Bytes from `,"prevHash"` to the end of the line.
const TRAILER: usize = PREV.len() + DIGITS + HASH.len() + DIGITS + END.len();
/// Bytes from `,"hash"` to the end of the line: the only ones the hash does not cover.
const UNHASHED: usize = HASH.len() - 1 + DIGITS + END.len();

/// A place in a chain: a record's number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The record's `seq`; 0 before the first record.
    pub seq: u64,
    /// The record's `hash`.
    pub hash: [u8; 32],
}

impl Link {
    /// The place before the first record of the log called `name`. It depends on the name, so one
    /// log's file cannot stand in for another's.
    pub fn genesis(name: &str) -> Self {
        let mut sha = Sha256::new_with_prefix(b"kmsfs-audit-log-v1\n");
        sha.update(name);
        Self {
            seq: 0,
            hash: sha.finalize().into(),
        }
    }

    /// Reads `line` (without its newline) as the record that follows this one.
    ///
    /// # Errors
    /// When it does not follow, for the first reason in the order of [`Broken`].
    pub fn follow(self, line: &[u8]) -> Result<Self, Broken> {
        let sealed = Sealed::parse(line).ok_or(Broken::Malformed)?;
        if sealed.seq != self.seq + 1 {
            return Err(Broken::Seq {
                found: sealed.seq,
                expected: self.seq + 1,
            });
        }
        if sealed.prev != hex(&self.hash) {
            return Err(Broken::Prev);
        }
        sealed.link().ok_or(Broken::Hash)
    }
}

/// Why a line is not the record that follows the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// The line does not end as every record does.
    Malformed,
    /// The number is another than the next.
    Seq {
        /// The line's number.
        found: u64,
        /// The number a record has here.
        expected: u64,
    },
    /// The line was not written after the line that now precedes it.
    Prev,
    /// The line's content is not what was hashed.
    Hash,
    /// The line cannot be had: what was compressed is not what was written.
    Compressed,
}

impl fmt::Display for Broken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => out
                .write_str("the line is no record: it does not end in its seq, prevHash and hash"),
            Self::Seq { found, expected } => write!(
                out,
                "the record has seq {found} where {expected} belongs: records were removed, inserted or moved"
            ),
            Self::Prev => out.write_str(
                "the record does not continue the one before it: one of them was replaced",
            ),
            Self::Hash => {
                out.write_str("the record's content does not match its hash: it was edited")
            }
            Self::Compressed => out.write_str(
                "the rest of the segment cannot be decompressed: the file was changed or cut",
            ),
        }
    }
}

/// A line taken apart, its hash not yet compared.
pub(super) struct Sealed<'a> {
    pub(super) seq: u64,
    prev: &'a [u8],
    hash: &'a [u8],
    hashed: &'a [u8],
}

impl<'a> Sealed<'a> {
    /// Splits a line by the fixed shape of its end. The event's own content is not looked at, so
    /// nothing in it can be mistaken for these fields.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        let (head, trailer) = line.split_at_checked(line.len().checked_sub(TRAILER)?)?;
        let (prev, rest) = trailer.strip_prefix(PREV)?.split_at(DIGITS);
        let (hash, end) = rest.strip_prefix(HASH)?.split_at(DIGITS);
        if end != END {
            return None;
        }
        let digits = head
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let (before, number) = head.split_at(head.len() - digits);
        if !before.ends_with(SEQ) || number.starts_with(b"0") {
            return None;
        }
        let seq = std::str::from_utf8(number).ok()?.parse().ok()?;
        Some(Self {
            seq,
            prev,
            hash,
            hashed: &line[..line.len() - UNHASHED],
        })
    }

    /// What the record says of the one before it.
    pub(super) fn before(&self) -> Option<Link> {
        Some(Link {
            seq: self.seq.checked_sub(1)?,
            hash: unhex(self.prev)?,
        })
    }

    /// The record's place, if its content matches its hash.
    pub(super) fn link(&self) -> Option<Link> {
        let hash: [u8; 32] = Sha256::digest(self.hashed).into();
        (hex(&hash) == self.hash).then_some(Link {
            seq: self.seq,
            hash,
        })
    }
}

/// An event's JSON without its closing brace, hashed so far: what can be done before the record's
/// place in the log is known.
pub(super) struct Unsealed {
    line: Vec<u8>,
    sha: Sha256,
}

impl Unsealed {
    /// Takes a serialised JSON object.
    pub(super) fn new(mut line: Vec<u8>) -> Self {
        let brace = line.pop();
        debug_assert_eq!(brace, Some(b'}'), "an event is a JSON object");
        let sha = Sha256::new_with_prefix(&line);
        Self { line, sha }
    }

    /// Bytes so far.
    pub(super) fn len(&self) -> usize {
        self.line.len()
    }

    /// Seals the event as the record after `previous`. Returns its place and the whole line with
    /// its newline.
    pub(super) fn seal(mut self, previous: Link) -> (Link, Vec<u8>) {
        let event = self.line.len();
        let seq = previous.seq + 1;
        self.line.extend_from_slice(SEQ);
        self.line.extend_from_slice(seq.to_string().as_bytes());
        self.line.extend_from_slice(PREV);
        self.line.extend_from_slice(&hex(&previous.hash));
        self.line.push(b'"');
        self.sha.update(&self.line[event..]);
        let hash: [u8; 32] = self.sha.finalize().into();
        self.line.extend_from_slice(&HASH[1..]);
        self.line.extend_from_slice(&hex(&hash));
        self.line.extend_from_slice(END);
        self.line.push(b'\n');
        (Link { seq, hash }, self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sealed(body: &str, previous: Link) -> (Link, Vec<u8>) {
        let (link, mut line) = Unsealed::new(body.as_bytes().to_vec()).seal(previous);
        assert_eq!(line.pop(), Some(b'\n'));
        (link, line)
    }

    #[test]
    fn the_hash_is_the_sha256_of_the_line_up_to_its_hash_field() {
        let (link, line) = sealed(
            r#"{"a":1}"#,
            Link {
                seq: 6,
                hash: [0xab; 32],
            },
        );
        let text = String::from_utf8(line).unwrap();
        let prev = "ab".repeat(32);
        let covered = format!(r#"{{"a":1,"seq":7,"prevHash":"{prev}""#);
        assert_eq!(link.hash, <[u8; 32]>::from(Sha256::digest(&covered)));
        let hash = String::from_utf8(hex(&link.hash).to_vec()).unwrap();
        assert_eq!(text, format!(r#"{covered},"hash":"{hash}"}}"#));
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
    }

    #[test]
    fn logs_of_different_names_do_not_share_a_beginning() {
        let (_, line) = sealed("{}", Link::genesis("kms"));
        assert!(Link::genesis("kms").follow(&line).is_ok());
        assert_eq!(Link::genesis("volume-1").follow(&line), Err(Broken::Prev));
    }

    #[test]
    fn fields_inside_the_event_are_not_mistaken_for_the_seal() {
        let forged = format!(
            r#"{{"x":"\",\"seq\":9,\"prevHash\":\"{0}\",\"hash\":\"{0}\"}}"}}"#,
            "0".repeat(64)
        );
        let (link, line) = sealed(&forged, Link::genesis("kms"));
        assert_eq!(Link::genesis("kms").follow(&line), Ok(link));
    }

    proptest! {
        #[test]
        fn any_changed_byte_breaks_the_record(at in 0_usize..200, to: u8) {
            let (_, mut line) = sealed(r#"{"eventName":"Open","n":12345}"#, Link::genesis("kms"));
            let at = at % line.len();
            prop_assume!(line[at] != to);
            line[at] = to;
            prop_assert!(Link::genesis("kms").follow(&line).is_err());
        }

        #[test]
        fn arbitrary_bytes_are_no_record(line: Vec<u8>) {
            prop_assert_eq!(Link::genesis("kms").follow(&line), Err(Broken::Malformed));
        }
    }
}

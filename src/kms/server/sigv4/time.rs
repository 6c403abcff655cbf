//! The times in signatures.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// `20150830T123600Z`, or an HTTP date.
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let digits = |range: std::ops::Range<usize>| -> Option<i16> {
        let part = text.get(range)?;
        part.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| part.parse().ok())?
    };
    if text.len() != 16 || text.as_bytes()[8] != b'T' || text.as_bytes()[15] != b'Z' {
        let time = jiff::fmt::rfc2822::parse(text).ok()?;
        return Some(time.timestamp());
    }
    let small = |range| digits(range).and_then(|n| i8::try_from(n).ok());
    let time = DateTime::new(
        digits(0..4)?,
        small(4..6)?,
        small(6..8)?,
        small(9..11)?,
        small(11..13)?,
        small(13..15)?,
        0,
    );
    TimeZone::UTC.to_timestamp(time.ok()?).ok()
}

pub(super) fn basic(time: Timestamp) -> String {
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

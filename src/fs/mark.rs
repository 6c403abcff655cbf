//! The mark of use, `.kmsfs/unclean`: there while the volume is mounted, and after an end that was not
//! clean.
//!
//! ```text
//! <session> <boot> [<seconds> <nanoseconds>]
//! ```
//! The session that made it names the journal; the boot tells a killed process from a machine that lost
//! power. The time is there while files that were made from then on may still miss what an earlier
//! power loss took. Nothing of it is authentic: whoever forges it brings about what a crash does.

use std::fmt;
use std::io;
use std::os::fd::OwnedFd;

use crate::sys;

use super::journal::Session;
use super::node::read_small;
use super::settle::Time;
use super::volume::UNCLEAN;

/// What the mark says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The session that made it, unless what is there names none.
    pub(super) session: Option<Session>,
    /// The system's boot in which it was made; empty where that is not known.
    pub(super) boot: String,
    /// Files made from then on may miss any part of what was not synced.
    pub(super) suspect_since: Option<Time>,
}

/// A mark that was found.
pub(super) struct Left {
    pub(super) mark: Mark,
    /// When it was made.
    pub(super) made: Time,
}

impl Mark {
    /// The mark in the control directory `control`, if there is one.
    pub(super) fn read(control: &OwnedFd) -> io::Result<Option<Left>> {
        let text = match read_small(control, UNCLEAN, 256) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = sys::stat_at(control, UNCLEAN)?;
        let made = (stat.st_mtime, stat.st_mtime_nsec as u32);
        let mark = Self::parse(&text);
        Ok(Some(Left { mark, made }))
    }

    fn parse(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let session = words.next().and_then(|word| word.parse().ok());
        let boot = words.next().unwrap_or_default().to_owned();
        let mut number = || words.next()?.parse().ok();
        let suspect_since = number().zip(number());
        Self {
            session,
            boot,
            suspect_since: suspect_since.and_then(|(seconds, nanoseconds)| {
                Some((seconds, u32::try_from(nanoseconds).ok()?))
            }),
        }
    }
}

impl Left {
    /// From when on files may miss what a power loss took: the session's whole time, if the machine
    /// has been started since.
    pub(super) fn suspect_since(&self, boot: &str) -> Option<Time> {
        let earlier = self.mark.suspect_since;
        let lost_power = self.mark.boot.is_empty() || self.mark.boot != boot;
        earlier.or_else(|| lost_power.then_some(self.made))
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let session = self.session.map_or("-".to_owned(), |id| id.to_string());
        write!(f, "{session} {}", self.boot)?;
        if let Some((seconds, nanoseconds)) = self.suspect_since {
            write!(f, " {seconds} {nanoseconds}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_was_written_and_a_forged_one_names_no_session() {
        let mark = |suspect_since| Mark {
            session: Some(Session::from_bytes([7; 16])),
            boot: "1234-5678".to_owned(),
            suspect_since,
        };
        for mark in [mark(None), mark(Some((1_700_000_000, 5)))] {
            assert_eq!(Mark::parse(&mark.to_string()), mark);
        }
        for forged in ["", "forged", "\u{0} 1 2 3", "../../etc x y z"] {
            assert_eq!(Mark::parse(forged).session, None);
        }
    }

    #[test]
    fn only_another_boot_makes_files_suspect() {
        let left = |suspect_since| Left {
            mark: Mark {
                session: None,
                boot: "one".to_owned(),
                suspect_since,
            },
            made: (50, 0),
        };
        assert_eq!(left(None).suspect_since("one"), None);
        assert_eq!(left(None).suspect_since("two"), Some((50, 0)));
        assert_eq!(left(Some((20, 0))).suspect_since("one"), Some((20, 0)));
    }
}

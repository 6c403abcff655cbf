//! The files of a log: closed segments and the one that is written.
//!
//! ```text
//! <name>.jsonl                          the segment that is written
//! <name>.closed/<first seq>.jsonl       a closed one, the number in 20 digits
//! <name>.closed/<first seq>.jsonl.gz    the same, compressed
//! ```
//!
//! The chain runs across them as if they were one file.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::chain::{Link, Sealed};
use super::files::Files;
use super::lines::{Line, Lines};
use super::{AuditError, io_error};

/// Digits of a segment's number in its file's name: as many as the largest `u64` has.
const DIGITS: usize = 20;
pub(super) const PLAIN: &str = "jsonl";
pub(super) const COMPRESSED: &str = "jsonl.gz";

/// One file of a log.
#[derive(Debug)]
pub(super) struct Segment {
    /// The number of its first record: of a closed segment as its name has it.
    pub(super) first: u64,
    pub(super) file: PathBuf,
    pub(super) is_compressed: bool,
    /// The segment that is written was opened when the list was made.
    opened: Option<File>,
}

impl Segment {
    /// The name of the closed segment that begins with record `first`.
    pub(super) fn closed(files: &Files, first: u64, extension: &str) -> PathBuf {
        files.closed.join(format!("{first:0DIGITS$}.{extension}"))
    }

    /// The file, if it is the segment that is written.
    pub(super) fn active(&self) -> Option<&File> {
        self.opened.as_ref()
    }

    /// Whether `error`, which came while it was read, says that it does not decompress.
    pub(super) fn is_corrupt(&self, error: &io::Error) -> bool {
        self.is_compressed && error.raw_os_error().is_none()
    }

    /// Its lines, from byte `offset` of what was written: a line begins there.
    pub(super) fn lines(&self, offset: u64) -> Result<Lines, AuditError> {
        let opened = match &self.opened {
            Some(file) => file.try_clone().and_then(|file| Lines::from(file, offset)),
            None => self.closed_lines(offset),
        };
        opened.map_err(io_error("read", &self.file))
    }

    fn closed_lines(&self, offset: u64) -> io::Result<Lines> {
        if self.is_compressed {
            return Lines::from_compressed(MultiGzDecoder::new(File::open(&self.file)?), offset);
        }
        match File::open(&self.file) {
            // Compressed since the list was made.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let file = File::open(self.file.with_extension(COMPRESSED))?;
                Lines::from_compressed(MultiGzDecoder::new(file), offset)
            }
            opened => Lines::from(opened?, offset),
        }
    }
}

/// The segments of a log, oldest first; the one that is written is the last, if it is there.
pub(super) fn segments(files: &Files) -> Result<Vec<Segment>, AuditError> {
    // The active one first: what a rotation adds to the closed ones meanwhile is then told by its
    // inode, and nothing is missed.
    let active = match File::open(&files.log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        opened => Some(opened.map_err(io_error("open", &files.log))?),
    };
    let mut segments = closed(files).map_err(io_error("list", &files.closed))?;
    let Some(active) = active else {
        return Ok(segments);
    };
    let first = first_seq(&active).map_err(io_error("read", &files.log))?;
    if let Some(first) = first {
        segments.retain(|segment| segment.first < first);
    }
    let newest = segments.last().map(|segment| segment.first);
    segments.push(Segment {
        // An empty or damaged segment comes last all the same.
        first: first.unwrap_or(newest.map_or(1, |newest| newest + 1)),
        file: files.log.clone(),
        is_compressed: false,
        opened: Some(active),
    });
    Ok(segments)
}

/// The closed segments, oldest first.
pub(super) fn closed(files: &Files) -> io::Result<Vec<Segment>> {
    let entries = match std::fs::read_dir(&files.closed) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let file = entry?.path();
        found.extend(named(&file).map(|(first, is_compressed)| Segment {
            first,
            file,
            is_compressed,
            opened: None,
        }));
    }
    // A crash between compressing and removing leaves both: the plain one comes first.
    found.sort_by_key(|segment| (segment.first, segment.is_compressed));
    found.dedup_by_key(|segment| segment.first);
    Ok(found)
}

/// What the name of a closed segment says, if it is one.
fn named(file: &Path) -> Option<(u64, bool)> {
    let (number, extension) = file.file_name()?.to_str()?.split_once('.')?;
    let is_compressed = match extension {
        PLAIN => false,
        COMPRESSED => true,
        _ => return None,
    };
    let is_number = number.len() == DIGITS && number.bytes().all(|byte| byte.is_ascii_digit());
    Some((number.parse().ok().filter(|_| is_number)?, is_compressed))
}

/// The number of the first record of the segment in `file`; `None` if it has none.
pub(super) fn first_seq(file: &File) -> io::Result<Option<u64>> {
    let before = first_line(file.try_clone()?)?.and_then(|line| before(&line));
    Ok(before.map(|before| before.seq + 1))
}

/// The first line, if it is finished.
pub(super) fn first_line(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut lines = Lines::from(file, 0)?;
    let line = lines.next()?.filter(|line| line.ended);
    Ok(line.map(|line| line.bytes.to_vec()))
}

/// What a record says of the one before it.
pub(super) fn before(line: &[u8]) -> Option<Link> {
    Sealed::parse(line)?.before()
}

/// Whether both are the same file.
pub(super) fn is_same(one: &File, other: &Path) -> io::Result<bool> {
    let (one, other) = (one.metadata()?, other.metadata()?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// The lines of a log, segment by segment.
pub(super) struct LogLines {
    segments: std::vec::IntoIter<Segment>,
    /// The one that is read.
    current: Option<(PathBuf, Lines)>,
}

impl LogLines {
    pub(super) fn of(files: &Files) -> Result<Self, AuditError> {
        Ok(Self {
            segments: segments(files)?.into_iter(),
            current: None,
        })
    }

    /// The next finished line and the file it is in. An unfinished one is passed over.
    pub(super) fn next(&mut self) -> Result<Option<(&Path, Line<'_>)>, AuditError> {
        loop {
            if let Some((file, lines)) = &mut self.current
                && lines.peek().map_err(io_error("read", file))?
            {
                break;
            }
            let Some(segment) = self.segments.next() else {
                return Ok(None);
            };
            self.current = Some((segment.file.clone(), segment.lines(0)?));
        }
        let (file, lines) = self.current.as_mut().expect("a line was found in it");
        let line = lines.next().map_err(io_error("read", file))?;
        Ok(line.map(|line| (file.as_path(), line)))
    }
}

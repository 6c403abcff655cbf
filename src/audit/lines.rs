//! Lines of a log file, forwards and backwards, in bounded memory.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::chain::MAX_LINE;

/// One line as found.
pub(super) struct Line<'a> {
    /// Its bytes without the newline.
    pub(super) bytes: &'a [u8],
    /// Where it begins in the file.
    pub(super) start: u64,
    /// Whether a newline ends it. A record's does: without one the line is unfinished, or longer
    /// than any record.
    pub(super) ended: bool,
}

/// Reads lines from a place in a file to its end.
pub(super) struct Lines {
    source: Box<dyn Read + Send>,
    /// What was read: `buffer[from..to]` has not been given out yet.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    /// Where `buffer[from]` is in the file.
    offset: u64,
}

impl Lines {
    const BUFFER: usize = 1 << 18;

    /// From byte `offset`, which begins a line.
    pub(super) fn from(mut file: File, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self::at(file, offset))
    }

    /// From byte `offset` of what `source` gives, which begins a line.
    pub(super) fn from_compressed(
        mut source: impl Read + Send + 'static,
        offset: u64,
    ) -> io::Result<Self> {
        io::copy(&mut source.by_ref().take(offset), &mut io::sink())?;
        Ok(Self::at(source, offset))
    }

    fn at(source: impl Read + Send + 'static, offset: u64) -> Self {
        Self {
            source: Box::new(source),
            buffer: vec![0; Self::BUFFER],
            from: 0,
            to: 0,
            offset,
        }
    }

    /// Whether there is another finished line.
    pub(super) fn peek(&mut self) -> io::Result<bool> {
        let mut searched = 0;
        loop {
            let held = &self.buffer[self.from..self.to];
            if memchr::memchr(b'\n', &held[searched..]).is_some() {
                return Ok(true);
            }
            searched = held.len();
            if searched > MAX_LINE || self.fill()? == 0 {
                return Ok(false);
            }
        }
    }

    /// The next line, or `None` at the end of the file.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = 0;
        let newline = loop {
            let held = &self.buffer[self.from..self.to];
            if let Some(at) = memchr::memchr(b'\n', &held[searched..]) {
                break Some(searched + at);
            }
            searched = held.len();
            if searched > MAX_LINE || self.fill()? == 0 {
                break None;
            }
        };
        let (length, taken) = match newline {
            Some(at) => (at, at + 1),
            None if searched == 0 => return Ok(None),
            None => (searched, searched),
        };
        let line = Line {
            bytes: &self.buffer[self.from..self.from + length],
            start: self.offset,
            ended: newline.is_some(),
        };
        self.from += taken;
        self.offset += taken as u64;
        Ok(Some(line))
    }

    /// Reads on behind what is held. Returns how many bytes came.
    fn fill(&mut self) -> io::Result<usize> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if self.to == self.buffer.len() {
            self.buffer.resize(2 * self.to, 0);
        }
        let read = self.source.read(&mut self.buffer[self.to..])?;
        self.to += read;
        Ok(read)
    }
}

/// Reads finished lines from a place in a file back to its beginning.
pub(super) struct LinesBack<'a> {
    file: &'a File,
    /// The bytes at `start..` that were read and not yet given out.
    held: Vec<u8>,
    start: u64,
}

impl<'a> LinesBack<'a> {
    const CHUNK: u64 = 1 << 16;

    /// Lines that end at or before byte `end`.
    pub(super) fn from(file: &'a File, end: u64) -> io::Result<Self> {
        let mut lines = Self {
            file,
            held: Vec::new(),
            start: end,
        };
        // Whatever follows the last newline is unfinished.
        while lines.start > 0 && !lines.held.contains(&b'\n') {
            lines.held.clear();
            lines.grow()?;
        }
        let kept = lines
            .held
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        lines.held.truncate(kept);
        Ok(lines)
    }

    /// Where the next line to be given out ends, its newline included.
    pub(super) fn end(&self) -> u64 {
        self.start + self.held.len() as u64
    }

    /// The line before the last one given out (without its newline) and where it begins; `None` at
    /// the beginning of the file. A run of bytes longer than any record ends the reading too.
    pub(super) fn next(&mut self) -> io::Result<Option<(Vec<u8>, u64)>> {
        if self.held.is_empty() && self.start == 0 {
            return Ok(None);
        }
        loop {
            let content = &self.held[..self.held.len().saturating_sub(1)];
            let previous = content.iter().rposition(|&byte| byte == b'\n');
            let from = match previous {
                Some(at) => at + 1,
                None if self.start == 0 => 0,
                None if self.held.len() > MAX_LINE => return Ok(None),
                None => {
                    self.grow()?;
                    continue;
                }
            };
            let mut line = self.held.split_off(from);
            line.pop();
            return Ok(Some((line, self.start + from as u64)));
        }
    }

    fn grow(&mut self) -> io::Result<()> {
        let length = self.start.min(Self::CHUNK);
        self.start -= length;
        let mut chunk = vec![0; usize::try_from(length).expect("a chunk is small")];
        self.file.read_exact_at(&mut chunk, self.start)?;
        chunk.append(&mut self.held);
        self.held = chunk;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn file(content: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        file
    }

    proptest! {
        #[test]
        fn backwards_gives_the_finished_lines_of_forwards(
            lengths in prop::collection::vec(0_usize..50_000, 0..12),
            unfinished in 0_usize..70_000,
        ) {
            let mut content = Vec::new();
            for (number, length) in lengths.iter().enumerate() {
                content.extend(std::iter::repeat_n(b'a' + u8::try_from(number).unwrap(), *length));
                content.push(b'\n');
            }
            let end = content.len() as u64;
            content.extend(std::iter::repeat_n(b'z', unfinished));
            let file = file(&content);

            let mut forwards = Vec::new();
            let mut lines = Lines::from(file.try_clone().unwrap(), 0).unwrap();
            while let Some(line) = lines.next().unwrap() {
                if line.ended {
                    forwards.push((line.bytes.to_vec(), line.start));
                } else {
                    prop_assert_eq!(line.bytes.len(), unfinished);
                }
            }
            let mut lines = LinesBack::from(&file, content.len() as u64).unwrap();
            prop_assert_eq!(lines.end(), end);
            let mut backwards = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                backwards.push(line);
            }
            backwards.reverse();
            prop_assert_eq!(forwards, backwards);
        }
    }

    #[test]
    fn a_line_longer_than_any_record_is_given_in_bounded_pieces() {
        let file = file(&vec![b'a'; 3 * MAX_LINE]);
        let mut lines = Lines::from(file, 0).unwrap();
        let line = lines.next().unwrap().unwrap();
        assert!(!line.ended);
        assert!((MAX_LINE..4 * MAX_LINE).contains(&line.bytes.len()));
    }
}

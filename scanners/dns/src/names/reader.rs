//! Lines of any length in constant memory.

use std::{
    fmt,
    fs::File,
    io::{self, Cursor, Read},
    ops::Range,
    path::{Path, PathBuf},
};

use super::{NamesError, shown};

/// What is read at once.
const BUFFER: usize = 1 << 16;
/// Longer than any line that says something: 255 octets of a name as `\DDD`, and a server.
const MOST_LINE: usize = 2_048;
/// What some editors put at the start of a file (RFC 3629, section 6).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Where lines come from.
pub enum Input {
    /// A file; `-` is standard input.
    File(PathBuf),
    /// Text that was given as it is.
    Text(String),
    /// Anything that can be read, and what it is called in errors.
    Reader(Box<str>, Box<dyn Read + Send>),
}

impl Input {
    /// Whether it is standard input, which can be read once.
    pub fn is_stdin(&self) -> bool {
        matches!(self, Self::File(path) if path == Path::new("-"))
    }

    pub(super) fn open(self) -> Result<Reader, NamesError> {
        if self.is_stdin() {
            return Ok(Reader::new("stdin".into(), Box::new(io::stdin()), true));
        }
        Ok(match self {
            Self::File(path) => match File::open(&path) {
                Ok(file) => Reader::new(shown(&path), Box::new(file), false),
                Err(error) => return Err(NamesError::read(&shown(&path), error)),
            },
            Self::Text(text) => {
                Reader::new("arguments".into(), Box::new(Cursor::new(text.into_bytes())), false)
            }
            Self::Reader(path, reader) => Reader::new(path, reader, true),
        })
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Text(text) => f.debug_tuple("Text").field(&text.len()).finish(),
            Self::Reader(path, _) => f.debug_tuple("Reader").field(path).finish(),
        }
    }
}

/// Reads lines.
pub(super) struct Reader {
    path: Box<str>,
    reader: Box<dyn Read + Send>,
    buffer: Box<[u8]>,
    /// What was read and not yet given.
    unread: Range<usize>,
    is_ended: bool,
    /// The end of the line is to be passed over.
    is_within_long: bool,
    is_at_start: bool,
    /// Whether reading may take time, so that what was given before should not wait for it.
    is_slow: bool,
    has_given: bool,
}

/// What a [`Reader`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Found {
    /// A line that says something, without white space around it: neither empty nor a comment. [`Reader::text`] has it.
    Line(Range<usize>),
    /// The start of one that is too long.
    Long(Range<usize>),
    /// More has to be read, which may take time.
    Later,
    End,
}

impl Reader {
    pub(super) fn new(path: Box<str>, reader: Box<dyn Read + Send>, is_slow: bool) -> Self {
        Self {
            path,
            reader,
            buffer: vec![0; BUFFER].into(),
            unread: 0..0,
            is_ended: false,
            is_within_long: false,
            is_at_start: true,
            is_slow,
            has_given: false,
        }
    }

    /// What was found last.
    #[inline]
    pub(super) fn text(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// The next line that says something.
    #[inline]
    pub(super) fn next(&mut self) -> Result<Found, NamesError> {
        loop {
            let unread = self.buffer.get(self.unread.clone()).unwrap_or_default();
            let end = unread.iter().position(|octet| *octet == b'\n');
            let (start, len) = (self.unread.start, end.unwrap_or(unread.len()));
            if end.is_none() && !self.is_ended && (len <= MOST_LINE || self.is_within_long) {
                if self.is_within_long {
                    self.unread.start = self.unread.end;
                }
                if self.is_slow && self.has_given {
                    self.has_given = false;
                    return Ok(Found::Later);
                }
                self.read()?;
                continue;
            }
            if end.is_none() && self.is_ended && len == 0 {
                return Ok(Found::End);
            }
            // The end of a line that was too long is not looked at again.
            let was_within_long =
                std::mem::replace(&mut self.is_within_long, end.is_none() && !self.is_ended);
            self.unread.start = (start + len + usize::from(end.is_some())).min(self.unread.end);
            let line = unread.get(..len).unwrap_or_default().trim_ascii();
            if was_within_long || matches!(line, [] | [b'#', ..]) {
                continue;
            }
            let start = start + unread.get(..len).unwrap_or_default().len()
                - unread.get(..len).unwrap_or_default().trim_ascii_start().len();
            self.has_given = true;
            let range = start..start + line.len();
            return Ok(if len > MOST_LINE { Found::Long(range) } else { Found::Line(range) });
        }
    }

    /// Passes over lines that say something; gives how many there were, up to `count`.
    pub(super) fn skip(&mut self, count: u64) -> Result<u64, NamesError> {
        let mut skipped = 0;
        while skipped < count {
            match self.next()? {
                Found::Line(_) | Found::Long(_) => skipped += 1,
                Found::Later => {}
                Found::End => break,
            }
        }
        Ok(skipped)
    }

    /// Reads once, behind what is there.
    fn read(&mut self) -> Result<(), NamesError> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        let room = self.buffer.get_mut(self.unread.end..).unwrap_or_default();
        let count = loop {
            match self.reader.read(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(NamesError::read(&self.path, error)),
                Ok(count) => break count,
            }
        };
        self.is_ended = count == 0;
        self.unread.end += count.min(room.len());
        // A mark that comes in parts is waited for: nothing else begins with its first octet.
        let head = self.buffer.get(self.unread.clone()).unwrap_or_default();
        if self.is_at_start && (head.len() >= BYTE_ORDER_MARK.len() || self.is_ended) {
            self.is_at_start = false;
            if head.starts_with(BYTE_ORDER_MARK) {
                self.unread.start += BYTE_ORDER_MARK.len();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

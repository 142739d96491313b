//! Where lists of targets come from: arguments, files and standard input.
//!
//! ```text
//! file -> blocks of 1 MiB, cut at line ends -> parsed on all cores, eight at a time -> appended in order
//! ```
//!
//! A file is never in memory whole, only what it says: 8 octets for an IPv4 address or range. The first fault in the order
//! of the file is the one told, whichever core met it.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use rayon::prelude::*;

use super::{
    error::TargetError,
    spec::{Malformed, Origin, Spec, SpecError, words},
};

/// A list that was added to the description.
#[derive(Debug)]
pub(super) enum Source {
    /// Words, and where they were given.
    Text(String, Origin),
    /// A file; `-` is standard input.
    File(PathBuf),
}

impl Source {
    /// Whether it is standard input, which can be read once.
    pub(super) fn is_stdin(&self) -> bool {
        matches!(self, Self::File(path) if path == Path::new("-"))
    }
}

/// Which words a list may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Takes {
    /// Addresses alone: an exclusion or a scope.
    Addresses,
    /// Ports after addresses too.
    Targets,
}

/// What the lists of one kind say, as it was read: in no order, not yet disjoint.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Listed {
    pub(super) v4: Vec<(u32, u32)>,
    pub(super) v6: Vec<(u128, u128)>,
    pub(super) pairs_v4: Vec<(u32, u16)>,
    pub(super) pairs_v6: Vec<(u128, u16)>,
    pub(super) names: Vec<Name>,
}

/// A host name to be resolved.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Name {
    pub(super) name: String,
    pub(super) port: Option<u16>,
    pub(super) origin: Origin,
}

impl Listed {
    /// Reads all of `sources`.
    pub(super) fn read(sources: Vec<Source>, takes: Takes) -> Result<Self, TargetError> {
        let mut listed = Self::default();
        for source in sources {
            let is_stdin = source.is_stdin();
            match source {
                Source::Text(text, origin) => {
                    for line in text.lines() {
                        listed.add_line(line, takes, || origin.clone())?;
                    }
                }
                Source::File(_) if is_stdin => {
                    let read = listed.add_lines(io::stdin().lock(), takes, Origin::Stdin);
                    read.map_err(|fault| fault.at(Path::new("stdin")))?;
                }
                Source::File(path) => {
                    let origin = |line| Origin::File(path.clone(), line);
                    let read = File::open(&path).map_err(Fault::Read);
                    let read = read.and_then(|file| listed.add_lines(file, takes, origin));
                    read.map_err(|fault| fault.at(&path))?;
                }
            }
        }
        Ok(listed)
    }

    /// Whether nothing is listed.
    pub(super) fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Adds what `source` says, line by line.
    fn add_lines(
        &mut self,
        source: impl Read,
        takes: Takes,
        origin: impl Fn(u64) -> Origin + Sync,
    ) -> Result<(), Fault> {
        let mut blocks = Blocks { source, carry: Vec::new(), line: 1, is_ended: false };
        loop {
            let batch: Vec<Block> = blocks.by_ref().take(BATCH).collect::<Result<_, _>>().map_err(
                |fault| match fault {
                    BlockFault::Line(line, start) => {
                        let text = String::from_utf8_lossy(&start);
                        Fault::Spec(SpecError::new(origin(line), &text, Malformed::LineLength))
                    }
                    BlockFault::Read(error) => Fault::Read(error),
                },
            )?;
            match batch.as_slice() {
                [] => return Ok(()),
                // Short lists are the most frequent ones: they wake no other core.
                [only] => self.append(only.parse(takes, &origin)?),
                many => {
                    let parsed: Vec<_> =
                        many.par_iter().map(|block| block.parse(takes, &origin)).collect();
                    for listed in parsed {
                        self.append(listed?);
                    }
                }
            }
        }
    }

    fn add_line(
        &mut self,
        line: &str,
        takes: Takes,
        origin: impl Fn() -> Origin,
    ) -> Result<(), SpecError> {
        for word in words(line) {
            let wrong = |reason| SpecError::new(origin(), word, reason);
            let has_port = |spec: &Spec| matches!(spec, Spec::Pair(_) | Spec::Name(_, Some(_)));
            match word.parse().map_err(wrong)? {
                spec if takes == Takes::Addresses && has_port(&spec) => {
                    return Err(wrong(Malformed::PortHere));
                }
                Spec::V4(first, last) => self.v4.push((first.to_bits(), last.to_bits())),
                Spec::V6(first, last) => self.v6.push((first.to_bits(), last.to_bits())),
                Spec::Pair(std::net::SocketAddr::V4(pair)) => {
                    self.pairs_v4.push((pair.ip().to_bits(), pair.port()))
                }
                Spec::Pair(std::net::SocketAddr::V6(pair)) => {
                    self.pairs_v6.push((pair.ip().to_bits(), pair.port()))
                }
                Spec::Name(name, port) => self.names.push(Name { name, port, origin: origin() }),
            }
        }
        Ok(())
    }

    fn append(&mut self, mut other: Self) {
        self.v4.append(&mut other.v4);
        self.v6.append(&mut other.v6);
        self.pairs_v4.append(&mut other.pairs_v4);
        self.pairs_v6.append(&mut other.pairs_v6);
        self.names.append(&mut other.names);
    }
}

/// Length of a block, and so of the longest line.
const BLOCK_LEN: usize = 1 << 20;
/// Blocks parsed at a time: enough for the cores, little in memory.
const BATCH: usize = 8;

/// Why a list could not be read.
#[derive(Debug)]
enum Fault {
    Read(io::Error),
    Spec(SpecError),
}

impl Fault {
    fn at(self, path: &Path) -> TargetError {
        match self {
            Self::Read(source) => TargetError::Read { path: path.to_owned(), source },
            Self::Spec(error) => error.into(),
        }
    }
}

impl From<SpecError> for Fault {
    fn from(error: SpecError) -> Self {
        Self::Spec(error)
    }
}

/// Some whole lines.
struct Block {
    /// The number of the first.
    line: u64,
    bytes: Vec<u8>,
}

impl Block {
    fn parse(&self, takes: Takes, origin: impl Fn(u64) -> Origin) -> Result<Listed, SpecError> {
        let mut listed = Listed::default();
        // Addresses take 8 to 16 octets of text: room for most of them at once.
        listed.v4.reserve(self.bytes.len() / 16);
        for (line, bytes) in (self.line..).zip(self.bytes.split(|byte| *byte == b'\n')) {
            let Ok(text) = str::from_utf8(bytes) else {
                let text = String::from_utf8_lossy(bytes);
                return Err(SpecError::new(origin(line), text.trim(), Malformed::NotText));
            };
            listed.add_line(text, takes, || origin(line))?;
        }
        Ok(listed)
    }
}

/// Cuts what it reads into blocks.
struct Blocks<R> {
    source: R,
    /// What was read after the last line end.
    carry: Vec<u8>,
    line: u64,
    is_ended: bool,
}

enum BlockFault {
    /// A line without an end, and how it begins.
    Line(u64, Vec<u8>),
    Read(io::Error),
}

/// What some editors put at the start of a file.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

impl<R: Read> Iterator for Blocks<R> {
    type Item = Result<Block, BlockFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_ended {
            return None;
        }
        let mut bytes = std::mem::take(&mut self.carry);
        let room = (BLOCK_LEN - bytes.len()) as u64;
        if let Err(error) = self.source.by_ref().take(room).read_to_end(&mut bytes) {
            self.is_ended = true;
            return Some(Err(BlockFault::Read(error)));
        }
        let line = self.line;
        self.is_ended = bytes.len() < BLOCK_LEN;
        if !self.is_ended {
            let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
                self.is_ended = true;
                bytes.truncate(256);
                return Some(Err(BlockFault::Line(line, bytes)));
            };
            self.carry = bytes.split_off(end + 1);
        }
        self.line += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        if line == 1 && bytes.starts_with(BYTE_ORDER_MARK) {
            bytes.drain(..BYTE_ORDER_MARK.len());
        }
        Some(Ok(Block { line, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn read(bytes: &[u8], takes: Takes) -> Result<Listed, TargetError> {
        let mut listed = Listed::default();
        listed
            .add_lines(bytes, takes, Origin::Stdin)
            .map_err(|fault| fault.at(Path::new("stdin")))?;
        Ok(listed)
    }

    #[track_caller]
    fn check_wrong(bytes: &[u8], takes: Takes, expected: &str) {
        let error = read(bytes, takes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    #[test]
    fn lines_comments_blanks_and_mixed_kinds() {
        let text = "\u{feff}198.18.0.1\r\n\r\n# nothing\n198.18.0.2:80, 198.18.0.0/30 # both\n2001:db8::1 [2001:db8::1]:53\nlab.example:22";
        let listed = read(text.as_bytes(), Takes::Targets).unwrap();
        let address = 0xc612_0000;
        let v6 = 0x2001_0db8 << 96 | 1;
        assert_eq!(listed.v4, [(address | 1, address | 1), (address, address | 3)]);
        assert_eq!(listed.v6, [(v6, v6)]);
        assert_eq!(listed.pairs_v4, [(address | 2, 80)]);
        assert_eq!(listed.pairs_v6, [(v6, 53)]);
        let name = Name { name: "lab.example".into(), port: Some(22), origin: Origin::Stdin(6) };
        assert_eq!(listed.names, [name]);
    }

    #[test]
    fn faults_carry_the_number_of_their_line() {
        check_wrong(
            b"198.18.0.1\n\n198.18.0.256\n",
            Takes::Targets,
            "stdin:3: \"198.18.0.256\" is not an address",
        );
        check_wrong(b"198.18.0.1\n\xff\xfe1\n", Takes::Targets, "stdin:2: ");
        check_wrong(b"198.18.0.1\n\xff\xfe1\n", Takes::Targets, "is not text in UTF-8");
        check_wrong(
            b"198.18.0.1:80\n",
            Takes::Addresses,
            "stdin:1: \"198.18.0.1:80\" has a port, but exclusions",
        );
        check_wrong(b"lab.example:80\n", Takes::Addresses, "leave the port out");
    }

    #[test]
    fn a_line_without_an_end_is_refused_with_little_read() {
        let endless = io::repeat(b'1');
        let fault =
            Listed::default().add_lines(endless, Takes::Targets, Origin::Stdin).unwrap_err();
        let error = fault.at(Path::new("stdin")).to_string();
        assert!(error.starts_with("stdin:1: ") && error.contains("longer than 1 MiB"), "{error}");
    }

    /// Many blocks, cut wherever they are cut: the same addresses in the same order as line by line.
    #[test]
    fn blocks_are_joined_in_order_and_know_their_lines() {
        let count = 300_000_u32;
        let mut text = String::new();
        for at in 0..count {
            let octets = (0xc612_0000 + at).to_be_bytes();
            writeln!(text, "{}.{}.{}.{}", octets[0], octets[1], octets[2], octets[3]).unwrap();
        }
        assert!(text.len() > 3 * BLOCK_LEN);
        let listed = read(text.as_bytes(), Takes::Targets).unwrap();
        assert!(
            listed.v4.iter().copied().eq((0..count).map(|at| (0xc612_0000 + at, 0xc612_0000 + at)))
        );
        // Two faults in different blocks: the first is told.
        let faulty = format!("{text}x_!\n{text}y_!\n");
        check_wrong(faulty.as_bytes(), Takes::Targets, "stdin:300001: \"x_!\"");
        let named = format!("{text}lab.example");
        assert_eq!(
            read(named.as_bytes(), Takes::Targets).unwrap().names[0].origin,
            Origin::Stdin(300_001)
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let sources = vec![Source::File("/nonexistent/targets.txt".into())];
        let error = Listed::read(sources, Takes::Targets).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/targets.txt"), "{error}");
    }
}

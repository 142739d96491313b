//! Words before domains, made when they are asked for.
//!
//! ```text
//!  domains 0..1024       a  b  c ...     for each word all of these domains, so that the servers of no domain
//!                        |  |  |         have to answer a whole list at once
//!  words   www  mail  dev  ...           the file is read once for each 1,024 domains
//! ```
//!
//! In memory are the domains and 64 KiB of words. A list of words that cannot be read twice, as from a pipe, is kept.

use std::{
    fs,
    io::{Cursor, Read},
    ops::Range,
    path::PathBuf,
    sync::Arc,
};

use super::{
    Input, Invalid, InvalidName, Names, NamesError, Pull, Question,
    reader::{Found, Reader},
    shown,
};
use crate::message::{Name, labels};

/// So many domains take turns.
const GROUP: usize = 1_024;

/// The names of words x domains.
#[derive(Debug)]
pub struct Product {
    words: Words,
    domains: Domains,
    /// The domains that take turns now.
    group: Range<usize>,
    /// The words that are left for them.
    reader: Option<Reader>,
    word: Result<Name, InvalidName>,
    /// The next domain of the present word, from the start of the group; at its end another word is due.
    at: usize,
    /// How many words there are, once they were all read.
    count: Option<u64>,
    read: u64,
}

impl Product {
    /// All words of one list before all domains of others. A word may have several labels; `.` stands for none.
    ///
    /// # Errors
    ///
    /// A list of domains that cannot be read, or a domain that is no name.
    pub fn new(words: Input, domains: Vec<Input>) -> Result<Self, NamesError> {
        let words = Words::new(words)?;
        let domains = Domains::read(domains)?;
        if domains.ends.is_empty() {
            return Err(NamesError::NoDomain);
        }
        let group = 0..GROUP.min(domains.ends.len());
        let at = group.len();
        Ok(Self {
            words,
            domains,
            group,
            reader: None,
            word: Ok(Name::ROOT),
            at,
            count: None,
            read: 0,
        })
    }

    /// How many domains there are.
    pub fn domains(&self) -> usize {
        self.domains.ends.len()
    }

    /// Comes to the next word, or to the first of the next group.
    fn advance(&mut self) -> Result<Pull, NamesError> {
        loop {
            if self.group.is_empty() {
                return Ok(Pull::End);
            }
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    self.read = 0;
                    none.insert(self.words.open()?)
                }
            };
            self.word = match reader.next()? {
                Found::Line(range) => {
                    let text = reader.text(range);
                    Name::parse(text).map_err(|why| InvalidName::new(text, Invalid::Name(why)))
                }
                Found::Long(range) => Err(InvalidName::new(reader.text(range), Invalid::Length)),
                Found::Later => return Ok(Pull::Later),
                Found::End => {
                    self.end_group();
                    continue;
                }
            };
            self.read += 1;
            self.at = 0;
            return Ok(Pull::Question);
        }
    }

    fn end_group(&mut self) {
        self.count = Some(self.read);
        self.reader = None;
        self.next_group();
    }

    fn next_group(&mut self) {
        let start = self.group.end;
        self.group = start..(start + GROUP).min(self.domains.ends.len());
        self.at = self.group.len();
    }
}

impl Names for Product {
    fn next(&mut self, question: &mut Question) -> Result<Pull, NamesError> {
        if self.at >= self.group.len() {
            match self.advance()? {
                Pull::Question => {}
                other => return Ok(other),
            }
        }
        let domain = self.domains.get(self.group.start + self.at);
        self.at += 1;
        question.name = match &self.word {
            Ok(word) => word
                .below(domain)
                .map_err(|why| joined(&word.to_string(), domain, Invalid::Name(why))),
            Err(invalid) => Err(joined(&invalid.text, domain, invalid.why)),
        };
        question.root = Some(labels(domain).count() as u8);
        question.server = None;
        Ok(Pull::Question)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), NamesError> {
        loop {
            let left = (self.group.len() - self.at) as u64;
            let here = left.min(count);
            self.at += here as usize;
            count -= here;
            if count == 0 || self.group.is_empty() {
                return Ok(());
            }
            let domains = self.group.len() as u64;
            if let (None, Some(words)) = (&self.reader, self.count)
                && let Some(rest) = count.checked_sub(words.saturating_mul(domains))
            {
                count = rest;
                self.next_group();
                continue;
            }
            let reader = match &mut self.reader {
                Some(reader) => reader,
                none => {
                    self.read = 0;
                    none.insert(self.words.open()?)
                }
            };
            let whole = count / domains;
            let skipped = reader.skip(whole)?;
            self.read += skipped;
            count -= skipped * domains;
            if skipped < whole {
                self.end_group();
            } else if count > 0 {
                while self.advance()? == Pull::Later {}
            }
        }
    }
}

/// A word that is no name, before its domain.
fn joined(word: &str, domain: &[u8], why: Invalid) -> InvalidName {
    let domain = Name::from_wire(domain).unwrap_or_default();
    InvalidName::new(format!("{word}.{domain}").as_bytes(), why)
}

/// A list that can be read from the start again.
#[derive(Debug)]
enum Words {
    File(PathBuf),
    Kept(Arc<[u8]>),
}

impl Words {
    fn new(input: Input) -> Result<Self, NamesError> {
        let is_stdin = input.is_stdin();
        let kept = match input {
            Input::File(_) if is_stdin => read_all("stdin", &mut std::io::stdin())?,
            Input::File(path) => {
                let told = |error| NamesError::read(&shown(&path), error);
                if fs::metadata(&path).map_err(told)?.is_file() {
                    return Ok(Self::File(path));
                }
                read_all(&shown(&path), &mut fs::File::open(&path).map_err(told)?)?
            }
            Input::Text(text) => text.into_bytes(),
            Input::Reader(path, mut reader) => read_all(&path, &mut reader)?,
        };
        Ok(Self::Kept(kept.into()))
    }

    fn open(&self) -> Result<Reader, NamesError> {
        match self {
            Self::File(path) => Input::File(path.clone()).open(),
            Self::Kept(octets) => {
                let octets = Cursor::new(Arc::clone(octets));
                Ok(Reader::new("words".into(), Box::new(octets), false))
            }
        }
    }
}

fn read_all(path: &str, reader: &mut impl Read) -> Result<Vec<u8>, NamesError> {
    let mut octets = Vec::new();
    match reader.read_to_end(&mut octets) {
        Ok(_) => Ok(octets),
        Err(error) => Err(NamesError::read(path, error)),
    }
}

/// Domains in wire form, one behind the other.
#[derive(Debug, Default)]
struct Domains {
    octets: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Domains {
    fn read(inputs: Vec<Input>) -> Result<Self, NamesError> {
        let mut domains = Self::default();
        for input in inputs {
            let mut reader = input.open()?;
            loop {
                let (text, why) = match reader.next()? {
                    Found::Line(range) => match Name::parse(reader.text(range.clone())) {
                        Ok(name) => {
                            domains.octets.extend_from_slice(name.as_wire());
                            domains.ends.push(domains.octets.len());
                            continue;
                        }
                        Err(why) => (reader.text(range), Invalid::Name(why)),
                    },
                    Found::Long(range) => (reader.text(range), Invalid::Length),
                    Found::Later => continue,
                    Found::End => break,
                };
                return Err(NamesError::Domain(InvalidName::new(text, why)));
            }
        }
        Ok(domains)
    }

    /// The wire form of one.
    fn get(&self, number: usize) -> &[u8] {
        let start = number.checked_sub(1).and_then(|before| self.ends.get(before)).copied();
        let end = self.ends.get(number).copied().unwrap_or_default();
        self.octets.get(start.unwrap_or_default()..end).unwrap_or_default()
    }
}

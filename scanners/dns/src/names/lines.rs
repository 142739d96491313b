//! One name a line.
//!
//! ```text
//! www.example.com                        the name
//! www.example.com,198.18.0.53            and the one server to ask, if that is allowed
//! www.example.com,198.18.0.53:5353
//! www.example.com,[2001:db8::53]:53
//! 198.18.0.1                             1.0.18.198.in-addr.arpa, if addresses stand for their names
//! # a comment
//! ```

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

use super::{
    Input, Invalid, InvalidName, Names, NamesError, Pull, Question,
    pointers::pointer,
    reader::{Found, Reader},
};
use crate::message::Name;

/// What lines may say beside names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Rules {
    /// A comma and the address of a server may follow.
    pub servers: bool,
    /// An address stands for the name under which its PTR records are (RFC 1035, section 3.5; RFC 3596, section 2.5).
    pub addresses: bool,
}

/// The port of servers that are given without one.
const PORT: u16 = 53;

/// Names from files and standard input, one after the other.
#[derive(Debug)]
pub struct Lines {
    inputs: VecDeque<Input>,
    reader: Option<Reader>,
    rules: Rules,
}

impl Lines {
    /// The lines of `inputs`, each of which is opened when those before it are read.
    pub fn new(inputs: Vec<Input>, rules: Rules) -> Self {
        Self { inputs: inputs.into(), reader: None, rules }
    }
}

impl Names for Lines {
    #[inline]
    fn next(&mut self, question: &mut Question) -> Result<Pull, NamesError> {
        loop {
            let Some(reader) = &mut self.reader else {
                let Some(input) = self.inputs.pop_front() else { return Ok(Pull::End) };
                self.reader = Some(input.open()?);
                continue;
            };
            (question.name, question.server) = match reader.next()? {
                Found::Line(range) => read(reader.text(range), self.rules),
                Found::Long(range) => {
                    (Err(InvalidName::new(reader.text(range), Invalid::Length)), None)
                }
                Found::Later => return Ok(Pull::Later),
                Found::End => {
                    self.reader = None;
                    continue;
                }
            };
            question.root = None;
            return Ok(Pull::Question);
        }
    }

    fn skip(&mut self, mut count: u64) -> Result<(), NamesError> {
        while count > 0 {
            match &mut self.reader {
                Some(reader) => {
                    count -= reader.skip(count)?;
                    if count > 0 {
                        self.reader = None;
                    }
                }
                None => match self.inputs.pop_front() {
                    Some(input) => self.reader = Some(input.open()?),
                    None => return Ok(()),
                },
            }
        }
        Ok(())
    }
}

/// What a line says.
#[inline]
fn read(line: &[u8], rules: Rules) -> (Result<Name, InvalidName>, Option<SocketAddr>) {
    let (text, server) = match line.iter().rposition(|octet| *octet == b',') {
        Some(comma) if rules.servers => {
            let (text, server) = line.split_at(comma);
            let Some(server) = server.get(1..).and_then(read_server) else {
                return (Err(InvalidName::new(line, Invalid::Server)), None);
            };
            (text.trim_ascii_end(), Some(server))
        }
        _ => (line, None),
    };
    if rules.addresses
        && let Some(addr) = str::from_utf8(text).ok().and_then(|text| text.parse().ok())
    {
        return (Ok(pointer(addr)), server);
    }
    let name = Name::parse(text).map_err(|why| InvalidName::new(line, Invalid::Name(why)));
    (name, server)
}

/// `198.18.0.53`, `198.18.0.53:53`, `2001:db8::53`, `[2001:db8::53]` or `[2001:db8::53]:53`.
fn read_server(text: &[u8]) -> Option<SocketAddr> {
    let text = str::from_utf8(text.trim_ascii()).ok()?;
    let addr = text.strip_prefix('[').and_then(|inside| inside.strip_suffix(']')).unwrap_or(text);
    let alone = || addr.parse().ok().filter(|addr: &IpAddr| addr.is_ipv6() || addr_is_bare(text));
    let server = text.parse().ok().or_else(|| alone().map(|addr| SocketAddr::new(addr, PORT)))?;
    (server.port() != 0).then_some(server)
}

/// Whether there are no brackets, which IPv4 addresses do not have.
fn addr_is_bare(text: &str) -> bool {
    !text.starts_with('[')
}

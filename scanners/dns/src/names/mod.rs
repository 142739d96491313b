//! What is asked: questions one after the other, from lists, products and address ranges, none of which is in memory whole.
//!
//! ```text
//!  Lines     files, standard input: one name a line -.
//!  Product   words x domains                          |-> Questions: types, class, shard, number --> Source
//!  Pointers  address ranges -> in-addr.arpa, ip6.arpa-'            |
//!                                                                  '-- thread mrpf-names --> Fed, one a consumer
//! ```
//!
//! A line that is no name is a question all the same, so that every line ends in one record; it keeps the start of the line
//! in place of a name. Nothing is asked here, and no name is looked at beyond whether it is one.
//!
//! Questions are numbered from 0 in the order of the input. A run that goes on at a number gives what an uninterrupted one
//! would have given from there.

mod feed;
mod lines;
mod pointers;
mod product;
mod reader;
#[cfg(test)]
mod tests;

use std::{fmt, io, net::SocketAddr, path::Path};

use mrpf_engine::target::Shard;
use thiserror::Error;

use crate::message::{Name, NameError, Qclass, Qtype};

pub use self::{
    feed::{Fed, Feeder, feed},
    lines::{Lines, Rules},
    pointers::Pointers,
    product::Product,
    reader::Input,
};

/// Where questions come from.
pub trait Source: Send {
    /// Writes the next question into `question`.
    fn next(&mut self, question: &mut Question) -> Pull;

    /// Why the questions ended before their time, once, after [`Pull::End`].
    fn fault(&mut self) -> Option<NamesError> {
        None
    }
}

/// What [`Source::next`] did.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Pull {
    /// A question was written.
    Question,
    /// There is none yet: ask again. What was given so far should not wait for the next one.
    Later,
    /// There are no more.
    End,
}

/// One question.
#[derive(Clone, Debug)]
pub struct Question {
    /// Its place among the questions of its shard, from 0.
    pub number: u64,
    /// The name, or what stands in its place.
    pub name: Result<Name, InvalidName>,
    /// Which records are asked for.
    pub qtype: Qtype,
    /// Of which class.
    pub qclass: Qclass,
    /// The one server that is to be asked, where the line names it.
    pub server: Option<SocketAddr>,
    /// How many of the last labels are the domain that was given, where one was.
    pub root: Option<u8>,
}

impl Default for Question {
    fn default() -> Self {
        Self {
            number: 0,
            name: Ok(Name::ROOT),
            qtype: Qtype::A,
            qclass: Qclass::IN,
            server: None,
            root: None,
        }
    }
}

/// Text that is no name.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{text:?} is no question: {why}")]
pub struct InvalidName {
    /// The text, or the start of a long one.
    pub text: Box<str>,
    /// What is wrong with it.
    pub why: Invalid,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Invalid {
    /// The name.
    Name(NameError),
    /// The server behind the comma.
    Server,
    /// It is longer than any name.
    Length,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => error.fmt(f),
            Self::Server => f.write_str(
                "behind the comma stands no address of a server, as in 198.18.0.53, 198.18.0.53:5353 or [2001:db8::53]:53",
            ),
            Self::Length => f.write_str("the line is longer than any name"),
        }
    }
}

/// How much of a text is kept.
const KEPT_TEXT: usize = 255;

impl InvalidName {
    fn new(text: &[u8], why: Invalid) -> Self {
        let kept = text.get(..KEPT_TEXT).unwrap_or(text);
        Self { text: String::from_utf8_lossy(kept).into(), why }
    }
}

/// Why a list cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum NamesError {
    /// The system does not give it.
    #[error("{path}: cannot be read: {source}")]
    Read {
        /// Which file; `stdin` for standard input.
        path: Box<str>,
        /// What the system says.
        source: io::Error,
    },
    /// A domain to put words before is no name.
    #[error("the domain {0}")]
    Domain(InvalidName),
    /// There is no domain to put words before.
    #[error("there are words, but no domain to put them before")]
    NoDomain,
    /// The thread that reads is gone without a word.
    #[error("the thread that reads names has ended by a panic")]
    Thread,
}

impl NamesError {
    fn read(path: &str, source: io::Error) -> Self {
        Self::Read { path: path.into(), source }
    }
}

/// A list of names: what [`Questions`] asks about.
pub trait Names: fmt::Debug + Send {
    /// Writes name, server and root of the next one into `question`.
    fn next(&mut self, question: &mut Question) -> Result<Pull, NamesError>;

    /// Passes over the next `count`, or as many as there are.
    fn skip(&mut self, count: u64) -> Result<(), NamesError>;
}

/// The questions about a list of names: each type of each name of one shard, the types of a name one after the other.
pub struct Questions<N> {
    names: N,
    types: Box<[Qtype]>,
    class: Qclass,
    /// Of the names of the list, how many come before the next one of this shard.
    ahead: u64,
    shard: Shard,
    /// The number of the next question.
    number: u64,
    /// Which type comes next.
    at: usize,
    /// The name whose types are being asked for.
    current: Question,
    fault: Option<NamesError>,
    is_ended: bool,
}

impl<N: Names> Questions<N> {
    /// Questions of these types about the names of one shard, from number `start` on. Without a type there are none.
    pub fn new(names: N, types: &[Qtype], class: Qclass, shard: Shard, start: u64) -> Self {
        let count = types.len().max(1) as u64;
        let parts = u64::from(shard.n());
        let first = (start / count).saturating_mul(parts).saturating_add(u64::from(shard.k()) - 1);
        let at = (start % count) as usize;
        Self {
            names,
            types: types.into(),
            class,
            ahead: first,
            shard,
            number: start,
            at,
            current: Question::default(),
            fault: None,
            // In mid-name the name itself has still to be read.
            is_ended: types.is_empty(),
        }
        .behind(at)
    }

    /// Reads the name in whose midst it starts.
    fn behind(mut self, at: usize) -> Self {
        if at > 0 && !self.is_ended {
            let mut current = Question::default();
            loop {
                match self.pull(&mut current) {
                    Pull::Later => {}
                    Pull::Question => break,
                    Pull::End => return self,
                }
            }
            self.current = current;
        }
        self
    }

    /// The next name of this shard.
    #[inline]
    fn pull(&mut self, question: &mut Question) -> Pull {
        let pulled = match std::mem::take(&mut self.ahead) {
            0 => self.names.next(question),
            ahead => self.names.skip(ahead).and_then(|()| self.names.next(question)),
        };
        let pulled = pulled.unwrap_or_else(|error| {
            self.fault = Some(error);
            Pull::End
        });
        match pulled {
            Pull::Question => self.ahead = u64::from(self.shard.n()) - 1,
            Pull::Later => {}
            Pull::End => self.is_ended = true,
        }
        pulled
    }
}

impl<N: Names> Source for Questions<N> {
    #[inline]
    fn next(&mut self, question: &mut Question) -> Pull {
        if self.is_ended {
            return Pull::End;
        }
        match (self.at, self.types.len()) {
            (_, 1) => match self.pull(question) {
                Pull::Question => {}
                other => return other,
            },
            (0, _) => {
                let mut current = std::mem::take(&mut self.current);
                let pulled = self.pull(&mut current);
                self.current = current;
                if pulled != Pull::Question {
                    return pulled;
                }
                question.clone_from(&self.current);
            }
            _ => question.clone_from(&self.current),
        }
        let Some(qtype) = self.types.get(self.at) else { return Pull::End };
        question.number = self.number;
        question.qtype = *qtype;
        question.qclass = self.class;
        self.number += 1;
        self.at = (self.at + 1) % self.types.len();
        Pull::Question
    }

    fn fault(&mut self) -> Option<NamesError> {
        self.fault.take()
    }
}

impl<N: Names + ?Sized> Names for Box<N> {
    fn next(&mut self, question: &mut Question) -> Result<Pull, NamesError> {
        (**self).next(question)
    }

    fn skip(&mut self, count: u64) -> Result<(), NamesError> {
        (**self).skip(count)
    }
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn next(&mut self, question: &mut Question) -> Pull {
        (**self).next(question)
    }

    fn fault(&mut self) -> Option<NamesError> {
        (**self).fault()
    }
}

impl<N: fmt::Debug> fmt::Debug for Questions<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Questions")
            .field("names", &self.names)
            .field("types", &self.types)
            .field("shard", &self.shard)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The text of a file's name, for errors.
fn shown(path: &Path) -> Box<str> {
    path.display().to_string().into()
}

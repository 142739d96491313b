//! What is asked about, described so that it can be read more than once.
//!
//! ```text
//!  Ask::Lines, Product, Pointers --servers()--> whom the lines name, to find the ways to them before anything is sent
//!                                --names()----> the list itself
//!                                --stamp()----> a number that tells lists apart, for who goes on with one
//! ```

use std::{
    collections::BTreeSet,
    fs,
    hash::Hasher,
    io::{self, Seek},
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use mrpf_engine::target::Targets;

use crate::names::{Input, Lines, Names, NamesError, Pointers, Product, Pull, Question, Rules};

/// Where a list comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file; `-` is standard input.
    File(PathBuf),
    /// Text that is given as it is, a line each.
    Text(String),
}

/// What names to ask about.
#[derive(Clone, Debug)]
pub enum Ask {
    /// One name a line; with `servers` a line may name the server to ask behind a comma.
    Lines {
        /// Where they come from, one after the other.
        origins: Vec<Origin>,
        /// Whether lines may name servers.
        servers: bool,
    },
    /// Each word before each domain.
    Product {
        /// A word a line.
        words: Origin,
        /// A domain a line.
        domains: Vec<Origin>,
    },
    /// The names under which the PTR records of addresses are.
    Pointers {
        /// The addresses.
        addresses: Arc<Targets>,
        /// The seed of their order; `None` for ascending.
        seed: Option<u64>,
    },
}

impl Origin {
    fn input(&self) -> Input {
        match self {
            Self::File(path) => Input::File(path.clone()),
            Self::Text(text) => Input::Text(text.clone()),
        }
    }

    fn is_stdin(&self) -> bool {
        matches!(self, Self::File(path) if path == Path::new("-"))
    }

    fn stamp(&self, hasher: &mut impl Hasher) {
        match self {
            Self::Text(text) => {
                hasher.write_u8(0);
                hasher.write_u64(text.len() as u64);
                hasher.write(text.as_bytes());
            }
            Self::File(path) => {
                hasher.write_u8(1);
                // Of a pipe nothing is known; of a file, that it has not grown.
                hasher.write_u64(fs::metadata(path).map_or(0, |facts| facts.len()));
            }
        }
    }
}

/// Lists that stand ready, and the servers that they name.
pub(crate) struct Ready {
    names: Box<dyn Names>,
    pub(crate) servers: BTreeSet<SocketAddr>,
}

impl Ask {
    /// Opens the list. Where it names servers it is read once to know them, and standard input is kept in a file without a name
    /// meanwhile.
    pub(crate) fn ready(self, lists_addresses: bool) -> Result<Ready, NamesError> {
        let mut servers = BTreeSet::new();
        let names: Box<dyn Names> = match self {
            Self::Lines { origins, servers: names_servers } => {
                let rules = Rules { servers: names_servers, addresses: lists_addresses };
                let mut inputs: Vec<Input> = origins.iter().map(Origin::input).collect();
                if names_servers {
                    let kept = origins.iter().map(keep).collect::<Result<Vec<_>, _>>()?;
                    let first =
                        origins.iter().zip(&kept).map(reopened).collect::<Result<_, _>>()?;
                    servers = servers_of(Lines::new(first, rules))?;
                    inputs = origins.iter().zip(&kept).map(reopened).collect::<Result<_, _>>()?;
                }
                Box::new(Lines::new(inputs, rules))
            }
            Self::Product { words, domains } => {
                Box::new(Product::new(words.input(), domains.iter().map(Origin::input).collect())?)
            }
            Self::Pointers { addresses, seed } => Box::new(Pointers::new(addresses, seed)),
        };
        Ok(Ready { names, servers })
    }

    /// What tells this list from others: a place in one means nothing in another.
    pub(crate) fn stamp(&self, hasher: &mut impl Hasher) {
        match self {
            Self::Lines { origins, servers } => {
                hasher.write_u8(u8::from(*servers));
                origins.iter().for_each(|origin| origin.stamp(hasher));
            }
            Self::Product { words, domains } => {
                hasher.write_u8(2);
                words.stamp(hasher);
                domains.iter().for_each(|origin| origin.stamp(hasher));
            }
            Self::Pointers { addresses, seed } => {
                hasher.write_u8(3);
                hasher.write_u64(seed.map_or(0, |seed| seed.wrapping_add(1)));
                for (first, last) in addresses.v4_ranges() {
                    hasher.write_u64(u64::from(first.to_bits()) << 32 | u64::from(last.to_bits()));
                }
                for (first, last) in addresses.v6_ranges() {
                    hasher.write_u128(first.to_bits());
                    hasher.write_u128(last.to_bits());
                }
            }
        }
    }
}

impl Ready {
    pub(crate) fn into_names(self) -> Box<dyn Names> {
        self.names
    }
}

/// A copy of what can be read only once.
fn keep(origin: &Origin) -> Result<Option<fs::File>, NamesError> {
    if !origin.is_stdin() {
        return Ok(None);
    }
    let copied = tempfile::tempfile().and_then(|mut file| {
        io::copy(&mut io::stdin().lock(), &mut file)?;
        Ok(file)
    });
    copied.map(Some).map_err(|source| NamesError::Read { path: "stdin".into(), source })
}

/// The input from its start.
fn reopened((origin, kept): (&Origin, &Option<fs::File>)) -> Result<Input, NamesError> {
    let Some(file) = kept else { return Ok(origin.input()) };
    let again = file.try_clone().and_then(|mut file| {
        file.rewind()?;
        Ok(file)
    });
    let file = again.map_err(|source| NamesError::Read { path: "stdin".into(), source })?;
    Ok(Input::Reader("stdin".into(), Box::new(file)))
}

/// All servers that lines name.
fn servers_of(mut lines: Lines) -> Result<BTreeSet<SocketAddr>, NamesError> {
    let (mut servers, mut question) = (BTreeSet::new(), Question::default());
    loop {
        match lines.next(&mut question)? {
            Pull::Question => servers.extend(question.server),
            Pull::Later => {}
            Pull::End => return Ok(servers),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    fn stamp(ask: &Ask) -> u64 {
        let mut hasher = DefaultHasher::new();
        ask.stamp(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn servers_are_known_before_the_first_question() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(
            &path,
            "a.example,198.18.0.2\nb.example,198.18.0.3:54\na.example,198.18.0.2\nc\n",
        )
        .unwrap();
        let text = Origin::Text("d.example,[2001:db8::1]:53".to_owned());
        let ask = Ask::Lines { origins: vec![Origin::File(path), text], servers: true };
        let ready = ask.ready(false).unwrap();
        let servers: Vec<_> = ready.servers.iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["198.18.0.2:53", "198.18.0.3:54", "[2001:db8::1]:53"]);
        let (mut names, mut question, mut count) = (ready.into_names(), Question::default(), 0);
        while names.next(&mut question).unwrap() == Pull::Question {
            count += 1;
        }
        assert_eq!(count, 5, "the list is read from its start again");
    }

    #[test]
    fn lists_are_told_apart() {
        let text = |text: &str| Origin::Text(text.to_owned());
        let lines = |texts: &[&str], servers| Ask::Lines {
            origins: texts.iter().map(|it| text(it)).collect(),
            servers,
        };
        let all = [
            lines(&["a", "b"], false),
            lines(&["a", "b"], true),
            lines(&["ab"], false),
            lines(&["b", "a"], false),
            Ask::Product { words: text("a"), domains: vec![text("b")] },
            Ask::Product { words: text("b"), domains: vec![text("a")] },
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(stamp(one), stamp(&one.clone()));
            assert!(all[at + 1..].iter().all(|other| stamp(other) != stamp(one)), "{one:?}");
        }
    }
}

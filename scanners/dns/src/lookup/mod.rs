//! Names asked and answered: each question that is taken ends once, in an [`End`].
//!
//! ```text
//!  names --Question--> Lookups: slots | places | cases | timers | TCP --Batch of End--> rows
//!                        |    ^ one a thread, a listener of the engine's: it reads frames and sends its own
//!                        |    |
//!                        |    '- whom, how fast, how long: Pool     '- made by a wildcard? Wildcards
//!                        '-- query: from a port, with an id and in a case that nobody can guess; port and id are the slot
//! ```
//!
//! # What holds
//!
//! - Each question has one end, or was cut off by a stop, which is counted; [`Marks::mark`] says up to where all have ended.
//! - No answer is taken that does not come from the address and port that this very query was for, to the port and with the id that
//!   it had, with its question octet for octet. What comes close is counted: see [`Counted::near_misses`].
//! - NXDOMAIN and NODATA are answers: they cost one query. SERVFAIL, REFUSED and silence are asked elsewhere.
//! - Memory is bounded by what is asked for at the start, whatever the input: [`SLOT_LEN`] octets a lookup, and the connections.
//! - After the first batches have grown, nothing allocates.
//!
//! Never here: sockets, clocks, text. What a message says is `message`'s to know; which record is written is `row`'s.

mod asking;
mod cases;
mod desk;
mod ends;
mod frames;
mod gate;
mod hearing;
mod held;
mod lookups;
mod marks;
mod outbox;
mod places;
mod slot;
mod slots;
mod tally;
mod tcp;
mod turns;

use mrpf_engine::{cookie::Cookie, tcp::FlowsError};

pub use self::{
    ends::{Batch, End, Outcome, Protocol},
    lookups::{Lookups, Parts},
    marks::Marks,
    outbox::{Inbox, Outbox, queue},
    places::Ports,
    slot::SLOT_LEN,
    tally::{Counted, Tally},
};
use crate::message::Edns;

/// How lookups of one thread are done.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Most lookups under way at once.
    pub slots: u32,
    /// Further attempts, each at another resolver where there is one.
    pub retries: u8,
    /// Whether the server is to find the answer elsewhere: of a resolver that, of one that speaks for a zone this is not wanted.
    pub recursion: bool,
    /// What is said of EDNS to those who know it; `None` to say nothing.
    pub edns: Option<Edns>,
    /// Whether letters are sent in a case that an answer has to repeat.
    pub case: bool,
    /// Most connections at once, for answers that are longer than a datagram.
    pub connections: u32,
    /// Octets of such answers that may be under way at once.
    pub buffers: usize,
}

impl Default for Settings {
    /// 131,072 lookups, of resolvers, five retries; 4,096 connections and 16 MiB of what they bring.
    fn default() -> Self {
        Self {
            slots: 1 << 17,
            retries: 5,
            recursion: true,
            edns: Some(Edns::USUAL),
            case: true,
            connections: 4_096,
            buffers: 16 << 20,
        }
    }
}

/// What nobody else may know: ports, ids and the case of letters are drawn from it.
#[derive(Clone)]
pub struct Keys {
    places: (u64, u64),
    cases: (u64, u64),
    flows: Cookie,
}

impl Keys {
    /// Fresh ones from the operating system.
    ///
    /// # Errors
    ///
    /// When the system has no randomness to give, which Linux reports only very early after boot.
    pub fn from_os() -> Result<Self, getrandom::Error> {
        let mut octets = [0; 48];
        getrandom::fill(&mut octets)?;
        Ok(Self::from_octets(&octets))
    }

    /// Known ones, for the simulated world, whose runs must repeat.
    pub fn from_seed(seed: u64) -> Self {
        let mut octets = [0; 48];
        for (place, octet) in octets.iter_mut().zip(seed.to_le_bytes().into_iter().cycle()) {
            *place = octet;
        }
        Self::from_octets(&octets)
    }

    fn from_octets(octets: &[u8; 48]) -> Self {
        let [a, b, c, d, e, f] = [0, 1, 2, 3, 4, 5]
            .map(|at| octets.as_chunks::<8>().0.get(at).copied().unwrap_or_default());
        let word = u64::from_le_bytes;
        let mut flows = [0; 16];
        flows[..8].copy_from_slice(&e);
        flows[8..].copy_from_slice(&f);
        Self {
            places: (word(a), word(b)),
            // Of one seed for all, the two are to differ.
            cases: (word(c), !word(d)),
            flows: Cookie::from_key(&flows),
        }
    }
}

impl std::fmt::Debug for Keys {
    /// Never shows them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(..)")
    }
}

/// Why there can be no lookups. The texts name the mend.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum LookupsError {
    /// Answers could not be told apart.
    #[error(
        "{ports} source ports do not tell {slots} lookups apart: give at least {least}, or fewer lookups at once"
    )]
    Ports {
        /// How many there are.
        ports: u16,
        /// Lookups at once.
        slots: u32,
        /// How many do.
        least: u16,
    },
    /// There would be more lookups than any number of ports tells apart, or none.
    #[error("{0} lookups at once cannot be told apart: give 1 to 268431360")]
    Slots(u32),
    /// The system has no memory for it.
    #[error("there is no memory for {0} lookups at once: give fewer")]
    Memory(u32),
    /// Connections cannot be had.
    #[error(transparent)]
    Connections(#[from] FlowsError),
}

impl LookupsError {
    fn ports(ports: u16, slots: u32) -> Self {
        match places::Places::least_ports(slots) {
            Some(least) if slots > 0 => Self::Ports { ports, slots, least },
            _ => Self::Slots(slots),
        }
    }
}

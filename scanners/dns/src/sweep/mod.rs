//! One question to many addresses: who resolves for everyone, which version a server says it is.
//!
//! ```text
//!  targets -> (address, port, attempt) -> source port -> cookie -> id, 0x20 case -> one datagram
//!                                                          |
//!  datagram from (address, port) to the source port  ------'-> the same id and case? -> Reply -> DnsRecord
//!  ICMP error that quotes it  --------------------------------> the same octets? -----'
//! ```
//!
//! Nothing is remembered of what was sent but whether it was answered: an answer proves itself by its octets alone, as one to a
//! SYN scan does, so a sweep takes the same memory, order, shards, retries and marks to resume from. A forger who does not see
//! our questions has to guess a source port, the id and the case of each letter.
//!
//! The first valid answer of a target is the last word on it, whatever it says; TCP is not spoken. What does not answer is asked
//! `1 + retries` times.

mod build;
mod probe;
mod scan;
mod show;

pub use self::{
    build::Builder,
    probe::{Reply, SweepProbe},
    scan::{Summary, Sweep},
    show::{Show, UnknownShow},
};
use crate::message::{Edns, Name, Qclass, Qtype};

/// What is asked of each address.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) name: Name,
    pub(crate) qtype: Qtype,
    pub(crate) qclass: Qclass,
    pub(crate) recursion: bool,
    pub(crate) edns: Option<Edns>,
    /// Whether the case of letters has to come back as it was sent.
    pub(crate) keeps_case: bool,
}

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
//! ```
//! use mrpf_dns::{Sweep, message::{Name, Qclass, Qtype}};
//! use mrpf_engine::link::sim::{Faults, Network, hosts::{Behaviour, Hosts, Said, Service}};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // A network in memory with one server, which refuses whatever it is asked.
//!     let service = Service::new(|heard| {
//!         let mut answer = heard.payload.to_vec();
//!         answer[2] |= 0x80;
//!         answer[3] |= 5;
//!         vec![Said::datagram(answer)]
//!     });
//!     let addr = std::net::Ipv4Addr::new(198, 19, 0, 7);
//!     let hosts = Hosts::new(7).rule((addr, addr), 53..=53, Behaviour::Serves(service));
//!     let network = Network::new(7, hosts, Faults::default());
//!
//!     let targets = mrpf_syn::Scan::builder()
//!         .target("198.19.0.0/24")
//!         .allow_reserved(true)
//!         .simulated(network);
//!     let question = Name::parse(b"version.bind")?;
//!     let mut sweep =
//!         Sweep::builder(targets).question(question, Qtype::TXT, Qclass::CH).build()?;
//!     let records: Vec<_> = sweep.by_ref().collect();
//!     assert_eq!(records.len(), 1);
//!     assert_eq!(sweep.finish()?.statuses["REFUSED"], 1);
//!     Ok(())
//! }
//! ```
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

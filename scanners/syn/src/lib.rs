//! Which TCP ports answer a SYN: open, closed, unreachable, or silent.
//!
//! ```text
//!  Scan::builder() -> targets, rate, link ... -> build() -> Scan: Iterator<Item = Record>
//!                                                             | stop(), progress(), counts()
//!                                                             '-> finish() -> Summary
//! ```
//!
//! One SYN a target and attempt, with the options of a real system ([`TcpProfile`]), a cookie in its sequence number and
//! the attempt in its source port. Each SYN-ACK is answered with a RST of our own, so that no host keeps a
//! half-open connection. The kernel of this machine stays silent: see [`mrpf_engine::port_guard`].
//!
//! The smallest whole program, on a simulated network and without privileges:
//!
//! ```
//! use mrpf_engine::link::sim::{Faults, Network, hosts::Hosts};
//! use mrpf_syn::Scan;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let network = Network::new(7, Hosts::new(7), Faults::default());
//!     let mut scan = Scan::builder()
//!         .target("198.19.0.0/24")
//!         .ports("22,80")
//!         .allow_reserved(true)
//!         .simulated(network)
//!         .build()?;
//!     for record in &mut scan {
//!         println!("{record:?}");
//!     }
//!     let summary = scan.finish()?;
//!     assert_eq!(summary.counts.probes, 3 * 512); // nobody lives there: three attempts each
//!     Ok(())
//! }
//! ```
//!
//! Not here: packets (the engine builds and reads them), files and terminals (the command does).

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod build;
mod course;
mod follow;
mod marks;
mod noise;
mod open;
mod opened;
mod probe;
mod record;
mod reply;
mod scan;

pub use mrpf_engine::{governor::Rate, stats::Counts, template::TcpProfile};
pub use mrpf_records::{Record, State, SynRecord};

pub use self::{
    build::{Builder, ScanError, Show, ShowError},
    course::{Course, Step, Summary},
    follow::{Close, Follow},
    marks::{Asked, Marks, SourcePorts},
    opened::{Holding, Opened},
    probe::{Reset, SynProbe},
    reply::{Options, Reply, ReplyKind},
    scan::{Next, Scan},
};

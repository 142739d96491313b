//! mrpf_lab: namespaces with hosts that answer, and no route out.
//!
//! ```text
//!   the calling thread                          a thread of the lab
//!   scanner's namespace                         world's namespace
//!   s0 198.18.0.1/16  <------- veth pair ------>  w0 198.18.0.2/16
//!   198.19.0.0/16 via 198.18.0.2                  local 198.19.x.0/y: the kernel answers, with listeners or nginx
//!   2001:db8::1/64                                2001:db8::2/64
//!   2001:db8:1::/64 via 2001:db8::2               local 2001:db8:1::/64: the kernel answers (both only with IPv6)
//!   no default route                              blackhole 198.19.x.0/y: the responder answers, frame by frame
//!                                                 nft on w0: probes and answers lost, answers doubled
//! ```
//!
//! The tests scan it, `mrpf demo` shows it and `mrpf lab` lends it out. It needs root or a user namespace of its own, no
//! `ip` program and no file.
//!
//! | module | is |
//! |---|---|
//! | [`world`] | [`Lab`]: both namespaces and all that answers in them, gone when it is dropped |
//! | [`demo`] | the world of `mrpf demo` and what is true in it |
//! | [`certificate_log`] | who knows names of the organisation that lives in the lab |
//! | [`command`] | `mrpf lab run`, `up`, `down` and `status` |
//! | [`ipv6`] | the same for IPv6, in labs that [have](Builder::ipv6) it |
//! | [`gate`] | what this machine permits, and tests that are skipped aloud |
//! | [`Recorder`] | when frames arrive at the far end, and [how evenly](Arrivals) |
//! | [`Injector`] | frames that no kernel would send |
//! | [`Servers`] | programs of a test that serve in the world |
//! | [`pull()`] | merged segments of a kernel, to a port of a scan |
//! | [`netns`] | namespaces by guard; root without being root |
//! | [`veth`] | the pair, its addresses, routes and neighbours, by netlink |
//! | [`loss`] | nft rules that lose and double, and their counters |
//! | `sink` | with the feature of that name: counts and drops all that comes, for rate runs |
//! | `gauge` | with the same feature: counts by tenths of a millisecond what comes, and drops it, to see a rate kept |
//! | `synack` | with the same feature: a SYN-ACK for each SYN to a share of the hosts, at the cost of a few nanoseconds |
//! | `pass`, `xdp` | with the same: what lets veth take frames sent back or redirected; what all of them share |
//! | [`dns_responder`] | DNS at every address, as the test says |
//! | [`dns_servers`] | Knot, NSD and Unbound, each set up in a folder of the test |
//! | [`tls_responder`] | TLS 1.3 at every address and port, cheaper than any scanner |
//!
//! # What holds
//!
//! - Nothing in a lab has a route out: no default route, forwarding off, and the pair is the only device besides lo.
//! - Namespaces have no names (but those of `lab up`): they end with the threads inside, whatever ends those.
//! - Children get SIGKILL when the thread that holds the world ends; what nginx writes lies in a tmpfs that only it sees.
//! - Nothing but the scan moves the counters of s0: neighbours are permanent, and IPv6 is off or quiet.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod arrivals;
pub mod certificate_log;
mod child;
pub mod command;
pub mod demo;
pub mod dns_responder;
pub mod dns_servers;
mod error;
pub mod gate;
#[cfg(feature = "sink")]
pub mod gauge;
mod injector;
pub mod ipv6;
mod listener;
pub mod loss;
pub mod netns;
mod nginx;
#[cfg(feature = "sink")]
mod pass;
mod prefix;
mod prefix6;
mod pull;
mod recorder;
mod responder;
mod rtnl;
mod servers;
#[cfg(feature = "sink")]
pub mod sink;
#[cfg(feature = "sink")]
pub mod synack;
mod sysctl;
pub mod tls_responder;
pub mod veth;
pub mod world;
#[cfg(feature = "sink")]
pub mod xdp;

pub use self::{
    arrivals::{Arrivals, Gap},
    certificate_log::CertificateLog,
    error::LabError,
    injector::Injector,
    loss::Loss,
    netns::Namespace,
    prefix::Prefix,
    prefix6::Prefix6,
    pull::{Pulled, pull},
    recorder::Recorder,
    responder::Responder,
    servers::{Server, Servers},
    world::{Builder, Lab},
};
#[cfg(feature = "sink")]
pub use self::{pass::Pass, synack::Synack};

//! mrpf_engine: packets in, packets out.
//!
//! A scan is a walk over numbered targets in an order that looks random. Each number becomes a frame, each valid
//! answer becomes that number again, so the engine needs no table of what it has sent.
//!
//! ```text
//!           target/            template/        governor        link/
//!  specs -> ranges -> number -> permuted -> frame patched -> token -> sent ------.
//!                       ^       position     in place                            | the network
//!                       |                                                       |
//!  outcome <- answered <- position <- target <- cookie valid <- wire/ <- link/ <-'
//!             (first?)
//! ```
//!
//! | layer | is | is not |
//! |---|---|---|
//! | [`wire`] | views of received bytes, checked once | a packet builder, a checksum judge |
//! | [`template`] | frames made once and patched per target | general: it patches what a probe changes |
//! | [`target`] | ranges less exclusions, numbered, permuted, sharded | names on the hot path, rates |
//! | [`link`] | where frames leave and arrive: `packet`, `sim` | a judge of what a frame means |
//! | [`neighbour`] | routes and hardware addresses | on the path of a probe |
//! | [`governor`] | one bucket for every frame sent | a clock: `now` is an argument |
//! | [`answered`] | what was sent and what was answered, in constant memory | a list of hosts |
//! | [`tcp`] | connections after the SYN-ACK: a request, the answer put together | a TCP for programs: no listening, no congestion control |
//! | [`wheel`] | when something is next to be done about each of a million | a clock: ticks are the caller's |
//! | [`scan`] | the loop that joins the parts: a [`scan::Sender`] and a [`scan::Receiver`] | a scanner: see [`probe::Probe`] |
//!
//! # Threads
//!
//! A scan on a real link has one sender thread and one receiver thread; each owns its half of the link, and they share
//! [`scan::Shared`], which is atomics only. On the `sim` link one thread calls both under virtual time.
//!
//! # What is not here
//!
//! No async runtime, no serde, no AWS, no logging, no allocation on the send and receive paths after set-up. Time is an
//! argument everywhere below [`time::Clock`]. `unsafe` stands in `link/sys/` alone.

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod answered;
pub mod cookie;
pub mod governor;
pub mod link;
pub mod neighbour;
pub mod port_guard;
pub mod probe;
pub mod scan;
pub mod sources;
pub mod stats;
pub mod target;
pub mod tcp;
pub mod template;
pub mod time;
pub mod wheel;
pub mod wire;

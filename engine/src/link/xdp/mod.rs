//! Frames through XDP programs: many times as many a second as through packet sockets, and answers that the kernel never sees.
//!
//! ```text
//! XdpTx   slots in a mapped BPF array -> one long BPF_PROG_TEST_RUN -> send.bpf.c -> bpf_redirect -> the driver
//! XdpRx   the driver -> receive.bpf.c: ours? -> digests in a mapped array, all else in a ring buffer -> shown where it lies
//!                            '-- not ours, untouched -> the kernel
//! ```
//!
//! # What holds
//!
//! - What is not an answer to us reaches the kernel as it would without the link: ARP, neighbour discovery, other ports, other
//!   addresses. What is, does not, so the kernel resets nothing and needs no firewall rule.
//! - The programs are taken off by the kernel when the link is dropped or its process ends, however it ends.
//! - Both halves belong to the network namespace of the thread that opened them, and open only where the
//!   [fence](super::fence) lets them.
//!
//! Never here: neighbours are not resolved, since ARP and neighbour discovery stay the kernel's; a packet socket hears them too.

mod choice;
mod facts;
#[cfg(test)]
mod frames;
pub(super) mod laps;
mod pace;
mod program;
mod redirect;
mod refused;
mod rhythm;
pub(super) mod ring;
mod runner;
mod rx;
mod seat;
mod stamps;
mod take;
mod tx;

pub use self::{
    choice::{Ask, Choice, LIVE_FROM, Purpose, Receive, Refusal, Send, Wish, WishError, choose},
    facts::{Capabilities, Channels, Facts, Features, Kernel},
    rx::{Mode, XdpRx},
    take::{Deal, MAX_RECEIVERS, Screen, Take},
    tx::XdpTx,
};

//! TCP lite: as much of TCP as one needs to ask a host something and hear the answer, for a million hosts at once.
//!
//! A scan sends SYNs without memory; a host that answers one with the right cookie gets a *flow*. It carries a request or a few,
//! puts the answer together, and ends. There is no listening, no congestion control (a request is a few segments), no half-close:
//! when who asked has enough, the host gets a reset.
//!
//! ```text
//!   SYN-ACK, cookie valid                         segments, ICMP errors                  time
//!          | open                                        | handle, unreachable             | poll_ended
//!          v                                             v                                 v
//!       [ Flow <= 256 octets ]<---- index by address and ports ----      [ wheel: 10 ms, one entry a flow ]
//!          |    '--> [ buffer 4..64 KiB ] leased with the first data
//!          | queue of those that owe something                 data, consume: the contiguous octets where they lie
//!          v                                                   ask: another request
//!   poll_transmit -> Outgoing -> Frames::write(slot)           close -> Report, and a reset is queued
//! ```
//!
//! # What holds
//!
//! - Whatever a network does to segments, what is read is what the host sent, in order, from the first octet on: the first to
//!   write an octet wins.
//! - Each flow gives one [`Report`], from [`Flows::close`], with why it ended and how far it came. At the end of a scan the
//!   rest is closed place by place: see [`Flows::at`].
//! - After [`Flows::new`] nothing allocates. All memory is bounded and [stated](Settings::memory); a flow without data takes
//!   [`FLOW_LEN`] octets, everything included.
//! - Nothing that a stranger sends ends or changes a flow unless it has guessed sequence numbers: see `flow/receiving.rs`.
//!
//! # How a receiver drives it
//!
//! One table a receiver thread, for a flow belongs to the receiver that saw its SYN-ACK. Time and frames are arguments.
//!
//! 1. For each frame: [`Incoming::of`] the packet, then [`Flows::handle`]. [`Handled::Data`] and [`Handled::Ended`] go to who
//!    asked, who reads [`Flows::data`] in place and, sooner or later, closes. A [`Handled::Stranger`] that is a SYN-ACK is
//!    validated as in a SYN scan and [opens](Flows::open) a flow if it is the first answer of its target; another SYN-ACK
//!    with a valid cookie, or a later segment whose acknowledgement number lies within a request's length of the cookie, is
//!    [refused](Flows::refuse). ICMP errors go to [`Flows::unreachable`] first.
//! 2. After a batch of frames, or at [`Flows::poll_timeout`]: [`Flows::poll_ended`] until `None`.
//! 3. Then [`Flows::pending`] tokens of [`Class::Flow`](crate::governor::Class::Flow) are asked of the governor, and for each
//!    one got [`Flows::poll_transmit`] and [`Frames::write`] fill a slot; tokens that found nothing to send are put back.
//!    Acknowledgements that wait become one, so a governor that gives little makes few packets and not old ones.
//!
//! The SYN must be of a [profile](crate::template::TcpProfile) without timestamps, and the port guarded, or the kernel resets
//! what it does not know.

mod assembly;
mod buffers;
mod flow;
mod flows;
#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
mod incoming;
mod index;
mod outgoing;
mod report;
mod seq;
mod settings;
mod terms;
mod transmit;

pub use self::{
    flows::{About, Counts, FlowId, Flows, Handled, Opening, Refused},
    incoming::Incoming,
    outgoing::{Frames, Outgoing, Requests},
    report::{End, Report, Stage},
    settings::{FlowsError, Settings},
};

/// Octets of memory that a flow takes at most before it has data: itself, its timer, and its share of the index, which has two
/// to four entries a flow.
pub const FLOW_LEN: usize =
    size_of::<flow::Flow>() + crate::wheel::Wheel::ENTRY_LEN + 4 * size_of::<u64>();

const _: () = assert!(FLOW_LEN <= 256);

#[cfg(test)]
mod tests;

//! Where frames leave and arrive.
//!
//! A link is two halves, chosen separately and each owned by one thread: [`Tx`] and [`Rx`]. Frames are built in the
//! slots that the sender half lends out and parsed where the receiver half shows them: no copy in between.
//!
//! ```text
//! Tx:  frame(0..n)  build in place  ->  send(lens)  ->  Sent { sent, dropped }
//! Rx:  receive(wait, |frame| ...)   <-  the kernel's ring, or the simulated wire
//! ```
//!
//! # What holds
//!
//! - `sent + dropped == lens.len()` for every [`Tx::send`] that returns `Ok`: nothing is lost without a number.
//! - A frame shown by [`Rx::receive`] was received from the wire: frames of our own are never shown.
//! - Neither half allocates after it was opened.

pub mod allowance;
mod any;
mod digest;
pub mod fence;
pub mod interface;
pub mod packet;
pub mod sim;
pub(crate) mod sys;
pub mod xdp;

use std::{io, time::Duration};

pub use self::{
    any::{AnyRx, AnyTx},
    digest::Digest,
};
use crate::time::Instant;

/// Most frames that one [`Tx::send`] takes: larger batches are slower on Linux (measured: 512 costs more than 64).
pub const MAX_BATCH: usize = 64;

/// The sending half of a link.
pub trait Tx: Send {
    /// How many frames one batch holds, at most [`MAX_BATCH`].
    fn slots(&self) -> usize;

    /// The bytes of one slot, `slot < self.slots()`. What was written stays there until it is overwritten, so constant
    /// bytes are written once per slot and not once per frame.
    ///
    /// # Panics
    ///
    /// When `slot >= self.slots()`.
    fn frame(&mut self, slot: usize) -> &mut [u8];

    /// Sends the first `lens[i]` octets of slot `i` for each `i` in `0..lens.len()`, in order.
    ///
    /// Waits while the device is busy, up to a bound of the link; a frame that could not be sent by then is dropped and
    /// counted.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the link can never send again.
    ///
    /// # Panics
    ///
    /// When there are more lengths than slots, or a length exceeds its slot.
    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError>;

    /// How many different places the slots are, one after the other: constant bytes are written once in each.
    fn places(&self) -> usize {
        self.slots()
    }

    /// Which of its [places](Self::places) a slot is until the next [`send`](Self::send).
    fn place(&self, slot: usize) -> usize {
        slot
    }

    /// How many frames that earlier calls took were lost on this machine after that, and were not told before.
    fn lost(&mut self) -> u64 {
        0
    }

    /// Waits until what it took has left, a second at most: [`lost`](Self::lost) tells of all of it then.
    fn drain(&mut self) {}
}

/// What became of one batch.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sent {
    /// Frames that the link took.
    pub sent: u32,
    /// Frames that it did not take in time, or refused.
    pub dropped: u32,
    /// The errno of the last drop, 0 without one.
    pub errno: i32,
    /// How long the link waited for room.
    pub waited: Duration,
}

/// A received frame where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The octets captured, from the first of the link layer.
    pub bytes: &'a [u8],
    /// When it arrived, by the most exact clock that the link has.
    pub at: Instant,
    /// Its length on the wire, which exceeds `bytes` when the link cut it.
    pub wire_len: u32,
    /// What `bytes` are.
    pub form: Form,
}

impl<'a> Frame<'a> {
    /// A frame that the link shows as it came.
    #[inline]
    pub fn whole(bytes: &'a [u8], at: Instant, wire_len: u32) -> Self {
        Self { bytes, at, wire_len, form: Form::Whole }
    }
}

/// What a link shows of a frame.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Its octets.
    Whole,
    /// A [`Digest`] of an answer that the link has proved to be ours.
    Digest,
}

/// What a link has judged by itself since it was opened, and does not show.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Screened {
    /// Segments to our ports whose cookie is wrong.
    pub cookie: u64,
    /// Acknowledgements of other connections.
    pub challenge: u64,
    /// Segments of a kind that is no answer.
    pub kind: u64,
    /// Resets that it made: one for each SYN-ACK that proved itself.
    pub resets: u64,
    /// Of those, the ones that the device had no room for, as far as its driver tells.
    pub resets_lost: u64,
}

/// The receiving half of a link.
pub trait Rx: Send {
    /// Shows every frame that is there to `take`, waiting up to `wait` for the first; returns how many there were.
    ///
    /// # Errors
    ///
    /// [`LinkError`] when the link can never receive again.
    fn receive(&mut self, wait: Duration, take: impl FnMut(Frame<'_>)) -> Result<usize, LinkError>;

    /// Frames that arrived and were lost before they could be shown, since the link was opened. While frames come this may be a
    /// few milliseconds old, as what [`screened`](Self::screened) tells.
    fn ring_drops(&mut self) -> u64;

    /// What it has judged by itself: nothing, where each frame is shown.
    fn screened(&mut self) -> Screened {
        Screened::default()
    }

    /// Makes both tell of all there was until now.
    fn recount(&mut self) {}
}

/// What the first octets of a frame are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum LinkLayer {
    /// An Ethernet header (loopback devices too, whose addresses are all zero).
    Ethernet,
    /// The IP header itself: tun devices and the like.
    Ip,
}

/// Why a link cannot be opened or go on. The texts name the mend.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The process may not open packet sockets.
    #[error(
        "opening a packet socket needs CAP_NET_RAW: run with sudo, or: sudo setcap cap_net_raw,cap_net_admin+ep $(command -v mrpf)"
    )]
    Permission,
    /// There is no such interface.
    #[error("there is no interface {name}; there are: {known}")]
    NoInterface {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The interface cannot carry a scan as it is.
    #[error("interface {name} {why}")]
    Unusable {
        /// The interface.
        name: String,
        /// What is wrong and what mends it.
        why: String,
    },
    /// The interface went down or away while it was in use.
    #[error(
        "interface {name} went away or down during the scan ({source}); what was found until then is kept"
    )]
    Gone {
        /// The interface.
        name: String,
        /// The system's word for it.
        source: io::Error,
    },
    /// A fence is set and this namespace has a way out.
    #[error(
        "MRPF_FENCE=lab is set, so links open only in a namespace whose routes all stay in the lab: {why}. Run inside `mrpf lab run -- ...`, or run the installed binary without MRPF_FENCE"
    )]
    Fenced {
        /// The route or interface that leads out.
        why: String,
    },
    /// The variable that raises the fence has a value that means nothing.
    #[error("MRPF_FENCE={value:?} means nothing: set it to lab, or unset it")]
    UnknownFence {
        /// Its value.
        value: String,
    },
    /// The process may not load BPF programs.
    #[error(
        "the XDP link needs CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW: run with sudo, or: sudo setcap cap_net_raw,cap_net_admin,cap_bpf,cap_perfmon+ep $(command -v mrpf); or take --link packet"
    )]
    NoBpf,
    /// Another XDP program is on the interface, which has room for one.
    #[error(
        "interface {name} has an XDP program already, of another scan or another tool: end what put it there (sudo bpftool net show dev {name}); if nothing that runs holds it: sudo ip link set dev {name} xdp off, or xdpgeneric off; or take --link packet"
    )]
    Occupied {
        /// The interface.
        name: String,
    },
    /// The kernel did not take a BPF program of ours.
    #[error(
        "{what}: {why}; it needs Linux 5.18 or later with CONFIG_BPF_SYSCALL, without it take --link packet"
    )]
    Program {
        /// What was asked of the kernel.
        what: &'static str,
        /// Its answer.
        why: String,
    },
    /// The system refused something else.
    #[error("{what}: {source}")]
    Io {
        /// What was asked of the system.
        what: &'static str,
        /// Its answer.
        source: io::Error,
    },
}

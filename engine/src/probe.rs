//! The contract between the engine and a scanner, after zmap's four steps.
//!
//! ```text
//! prepare   once per slot and family  the bytes that never change
//! make      per target and attempt    patches the slot in place
//! validate  per received packet       is it an answer to us? from the bytes alone
//! classify  per valid answer          what does it say?
//! ```

use std::fmt;

use crate::{
    link::Digest,
    sources::Family,
    target::Target,
    wire::{MacAddr, Packet},
};

/// How many kinds of answers are told apart in counters.
pub const KINDS: usize = 4;

/// One frame to be made.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// Whom to ask.
    pub target: Target,
    /// Which try this is, from 0. Attempt `a` leaves from the `a`-th part of the source ports.
    pub attempt: u8,
    /// The hardware address of the next hop; ignored on links without one.
    pub next_hop: MacAddr,
}

/// A reply that proved itself ours: which probe it answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Claim {
    /// Whom we asked.
    pub target: Target,
    /// Which try is answered, from 0.
    pub attempt: u8,
}

/// Why a received packet is not an answer to us. Anyone can cause one, so it is counted and nothing else.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Invalid {
    /// An acknowledgement of another connection (RFC 5961, section 5: a challenge ACK). The next attempt leaves from
    /// another source port, which a host that keeps an old connection on this one has no reason to challenge.
    Challenge,
    /// It is addressed to us, but the number that only an answer to us can carry is wrong.
    Cookie,
    /// Its checksum is wrong, or its end is missing.
    Damaged,
    /// A protocol or a kind of packet that is never an answer to this probe.
    Kind,
    /// It is not for our address and source ports.
    NotForUs,
}

/// What a scanner asks and how it reads the answers. One value is shared by the sender and the receiver thread.
pub trait Probe: fmt::Debug + Send + Sync + 'static {
    /// What one answer says. Kept small: it crosses a bounded queue by value.
    type Reply: fmt::Debug + Send + 'static;

    /// What a closing frame is made from.
    type Closing: Copy + fmt::Debug + Send + 'static;

    /// The length of the longest probe frame: slots have at least as much.
    fn frame_len(&self) -> usize;

    /// Writes into a slot what [`make`](Self::make) leaves alone in probes of targets of `family`.
    fn prepare(&self, slot: &mut [u8], family: Family);

    /// Patches a slot prepared for the family of the target so that it asks `shot`; returns the length of the frame.
    fn make(&self, slot: &mut [u8], shot: &Shot) -> u16;

    /// Whether `packet` answers a probe of ours, from its bytes alone.
    ///
    /// # Errors
    ///
    /// The reason why not, for the counters.
    fn validate(&self, packet: &Packet<'_>) -> Result<Claim, Invalid>;

    /// What a packet that [`validate`](Self::validate) accepted says.
    fn classify(&self, packet: &Packet<'_>) -> Self::Reply;

    /// Which probe is answered by what a [`Digest`] tells, and of which [kind](Self::kind) the answer is. Only of answers that
    /// proved themselves in the link, in scans that [tell](crate::scan::Settings::tell) nothing.
    ///
    /// # Errors
    ///
    /// Why it answers no probe of ours, for the counters.
    fn read_digest(&self, _digest: &Digest) -> Result<(Claim, usize), Invalid> {
        Err(Invalid::Kind)
    }

    /// Of which kind an answer is, below [`KINDS`]: what is left of it in a scan that [tells](crate::scan::Settings::tell) nothing.
    fn kind(&self, _reply: &Self::Reply) -> usize {
        0
    }

    /// What must be sent to end what this answer left open at the host (a RST after a SYN-ACK); `None` where nothing was
    /// left open.
    fn closing(&self, packet: &Packet<'_>) -> Option<Self::Closing>;

    /// Writes a whole closing frame into a slot, whatever it held, and returns the length of the frame.
    fn make_closing(&self, slot: &mut [u8], closing: &Self::Closing) -> u16;
}

/// A probe that asks to open TCP connections: what a [`Talker`](crate::scan::Talker) needs to know of it beside the contract.
pub trait Connects: Probe {
    /// What the SYN from `local_port` to `remote` carried.
    fn syn(&self, remote: Target, local_port: u16) -> Syn;

    /// The packet that an ICMP error for us quotes, if it says that nothing arrives there: to whom, from which port of ours, and
    /// its sequence number where the quote is that long. Whether we sent such a packet is not asked here.
    fn quoted(&self, packet: &Packet<'_>) -> Option<(Target, u16, Option<u32>)>;
}

/// See [`Connects::syn`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Syn {
    /// Its sequence number.
    pub seq: u32,
    /// Its identification, or flow label.
    pub label: u32,
}

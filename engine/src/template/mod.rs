//! Frames made once and patched for each target.
//!
//! A template holds a whole frame with nothing in the fields that change, and the checksum of that. [`SynTemplate::prepare`] copies the
//! constant bytes into a slot of the link; [`SynTemplate::patch`] writes the fields of one probe and both checksums, each
//! the constant part plus what was written (RFC 1071, section 2; RFC 1624 does the same to a checksum that is already
//! there).
//!
//! ```text
//!  ethernet 14 (+4)   [to......] from       type
//!  ipv4     20        45 00 len [id] DF ttl 06 [sum] from      [to.......]
//!  tcp      20        [from] [to] [seq.....] ack      off fl win [sum] urg
//!  options  0..20     mss nop ws ... [ts_val]
//!                     [..] is patched
//!
//!  or, in place of ipv4, with no checksum of its own:
//!  ipv6     40        6 00 [label] len 06 hop-limit from [to.......]
//! ```
//!
//! # What holds
//!
//! - `patch` depends on its arguments alone, so a slot may be patched any number of times in any order.
//! - It allocates nothing and reads nothing back. A slot that is too short panics.
//!
//! A segment of a live connection differs from the next in length too, so [`SegmentTemplate::write`] writes the whole frame. A
//! datagram does as well: [`DatagramTemplate::payload`] shows where in the slot what it says goes, and
//! [`DatagramTemplate::finish`] writes the headers before it.
//!
//! Not general: it patches what a probe changes and nothing else.

mod address;
mod arp;
mod datagram;
mod frame;
mod ndp;
mod rst;
mod segment;
mod syn;

pub use self::{
    address::Address,
    arp::arp_request,
    datagram::{DatagramFields, DatagramTemplate},
    ndp::{neighbour_advertisement, neighbour_solicitation},
    rst::{RstFields, RstTemplate},
    segment::{SegmentFields, SegmentTemplate},
    syn::{ProfileError, SynFields, SynTemplate, TcpProfile},
};
use crate::{link::LinkLayer, sources::Sources, wire::MacAddr};

/// Where our frames come from.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// What frames begin with.
    pub layer: LinkLayer,
    /// Our hardware address.
    pub source_mac: MacAddr,
    /// The VLAN to tag frames with, 12 bits; ignored on links without Ethernet.
    pub vlan: Option<u16>,
    /// Our addresses.
    pub sources: Sources,
}

//! What the options of a SYN and its SYN-ACK agree on.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::Settings;
use crate::{
    template::SegmentTemplate,
    wire::{
        tcp::Segment,
        tcp_options::{self, TcpOption},
    },
};

/// What a host takes in one segment that does not say (RFC 9293, section 3.7.1).
const MSS_V4: u16 = 536;
/// The same over IPv6.
const MSS_V6: u16 = 1_220;
/// The least that is believed: Linux draws the line there too.
const LEAST_MSS: u16 = 48;
/// The largest shift of a window (RFC 7323, section 2.3).
const MOST_SHIFT: u8 = 14;

/// See the module.
pub(super) struct Terms {
    pub(super) mss: u16,
    /// By how many bits windows of the host are shifted, and ours.
    pub(super) shifts: (u8, u8),
    pub(super) permits_sack: bool,
}

impl Terms {
    pub(super) fn of(syn_ack: &Segment<'_>, addr: IpAddr, settings: &Settings) -> Self {
        let (default, most) = match addr {
            IpAddr::V4(_) => (MSS_V4, SegmentTemplate::<Ipv4Addr>::MAX_PAYLOAD),
            IpAddr::V6(_) => (MSS_V6, SegmentTemplate::<Ipv6Addr>::MAX_PAYLOAD),
        };
        let mut terms = Self { mss: default, shifts: (0, 0), permits_sack: false };
        for option in tcp_options::iter(syn_ack.options_bytes()) {
            match (option, settings.profile.window_scale()) {
                (TcpOption::MaximumSegmentSize(mss), _) => terms.mss = mss.clamp(LEAST_MSS, most),
                (TcpOption::WindowScale(theirs), Some(ours)) => {
                    terms.shifts = (theirs.min(MOST_SHIFT), ours);
                }
                (TcpOption::SackPermitted, _) => {
                    terms.permits_sack = settings.profile.permits_sack();
                }
                _ => {}
            }
        }
        terms
    }
}

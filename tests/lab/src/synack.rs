//! A far end that answers at the cost of a few nanoseconds: an XDP program that makes a SYN-ACK of each SYN to a share of the
//! hosts, and drops everything else.
//!
//! ```text
//! s0 --- SYN -------> w0: synack --- host answers ------> SYN-ACK, sent back by XDP_TX
//!   <--- SYN-ACK ---           '---- it does not ------> counted, dropped
//!                              '---- RST --------------> counted, dropped
//!                              '---- ARP, ND ----------> the kernel
//! ```
//!
//! Which hosts of [`veth::HOSTS`](crate::veth::HOSTS) answer follows from their address alone ([`answers`]), at any port, so
//! what a scan should find is known exactly, but for what the devices lost on the way ([`Synack::lost`]). For s0 to take what
//! is sent back it needs an XDP program too: that of who scans, or a [`Pass`](crate::Pass).
//!
//! The program is `tests/lab/bpf/synack.bpf.c`. Never completes a handshake, and holds nothing for a host.

use std::{io, net::Ipv4Addr};

use mrpf_engine::link::interface::Interface;

use crate::{
    LabError, Namespace,
    error::asking,
    xdp::{Attached, Counters, Object, XdpError},
};

const OBJECT: Object =
    Object { program: "synack", octets: aya::include_bytes_aligned!("../bpf/synack.bpf.o") };

/// An XDP program that answers SYNs on its device, until this is dropped.
#[derive(Debug)]
pub struct Synack {
    _program: Attached,
    counters: Counters<6>,
    namespace: Namespace,
    device: Interface,
    /// What the device had no room for before.
    lost_before: u64,
}

/// What came to the device of a [`Synack`] since it was attached.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Answered {
    /// TCP SYNs to the hosts, answered or not: SYN set, ACK and RST not (RFC 9293), in a packet that is no fragment.
    pub syns: u64,
    /// Their octets, from the Ethernet header on, without the frame check sequence.
    pub octets: u64,
    /// Of the SYNs, those for which a SYN-ACK was made and given to the device.
    pub answered: u64,
    /// RSTs to the hosts.
    pub resets: u64,
    /// What else was dropped.
    pub others: u64,
    /// ARP and neighbour discovery (RFC 826, RFC 4861): let through.
    pub passed: u64,
}

/// Whether this host answers when `per_mille` of a thousand do. Hosts whose addresses follow one another answer in a pattern
/// that is as even as it can be; of all 65,536 those that answer are the share asked for, but for a few.
#[must_use]
pub const fn answers(addr: Ipv4Addr, per_mille: u32) -> bool {
    // Multiples of the golden ratio's share of 2^32 fill it evenly. The program has the same function.
    let spread = addr.to_bits().wrapping_mul(0x9e37_79b1) >> 16;
    (spread * 1_000) >> 16 < per_mille
}

impl Synack {
    /// Answers on `device` of `namespace` for `per_mille` of a thousand hosts from now on.
    ///
    /// # Errors
    ///
    /// [`XdpError::NeedsRoot`] for an ordinary user, and for root of a user namespace; [`XdpError::Attach`] when there is no
    /// such device or it has an XDP program already.
    pub fn attach(namespace: &Namespace, device: &str, per_mille: u32) -> Result<Self, XdpError> {
        let mut program = OBJECT.attach(&[("per_mille", &per_mille)], namespace, device)?;
        let found = namespace.run(|| Interface::by_name(device).map_err(io::Error::other))?;
        let mut synack = Self {
            counters: program.counters()?,
            _program: program,
            namespace: namespace.try_clone()?,
            device: found.map_err(asking(format!("looking for the device {device}")))?,
            lost_before: 0,
        };
        synack.lost_before = synack.lost()?;
        Ok(synack)
    }

    /// What came until now, all CPUs together.
    ///
    /// # Errors
    ///
    /// [`XdpError::Counts`] when the kernel refuses.
    pub fn counts(&self) -> Result<Answered, XdpError> {
        let [syns, octets, answered, resets, others, passed] = self.counters.sum()?;
        Ok(Answered { syns, octets, answered, resets, others, passed })
    }

    /// Answers that were made and that the device had no room for: its tx_dropped, which veth counts for what XDP sends back
    /// (linux/drivers/net/veth.c, veth_get_stats64).
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the kernel does not say.
    pub fn lost(&self) -> Result<u64, LabError> {
        let counters = self.namespace.run(|| self.device.counters().map_err(io::Error::other))?;
        let counters = counters.map_err(asking("reading the counters of a device"))?;
        Ok(counters.tx_dropped.saturating_sub(self.lost_before))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::veth;

    #[test]
    fn the_share_that_answers_is_the_share_asked_for() {
        let hosts = || {
            let (first, last) = (veth::HOSTS.first().to_bits(), veth::HOSTS.last().to_bits());
            (first..=last).map(Ipv4Addr::from_bits)
        };
        for per_mille in [0, 1, 10, 100, 500, 999, 1_000] {
            let expected = 65_536.0 * f64::from(per_mille) / 1_000.0;
            let answering = hosts().filter(|addr| answers(*addr, per_mille)).count();
            assert!((answering as f64 - expected).abs() <= 8.0, "{per_mille}: {answering}");
        }
        // Who answers in a smaller share answers in a larger one.
        assert!(hosts().all(|addr| !answers(addr, 10) || answers(addr, 100)));
    }
}

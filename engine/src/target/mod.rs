//! To be written by its owner; the one type that everything else needs stands here already.

use std::net::IpAddr;

/// One address and port to probe.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Target {
    /// The host.
    pub addr: IpAddr,
    /// The TCP or UDP port; 0 where the protocol has none.
    pub port: u16,
}

//! Which of our addresses a scan asks from: one of each family that it scans.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One of the two versions of the Internet Protocol.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Family {
    /// IPv4 (RFC 791).
    V4,
    /// IPv6 (RFC 8200).
    V6,
}

impl Family {
    /// The family of an address.
    #[inline]
    pub fn of(addr: &IpAddr) -> Self {
        match addr {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Our addresses, by family; `None` for a family that is not scanned.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Sources {
    /// For IPv4 targets.
    pub v4: Option<Ipv4Addr>,
    /// For IPv6 targets.
    pub v6: Option<Ipv6Addr>,
}

impl Sources {
    /// The address for targets of `family`.
    pub fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }

    /// Whether `addr` is one of ours.
    pub fn contains(&self, addr: IpAddr) -> bool {
        self.of(Family::of(&addr)) == Some(addr)
    }
}

impl From<Ipv4Addr> for Sources {
    fn from(addr: Ipv4Addr) -> Self {
        Self { v4: Some(addr), v6: None }
    }
}

impl From<Ipv6Addr> for Sources {
    fn from(addr: Ipv6Addr) -> Self {
        Self { v4: None, v6: Some(addr) }
    }
}

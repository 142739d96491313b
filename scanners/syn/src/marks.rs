//! What a probe is marked by, so that an answer shows which one it answers: without memory, from its bytes alone.
//!
//! ```text
//!  (target, attempt) -> source port -> cookie of (ours, theirs)
//!  answer: its ports and addresses -> attempt, and the cookie that it must show
//! ```

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use mrpf_engine::{
    cookie::Cookie,
    probe::{Claim, Invalid},
    target::Target,
    template::Address,
};

/// The source ports of a scan, cut into one part an attempt, so that an answer tells which attempt it answers.
///
/// ```text
/// first                                              first + count
///   |--- attempt 0 ---|--- attempt 1 ---|--- attempt 2 ---|
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct SourcePorts {
    first: u16,
    part: u16,
    attempts: u8,
}

impl SourcePorts {
    /// Cuts the `count` ports from `first` into `attempts` parts; `None` when there are too few, or they pass 65535.
    pub fn new(first: u16, count: u16, attempts: u8) -> Option<Self> {
        let part = count.checked_div(u16::from(attempts)).filter(|part| *part > 0)?;
        first.checked_add(count - 1)?;
        Some(Self { first, part, attempts })
    }

    /// The port from which `attempt` asks `target`. The same each time, and spread evenly over the targets.
    #[inline]
    pub(crate) fn pick(&self, addr: impl Asked, port: u16, attempt: u8) -> u16 {
        // Which port it is proves nothing (the cookie does), so a plain multiplicative hash is enough.
        let mixed = (addr.folded() ^ u32::from(port).rotate_left(16)).wrapping_mul(0x9e37_79b1);
        let within = ((u64::from(mixed) * u64::from(self.part)) >> 32) as u16;
        self.first + self.part * u16::from(attempt) + within
    }

    /// The attempt that asks `target` from `source`, if one does.
    #[inline]
    pub(crate) fn attempt(&self, addr: impl Asked, port: u16, source: u16) -> Option<u8> {
        let attempt = source.checked_sub(self.first)? / self.part;
        let attempt = u8::try_from(attempt).ok().filter(|attempt| *attempt < self.attempts)?;
        (self.pick(addr, port, attempt) == source).then_some(attempt)
    }
}

/// An address of either family, as far as asking it goes. Only [`Ipv4Addr`] and [`Ipv6Addr`] are one.
pub trait Asked: Address + Into<IpAddr> {
    /// 32 bits that differ between neighbours.
    fn folded(self) -> u32;

    /// [`Cookie::v4`] or [`Cookie::v6`].
    fn cookie(cookie: &Cookie, ours: (Self, u16), theirs: (Self, u16)) -> u64;
}

impl Asked for Ipv4Addr {
    #[inline]
    fn folded(self) -> u32 {
        self.to_bits()
    }

    #[inline]
    fn cookie(cookie: &Cookie, ours: (Self, u16), theirs: (Self, u16)) -> u64 {
        cookie.v4(ours, theirs)
    }
}

impl Asked for Ipv6Addr {
    /// Hosts differ in the lower half and networks in the upper, so neither may cancel the other.
    #[inline]
    fn folded(self) -> u32 {
        let bits = self.to_bits();
        let mixed = (bits as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (bits >> 64) as u64;
        (mixed ^ mixed >> 32) as u32
    }

    #[inline]
    fn cookie(cookie: &Cookie, ours: (Self, u16), theirs: (Self, u16)) -> u64 {
        cookie.v6(ours, theirs)
    }
}

/// The source ports of a scan and the key of its cookies.
#[derive(Debug)]
pub struct Marks {
    ports: SourcePorts,
    cookie: Cookie,
}

impl Marks {
    /// Marks from `ports`, keyed by `cookie`.
    pub fn new(ports: SourcePorts, cookie: Cookie) -> Self {
        Self { ports, cookie }
    }

    /// The port from which `attempt` asks `theirs`, and the cookie that it carries.
    #[inline]
    pub fn of<A: Asked>(&self, ours: A, theirs: (A, u16), attempt: u8) -> (u16, u64) {
        let source_port = self.ports.pick(theirs.0, theirs.1, attempt);
        (source_port, self.cookie((ours, source_port), theirs))
    }

    /// Which probe an answer of `theirs` to our `source_port` would answer, and the cookie that it has to show.
    ///
    /// # Errors
    ///
    /// [`Invalid::NotForUs`] when nothing is asked of `theirs` from there.
    #[inline]
    pub fn read<A: Asked>(
        &self,
        ours: A,
        theirs: (A, u16),
        source_port: u16,
    ) -> Result<(Claim, u64), Invalid> {
        Ok((self.claim(theirs, source_port)?, self.cookie((ours, source_port), theirs)))
    }

    /// As [`read`](Self::read), where the link has looked at the cookie.
    ///
    /// # Errors
    ///
    /// [`Invalid::NotForUs`] when nothing is asked of `theirs` from there.
    #[inline]
    pub fn claim<A: Asked>(&self, theirs: (A, u16), source_port: u16) -> Result<Claim, Invalid> {
        let (addr, port) = theirs;
        let attempt = self.ports.attempt(addr, port, source_port).ok_or(Invalid::NotForUs)?;
        Ok(Claim { target: Target { addr: addr.into(), port }, attempt })
    }

    /// The cookie itself, for a link that looks at it.
    pub fn key(&self) -> &Cookie {
        &self.cookie
    }

    /// The cookie of what is sent from `ours` to `theirs`.
    #[inline]
    pub fn cookie<A: Asked>(&self, ours: (A, u16), theirs: (A, u16)) -> u64 {
        A::cookie(&self.cookie, ours, theirs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_source_port_tells_the_attempt(
            addr: u32,
            addr_6: u128,
            port: u16,
            first in 1_024..60_000_u16,
            count in 16..512_u16,
            attempts in 1..=16_u8,
        ) {
            fn check(ports: SourcePorts, addr: impl Asked, port: u16, first: u16, count: u16) {
                for attempt in 0..ports.attempts {
                    let source = ports.pick(addr, port, attempt);
                    assert!(source >= first && source < first + count);
                    assert_eq!(ports.attempt(addr, port, source), Some(attempt));
                }
                assert_eq!(ports.attempt(addr, port, first - 1), None);
                assert_eq!(ports.attempt(addr, port, first + count), None);
            }
            let ports = SourcePorts::new(first, count, attempts).unwrap();
            check(ports, Ipv4Addr::from(addr), port, first, count);
            check(ports, Ipv6Addr::from(addr_6), port, first, count);
        }
    }

    #[test]
    fn all_ports_of_a_part_are_used() {
        let ports = SourcePorts::new(61_000, 256, 4).unwrap();
        let check = |name: &str, pick: &dyn Fn(u32) -> u16| {
            let mut used = [0_u32; 64];
            for host in 0..65_536_u32 {
                used[usize::from(pick(host) - 61_064)] += 1;
            }
            assert!(used.iter().all(|n| (700..1_400).contains(n)), "{name}: {used:?}");
        };
        check("hosts", &|host| ports.pick(Ipv4Addr::from(0xc613_0000 + host), 80, 1));
        let prefix = 0x2001_0db8_u128 << 96;
        let pick = |host| ports.pick(Ipv6Addr::from(host), 80, 1);
        check("hosts of one network", &|host| pick(prefix | u128::from(host)));
        check("networks", &|host| pick(prefix | u128::from(host) << 64 | 1));
        check("far hosts", &|host| pick(prefix | u128::from(host) << 32));
    }

    #[test]
    fn too_few_ports_are_refused() {
        assert_eq!(SourcePorts::new(61_000, 2, 3), None);
        assert_eq!(SourcePorts::new(65_500, 256, 1), None);
        assert_eq!(SourcePorts::new(61_000, 256, 0), None);
    }
}

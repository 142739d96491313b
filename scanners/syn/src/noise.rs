//! Hosts that answer on every port: tarpits, middleboxes, proxies. They are not left out, they are called what they are.

use std::{collections::HashMap, net::IpAddr};

/// Open ports from which on a host can be called noise.
const LEAST_OPEN: u32 = 10;
/// Hosts remembered at most (about 40 MB); what open hosts come after them are not judged.
const MOST_HOSTS: usize = 1 << 20;

/// Counts open ports by host, for scans of ten ports and more.
///
/// A host is noise once at least ten of its ports, and nine in ten of those probed so far, are open. How many of its ports
/// were probed is not counted but inferred, since the permutation spreads the ports of each host evenly over the scan, and
/// from below by the ports that answered otherwise.
///
/// Ports named with their addresses (`ip:port`) are not counted among a host's ports, so a list of such pairs has no noise.
#[derive(Debug)]
pub(crate) struct Noise {
    ports: u32,
    hosts: HashMap<IpAddr, Host>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Host {
    open: u32,
    /// Closed or unreachable, since the first was open.
    others: u32,
    is_noise: bool,
}

/// What an open port says about its host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judgement {
    /// Nothing.
    Quiet,
    /// With this port the host became noise.
    New,
    /// It was noise already.
    Known,
}

impl Noise {
    /// For a scan that probes `ports` ports of each host.
    pub(crate) fn new(ports: u32) -> Self {
        Self { ports, hosts: HashMap::new() }
    }

    /// Counts an open port of `host` when `share` of the scan's targets have been probed.
    pub(crate) fn open(&mut self, host: IpAddr, share: f64) -> Judgement {
        if self.ports < LEAST_OPEN
            || self.hosts.len() >= MOST_HOSTS && !self.hosts.contains_key(&host)
        {
            return Judgement::Quiet;
        }
        let seen = self.hosts.entry(host).or_default();
        if seen.is_noise {
            return Judgement::Known;
        }
        seen.open += 1;
        let probed = (f64::from(self.ports) * share).max(f64::from(seen.open + seen.others));
        if seen.open < LEAST_OPEN || f64::from(seen.open) < 0.9 * probed {
            return Judgement::Quiet;
        }
        seen.is_noise = true;
        Judgement::New
    }

    /// Counts a port of `host` that answered and is not open.
    pub(crate) fn other(&mut self, host: IpAddr) {
        if let Some(seen) = self.hosts.get_mut(&host) {
            seen.others += 1;
        }
    }

    /// Whether `host` was called noise.
    pub(crate) fn is_noise(&self, host: IpAddr) -> bool {
        self.hosts.get(&host).is_some_and(|host| host.is_noise)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 19, 0, 1));

    /// At which open port of a scan of `ports` ports a host with `open` open ports among them becomes noise.
    fn becomes_noise(ports: u32, open: u32) -> Option<u32> {
        let mut noise = Noise::new(ports);
        // Open ports spread evenly over the scan, as the permutation spreads them.
        (1..=open).find(|n| noise.open(HOST, f64::from(*n) / f64::from(open)) == Judgement::New)
    }

    #[test]
    fn ten_open_and_nine_in_ten_make_noise() {
        assert_eq!(becomes_noise(9, 9), None);
        assert_eq!(becomes_noise(10, 10), Some(10));
        assert_eq!(becomes_noise(1_000, 1_000), Some(10));
        assert_eq!(becomes_noise(1_000, 890), None);
        assert_eq!(becomes_noise(1_000, 20), None);
    }

    /// Chance may bring ten open ports of a host early; what it says of the others counts against it.
    #[test]
    fn ports_that_are_closed_count_even_before_their_share() {
        let mut noise = Noise::new(1_000);
        for _ in 0..9 {
            assert_eq!(noise.open(HOST, 0.005), Judgement::Quiet);
            noise.other(HOST);
        }
        assert_eq!(noise.open(HOST, 0.005), Judgement::Quiet);
        assert!(!noise.is_noise(HOST));
    }

    #[test]
    fn noise_stays_noise() {
        let mut noise = Noise::new(10);
        for _ in 0..10 {
            noise.open(HOST, 1.0);
        }
        assert_eq!(noise.open(HOST, 1.0), Judgement::Known);
        assert!(noise.is_noise(HOST));
    }
}

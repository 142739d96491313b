//! From a description to a scan.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher,
    net::Ipv4Addr,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mrpf_engine::{
    cookie::Cookie,
    link::{
        LinkError,
        packet::{Filter, PacketRx, PacketTx, RingSize},
        sim::Network,
    },
    neighbour::{self, NeighbourError, NextHops},
    port_guard::{PortGuard, PortGuardError},
    scan::{Failure, Running, Settings, SettingsError, Shared, Simulated},
    sources::Sources,
    target::{Shard, TargetError, Targets, TargetsBuilder, Walk},
    template::{Ends, TcpProfile},
    time::{Clock, Instant},
    wire::MacAddr,
};
use mrpf_records::State;

use crate::{
    probe::{SourcePorts, SynProbe},
    scan::{Facts, Scan},
};

/// Which states give records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Show([bool; 4]);

impl Show {
    /// No records at all: counters only.
    pub const NONE: Self = Self([false; 4]);
    /// Every state.
    pub const ALL: Self = Self([true; 4]);
    /// Open ports alone.
    pub const OPEN: Self = Self([true, false, false, false]);

    /// These and `state`.
    #[must_use]
    pub fn and(mut self, state: State) -> Self {
        self.0[state as usize] = true;
        self
    }

    /// Whether `state` gives a record.
    pub fn shows(self, state: State) -> bool {
        self.0[state as usize]
    }

    /// Whether any state does.
    pub fn any(self) -> bool {
        self != Self::NONE
    }
}

impl Default for Show {
    fn default() -> Self {
        Self::OPEN
    }
}

impl std::str::FromStr for Show {
    type Err = ShowError;

    /// A comma list of `open`, `closed`, `unreachable`, `silent`, or `all`, or `none`.
    fn from_str(text: &str) -> Result<Self, ShowError> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        text.split(',').try_fold(Self::NONE, |show, word| {
            let state = State::ALL.into_iter().find(|state| state.as_str() == word);
            state.map(|state| show.and(state)).ok_or_else(|| ShowError(word.to_owned()))
        })
    }
}

/// A state that does not exist.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no state: give a comma list of open, closed, unreachable, silent, or all, or none"
)]
pub struct ShowError(String);

/// Why a scan cannot start.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The targets or ports.
    #[error(transparent)]
    Targets(#[from] TargetError),
    /// Rates, retries, cooldown.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// IPv6 is asked for.
    #[error(
        "{0} of the targets are IPv6 addresses, which this version does not scan yet: leave them out, or all at once with --exclude ::/0"
    )]
    Ipv6(u128),
    /// Source ports.
    #[error(
        "{count} source ports are too few for {attempts} attempts, or pass 65535: give a wider --source-ports"
    )]
    SourcePorts {
        /// How many there are.
        count: u16,
        /// How many attempts need one each.
        attempts: u8,
    },
    /// The interface or its link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Routes and hardware addresses.
    #[error(transparent)]
    Neighbour(#[from] NeighbourError),
    /// Holding our source ports.
    #[error(transparent)]
    PortGuard(#[from] PortGuardError),
    /// The system has no randomness to give.
    #[error("asking the system for a random key: {0}")]
    Random(String),
    /// The packet threads.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl ScanError {
    /// Whether the description is at fault, and not the machine.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Targets(_)
                | Self::Settings(_)
                | Self::Ipv6(_)
                | Self::SourcePorts { .. }
                | Self::PortGuard(
                    PortGuardError::Ephemeral { .. }
                        | PortGuardError::InUse { .. }
                        | PortGuardError::Privileged { .. }
                        | PortGuardError::Range { .. }
                )
                | Self::Link(LinkError::NoInterface { .. })
                | Self::Neighbour(
                    NeighbourError::Link(LinkError::NoInterface { .. })
                        | NeighbourError::NoTargets
                        | NeighbourError::NoSource { .. }
                        | NeighbourError::SourceElsewhere { .. }
                        | NeighbourError::TooMany { .. }
                        | NeighbourError::TwoInterfaces { .. }
                )
        )
    }
}

/// A scan to be. Every knob has the default of the command line.
#[derive(Debug, Default)]
pub struct Builder {
    targets: TargetsBuilder,
    settings: Settings,
    profile: TcpProfile,
    show: Show,
    seed: Option<u64>,
    shard: Shard,
    interface: Option<String>,
    source: Option<Ipv4Addr>,
    source_ports: Option<(u16, u16)>,
    gateway_mac: Option<MacAddr>,
    vlan: Option<u16>,
    network: Option<Network>,
}

/// Source ports held when none were asked for.
const SOURCE_PORTS: u16 = 256;

impl Builder {
    /// Adds a target: `203.0.113.0/24`, `203.0.113.1-203.0.113.9`, `203.0.113.7`, `203.0.113.7:443` or a host name.
    #[must_use]
    pub fn target(mut self, spec: impl Into<String>) -> Self {
        self.targets = self.targets.spec(spec);
        self
    }

    /// Adds the targets of a file, one a line; `-` is standard input.
    #[must_use]
    pub fn target_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.targets = self.targets.file(path);
        self
    }

    /// The ports of every target that names none: `80`, `80,443`, `8000-8100`, `-` for all.
    #[must_use]
    pub fn ports(mut self, ports: impl Into<String>) -> Self {
        self.targets = self.targets.ports(ports);
        self
    }

    /// Leaves out addresses.
    #[must_use]
    pub fn exclude(mut self, spec: impl Into<String>) -> Self {
        self.targets = self.targets.exclude(spec);
        self
    }

    /// Leaves out the addresses of a file.
    #[must_use]
    pub fn exclude_file(mut self, path: impl AsRef<Path>) -> Self {
        self.targets = self.targets.exclude_file(path.as_ref());
        self
    }

    /// Leaves out what is not in this file.
    #[must_use]
    pub fn scope_file(mut self, path: impl AsRef<Path>) -> Self {
        self.targets = self.targets.scope_file(path.as_ref());
        self
    }

    /// Scans special-purpose addresses too (private, loopback, multicast, documentation ...).
    #[must_use]
    pub fn allow_reserved(mut self, allow: bool) -> Self {
        self.targets = self.targets.allow_reserved(allow);
        self
    }

    /// Rate, retries, cooldown and the rest of the engine's settings.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Frames a second, all together.
    #[must_use]
    pub fn rate(mut self, rate: mrpf_engine::governor::Rate) -> Self {
        self.settings.rate = rate;
        self
    }

    /// Probes a second and host.
    #[must_use]
    pub fn host_rate(mut self, rate: NonZeroU64) -> Self {
        self.settings.host_rate = rate;
        self
    }

    /// Attempts after the first.
    #[must_use]
    pub fn retries(mut self, retries: u8) -> Self {
        self.settings.retries = retries;
        self
    }

    /// How long answers are taken after the last attempt.
    #[must_use]
    pub fn cooldown(mut self, cooldown: Duration) -> Self {
        self.settings.cooldown = cooldown;
        self
    }

    /// Which states give records.
    #[must_use]
    pub fn show(mut self, show: Show) -> Self {
        self.show = show;
        self
    }

    /// Whether a SYN-ACK is answered with a RST of ours; without one, hosts keep half-open connections for a minute.
    #[must_use]
    pub fn reset(mut self, reset: bool) -> Self {
        self.settings.close = reset;
        self
    }

    /// The TCP options and IP fields of the SYN.
    #[must_use]
    pub fn tcp_profile(mut self, profile: TcpProfile) -> Self {
        self.profile = profile;
        self
    }

    /// The seed of the order; random when not set.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Scans one part of the targets. The parts of one seed are disjoint and together the whole.
    #[must_use]
    pub fn shard(mut self, shard: Shard) -> Self {
        self.shard = shard;
        self
    }

    /// The interface; that of the route to the first target when not set.
    #[must_use]
    pub fn interface(mut self, name: impl Into<String>) -> Self {
        self.interface = Some(name.into());
        self
    }

    /// The source address, one of the interface's.
    #[must_use]
    pub fn source(mut self, source: Ipv4Addr) -> Self {
        self.source = Some(source);
        self
    }

    /// First and last source port.
    #[must_use]
    pub fn source_ports(mut self, first: u16, last: u16) -> Self {
        self.source_ports = Some((first, last));
        self
    }

    /// Sends everything to this hardware address, without asking for routes and neighbours.
    #[must_use]
    pub fn gateway_mac(mut self, mac: MacAddr) -> Self {
        self.gateway_mac = Some(mac);
        self
    }

    /// Tags each frame with an IEEE 802.1Q VLAN.
    #[must_use]
    pub fn vlan(mut self, vid: u16) -> Self {
        self.vlan = Some(vid);
        self
    }

    /// Scans a simulated network, under virtual time and without privileges.
    #[must_use]
    pub fn simulated(mut self, network: Network) -> Self {
        self.network = Some(network);
        self
    }

    /// Compiles the targets, opens the link and starts.
    ///
    /// # Errors
    ///
    /// [`ScanError`]; nothing has been sent then but, at most, ARP requests.
    pub fn build(mut self) -> Result<Scan, ScanError> {
        self.settings.silent = self.show.shows(State::Silent);
        let targets = std::mem::take(&mut self.targets).v4_of_names(true); // IPv6 is not scanned yet
        let targets = Arc::new(targets.build()?);
        let v6 = targets.v6_len();
        if v6 > 0 {
            return Err(ScanError::Ipv6(v6));
        }
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("order"));
        let walk = Walk::new(Arc::clone(&targets), seed, self.shard);
        match self.network.take() {
            Some(network) => self.build_simulated(&targets, walk, seed, network),
            None => self.build_packet(&targets, walk, seed),
        }
    }

    fn facts(
        &self,
        targets: &Targets,
        seed: u64,
        link: &'static str,
        source_ports: (u16, u16),
    ) -> Facts {
        Facts {
            link,
            interface: None,
            guard: None,
            excluded: targets.excluded(),
            hosts: targets.hosts(),
            ports: targets.ports().len().div_ceil(self.shard.n()),
            seed,
            began: Instant::START,
            source_ports,
        }
    }

    fn cut_ports(&self, (first, last): (u16, u16)) -> Result<SourcePorts, ScanError> {
        let attempts = self.settings.retries.saturating_add(1);
        let count = last.saturating_sub(first).saturating_add(1);
        SourcePorts::new(first, count, attempts).ok_or(ScanError::SourcePorts { count, attempts })
    }

    fn build_simulated(
        self,
        targets: &Arc<Targets>,
        walk: Walk,
        seed: u64,
        network: Network,
    ) -> Result<Scan, ScanError> {
        let ends = Ends {
            layer: network.layer(),
            source_mac: SIM_OURS,
            vlan: self.vlan,
            sources: self.source.unwrap_or(Ipv4Addr::new(198, 18, 0, 1)).into(),
        };
        let source_ports = self.source_ports.unwrap_or((61_000, 61_000 + SOURCE_PORTS - 1));
        let ports = self.cut_ports(source_ports)?;
        // The key follows from the seed, or a run could not be repeated.
        let mut key = [0x5a; 16];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let probe = SynProbe::new(&ends, self.profile, ports, Cookie::from_key(&key));
        let next_hops = NextHops::single(self.gateway_mac.unwrap_or(SIM_THEIRS));
        let (shared, found) = Shared::new(probe, walk, next_hops, ends.layer, self.settings)?;
        let facts = self.facts(targets, seed, "sim", source_ports);
        Ok(Scan::simulated(Simulated::new(shared, network), found, self.show, facts))
    }

    fn build_packet(
        self,
        targets: &Arc<Targets>,
        walk: Walk,
        seed: u64,
    ) -> Result<Scan, ScanError> {
        mrpf_engine::link::fence::enforce()?;
        mrpf_engine::link::fence::enforce_targets(targets)?;
        let route = neighbour::route_for(
            targets,
            self.interface.as_deref(),
            Sources { v4: self.source, v6: None },
            self.gateway_mac,
        )?;
        let interface = &route.interface;
        let ends = Ends {
            layer: interface.layer(),
            source_mac: interface.mac(),
            vlan: self.vlan,
            sources: route.sources,
        };
        // Before anything else is taken: it is what a user without privileges is refused.
        let mut tx = PacketTx::open(interface, SLOT_LEN)?;
        let guard = PortGuard::claim(route.sources, self.source_ports, SOURCE_PORTS)?;
        guard.self_test()?;
        let source_ports = guard.ports();
        let ports = self.cut_ports(source_ports)?;
        let before = interface.counters()?;
        let clock = Clock::start();
        let filter = Filter::new(ends.layer, route.sources, source_ports);
        let cookie = Cookie::from_os().map_err(|error| ScanError::Random(error.to_string()))?;
        let probe = SynProbe::new(&ends, self.profile, ports, cookie);
        let mut rx = PacketRx::open(interface, &filter, RingSize::default(), clock)?;
        let (next_hops, arp) = neighbour::resolve(
            targets,
            &route,
            &ends,
            self.settings.rate,
            &mut tx,
            &mut rx,
            &clock,
        )?;
        let (shared, found) = Shared::new(probe, walk, next_hops, ends.layer, self.settings)?;
        shared.count_neighbours(arp);
        let closing = PacketTx::open(interface, SLOT_LEN)?;
        let mut facts = self.facts(targets, seed, "packet", source_ports);
        facts.began = clock.now();
        facts.interface = Some((route.interface, before));
        facts.guard = Some(guard);
        let running = Running::start(Arc::clone(&shared), clock, tx, rx, closing)?;
        Ok(Scan::threads(running, shared, clock, found, self.show, facts))
    }
}

/// The longest frame of a SYN scan is a linux SYN with a VLAN tag, 78 octets.
const SLOT_LEN: usize = 128;
/// Hardware addresses of the simulated network.
const SIM_OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const SIM_THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_to_show_are_read() {
        assert_eq!("open".parse(), Ok(Show::OPEN));
        assert_eq!("all".parse(), Ok(Show::ALL));
        assert_eq!("none".parse(), Ok(Show::NONE));
        assert_eq!("open,silent".parse(), Ok(Show::OPEN.and(State::Silent)));
        assert!("opened".parse::<Show>().is_err());
        assert!("".parse::<Show>().is_err());
    }
}

//! From a description to a scan.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher as _},
    net::IpAddr,
    num::NonZeroU64,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use mrpf_engine::{
    link::{
        LinkError,
        sim::Network,
        xdp::{Refusal, Wish},
    },
    neighbour::NeighbourError,
    port_guard::{PortGuard, PortGuardError},
    scan::{Failure, Settings, SettingsError, Stop},
    sources::Sources,
    target::{Shard, TargetError, Targets, TargetsBuilder, Walk},
    tcp::FlowsError,
    template::TcpProfile,
    wire::MacAddr,
};
use mrpf_records::State;
use siphasher::sip::SipHasher24;

use crate::{
    course::Course,
    follow::{Close, Follow},
    scan::Scan,
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
    /// Connections to those who answer.
    #[error(transparent)]
    Flows(#[from] FlowsError),
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
    /// See [`Builder::expect_fingerprint`].
    #[error(
        "these are not the targets, ports, exclusions, seed and shard of the scan that is to go on"
    )]
    Changed,
    /// The interface or its link.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The link that was asked for, of which nothing was opened.
    #[error(transparent)]
    Refused(#[from] Refusal),
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
        if let Self::Refused(refusal) = self {
            return refusal.is_usage();
        }
        matches!(
            self,
            Self::Targets(_)
                | Self::Settings(_)
                | Self::Flows(_)
                | Self::Changed
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
                        | NeighbourError::LinkLocal { .. }
                        | NeighbourError::TooMany { .. }
                        | NeighbourError::TwoInterfaces { .. }
                        | NeighbourError::TwoSources { .. }
                )
        )
    }
}

/// A scan to be. Every knob has the default of the command line.
#[derive(Debug, Default)]
pub struct Builder {
    pub(crate) targets: TargetsBuilder,
    pub(crate) settings: Settings,
    pub(crate) profile: TcpProfile,
    pub(crate) show: Show,
    pub(crate) seed: Option<u64>,
    pub(crate) shard: Shard,
    pub(crate) interface: Option<String>,
    pub(crate) link: Wish,
    pub(crate) sources: Sources,
    pub(crate) expected: Option<u64>,
    pub(crate) source_ports: Option<(u16, u16)>,
    pub(crate) gateway_mac: Option<MacAddr>,
    pub(crate) vlan: Option<u16>,
    pub(crate) network: Option<Network>,
    pub(crate) start_at: u64,
    pub(crate) stop: Stop,
    pub(crate) guard: Option<PortGuard>,
}

impl Builder {
    /// Adds a target: `203.0.113.0/24`, `203.0.113.1-203.0.113.9`, `203.0.113.7`, `203.0.113.7:443`, `2001:db8::/120`,
    /// `[2001:db8::7]:443` or a host name, which stands for its IPv4 addresses, or its IPv6 ones where it has no others.
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

    /// As [`ports`](Self::ports), unless some were given.
    #[must_use]
    pub fn or_ports(mut self, ports: &str) -> Self {
        self.targets = self.targets.or_ports(ports);
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

    /// How many threads send, and how many receive; at low rates one of each is enough.
    #[must_use]
    pub fn threads(mut self, threads: u8) -> Self {
        self.settings.threads = threads;
        self
    }

    /// Begins at number `mark` of the order, which [`Scan::mark`] of an earlier scan gave: the same targets, seed and shard
    /// give the same order again. Answers to the earlier scan are not taken for ours, as the cookie's key is fresh.
    #[must_use]
    pub fn start_at(mut self, mark: u64) -> Self {
        self.start_at = mark;
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

    /// What frames are sent and received by: with [`Wish::Auto`], which is the default, whatever fits the rate and the machine. A scan
    /// that is asked for the XDP link and cannot have it is [refused](ScanError::Refused) before anything is opened.
    #[must_use]
    pub fn link(mut self, wish: Wish) -> Self {
        self.link = wish;
        self
    }

    /// The source address for targets of its family, one of the interface's.
    #[must_use]
    pub fn source(mut self, source: impl Into<IpAddr>) -> Self {
        match source.into() {
            IpAddr::V4(source) => self.sources.v4 = Some(source),
            IpAddr::V6(source) => self.sources.v6 = Some(source),
        }
        self
    }

    /// Refuses to start unless the scan has this [fingerprint](Scan::fingerprint).
    #[must_use]
    pub fn expect_fingerprint(mut self, fingerprint: u64) -> Self {
        self.expected = Some(fingerprint);
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

    /// Sends from the ports of a scan that is over and [gave them away](Course::hand_over), on which the kernel has been silent
    /// all along.
    #[must_use]
    pub fn port_guard(mut self, guard: PortGuard) -> Self {
        self.guard = Some(guard);
        self
    }

    /// Describes a further pass: the pace, packets and link of this scan, ended by the same handle, and no targets yet. Pass
    /// `number` of a seed has an order and, on a simulated network, cookies of its own.
    #[must_use]
    pub fn pass(&self, number: u64) -> Self {
        Self {
            settings: self.settings,
            profile: self.profile,
            seed: self.seed.map(|seed| seed.wrapping_add(number)),
            interface: self.interface.clone(),
            link: self.link,
            sources: self.sources,
            source_ports: self.source_ports,
            gateway_mac: self.gateway_mac,
            vlan: self.vlan,
            network: self.network.clone(),
            stop: self.stop.clone(),
            ..Self::default()
        }
    }

    /// Rate, retries, cooldown and the rest, as they were given.
    pub fn pace(&self) -> &Settings {
        &self.settings
    }

    /// The handle that will end the scan.
    pub fn handle(&self) -> Stop {
        self.stop.clone()
    }

    /// The seed, if one was given.
    pub fn given_seed(&self) -> Option<u64> {
        self.seed
    }

    /// The simulated network, if one was given, for who puts a scan on it by [its ends](Self::simulated_ends).
    pub fn take_network(&mut self) -> Option<Network> {
        self.network.take()
    }

    /// Compiles the targets, of which none are left here.
    ///
    /// # Errors
    ///
    /// [`ScanError::Targets`].
    pub fn take_targets(&mut self) -> Result<Targets, ScanError> {
        Ok(std::mem::take(&mut self.targets).v4_of_names(true).build()?)
    }

    /// A key for what else is to look random in this scan: from the system or, on a simulated network, from the seed.
    ///
    /// # Errors
    ///
    /// [`ScanError::Random`] when the system has none to give.
    pub fn key(&self, purpose: &str) -> Result<[u8; 16], ScanError> {
        let mut key = [0; 16];
        match (&self.network, self.seed) {
            (Some(_), Some(seed)) => {
                for (half, octets) in key.chunks_exact_mut(8).enumerate() {
                    let mut hasher = SipHasher24::new_with_keys(seed, half as u64);
                    hasher.write(purpose.as_bytes());
                    octets.copy_from_slice(&hasher.finish().to_le_bytes());
                }
            }
            _ => getrandom::fill(&mut key).map_err(|error| ScanError::Random(error.to_string()))?,
        }
        Ok(key)
    }

    /// Whether targets that never answer are found too.
    #[must_use]
    pub fn silent(mut self, silent: bool) -> Self {
        self.settings.silent = silent;
        self
    }

    /// Compiles the targets, opens the link and starts.
    ///
    /// # Errors
    ///
    /// [`ScanError`]; nothing has been sent then but, at most, ARP requests.
    pub fn build(mut self) -> Result<Scan, ScanError> {
        self.settings.silent = self.show.shows(State::Silent);
        let show = self.show;
        Ok(Scan::new(self.build_with(&mut Close)?, show))
    }

    /// As [`build`](Self::build), for a scan that makes something else of its answers; which results are wanted is
    /// said by [`settings`](Self::settings) then.
    ///
    /// # Errors
    ///
    /// [`ScanError`]; nothing has been sent then but, at most, ARP requests.
    pub fn build_with<F: Follow>(mut self, follow: &mut F) -> Result<Course<F>, ScanError> {
        let targets = Arc::new(self.take_targets()?);
        follow.regard(&targets);
        let seed = self.seed.unwrap_or_else(|| RandomState::new().hash_one("order"));
        let walk = Walk::new(Arc::clone(&targets), seed, self.shard).starting_at(self.start_at);
        if self.expected.is_some_and(|expected| expected != walk.fingerprint()) {
            return Err(ScanError::Changed);
        }
        match self.network.take() {
            Some(network) => self.build_simulated(&*follow, &targets, walk, seed, network),
            None => self.build_packet(&*follow, &targets, walk, seed),
        }
    }
}

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

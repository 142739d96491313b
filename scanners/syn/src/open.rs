//! From a description to packets: the links are opened, the routes are asked for, and the threads started.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use mrpf_engine::{
    cookie::Cookie,
    governor::Rate,
    link::{
        sim::Network,
        xdp::{Purpose, Receive, Screen, Send},
    },
    neighbour::NextHops,
    scan::{Running, Shared, Simulated},
    sources::Sources,
    target::{Targets, Walk},
    template::Ends,
    time::Instant,
    wire::MacAddr,
};

use crate::{
    build::{Builder, ScanError},
    course::{Course, Facts},
    follow::Follow,
    marks::{Marks, SourcePorts},
    opened::{Opened, SOURCE_PORTS},
};

/// What the XDP link sends at most, in frames a second, on the machines that it was measured on.
const LIVE_RATE: u64 = 10_000_000;
/// Hardware addresses of the simulated network.
const SIM_OURS: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const SIM_THEIRS: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

impl Builder {
    fn facts(
        &self,
        targets: &Targets,
        seed: u64,
        link: &'static str,
        source_ports: (u16, u16),
    ) -> Facts {
        Facts {
            link,
            choice: None,
            holding: None,
            excluded: targets.excluded(),
            hosts: targets.hosts(),
            ports: targets.ports().len().div_ceil(self.shard.n()),
            seed,
            began: Instant::START,
            source_ports,
        }
    }

    /// What the link is to prove of TCP by itself, where it can: in a scan to which an answer says all.
    fn screen(&self, opened: &Opened, purpose: Purpose, cookie: &Cookie) -> Option<Screen> {
        if purpose != Purpose::Answers || opened.choice.receive == Receive::Packet {
            return None;
        }
        // Its resets pass by the governor, so they are for scans without a rate to keep; and they leave as live frames do, which
        // not every device takes.
        let resets = self.settings.close
            && self.settings.rate == Rate::Max
            && opened.choice.send == Send::Live;
        // A digest has no next hop to send a reset to, and none of what records are made of.
        let digests = !self.show.any() && (resets || !self.settings.close);
        let label_mask = self.profile.flow_label_mask();
        Some(Screen { cookie: cookie.clone(), digests, resets, label_mask })
    }

    fn cut_ports(&self, (first, last): (u16, u16)) -> Result<SourcePorts, ScanError> {
        let attempts = self.settings.retries.saturating_add(1);
        let count = last.saturating_sub(first).saturating_add(1);
        SourcePorts::new(first, count, attempts).ok_or(ScanError::SourcePorts { count, attempts })
    }

    /// Where frames of a scan of a simulated network come from.
    pub fn simulated_ends(&self, network: &Network) -> Ends {
        Ends {
            layer: network.layer(),
            source_mac: SIM_OURS,
            vlan: self.vlan,
            sources: Sources {
                v4: Some(self.sources.v4.unwrap_or(Ipv4Addr::new(198, 18, 0, 1))),
                v6: Some(self.sources.v6.unwrap_or(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
            },
        }
    }

    /// First and last source port of a scan of a simulated network.
    pub fn simulated_ports(&self) -> (u16, u16) {
        self.source_ports.unwrap_or((61_000, 61_000 + SOURCE_PORTS - 1))
    }

    /// Where frames of a scan of a simulated network go.
    pub fn simulated_next_hops(&self) -> NextHops {
        NextHops::single(self.gateway_mac.unwrap_or(SIM_THEIRS))
    }

    /// Puts the scan on a network in memory.
    pub(crate) fn build_simulated<F: Follow>(
        self,
        follow: &F,
        targets: &Arc<Targets>,
        walk: Walk,
        seed: u64,
        network: Network,
    ) -> Result<Course<F>, ScanError> {
        let ends = self.simulated_ends(&network);
        let source_ports = self.simulated_ports();
        let ports = self.cut_ports(source_ports)?;
        // The key follows from the seed, or a run could not be repeated.
        let mut key = [0x5a; 16];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let probe = follow.probe(&ends, self.profile, Marks::new(ports, Cookie::from_key(&key)));
        let next_hops = self.simulated_next_hops();
        let (stop, settings) = (self.stop.clone(), self.settings);
        let (shared, found) =
            Shared::stopped_by(stop, probe, walk, next_hops, ends.layer, settings)?;
        let listener = follow.listener(&shared, 0, &ends, self.profile)?;
        let mut facts = self.facts(targets, seed, "sim", source_ports);
        facts.began = network.now();
        Ok(Course::simulated(Simulated::new(shared, listener, network), found, facts))
    }

    /// Puts the scan on a real interface, and starts it.
    pub(crate) fn build_packet<F: Follow>(
        mut self,
        follow: &F,
        targets: &Arc<Targets>,
        walk: Walk,
        seed: u64,
    ) -> Result<Course<F>, ScanError> {
        // Which ports they are matters later, how many there are now.
        self.cut_ports(self.source_ports.unwrap_or((1, SOURCE_PORTS)))?;
        let threads = self.settings.effective_threads(targets.hosts());
        let purpose = F::PURPOSE;
        let (mut opened, next_hops) = self.open(targets, F::FRAME_LEN, threads, purpose)?;
        let ports = self.cut_ports(opened.source_ports())?;
        let cookie = Cookie::from_os().map_err(|error| ScanError::Random(error.to_string()))?;
        let screen = self.screen(&opened, purpose, &cookie);
        // Before anything depends on it: auto may find out here that it has to do with less.
        let receivers = opened.receivers(threads, screen.clone())?;
        let senders = opened.senders(threads)?;
        let mut settings = self.settings;
        if let Some(screen) = screen.filter(|_| opened.choice.receive != Receive::Packet) {
            settings.close &= !screen.resets;
            settings.tell = !screen.digests;
        }
        if opened.choice.send == Send::Live {
            settings.link_rate = LIVE_RATE;
        }
        let probe = follow.probe(&opened.ends, self.profile, Marks::new(ports, cookie));
        let (stop, layer) = (self.stop.clone(), opened.ends.layer);
        let (shared, found) = Shared::stopped_by(stop, probe, walk, next_hops, layer, settings)?;
        shared.count_neighbours(opened.asked);
        let links = receivers.into_iter().zip(opened.answering_senders(threads)?);
        let listener = |(number, (rx, tx))| {
            let listener = follow.listener(&shared, number, &opened.ends, self.profile)?;
            Ok::<_, ScanError>((listener, rx, tx))
        };
        let listeners = (0..).zip(links).map(listener).collect::<Result<_, _>>()?;
        let (allowance, clock) = (opened.allowance(), opened.clock);
        let mut facts = self.facts(targets, seed, opened.choice.name(), opened.source_ports());
        facts.choice = Some(opened.choice.clone());
        facts.began = clock.now();
        facts.holding = Some(opened.into_holding());
        let mut running = Running::start(Arc::clone(&shared), clock, senders, listeners)?;
        if let Some(allowance) = allowance {
            running.watch(clock, allowance)?;
        }
        Ok(Course::on_threads(running, shared, clock, found, facts))
    }
}

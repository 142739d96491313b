//! A link that is open for a scan, and what is known of it before the first probe.
//!
//! ```text
//!  targets -> route -> sender, source ports held, receiver -> next hops     nothing but ARP and NDP has left by then
//!             Opened { ends, clock, choice }  -- senders, receivers -->  the threads of the scan
//!                    '-- into_holding -->  Holding: source ports and interface, until the scan is over
//! ```

use mrpf_engine::{
    governor::Rate,
    link::{
        AnyRx, AnyTx,
        allowance::NicAllowance,
        fence,
        interface::{Counters as InterfaceCounters, Interface},
        packet::{Filter, PacketRx, PacketTx, RingSize},
        xdp::{
            Ask, Choice, Deal, Facts, Purpose, Receive, Screen, Send, Take, Wish, XdpRx, XdpTx,
            choose,
        },
    },
    neighbour::{self, ArpCounts, NextHops},
    port_guard::PortGuard,
    sources::Sources,
    target::Targets,
    template::Ends,
    time::Clock,
};

use crate::build::{Builder, ScanError};

/// Source ports held when none were asked for.
pub(crate) const SOURCE_PORTS: u16 = 256;

/// A link that is open for a scan: its two halves, as many as are wanted, and what it takes to name the next hops.
#[derive(Debug)]
pub struct Opened {
    /// Where frames come from.
    pub ends: Ends,
    /// The clock of the link's times.
    pub clock: Clock,
    /// What was asked to find the next hops.
    pub asked: ArpCounts,
    /// Which link it is, and why.
    pub choice: Choice,
    wish: Wish,
    frame_len: usize,
    ring: RingSize,
    /// Those that asked; they serve the scan too.
    tx: Option<PacketTx>,
    rx: Option<PacketRx>,
    sources: Sources,
    source_ports: (u16, u16),
    /// What all senders may send together.
    rate: Rate,
    holding: Holding,
}

impl Builder {
    /// Opens the link to `targets` for frames of up to `frame_len` octets, with rings for so many `threads` that receive, for a
    /// scan with this `purpose`; also gives where frames to the targets go.
    ///
    /// # Errors
    ///
    /// [`ScanError`]; nothing has been sent then but, at most, ARP requests and neighbour solicitations.
    pub fn open(
        &mut self,
        targets: &Targets,
        frame_len: usize,
        threads: u8,
        purpose: Purpose,
    ) -> Result<(Opened, NextHops), ScanError> {
        fence::enforce()?;
        fence::enforce_targets(targets)?;
        let interface = self.interface.as_deref();
        let route = neighbour::route_for(targets, interface, self.sources, self.gateway_mac)?;
        let interface = &route.interface;
        let ends = Ends {
            layer: interface.layer(),
            source_mac: interface.mac(),
            vlan: self.vlan,
            sources: route.sources,
        };
        let ask = Ask {
            rate: self.settings.effective_rate(targets.hosts()),
            layer: ends.layer,
            purpose,
            receivers: threads,
        };
        let choice = choose(self.link, &Facts::gather(interface), &ask)?;
        // Before anything else is taken: it is what a user without privileges is refused.
        let mut tx = PacketTx::open(interface, frame_len)?;
        let guard = match self.guard.take() {
            Some(guard) => guard,
            None => {
                let (ports, count) = (self.source_ports, SOURCE_PORTS);
                let guard = PortGuard::claim(route.sources, interface.index(), ports, count)?;
                guard.self_test()?;
                guard
            }
        };
        let source_ports = guard.ports();
        let before = interface.counters()?;
        let clock = Clock::start();
        let filter = Filter::new(ends.layer, route.sources, source_ports);
        let ring = RingSize::default().shared_by(threads);
        let mut rx = PacketRx::open(interface, &filter, ring, clock)?;
        let rate = self.settings.rate;
        let (next_hops, asked) =
            neighbour::resolve(targets, &route, &ends, rate, &mut tx, &mut rx, &clock)?;
        let opened = Opened {
            ends,
            clock,
            asked,
            choice,
            wish: self.link,
            frame_len,
            ring,
            tx: Some(tx),
            rx: Some(rx),
            sources: route.sources,
            source_ports,
            rate: ask.rate,
            holding: Holding { interface: route.interface, before, guard: Some(guard) },
        };
        Ok((opened, next_hops))
    }
}

impl Opened {
    /// First and last source port.
    pub fn source_ports(&self) -> (u16, u16) {
        self.source_ports
    }

    /// `count` halves for probes.
    ///
    /// # Errors
    ///
    /// [`ScanError::Link`].
    pub fn senders(&mut self, count: u8) -> Result<Vec<AnyTx>, ScanError> {
        match self.choice.send {
            Send::Packet => self.answering_senders(count),
            Send::Live => {
                let open = |_| {
                    let tx = XdpTx::open(&self.holding.interface, self.frame_len, self.rate)?;
                    Ok(AnyTx::Xdp(tx))
                };
                match (0..count).map(open).collect() {
                    Err(error) if self.wish == Wish::Auto => {
                        self.fall_back(self.choice.receive, &error);
                        self.answering_senders(count)
                    }
                    senders => senders,
                }
            }
        }
    }

    /// What was chosen cannot be had after all, and nobody asked for it.
    fn fall_back(&mut self, receive: Receive, error: &ScanError) {
        let what = match receive {
            Receive::Packet => "packet sockets, since the XDP link did not open",
            Receive::Xdp(_) => {
                "XDP receives, packet sockets send, since the XDP sender did not open"
            }
        };
        let why = format!("link: {what}: {error}");
        self.choice = Choice { send: Send::Packet, receive, why, falls_short: true };
    }

    /// `count` halves for what listeners send: little, and at once.
    ///
    /// # Errors
    ///
    /// [`ScanError::Link`].
    pub fn answering_senders(&mut self, count: u8) -> Result<Vec<AnyTx>, ScanError> {
        let open = |_| match self.tx.take() {
            Some(tx) => Ok(AnyTx::Packet(tx)),
            None => Ok(AnyTx::Packet(PacketTx::open(&self.holding.interface, self.frame_len)?)),
        };
        (0..count).map(open).collect()
    }

    /// `count` halves that receive, to which the kernel deals out what comes to our ports by its addresses and ports. Where
    /// the link can, TCP has to pass `screen` first.
    ///
    /// # Errors
    ///
    /// [`ScanError::Link`].
    pub fn receivers(
        &mut self,
        count: u8,
        screen: Option<Screen>,
    ) -> Result<Vec<AnyRx>, ScanError> {
        if let Receive::Xdp(_) = self.choice.receive {
            match self.xdp_receivers(Deal::Hash(count), screen) {
                Err(error) if self.wish == Wish::Auto => self.fall_back(Receive::Packet, &error),
                receivers => return receivers,
            }
        }
        let filter = self.filter(self.source_ports);
        let open = |_| match self.rx.take() {
            Some(rx) => Ok(rx),
            None => Ok(PacketRx::open(&self.holding.interface, &filter, self.ring, self.clock)?),
        };
        let receivers = (0..count).map(open).collect::<Result<Vec<_>, ScanError>>()?;
        PacketRx::fan_out(&receivers)?;
        Ok(receivers.into_iter().map(AnyRx::Packet).collect())
    }

    /// Halves that receive, each what comes to its part of our ports, from the first to the last of it.
    ///
    /// # Errors
    ///
    /// [`ScanError::Link`].
    pub fn receivers_of(&mut self, parts: &[(u16, u16)]) -> Result<Vec<AnyRx>, ScanError> {
        if let Receive::Xdp(_) = self.choice.receive {
            return self.xdp_receivers(Deal::Ports(parts.to_vec()), None);
        }
        let open = |part: &(u16, u16)| {
            let filter = self.filter(*part);
            let rx = PacketRx::open(&self.holding.interface, &filter, self.ring, self.clock)?;
            Ok(AnyRx::Packet(rx))
        };
        parts.iter().map(open).collect()
    }

    fn xdp_receivers(
        &mut self,
        deal: Deal,
        screen: Option<Screen>,
    ) -> Result<Vec<AnyRx>, ScanError> {
        let Receive::Xdp(mode) = self.choice.receive else { return Ok(Vec::new()) };
        // It has heard the neighbours, and would show every answer a second time.
        self.rx = None;
        let take = Take { sources: self.sources, ports: self.source_ports, deal, screen };
        let receivers = XdpRx::open(&self.holding.interface, &take, mode, self.clock)?;
        Ok(receivers.into_iter().map(AnyRx::Xdp).collect())
    }

    /// What tells which allowances of the network are exceeded; `None` where nothing does, as with all drivers but one.
    pub fn allowance(&self) -> Option<NicAllowance> {
        NicAllowance::of(self.holding.interface.name()).ok().flatten()
    }

    /// What is to be held until the scan is over.
    pub fn into_holding(self) -> Holding {
        self.holding
    }

    fn filter(&self, ports: (u16, u16)) -> Filter {
        Filter::new(self.ends.layer, self.sources, ports)
    }
}

/// What a scan on a real interface holds until it is gone.
#[derive(Debug)]
pub struct Holding {
    interface: Interface,
    before: InterfaceCounters,
    /// The kernel stays silent on our ports for as long.
    guard: Option<PortGuard>,
}

impl Holding {
    /// The interface, and how much its counters have grown since it was opened; `None` when it is gone.
    pub fn growth(&self) -> Option<(String, InterfaceCounters)> {
        let growth = self.interface.counters().ok()?.since(&self.before);
        Some((self.interface.name().to_owned(), growth))
    }

    /// Gives the source ports away.
    pub fn give_ports(&mut self) -> Option<PortGuard> {
        self.guard.take()
    }
}

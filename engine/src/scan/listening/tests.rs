//! A listener that asks by itself, over networks in memory.

use std::{collections::HashMap, net::Ipv4Addr, sync::Mutex};

use super::*;
use crate::{
    governor::{Class, Rate},
    link::{
        Frame, LinkLayer, MAX_BATCH,
        sim::{
            Faults, Network, SimRx,
            hosts::{Behaviour, Heard, Hosts, Said, Service},
        },
    },
    neighbour::NextHops,
    probe::Invalid,
    scan::{Stepped, Stop},
    sources::Sources,
    stats::Counts,
    template::{DatagramFields, DatagramTemplate, Ends},
    time::Instant,
    wire::{self, MacAddr, Transport},
};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const FIRST: u32 = 0xc613_0000; // 198.19.0.0
const AGAIN: Duration = Duration::from_millis(200);

/// Asks host after host by its number until each has answered.
#[derive(Debug)]
struct Asker {
    session: Arc<Session>,
    template: DatagramTemplate<Ipv4Addr>,
    /// Hosts not asked yet.
    next: u32,
    hosts: u32,
    /// When each that was asked is asked again.
    due: HashMap<u32, Instant>,
    answered: Arc<Mutex<Vec<u32>>>,
    /// Whether it says that it has more to ask.
    tells: bool,
    /// Until when it is told what to ask.
    told_until: Instant,
    now: Instant,
    was_abandoned: bool,
}

impl Asker {
    fn new(session: &Arc<Session>, hosts: u32) -> Self {
        let ends = Ends {
            layer: LinkLayer::Ethernet,
            source_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            vlan: None,
            sources: Sources::from(OURS),
        };
        Self {
            session: Arc::clone(session),
            template: DatagramTemplate::new(&ends).unwrap(),
            next: 0,
            hosts,
            due: HashMap::new(),
            answered: Arc::default(),
            tells: true,
            told_until: Instant::START,
            now: Instant::START,
            was_abandoned: false,
        }
    }
}

impl Listener for Asker {
    fn handle(&mut self, frame: Frame<'_>) {
        let counters = self.session.counters();
        let Some(packet) = self.session.parse(&frame) else { return };
        let wire::Network::Ipv4(header, Transport::Udp(datagram)) = packet.network else {
            return counters.invalid(Invalid::Kind);
        };
        if !datagram.is_intact(header.source().into(), header.destination().into()) {
            return counters.invalid(Invalid::Damaged);
        }
        let host = header.source().to_bits().wrapping_sub(FIRST);
        if datagram.payload() != host.to_be_bytes() {
            return counters.invalid(Invalid::Cookie);
        }
        counters.valid.add(1);
        if self.due.remove(&host).is_some() {
            counters.first.add(1);
            self.answered.lock().unwrap().push(host);
        } else {
            counters.duplicate.add(1);
        }
    }

    fn poll_transmit<T: Tx>(
        &mut self,
        now: Instant,
        link: &mut T,
    ) -> Result<Option<Instant>, LinkError> {
        self.now = now;
        let session = &self.session;
        if !session.stop().is_stopped() {
            let again = self.due.iter().filter(|(_, due)| **due <= now).map(|(host, _)| *host);
            let want: Vec<u32> =
                again.chain(self.next..self.hosts).take(link.slots().min(MAX_BATCH)).collect();
            let got = session.governor().take(Class::New, want.len() as u32, now) as usize;
            let mut lens = [0; MAX_BATCH];
            for (slot, host) in want[..got].iter().enumerate() {
                let frame = link.frame(slot);
                self.template.payload(frame)[..4].copy_from_slice(&host.to_be_bytes());
                let destination = Ipv4Addr::from_bits(FIRST + host);
                let fields = DatagramFields {
                    next_hop: session.next_hops().of(destination.into()).unwrap(),
                    destination,
                    destination_port: 53,
                    source_port: 61_000,
                    ip_id: 0,
                };
                lens[slot] = self.template.finish(frame, &fields, 4);
                self.due.insert(*host, now + AGAIN);
                self.next = self.next.max(host + 1);
            }
            session.counters().batch(link.send(&lens[..got])?);
        }
        let again = self.due.values().min().copied();
        if self.next < self.hosts && !session.stop().is_stopped() {
            return Ok(Some(session.governor().ready_at(Class::New, session.batch())));
        }
        Ok(again.map(|at| at.max(now + Duration::from_millis(1))))
    }

    fn rest(&mut self, _: Instant) {}

    fn is_crowded(&self) -> bool {
        false
    }

    fn is_asking(&self) -> bool {
        let is_asking = self.next < self.hosts || !self.due.is_empty();
        self.now < self.told_until || self.tells && is_asking
    }

    fn was_stopped(&self) -> bool {
        self.session.stop().is_stopped()
    }

    fn note_ring_drops(&mut self, _: u64) {}

    fn abandon(&mut self) {
        self.was_abandoned = true;
        self.due.clear();
    }
}

/// Hosts that say again what they hear after `delay`, and say it once in so many times wrong.
fn network(delay: Duration, faults: Faults) -> Network {
    let mut heard = 0;
    let service = Service::new(move |question: &Heard<'_>| {
        heard += 1;
        let mut payload = question.payload.to_vec();
        if heard % 10 == 0 {
            payload[0] ^= 1;
        }
        vec![Said::datagram(payload).after(delay)]
    });
    let all = (Ipv4Addr::from_bits(FIRST), Ipv4Addr::from_bits(FIRST + 0xffff));
    Network::new(3, Hosts::new(3).rule(all, 53..=53, Behaviour::Serves(service)), faults)
}

fn session(stop: &Stop, rate: &str) -> Arc<Session> {
    let rate: Rate = rate.parse().unwrap();
    let next_hops = NextHops::single(MacAddr([4; 6]));
    Arc::new(Session::new(stop.clone(), rate, next_hops, LinkLayer::Ethernet))
}

#[track_caller]
fn adds_up(counts: &Counts) {
    assert_eq!(counts.generated, counts.sent + counts.dropped());
    assert_eq!(counts.received, counts.valid + counts.invalid());
    assert_eq!(counts.valid, counts.first + counts.duplicate);
}

#[test]
fn it_is_not_over_before_all_have_answered() {
    // The answers take longer than a listener is waited for that has nothing to ask any more.
    let faults = Faults { loss_out: 0.3, loss_back: 0.3, duplicate: 0.2, ..Faults::default() };
    let session = session(&Stop::default(), "10k");
    let network = network(Duration::from_secs(5), faults);
    let mut stepped = Stepped::new(Asker::new(&session, 300), network.clone());
    while stepped.step().unwrap() {}
    let mut answered = stepped.listener().answered.lock().unwrap().clone();
    answered.sort_unstable();
    assert_eq!(answered, (0..300).collect::<Vec<_>>());
    assert!(!stepped.listener().was_abandoned);
    let counts = session.counts();
    adds_up(&counts);
    assert_eq!((counts.first, counts.sent), (300, network.counts().sent));
    assert!(counts.invalid_cookie > 0 && counts.duplicate > 0);
    assert!(!stepped.step().unwrap());
}

#[test]
fn what_is_not_asking_is_waited_for_no_longer_than_its_patience() {
    let session = session(&Stop::default(), "10k");
    let network = network(Duration::from_secs(5), Faults::default());
    let mut asker = Asker::new(&session, 3);
    asker.tells = false;
    let mut stepped = Stepped::new(asker, network);
    while stepped.step().unwrap() {}
    assert!(stepped.listener().was_abandoned);
    assert!(stepped.now() < Instant::from_nanos(3_000_000_000), "{:?}", stepped.now());
}

#[test]
fn time_goes_on_while_one_waits_to_be_told_what_to_ask() {
    let session = session(&Stop::default(), "10k");
    let mut asker = Asker::new(&session, 0);
    asker.told_until = Instant::from_nanos(2_000_000_000);
    let mut stepped = Stepped::new(asker, network(Duration::ZERO, Faults::default()));
    let mut steps = 0;
    while stepped.step().unwrap() {
        steps += 1;
    }
    assert_eq!((stepped.now(), steps), (Instant::from_nanos(2_000_000_000), 100));
}

#[test]
fn a_stop_ends_what_still_asks() {
    let stop = Stop::default();
    let session = session(&stop, "1k");
    let mut stepped =
        Stepped::new(Asker::new(&session, 60_000), network(Duration::ZERO, Faults::default()));
    while stepped.now() < Instant::from_nanos(1_000_000_000) {
        assert!(stepped.step().unwrap());
    }
    stop.stop();
    let sent = session.counts().sent;
    assert!((900..=1_200).contains(&sent), "{sent}");
    while stepped.step().unwrap() {}
    assert!(stepped.now() < Instant::from_nanos(4_000_000_000), "{:?}", stepped.now());
    assert_eq!(session.counts().sent, sent);
}

/// The receiving half of a network in memory whose time is that of a clock.
struct Real {
    clock: Clock,
    network: Network,
    rx: SimRx,
}

impl Rx for Real {
    fn receive(&mut self, wait: Duration, take: impl FnMut(Frame<'_>)) -> Result<usize, LinkError> {
        self.network.advance(self.clock.now());
        let count = self.rx.receive(wait, take)?;
        if count == 0 {
            thread::sleep(wait.min(Duration::from_millis(1)));
        }
        Ok(count)
    }

    fn ring_drops(&mut self) -> u64 {
        0
    }
}

/// Exceeds what is allowed a little more each time.
struct Exceeding(u64);

impl AllowanceSource for Exceeding {
    fn read(&mut self) -> std::io::Result<crate::link::allowance::Allowance> {
        self.0 += 100;
        Ok(crate::link::allowance::Allowance { pps_exceeded: Some(self.0), ..Default::default() })
    }
}

fn on_thread(session: &Arc<Session>, clock: Clock, hosts: u32) -> (Asker, Real, impl Tx + use<>) {
    let network = network(Duration::from_millis(20), Faults::default());
    let tx = network.tx();
    let rx = network.rx();
    (Asker::new(session, hosts), Real { clock, network, rx }, tx)
}

#[test]
fn listeners_on_threads_end_each_for_itself() {
    let session = session(&Stop::default(), "20k");
    let clock = Clock::start();
    let listeners: Vec<_> = [40, 2_000].map(|hosts| on_thread(&session, clock, hosts)).into();
    let answered: Vec<_> =
        listeners.iter().map(|(asker, ..)| Arc::clone(&asker.answered)).collect();
    let running = Listening::start(Arc::clone(&session), clock, listeners).unwrap();
    running.join().unwrap();
    let answered = answered.iter().map(|answered| answered.lock().unwrap().len());
    assert_eq!(answered.collect::<Vec<_>>(), [40, 2_000]);
    assert!(!session.stop().is_stopped(), "an end is no stop");
    adds_up(&session.counts());
    assert_eq!(session.counts().first, 2_040);
}

#[test]
fn an_allowance_that_is_exceeded_slows_them_and_a_drop_stops_them() {
    let session = session(&Stop::default(), "1k");
    let clock = Clock::start();
    let listeners = vec![on_thread(&session, clock, 60_000)];
    let mut running = Listening::start(Arc::clone(&session), clock, listeners).unwrap();
    running.watch(clock, Exceeding(0)).unwrap();
    let begin = clock.now();
    while session.counts().throttled == 0 && clock.now().since(begin) < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(!running.is_finished());
    assert!(session.exceeded().is_some());
    let rate = session.governor().rate().map(std::num::NonZeroU64::get);
    assert!(rate.is_some_and(|rate| rate <= 500), "{rate:?}");
    drop(running);
    assert!(session.stop().is_stopped());
}

//! A flood of forgeries straight into the receiving half, and hosts that challenge.
//!
//! The forger of this file is stronger than most: it knows every target, every port of ours and which were probed. It
//! lacks one number of 32 bits, the cookie.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_engine::{
    link::{
        Frame, LinkError, MAX_BATCH, Sent, Tx,
        sim::{
            Faults, Network,
            hosts::{Behaviour, OpenHost},
        },
    },
    scan::{Listener as _, Next, Receiver, Sender, Settings},
    time::Instant,
};
use mrpf_records::State;

use crate::world::{all, answer, run, scan, shared, states};

mod merged;

/// Offsets in an Ethernet frame with an IPv4 header of 20 octets.
pub(crate) const IP: usize = 14;
pub(crate) const TCP: usize = IP + 20;
pub(crate) const SLOT_LEN: usize = 1_600;

/// A second's work: some 100 ns each.
const COUNT: u32 = 10_000_000;

/// Keeps what is sent.
pub(crate) struct Kept {
    pub(crate) slots: Vec<u8>,
    pub(crate) frames: Vec<Vec<u8>>,
}

impl Tx for Kept {
    fn slots(&self) -> usize {
        MAX_BATCH
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        &mut self.slots[slot * SLOT_LEN..][..SLOT_LEN]
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        for (slot, len) in lens.iter().enumerate() {
            self.frames.push(self.slots[slot * SLOT_LEN..][..usize::from(*len)].to_vec());
        }
        Ok(Sent { sent: lens.len() as u32, ..Sent::default() })
    }
}

/// Numbers that look random, the same each time (Knuth, TAOCP volume 2, 3.3.4; the high half).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 32) as u32
    }
}

pub(crate) fn put(frame: &mut [u8], at: usize, octets: &[u8]) {
    frame[at..at + octets.len()].copy_from_slice(octets);
}

/// From the host that `probe` asked to us: a segment of 20 octets with these numbers.
pub(crate) fn segment(probe: &[u8], flags: u8, seq: u32, ack: u32) -> Vec<u8> {
    let mut frame = probe[..TCP + 20].to_vec();
    answer(&mut frame);
    put(&mut frame, IP + 2, &40_u16.to_be_bytes());
    put(&mut frame, TCP + 4, &seq.to_be_bytes());
    put(&mut frame, TCP + 8, &ack.to_be_bytes());
    put(&mut frame, TCP + 12, &[5 << 4, flags]);
    frame
}

/// From a router to us: destination unreachable, quoting `probe` with this sequence number.
pub(crate) fn unreachable(probe: &[u8], code: u8, seq: u32) -> Vec<u8> {
    const ICMP: u8 = 1;
    const UNREACHABLE: u8 = 3;
    let mut frame = probe[..TCP].to_vec();
    answer_addresses(&mut frame);
    put(&mut frame, IP + 2, &56_u16.to_be_bytes());
    frame[IP + 9] = ICMP;
    frame.extend([UNREACHABLE, code, 0, 0, 0, 0, 0, 0]);
    frame.extend(&probe[IP..TCP + 4]);
    frame.extend(seq.to_be_bytes());
    frame
}

fn answer_addresses(frame: &mut [u8]) {
    for i in 0..4 {
        frame.swap(IP + 12 + i, IP + 16 + i);
    }
}

#[test]
fn a_flood_of_forgeries_is_believed_not_once() {
    let settings = Settings {
        rate: "max".parse().unwrap(),
        retries: 0,
        cooldown: Duration::from_secs(60),
        ..Settings::default()
    };
    let (shared, found) = shared("198.19.0.0/18", "80", settings);
    let (mut sender, mut receiver) =
        (Sender::new(Arc::clone(&shared), 0), Receiver::new(Arc::clone(&shared), 0));
    let mut wire = Kept { slots: vec![0; MAX_BATCH * SLOT_LEN], frames: Vec::new() };
    let now = Instant::START + Duration::from_secs(1);
    while let Next::Now = sender.poll(now, &mut wire).unwrap() {}
    let probes = std::mem::take(&mut wire.frames);
    assert_eq!(probes.len(), 16_384);

    let mut numbers = Numbers(1);
    let at = now + Duration::from_millis(1);
    for n in 0..COUNT {
        let probe = &probes[numbers.next() as usize % probes.len()];
        let number = numbers.next();
        let frame = match n % 4 {
            0 => segment(probe, 0x12, numbers.next(), number), // SYN, ACK
            1 => segment(probe, 0x14, 0, number),              // RST, ACK
            2 => segment(probe, 0x04, number, 0),              // RST
            _ => unreachable(probe, (number % 4) as u8, numbers.next()),
        };
        receiver.handle(Frame::whole(&frame, at, frame.len() as u32));
    }
    receiver.poll_transmit(at, &mut wire).unwrap();
    let counts = shared.counts();
    assert_eq!((counts.received, counts.valid), (u64::from(COUNT), 0));
    assert_eq!(counts.received, counts.invalid(), "each has its reason: {counts:?}");
    assert_eq!(counts.invalid_cookie, counts.received, "and it is the number: {counts:?}");
    assert!(found.try_recv().is_err(), "nothing was found");
    assert!(wire.frames.is_empty(), "and nobody was answered");

    // The flood has used nothing up: the true answers are taken, each once.
    for probe in &probes {
        let mut frame = probe.clone();
        answer(&mut frame);
        receiver.handle(Frame::whole(&frame, at, frame.len() as u32));
    }
    assert_eq!(shared.counts().first, probes.len() as u64);
    assert_eq!(found.try_iter().count(), probes.len());
}

/// A host that holds an old connection on our port challenges each SYN from it, so the next attempt must be another
/// connection: from another part of our ports.
#[test]
fn a_challenge_is_followed_by_a_probe_from_another_port() {
    let ports: Arc<Mutex<BTreeMap<[u8; 4], Vec<u16>>>> = Arc::default();
    let noted = Arc::clone(&ports);
    let hosts = all(5, Behaviour::Challenge(OpenHost::linux()));
    let network = Network::new(5, hosts, Faults::default()).with_tap(Box::new(move |_, frame| {
        if frame[TCP + 13] == 0x02 {
            let host = frame[IP + 16..IP + 20].try_into().unwrap();
            let port = u16::from_be_bytes([frame[TCP], frame[TCP + 1]]);
            noted.lock().unwrap().entry(host).or_default().push(port);
        }
    }));
    let scan = scan(network, "198.19.0.0/22", "80").source_ports(61_000, 61_255).retries(3);
    let (records, summary) = run(scan.build().unwrap());
    assert!(states(&records).values().all(|state| *state == State::Open));
    assert_eq!(summary.counts.invalid_challenge, 1_024);
    let ports = ports.lock().unwrap();
    assert_eq!(ports.len(), 1_024);
    for (host, ports) in ports.iter() {
        // Four attempts, a quarter of the ports each.
        let parts: Vec<_> = ports.iter().map(|port| (port - 61_000) / 64).collect();
        assert_eq!(parts, [0, 1], "{host:?}: {ports:?}");
    }
}

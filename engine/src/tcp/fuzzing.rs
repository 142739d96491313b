//! What a fuzzer does with flows; compiled for fuzzing and tests alone.
//!
//! The input is a list of operations: what hosts say, what who asked does, how time passes. After each of them the invariants of
//! the [module](super) are asserted, against a model that is no more than the octets read so far.

use std::{net::Ipv4Addr, time::Duration};

use super::{
    About, FlowId, Flows, Handled, Incoming, Opening, Outgoing, Refused, Requests, Settings,
};
use crate::{
    cookie::Cookie,
    target::Target,
    time::Instant,
    wire::{
        MacAddr,
        tcp::{Flags, Segment},
    },
};

const LOCAL_PORT: u16 = 61_000;
/// Fewer than there are hosts, so that some are refused.
const FLOWS: u32 = 3;
const HOSTS: usize = 4;
const LONGEST_REQUEST: usize = 5_000;

/// Octets that decide what happens; zeros once they are used up.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn u8(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes([self.u8(), self.u8()])
    }

    fn u32(&mut self) -> u32 {
        u32::from(self.u16()) | u32::from(self.u16()) << 16
    }
}

/// Requests of which the length alone matters.
struct Zeros([u8; LONGEST_REQUEST], [u32; HOSTS]);

impl Requests for Zeros {
    fn bytes(&mut self, about: &About) -> &[u8] {
        &self.0[..self.1[about.word as usize] as usize]
    }
}

/// One host, and the flow with it.
#[derive(Default)]
struct Host {
    id: Option<FlowId>,
    ours: u32,
    theirs: u32,
    /// What was read, and how much of it was consumed.
    read: Vec<u8>,
    consumed: usize,
    is_over: bool,
}

struct Machine {
    flows: Flows,
    settings: Settings,
    hosts: [Host; HOSTS],
    zeros: Zeros,
    now: Instant,
    /// Whether hosts say one thing only: each octet is known from its place.
    is_consistent: bool,
}

/// Does with a table of flows what `data` says.
///
/// # Panics
///
/// When an invariant does not hold.
pub fn fuzz_tcp_flow(data: &[u8]) {
    let mut bytes = Bytes(data);
    let choice = bytes.u8();
    let settings = Settings {
        flows: FLOWS,
        buffers: 1,
        cap: if choice & 1 == 0 { 1 << 16 } else { 1 + u32::from(bytes.u16()) },
        ..Settings::default()
    };
    let mut machine = Machine {
        flows: Flows::new(settings, Cookie::from_key(&[9; 16])).expect("64 KiB"),
        settings,
        hosts: Default::default(),
        zeros: Zeros([0; LONGEST_REQUEST], [0; HOSTS]),
        now: Instant::START,
        is_consistent: choice & 2 == 0,
    };
    while !bytes.0.is_empty() {
        machine.step(&mut bytes);
        machine.check();
    }
    machine.finish();
}

fn octet(at: u32) -> u8 {
    (at.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

fn remote(host: usize) -> Target {
    Target { addr: Ipv4Addr::new(198, 19, 0, 1).into(), port: 1 + host as u16 }
}

/// A segment as it lies in a packet.
fn segment(seq: u32, ack: u32, flags: u8, window: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 20];
    bytes[4..8].copy_from_slice(&seq.to_be_bytes());
    bytes[8..12].copy_from_slice(&ack.to_be_bytes());
    bytes[12] = ((20 + options.len() as u8) / 4) << 4;
    bytes[13] = flags;
    bytes[14..16].copy_from_slice(&window.to_be_bytes());
    bytes.extend_from_slice(options);
    bytes.extend_from_slice(payload);
    bytes
}

fn incoming(host: usize, bytes: &[u8], is_cut: bool) -> Incoming<'_> {
    let segment = Segment::parse(bytes).expect("it was made whole");
    Incoming { remote: remote(host), local_port: LOCAL_PORT, segment, is_cut }
}

impl Machine {
    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let choice = bytes.u8();
        let host = usize::from(choice >> 6);
        match choice & 0x0f {
            0 => self.open(host, bytes),
            1..=5 => self.say(host, bytes),
            6..=8 => self.transmit(choice >> 4 & 3),
            9 | 10 => self.pass(u64::from(bytes.u8()) * 20),
            11 => {
                let n = usize::from(bytes.u16());
                let Host { id: Some(id), consumed, .. } = &mut self.hosts[host] else { return };
                *consumed += n.min(self.flows.data(*id).len());
                self.flows.consume(*id, n);
            }
            12 => {
                let len = u32::from(bytes.u16()) % (LONGEST_REQUEST as u32 + 1);
                let Some(id) = self.hosts[host].id else { return };
                if self.flows.ask(id, len, self.now) {
                    assert!(!self.hosts[host].is_over);
                    self.zeros.1[host] = len;
                }
            }
            13 => self.close(host),
            14 => {
                let seq = self.hosts[host].ours.wrapping_add(bytes.u16().into());
                let handled = self.flows.unreachable(remote(host), LOCAL_PORT, Some(seq));
                self.take(host, handled);
            }
            _ => {
                let bytes = segment(bytes.u32(), bytes.u32(), bytes.u8(), 0, &[], &[]);
                self.flows.refuse(&incoming(host, &bytes, false), MacAddr::ZERO, 0);
            }
        }
    }

    fn open(&mut self, host: usize, bytes: &mut Bytes<'_>) {
        let options = [bytes.u32().to_le_bytes(), bytes.u32().to_le_bytes()].concat();
        let (seq, ack, window) = (bytes.u32(), bytes.u32(), bytes.u16());
        let len = u32::from(bytes.u16()) % (LONGEST_REQUEST as u32 + 1);
        let syn_ack = segment(seq, ack, 0x12, window, &options, &[]);
        let opening = Opening {
            syn_ack: incoming(host, &syn_ack, false),
            next_hop: MacAddr::ZERO,
            label: 0,
            word: host as u64,
            request_len: len,
        };
        let had_room = self.flows.len() < FLOWS as usize;
        match self.flows.open(&opening, self.now) {
            Ok(id) => {
                assert!(had_room && self.hosts[host].id.is_none());
                assert!(self.flows.data(id).is_empty());
                let theirs = seq.wrapping_add(1);
                self.hosts[host] = Host { id: Some(id), ours: ack, theirs, ..Host::default() };
                self.zeros.1[host] = len;
            }
            Err(Refused::Full) => assert!(!had_room),
            // Its reset may wait still.
            Err(Refused::Known) => {
                assert!(self.hosts[host].id.is_some() || self.flows.pending() > 0)
            }
        }
    }

    fn say(&mut self, host: usize, bytes: &mut Bytes<'_>) {
        let how = bytes.u8();
        let Host { ours, theirs, .. } = self.hosts[host];
        let at = if how & 1 == 0 { u32::from(bytes.u16()) } else { bytes.u32() };
        let ack = if how & 2 == 0 { u32::from(bytes.u16()) } else { bytes.u32() };
        let (flags, window) = (bytes.u8(), bytes.u16());
        let len = if how & 4 == 0 { u32::from(bytes.u8()) } else { u32::from(bytes.u16()) };
        let name = bytes.u8();
        let payload: Vec<u8> = (0..len)
            .map(|n| if self.is_consistent { octet(at.wrapping_add(n)) } else { name })
            .collect();
        let (seq, ack) = (theirs.wrapping_add(at), ours.wrapping_add(ack));
        let bytes = segment(seq, ack, flags, window, &[], &payload);
        let handled = self.flows.handle(&incoming(host, &bytes, how & 8 != 0), self.now);
        self.take(host, handled);
    }

    fn take(&mut self, host: usize, handled: Handled) {
        let state = &mut self.hosts[host];
        match handled {
            Handled::Stranger => assert_eq!(state.id, None),
            Handled::Quiet => {}
            Handled::Data(id) => {
                assert_eq!(state.id, Some(id));
                assert!(self.flows.data(id).len() > state.read.len() - state.consumed);
            }
            Handled::Ended(id) => {
                assert_eq!(state.id, Some(id));
                assert!(!state.is_over, "it ended twice");
                state.is_over = true;
            }
        }
    }

    fn transmit(&mut self, most: u8) {
        for _ in 0..=most {
            let pending = self.flows.pending();
            let Some(outgoing) = self.flows.poll_transmit(self.now, &mut self.zeros) else {
                assert_eq!(self.flows.pending(), 0);
                return;
            };
            assert!(pending > 0);
            let Outgoing { remote, payload, seq, ack, flags, sack, .. } = outgoing;
            let state = &self.hosts[usize::from(remote.port) - 1];
            assert!(payload.len() <= 1_460);
            if flags.contains(Flags::RST) {
                continue;
            }
            assert!(state.id.is_some() && flags.contains(Flags::ACK));
            let heard = ack.wrapping_sub(state.theirs);
            assert!(heard <= self.settings.cap && heard as usize >= state.read.len());
            assert!(sack.is_none_or(|(first, end)| {
                let (first, end) = (first.wrapping_sub(ack), end.wrapping_sub(ack));
                0 < first && first < end && end <= self.settings.cap
            }));
            assert!(payload.is_empty() || seq.wrapping_sub(state.ours) < u32::MAX / 2);
        }
    }

    fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        while let Some(id) = self.flows.poll_ended(self.now) {
            let about = self.flows.about(id).expect("it was not closed");
            self.take(about.word as usize, Handled::Ended(id));
        }
        assert!(
            self.flows.poll_timeout().is_none_or(|due| due + Duration::from_millis(10) > self.now)
        );
    }

    fn close(&mut self, host: usize) {
        let state = &mut self.hosts[host];
        let Some(id) = state.id.take() else { return };
        let report = self.flows.close(id).expect("it was not closed");
        assert_eq!((report.remote, report.word), (remote(host), host as u64));
        assert_eq!(report.end != super::End::Closed, state.is_over);
        assert_eq!(report.received as usize, state.read.len());
        assert_eq!(report.first.is_some(), report.last.is_some());
        assert_eq!((self.flows.close(id), self.flows.about(id)), (None, None));
    }

    fn check(&mut self) {
        let mut open = 0;
        for state in &mut self.hosts {
            let Some(id) = state.id else { continue };
            open += 1;
            let data = self.flows.data(id);
            let known = state.read.len() - state.consumed;
            assert_eq!(data[..known], state.read[state.consumed..], "what was read has changed");
            state.read.extend_from_slice(&data[known..]);
            assert!(state.read.len() <= self.settings.cap as usize);
            if self.is_consistent {
                let from = state.read.len() - (data.len() - known);
                let is_right = |(at, byte): (usize, &u8)| *byte == octet((from + at) as u32);
                assert!(data[known..].iter().enumerate().all(is_right), "an octet is another");
            }
        }
        assert!(open <= self.flows.len() && self.flows.len() <= FLOWS as usize);
    }

    /// Closes all, after which nothing is left.
    fn finish(mut self) {
        (0..HOSTS).for_each(|host| self.close(host));
        assert!((0..FLOWS as usize).all(|place| self.flows.at(place).is_none()));
        while self.flows.poll_transmit(self.now, &mut self.zeros).is_some() {}
        assert!(self.flows.is_empty());
        assert_eq!((self.flows.pending(), self.flows.buffered()), (0, 0));
        assert_eq!(self.flows.poll_timeout(), None);
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use proptest::prelude::*;

    use super::*;

    /// Every committed input, so that a stable `cargo test` replays what fuzzing knows.
    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/tcp_flow");
        let inputs: Vec<_> = fs::read_dir(folder).unwrap().collect();
        assert!(inputs.len() >= 5, "{} inputs", inputs.len());
        for input in inputs {
            fuzz_tcp_flow(&fs::read(input.unwrap().path()).unwrap());
        }
    }

    proptest! {
        #[test]
        fn the_invariants_hold_for_any_operations(data in prop::collection::vec(any::<u8>(), 0..600)) {
            fuzz_tcp_flow(&data);
        }
    }
}

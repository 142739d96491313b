//! Flows against hosts in virtual time. All goes through real frames: what [`Frames`] writes is parsed again, and so is what
//! a host says.
//!
//! ```text
//!  hand.rs         one flow, and segments said by hand     rules.rs, hostile.rs  what exactly is answered to what
//!  peer.rs         a host that has a TCP of its own        lossy.rs              many of them behind a bad network
//!                                                          memory.rs             how much, and when
//! ```

mod hand;
mod hostile;
mod lossy;
mod memory;
mod peer;
mod rules;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{PacketBuilder, TcpOptionElement};

use super::{About, Frames, Requests, Settings};
use crate::{
    link::LinkLayer,
    sources::Sources,
    target::Target,
    template::{Ends, TcpProfile},
    wire::{MacAddr, tcp::Flags},
};

const OURS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const OURS_6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
const ROUTER: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);

/// Few and small, so that a test makes them in no time.
fn few() -> Settings {
    Settings { flows: 16, buffers: 1 << 20, ..Settings::default() }
}

fn frames() -> Frames {
    let sources = Sources { v4: Some(OURS), v6: Some(OURS_6) };
    let source_mac = MacAddr([2, 0, 0, 0, 0, 1]);
    let ends = Ends { layer: LinkLayer::Ethernet, source_mac, vlan: None, sources };
    Frames::new(&ends, TcpProfile::Windows)
}

/// What a host says, in absolute numbers.
#[derive(Clone, Debug)]
struct Said {
    from: Target,
    to_port: u16,
    seq: u32,
    ack: u32,
    flags: Flags,
    window: u16,
    options: Vec<TcpOptionElement>,
    payload: Vec<u8>,
}

impl Said {
    /// The frame that arrives here.
    fn frame(&self) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(ROUTER.0, [2, 0, 0, 0, 0, 1]);
        let ip = match self.from.addr {
            IpAddr::V4(addr) => ethernet.ipv4(addr.octets(), OURS.octets(), 64),
            IpAddr::V6(addr) => ethernet.ipv6(addr.octets(), OURS_6.octets(), 64),
        };
        let mut tcp = ip.tcp(self.from.port, self.to_port, self.seq, self.window);
        let has = |flag| self.flags.contains(flag);
        if has(Flags::ACK) {
            tcp = tcp.ack(self.ack);
        }
        if has(Flags::SYN) {
            tcp = tcp.syn();
        }
        if has(Flags::RST) {
            tcp = tcp.rst();
        }
        if has(Flags::PSH) {
            tcp = tcp.psh();
        }
        if has(Flags::FIN) {
            tcp = tcp.fin();
        }
        let tcp = tcp.options(&self.options).unwrap();
        let mut frame = Vec::new();
        tcp.write(&mut frame, &self.payload).unwrap();
        frame
    }
}

/// The octet at each place of a stream that only `key` has.
fn octet(key: u64, at: usize) -> u8 {
    let mixed = (key ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 56) as u8
}

fn octets(key: u64, len: usize) -> Vec<u8> {
    (0..len).map(|at| octet(key, at)).collect()
}

/// Requests whose octets say which flow and which request they are of.
struct Asker {
    scratch: Vec<u8>,
    /// The length of each request.
    lens: Vec<usize>,
}

impl Asker {
    fn new(lens: &[usize]) -> Self {
        let longest = lens.iter().copied().max().unwrap_or(0);
        Self { scratch: vec![0; longest], lens: lens.to_vec() }
    }

    fn request(word: u64, request: usize, len: usize) -> Vec<u8> {
        octets(request_key(word, request), len)
    }
}

fn request_key(word: u64, request: usize) -> u64 {
    word << 8 | request as u64
}

impl Requests for Asker {
    fn bytes(&mut self, about: &About) -> &[u8] {
        let request = usize::from(about.request);
        let key = request_key(about.word, request);
        let bytes = &mut self.scratch[..self.lens[request]];
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = octet(key, at));
        bytes
    }
}

//! One flow, and a host whose segments are said by hand. Numbers are counted from the first octet of each stream, and both
//! streams wrap soon after it.

use std::{net::Ipv4Addr, time::Duration};

use etherparse::TcpOptionElement::{MaximumSegmentSize, SelectiveAcknowledgementPermitted};

use super::{
    super::{FlowId, Flows, Frames, Handled, Incoming, Opening, Refused, Report, Settings},
    Asker, ROUTER, Said, few, frames,
};
use crate::{
    cookie::Cookie,
    link::LinkLayer,
    target::Target,
    time::Instant,
    wire::{self, tcp::Flags},
};

pub(super) const ACK: Flags = Flags::ACK;
pub(super) const PSH: Flags = Flags(0x18);
pub(super) const FIN: Flags = Flags(0x11);
pub(super) const RST: Flags = Flags::RST;
pub(super) const SYN_ACK: Flags = Flags(0x12);

/// The number of our first octet.
const OURS_AT: u32 = u32::MAX - 99;
/// The number of theirs.
const THEIRS_AT: u32 = u32::MAX - 999;

pub(super) const HOST: Target =
    Target { addr: std::net::IpAddr::V4(Ipv4Addr::new(198, 19, 0, 7)), port: 443 };
pub(super) const PORT: u16 = 61_000;
/// The length of the request, unless a test says otherwise.
pub(super) const REQUEST: u32 = 300;

/// What we sent, counted from the first octets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Sent {
    pub(super) seq: i32,
    pub(super) ack: i32,
    pub(super) flags: Flags,
    pub(super) len: usize,
    pub(super) window: u16,
    pub(super) sack: Option<(i32, i32)>,
}

/// An acknowledgement of `ack` octets, after the request.
pub(super) fn acks(ack: i32) -> Sent {
    let window = 65_535;
    Sent { seq: REQUEST as i32, ack, flags: ACK, len: 0, window, sack: None }
}

/// The same, and it says what arrived beyond a hole.
pub(super) fn sacks(ack: i32, block: (i32, i32)) -> Sent {
    Sent { sack: Some(block), ..acks(ack) }
}

/// The request, whole, while `ack` octets were received.
pub(super) fn asks(ack: i32) -> Sent {
    Sent { seq: 0, flags: PSH, len: REQUEST as usize, ..acks(ack) }
}

/// Our reset behind `seq` octets.
pub(super) fn resets(seq: i32) -> Sent {
    let ack = 0_u32.wrapping_sub(THEIRS_AT) as i32;
    Sent { seq, ack, flags: RST, len: 0, window: 0, sack: None }
}

pub(super) struct Hand {
    pub(super) flows: Flows,
    pub(super) id: FlowId,
    pub(super) now: Instant,
    /// The SYN-ACK, whose fields later segments share.
    pub(super) syn_ack: Said,
    frames: Frames,
    asker: Asker,
}

impl Hand {
    /// A flow whose host takes 64,240 octets, and permits SACK.
    pub(super) fn new() -> Self {
        Self::with(few(), |_| ())
    }

    /// The same, once the request was sent and acknowledged.
    pub(super) fn asked() -> Self {
        let mut hand = Self::new();
        assert_eq!(hand.sent(), [asks(0)]);
        assert_eq!(hand.says(0, ACK, b""), Handled::Quiet);
        hand
    }

    pub(super) fn with(settings: Settings, change: impl FnOnce(&mut Said)) -> Self {
        Self::asking(settings, &[REQUEST as usize], change)
    }

    /// A flow that asks requests of these lengths, after a SYN-ACK that `change` has changed.
    pub(super) fn asking(
        settings: Settings,
        lens: &[usize],
        change: impl FnOnce(&mut Said),
    ) -> Self {
        let mut syn_ack = Said {
            from: HOST,
            to_port: PORT,
            seq: THEIRS_AT.wrapping_sub(1),
            ack: OURS_AT,
            flags: SYN_ACK,
            window: 64_240,
            options: vec![MaximumSegmentSize(1_460), SelectiveAcknowledgementPermitted],
            payload: Vec::new(),
        };
        change(&mut syn_ack);
        let mut flows = Flows::new(settings, Cookie::from_key(&[3; 16])).unwrap();
        let now = Instant::from_nanos(1_234_567_890);
        let id = open(&mut flows, &syn_ack, lens[0] as u32, now).unwrap();
        Self { flows, id, now, syn_ack, frames: frames(), asker: Asker::new(lens) }
    }

    /// The host says `payload` at `seq`, having all that was sent.
    pub(super) fn says(&mut self, seq: i32, flags: Flags, payload: &[u8]) -> Handled {
        self.says_acking(seq, REQUEST as i32, flags, payload)
    }

    pub(super) fn says_acking(
        &mut self,
        seq: i32,
        ack: i32,
        flags: Flags,
        payload: &[u8],
    ) -> Handled {
        self.hears(&self.said(seq, ack, flags, payload))
    }

    pub(super) fn said(&self, seq: i32, ack: i32, flags: Flags, payload: &[u8]) -> Said {
        Said {
            seq: THEIRS_AT.wrapping_add(seq as u32),
            ack: OURS_AT.wrapping_add(ack as u32),
            flags,
            options: Vec::new(),
            payload: payload.to_vec(),
            ..self.syn_ack.clone()
        }
    }

    pub(super) fn hears(&mut self, said: &Said) -> Handled {
        let frame = said.frame();
        let packet = wire::parse(&frame, LinkLayer::Ethernet).unwrap();
        self.flows.handle(&Incoming::of(&packet).unwrap(), self.now)
    }

    /// All that is to be sent now.
    pub(super) fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(outgoing) = self.flows.poll_transmit(self.now, &mut self.asker) {
            let mut slot = [0; 2_048];
            let len = self.frames.write(&mut slot, &outgoing);
            let packet = wire::parse(&slot[..len.into()], LinkLayer::Ethernet).unwrap();
            let incoming = Incoming::of(&packet).unwrap();
            let segment = incoming.segment;
            assert_eq!((incoming.remote.port, incoming.local_port), (PORT, HOST.port));
            let theirs = |number: u32| number.wrapping_sub(THEIRS_AT) as i32;
            sent.push(Sent {
                seq: segment.seq().wrapping_sub(OURS_AT) as i32,
                ack: theirs(segment.ack()),
                flags: segment.flags(),
                len: segment.payload().len(),
                window: segment.window(),
                sack: outgoing.sack.map(|(first, end)| (theirs(first), theirs(end))),
            });
        }
        assert_eq!(self.flows.pending(), 0);
        sent
    }

    /// Lets time pass up to `millis` from now, sending nothing; whether the flow ended, and when.
    pub(super) fn waits(&mut self, millis: u64) -> Option<Duration> {
        let (from, until) = (self.now, self.now + Duration::from_millis(millis));
        while let Some(due) = self.flows.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            if let Some(id) = self.flows.poll_ended(self.now) {
                assert_eq!(id, self.id);
                return Some(self.now.since(from));
            }
        }
        self.now = until;
        None
    }

    pub(super) fn data(&self) -> &[u8] {
        self.flows.data(self.id)
    }

    /// Closes the flow: what is left of it, and what is sent for it.
    pub(super) fn close(&mut self) -> (Report, Vec<Sent>) {
        let report = self.flows.close(self.id).expect("it was not closed");
        assert_eq!(self.flows.close(self.id), None, "there is one report a flow");
        let sent = self.sent();
        assert!(self.flows.is_empty() && self.flows.buffered() == 0);
        assert_eq!(self.flows.poll_timeout(), None);
        (report, sent)
    }
}

pub(super) fn open(
    flows: &mut Flows,
    syn_ack: &Said,
    request_len: u32,
    now: Instant,
) -> Result<FlowId, Refused> {
    let frame = syn_ack.frame();
    let packet = wire::parse(&frame, LinkLayer::Ethernet).unwrap();
    let syn_ack = Incoming::of(&packet).unwrap();
    assert_eq!(flows.handle(&syn_ack, now), Handled::Stranger);
    flows.open(&Opening { syn_ack, next_hop: ROUTER, label: 7, word: 9, request_len }, now)
}

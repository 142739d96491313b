//! The SYN of a scan that talks to those who answer.

use std::{fmt, marker::PhantomData};

use mrpf_engine::{
    probe::{Claim, Connects, Invalid, Probe, Shot, Syn},
    sources::Family,
    target::Target,
    wire::Packet,
};
use mrpf_syn::{Reply, Reset, SynProbe};

/// A [`SynProbe`] whose answers open connections; `R` is what is made of one.
#[derive(Debug)]
pub struct ConnectProbe<R> {
    syn: SynProbe,
    made: PhantomData<fn() -> R>,
}

/// What became of a target that answered.
#[derive(Debug)]
pub enum Told<R> {
    /// There was no connection: a RST or an ICMP error.
    Answer(Reply),
    /// What was made of the connection.
    Talk(R),
}

impl<R> ConnectProbe<R> {
    pub(crate) fn new(syn: SynProbe) -> Self {
        Self { syn, made: PhantomData }
    }
}

impl<R: fmt::Debug + Send + 'static> Probe for ConnectProbe<R> {
    type Reply = Told<R>;
    type Closing = Reset;

    fn frame_len(&self) -> usize {
        self.syn.frame_len()
    }

    fn prepare(&self, slot: &mut [u8], family: Family) {
        self.syn.prepare(slot, family);
    }

    #[inline]
    fn make(&self, slot: &mut [u8], shot: &Shot) -> u16 {
        self.syn.make(slot, shot)
    }

    #[inline]
    fn validate(&self, packet: &Packet<'_>) -> Result<Claim, Invalid> {
        self.syn.validate(packet)
    }

    fn classify(&self, packet: &Packet<'_>) -> Told<R> {
        Told::Answer(self.syn.classify(packet))
    }

    fn closing(&self, packet: &Packet<'_>) -> Option<Reset> {
        self.syn.closing(packet)
    }

    fn make_closing(&self, slot: &mut [u8], closing: &Reset) -> u16 {
        self.syn.make_closing(slot, closing)
    }
}

impl<R: fmt::Debug + Send + 'static> Connects for ConnectProbe<R> {
    fn syn(&self, remote: Target, local_port: u16) -> Syn {
        self.syn.syn(remote, local_port)
    }

    fn quoted(&self, packet: &Packet<'_>) -> Option<(Target, u16, Option<u32>)> {
        self.syn.quoted(packet)
    }
}

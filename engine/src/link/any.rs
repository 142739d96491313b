//! A half of whichever link was chosen when the scan began.

use std::time::Duration;

use super::{
    Frame, LinkError, Rx, Screened, Sent, Tx,
    packet::{PacketRx, PacketTx},
    xdp::{XdpRx, XdpTx},
};

/// A half that sends.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few a scan, and none is moved once it sends"
)]
pub enum AnyTx {
    /// Through a packet socket.
    Packet(PacketTx),
    /// Through an XDP program.
    Xdp(XdpTx),
}

/// A half that receives.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there are a few a scan, and none is moved once it sends"
)]
pub enum AnyRx {
    /// Through a packet socket.
    Packet(PacketRx),
    /// Through an XDP program.
    Xdp(XdpRx),
}

impl Tx for AnyTx {
    fn slots(&self) -> usize {
        match self {
            Self::Packet(tx) => tx.slots(),
            Self::Xdp(tx) => tx.slots(),
        }
    }

    #[inline]
    fn frame(&mut self, slot: usize) -> &mut [u8] {
        match self {
            Self::Packet(tx) => tx.frame(slot),
            Self::Xdp(tx) => tx.frame(slot),
        }
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        match self {
            Self::Packet(tx) => tx.send(lens),
            Self::Xdp(tx) => tx.send(lens),
        }
    }

    fn places(&self) -> usize {
        match self {
            Self::Packet(tx) => tx.places(),
            Self::Xdp(tx) => tx.places(),
        }
    }

    #[inline]
    fn place(&self, slot: usize) -> usize {
        match self {
            Self::Packet(tx) => tx.place(slot),
            Self::Xdp(tx) => tx.place(slot),
        }
    }

    fn lost(&mut self) -> u64 {
        match self {
            Self::Packet(tx) => tx.lost(),
            Self::Xdp(tx) => tx.lost(),
        }
    }

    fn drain(&mut self) {
        match self {
            Self::Packet(tx) => tx.drain(),
            Self::Xdp(tx) => tx.drain(),
        }
    }
}

impl Rx for AnyRx {
    fn receive(&mut self, wait: Duration, take: impl FnMut(Frame<'_>)) -> Result<usize, LinkError> {
        match self {
            Self::Packet(rx) => rx.receive(wait, take),
            Self::Xdp(rx) => rx.receive(wait, take),
        }
    }

    fn ring_drops(&mut self) -> u64 {
        match self {
            Self::Packet(rx) => rx.ring_drops(),
            Self::Xdp(rx) => rx.ring_drops(),
        }
    }

    fn screened(&mut self) -> Screened {
        match self {
            Self::Packet(rx) => rx.screened(),
            Self::Xdp(rx) => rx.screened(),
        }
    }

    fn recount(&mut self) {
        match self {
            Self::Packet(rx) => rx.recount(),
            Self::Xdp(rx) => rx.recount(),
        }
    }
}

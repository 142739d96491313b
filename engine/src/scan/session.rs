//! What the threads of a scan share, whether it has a list of targets or not.

use std::sync::{Mutex, PoisonError};

use super::{NDP, Stop};
use crate::{
    governor::{Governor, Rate},
    link::{Frame, LinkLayer, allowance::Allowance},
    neighbour::{ArpCounts, NextHops},
    stats::{Counters, Counts},
    wire::{self, Network, Packet, Transport},
};

/// Pace, counters, way out and end of a scan: all that listeners need which ask by themselves (see [`Listening`]), and what
/// [`Shared`] adds targets to.
///
/// A listener takes each frame that it sends from the [governor](Self::governor), counts each batch with [`Counters::batch`], and
/// reads each frame by [`parse`](Self::parse). Of what parses it counts one of
///
/// ```text
///  valid and first | duplicate | late | refused | abandoned     an answer to us
///  segments                                                      of a connection
///  Counters::invalid(why), invalid_target                        neither
/// ```
///
/// so that sent and received frames add up: see [`stats`](crate::stats).
///
/// [`Listening`]: super::Listening
/// [`Shared`]: super::Shared
#[derive(Debug)]
pub struct Session {
    pub(super) next_hops: NextHops,
    pub(super) layer: LinkLayer,
    pub(super) rate: Rate,
    pub(super) governor: Governor,
    pub(super) counters: Counters,
    pub(super) stop: Stop,
    /// Written once a second by a thread that sends nothing.
    exceeded: Mutex<Option<Allowance>>,
}

impl Session {
    /// A scan at `rate`, all frames together, that `stop` ends.
    pub fn new(stop: Stop, rate: Rate, next_hops: NextHops, layer: LinkLayer) -> Self {
        Self {
            next_hops,
            layer,
            rate,
            governor: Governor::new(rate),
            counters: Counters::default(),
            stop,
            exceeded: Mutex::new(None),
        }
    }

    /// Parses a frame where it lies; `None` for what is no answer to anyone, which is counted.
    #[inline]
    pub fn parse<'a>(&self, frame: &Frame<'a>) -> Option<Packet<'a>> {
        let counters = &self.counters;
        counters.received.add(1);
        let packet = match wire::parse(frame.bytes, self.layer) {
            Ok(packet) => packet,
            Err(malformed) => {
                counters.malformed(malformed);
                return None;
            }
        };
        match &packet.network {
            Network::Arp(_) => {}
            Network::Ipv6(_, Transport::Icmpv6(message)) if NDP.contains(&message.kind()) => {}
            _ => return Some(packet),
        }
        counters.arp_received.add(1);
        None
    }

    /// What all threads have counted so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// A copy of the counters.
    pub fn counts(&self) -> Counts {
        self.counters.counts()
    }

    /// Counts what was sent and received before the scan to find neighbours, so that its sums agree with the interface's.
    pub fn count_neighbours(&self, arp: ArpCounts) {
        let ArpCounts { sent, dropped, received } = arp;
        self.counters.generated.add(sent + dropped);
        self.counters.sent.add(sent);
        self.counters.dropped_other.add(dropped);
        self.counters.arp_requests.add(sent);
        self.counters.received.add(received);
        self.counters.arp_received.add(received);
    }

    /// The bucket that every frame is taken from.
    pub fn governor(&self) -> &Governor {
        &self.governor
    }

    /// The rate in force when the scan began.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// How many frames are worth a system call at this rate: half a millisecond's, or what fits into a batch.
    pub fn batch(&self) -> u32 {
        super::batch(self.rate)
    }

    /// Where frames go first.
    pub fn next_hops(&self) -> &NextHops {
        &self.next_hops
    }

    /// The handle that ends the scan early.
    pub fn stop(&self) -> &Stop {
        &self.stop
    }

    /// What the network behind the interface has exceeded since the scan began; `None` where nothing tells.
    pub fn exceeded(&self) -> Option<Allowance> {
        *self.exceeded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_exceeded(&self, exceeded: Allowance) {
        *self.exceeded.lock().unwrap_or_else(PoisonError::into_inner) = Some(exceeded);
    }
}

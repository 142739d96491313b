//! Who is to send, in turn, and what.

use super::{
    About, FlowId, Flows, Incoming, Outgoing, Requests,
    flow::{Flow, State},
    flows::NONE,
};
use crate::{
    target::Target,
    time::Instant,
    wire::{MacAddr, tcp::Flags},
};

/// Resets that may be owed to strangers at once. More come when their hosts speak again, so a storm of them is answered by a
/// trickle.
pub(super) const MOST_STRAYS: usize = 64;

/// The flows that have something to send, first come first served: a list through the flows themselves.
#[derive(Debug)]
pub(super) struct Queue {
    first: u32,
    last: u32,
    len: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

/// A reset for who has no flow.
#[derive(Debug)]
pub(super) struct Stray {
    remote: Target,
    local_port: u16,
    next_hop: MacAddr,
    label: u32,
    seq: u32,
}

impl Flows {
    /// How many flows and strangers wait to send: what to ask the governor for. Some need more than one segment, and one that has
    /// ended meanwhile needs none.
    pub fn pending(&self) -> usize {
        self.queue.len + self.strays.len()
    }

    /// How many of them are strangers, whom nobody need wait for.
    pub fn strays(&self) -> usize {
        self.strays.len()
    }

    /// The next segment to be sent, which must leave now: its timers run.
    ///
    /// # Panics
    ///
    /// When `requests` gives fewer octets than were announced.
    pub fn poll_transmit<'r>(
        &mut self,
        now: Instant,
        requests: &'r mut impl Requests,
    ) -> Option<Outgoing<'r>> {
        while let Some(number) = self.dequeue() {
            let flow = &mut self.flows[number as usize];
            if let State::Closing { reset } = flow.state {
                let outgoing = reset_of(flow);
                self.free(number);
                if reset {
                    return Some(outgoing);
                }
                continue;
            }
            if flow.state != State::Open {
                continue;
            }
            let Some(sending) = flow.send(now) else { continue };
            let Flow { remote, local_port, next_hop, label, word, request, generation, .. } = *flow;
            self.attend(number);
            let payload = if sending.part.is_empty() {
                &[]
            } else {
                let flow = FlowId { number, generation };
                let about = About { flow, remote, local_port, word, request };
                &requests.bytes(&about)[sending.part]
            };
            return Some(Outgoing {
                remote,
                local_port,
                next_hop,
                seq: sending.seq.0,
                ack: sending.ack.0,
                flags: sending.flags,
                window: sending.window,
                sack: sending.sack,
                payload,
                label,
            });
        }
        let Stray { remote, local_port, next_hop, label, seq } = self.strays.pop_front()?;
        Some(reset(remote, local_port, next_hop, label, seq))
    }

    /// Owes a reset to who sent a segment that belongs to no flow: a SYN-ACK that cannot be used, or what follows a reset that
    /// was lost or had the wrong number. The caller knows by the cookie that we did speak to them. `next_hop` and `label` as in
    /// [`Opening`](super::Opening).
    pub fn refuse(&mut self, incoming: &Incoming<'_>, next_hop: MacAddr, label: u32) {
        let Incoming { remote, local_port, segment, .. } = *incoming;
        let flags = segment.flags();
        if flags.contains(Flags::RST) || !flags.contains(Flags::ACK) {
            return;
        }
        if self.strays.len() == MOST_STRAYS {
            self.counts.strays_skipped += 1;
            return;
        }
        // What a host acknowledges is what it expects next (RFC 9293, section 3.10.7.1).
        self.strays.push_back(Stray { remote, local_port, next_hop, label, seq: segment.ack() });
    }

    pub(super) fn enqueue(&mut self, number: u32) {
        let flow = &mut self.flows[number as usize];
        if flow.is_queued {
            return;
        }
        flow.is_queued = true;
        flow.link = NONE;
        match self.flows.get_mut(self.queue.last as usize) {
            Some(last) => last.link = number,
            None => self.queue.first = number,
        }
        self.queue.last = number;
        self.queue.len += 1;
    }

    fn dequeue(&mut self) -> Option<u32> {
        let number = self.queue.first;
        let flow = self.flows.get_mut(number as usize)?;
        flow.is_queued = false;
        self.queue.first = std::mem::replace(&mut flow.link, NONE);
        if self.queue.first == NONE {
            self.queue.last = NONE;
        }
        self.queue.len -= 1;
        Some(number)
    }
}

fn reset_of<'a>(flow: &Flow) -> Outgoing<'a> {
    reset(flow.remote, flow.local_port, flow.next_hop, flow.label, flow.reset_seq())
}

fn reset<'a>(
    remote: Target,
    local_port: u16,
    next_hop: MacAddr,
    label: u32,
    seq: u32,
) -> Outgoing<'a> {
    Outgoing {
        remote,
        local_port,
        next_hop,
        seq,
        ack: 0,
        flags: Flags::RST,
        window: 0,
        sack: None,
        payload: &[],
        label,
    }
}

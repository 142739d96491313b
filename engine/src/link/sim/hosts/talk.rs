//! One connection of a host that speaks: the passive side of TCP (RFC 9293), as small as it can be and still be believed.
//!
//! ```text
//! segment -> hearing -> voice -> words ----> segments: a burst of 10, more with each acknowledgement, within the peer's window
//!                                  |            |
//!                                  '- acked <---'- again after 300 ms, 600 ms ..., or after the third repeated acknowledgement
//! ```
//!
//! It goes back to the first octet that is missing and ignores what selective acknowledgements say beyond it, which is slow
//! and right. Resets and SYNs that do not have the expected number are answered by a challenge (RFC 5961).
//!
//! Every state of it has one time at which it is next woken, and ends.

mod hearing;

use std::{fmt, net::IpAddr, time::Duration};

use self::hearing::Hearing;
use super::{
    Delivery, HostCounts,
    question::Question,
    reply::{self, ACK, FIN, PSH, RST, SYN, Segment},
    speaker::{Order, Speaker, Then, Voice},
};
use crate::{target::Target, time::Instant};

const TTL: u8 = 64;
/// By how many bits our windows are shifted where the peer shifts its own.
const SHIFT: u8 = 7;
/// The largest shift that counts (RFC 7323, section 2.3).
const MOST_SHIFT: u8 = 14;
/// What a peer takes in one segment that does not say (RFC 9293, section 3.7.1), over IPv4 and over IPv6.
const DEFAULT_MSS: (u16, u16) = (536, 1_220);
/// Segments that leave together at first (RFC 6928), and at most.
const BURSTS: (usize, usize) = (10, 40);
/// How long the first acknowledgement is waited for, beyond what the host itself delays.
const FIRST_RTO: Duration = Duration::from_millis(300);
/// The longest request that is waited for; what follows finds a closed window.
const MOST_ASKED: usize = 1 << 16;
/// How often something is said again: the last time after a minute and a quarter.
const MOST_TRIES: u32 = 8;
/// How long a connection may be idle.
const IDLE: Duration = Duration::from_secs(63);
/// How long one that both sides have closed is remembered, in case that the peer did not hear it.
const LINGER: Duration = Duration::from_secs(2);

/// Takes a segment that leaves, with the link header of the peer's frames.
pub(super) type Out<'a> = &'a mut dyn FnMut(&[u8], &Segment<'_>);

pub(super) struct Talk {
    speaker: Speaker,
    voice: Voice,
    link: Box<[u8]>,
    pub(super) delivery: Delivery,
    ends: (IpAddr, IpAddr),
    ports: (u16, u16),
    /// The numbers of the first octets.
    ours: u32,
    theirs: u32,
    hearing: Hearing,
    /// Whether the window is still zero, and when it opens.
    is_shut: bool,
    opens_at: Instant,
    /// All that is to be said, and what follows; a FIN counts as an octet behind the last.
    words: Vec<u8>,
    then: Then,
    acked: usize,
    next: usize,
    /// How much was ever said.
    said: usize,
    burst: usize,
    repeats: u32,
    segment: usize,
    peer_window: usize,
    /// By how many bits the peer's windows are shifted, and ours; `None` when the peer does not shift.
    peer_shift: Option<u8>,
    permits_sack: bool,
    rto: Duration,
    tries: u32,
    due: Instant,
    is_gone: bool,
}

impl Talk {
    /// A connection that `syn` asks for and that is not there until the peer acknowledges the [SYN-ACK](Self::syn_ack).
    pub(super) fn new(speaker: &Speaker, syn: &Question<'_>, isn: u32, delivery: Delivery) -> Self {
        let offer = syn.offer();
        let default_mss = if syn.source.is_ipv4() { DEFAULT_MSS.0 } else { DEFAULT_MSS.1 };
        let peer_mss = offer.mss.unwrap_or(default_mss).max(1);
        Self {
            voice: speaker.voice(Target { addr: syn.destination, port: syn.destination_port }),
            link: syn.link.into(),
            delivery,
            ends: (syn.destination, syn.source),
            ports: (syn.destination_port, syn.source_port),
            ours: isn.wrapping_add(1),
            theirs: syn.seq.wrapping_add(1),
            hearing: Hearing::default(),
            is_shut: speaker.opens_after.is_some(),
            opens_at: Instant::NEVER,
            words: Vec::new(),
            then: Then::Wait,
            acked: 0,
            next: 0,
            said: 0,
            burst: BURSTS.0,
            repeats: 0,
            segment: usize::from(speaker.segment.min(peer_mss)),
            peer_window: usize::from(syn.window),
            peer_shift: offer.scale.map(|shift| shift.min(MOST_SHIFT)),
            permits_sack: offer.permits_sack,
            rto: Duration::ZERO,
            tries: 0,
            due: Instant::NEVER,
            is_gone: false,
            speaker: speaker.clone(),
        }
    }

    /// Writes the frame that answers the SYN, with the options of those that it offered.
    pub(super) fn syn_ack(&self, out: &mut Vec<u8>) {
        const NOP: u8 = 1;
        let mut options = Vec::new();
        if let Some(mss) = self.speaker.mss {
            options.extend([2, 4]);
            options.extend(mss.to_be_bytes());
        }
        if self.permits_sack {
            options.extend([NOP, NOP, 4, 2]);
        }
        if self.peer_shift.is_some() {
            options.extend([NOP, 3, 3, SHIFT]);
        }
        // A window in a SYN-ACK is never shifted.
        let window = if self.is_shut { 0 } else { self.speaker.window };
        let seq = self.ours.wrapping_sub(1);
        let segment = Segment { seq, window, options: &options, ..self.segment(SYN | ACK, 0, &[]) };
        reply::segment_after(out, &self.link, &segment);
    }

    pub(super) fn due(&self) -> Instant {
        self.due.min(self.opens_at)
    }

    /// Whether there is nothing left of it.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone
    }

    /// The handshake is complete: a host that speaks first does so with the next segment.
    pub(super) fn begin(&mut self, now: Instant) {
        if let Some(wait) = self.speaker.opens_after {
            self.opens_at = now + wait;
        }
        self.rto = self.first_rto();
        self.answer();
    }

    /// Takes a segment of the peer.
    pub(super) fn hear(
        &mut self,
        question: &Question<'_>,
        now: Instant,
        counts: &mut HostCounts,
        send: Out<'_>,
    ) {
        let at = question.seq.wrapping_sub(self.theirs);
        if question.is_rst {
            let ahead = at.wrapping_sub(self.hearing.next());
            match ahead {
                0 => {
                    self.is_gone = true;
                    counts.resets += 1;
                }
                _ if ahead < u32::from(self.speaker.window) => {
                    counts.challenged += 1;
                    self.acknowledge(send);
                }
                _ => counts.stray_resets += 1,
            }
            return;
        }
        if question.is_syn {
            counts.challenged += 1;
            return self.acknowledge(send);
        }
        let acked = question.ack.wrapping_sub(self.ours).cast_signed();
        if !question.is_ack || acked > self.said.try_into().unwrap_or(i32::MAX) {
            counts.ignored += 1;
            return;
        }
        let is_bare = question.payload.is_empty() && !question.is_fin;
        self.acknowledged(usize::try_from(acked).unwrap_or(0), is_bare);
        self.peer_window = usize::from(question.window) << self.peer_shift.unwrap_or(0);
        if self.hearing.take(at, question.payload, question.is_fin, self.room()) {
            self.answer();
        }
        if !self.speak(counts, send) && !is_bare {
            self.acknowledge(send);
        }
        self.rest(now);
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Instant, counts: &mut HostCounts, send: Out<'_>) {
        if now >= self.opens_at {
            (self.is_shut, self.opens_at) = (false, Instant::NEVER);
            self.acknowledge(send);
            return;
        }
        let is_waited_for = self.acked < self.end();
        if self.is_over() {
            self.is_gone = true;
        } else if !is_waited_for || self.tries == MOST_TRIES {
            self.is_gone = true;
            counts.expired += 1;
        } else {
            self.tries += 1;
            self.rto *= 2;
            (self.next, self.burst) = (self.acked, 1);
            if !self.speak(counts, send) {
                // The window is zero: one octet asks whether it still is (RFC 9293, section 3.8.6.1).
                self.say(self.acked, self.acked + 1, false, counts, send);
            }
            self.rest(now);
        }
    }

    fn first_rto(&self) -> Duration {
        FIRST_RTO + self.delivery.delay + self.delivery.jitter
    }

    /// Where the words end, the FIN included.
    fn end(&self) -> usize {
        self.words.len() + usize::from(self.then == Then::Finish)
    }

    fn is_over(&self) -> bool {
        self.hearing.is_over() && self.acked == self.end()
    }

    /// Octets that are taken from the next on.
    fn room(&self) -> usize {
        let open = if self.is_shut { 0 } else { usize::from(self.speaker.window) };
        open.min(MOST_ASKED.saturating_sub(self.hearing.asked().len()))
    }

    fn acknowledged(&mut self, acked: usize, is_bare: bool) {
        if acked > self.acked {
            let segments = (acked - self.acked).div_ceil(self.segment);
            self.burst = (self.burst + segments).min(BURSTS.1);
            self.acked = acked;
            self.next = self.next.max(acked);
            (self.repeats, self.tries, self.rto) = (0, 0, self.first_rto());
        } else if acked == self.acked && acked < self.said && is_bare {
            self.repeats += 1;
            if self.repeats == 3 {
                (self.next, self.burst) = (self.acked, 4);
            }
        }
    }

    /// Lets the voice answer what was heard.
    fn answer(&mut self) {
        if self.then == Then::Wait {
            let say = (self.voice)(self.hearing.asked());
            if !say.is_nothing() {
                self.hearing.forget();
                self.words.extend(say.bytes);
                self.then = say.then;
            }
        }
        if self.then == Then::Wait && self.hearing.is_over() {
            self.then = Then::Finish;
        }
    }

    /// Says what may be said now; false when that is nothing.
    fn speak(&mut self, counts: &mut HostCounts, send: Out<'_>) -> bool {
        let room = (self.burst * self.segment).min(self.peer_window);
        let allowed = self.words.len().min(self.acked + room);
        let overlap = usize::from(self.speaker.overlap).min(self.segment - 1);
        let mut pieces = Vec::new();
        while self.next < allowed {
            let from = self.next.saturating_sub(overlap).max(self.acked);
            self.next = (from + self.segment).min(allowed);
            pieces.push((from, self.next, false));
        }
        if self.next == self.words.len() && self.then == Then::Finish {
            match pieces.last_mut() {
                Some((_, _, is_last)) => *is_last = true,
                None => pieces.push((self.next, self.next, true)),
            }
            self.next += 1;
        }
        if self.speaker.order == Order::Backward {
            pieces.reverse();
        }
        for (from, to, is_last) in &pieces {
            self.say(*from, *to, *is_last, counts, send);
        }
        if self.then == Then::Reset {
            send(&self.link, &self.segment(RST | ACK, self.next, &[]));
            self.is_gone = true;
        }
        !pieces.is_empty() || self.is_gone
    }

    /// Says the words `from..to`, with FIN when those are the last.
    fn say(
        &mut self,
        from: usize,
        to: usize,
        is_last: bool,
        counts: &mut HostCounts,
        send: Out<'_>,
    ) {
        let after = to + usize::from(is_last);
        counts.said_again += u64::from(after <= self.said);
        self.said = self.said.max(after);
        let push = if to == self.words.len() { PSH } else { 0 };
        let fin = if is_last { FIN } else { 0 };
        let payload = self.words.get(from..to).unwrap_or_default();
        send(&self.link, &self.segment(ACK | push | fin, from, payload));
    }

    fn acknowledge(&self, send: Out<'_>) {
        send(&self.link, &self.segment(ACK, self.said, &[]));
    }

    fn segment<'a>(&self, flags: u8, at: usize, payload: &'a [u8]) -> Segment<'a> {
        let shift = self.peer_shift.map_or(0, |_| SHIFT);
        Segment {
            ends: self.ends,
            source_port: self.ports.0,
            destination_port: self.ports.1,
            ttl: TTL,
            flags,
            seq: self.ours.wrapping_add(at as u32),
            ack: self.theirs.wrapping_add(self.hearing.next()),
            window: (self.room() >> shift) as u16,
            options: &[],
            data_offset: None,
            payload,
        }
    }

    /// Decides when it is next woken.
    fn rest(&mut self, now: Instant) {
        let wait = if self.is_over() {
            LINGER
        } else if self.acked < self.end() {
            self.rto
        } else {
            IDLE
        };
        self.due = now + wait;
    }
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk")
            .field("ends", &self.ends)
            .field("ports", &self.ports)
            .field("words", &self.words.len())
            .field("acked", &self.acked)
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

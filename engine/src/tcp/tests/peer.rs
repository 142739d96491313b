//! A host with a TCP of its own: it answers each whole request with a known number of octets, sends again what is not
//! acknowledged, and believes resets as RFC 5961 says.

use std::time::Duration;

use etherparse::TcpOptionElement::{MaximumSegmentSize, SelectiveAcknowledgementPermitted};

use super::{Asker, Said, octets};
use crate::{
    target::Target,
    time::Instant,
    wire::tcp::{Flags, Segment},
};

const FIRST_RTO: Duration = Duration::from_millis(300);

/// What one exchange is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) request: usize,
    pub(super) answer: usize,
}

pub(super) struct Peer {
    addr: Target,
    port: u16,
    exchanges: Vec<Exchange>,
    /// All that it will be asked, and all that it will say.
    requests: Vec<u8>,
    answers: Vec<u8>,
    /// The numbers of the first octets.
    ours: u32,
    theirs: u32,
    /// Which octets of the requests have come, and how many of them without a gap.
    arrived: Vec<bool>,
    heard: usize,
    acked: usize,
    next: usize,
    /// How much was ever said.
    said: usize,
    /// Segments that may be under way.
    window: usize,
    repeats: u32,
    rto: Duration,
    due: Instant,
    mss: usize,
    pub(super) opened: bool,
    pub(super) reset: bool,
    pub(super) challenges: u32,
}

impl Peer {
    pub(super) fn new(
        addr: Target,
        port: u16,
        word: u64,
        exchanges: &[Exchange],
        (ours, theirs): (u32, u32),
        mss: usize,
    ) -> Self {
        let exchanges = exchanges.to_vec();
        let each = |(n, exchange): (usize, &Exchange)| Asker::request(word, n, exchange.request);
        let requests: Vec<_> = exchanges.iter().enumerate().flat_map(each).collect();
        Self {
            addr,
            port,
            arrived: vec![false; requests.len()],
            requests,
            answers: octets(word, exchanges.iter().map(|exchange| exchange.answer).sum()),
            exchanges,
            ours,
            theirs,
            heard: 0,
            acked: 0,
            next: 0,
            said: 0,
            window: 10,
            repeats: 0,
            rto: FIRST_RTO,
            due: Instant::NEVER,
            mss,
            opened: false,
            reset: false,
            challenges: 0,
        }
    }

    pub(super) fn syn_ack(&mut self, now: Instant) -> Said {
        self.due = now + Duration::from_secs(1);
        let mss = MaximumSegmentSize(self.mss as u16);
        Said {
            seq: self.ours.wrapping_sub(1),
            ack: self.theirs,
            flags: Flags::SYN | Flags::ACK,
            options: vec![mss, SelectiveAcknowledgementPermitted],
            ..self.say(0, Flags::ACK, &[])
        }
    }

    pub(super) fn due(&self) -> Instant {
        if self.reset { Instant::NEVER } else { self.due }
    }

    /// Takes a segment of the client.
    pub(super) fn hear(&mut self, segment: &Segment<'_>, now: Instant, say: &mut impl FnMut(Said)) {
        let at = segment.seq().wrapping_sub(self.theirs) as i32;
        if self.reset {
            return;
        }
        if segment.flags().contains(Flags::RST) {
            if at == self.heard as i32 {
                self.reset = true;
            } else if (0..65_535).contains(&(at - self.heard as i32)) {
                self.challenges += 1;
                say(self.acknowledge());
            }
            return;
        }
        assert!(segment.flags().contains(Flags::ACK));
        self.opened = true;
        let acked = segment.ack().wrapping_sub(self.ours) as usize;
        assert!(acked <= self.said, "it acknowledges what was not said");
        if acked > self.acked {
            self.window = (self.window + (acked - self.acked).div_ceil(self.mss)).min(40);
            self.acked = acked;
            self.next = self.next.max(acked);
            self.repeats = 0;
            self.rto = FIRST_RTO;
        } else if acked < self.said && segment.payload().is_empty() {
            self.repeats += 1;
            if self.repeats == 3 {
                self.next = self.acked; // all again
                self.window = 4;
            }
        }
        let payload = segment.payload();
        if !payload.is_empty() {
            let whole = &self.requests[at as usize..at as usize + payload.len()];
            assert_eq!(payload, whole, "it asks something else");
            self.arrived[at as usize..at as usize + payload.len()].fill(true);
            self.heard = self.arrived.iter().take_while(|has| **has).count();
            say(self.acknowledge());
        }
        self.speak(say);
        let is_waited_for = self.acked < self.said;
        self.due = if is_waited_for { now + self.rto } else { Instant::NEVER };
    }

    /// Does what is due.
    pub(super) fn wake(&mut self, now: Instant, say: &mut impl FnMut(Said)) {
        if !self.opened {
            let again = self.syn_ack(now);
            return say(again);
        }
        self.rto *= 2;
        self.next = self.acked;
        self.window = 1;
        self.speak(say);
        self.due = now + self.rto;
    }

    /// Says what may be said.
    fn speak(&mut self, say: &mut impl FnMut(Said)) {
        let (mut asked, mut sayable) = (0, 0);
        for exchange in &self.exchanges {
            asked += exchange.request;
            if asked <= self.heard {
                sayable += exchange.answer;
            }
        }
        let allowed = (self.acked + self.window * self.mss).min(self.acked + 65_535).min(sayable);
        while self.next < allowed {
            let end = (self.next + self.mss).min(allowed);
            let flags = if end == sayable { Flags::ACK | Flags::PSH } else { Flags::ACK };
            let part = self.answers[self.next..end].to_vec();
            say(self.say(self.next, flags, &part));
            self.next = end;
            self.said = self.said.max(end);
        }
    }

    fn acknowledge(&self) -> Said {
        self.say(self.said, Flags::ACK, &[])
    }

    fn say(&self, at: usize, flags: Flags, payload: &[u8]) -> Said {
        Said {
            from: self.addr,
            to_port: self.port,
            seq: self.ours.wrapping_add(at as u32),
            ack: self.theirs.wrapping_add(self.heard as u32),
            flags,
            window: 64_240,
            options: Vec::new(),
            payload: payload.to_vec(),
        }
    }
}

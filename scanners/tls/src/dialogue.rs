//! What is said on a TLS connection: a hello, perhaps a second one, and no more.
//!
//! # Memory
//!
//! What hosts say is kept until their connection ends, up to 128 KiB of each. Hosts that say much, never all of it, and keep
//! the connection open would so hold gigabytes together. All that one listener's hosts hold is counted, and the connection that
//! would make it more than a [`BUDGET`] ends at once, as truncated; a host that sends its flight in one go holds a few
//! thousand octets for milliseconds.

use std::sync::Arc;

use mrpf_engine::{
    scan::{Dialogue, Turn},
    target::Target,
    tcp::{About, Report, Requests},
};

use crate::{
    capture::Capture,
    handshake::{Cut, Handshake, Next},
    hello::{Hello, KeyShares, Retry},
    names::ServerNames,
    probe::Told,
    salts::Salts,
};

/// Octets that the hosts of one listener hold together at most, and as much as its TCP holds of what was not read yet.
pub(crate) const BUDGET: usize = 64 << 20;

/// What is made of one connection.
#[derive(Debug)]
pub(crate) struct Talk {
    /// What the host told.
    pub capture: Capture,
    /// How the connection was.
    pub report: Report,
}

/// Says hello to hosts and reads what they answer. One a listener.
#[derive(Debug)]
pub(crate) struct TlsDialogue {
    hello: Arc<Hello>,
    shares: Arc<KeyShares>,
    names: ServerNames,
    salts: Salts,
    /// The latest hello that was written.
    written: Vec<u8>,
    /// By place.
    talks: Vec<Talking>,
    /// Octets that they hold, and may hold.
    held: usize,
    budget: usize,
}

/// One connection under way.
#[derive(Debug, Default)]
struct Talking {
    handshake: Handshake,
    retry: Option<Box<Retry>>,
}

impl Talking {
    fn held(&self) -> usize {
        self.handshake.held() + self.retry.as_ref().map_or(0, |retry| retry.cookie.capacity())
    }
}

impl TlsDialogue {
    pub(crate) fn new(
        hello: Arc<Hello>,
        shares: Arc<KeyShares>,
        names: ServerNames,
        salts: Salts,
        budget: usize,
    ) -> Self {
        let (written, talks) = (Vec::new(), Vec::new());
        Self { hello, shares, names, salts, written, talks, held: 0, budget }
    }

    /// Writes the latest hello of a connection.
    fn write(&mut self, remote: Target, local_port: u16, retry: Option<&Retry>) -> bool {
        let salt = self.salts.of(remote, local_port);
        let name = self.names.of(remote.addr);
        match retry {
            None => {
                self.hello.write(&mut self.written, &salt, name);
                true
            }
            Some(retry) => self.hello.write_retry(&mut self.written, &salt, name, retry).is_ok(),
        }
    }

    fn take(&mut self, about: &About) -> Talking {
        let talk = self.talks.get_mut(about.flow.place()).map(std::mem::take).unwrap_or_default();
        self.held -= talk.held();
        talk
    }
}

impl Requests for TlsDialogue {
    fn bytes(&mut self, about: &About) -> &[u8] {
        let retry = self.talks.get_mut(about.flow.place()).and_then(|talk| talk.retry.take());
        self.write(about.remote, about.local_port, retry.as_deref());
        if retry.is_some() {
            let talk = &mut self.talks[about.flow.place()];
            talk.retry = retry;
            talk.handshake.asked_again();
        }
        &self.written
    }
}

impl Dialogue for TlsDialogue {
    type Reply = Told<Box<Talk>>;

    fn request_len(&mut self, remote: Target) -> u32 {
        // Which port of ours it is changes what is written, and not how much.
        self.write(remote, 0, None);
        self.written.len() as u32
    }

    fn read(&mut self, about: &About, data: &[u8]) -> (usize, Turn) {
        let place = about.flow.place();
        if self.talks.len() <= place {
            self.talks.resize_with(place + 1, Talking::default);
        }
        let mut talk = std::mem::take(&mut self.talks[place]);
        let before = talk.held();
        self.write(about.remote, about.local_port, talk.retry.as_deref());
        let (read, next) = talk.handshake.read(&self.written, &self.shares, data);
        let turn = match next {
            Next::More => Turn::More,
            Next::Enough => Turn::Enough,
            Next::Retry(retry) if self.write(about.remote, about.local_port, Some(&retry)) => {
                talk.retry = Some(Box::new(retry));
                Turn::Ask(self.written.len() as u32)
            }
            // What the host wants is more than we have.
            Next::Retry(_) => Turn::Enough,
        };
        let now = talk.held();
        self.held = self.held - before + now;
        self.talks[place] = talk;
        if now > before && self.held > self.budget {
            return (read, Turn::Enough);
        }
        (read, turn)
    }

    fn end(&mut self, about: &About, report: &Report) -> Self::Reply {
        let capture = self.take(about).handshake.finish(Cut::from(report.end));
        Told::Talk(Box::new(Talk { capture, report: *report }))
    }

    fn forget(&mut self, about: &About) {
        self.take(about);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mrpf_engine::{
        cookie::Cookie,
        link::LinkLayer,
        tcp::{Flows, Incoming, Opening, Settings},
        time::Instant,
        wire::{self, ethernet::MacAddr},
    };
    use mrpf_records::{TlsOutcome, TlsStage};

    use super::*;
    use crate::{
        handshake::fuzzing::{certificate, clear, retry, server_hello},
        hello::Profile,
    };

    /// A connection on the first port and the next, `count` altogether.
    pub(crate) fn connections(count: u16) -> (Flows, Vec<About>) {
        let settings = Settings { flows: count.into(), ..Settings::default() };
        let mut flows = Flows::new(settings, Cookie::from_key(&[1; 16])).unwrap();
        let frame = include_bytes!("../../../engine/testdata/ipv6_syn_ack.bin");
        let packet = wire::parse(frame, LinkLayer::Ethernet).unwrap();
        let abouts = (0..count).map(|number| {
            let mut syn_ack = Incoming::of(&packet).unwrap();
            syn_ack.local_port += number;
            let next_hop = MacAddr([2; 6]);
            let opening = Opening { syn_ack, next_hop, label: 0, word: 0, request_len: 500 };
            let flow = flows.open(&opening, Instant::from_nanos(1)).unwrap();
            flows.about(flow).unwrap()
        });
        let abouts = abouts.collect();
        (flows, abouts)
    }

    fn dialogue(budget: usize) -> TlsDialogue {
        let shares = Arc::new(KeyShares::fresh().unwrap());
        let hello = Arc::new(Hello::new(Profile::Modern, Arc::clone(&shares)));
        TlsDialogue::new(hello, shares, ServerNames::None, Salts::new(&[1; 16]), budget)
    }

    fn end(dialogue: &mut TlsDialogue, flows: &mut Flows, about: &About) -> Capture {
        let report = flows.close(about.flow).unwrap();
        match dialogue.end(about, &report) {
            Told::Talk(talk) => talk.capture,
            Told::Answer(answer) => panic!("{answer:?}"),
        }
    }

    /// A certificate message of which 8,000 octets are there.
    fn unfinished() -> Vec<u8> {
        let chain = certificate(&[&[7; 9_000]], None);
        let mut octets = Vec::new();
        clear(&mut octets, 22, &[server_hello(0x0303, 0xc02f, &[]), chain].concat()[..8_000]);
        octets
    }

    #[test]
    fn hosts_that_hold_too_much_together_are_let_go() {
        let (mut flows, abouts) = connections(4);
        let mut dialogue = dialogue(30_000);
        let said = unfinished();
        let turns: Vec<Turn> = abouts.iter().map(|about| dialogue.read(about, &said).1).collect();
        assert_eq!(turns, [Turn::More, Turn::More, Turn::More, Turn::Enough]);
        assert!(dialogue.held > 30_000);
        // Who holds no more than before may stay.
        assert_eq!(dialogue.read(&abouts[0], &[]), (0, Turn::More));
        let capture = end(&mut dialogue, &mut flows, &abouts[3]);
        assert_eq!(
            (capture.outcome(), capture.stage()),
            (TlsOutcome::Truncated, TlsStage::ServerHello)
        );
        dialogue.forget(&abouts[0]);
        assert_eq!(dialogue.read(&abouts[0], &said).1, Turn::More, "there is room again");
        for about in &abouts[..3] {
            end(&mut dialogue, &mut flows, about);
        }
        assert_eq!(dialogue.held, 0);
    }

    #[test]
    fn captures_hold_no_more_than_they_say() {
        let (mut flows, abouts) = connections(1);
        let mut dialogue = dialogue(BUDGET);
        let said = [&[21, 3, 3, 0, 2, 2, 40][..], &[0; 60_000]].concat();
        assert_eq!(dialogue.read(&abouts[0], &said).1, Turn::Enough);
        let capture = end(&mut dialogue, &mut flows, &abouts[0]);
        assert_eq!((capture.outcome(), capture.octets.capacity()), (TlsOutcome::Alert, 0));
    }

    fn asks_again(extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let extensions = [&[(43, &[3, 4][..])], extensions].concat();
        let mut octets = Vec::new();
        for part in retry(&extensions).chunks(16_384) {
            clear(&mut octets, 22, part);
        }
        octets
    }

    #[test]
    fn a_second_hello_counts_once_it_goes_out() {
        for goes_out in [false, true] {
            let (mut flows, abouts) = connections(1);
            let mut dialogue = dialogue(BUDGET);
            let (_, turn) = dialogue.read(&abouts[0], &asks_again(&[(51, &[0, 24])]));
            let Turn::Ask(len) = turn else { panic!("{turn:?}") };
            if goes_out {
                assert_eq!(dialogue.bytes(&abouts[0]).len(), len as usize);
            }
            let capture = end(&mut dialogue, &mut flows, &abouts[0]);
            assert_eq!((capture.outcome(), capture.retried()), (TlsOutcome::Truncated, goes_out));
        }
    }

    #[test]
    fn what_no_second_hello_can_say() {
        let end_of = |said: &[u8]| {
            let (mut flows, abouts) = connections(1);
            let mut dialogue = dialogue(BUDGET);
            assert_eq!(dialogue.read(&abouts[0], said).1, Turn::Enough);
            let capture = end(&mut dialogue, &mut flows, &abouts[0]);
            assert!(!capture.retried());
            capture.outcome()
        };
        let cookie = [&16_384_u16.to_be_bytes()[..], &[7; 16_384]].concat();
        assert_eq!(end_of(&asks_again(&[(44, &cookie)])), TlsOutcome::Truncated);
        assert_eq!(end_of(&asks_again(&[(51, &[0x11, 0xec])])), TlsOutcome::Malformed);
        assert_eq!(end_of(&asks_again(&[(51, &[0, 29])])), TlsOutcome::Malformed);
    }
}

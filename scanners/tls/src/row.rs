//! From what came of a target to its row.

use std::{
    fmt::{self, Write as _},
    sync::Arc,
    time::{Duration, SystemTime},
};

use mrpf_engine::{
    scan::{Found, Outcome},
    tcp::{self, Report},
};
use mrpf_records::{Timestamp, Timings, TlsOutcome, TlsRecord, TlsStage};
use mrpf_syn::{ReplyKind, State};

use crate::{
    certificate::{Describer, distinguished_name, escaped},
    dialogue::Talk,
    fingerprint::ja3s,
    hello::Hello,
    names::ServerNames,
    probe::Told,
    service::service,
    trust::Truster,
    words,
};

/// So many certificates, and names of issuers, are told of one host: chains have ten at most, and what a host may send has
/// room for thousands, each of which would cost us more than it costs the host.
const MOST: usize = 64;

/// Writes rows; knows the certificates that it has seen.
pub(crate) struct Rows {
    names: ServerNames,
    hello: Arc<Hello>,
    describer: Describer,
    truster: Truster,
}

impl fmt::Debug for Rows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rows").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Rows {
    pub(crate) fn new(
        names: ServerNames,
        hello: Arc<Hello>,
        describer: Describer,
        truster: Truster,
    ) -> Self {
        Self { names, hello, describer, truster }
    }

    /// The row of a target, known at `ts`.
    pub(crate) fn row(&mut self, found: &Found<Told<Box<Talk>>>, ts: Timestamp) -> TlsRecord {
        let row = |outcome, stage| {
            TlsRecord::new(ts, found.target.addr, found.target.port, outcome, stage)
        };
        let mut row = match &found.outcome {
            Outcome::Silent => row(TlsOutcome::Timeout, TlsStage::Syn),
            Outcome::NoNeighbour => row(TlsOutcome::Unreachable, TlsStage::Syn),
            Outcome::Reply(Told::Answer(reply)) => match (&reply.kind, reply.state().0) {
                (ReplyKind::Icmp { .. }, _) | (_, State::Unreachable) => {
                    row(TlsOutcome::Unreachable, TlsStage::Syn)
                }
                _ => row(TlsOutcome::Refused, TlsStage::Syn),
            },
            Outcome::Reply(Told::Talk(talk)) => {
                let mut row = row(talk.capture.outcome(), stage(talk));
                self.tell(&mut row, talk, SystemTime::from(ts));
                row
            }
        };
        row.sni = self.hello.server_name(self.names.of(found.target.addr)).map(str::to_owned);
        row.attempts = (found.attempts > 0).then_some(found.attempts);
        row.timings = timings(found);
        row
    }

    /// Fills in what a host told.
    fn tell(&mut self, row: &mut TlsRecord, talk: &Talk, now: SystemTime) {
        let capture = &talk.capture;
        row.version = capture.version().map(words::version);
        row.cipher = capture.cipher().map(words::cipher);
        row.group = capture.group().map(words::group);
        row.alpn = capture.alpn().map(|octets| escaped(octets, &['\\']));
        row.alert = capture.alert().map(words::alert);
        row.client_auth = capture.client_auth().then_some(true);
        row.client_cas = capture.client_cas().take(MOST).map(distinguished_name).collect();
        row.ocsp_stapled = capture.ocsp().map(|_| true);
        row.scts = Some(capture.scts().count() as u32).filter(|count| *count > 0);
        row.ja3s = capture.server_hello().and_then(ja3s);
        row.retried = capture.retried().then_some(true);
        let chain: Vec<&[u8]> = capture.certificates().take(MOST).collect();
        row.certificates = chain.iter().map(|der| self.describer.describe(der)).collect();
        let name = self.hello.server_name(self.names.of(row.ip));
        row.trust = self.truster.trust(&chain, name, row.ip, now);
        let first = capture.first_bytes();
        if !first.is_empty() {
            row.first_bytes = Some(hex(first));
            row.service = service(first).map(Into::into);
        }
    }
}

/// How far a connection came: what TLS does not know, TCP does.
fn stage(talk: &Talk) -> TlsStage {
    match (talk.capture.stage(), talk.report.stage) {
        (TlsStage::Connected, tcp::Stage::Acknowledged | tcp::Stage::Answering) => TlsStage::Hello,
        (stage, _) => stage,
    }
}

fn timings(found: &Found<Told<Box<Talk>>>) -> Option<Timings> {
    let rtt = found.rtt?;
    let micros = |time: Duration| time.as_micros() as u64;
    let mut timings = Timings { syn_ack_us: Some(micros(rtt)), ..Timings::default() };
    if let Outcome::Reply(Told::Talk(talk)) = &found.outcome {
        let Report { opened, first, .. } = talk.report;
        timings.first_byte_us = first.map(|first| micros(rtt + first.since(opened)));
        timings.done_us = Some(micros(rtt + found.at.since(opened)));
    }
    Some(timings)
}

fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(2 * octets.len());
    for octet in octets {
        // Writing to a String cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dialogue::tests::connections,
        handshake::{
            Cut, Handshake,
            fuzzing::{SENT, certificate, clear, message, server_hello},
        },
        hello::{KeyShares, Profile},
    };

    /// The row of a host that says `messages` in TLS 1.2.
    fn row(messages: &[&[u8]]) -> TlsRecord {
        let mut octets = Vec::new();
        for part in messages.concat().chunks(16_384) {
            clear(&mut octets, 22, part);
        }
        let mut handshake = Handshake::new();
        handshake.read(&SENT, &KeyShares::identity(), &octets);
        let (mut flows, abouts) = connections(1);
        let report = flows.close(abouts[0].flow).unwrap();
        let talk = Talk { capture: handshake.finish(Cut::Finished), report };
        let hello = Arc::new(Hello::new(Profile::Modern, Arc::new(KeyShares::identity())));
        let (describer, truster) = (Describer::new(false), Truster::new(None));
        let mut rows = Rows::new(ServerNames::None, hello, describer, truster);
        let remote = abouts[0].remote;
        let (ts, outcome) = (Timestamp::from_unix_micros(0), talk.capture.outcome());
        let mut row = TlsRecord::new(ts, remote.addr, remote.port, outcome, stage(&talk));
        rows.tell(&mut row, &talk, SystemTime::UNIX_EPOCH);
        row
    }

    #[test]
    fn no_more_is_told_than_a_row_holds() {
        let numbers: Vec<[u8; 2]> = (0..300_u16).map(u16::to_be_bytes).collect();
        let chain: Vec<&[u8]> = numbers.iter().map(|number| &number[..]).collect();
        let names = vec![[0, 2, 0x30, 0]; 300].concat();
        let request =
            [&[1, 1, 0, 2, 4, 3][..], &(names.len() as u16).to_be_bytes(), &names].concat();
        let row = row(&[
            &server_hello(0x0303, 0x2f, &[]),
            &certificate(&chain, None),
            &message(13, &request),
            &[14, 0, 0, 0],
        ]);
        assert_eq!((row.outcome, row.stage), (TlsOutcome::Ok, TlsStage::Done));
        assert_eq!((row.certificates.len(), row.client_cas.len()), (64, 64));
    }

    #[test]
    fn protocols_are_no_orders_to_a_terminal() {
        let alpn = [&[0, 7, 6][..], b"\x1b[2J\\\n"].concat();
        let row = row(&[&server_hello(0x0303, 0x2f, &[(16, &alpn)])]);
        assert_eq!(row.alpn.as_deref(), Some("\\1B[2J\\5C\\0A"));
    }
}

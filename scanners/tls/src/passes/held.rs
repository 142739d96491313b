//! Rows that wait for their JARM, and the answers that were had for them.
//!
//! A host takes less than 1 KiB. Certificates are shared with other rows, and each answer that differs from all others is kept
//! once: thousands of hosts give the same few.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt::Write as _,
    net::SocketAddr,
    sync::Arc,
};

use mrpf_engine::target::Target;
use mrpf_records::TlsRecord;

use crate::fingerprint::jarm::{self, Answer, JarmProbe};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Held {
    rows: VecDeque<Row>,
    /// Where the row of an endpoint is, as long as none was taken.
    places: HashMap<Target, usize>,
    answers: HashSet<Arc<Answer>>,
}

#[derive(Debug)]
struct Row {
    record: Box<TlsRecord>,
    answers: [Option<Arc<Answer>>; JarmProbe::COUNT],
}

impl Row {
    fn target(&self) -> Target {
        Target { addr: self.record.ip, port: self.record.port }
    }

    /// One silence is enough to know the fingerprint, which is none.
    fn is_silent(&self) -> bool {
        self.answers.iter().flatten().any(|answer| **answer == Answer::TIMED_OUT)
    }

    fn jarm(&self) -> Option<String> {
        let mut answers = [const { Answer::TIMED_OUT }; JarmProbe::COUNT];
        if !self.is_silent() {
            for (answer, known) in answers.iter_mut().zip(&self.answers) {
                *answer = known.as_deref()?.clone();
            }
        }
        Some(jarm::hash(&answers))
    }
}

impl Held {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn push(&mut self, record: TlsRecord) {
        let row = Row { record: Box::new(record), answers: [const { None }; JarmProbe::COUNT] };
        self.places.insert(row.target(), self.rows.len());
        self.rows.push_back(row);
    }

    /// Endpoints whose fingerprint is not known, as a list of targets.
    pub(super) fn targets(&self) -> String {
        let mut list = String::new();
        for Target { addr, port } in
            self.rows.iter().filter(|row| !row.is_silent()).map(Row::target)
        {
            // A String takes all.
            let _ = writeln!(list, "{}", SocketAddr::new(addr, port));
        }
        list
    }

    pub(super) fn note(&mut self, target: Target, probe: JarmProbe, answer: Answer) {
        let row = self.places.get(&target).and_then(|place| self.rows.get_mut(*place));
        let Some(slot) = row.and_then(|row| row.answers.get_mut(probe.index())) else { return };
        let known = self.answers.get(&answer).cloned().unwrap_or_else(|| {
            let answer = Arc::new(answer);
            self.answers.insert(Arc::clone(&answer));
            answer
        });
        *slot = Some(known);
    }

    /// Who was asked `probe_of` its endpoint and is not known to have answered was silent.
    pub(super) fn note_silence(&mut self, probe_of: impl Fn(Target) -> JarmProbe) {
        let silence = Arc::new(Answer::TIMED_OUT);
        for row in self.rows.iter_mut().filter(|row| !row.is_silent()) {
            let probe = probe_of(row.target());
            if let Some(slot) = row.answers.get_mut(probe.index()) {
                slot.get_or_insert_with(|| Arc::clone(&silence));
            }
        }
    }

    /// Takes a row, with its JARM if that is known.
    pub(super) fn pop(&mut self) -> Option<Box<TlsRecord>> {
        let mut row = self.rows.pop_front()?;
        self.places = HashMap::new();
        row.record.jarm = row.jarm();
        Some(row.record)
    }
}

#[cfg(test)]
mod tests {
    use mrpf_records::{Timestamp, TlsOutcome, TlsStage};

    use super::*;

    const FIRST: Target = target(1);
    const SECOND: Target = target(2);

    const fn target(last: u8) -> Target {
        Target { addr: std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 19, 0, last)), port: 443 }
    }

    fn held() -> Held {
        let mut held = Held::default();
        for Target { addr, port } in [FIRST, SECOND] {
            let ts = Timestamp::from_unix_micros(0);
            held.push(TlsRecord::new(ts, addr, port, TlsOutcome::Ok, TlsStage::Done));
        }
        held
    }

    /// `01` to `0a` of the ten ciphers that have the first numbers.
    fn answer(number: u8) -> Answer {
        let mut record = vec![22, 3, 3, 0, 42, 2, 0, 0, 38, 3, 3];
        record.extend([7; 32]);
        record.extend([
            0,
            0,
            [4, 5, 7, 10, 0x16, 0x2f, 0x33, 0x35, 0x39, 0x3c][usize::from(number)],
            0,
        ]);
        Answer::read(&record)
    }

    #[test]
    fn answers_stand_where_their_hello_does() {
        let mut held = held();
        for probe in JarmProbe::ALL.into_iter().rev() {
            held.note(FIRST, probe, answer(probe.index() as u8));
            held.note(SECOND, probe, Answer::FAILED);
        }
        assert_eq!(held.answers.len(), 11, "each once");
        let first = held.pop().unwrap().jarm.unwrap();
        assert!(first.starts_with("01d02d03d04d05d06d07d08d09d0ad"), "{first}");
        assert_eq!(held.pop().unwrap().jarm, Some("0".repeat(62)));
        assert!(held.pop().is_none());
    }

    #[test]
    fn a_host_takes_less_than_a_kibibyte() {
        let certificate = crate::certificate::Describer::new(false).describe(&[]);
        let answers: Vec<_> = (0..10).map(answer).collect();
        let mut held = Held::default();
        let memory = allocation_counter::measure(|| {
            for host in 0..1_000 {
                let target = Target {
                    addr: std::net::Ipv4Addr::from_bits(0xc613_0000 + host).into(),
                    port: 443,
                };
                let ts = Timestamp::from_unix_micros(0);
                let (ok, done) = (TlsOutcome::Ok, TlsStage::Done);
                let mut row = TlsRecord::new(ts, target.addr, target.port, ok, done);
                row.sni = Some(format!("host-{host}.www.example.org"));
                row.alpn = Some("http/1.1".to_owned());
                row.ja3s = Some("0".repeat(32));
                row.certificates = vec![Arc::clone(&certificate); 3];
                held.push(row);
                for probe in JarmProbe::ALL {
                    held.note(target, probe, answers[probe.index()].clone());
                }
            }
        });
        let each = memory.bytes_current / 1_000;
        assert!(each < 1_024, "{each} octets");
    }

    #[test]
    fn who_was_silent_once_is_not_asked_again_and_has_no_fingerprint() {
        let mut held = held();
        assert_eq!(held.targets(), "198.19.0.1:443\n198.19.0.2:443\n");
        held.note(FIRST, JarmProbe::ALL[3], answer(3));
        held.note_silence(|target| JarmProbe::ALL[if target == FIRST { 3 } else { 7 }]);
        assert_eq!(held.targets(), "198.19.0.1:443\n");
        assert_eq!(held.pop().unwrap().jarm, None, "nine answers are missing");
        assert_eq!(held.pop().unwrap().jarm, Some("0".repeat(62)));
    }
}

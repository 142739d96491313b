//! Zones with wildcards: what they make up is told from what is there, in one pass.

use std::{net::Ipv4Addr, time::Duration};

use mrpf_dns::{
    lookup::Settings,
    message::{Name, Qclass, Qtype, labels},
    names::{Pull, Question, Source},
};
use mrpf_engine::link::sim::{
    Faults, Network,
    hosts::{Behaviour, Heard, Hosts, Said, Service},
};

use super::world::{Draws, Finished, Plan, World, over_tcp, response};

/// Words below each of these domains: `w<n>.d<m>.example`.
const WORDS: u64 = 2_000;
const DOMAINS: u64 = 5;

/// Domain 0 has no wildcard; the others make up an address, one of three in turn, an address below the names that are there
/// alone, and no address but an alias.
fn answer(query: &[u8], turn: u64) -> Vec<u8> {
    let name = Name::from_wire(&query[12..query.len() - 4 - 11]).unwrap();
    let parts: Vec<Vec<u8>> = name.labels().map(<[u8]>::to_ascii_lowercase).collect();
    let number = |part: &[u8], letter: u8| -> Option<u64> {
        std::str::from_utf8(part.strip_prefix(&[letter])?).ok()?.parse().ok()
    };
    let Some(domain) = parts.get(parts.len() - 2).and_then(|part| number(part, b'd')) else {
        return response(query, 0, 3, &[]);
    };
    let is_direct = parts.len() == 3;
    let own = number(&parts[0], b'w').filter(|word| is_direct && is_there(*word));
    match (domain, own) {
        (_, Some(word)) => response(query, 0, 0, &[address(domain, word)]),
        (1, None) => response(query, 0, 0, &[[10, 1, 1, 1]]),
        (2, None) => response(query, 0, 0, &[[10, 2, 2, (turn % 3) as u8]]),
        (4, None) => {
            // An alias to nothing of this type.
            let mut message = response(query, 0, 0, &[]);
            message[7] = 1;
            message.extend([0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'x', 0xc0]);
            let at = message.len();
            message.push((query.len() - 4 - 11 - 1) as u8);
            assert_eq!(message.len(), at + 1);
            message
        }
        _ => response(query, 0, 3, &[]),
    }
}

fn is_there(word: u64) -> bool {
    word % 10 == 3 && word < WORDS
}

fn address(domain: u64, word: u64) -> [u8; 4] {
    ((domain as u32) << 16 | word as u32 | 0x0b00_0000).to_be_bytes()
}

#[derive(Debug)]
struct Words(u64);

impl Source for Words {
    fn next(&mut self, question: &mut Question) -> Pull {
        if self.0 == WORDS * DOMAINS {
            return Pull::End;
        }
        let (word, domain) = (self.0 / DOMAINS, self.0 % DOMAINS);
        question.number = self.0;
        question.name = Ok(Name::parse(format!("w{word}.d{domain}.example").as_bytes()).unwrap());
        (question.qtype, question.qclass) = (Qtype::A, Qclass::IN);
        (question.server, question.root) = (None, Some(2));
        self.0 += 1;
        Pull::Question
    }
}

fn run(faults: Faults, plan: Plan) -> Finished {
    let all = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    let mut draws = Draws(8);
    let service = Service::new(move |heard: &Heard<'_>| {
        let turn = draws.next();
        let message = match turn % 50 {
            7 => response(heard.payload, 0x0200, 0, &[]),
            8 => response(heard.payload, 0, 2, &[]),
            _ => answer(heard.payload, turn >> 9),
        };
        vec![Said::datagram(message)]
    });
    let hosts = Hosts::new(7).rule(all, 53..=53, Behaviour::Serves(service)).rule(
        all,
        53..=53,
        Behaviour::Speaks(over_tcp(|query| answer(query, 0))),
    );
    let finished = World::new(Network::new(3, hosts, faults), Words(0), plan).finish();
    let mut numbers: Vec<u64> = finished.ends.iter().map(|end| end.number).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq(0..WORDS * DOMAINS), "{} ends", numbers.len());
    assert_eq!(finished.mark, WORDS * DOMAINS);
    finished
}

#[test]
fn what_wildcards_make_up_is_told_apart_in_one_pass() {
    let ms = Duration::from_millis(1);
    let faults =
        Faults { loss_out: 0.02, loss_back: 0.02, latency: (5 * ms, 40 * ms), ..Faults::default() };
    for slots in [4_096, 256] {
        let settings = Settings { slots, ..Plan::default().settings };
        let finished = run(faults, Plan { wildcards: true, settings, ..Plan::default() });
        let counted = finished.counted;
        for end in &finished.ends {
            let (word, domain) = (end.number / DOMAINS, end.number % DOMAINS);
            let expected = match (domain, is_there(word)) {
                (_, true) => Some(false),
                (0 | 3, false) => None,
                _ => Some(true),
            };
            assert_eq!(end.wildcard, expected, "{end:?}");
        }
        let wild = WORDS * 3 - 3 * (0..WORDS).filter(|word| is_there(*word)).count() as u64;
        assert_eq!(counted.wild, wild, "{counted:?}");
        assert!(counted.tests > 0 && counted.tests * 100 <= 3 * WORDS * DOMAINS, "{counted:?}");
    }
}

#[test]
fn without_detection_nothing_is_said_of_wildcards() {
    let finished = run(Faults::default(), Plan::default());
    assert!(finished.ends.iter().all(|end| end.wildcard.is_none()));
    assert_eq!((finished.counted.tests, finished.counted.wild), (0, 0));
    let deepest = finished.ends.iter().map(|end| labels(&end.message[12..]).count()).max();
    assert_eq!(deepest, Some(3));
}

//! One question to many addresses: every host that answers is found once, and nobody else.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex},
    time::Duration,
};

use mrpf_dns::{
    Sweep,
    message::{Name, Qclass, Qtype},
    sweep::{Builder, Show, Summary},
};
use mrpf_engine::{
    link::{
        LinkLayer,
        sim::{
            Faults, Network,
            hosts::{Behaviour, Heard, Hosts, Quote, Said, Service},
        },
    },
    target::Shard,
    time::Instant,
    wire::{self, Transport},
};
use mrpf_records::{DnsRecord, Record, State};
use mrpf_syn::{Next, Rate};

use crate::world::{ALL_PORTS, BASE};

/// When each host was asked.
type Questions = Arc<Mutex<BTreeMap<IpAddr, Vec<Instant>>>>;

/// Where a datagram goes; nothing else leaves in a sweep.
fn destination(frame: &[u8]) -> IpAddr {
    let packet = wire::parse(frame, LinkLayer::Ethernet).expect("our frames are well formed");
    match packet.network {
        wire::Network::Ipv4(header, Transport::Udp(_)) => header.destination().into(),
        wire::Network::Ipv6(header, Transport::Udp(_)) => header.destination().into(),
        other => panic!("{other:?}"),
    }
}

fn counted(seed: u64, hosts: Hosts, faults: Faults) -> (Network, Questions) {
    let questions = Questions::default();
    let noted = Arc::clone(&questions);
    let network = Network::new(seed, hosts, faults).with_tap(Box::new(move |at, frame| {
        noted.lock().unwrap().entry(destination(frame)).or_default().push(at);
    }));
    (network, questions)
}

/// What a host of these tests does, by the last octets of its address.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Role {
    Resolver,
    Refusing,
    /// Refuses, and repeats no question.
    Bare,
    Closed,
    Silent,
}

fn role(addr: IpAddr) -> Role {
    let bits = match addr {
        IpAddr::V4(addr) => addr.to_bits(),
        IpAddr::V6(addr) => addr.to_bits() as u32,
    };
    match bits.wrapping_mul(0x9e37_79b9) >> 28 {
        0..4 => Role::Resolver,
        4..6 => Role::Refusing,
        6 => Role::Bare,
        7 => Role::Closed,
        _ => Role::Silent,
    }
}

/// The answer to a question: with an address that is the host's own, so that no two are alike.
fn answer(question: &[u8], host: IpAddr) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2] |= 0x80;
    message[3] |= 0x80; // RA
    message[7] = 1;
    message.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60]);
    let text = host.to_string();
    message.extend((text.len() as u16 + 1).to_be_bytes());
    message.push(text.len() as u8);
    message.extend(text.as_bytes());
    message
}

fn refusal(question: &[u8], keeps_question: bool) -> Vec<u8> {
    let mut message = question.to_vec();
    message[2] |= 0x80;
    message[3] |= 5;
    if !keeps_question {
        message.truncate(12);
        message[4..12].fill(0);
    }
    message
}

fn says(heard: &Heard<'_>) -> Vec<Said> {
    match role(heard.to.ip()) {
        Role::Resolver => vec![Said::datagram(answer(heard.payload, heard.to.ip()))],
        Role::Refusing => vec![Said::datagram(refusal(heard.payload, true))],
        Role::Bare => vec![Said::datagram(refusal(heard.payload, false))],
        Role::Closed => {
            let code = if heard.to.is_ipv4() { 3 } else { 4 };
            vec![Said::unreachable(code, Quote::Minimum)]
        }
        Role::Silent => vec![],
    }
}

/// All of 2001:db8:1::/48 and of 198.19.0.0/16 have roles, and serve nothing but DNS.
fn hosts(seed: u64) -> Hosts {
    let v6 = (Ipv6Addr::from_bits(BASE), Ipv6Addr::from_bits(BASE | u128::MAX >> 48));
    let v4 = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
    let behaviour = Behaviour::Serves(Service::new(says));
    Hosts::new(seed).rule(v6, 53..=53, behaviour.clone()).rule(v4, 53..=53, behaviour)
}

fn targets(network: Network, targets: &str) -> mrpf_syn::Builder {
    mrpf_syn::Scan::builder()
        .target(targets)
        .allow_reserved(true)
        .seed(11)
        .rate("20k".parse::<Rate>().unwrap())
        .cooldown(Duration::from_secs(2))
        .simulated(network)
}

fn sweep(targets: mrpf_syn::Builder) -> Builder {
    Sweep::builder(targets)
        .question(Name::parse(b"Probe.example.com").unwrap(), Qtype::TXT, Qclass::IN)
        .show(Show::ALL)
}

fn run(mut sweep: Sweep) -> (Vec<DnsRecord>, Summary) {
    let records = sweep.by_ref().map(dns).collect();
    (records, sweep.finish().expect("a simulated link stays"))
}

fn dns(record: Record) -> DnsRecord {
    match record {
        Record::Dns(record) => *record,
        other => panic!("{other:?}"),
    }
}

/// Statuses by host; a host with two records is a failure, and so is an answer that is another's.
#[track_caller]
fn statuses(records: &[DnsRecord]) -> BTreeMap<IpAddr, String> {
    let mut statuses = BTreeMap::new();
    for record in records {
        let from = record.resolver.expect("who was asked");
        assert_eq!((from.port(), record.name.as_str()), (53, "Probe.example.com"));
        let before = statuses.insert(from.ip(), record.status.clone().into_owned());
        assert_eq!(before, None, "a second record: {record:?}");
        let data: Vec<&str> = record.answers.iter().map(|data| data.data.as_str()).collect();
        match record.status.as_ref() {
            "NOERROR" => assert_eq!(data, [format!("\"{}\"", from.ip())]),
            _ => assert!(data.is_empty(), "{record:?}"),
        }
    }
    statuses
}

fn expected(role: Role) -> &'static str {
    match role {
        Role::Resolver => "NOERROR",
        Role::Refusing | Role::Bare => "REFUSED",
        Role::Closed => "UNREACHABLE",
        Role::Silent => "TIMEOUT",
    }
}

#[track_caller]
fn all_are_right(statuses: &BTreeMap<IpAddr, String>, count: usize) {
    assert_eq!(statuses.len(), count);
    for (addr, status) in statuses {
        assert_eq!(status, expected(role(*addr)), "{addr}");
    }
}

#[test]
fn each_host_is_found_once_over_a_network_that_loses_doubles_and_reorders() {
    let faults = Faults {
        loss_out: 0.1,
        loss_back: 0.1,
        duplicate: 0.2,
        reorder: 0.3,
        latency: (Duration::from_millis(1), Duration::from_millis(300)),
        ..Faults::default()
    };
    for (base, families) in [("198.19.16.0/20", "v4"), ("2001:db8:1::/116", "v6")] {
        let (network, questions) = counted(5, hosts(5), faults);
        let scan = sweep(targets(network.clone(), base).retries(7).threads(2)).build().unwrap();
        assert_eq!(scan.threads(), 2);
        let (records, summary) = run(scan);
        all_are_right(&statuses(&records), 4_096);
        assert!(summary.base.is_complete(), "{families}");
        let counts = summary.base.counts;
        let roles = |wanted: &[Role]| {
            let asked = questions.lock().unwrap();
            asked.keys().filter(|addr| wanted.contains(&role(**addr))).count() as u64
        };
        let refused = roles(&[Role::Refusing, Role::Bare]);
        assert_eq!(summary.statuses.get("REFUSED"), Some(&refused));
        assert_eq!(summary.statuses.get("NOERROR"), Some(&roles(&[Role::Resolver])));
        assert_eq!(summary.without_question, roles(&[Role::Bare]));
        assert_eq!(summary.base.count(State::Open), refused + roles(&[Role::Resolver]));
        assert_eq!(summary.base.count(State::Unreachable), roles(&[Role::Closed]));
        assert_eq!(summary.base.count(State::Silent), roles(&[Role::Silent]));
        // Everything that left and came is accounted for.
        assert_eq!(counts.probes, network.counts().sent);
        assert_eq!(counts.received, network.counts().delivered);
        assert_eq!(counts.received, counts.valid);
        assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late);
        assert!(counts.duplicate > 300, "{}", counts.duplicate);
        assert_eq!(network.with_hosts(Hosts::counters).bad_checksums, 0);
        // Whoever never answers is asked exactly so often, a second apart.
        for (addr, times) in questions.lock().unwrap().iter() {
            assert!(times.len() <= 8, "{addr}");
            if role(*addr) == Role::Silent {
                assert_eq!(times.len(), 8, "{addr}");
                assert!(times.windows(2).all(|two| two[1].since(two[0]) >= Duration::from_secs(1)));
            }
        }
    }
}

#[test]
fn what_is_shown_is_what_was_wanted_and_what_is_known_of_it() {
    let (network, _) = counted(2, hosts(2), Faults::default());
    let scan = sweep(targets(network, "198.19.0.0/24")).show(Show::default()).wire(true).build();
    let (records, summary) = run(scan.unwrap());
    let answered = |role| matches!(role, Role::Resolver | Role::Refusing | Role::Bare);
    let expected: BTreeSet<IpAddr> = (0..=255)
        .map(|last| IpAddr::from([198, 19, 0, last]))
        .filter(|addr| answered(role(*addr)))
        .collect();
    assert_eq!(statuses(&records).into_keys().collect::<BTreeSet<_>>(), expected);
    assert_eq!(summary.base.counts.probes, 256 + 2 * summary.base.count(State::Silent));
    let resolver = records.iter().find(|record| record.status == "NOERROR").unwrap();
    assert_eq!((resolver.qtype.as_ref(), &resolver.qclass), ("TXT", &None));
    assert_eq!(resolver.flags, ["rd", "ra"]);
    assert_eq!((resolver.attempts, resolver.rtt_us.is_some()), (Some(1), true));
    assert!(resolver.wire.is_some());
    assert_eq!(resolver.answers[0].name, "Probe.example.com");
}

#[test]
fn ports_that_targets_name_go_before_that_of_dns() {
    let service = || Behaviour::Serves(Service::new(says));
    let mut addrs = (0..=255).map(|last| Ipv4Addr::new(198, 19, 0, last));
    let addr = addrs.find(|addr| role((*addr).into()) == Role::Resolver).unwrap();
    let hosts = Hosts::new(1).rule((addr, addr), ALL_PORTS, service());
    let ports = |builder: mrpf_syn::Builder| -> Vec<u16> {
        let (records, _) = run(sweep(builder).build().unwrap());
        let mut ports: Vec<_> = records.iter().map(|r| r.resolver.unwrap().port()).collect();
        ports.sort_unstable();
        ports
    };
    let network = Network::new(1, hosts, Faults::default());
    let both = format!("{addr} {addr}:5353");
    assert_eq!(ports(targets(network.clone(), &both)), [53, 5_353]);
    assert_eq!(ports(targets(network, &both).ports("54")), [54, 5_353]);
}

#[test]
fn what_was_found_before_and_after_a_cut_is_everything() {
    for (taken, shards, threads) in [(0, 1, 1), (1, 1, 2), (100, 2, 1), (300, 1, 2), (511, 3, 1)] {
        let faults = Faults { loss_out: 0.1, loss_back: 0.1, ..Faults::default() };
        let mut union = BTreeMap::new();
        for k in 1..=shards {
            let describe = |seed_of_network| {
                let (network, questions) = counted(seed_of_network, hosts(3), faults);
                let shard = format!("{k}/{shards}").parse::<Shard>().unwrap();
                let targets = targets(network, "198.19.2.0/23").shard(shard).retries(7);
                (targets.rate("2k".parse().unwrap()).threads(threads), questions)
            };
            let mut cut = sweep(describe(1).0).build().unwrap();
            let mut before = Vec::new();
            while before.len() < taken / shards as usize {
                match cut.next_within(Duration::ZERO) {
                    Next::Record(record) => before.push(dns(record)),
                    Next::Later => {}
                    Next::End => break,
                }
            }
            let (mark, fingerprint, total) = (cut.mark(), cut.fingerprint(), cut.progress().total);
            drop(cut);
            let (targets, questions) = describe(2);
            let targets = targets.start_at(mark).expect_fingerprint(fingerprint);
            let (after, _) = run(sweep(targets).build().unwrap());
            assert_eq!(questions.lock().unwrap().len() as u64, total - mark);
            assert_eq!(after.len() as u64, total - mark);
            union.extend(statuses(&before));
            union.extend(statuses(&after));
        }
        all_are_right(&union, 512);
    }
}

/// Offsets in an Ethernet frame with an IPv4 header of 20 octets.
const IP: usize = 14;
const UDP: usize = IP + 20;
const DNS: usize = UDP + 8;

/// The answer to a question as its host would give it.
fn true_answer(question: &[u8]) -> Vec<u8> {
    let mut frame = question.to_vec();
    for i in 0..6 {
        frame.swap(i, 6 + i);
    }
    for i in 0..4 {
        frame.swap(IP + 12 + i, IP + 16 + i);
    }
    frame.swap(UDP, UDP + 2);
    frame.swap(UDP + 1, UDP + 3);
    frame[UDP + 6..DNS].fill(0); // no checksum is one
    frame[DNS + 2] |= 0x80;
    frame
}

/// What a forger gets wrong who sees all but that.
const MISTAKES: u64 = 10;

/// The answer with one mistake, or all guessed that a blind forger has to guess.
fn forge(frame: &mut Vec<u8>, mistake: u64, random: u64) {
    let bits = random as u16;
    let change = |octets: &mut [u8], to: u16| {
        let was = u16::from_be_bytes([octets[0], octets[1]]);
        let to = if to == was { to ^ 1 } else { to };
        octets.copy_from_slice(&to.to_be_bytes());
    };
    let letter =
        |at: u64| DNS + 12 + [1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17][at as usize % 15];
    match mistake {
        0 => change(&mut frame[IP + 14..IP + 16], bits), // another host
        1 => change(&mut frame[UDP..UDP + 2], bits),
        2 => change(&mut frame[UDP + 2..UDP + 4], 61_000 + bits % 256),
        3 => change(&mut frame[DNS..DNS + 2], bits),
        4 => frame[letter(random)] ^= 0x20,
        5 => frame[DNS + 2] &= 0x7f,
        6 => change(&mut frame[DNS + 31..DNS + 33], bits), // the type
        7 => {
            frame[DNS + 3] |= 5; // a refusal of another id
            change(&mut frame[DNS..DNS + 2], bits);
            frame.truncate(DNS + 12);
            frame[DNS + 4..].fill(0);
            let len = frame.len();
            frame[IP + 2..IP + 4].copy_from_slice(&((len - IP) as u16).to_be_bytes());
            frame[UDP + 4..UDP + 6].copy_from_slice(&((len - UDP) as u16).to_be_bytes());
        }
        8 => frame[IP + 19] ^= 1, // not to us
        _ => {
            // Blind: knows whom we ask what, and guesses port, id and letters.
            let port = 61_000 + (random >> 16) as u16 % 256;
            frame[UDP + 2..UDP + 4].copy_from_slice(&port.to_be_bytes());
            frame[DNS..DNS + 2].copy_from_slice(&bits.to_be_bytes());
            for at in 0..15 {
                frame[letter(at)] =
                    frame[letter(at)] & !0x20 | ((random >> (32 + at)) as u8 & 1) << 5;
            }
        }
    }
}

/// Ten million of them, and none is believed.
#[test]
fn forged_answers_are_counted_and_never_believed() {
    const EACH: u64 = 500;
    let mut state = 7_u64;
    let hosts = Hosts::new(8); // nobody lives there
    let forger = move |question: &[u8], emit: &mut dyn FnMut(Duration, &[u8])| {
        let right = true_answer(question);
        let mut frame = Vec::with_capacity(right.len());
        for number in 0..EACH {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            frame.clear();
            frame.extend_from_slice(&right);
            forge(&mut frame, number % MISTAKES, state.rotate_left(29));
            emit(Duration::from_micros(50), &frame);
        }
    };
    let network = Network::new(8, hosts, Faults::default()).with_forger(Box::new(forger));
    let scan = sweep(targets(network.clone(), "198.19.0.0/20").retries(4)).build().unwrap();
    let (records, summary) = run(scan);
    assert!(statuses(&records).values().all(|status| status == "TIMEOUT"));
    assert_eq!(records.len(), 4_096);
    let counts = summary.base.counts;
    assert_eq!((counts.valid, summary.without_question), (0, 0));
    let forged = 4_096 * 5 * EACH;
    assert!(forged > 10_000_000);
    assert_eq!((counts.received, counts.invalid()), (forged, forged));
    assert!(counts.invalid_cookie > forged / 4 && counts.invalid_not_for_us > forged / 10);
}

/// The same forger without a mistake is believed: the test above fails for the mistakes and nothing else.
#[test]
fn who_sees_the_question_can_forge() {
    let forger = |question: &[u8], emit: &mut dyn FnMut(Duration, &[u8])| {
        emit(Duration::from_micros(50), &true_answer(question));
    };
    let network = Network::new(8, Hosts::new(8), Faults::default()).with_forger(Box::new(forger));
    let (records, summary) = run(sweep(targets(network, "198.19.0.0/24")).build().unwrap());
    assert_eq!((records.len(), summary.base.counts.first), (256, 256));
    assert!(records.iter().all(|record| record.status == "NOERROR"));
}

/// Letters that come back as they were not sent prove less, and are taken where that was asked for.
#[test]
fn servers_that_answer_in_lower_case_are_heard_where_no_case_was_sent() {
    let service = Service::new(|heard: &Heard<'_>| {
        let mut message = answer(heard.payload, heard.to.ip());
        message[12..31].make_ascii_lowercase();
        vec![Said::datagram(message)]
    });
    let all = (Ipv4Addr::new(198, 19, 0, 0), Ipv4Addr::new(198, 19, 0, 255));
    let hosts = Hosts::new(1).rule(all, 53..=53, Behaviour::Serves(service));
    let network = Network::new(1, hosts, Faults::default());
    let lower = Name::parse(b"probe.example.com").unwrap();
    let describe = || {
        let targets = targets(network.clone(), "198.19.0.0/24");
        Sweep::builder(targets).question(lower.clone(), Qtype::TXT, Qclass::IN)
    };
    let (records, summary) = run(describe().build().unwrap());
    assert!(records.is_empty());
    assert_eq!(summary.base.counts.invalid_cookie, 3 * 256);
    let (records, _) = run(describe().mixed_case(false).build().unwrap());
    assert_eq!(records.len(), 256);
}

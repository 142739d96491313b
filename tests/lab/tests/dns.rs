//! DNS in the lab, asked by sockets of the kernel and read by hickory: from the address that was asked, and right.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{Name, RecordType},
};
use mrpf_lab::{
    Lab, Servers,
    dns_responder::{Asked, Data, DnsResponder, Knobs, Over, Reply, Section, Zone, rtype},
    dns_servers::{self, ZoneFile},
    gate::{self, Need},
    ipv6,
};
use tempfile::TempDir;

use crate::{PATIENCE, SHORT, connect, eventually, host};

fn query(id: u16, name: &str, rtype: RecordType) -> Message {
    let mut message = Message::new(id, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), rtype));
    message
}

/// A socket that takes datagrams of `to` alone.
fn towards(to: SocketAddr) -> UdpSocket {
    let any: IpAddr = match to {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).unwrap();
    socket.connect(to).unwrap();
    socket
}

fn ask(to: SocketAddr, query: &Message, wait: Duration) -> io::Result<Message> {
    let socket = towards(to);
    socket.set_read_timeout(Some(wait))?;
    socket.send(&query.to_vec().unwrap())?;
    let mut answer = [0; 65_535];
    let len = socket.recv(&mut answer)?;
    Ok(Message::from_vec(&answer[..len]).unwrap())
}

#[track_caller]
fn answer_to(to: SocketAddr, query: &Message) -> Message {
    let answer = ask(to, query, PATIENCE).unwrap();
    assert_eq!(
        (answer.metadata.id, answer.metadata.message_type),
        (query.metadata.id, MessageType::Response)
    );
    assert_eq!(answer.queries, query.queries);
    answer
}

/// All `queries` by one connection, at once; the answers as they come.
fn ask_by_tcp(to: Ipv4Addr, port: u16, queries: &[Message]) -> Vec<Message> {
    let mut stream = connect(to, port, PATIENCE).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut octets = Vec::new();
    for query in queries {
        let query = query.to_vec().unwrap();
        octets.extend((query.len() as u16).to_be_bytes());
        octets.extend(query);
    }
    stream.write_all(&octets).unwrap();
    let read = |_: &Message| {
        let mut len = [0; 2];
        stream.read_exact(&mut len).unwrap();
        let mut answer = vec![0; u16::from_be_bytes(len).into()];
        stream.read_exact(&mut answer).unwrap();
        Message::from_vec(&answer).unwrap()
    };
    queries.iter().map(read).collect()
}

/// What the answers say: owner, type and data, as text.
fn said(message: &Message) -> Vec<String> {
    let text = |record: &hickory_proto::rr::Record| {
        format!("{} {} {}", record.name, record.record_type(), record.data)
    };
    message.answers.iter().map(text).collect()
}

fn zone() -> Zone {
    Zone::new("example")
        .with("www.example", &Data::A(host(7, 1)))
        .with("www.example", &Data::A(host(7, 2)))
        .with("www.example", &Data::Aaaa(ipv6::WORLD))
        .with("alias.example", &Data::Cname("www.example"))
        .with("away.example", &Data::Cname("elsewhere.test"))
        .with("loop.example", &Data::Cname("loop.example"))
        .with("example", &Data::Mx(10, "mail.example"))
        .with("example", &Data::Txt(vec![b"one".to_vec(), b"two".to_vec()]))
        .with("deep.empty.example", &Data::Ns("ns.example"))
        .with("*.wild.example", &Data::A(host(7, 3)))
        .with("there.wild.example", &Data::Ptr("www.example"))
        .with("big.example", &Data::Txt(vec![vec![b'x'; 255]; 6]))
}

fn answering(zone: Zone) -> impl Fn(&Asked<'_>, &mut Reply) + Send {
    move |asked, reply| zone.answer(asked, reply)
}

#[test]
fn every_address_answers_from_itself_over_udp_and_tcp() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let says = |asked: &Asked<'_>, reply: &mut Reply| {
        let IpAddr::V4(to) = asked.to else { return };
        assert_eq!((asked.name, asked.qtype), (&b"\x05where\x03are\x03you\x00"[..], rtype::A));
        reply.answer(rtype::A, 60, &to.octets());
    };
    let responder = DnsResponder::start(lab.world(), Knobs::default(), says).unwrap();
    for addr in [host(0, 0), host(7, 255), host(255, 255)] {
        let query = query(0x1234, "Where.ARE.you.", RecordType::A);
        let expected = vec![format!("Where.ARE.you. A {addr}")];
        // Case comes back as it went.
        assert_eq!(said(&answer_to((addr, 53).into(), &query)), expected);
        assert_eq!(said(&ask_by_tcp(addr, 53, &[query])[0]), expected);
    }
    let counts = responder.counts();
    assert_eq!((counts.udp, counts.tcp, counts.lost, counts.malformed), (3, 3, 0, 0));
    drop(responder);
    assert!(connect(host(0, 0), 53, SHORT).is_err());
}

#[test]
fn ipv6_addresses_answer_as_well() {
    if !gate::permits(&[Need::Netns, Need::Ipv6]) {
        return;
    }
    let lab = Lab::builder().ipv6().start().unwrap();
    let _responder = DnsResponder::start(lab.world(), Knobs::default(), answering(zone())).unwrap();
    let addr = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 7, 0, 0, 9);
    let answer = answer_to((addr, 53).into(), &query(7, "www.example.", RecordType::AAAA));
    assert_eq!(said(&answer), ["www.example. AAAA 2001:db8::2"]);
}

#[test]
fn a_zone_says_what_is_so_and_what_is_not() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _responder = DnsResponder::start(lab.world(), Knobs::default(), answering(zone())).unwrap();
    #[track_caller]
    fn check(name: &str, rtype: RecordType, rcode: ResponseCode, answers: &[&str]) {
        let answer = answer_to((host(3, 3), 53).into(), &query(1, name, rtype));
        assert_eq!(answer.metadata.response_code, rcode, "{name}");
        assert_eq!(said(&answer), answers, "{name}");
        let is_negative =
            answer.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
        let is_last = answers.last().is_none_or(|last| last.contains("CNAME"));
        // An alias that leads out of the zone is where the zone ends.
        let is_known = rcode != ResponseCode::Refused && name != "away.example.";
        assert_eq!(is_negative, is_last && is_known, "{name}");
    }
    use RecordType::{A, ANY, MX, NS, TXT};
    use ResponseCode::{NXDomain, NoError, Refused};
    check("www.example.", A, NoError, &["www.example. A 198.19.7.1", "www.example. A 198.19.7.2"]);
    check(
        "alias.example.",
        A,
        NoError,
        &[
            "alias.example. CNAME www.example.",
            "www.example. A 198.19.7.1",
            "www.example. A 198.19.7.2",
        ],
    );
    check("alias.example.", MX, NoError, &["alias.example. CNAME www.example."]);
    check("away.example.", A, NoError, &["away.example. CNAME elsewhere.test."]);
    check("loop.example.", A, NoError, &["loop.example. CNAME loop.example."; 8]);
    check("example.", MX, NoError, &["example. MX 10 mail.example."]);
    check("example.", TXT, NoError, &["example. TXT onetwo"]);
    check("www.example.", NS, NoError, &[]);
    check("empty.example.", A, NoError, &[]);
    check("nothing.example.", A, NXDomain, &[]);
    check("any.wild.example.", A, NoError, &["any.wild.example. A 198.19.7.3"]);
    check("a.b.wild.example.", A, NoError, &["a.b.wild.example. A 198.19.7.3"]);
    check("below.there.wild.example.", A, NXDomain, &[]);
    check("there.wild.example.", ANY, NoError, &["there.wild.example. PTR www.example."]);
    check("example.test.", A, Refused, &[]);
}

#[test]
fn an_answer_that_does_not_fit_comes_whole_by_tcp() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _responder = DnsResponder::start(lab.world(), Knobs::default(), answering(zone())).unwrap();
    let to = (host(1, 1), 53).into();
    let mut big = query(9, "big.example.", RecordType::TXT);
    let plain = answer_to(to, &big);
    assert!(plain.metadata.truncation && plain.answers.is_empty() && plain.edns.is_none());
    let mut edns = Edns::new();
    edns.set_max_payload(1_232).set_dnssec_ok(true);
    big.set_edns(edns.clone());
    let small = answer_to(to, &big);
    assert!(small.metadata.truncation && small.answers.is_empty());
    assert!(small.edns.is_some_and(|edns| edns.flags().dnssec_ok && edns.max_payload() == 1_232));
    edns.set_max_payload(4_096);
    big.set_edns(edns);
    let large = answer_to(to, &big);
    assert!(!large.metadata.truncation && large.answers.len() == 1);
    // Two by one connection, both whole.
    let www = query(10, "www.example.", RecordType::A);
    let answers = ask_by_tcp(host(1, 1), 53, &[big, www]);
    assert_eq!(answers[0].answers, large.answers);
    assert_eq!((answers[1].metadata.id, answers[1].answers.len()), (10, 2));
}

#[test]
fn fates_are_drawn_for_each_query() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    const QUERIES: u16 = 2_000;
    let lab = Lab::builder().start().unwrap();
    let knobs = Knobs { silent: 0.1, servfail: 0.1, truncated: 0.1, seed: 4, ..Knobs::default() };
    let responder = DnsResponder::start(lab.world(), knobs, answering(zone())).unwrap();
    let socket = towards((host(2, 2), 53).into());
    socket.set_read_timeout(Some(SHORT)).unwrap();
    let [mut right, mut servfail, mut truncated] = [0_u64; 3];
    let mut buffer = [0; 512];
    for id in 0..QUERIES {
        socket.send(&query(id, "www.example.", RecordType::A).to_vec().unwrap()).unwrap();
        if id % 100 != 99 {
            continue;
        }
        while let Ok(len) = socket.recv(&mut buffer) {
            let answer = Message::from_vec(&buffer[..len]).unwrap();
            match (answer.metadata.response_code, answer.metadata.truncation) {
                (ResponseCode::ServFail, false) => servfail += 1,
                (ResponseCode::NoError, true) => truncated += 1,
                (ResponseCode::NoError, false) if answer.answers.len() == 2 => right += 1,
                other => panic!("{other:?}"),
            }
        }
    }
    let counts = responder.counts();
    assert_eq!((counts.servfail, counts.truncated), (servfail, truncated));
    assert_eq!(right + servfail + truncated + counts.silent, QUERIES.into());
    for drawn in [counts.servfail, counts.truncated, counts.silent] {
        assert!((130..270).contains(&drawn), "{counts:?}");
    }
}

#[test]
fn answers_take_as_long_as_they_should() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let knobs = Knobs { delay: (SHORT, SHORT * 2), ..Knobs::default() };
    let says = |asked: &Asked<'_>, reply: &mut Reply| {
        if asked.qtype == rtype::TXT {
            reply.silent();
        }
        if asked.over == Over::Udp && asked.qtype == rtype::MX {
            reply.after(SHORT * 2);
        }
        reply.authoritative();
        reply.record(Section::Additional, asked.name, rtype::A, 1, &[198, 19, 0, 1]);
    };
    let responder = DnsResponder::start(lab.world(), knobs, says).unwrap();
    let to = (host(4, 4), 53).into();
    for (rtype, least) in [(RecordType::A, SHORT), (RecordType::MX, SHORT * 3)] {
        let start = Instant::now();
        let answer = answer_to(to, &query(3, "a.example.", rtype));
        assert!((least..PATIENCE).contains(&start.elapsed()), "{:?}", start.elapsed());
        assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
        assert_eq!(answer.additionals.len(), 1);
    }
    let silent = ask(to, &query(3, "a.example.", RecordType::TXT), SHORT * 3).unwrap_err();
    assert_eq!((silent.kind(), responder.counts().silent), (ErrorKind::WouldBlock, 1));
}

#[test]
fn what_is_no_query_gets_no_answer() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let responder = DnsResponder::start(lab.world(), Knobs::default(), answering(zone())).unwrap();
    let whole = query(5, "www.example.", RecordType::A).to_vec().unwrap();
    let mut response = whole.clone();
    response[2] |= 0x80;
    let mut looping = whole.clone();
    looping[12..14].copy_from_slice(&[0xc0, 12]);
    let socket = towards((host(5, 5), 53).into());
    socket.set_read_timeout(Some(SHORT)).unwrap();
    let cut = (0..whole.len()).map(|len| whole[..len].to_vec());
    let mut sent = 0;
    for octets in cut.chain([response, looping]) {
        socket.send(&octets).unwrap();
        sent += 1;
    }
    assert_eq!(socket.recv(&mut [0; 512]).unwrap_err().kind(), ErrorKind::WouldBlock);
    eventually("all were counted", || responder.counts().malformed == sent as u64);
}

const ZONE: &str = "$ORIGIN example.
$TTL 300
@ SOA ns hostmaster 1 7200 900 1209600 300
@ NS ns
ns A 198.19.0.53
www A 198.19.7.1
www AAAA 2001:db8::2
alias CNAME www
@ TXT \"one\" \"two\"
*.wild A 198.19.7.3
";

/// A server that has [`ZONE`] answers for `addr` with what is in it, and says that it is the one who knows.
#[track_caller]
fn check_authority(addr: Ipv4Addr, port: u16) {
    let to = (addr, port).into();
    let alias = query(1, "alias.example.", RecordType::A);
    let expected = ["alias.example. CNAME www.example.", "www.example. A 198.19.7.1"];
    let answer = answer_to(to, &alias);
    assert_eq!(
        (said(&answer), answer.metadata.authoritative),
        (expected.map(str::to_owned).to_vec(), true)
    );
    assert_eq!(said(&ask_by_tcp(addr, port, &[alias])[0]), expected);
    let wild = answer_to(to, &query(2, "any.wild.example.", RecordType::A));
    assert_eq!(said(&wild), ["any.wild.example. A 198.19.7.3"]);
    let none = answer_to(to, &query(3, "nothing.example.", RecordType::A));
    assert_eq!(none.metadata.response_code, ResponseCode::NXDomain);
    let other = answer_to(to, &query(4, "example.test.", RecordType::A));
    assert_eq!(other.metadata.response_code, ResponseCode::Refused);
}

#[test]
fn knot_serves_a_zone_at_every_address() {
    if !gate::permits(&[Need::Netns, Need::Knot]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), TempDir::new().unwrap());
    let zones = [ZoneFile { name: "example", text: ZONE }];
    let knotd = dns_servers::knotd(folder.path(), &[], 53, &zones).unwrap();
    let servers = Servers::start(lab.world(), vec![knotd]).unwrap();
    for addr in [host(0, 53), host(200, 1)] {
        check_authority(addr, 53);
    }
    drop(servers);
    assert!(connect(host(0, 53), 53, SHORT).is_err());
}

#[test]
fn nsd_serves_a_zone_at_its_addresses_and_leaves_nobody_behind() {
    if !gate::permits(&[Need::Netns, Need::Nsd]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), TempDir::new().unwrap());
    let zones = [ZoneFile { name: "example", text: ZONE }];
    let addrs = [host(0, 53), host(0, 54)];
    let nsd = dns_servers::nsd(folder.path(), &addrs.map(IpAddr::from), 53, &zones).unwrap();
    let servers = Servers::start(lab.world(), vec![nsd]).unwrap();
    for addr in addrs {
        check_authority(addr, 53);
    }
    drop(servers);
    // It is several processes, of which the kernel ends only the first for the lab.
    eventually("the others ended too", || connect(host(0, 53), 53, SHORT).is_err());
}

#[test]
fn unbound_resolves_what_knot_serves() {
    if !gate::permits(&[Need::Netns, Need::Knot, Need::Unbound]) {
        return;
    }
    let (lab, folder) = (Lab::builder().start().unwrap(), TempDir::new().unwrap());
    let zones = [ZoneFile { name: "example", text: ZONE }];
    let knotd = dns_servers::knotd(folder.path(), &[], 5_300, &zones).unwrap();
    let stubs = [("example", (Ipv4Addr::LOCALHOST, 5_300).into())];
    let unbound = dns_servers::unbound(folder.path(), 53, &stubs).unwrap();
    let _servers = Servers::start(lab.world(), vec![knotd, unbound]).unwrap();
    for addr in [host(9, 9), host(9, 10)] {
        let to = (addr, 53).into();
        let answer = answer_to(to, &query(1, "alias.example.", RecordType::A));
        assert_eq!(
            said(&answer),
            ["alias.example. CNAME www.example.", "www.example. A 198.19.7.1"]
        );
        assert!(answer.metadata.recursion_available && !answer.metadata.authoritative);
        let none = answer_to(to, &query(2, "nothing.example.", RecordType::A));
        assert_eq!(none.metadata.response_code, ResponseCode::NXDomain);
        let other = answer_to(to, &query(3, "example.net.", RecordType::A));
        assert_eq!(other.metadata.response_code, ResponseCode::Refused);
    }
}

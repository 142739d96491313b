//! The XDP responder answers for the hosts it should, with SYN-ACKs that a parser and a kernel take, and counts all.

use std::{
    collections::BTreeSet,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, UdpSocket},
    os::fd::AsRawFd,
    time::Duration,
};

use etherparse::{NetHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use mrpf_lab::{
    Lab, Pass, Synack,
    gate::{self, Need},
    synack::{Answered, answers},
    veth,
    xdp::XdpError,
};
use nix::{ifaddrs::getifaddrs, sys::socket::bind};
use socket2::{Domain, Protocol, Socket, Type};

use crate::{PATIENCE, SHORT, check_refused, connect, eventually, host};

/// Its acknowledgement is 0.
const SEQ: u32 = u32::MAX;
const SOURCE_PORT: u16 = 50_000;
const PORT: u16 = 443;
/// 14, 20 and 20 octets of headers, and an MSS option.
const SYN_LEN: u64 = 58;
const ANSWER_LEN: usize = 54;

/// Sends and takes whole frames of IPv4 on the scanner's device.
fn packet_socket() -> Socket {
    const IPV4: i32 = 0x0800;
    let protocol = Protocol::from(i32::from((IPV4 as u16).to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW, Some(protocol)).unwrap();
    let device = getifaddrs()
        .unwrap()
        .filter(|interface| interface.interface_name == veth::SCANNER.device)
        .find_map(|interface| interface.address?.as_link_addr().copied());
    bind(socket.as_raw_fd(), &device.unwrap()).unwrap();
    socket
}

fn tcp_frame(addr: Ipv4Addr, flags: impl Fn(&mut etherparse::TcpHeader)) -> Vec<u8> {
    let mut tcp = etherparse::TcpHeader::new(SOURCE_PORT, PORT, SEQ, 1_024);
    tcp.set_options(&[etherparse::TcpOptionElement::MaximumSegmentSize(1_460)]).unwrap();
    flags(&mut tcp);
    let mut frame = Vec::new();
    PacketBuilder::ethernet2(veth::SCANNER.mac, veth::WORLD.mac)
        .ipv4(veth::SCANNER.addr.octets(), addr.octets(), 64)
        .tcp_header(tcp)
        .write(&mut frame, &[])
        .unwrap();
    frame
}

/// Who answers, if this is a SYN-ACK for our SYN that a host of RFC 9293 would take.
fn proven(frame: &[u8]) -> Option<Ipv4Addr> {
    let packet = PacketHeaders::from_ethernet_slice(frame).unwrap();
    let Some(NetHeaders::Ipv4(ip, _)) = packet.net else { return None };
    let Some(TransportHeader::Tcp(tcp)) = packet.transport else { return None };
    if !(tcp.syn && tcp.ack) {
        return None; // what the scanner's own kernel sends is seen too
    }
    assert_eq!(frame.len(), ANSWER_LEN);
    assert_eq!(
        (&frame[..6], &frame[6..12]),
        (&veth::SCANNER.mac[..], &veth::WORLD.mac[..]),
        "the hardware addresses changed places"
    );
    assert_eq!(ip.destination, veth::SCANNER.addr.octets());
    assert_eq!(ip.header_checksum, ip.calc_header_checksum());
    assert_eq!((tcp.source_port, tcp.destination_port), (PORT, SOURCE_PORT));
    assert_eq!(tcp.acknowledgment_number, SEQ.wrapping_add(1));
    assert!(!(tcp.rst || tcp.fin || tcp.psh || tcp.urg || tcp.cwr || tcp.ece || tcp.ns));
    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, &[]).unwrap());
    Some(ip.source.into())
}

#[test]
fn the_hosts_of_the_share_answer_and_no_others() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let asked = || (0..=3_u8).flat_map(|third| (0..=255).map(move |fourth| host(third, fourth)));
    for per_mille in [0, 10, 100, 1_000] {
        let lab = Lab::builder().start().unwrap();
        let _taking = Pass::attach(lab.scanner(), veth::SCANNER.device).unwrap();
        let synack = Synack::attach(lab.world(), veth::WORLD.device, per_mille).unwrap();
        assert_eq!(synack.counts().unwrap(), Answered::default());
        let socket = packet_socket();
        let mut answered = BTreeSet::new();
        let mut frame = [0; 2_048];
        for (number, addr) in asked().enumerate() {
            socket.send(&tcp_frame(addr, |tcp| tcp.syn = true)).unwrap();
            // Now and then, before the socket's buffer is full; at the end until nothing comes any more.
            let patience = if number == 1_023 { SHORT } else { Duration::from_millis(10) };
            socket.set_read_timeout(Some(patience)).unwrap();
            let looks = number % 64 == 63;
            while let Some(len) = looks.then(|| (&socket).read(&mut frame).ok()).flatten() {
                if let Some(addr) = proven(&frame[..len]) {
                    assert!(answered.insert(addr), "{addr} answered twice");
                }
            }
        }
        let expected: BTreeSet<_> = asked().filter(|addr| answers(*addr, per_mille)).collect();
        assert_eq!(answered, expected, "{per_mille} of a thousand");
        let (hosts, of_them) = (asked().count() as u64, expected.len() as u64);
        // The scanner's kernel knows of no connection, and says so.
        eventually("all were reset", || synack.counts().unwrap().resets == of_them);
        let counts = Answered {
            syns: hosts,
            octets: hosts * SYN_LEN,
            answered: of_them,
            resets: of_them,
            others: 0,
            passed: 0,
        };
        assert_eq!(synack.counts().unwrap(), counts);
        assert_eq!(synack.lost().unwrap(), 0);
    }
}

#[test]
fn a_real_kernel_takes_the_answer_and_what_is_no_syn_is_counted() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _taking = Pass::attach(lab.scanner(), veth::SCANNER.device).unwrap();
    let synack = Synack::attach(lab.world(), veth::WORLD.device, 100).unwrap();
    let all = || (0..=255).map(|fourth| host(9, fourth));
    let (open, silent) = (
        all().find(|addr| answers(*addr, 100)).unwrap(),
        all().find(|addr| !answers(*addr, 100)).unwrap(),
    );
    // Its checksum is left to the device: see the program.
    let stream = connect(open, 80, PATIENCE).unwrap();
    eventually("the kernel acknowledged", || synack.counts().unwrap().others == 1);
    check_refused(silent, 80, SHORT, ErrorKind::TimedOut);
    drop(stream);
    eventually("and its FIN came", || synack.counts().unwrap().others >= 2);

    let before = synack.counts().unwrap();
    let socket = packet_socket();
    let not_a_syn: [fn(&mut etherparse::TcpHeader); 2] =
        [|tcp| (tcp.syn, tcp.ack) = (true, true), |tcp| tcp.fin = true];
    for flags in not_a_syn {
        socket.send(&tcp_frame(open, flags)).unwrap();
    }
    socket.send(&tcp_frame(open, |tcp| (tcp.syn, tcp.rst) = (true, true))).unwrap();
    // The link itself is no host.
    socket.send(&tcp_frame(veth::WORLD.addr, |tcp| tcp.syn = true)).unwrap();
    let udp = UdpSocket::bind((veth::SCANNER.addr, 0)).unwrap();
    udp.send_to(b"x", (open, 9)).unwrap();
    // A neighbour that is looked for.
    udp.send_to(b"x", (Ipv4Addr::new(198, 18, 0, 77), 9)).unwrap();
    eventually("all came", || synack.counts().unwrap().passed > before.passed);
    let after = synack.counts().unwrap();
    assert_eq!((after.syns, after.answered), (before.syns, before.answered));
    assert_eq!(after.resets, before.resets + 1);
    // The FIN of the stream may come again meanwhile.
    assert!(after.others >= before.others + 4, "{before:?} {after:?}");
}

#[test]
fn answers_that_the_device_drops_are_told() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    const SYNS: u64 = 10;
    let lab = Lab::builder().start().unwrap();
    // Nothing at the scanner's end takes what is sent back.
    let synack = Synack::attach(lab.world(), veth::WORLD.device, 1_000).unwrap();
    let socket = packet_socket();
    for fourth in 0..SYNS {
        socket.send(&tcp_frame(host(0, fourth as u8), |tcp| tcp.syn = true)).unwrap();
    }
    eventually("all were lost", || synack.lost().unwrap() == SYNS);
    let counts = synack.counts().unwrap();
    assert_eq!((counts.syns, counts.answered, counts.resets), (SYNS, SYNS, 0));
}

#[test]
fn one_program_a_device_and_an_error_that_names_both() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let pass = Pass::attach(lab.world(), veth::WORLD.device).unwrap();
    let error = Synack::attach(lab.world(), veth::WORLD.device, 1).unwrap_err();
    assert!(matches!(error, XdpError::Attach { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("synack") && text.contains(veth::WORLD.device), "{text}");
    drop(pass);
    Synack::attach(lab.world(), veth::WORLD.device, 1).unwrap();
}

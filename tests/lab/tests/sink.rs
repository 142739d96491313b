//! The sink counts what was sent, drops it, and is gone when it is dropped.

use std::{
    io::ErrorKind,
    net::{Ipv4Addr, UdpSocket},
};

use mrpf_lab::{
    Lab,
    gate::{self, Need},
    sink::{Counts, Sink},
    veth,
    xdp::XdpError,
};

use crate::{PATIENCE, SHORT, check_refused, connect, eventually, host};

#[test]
fn every_frame_sent_is_counted_once_and_dropped() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    const FRAMES: u64 = 1_000;
    const PAYLOAD: [u8; 100] = [7; 100];
    const HEADERS: u64 = 14 + 20 + 8;
    let lab = Lab::builder().open(80).start().unwrap();
    let sink = Sink::attach(lab.world(), veth::WORLD.device).unwrap();
    assert_eq!(sink.counts().unwrap(), Counts::default());

    let socket = UdpSocket::bind((veth::SCANNER.addr, 0)).unwrap();
    for number in 0..FRAMES {
        // Each to another host; a sink that let them pass would have their kernel answer with ICMP.
        let addr = Ipv4Addr::from_bits(host(0, 0).to_bits() + number as u32);
        assert_eq!(socket.send_to(&PAYLOAD, (addr, 9)).unwrap(), PAYLOAD.len());
    }
    eventually("all frames arrived", || sink.counts().unwrap().frames >= FRAMES);
    let octets = FRAMES * (HEADERS + PAYLOAD.len() as u64);
    assert_eq!(sink.counts().unwrap(), Counts { frames: FRAMES, octets, syns: 0, passed: 0 });

    // The port is open, and nobody hears of it. The kernel asks again when it takes long: all of it SYNs.
    check_refused(host(0, 1), 80, SHORT, ErrorKind::TimedOut);
    let counts = sink.counts().unwrap();
    assert!(counts.syns >= 1 && counts.frames == FRAMES + counts.syns, "{counts:?}");
    assert_eq!(lab.served(), 0);

    drop(sink);
    connect(host(0, 1), 80, PATIENCE).expect("the hosts are back without the sink");
}

#[test]
fn neighbours_resolve_through_a_sink() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let sink = Sink::attach(lab.world(), veth::WORLD.device).unwrap();
    // Nobody has this address, so the scanner's kernel asks for it by ARP and sends nothing else.
    let socket = UdpSocket::bind((veth::SCANNER.addr, 0)).unwrap();
    socket.send_to(b"x", (Ipv4Addr::new(198, 18, 0, 77), 9)).unwrap();
    eventually("ARP passed", || sink.counts().unwrap().passed >= 1);
    assert_eq!(sink.counts().unwrap().frames, 0);
}

#[test]
fn a_device_that_is_not_there_or_has_a_program_is_refused() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _sink = Sink::attach(lab.world(), veth::WORLD.device).unwrap();
    // The scanner's device is in the other namespace.
    for device in [veth::WORLD.device, veth::SCANNER.device] {
        let error = Sink::attach(lab.world(), device).unwrap_err();
        assert!(matches!(error, XdpError::Attach { .. }), "{error}");
        assert!(error.to_string().contains(device), "{error}");
    }
}

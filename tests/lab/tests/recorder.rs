//! What arrives at the far end is noted, all of it and when it did.

use std::{
    net::UdpSocket,
    thread,
    time::{Duration, Instant},
};

use mrpf_lab::{
    Lab, Prefix, Recorder,
    gate::{self, Need},
    veth,
};

#[test]
fn every_frame_is_noted_with_its_time() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let silent = Prefix::new([198, 19, 1, 0], 24);
    let lab = Lab::builder().open(80).silent(silent).start().unwrap();
    let recorder = Recorder::start(lab.world()).unwrap();
    let socket = UdpSocket::bind((veth::SCANNER.addr, 0)).unwrap();
    let send = |n| {
        for _ in 0..n {
            socket.send_to(b"x", (silent.first(), 9)).unwrap();
        }
    };
    let start = Instant::now();
    send(300);
    let pause = Duration::from_millis(200);
    thread::sleep(pause);
    send(200);
    let took = start.elapsed();
    // What the world says to others is not noted.
    let own = socket.local_addr().unwrap();
    let speak = || UdpSocket::bind((veth::WORLD.addr, 0))?.send_to(b"x", own);
    lab.world().run(speak).unwrap().unwrap();
    let arrivals = recorder.finish().unwrap();
    assert_eq!((arrivals.count(), arrivals.missed()), (500, 0));
    assert!(arrivals.span() >= pause && arrivals.span() <= took, "{:?}", arrivals.span());
    let gaps = arrivals.gaps(pause);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(arrivals.within(gaps[0].after + pause..took).count(), 200);
}

#[test]
fn a_recorder_that_is_dropped_ends() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    drop(Recorder::start(lab.world()).unwrap());
    assert_eq!(Recorder::start(lab.world()).unwrap().finish().unwrap().count(), 0);
}

//! The gauge tells when frames came.

use std::{net::UdpSocket, thread, time::Duration};

use mrpf_lab::{
    Lab,
    gate::{self, Need},
    gauge::Gauge,
    veth,
};

use crate::{eventually, host};

#[test]
fn frames_are_told_with_the_time_between_them() {
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    const BURST: usize = 100;
    const PAUSE: Duration = Duration::from_millis(300);
    let lab = Lab::builder().start().unwrap();
    let gauge = Gauge::attach(lab.world(), veth::WORLD.device).unwrap();
    assert_eq!(gauge.arrivals().unwrap().count(), 0);

    let socket = UdpSocket::bind((veth::SCANNER.addr, 0)).unwrap();
    let burst = || {
        for _ in 0..BURST {
            socket.send_to(b"x", (host(0, 1), 9)).unwrap();
        }
    };
    burst();
    thread::sleep(PAUSE);
    burst();
    eventually("all arrived", || gauge.arrivals().unwrap().count() >= 2 * BURST);

    let arrivals = gauge.arrivals().unwrap();
    assert_eq!((arrivals.count(), arrivals.missed()), (2 * BURST, 0));
    let gaps = arrivals.gaps(PAUSE - Duration::from_millis(1));
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    let before = arrivals.within(Duration::ZERO..gaps[0].after + Duration::from_millis(1));
    assert_eq!(before.count(), BURST);
}

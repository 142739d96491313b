//! Receivers on a veth pair, whose other end sends what answers would be.

use std::{
    fs,
    io::{ErrorKind, Read},
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    time::Instant as Now,
};

use super::*;
use crate::{
    link::{
        Digest,
        sys::namespace::{self, ip},
        xdp::{Deal, frames::*},
    },
    wire::tcp::Flags,
};

/// Longer than anything here takes on a busy machine.
const WAIT: Duration = Duration::from_secs(10);

/// Runs `test` in a namespace with v0, which has our address, and v1 at its other end; skips it where BPF is not permitted.
fn run(test: impl FnOnce() + Send) {
    namespace::run(|| {
        ip("link add v0 type veth peer name v1");
        ip("address add 198.18.0.1/15 dev v0");
        ip("link set v0 up");
        ip("link set v1 up");
        match open(&take(None), Mode::Native) {
            Err(LinkError::NoBpf) => println!("\nSKIPPED: this test needs CAP_BPF: run it as root"),
            opened => {
                drop(opened.unwrap());
                test();
            }
        }
    });
}

fn interface(name: &str) -> Interface {
    Interface::by_name(name).unwrap()
}

fn open(take: &Take, mode: Mode) -> Result<Vec<XdpRx>, LinkError> {
    XdpRx::open(&interface("v0"), take, mode, Clock::start())
}

fn open_one(take: &Take) -> XdpRx {
    open(take, Mode::Native).unwrap().pop().unwrap()
}

/// A packet socket at the other end.
fn far_end() -> Socket {
    let (socket, interface) = (packet::open(&interface("v1")).unwrap(), interface("v1"));
    socket::bind(&socket, LinkAddress::new(interface.index(), 0)).unwrap();
    socket
}

/// Sends `frame` to the address of v0, so that its kernel takes it for its own.
fn send(socket: &Socket, mut frame: Vec<u8>) {
    frame[..6].copy_from_slice(&interface("v0").mac().0);
    socket.send(&frame).unwrap();
}

/// What is shown until there were `count` frames, from the IP header on.
fn shown(rx: &mut XdpRx, count: usize) -> Vec<Vec<u8>> {
    let (mut frames, until) = (Vec::new(), Now::now() + WAIT);
    while frames.len() < count && Now::now() < until {
        rx.receive(Duration::from_millis(100), |frame| {
            assert_eq!((frame.form, frame.wire_len as usize), (Form::Whole, frame.bytes.len()));
            frames.push(frame.bytes[14..].to_vec());
        })
        .unwrap();
    }
    frames
}

/// The next frame that comes to a packet socket, within [`WAIT`].
fn next(mut socket: &Socket) -> Vec<u8> {
    socket.set_read_timeout(Some(WAIT)).unwrap();
    let mut octets = [0; 256];
    let len = socket.read(&mut octets).unwrap();
    octets[..len].to_vec()
}

fn has_xdp() -> bool {
    let output = Command::new("ip").args(["link", "show", "v0"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().contains("xdp")
}

#[test]
fn answers_are_shown_and_all_else_is_the_kernels() {
    run(|| {
        for mode in [Mode::Native, Mode::Generic] {
            let mut receivers = open(&take(None), mode).unwrap();
            let [rx] = receivers.as_mut_slice() else { panic!("one") };
            let [theirs, ours] = [53, PORT].map(|port| UdpSocket::bind((OURS, port)).unwrap());
            theirs.set_read_timeout(Some(WAIT)).unwrap();
            ours.set_nonblocking(true).unwrap();
            let far = far_end();
            for port in [PORT, 53, PORT] {
                send(&far, udp(port));
            }
            let answer = udp(PORT)[14..].to_vec();
            assert_eq!(shown(rx, 2), [answer.clone(), answer], "{mode:?}");
            let mut octets = [0; 64];
            let (len, from) = theirs.recv_from(&mut octets).unwrap();
            assert_eq!((&octets[..len], from), (&b"answer"[..], (THEIRS, 53).into()), "{mode:?}");
            let error = ours.recv_from(&mut octets).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "the kernel does not see it: {mode:?}");
            assert_eq!((rx.ring_drops(), rx.screened()), (0, Screened::default()));
        }
    });
}

/// Who asks for our address is answered by the kernel.
#[test]
fn arp_goes_on() {
    run(|| {
        let _receivers = open(&take(None), Mode::Native).unwrap();
        let far = packet::open(&interface("v1")).unwrap();
        socket::bind(&far, LinkAddress::new(interface("v1").index(), 0x0806)).unwrap();
        let mac = interface("v1").mac().0;
        let head = [&[0xff; 6][..], &mac, &[8, 6], &[0, 1, 8, 0, 6, 4, 0, 1]].concat();
        let ends = [&mac[..], &THEIRS.octets(), &[0; 6], &OURS.octets()].concat();
        far.send(&[head, ends].concat()).unwrap();
        let is_answer = |frame: &[u8]| frame[20..22] == [0, 2] && frame[28..32] == OURS.octets();
        while !is_answer(&next(&far)) {}
    });
}

/// Without a program at its far end veth loses all that is sent back.
#[test]
fn a_reset_that_the_device_loses_is_told() {
    run(|| {
        let mut rx = open_one(&take(screen(true, true)));
        let far = far_end();
        send(&far, proved());
        assert_eq!(rx.receive(WAIT, |_| {}).unwrap(), 1);
        // The driver says so at the end of its poll, a moment after the digest is there.
        let end = rx.clock.now() + WAIT;
        while rx.screened().resets_lost == 0 && rx.clock.now() < end {
            assert_eq!(rx.receive(Duration::from_millis(1), |_| {}).unwrap(), 0);
        }
        let expected = Screened { resets: 1, resets_lost: 1, ..Screened::default() };
        assert_eq!(rx.screened(), expected);
    });
}

/// A screened scan over the wire: what proves itself comes as a digest at its time, and is reset.
#[test]
fn a_digest_comes_and_a_reset_goes() {
    run(|| {
        let mut rx = open_one(&take(screen(true, true)));
        // A program there lets veth take what is sent back (XDP_TX); it passes all of it.
        let theirs = Take { sources: Ipv4Addr::new(203, 0, 113, 1).into(), ..take(None) };
        let _far = XdpRx::open(&interface("v1"), &theirs, Mode::Native, Clock::start()).unwrap();
        let far = packet::open(&interface("v1")).unwrap();
        socket::bind(&far, LinkAddress::new(interface("v1").index(), 0x0800)).unwrap();
        let mut segment = Segment::v4(SYN_ACK, 0);
        send(&far, segment.frame());
        segment.ack = (segment.cookie() as u32).wrapping_add(1);
        let before = rx.clock.now();
        send(&far, segment.frame());
        let mut seen = Vec::new();
        let count = rx
            .receive(WAIT, |frame| seen.push((Digest::read(frame.bytes).unwrap(), frame.at)))
            .unwrap();
        let after = rx.clock.now();
        assert_eq!((count, seen.len()), (1, 1));
        let (digest, at) = seen[0];
        assert_eq!((digest.remote, digest.remote_port, digest.flags), (THEIRS, 443, SYN_ACK));
        let slack = Duration::from_millis(1);
        assert!(at + slack >= before && at <= after + slack, "{before:?} {at:?} {after:?}");
        assert_eq!(rx.screened(), Screened { cookie: 1, resets: 1, ..Screened::default() });
        let is_reset = |frame: &[u8]| {
            frame[30..34] == THEIRS.octets()
                && frame[38..42] == segment.ack.to_be_bytes()
                && frame[47] == Flags::RST.0
        };
        while !is_reset(&next(&far)) {}
    });
}

/// Each of several shows its own, and the first tells what all screened.
#[test]
fn receivers_share_what_comes() {
    run(|| {
        let deal = Deal::Ports(vec![(PORTS.0, PORT - 1), (PORT, PORTS.1)]);
        let mut receivers =
            open(&Take { deal, ..take(screen(false, false)) }, Mode::Native).unwrap();
        let far = far_end();
        for port in [PORT, PORTS.0, PORTS.1] {
            let mut segment = Segment { to: (OURS.into(), port), ..Segment::v4(SYN_ACK, 0) };
            segment.ack = (segment.cookie() as u32).wrapping_add(1);
            send(&far, segment.frame());
        }
        send(&far, Segment::v4(Flags::ACK, 1).frame());
        assert_eq!(shown(&mut receivers[1], 2).len(), 2);
        assert_eq!(shown(&mut receivers[0], 1).len(), 1);
        let screened = receivers.iter_mut().map(Rx::screened).collect::<Vec<_>>();
        assert_eq!(
            screened,
            [Screened { challenge: 1, ..Screened::default() }, Screened::default()]
        );
    });
}

/// What the calling thread has run on a CPU.
fn cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

#[test]
fn an_idle_receiver_costs_nothing() {
    run(|| {
        let mut rx = open_one(&take(None));
        let (before, start) = (cpu_time(), Now::now());
        for wait in [400, 100, 10, 0] {
            assert_eq!(
                rx.receive(Duration::from_millis(wait), |_| panic!("nothing is sent")).unwrap(),
                0
            );
        }
        assert!(start.elapsed() >= Duration::from_millis(510));
        let spent = cpu_time() - before;
        assert!(spent < Duration::from_millis(25), "{spent:?} of half a second");
    });
}

#[test]
fn a_sleeping_receiver_is_woken_at_once() {
    run(|| {
        let mut rx = open_one(&take(None));
        let far = far_end();
        let mut best = WAIT;
        for _ in 0..10 {
            let woken = thread::scope(|scope| {
                let sent = scope.spawn(|| {
                    thread::sleep(Duration::from_millis(20));
                    let now = Now::now();
                    send(&far, udp(PORT));
                    now
                });
                assert_eq!(rx.receive(WAIT, |_| {}).unwrap(), 1);
                let now = Now::now();
                now.saturating_duration_since(sent.join().unwrap())
            });
            best = best.min(woken);
            assert!(woken < Duration::from_millis(900), "woken after {woken:?}");
        }
        assert!(best < Duration::from_millis(5), "woken after {best:?} at best");
    });
}

/// An answer that proves itself.
fn proved() -> Vec<u8> {
    let mut segment = Segment::v4(SYN_ACK, 0);
    segment.ack = (segment.cookie() as u32).wrapping_add(1);
    segment.frame()
}

/// An answer that comes between the two halves of the last look: the second takes the record by which the receiver is woken.
#[test]
fn who_is_woken_in_its_last_look_does_not_wait() {
    run(|| {
        let mut rx = open_one(&take(screen(true, false)));
        let far = far_end();
        rx.fall_asleep();
        let now = rx.clock.now();
        assert_eq!(rx.show_digests(&mut |_| panic!("nothing was sent"), now), 0);
        assert!(rx.may_wait(0));
        send(&far, proved());
        // The word is taken back before the record is there.
        let until = Now::now() + WAIT;
        while rx.poll.poll(&mut rx.events, Some(WAIT)).is_ok() && rx.events.is_empty() {
            assert!(Now::now() < until, "nobody wakes it");
        }
        assert_eq!(rx.show_records(&mut |_| panic!("a digest is no record")), 0);
        rx.poll.poll(&mut rx.events, Some(Duration::from_millis(10))).unwrap();
        assert!(rx.events.is_empty(), "waiting would find nothing");
        assert!(!rx.may_wait(0));
        assert_eq!(rx.receive(WAIT, |_| {}).unwrap(), 1);
    });
}

#[test]
fn no_wake_up_for_a_record_is_lost() {
    check_wake_ups(&take(None), udp(PORT));
}

#[test]
fn no_wake_up_for_a_digest_is_lost() {
    check_wake_ups(&take(screen(true, false)), proved());
}

/// However the sender and a receiver that goes to sleep all the time meet, nothing is left lying.
fn check_wake_ups(take: &Take, mut frame: Vec<u8>) {
    const COUNT: usize = 10_000;
    run(|| {
        let mut rx = open_one(take);
        let far = far_end();
        frame[..6].copy_from_slice(&interface("v0").mac().0);
        let (mut seen, mut longest) = (0, Duration::ZERO);
        thread::scope(|scope| {
            scope.spawn(|| {
                for i in 0..COUNT {
                    far.send(&frame).unwrap();
                    // Now and then as long as the receiver takes to fall asleep, and more and less.
                    for _ in 0..(i * 7919) % 20_000 {
                        std::hint::spin_loop();
                    }
                }
            });
            while seen < COUNT {
                let start = Now::now();
                let count = rx.receive(WAIT, |_| {}).unwrap();
                assert!(count > 0 || rx.ring_drops() > 0, "{seen} of {COUNT}");
                longest = longest.max(start.elapsed());
                seen += count;
            }
        });
        assert_eq!(rx.ring_drops(), 0);
        // It looks by itself after a second.
        assert!(longest < Duration::from_millis(900), "{longest:?}");
    });
}

#[test]
fn many_frames_are_taken_in_few_naps() {
    run(|| {
        let mut rx = open_one(&take(None));
        let far = far_end();
        let mut calls = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                let frame = udp(PORT);
                for _ in 0..50_000 {
                    far.send(&frame).unwrap();
                }
            });
            let mut seen = 0;
            while seen < 50_000 {
                let count = rx.receive(WAIT, |_| {}).unwrap();
                assert!(count > 0, "{seen} of 50,000");
                seen += count;
                calls += 1;
            }
        });
        assert!(calls < 5_000, "{calls} calls for 50,000 frames");
    });
}

/// A process that another test starts has the program too, from its fork to its exec.
#[track_caller]
fn wait_until_off() {
    let until = std::time::Instant::now() + WAIT;
    while has_xdp() {
        assert!(std::time::Instant::now() < until, "the program stays");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn the_last_receiver_takes_the_program_off() {
    run(|| {
        assert!(!has_xdp());
        let mut receivers =
            open(&Take { deal: Deal::Hash(3), ..take(None) }, Mode::Native).unwrap();
        assert!(has_xdp());
        receivers.truncate(1);
        assert!(has_xdp());
        drop(receivers);
        wait_until_off();
    });
}

#[test]
fn a_panic_takes_the_program_off() {
    run(|| {
        let panics = || {
            let _receivers = open(&take(None), Mode::Native).unwrap();
            assert!(has_xdp());
            panic!("on purpose");
        };
        thread::scope(|scope| scope.spawn(panics).join().unwrap_err());
        wait_until_off();
    });
}

#[test]
fn an_interface_with_a_program_is_refused() {
    run(|| {
        for (first, second) in [
            (Mode::Native, Mode::Native),
            (Mode::Native, Mode::Generic),
            (Mode::Generic, Mode::Native),
            (Mode::Generic, Mode::Generic),
        ] {
            let receivers = open(&take(None), first).unwrap();
            let error = open(&take(None), second).unwrap_err();
            assert!(matches!(&error, LinkError::Occupied { name } if name == "v0"), "{error}");
            assert!(error.to_string().contains("ip link set dev v0 xdp off"), "{error}");
            drop(receivers);
            wait_until_off();
            drop(open(&take(None), second).unwrap());
            wait_until_off();
        }
    });
}

#[test]
fn an_interface_that_goes_down_ends_it() {
    run(|| {
        let mut rx = open_one(&take(None));
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                ip("link set v0 down");
            });
            let error = rx.receive(WAIT, |_| {}).unwrap_err();
            assert!(matches!(&error, LinkError::Gone { name, .. } if name == "v0"), "{error}");
        });
        assert!(rx.receive(WAIT, |_| {}).is_err(), "and for good");
    });
}

#[test]
fn an_interface_that_is_down_is_refused() {
    run(|| {
        ip("link set v0 down");
        let error = open(&take(None), Mode::Native).unwrap_err();
        assert!(matches!(error, LinkError::Unusable { .. }), "{error}");
    });
}

/// In the kernel's loopback device there is no driver that could run a program.
#[test]
fn a_driver_without_xdp_is_named() {
    run(|| {
        ip("link set lo up");
        let open = |mode| XdpRx::open(&interface("lo"), &take(None), mode, Clock::start());
        let error = open(Mode::Native).unwrap_err();
        assert!(matches!(&error, LinkError::Unusable { name, .. } if name == "lo"), "{error}");
        assert!(open(Mode::Generic).is_ok());
    });
}

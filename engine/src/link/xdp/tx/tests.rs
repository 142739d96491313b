//! The sender over a veth pair in a namespace of its own: the far end is a packet socket.

use std::{
    fs,
    sync::{Mutex, MutexGuard, PoisonError},
};

use socket2::{Domain, Socket, Type};

use super::*;
use crate::link::sys::{
    namespace::{self, Tun, ip},
    socket::{self, LinkAddress},
};

/// The EtherType that is left for experiments (IEEE 802).
const EXPERIMENT: u16 = 0x88b5;
/// Octets before the number of a frame: addresses and type.
const HEADER: usize = 14;
/// The longest frame of a device with the usual MTU.
const LONGEST: usize = 1514;

/// Each sender takes a CPU, and threads are told by their names: one test at a time.
pub(in crate::link::xdp) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The far end of a veth pair, as a packet socket sees it.
struct FarEnd(Socket);

impl FarEnd {
    fn open() -> Self {
        let far = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
        far.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        // Room for what arrives at once.
        socket::force_receive_buffer(&far, 64 << 20).unwrap();
        let index = Interface::by_name("w0").unwrap().index();
        socket::bind(&far, LinkAddress::new(index, EXPERIMENT)).unwrap();
        Self(far)
    }

    /// The next frame, until for a while there was none.
    fn next(&self) -> Option<Vec<u8>> {
        let mut octets = vec![0; 4096];
        let len = io::Read::read(&mut &self.0, &mut octets).ok()?;
        octets.truncate(len);
        Some(octets)
    }
}

/// A sender on one end of a veth pair. With `is_taking` the other end takes redirected frames; without, the device loses all.
/// `None`, said aloud, where there cannot be one.
fn sender(slot_len: usize, is_taking: bool) -> Option<XdpTx> {
    ip("link add s0 type veth peer name w0");
    ip("link set s0 up");
    ip("link set w0 up");
    driver::set_gro("w0", is_taking).unwrap();
    match XdpTx::open(&Interface::by_name("s0").unwrap(), slot_len, Rate::Max) {
        Ok(tx) => Some(tx),
        Err(error @ LinkError::NoBpf) => {
            println!("\nSKIPPED: this test needs BPF: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// The frame of this number: its length, and octets that no other frame has.
fn expected(number: u64, longest: usize) -> Vec<u8> {
    let shortest = HEADER + 8;
    let len = shortest + (number as usize * 7) % (longest - shortest + 1);
    let mut frame = vec![0xff; 12];
    frame.extend(EXPERIMENT.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.extend((frame.len()..len).map(|at| (number as usize * 31 + at) as u8));
    frame
}

/// Sends the frames of these numbers, in batches of several sizes.
fn send(tx: &mut XdpTx, numbers: std::ops::Range<u64>, longest: usize) {
    let mut number = numbers.start;
    while number < numbers.end {
        let count = (1 + number % 64).min(numbers.end - number) as usize;
        let lens: Vec<_> = (0..count)
            .map(|slot| {
                let frame = expected(number + slot as u64, longest);
                tx.frame(slot)[..frame.len()].copy_from_slice(&frame);
                frame.len() as u16
            })
            .collect();
        let sent = tx.send(&lens).unwrap();
        assert_eq!((sent.sent, sent.dropped, sent.errno), (count as u32, 0, 0));
        number += count as u64;
    }
}

/// Waits until the program has taken all there was, and its last batch is told of.
fn drain(tx: &XdpTx) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !tx.ring.words().is_empty() {
        assert!(std::time::Instant::now() < end, "{} are left", tx.ring.words().left());
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(20));
}

/// The threads of this process that make the long call, and the nanoseconds that each has run.
fn callers() -> Vec<u64> {
    let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
    tasks
        .filter(|task| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name == "xdp-send\n")
        })
        .filter_map(|task| {
            let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse().ok()
        })
        .collect()
}

/// Waits until the one caller has run no more for a while.
fn wait_for_rest() {
    let end = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        // A thread gives itself its name, a little after it was started.
        let before = callers();
        thread::sleep(Duration::from_millis(200));
        if before.len() == 1 && callers() == before {
            return;
        }
        assert!(std::time::Instant::now() < end, "the caller never rests");
    }
}

/// Waits until there is no caller: a thread that was joined is listed for a moment more.
#[track_caller]
fn check_no_caller() {
    let end = std::time::Instant::now() + Duration::from_secs(5);
    while !callers().is_empty() {
        assert!(std::time::Instant::now() < end, "a thread is left");
        thread::sleep(Duration::from_millis(1));
    }
}

/// Sends frames of up to `longest` octets, so many turns of the ring, and holds what arrives against it.
fn check(slot_len: usize, longest: usize, turns: u64) {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(slot_len, true) else { return };
        assert_eq!((tx.slots(), tx.places()), (MAX_BATCH, tx.ring.slots()));
        let count = turns * tx.places() as u64 + 17;
        let far = FarEnd::open();
        let received = thread::scope(|scope| {
            let receive = || std::iter::from_fn(|| far.next()).collect::<Vec<_>>();
            let receiver = scope.spawn(receive);
            send(&mut tx, 0..count, longest);
            drain(&tx);
            receiver.join().unwrap()
        });
        let mut last = None;
        for frame in &received {
            let number = frame[HEADER..].first_chunk().map(|octets| u64::from_be_bytes(*octets));
            assert!(number > last, "{number:?} after {last:?}");
            assert!(*frame == expected(number.unwrap(), longest), "frame {number:?}");
            last = number;
        }
        let missed = socket::take_drops(&far.0).unwrap();
        let lost = tx.lost();
        assert_eq!(received.len() as u64 + lost + missed, count, "{lost} lost, {missed} missed");
        assert!(lost + missed < count / 2, "{lost} lost, {missed} missed of {count}");
        assert_eq!(tx.lost(), 0, "told once");
    });
}

/// Down to a header, and over the length from which on the kernel copies.
#[test]
fn frames_of_every_length_arrive_octet_for_octet() {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(300, true) else { return };
        let far = FarEnd::open();
        let frame = |len: usize| {
            let mut frame = vec![0xff; 12];
            frame.extend(EXPERIMENT.to_be_bytes());
            frame.extend((HEADER..len).map(|at| (len * 31 + at) as u8));
            frame
        };
        for len in HEADER..=300 {
            tx.frame(0)[..len].copy_from_slice(&frame(len));
            // What is behind it in the slot is not sent.
            tx.frame(0)[len..].fill(0xee);
            assert_eq!(tx.send(&[len as u16]).unwrap().sent, 1);
        }
        let received: Vec<_> = std::iter::from_fn(|| far.next()).collect();
        assert_eq!(tx.lost(), 0);
        assert_eq!(received.len(), 300 - HEADER + 1);
        for (received, len) in received.iter().zip(HEADER..) {
            assert!(*received == frame(len), "{len} octets: {received:02x?}");
        }
    });
}

#[test]
fn short_frames_arrive_octet_for_octet_over_several_turns() {
    check(128, 128, 4);
}

#[test]
fn long_frames_arrive_octet_for_octet_over_several_turns() {
    check(LONGEST, LONGEST, 7);
}

#[test]
fn what_was_written_to_a_place_stays_there() {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(1536, true) else { return };
        let far = FarEnd::open();
        let mut is_written = vec![false; tx.places()];
        for number in 0..3 * tx.places() as u32 {
            let place = tx.place(0);
            assert_eq!(place, number as usize % tx.places());
            let frame = &mut tx.frame(0)[..64];
            if !std::mem::replace(&mut is_written[place], true) {
                frame.fill(0xa5);
                frame[..12].fill(0xff);
                frame[12..14].copy_from_slice(&EXPERIMENT.to_be_bytes());
                frame[14..18].copy_from_slice(&(place as u32).to_be_bytes());
            }
            frame[18..22].copy_from_slice(&number.to_be_bytes());
            assert_eq!(tx.send(&[64]).unwrap().sent, 1);
        }
        let mut arrived = 0;
        while let Some(frame) = far.next() {
            let number = |at: usize| frame[at..].first_chunk().map(|n| u32::from_be_bytes(*n));
            assert_eq!(number(14), number(18).map(|number| number % tx.places() as u32));
            assert_eq!((frame.len(), &frame[22..]), (64, &[0xa5; 42][..]));
            arrived += 1;
        }
        assert!(arrived > tx.places(), "{arrived}");
    });
}

#[test]
fn without_frames_the_thread_rests_and_wakes_for_the_next() {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(64, true) else { return };
        let far = FarEnd::open();
        wait_for_rest();
        for number in 0..3 {
            send(&mut tx, number..number + 1, 64);
            assert_eq!(far.next(), Some(expected(number, 64)));
            wait_for_rest();
        }
        assert_eq!(tx.lost(), 0);
    });
}

#[test]
fn dropping_it_sends_what_is_left_and_nothing_after_that() {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(64, true) else { return };
        let far = FarEnd::open();
        send(&mut tx, 0..200, 64);
        let words = Arc::clone(tx.ring.words());
        drop(tx);
        assert_eq!((words.head().load(Relaxed), words.left()), (200, 0));
        check_no_caller();
        let arrived = std::iter::from_fn(|| far.next()).count() as u64;
        assert_eq!(arrived + words.lost(), 200);
        assert_eq!(far.next(), None);
    });
}

#[test]
fn a_far_end_that_takes_nothing_is_a_loss_of_all_and_slows_the_sender() {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(64, false) else { return };
        let far = FarEnd::open();
        assert!(tx._program.counts_losses(), "root may look at tracepoints");
        let start = std::time::Instant::now();
        let (mut sent, mut lost) = (0, 0);
        while start.elapsed() < Duration::from_secs(2) {
            send(&mut tx, sent..sent + 64, 64);
            sent += 64;
            lost += tx.lost();
        }
        drain(&tx);
        lost += tx.lost();
        assert_eq!((lost, far.next()), (sent, None));
        let before = start.elapsed();
        send(&mut tx, sent..sent + 2000, 64);
        let slow = start.elapsed() - before;
        assert!(slow > Duration::from_millis(100), "2,000 more at 10,000 a second took {slow:?}");
    });
}

/// What the next sends come to, when the interface goes.
#[track_caller]
fn check_gone(how: &str) {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(64, true) else { return };
        send(&mut tx, 0..1000, 64);
        drain(&tx);
        ip(how);
        let (start, mut sent) = (std::time::Instant::now(), 1000);
        let error = loop {
            assert!(start.elapsed() < Duration::from_secs(10), "it goes on without a device");
            let frame = expected(0, 64);
            tx.frame(0)[..frame.len()].copy_from_slice(&frame);
            match tx.send(&[frame.len() as u16]) {
                Ok(batch) => sent += u64::from(batch.sent),
                Err(error) => break error,
            }
            thread::sleep(Duration::from_millis(1));
        };
        assert!(matches!(error, LinkError::Gone { .. }), "{error}");
        assert!(matches!(tx.send(&[64]), Err(LinkError::Gone { .. })), "and stays gone");
        let lost = tx.lost();
        assert!((sent - 1000..=sent).contains(&lost), "{lost} of {sent}, 1,000 of them before");
        let start = std::time::Instant::now();
        drop(tx);
        assert!(start.elapsed() < Duration::from_millis(900), "nothing to wait for");
    });
}

#[test]
fn an_interface_that_goes_down_ends_it() {
    check_gone("link set s0 down");
}

#[test]
fn an_interface_that_goes_away_ends_it() {
    check_gone("link del s0");
}

#[test]
fn what_is_no_frame_is_dropped_alone() {
    let _alone = alone();
    namespace::run(|| {
        let Some(mut tx) = sender(64, true) else { return };
        let far = FarEnd::open();
        for slot in 0..3 {
            tx.frame(slot)[..22].copy_from_slice(&expected(0, 22));
        }
        let sent = tx.send(&[22, 13, 22]).unwrap();
        assert_eq!((sent.sent, sent.dropped, sent.errno), (2, 1, libc::EINVAL));
        assert_eq!(tx.send(&[]).unwrap(), Sent::default());
        for _ in 0..2 {
            assert_eq!(far.next(), Some(expected(0, 22)));
        }
        assert_eq!((far.next(), tx.lost()), (None, 0));
    });
}

#[test]
fn an_interface_that_cannot_is_refused_with_what_mends_it() {
    let _alone = alone();
    namespace::run(|| {
        ip("link add s0 type veth peer name w0");
        let down = Interface::by_name("s0").unwrap();
        assert!(matches!(XdpTx::open(&down, 64, Rate::Max), Err(LinkError::Unusable { .. })));
        ip("link set s0 up");
        for slot_len in [13, 2049] {
            assert!(matches!(XdpTx::open(&down, slot_len, Rate::Max), Err(LinkError::Io { .. })));
        }
        ip("link del s0");
        assert!(matches!(XdpTx::open(&down, 64, Rate::Max), Err(LinkError::Gone { .. })));
        match Tun::make("t0") {
            Ok(_tun) => {
                let refused =
                    XdpTx::open(&Interface::by_name("t0").unwrap(), 64, Rate::Max).unwrap_err();
                assert!(refused.to_string().contains("--link packet"), "{refused}");
            }
            Err(error) => println!("\nSKIPPED in part: /dev/net/tun: {error}"),
        }
        check_no_caller();
    });
}

/// The interface tells of losses only when it is asked, and the last call may be shorter than a round of its watcher.
#[test]
fn the_device_is_looked_after_once_more_when_the_last_frame_is_gone() {
    let _alone = alone();
    namespace::run(|| {
        if sender(64, true).is_none() {
            return;
        }
        let mut program = Program::load(Interface::by_name("s0").unwrap().index()).unwrap();
        let mut ring = FrameRing::new(program.ring().unwrap(), 64, MAX_BATCH).unwrap();
        let words = Arc::clone(ring.words());
        let seen = Arc::new(AtomicU64::new(0));
        let check = {
            let (words, seen) = (Arc::clone(&words), Arc::clone(&seen));
            move || {
                seen.store(words.head().load(Relaxed), Relaxed);
                None
            }
        };
        let runner = Runner::start(words, program.send().unwrap(), 64, None, check).unwrap();
        let frame = expected(0, 64);
        for _ in 0..10 {
            ring.frame(0)[..frame.len()].copy_from_slice(&frame);
            ring.set_len(0, frame.len());
            ring.publish(1);
        }
        runner.wake();
        let end = std::time::Instant::now() + Duration::from_secs(10);
        while seen.load(Relaxed) != 10 {
            assert!(std::time::Instant::now() < end, "{seen:?} of 10");
            thread::sleep(Duration::from_millis(5));
        }
    });
}

#[test]
fn without_tracepoints_the_interface_counts() {
    namespace::run(|| {
        ip("link add s0 type veth peer name w0");
        ip("link set s0 up");
        let s0 = Interface::by_name("s0").unwrap();
        let (losses, mut check) = watch(s0.clone(), false).unwrap();
        // While the far end is down the device drops what it is given.
        let near = Socket::new(Domain::PACKET, Type::RAW, None).unwrap();
        socket::bind(&near, LinkAddress::new(s0.index(), 0)).unwrap();
        for _ in 0..5 {
            near.send(&expected(0, 64)).unwrap();
        }
        let Losses::Interface(lost) = losses else { panic!("{losses:?}") };
        assert_eq!((lost.load(Relaxed), check()), (0, None));
        // The kernel may have had something to say as well.
        assert!((5..8).contains(&lost.load(Relaxed)), "{lost:?}");
        ip("link set s0 down");
        assert_eq!(check(), Some(libc::ENETDOWN));
        ip("link del s0");
        assert_eq!(check(), Some(libc::ENODEV));
    });
}

#[test]
fn what_waits_is_sent_within_a_quarter_of_a_millisecond_of_the_rate() {
    let at = |rate: &str| depth(rate.parse().unwrap());
    assert_eq!(at("4M"), 1_000);
    assert_eq!(at("1M"), 250);
    assert_eq!(at("100k"), 128, "one batch that is sent and one that is built");
    assert_eq!(at("max"), u64::MAX);
}

//! Scans on real threads over links in memory: what virtual time on one thread cannot show.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use mrpf_engine::{
    link::{
        Frame, LinkError, MAX_BATCH, Rx, Sent, Tx,
        allowance::{Allowance, AllowanceSource},
    },
    scan::{Found, Outcome, Receiver, Running, Settings},
    stats::Counts,
    target::Target,
    time::{Clock, Instant},
};
use mrpf_syn::Reply;

use crate::world::{answer, shared};

const SLOT_LEN: usize = 128;

/// An answer on its way.
#[derive(Clone, Copy)]
struct Due {
    at: Instant,
    bytes: [u8; SLOT_LEN],
    len: usize,
}

/// A wire whose every SYN is answered after a while.
#[derive(Clone)]
struct Wire {
    clock: Clock,
    after: Option<Duration>,
    answers: Arc<Mutex<VecDeque<Due>>>,
}

impl Wire {
    fn new(clock: Clock, after: Option<Duration>) -> Self {
        Self { clock, after, answers: Arc::default() }
    }

    fn tx(&self) -> WireTx {
        WireTx { wire: self.clone(), slots: vec![0; MAX_BATCH * SLOT_LEN] }
    }

    fn answers(&self) -> MutexGuard<'_, VecDeque<Due>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct WireTx {
    wire: Wire,
    slots: Vec<u8>,
}

impl Tx for WireTx {
    fn slots(&self) -> usize {
        MAX_BATCH
    }

    fn frame(&mut self, slot: usize) -> &mut [u8] {
        &mut self.slots[slot * SLOT_LEN..][..SLOT_LEN]
    }

    fn send(&mut self, lens: &[u16]) -> Result<Sent, LinkError> {
        let now = self.wire.clock.now();
        for (slot, len) in lens.iter().enumerate() {
            let mut bytes: [u8; SLOT_LEN] = self.frame(slot).try_into().unwrap();
            // 47 is where the flags are: a SYN, and no reset.
            if let Some(after) = self.wire.after
                && bytes[47] == 0x02
            {
                answer(&mut bytes);
                self.wire.answers().push_back(Due {
                    at: now + after,
                    bytes,
                    len: usize::from(*len),
                });
            }
        }
        Ok(Sent { sent: lens.len() as u32, ..Sent::default() })
    }
}

/// Shows what is due; without answers to give, a frame that is nobody's each time it is asked.
struct WireRx {
    wire: Wire,
    chatters: bool,
}

impl Rx for WireRx {
    fn receive(
        &mut self,
        wait: Duration,
        mut take: impl FnMut(Frame<'_>),
    ) -> Result<usize, LinkError> {
        let now = self.wire.clock.now();
        let mut count = 0;
        loop {
            let due = self.wire.answers().front().copied().filter(|due| due.at <= now);
            let Some(Due { at, bytes, len }) = due else {
                break;
            };
            self.wire.answers().pop_front();
            take(Frame::whole(&bytes[..len], at, len as u32));
            count += 1;
        }
        if self.chatters {
            thread::sleep(Duration::from_millis(1));
            take(Frame::whole(&[0; 60], now, 60));
            count += 1;
        } else if count == 0 {
            thread::sleep(wait.min(Duration::from_micros(100)));
        }
        Ok(count)
    }

    fn ring_drops(&mut self) -> u64 {
        0
    }
}

/// Runs a scan without retries, on so many threads of each kind, and gives back all that it found.
fn run(
    threads: u8,
    targets: &str,
    after: Option<Duration>,
    chatters: bool,
    cooldown: Duration,
) -> (Vec<Found<Reply>>, Counts) {
    let rate = "max".parse().unwrap();
    let settings = Settings {
        rate,
        retries: 0,
        cooldown,
        silent: true,
        link_rate: 1_000_000,
        threads,
        ..Settings::default()
    };
    let (shared, found) = shared(targets, "80", settings);
    let clock = Clock::start();
    let wire = Wire::new(clock, after);
    let (senders, listeners) = (0..threads)
        .map(|number| {
            let listener = Receiver::new(Arc::clone(&shared), number);
            let rx = WireRx { wire: wire.clone(), chatters };
            (wire.tx(), (listener, rx, wire.tx()))
        })
        .unzip();
    let running = Running::start(Arc::clone(&shared), clock, senders, listeners).unwrap();
    let mut all = Vec::new();
    while !running.is_finished() {
        all.extend(found.recv_timeout(Duration::from_millis(10)));
    }
    running.join().unwrap();
    all.extend(found.try_iter());
    (all, shared.counts())
}

/// Answers that come just as their cooldown ends: the sender calls the target silent while the receiver has its answer in
/// hand, and one of them is first.
#[test]
fn a_target_has_one_outcome_even_when_its_answer_comes_as_time_is_up() {
    for (threads, cooldown) in [(1, 20), (1, 30), (1, 40), (2, 20), (3, 30), (4, 40)] {
        let cooldown = Duration::from_millis(cooldown);
        let (found, counts) = run(threads, "198.19.0.0/18", Some(cooldown), false, cooldown);
        let mut outcomes: HashMap<Target, u32> = HashMap::new();
        for found in &found {
            *outcomes.entry(found.target).or_default() += 1;
        }
        assert!(outcomes.values().all(|n| *n == 1), "a second outcome");
        assert_eq!((outcomes.len(), found.len()), (16_384, 16_384));
        assert_eq!(counts.first + counts.silent, 16_384, "{counts:?}");
        let silent = found.iter().filter(|found| matches!(found.outcome, Outcome::Silent)).count();
        assert_eq!(counts.silent, silent as u64);
        assert_eq!(counts.valid, counts.first + counts.duplicate + counts.late + counts.refused);
    }
}

/// What others send to us without end does not keep a scan from ending.
#[test]
fn frames_without_end_do_not_keep_a_scan() {
    let (found, counts) = run(1, "198.19.0.1", None, true, Duration::from_millis(50));
    assert_eq!(found.len(), 1);
    assert!(counts.received > 100, "{counts:?}");
}

/// What a network beyond the driver allows: it is exceeded in the first two seconds, and then no more.
struct Exceeded {
    looks: u64,
}

impl AllowanceSource for Exceeded {
    fn read(&mut self) -> std::io::Result<Allowance> {
        self.looks += 1;
        let exceeded = self.looks.saturating_sub(1).min(2) * 100;
        Ok(Allowance { pps_exceeded: Some(7_000 + exceeded), ..Allowance::default() })
    }
}

/// A scan of 40,000 targets at 10 k/s takes 4 s; halved after one second and again after the next it takes much longer.
#[test]
fn an_allowance_that_is_exceeded_slows_the_scan() {
    let settings = Settings {
        rate: "10k".parse().unwrap(),
        retries: 0,
        cooldown: Duration::ZERO,
        threads: 2,
        ..Settings::default()
    };
    let (shared, _found) = shared("198.19.0.0/18", "80,81", settings);
    let clock = Clock::start();
    let wire = Wire::new(clock, None);
    let (senders, listeners) = (0..2)
        .map(|number| {
            let listener = Receiver::new(Arc::clone(&shared), number);
            let rx = WireRx { wire: wire.clone(), chatters: false };
            (wire.tx(), (listener, rx, wire.tx()))
        })
        .unzip();
    let mut running = Running::start(Arc::clone(&shared), clock, senders, listeners).unwrap();
    running.watch(clock, Exceeded { looks: 0 }).unwrap();
    while shared.counts().throttled < 2 && !running.is_finished() {
        thread::sleep(Duration::from_millis(10));
    }
    let (at, before) = (clock.now(), shared.counts().sent);
    thread::sleep(Duration::from_millis(900));
    let (elapsed, sent) = (clock.now().since(at), shared.counts().sent - before);
    shared.stop().stop();
    running.join().unwrap();
    // 2,500 a second, and the step up of a twentieth if the pause was long: never what was asked for.
    assert!((sent as f64) < 3_600.0 * elapsed.as_secs_f64() + 30.0, "{sent} in {elapsed:?}");
    assert_eq!(shared.counts().throttled, 2);
    assert_eq!(shared.exceeded().and_then(|allowance| allowance.pps_exceeded), Some(200));
}

//! What a [`Queue`] must do.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use mrpf_tasks::message::MOST_BODY;

use super::eventually;
use crate::{Delivery, Handle, Queue, QueueError, clock::Wake, queue::Depth};

/// Deliveries after which a message of the queue becomes a dead letter.
pub const MAX_RECEIVES: u32 = 3;

/// A queue to be tried.
pub trait Bench: Sync {
    /// The queue: empty, with dead letters after [`MAX_RECEIVES`] deliveries, and nobody else at it.
    fn queue(&self) -> &dyn Queue;
    /// The same queue as another process has it.
    fn other(&self) -> Box<dyn Queue>;
}

/// Lists the cases once: for tests of their own, and for a test that runs them all.
macro_rules! cases {
    ($dollar:tt $($case:ident)*) => {
        /// All cases by name, for who expects some to fail.
        pub const CASES: &[(&str, fn(&dyn Bench))] = &[$((stringify!($case), $case)),*];

        /// Makes a `#[test]` of each case; the argument makes a [`Bench`](crate::conformance::queue::Bench).
        #[macro_export]
        macro_rules! queue_conformance {
            ($dollar make:expr) => {
                $dollar crate::conformance_tests! { $dollar make, queue: $($case)* }
            };
        }
    };
}

cases! { $
    what_is_sent_is_received
    an_empty_queue_gives_nothing_when_the_wait_is_over
    a_received_message_is_hidden_until_its_time_is_over
    an_extended_message_stays_hidden
    a_message_given_back_is_there_at_once
    a_deleted_message_is_gone
    a_handle_is_stale_once_another_has_the_message
    a_handle_is_stale_once_its_time_is_over
    a_handle_is_good_in_every_process
    what_is_no_handle_is_stale
    a_message_that_nobody_deletes_becomes_a_dead_letter
    a_batch_is_taken_in_parts
    a_message_may_have_a_mebibyte_and_no_more
    a_receiver_that_waits_is_woken
    a_receiver_that_is_told_to_stop_takes_nothing_more
    receivers_that_wait_are_in_nobodys_way
    eight_receivers_handle_each_message_once
    the_depth_is_about_right
}

/// Long enough not to end within a case.
const LONG: Duration = Duration::from_secs(60);
/// The shortest that services know.
const SHORT: Duration = Duration::from_secs(1);
/// A moment after [`SHORT`] is over.
const AFTER_SHORT: Duration = Duration::from_millis(1_300);

fn send(queue: &dyn Queue, bodies: &[&str]) {
    let bodies: Vec<String> = bodies.iter().map(|body| (*body).to_owned()).collect();
    queue.send(&bodies).unwrap();
}

/// One message, which must be there or come soon.
#[track_caller]
fn one(queue: &dyn Queue, visibility: Duration) -> Delivery {
    let mut taken = queue.receive(1, Duration::from_secs(5), visibility).unwrap();
    assert_eq!(taken.len(), 1, "a message was to come");
    taken.remove(0)
}

/// Takes `n` messages.
#[track_caller]
fn gather(queue: &dyn Queue, n: usize) -> Vec<Delivery> {
    let mut taken = Vec::new();
    eventually("all messages", || {
        taken.extend(queue.receive(10, SHORT, LONG).unwrap());
        taken.len() >= n
    });
    taken
}

#[track_caller]
fn assert_empty(queue: &dyn Queue) {
    let taken = queue.receive(10, Duration::ZERO, LONG).unwrap();
    assert!(taken.is_empty(), "{taken:?}");
}

#[track_caller]
fn assert_lost(done: Result<(), QueueError>) {
    assert!(matches!(done, Err(QueueError::LeaseLost { .. })), "{done:?}");
}

/// Bodies come back as they were.
pub fn what_is_sent_is_received(bench: &dyn Bench) {
    let queue = bench.queue();
    let bodies = ["{}", "a", "'; DROP TABLE message; --", "\u{fffd}\u{1f980} \"\\ \n\t", " space "];
    send(queue, &bodies);
    let taken = gather(queue, bodies.len());
    let got: BTreeSet<&str> = taken.iter().map(|delivery| delivery.body.as_str()).collect();
    assert_eq!(got, BTreeSet::from(bodies));
    assert!(taken.iter().all(|delivery| delivery.receive_count >= 1));
    queue.send(&[]).unwrap();
    assert_empty(queue);
}

/// It waits as long as it was asked to, no longer.
pub fn an_empty_queue_gives_nothing_when_the_wait_is_over(bench: &dyn Bench) {
    let start = Instant::now();
    assert_empty(bench.queue());
    assert!(start.elapsed() < Duration::from_millis(700));
    let start = Instant::now();
    let taken = bench.queue().receive(1, SHORT, LONG).unwrap();
    assert!(taken.is_empty());
    let waited = start.elapsed();
    assert!(waited >= Duration::from_millis(900) && waited < 3 * SHORT, "{waited:?}");
}

/// It comes again by itself, as another delivery.
pub fn a_received_message_is_hidden_until_its_time_is_over(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a"]);
    let start = Instant::now();
    let first = one(queue, SHORT);
    assert_empty(queue);
    assert_empty(&*bench.other());
    let second = one(queue, LONG);
    let hidden = start.elapsed();
    assert!(hidden >= Duration::from_millis(900), "{hidden:?}");
    assert_eq!((first.body, first.receive_count), ("a".to_owned(), 1));
    assert_eq!((second.body, second.receive_count), ("a".to_owned(), 2));
    assert_ne!(first.handle, second.handle);
}

/// A heartbeat keeps a message.
pub fn an_extended_message_stays_hidden(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a"]);
    let delivery = one(queue, SHORT);
    queue.extend(&delivery.handle, LONG).unwrap();
    thread::sleep(AFTER_SHORT);
    assert_empty(queue);
    // And it is still its receiver's.
    queue.extend(&delivery.handle, LONG).unwrap();
}

/// As a worker does that is told to end.
pub fn a_message_given_back_is_there_at_once(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a"]);
    let delivery = one(queue, LONG);
    queue.extend(&delivery.handle, Duration::ZERO).unwrap();
    let start = Instant::now();
    assert_eq!(one(&*bench.other(), LONG).receive_count, 2);
    assert!(start.elapsed() < SHORT);
}

/// For good.
pub fn a_deleted_message_is_gone(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a", "b"]);
    let deliveries: Vec<_> = (0..2).map(|_| one(queue, SHORT)).collect();
    let kept = deliveries.iter().find(|delivery| delivery.body == "b").unwrap();
    let deleted = deliveries.iter().find(|delivery| delivery.body == "a").unwrap();
    queue.delete(std::slice::from_ref(&deleted.handle)).unwrap();
    assert_lost(queue.extend(&deleted.handle, LONG));
    thread::sleep(AFTER_SHORT);
    assert_eq!(one(queue, LONG).body, kept.body);
    assert_empty(queue);
    queue.delete(std::slice::from_ref(&deleted.handle)).unwrap();
}

/// Whoever comes second has it.
pub fn a_handle_is_stale_once_another_has_the_message(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a"]);
    let first = one(queue, SHORT);
    let second = one(queue, LONG);
    assert_lost(queue.extend(&first.handle, LONG));
    assert_lost(queue.extend(&first.handle, Duration::ZERO));
    queue.extend(&second.handle, LONG).unwrap();
    // Whether the message stays is left open; that the call is no error is not.
    queue.delete(&[first.handle]).unwrap();
}

/// Too late is too late.
pub fn a_handle_is_stale_once_its_time_is_over(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a"]);
    let delivery = one(queue, SHORT);
    thread::sleep(AFTER_SHORT);
    assert_lost(queue.extend(&delivery.handle, LONG));
    assert_eq!(one(queue, LONG).body, "a");
}

/// Received here, extended and deleted there.
pub fn a_handle_is_good_in_every_process(bench: &dyn Bench) {
    let (queue, other) = (bench.queue(), bench.other());
    send(queue, &["a"]);
    let delivery = one(queue, SHORT);
    other.extend(&delivery.handle, LONG).unwrap();
    other.delete(std::slice::from_ref(&delivery.handle)).unwrap();
    assert_lost(queue.extend(&delivery.handle, LONG));
    assert_empty(queue);
}

/// It came from outside, or from another version.
pub fn what_is_no_handle_is_stale(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a"]);
    for text in ["", "nonsense", "1", "-1.-1", "999999.1", "1.1"] {
        assert_lost(queue.extend(&Handle(text.to_owned()), LONG));
        queue.delete(&[Handle(text.to_owned())]).unwrap();
    }
    assert_eq!(one(queue, LONG).body, "a");
}

/// The manager finds it there.
pub fn a_message_that_nobody_deletes_becomes_a_dead_letter(bench: &dyn Bench) {
    let queue = bench.queue();
    let dead = queue.dead_letters().expect("dead letters");
    assert!(dead.dead_letters().is_none());
    send(queue, &["poison"]);
    for count in 1..=MAX_RECEIVES {
        let delivery = one(queue, LONG);
        assert_eq!(delivery.receive_count, count);
        assert_empty(dead);
        queue.extend(&delivery.handle, Duration::ZERO).unwrap();
    }
    send(queue, &["good"]);
    assert_eq!(one(queue, LONG).body, "good");
    assert_empty(queue);
    let letter = one(dead, LONG);
    assert_eq!(letter.body, "poison");
    dead.delete(&[letter.handle]).unwrap();
    assert_empty(dead);
}

/// Sent in one call, received ten at a time at most, deleted in one.
pub fn a_batch_is_taken_in_parts(bench: &dyn Bench) {
    let queue = bench.queue();
    let bodies: Vec<String> = (0..35).map(|n| format!("message {n}")).collect();
    queue.send(&bodies).unwrap();
    let taken = queue.receive(7, SHORT, LONG).unwrap();
    assert!((1..=7).contains(&taken.len()), "{}", taken.len());
    let all = [taken.clone(), gather(queue, bodies.len() - taken.len())].concat();
    let got: BTreeSet<&String> = all.iter().map(|delivery| &delivery.body).collect();
    assert_eq!(got, bodies.iter().collect());
    let handles: Vec<_> = all.into_iter().map(|delivery| delivery.handle).collect();
    queue.delete(&handles).unwrap();
    eventually("an empty queue", || queue.depth().unwrap() == Depth::default());
}

/// And of a batch with one that is too large nothing is sent.
pub fn a_message_may_have_a_mebibyte_and_no_more(bench: &dyn Bench) {
    let queue = bench.queue();
    let (large, too_large) = ("x".repeat(MOST_BODY), "x".repeat(1_024 * 1_024 + 1));
    let refused = queue.send(&["small".to_owned(), too_large]);
    assert!(
        matches!(refused, Err(QueueError::TooLarge { octets: 1_048_577, .. })),
        "{:?}",
        refused.map_err(|error| error.to_string())
    );
    queue.send(std::slice::from_ref(&large)).unwrap();
    let delivery = one(queue, LONG);
    assert!(delivery.body == large, "{} octets of another kind", delivery.body.len());
    assert_empty(queue);
}

/// By a sender of its own process, and of another.
pub fn a_receiver_that_waits_is_woken(bench: &dyn Bench) {
    let queue = bench.queue();
    for is_other in [false, true] {
        thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let taken = queue.receive(1, Duration::from_secs(5), LONG).unwrap();
                (taken, Instant::now())
            });
            thread::sleep(Duration::from_millis(300));
            let sent = Instant::now();
            if is_other {
                send(&*bench.other(), &["a"])
            } else {
                send(queue, &["a"])
            }
            let (taken, woken) = receiver.join().unwrap();
            assert_eq!(taken.len(), 1);
            let late = woken - sent;
            assert!(late < SHORT, "{late:?}");
        });
    }
}

/// Not even what comes while it gives up.
pub fn a_receiver_that_is_told_to_stop_takes_nothing_more(bench: &dyn Bench) {
    let (queue, stop) = (bench.queue(), Wake::default());
    thread::scope(|scope| {
        let start = Instant::now();
        let receiver = scope.spawn(|| queue.receive_unless(&stop, 1, LONG, LONG).unwrap());
        thread::sleep(SHORT);
        stop.set();
        assert_eq!(receiver.join().unwrap(), []);
        assert!(start.elapsed() < LONG / 6, "it waited on");
    });
    send(queue, &["a"]);
    assert_eq!(queue.receive_unless(&stop, 1, SHORT, LONG).unwrap(), []);
    assert_eq!(one(queue, LONG).receive_count, 1);
}

/// A worker extends and deletes while it waits for more.
pub fn receivers_that_wait_are_in_nobodys_way(bench: &dyn Bench) {
    let queue = bench.queue();
    send(queue, &["a"]);
    let delivery = one(queue, LONG);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(queue.receive(1, 2 * SHORT, LONG).unwrap().is_empty()));
        }
        thread::sleep(Duration::from_millis(200));
        let start = Instant::now();
        queue.extend(&delivery.handle, LONG).unwrap();
        queue.depth().unwrap();
        queue.delete(std::slice::from_ref(&delivery.handle)).unwrap();
        let took = start.elapsed();
        assert!(took < Duration::from_millis(500), "{took:?}");
    });
}

/// Where nothing expires nothing comes twice.
pub fn eight_receivers_handle_each_message_once(bench: &dyn Bench) {
    const MESSAGES: usize = 200;
    let handled: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let bodies: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    let (first, second) = bodies.split_at(MESSAGES / 2);
    let others = [bench.other(), bench.other()];
    let receive = |queue: &dyn Queue| {
        loop {
            let taken = queue.receive(5, SHORT, LONG).unwrap();
            if taken.is_empty() && handled.lock().unwrap().len() == MESSAGES {
                return;
            }
            for delivery in taken {
                *handled.lock().unwrap().entry(delivery.body).or_default() += 1;
                queue.delete(&[delivery.handle]).unwrap();
            }
        }
    };
    bench.queue().send(first).unwrap();
    thread::scope(|scope| {
        for n in 0..8 {
            let queue = if n < 4 { bench.queue() } else { &*others[n % 2] };
            scope.spawn(move || receive(queue));
        }
        others[0].send(second).unwrap();
    });
    let handled = handled.into_inner().unwrap();
    assert_eq!(handled.len(), MESSAGES);
    let twice: Vec<_> = handled.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

/// A hint, after a while.
pub fn the_depth_is_about_right(bench: &dyn Bench) {
    let queue = bench.queue();
    assert_eq!(queue.depth().unwrap(), Depth::default());
    send(queue, &["a", "b", "c"]);
    let _taken = one(queue, LONG);
    eventually("two visible and one in flight", || {
        queue.depth().unwrap() == Depth { visible: 2, in_flight: 1 }
    });
}

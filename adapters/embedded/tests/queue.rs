//! The queue's suite on SQLite, and what is SQLite's own.

use std::time::Duration;

use mrpf_embedded::{Faults, QueueSettings, Queues, SqliteQueue};
use mrpf_ports::{
    Queue, QueueError, QueueName,
    conformance::queue::{Bench, MAX_RECEIVES},
};
use tempfile::TempDir;

const LONG: Duration = Duration::from_secs(60);

struct InAFile {
    folder: TempDir,
    queue: SqliteQueue,
}

fn open(folder: &TempDir, faults: Faults) -> Queues {
    let settings = QueueSettings { max_receives: MAX_RECEIVES, faults, ..Default::default() };
    Queues::open(folder.path().join("queue.db"), settings).unwrap()
}

impl InAFile {
    fn make() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let queue = open(&folder, Faults::default()).get(QueueName::External);
        Self { folder, queue }
    }
}

impl Bench for InAFile {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    fn other(&self) -> Box<dyn Queue> {
        Box::new(open(&self.folder, Faults::default()).get(QueueName::External))
    }
}

mrpf_ports::queue_conformance!(InAFile::make);

fn bodies(queue: &dyn Queue, max: usize) -> Vec<String> {
    let taken = queue.receive(max, Duration::ZERO, LONG).unwrap();
    taken.into_iter().map(|delivery| delivery.body).collect()
}

#[test]
fn the_queues_of_a_file_are_apart() {
    let folder = tempfile::tempdir().unwrap();
    let queues = open(&folder, Faults::default());
    for name in QueueName::ALL {
        queues.get(name).send(&[name.to_string()]).unwrap();
    }
    for name in QueueName::ALL {
        let queue = queues.get(name);
        assert_eq!(bodies(&queue, 10), [name.as_str()]);
        assert_eq!(bodies(queue.dead_letters().unwrap(), 10), [] as [&str; 0]);
    }
}

#[test]
fn a_stale_handle_deletes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder, Faults::default()).get(QueueName::Internal);
    queue.send(&["a".to_owned()]).unwrap();
    let first = queue.receive(1, Duration::ZERO, Duration::ZERO).unwrap();
    let second = queue.receive(1, Duration::ZERO, LONG).unwrap();
    queue.delete(&[first[0].handle.clone()]).unwrap();
    assert_eq!(queue.depth().unwrap().in_flight, 1);
    queue.delete(&[second[0].handle.clone()]).unwrap();
    assert_eq!(queue.depth().unwrap().in_flight, 0);
    // A message that has become a dead letter is out of reach of the handles before.
    queue.send(&["b".to_owned()]).unwrap();
    let mut handles = Vec::new();
    for _ in 0..MAX_RECEIVES {
        handles.push(queue.receive(1, Duration::ZERO, Duration::ZERO).unwrap().remove(0).handle);
    }
    assert_eq!(bodies(&queue, 1), [] as [&str; 0]);
    queue.delete(&handles).unwrap();
    let dead = queue.dead_letters().unwrap();
    assert_eq!(dead.depth().unwrap().visible, 1);
    assert_eq!(bodies(dead, 1), ["b"]);
}

#[test]
fn messages_come_in_the_order_in_which_they_were_sent() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder, Faults::default()).get(QueueName::Internal);
    let sent: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    queue.send(&sent).unwrap();
    assert_eq!(bodies(&queue, 50), sent);
}

#[test]
fn faults_are_what_was_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let faults = Faults { duplicates: 20, stale: 10, is_disordered: true, seed: 7 };
    let queue = open(&folder, faults).get(QueueName::Internal);
    let sent: Vec<String> = (0..1_000).map(|n| n.to_string()).collect();
    queue.send(&sent).unwrap();
    let (mut deliveries, mut stale, mut buried) = (Vec::new(), 0, 0);
    loop {
        let taken = queue.receive(10, Duration::ZERO, LONG).unwrap();
        if taken.is_empty() {
            break;
        }
        for delivery in taken {
            match queue.extend(&delivery.handle, LONG) {
                Ok(()) => {}
                Err(QueueError::LeaseLost { .. }) => stale += 1,
                Err(error) => panic!("{error}"),
            }
            queue.delete(&[delivery.handle]).unwrap();
            deliveries.push(delivery.body);
        }
    }
    buried += queue.dead_letters().unwrap().depth().unwrap().visible;
    let unique: std::collections::BTreeSet<_> = deliveries.iter().collect();
    assert_eq!(unique.len(), sent.len(), "none is lost");
    // 1,000 first deliveries, and of each delivery a fifth is doubled; what is stale is received again only if its delete did
    // nothing, which it did, as the message had no other receiver yet.
    assert!((1_150..1_500).contains(&deliveries.len()), "{}", deliveries.len());
    assert!((60..200).contains(&stale), "{stale}");
    assert_eq!(buried, 0);
    assert_ne!(deliveries[..50], sent[..50], "in order");
}

#[test]
fn a_clock_that_is_given_is_the_one_that_counts() {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    use mrpf_ports::{Clock, clock::Wake};
    use mrpf_records::Timestamp;

    /// Stands still, but for sleeps.
    #[derive(Debug)]
    struct Virtual(AtomicU64);

    impl Clock for Virtual {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_micros(self.0.load(Ordering::Relaxed))
        }

        fn sleep(&self, duration: Duration, _: &Wake) {
            let micros = u64::try_from(duration.as_micros()).unwrap();
            self.0.fetch_add(micros, Ordering::Relaxed);
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Virtual(AtomicU64::new(1_000_000)));
    let settings = QueueSettings { clock: Arc::<Virtual>::clone(&clock), ..Default::default() };
    let queue = Queues::open(folder.path().join("q"), settings).unwrap().get(QueueName::Internal);
    let start = std::time::Instant::now();
    queue.send(&["a".to_owned()]).unwrap();
    assert_eq!(bodies(&queue, 1), ["a"]);
    let again = queue.receive(1, 2 * LONG, LONG).unwrap();
    assert_eq!(again[0].receive_count, 2);
    assert!(queue.receive(1, Duration::from_secs(20), LONG).unwrap().is_empty());
    let passed = clock.now().as_unix_micros() - 1_000_000;
    assert!((80_000_000..80_100_000).contains(&passed), "{passed}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

#[test]
fn receivers_of_the_same_process_are_woken_at_once() {
    use std::sync::Arc;

    use mrpf_ports::{
        Clock,
        clock::{SystemClock, Wake},
    };
    use mrpf_records::Timestamp;

    /// Sleeps until it is woken: a receiver that only looks now and then stays asleep.
    #[derive(Debug)]
    struct Sleepy;

    impl Clock for Sleepy {
        fn now(&self) -> Timestamp {
            SystemClock.now()
        }

        fn sleep(&self, _: Duration, wake: &Wake) {
            wake.wait(Duration::from_secs(10));
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let settings = QueueSettings { max_receives: 2, clock: Arc::new(Sleepy), ..Default::default() };
    let queue =
        Queues::open(folder.path().join("queue.db"), settings).unwrap().get(QueueName::External);
    let dead = queue.dead_letters().unwrap();
    let check = |from: &dyn Queue, ring: &mut dyn FnMut()| {
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let taken = from.receive(1, Duration::from_secs(9), LONG).unwrap();
                (taken, std::time::Instant::now())
            });
            std::thread::sleep(Duration::from_millis(100));
            let rung = std::time::Instant::now();
            ring();
            let (mut taken, woken) = receiver.join().unwrap();
            let late = woken - rung;
            assert!(late < Duration::from_secs(1), "{late:?}");
            taken.remove(0).handle
        })
    };
    let handle = check(&queue, &mut || queue.send(&["a".to_owned()]).unwrap());
    let handle = check(&queue, &mut || queue.extend(&handle, Duration::ZERO).unwrap());
    check(dead, &mut || {
        queue.extend(&handle, Duration::ZERO).unwrap();
        assert!(queue.receive(1, Duration::ZERO, LONG).unwrap().is_empty());
    });
}

//! The suite, unchanged, and what a queue that is as bad as it may be does to its receivers.

use std::collections::BTreeSet;

use mrpf_cloud::QueueFaults;
use mrpf_ports::{
    Queue, QueueError, QueueName,
    conformance::queue::{Bench, MAX_RECEIVES},
};
use mrpf_sqs::Sqs;

use crate::world::{LONG, SECOND, World, aws};

impl Bench for World {
    fn queue(&self) -> &dyn Queue {
        &self.queue
    }

    fn other(&self) -> Box<dyn Queue> {
        let aws = aws(&self.cloud.endpoint());
        Box::new(Sqs::open(&aws, QueueName::External, &self.url).unwrap())
    }
}

mrpf_ports::queue_conformance!(World::new);

/// Twice, in no order, late, with handles that have gone stale, and missed by polls that do not wait.
#[test]
fn of_a_queue_as_bad_as_it_may_be_no_message_is_lost() {
    const MESSAGES: usize = 300;
    let world = World::new();
    world.cloud.queues().set_faults(QueueFaults {
        duplicates: 20,
        stale: 10,
        missed_by_short_polls: 30,
        is_disordered: true,
        appears_after: SECOND / 2,
        seed: 7,
    });
    let sent: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    world.queue.send(&sent).unwrap();
    let (mut deliveries, mut stale) = (Vec::new(), 0);
    loop {
        let taken = world.queue.receive(10, SECOND, LONG).unwrap();
        if taken.is_empty() {
            break;
        }
        for delivery in taken {
            assert!(delivery.receive_count <= MAX_RECEIVES);
            match world.queue.extend(&delivery.handle, LONG) {
                Ok(()) => {}
                Err(QueueError::LeaseLost { .. }) => stale += 1,
                Err(error) => panic!("{error}"),
            }
            world.queue.delete(&[delivery.handle]).unwrap();
            deliveries.push(delivery.body);
        }
    }
    let unique: BTreeSet<&String> = deliveries.iter().collect();
    assert_eq!(unique, sent.iter().collect(), "none is lost, none is made up");
    // A fifth of all deliveries leaves a copy, and copies leave copies.
    assert!((330..450).contains(&deliveries.len()), "{}", deliveries.len());
    assert!((10..70).contains(&stale), "{stale}");
    assert_ne!(deliveries[..50], sent[..50], "in order");
}

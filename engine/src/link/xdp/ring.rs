//! Whose turn a slot of the frame ring is: two numbers that only grow.
//!
//! ```text
//!            head: taken               tail: published
//!              v                         v
//!  | free      | the program's           | being built | free |      slots, in a circle
//!                                         <-- batch -->
//! ```
//!
//! The program in the kernel (`engine/bpf/send.bpf.c`) is the one that writes `head`, and the [`Producer`] the one that writes
//! `tail`. A slot is the program's while `head <= its number < tail`, and the producer's otherwise. Each side publishes
//! its number after it is done with a slot and reads the other's before it touches one, so a slot is never written while
//! it is read, never read before it is written, and none is left out or taken twice.
//!
//! The numbers are behind [`Word`], so that the very code that runs against the kernel runs under loom, which goes through
//! every order that the two sides allow each other.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{self, Acquire, Release},
};

/// A number that two sides share.
pub(crate) trait Word {
    /// Reads it.
    fn load(&self, ordering: Ordering) -> u64;
    /// Writes it.
    fn store(&self, value: u64, ordering: Ordering);
}

impl Word for AtomicU64 {
    #[inline]
    fn load(&self, ordering: Ordering) -> u64 {
        Self::load(self, ordering)
    }

    #[inline]
    fn store(&self, value: u64, ordering: Ordering) {
        Self::store(self, value, ordering);
    }
}

/// The side that fills slots. The `batch` slots from `tail` on are always its own: the ones that it builds frames in.
#[derive(Debug)]
pub(crate) struct Producer {
    slots: u64,
    batch: u64,
    tail: u64,
    /// `head` as last seen, which it has not fallen behind.
    head: u64,
}

impl Producer {
    /// The producer of a ring in which nothing was ever published.
    ///
    /// # Panics
    ///
    /// When `slots` is no power of two, or does not hold a batch that is built and one that is sent.
    pub(crate) fn new(slots: usize, batch: usize) -> Self {
        assert!(slots.is_power_of_two() && slots >= 2 * batch, "{slots} slots for {batch}");
        Self { slots: slots as u64, batch: batch as u64, tail: 0, head: 0 }
    }

    /// How many slots there are.
    pub(crate) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// How many slots from `tail` on are its own.
    pub(crate) fn batch(&self) -> usize {
        self.batch as usize
    }

    /// Where the slot that is `ahead` of `tail` lies. It is the producer's until it is published.
    ///
    /// # Panics
    ///
    /// When it is not one of the batch.
    #[inline]
    pub(crate) fn place(&self, ahead: usize) -> usize {
        assert!(ahead < self.batch as usize, "slot {ahead} of {}", self.batch);
        ((self.tail + ahead as u64) & (self.slots - 1)) as usize
    }

    /// Whether `count` slots can be published so that a batch of free ones is there after them.
    #[inline]
    pub(crate) fn has_room(&mut self, head: &impl Word, count: usize) -> bool {
        if self.room() < count as u64 {
            // Acquire: what the program read of a slot it has read, before anything is written there again.
            self.head = head.load(Acquire);
        }
        self.room() >= count as u64
    }

    /// Hands the next `count` slots over.
    ///
    /// # Panics
    ///
    /// When [`has_room`](Self::has_room) did not say so.
    #[inline]
    pub(crate) fn publish(&mut self, tail: &impl Word, count: usize) {
        assert!(count as u64 <= self.batch.min(self.room()), "{count} slots without room for them");
        self.tail += count as u64;
        // Release: what was written to the slots is there for whoever sees this number.
        tail.store(self.tail, Release);
    }

    /// How many slots can be published by what is known. None when `head` is no number that it can be.
    #[inline]
    fn room(&self) -> u64 {
        let on_way = self.tail.wrapping_sub(self.head);
        (self.slots - self.batch).saturating_sub(on_way)
    }
}

#[cfg(test)]
mod tests {
    use loom::{
        cell::Cell,
        sync::{Arc, atomic},
        thread,
    };

    use super::*;

    const SLOTS: usize = 4;
    const BATCH: usize = 2;

    impl Word for atomic::AtomicU64 {
        fn load(&self, ordering: Ordering) -> u64 {
            Self::load(self, ordering)
        }

        fn store(&self, value: u64, ordering: Ordering) {
            Self::store(self, value, ordering);
        }
    }

    /// A word whose reader or writer forgot what order it needs: loom must find out.
    struct Careless<'a>(&'a atomic::AtomicU64);

    impl Word for Careless<'_> {
        fn load(&self, _: Ordering) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn store(&self, value: u64, _: Ordering) {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    /// What both sides map.
    struct Ring {
        head: atomic::AtomicU64,
        tail: atomic::AtomicU64,
        /// loom's: it panics when one side reads or writes and the other may write at the same time.
        frames: [Cell<u64>; SLOTS],
    }

    impl Ring {
        fn new() -> Self {
            Self {
                head: atomic::AtomicU64::new(0),
                tail: atomic::AtomicU64::new(0),
                frames: std::array::from_fn(|_| Cell::new(u64::MAX)),
            }
        }
    }

    /// `send` of send.bpf.c, step by step; `known` is what it keeps between two runs. The frame, if there was one.
    fn run_once(ring: &Ring, known: &mut u64) -> Option<u64> {
        // Nobody else writes it.
        let head = ring.head.load(Ordering::Relaxed);
        if head == *known {
            if ring.tail.load(Ordering::Relaxed) == head {
                return None;
            }
            *known = ring.tail.fetch_add(0, Ordering::SeqCst);
        }
        let frame = ring.frames[head as usize & (SLOTS - 1)].get();
        assert_eq!(ring.head.fetch_add(1, Ordering::SeqCst), head);
        Some(frame)
    }

    /// One producer that publishes batches of these sizes, one program that takes until it has them all.
    fn send(batches: &'static [usize], is_careless: (bool, bool)) {
        let frames = batches.iter().sum::<usize>() as u64;
        let ring = Arc::new(Ring::new());
        let theirs = Arc::clone(&ring);
        let program = thread::spawn(move || {
            let mut known = 0;
            for number in 0..frames {
                let frame = loop {
                    match run_once(&theirs, &mut known) {
                        Some(frame) => break frame,
                        None => thread::yield_now(),
                    }
                };
                assert_eq!(frame, number, "each frame once, in order");
            }
            assert_eq!(run_once(&theirs, &mut known), None, "and none after the last");
        });
        let mut producer = Producer::new(SLOTS, BATCH);
        let mut next = 0;
        for count in batches {
            for ahead in 0..*count {
                ring.frames[producer.place(ahead)].set(next);
                next += 1;
            }
            loop {
                let has_room = match is_careless.0 {
                    true => producer.has_room(&Careless(&ring.head), *count),
                    false => producer.has_room(&ring.head, *count),
                };
                if has_room {
                    break;
                }
                thread::yield_now();
            }
            match is_careless.1 {
                true => producer.publish(&Careless(&ring.tail), *count),
                false => producer.publish(&ring.tail, *count),
            }
        }
        program.join().unwrap();
    }

    /// Runs `test` in every order that the two sides allow each other, with two switches that nobody asked for at most.
    fn in_every_order(test: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(test);
    }

    #[test]
    fn no_slot_is_raced_for_and_every_frame_is_taken_once() {
        in_every_order(|| send(&[1, 2, 1, 2], (false, false)));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_slot_that_is_written_while_it_is_read() {
        in_every_order(|| send(&[2, 2, 2], (true, false)));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_slot_that_is_read_before_it_is_written() {
        in_every_order(|| send(&[1, 1], (false, true)));
    }

    /// The same code with the words it has in use.
    fn producer(head: u64) -> (Producer, AtomicU64, AtomicU64) {
        (Producer::new(8, 2), AtomicU64::new(head), AtomicU64::new(0))
    }

    #[test]
    fn a_batch_is_always_free() {
        let (mut producer, head, tail) = producer(0);
        for published in [2, 4, 6] {
            assert!(producer.has_room(&head, 2));
            producer.publish(&tail, 2);
            assert_eq!(tail.load(Ordering::Relaxed), published);
        }
        assert!(!producer.has_room(&head, 1), "the last two are for the batch that is built");
        assert_eq!((producer.place(0), producer.place(1)), (6, 7));
        head.store(1, Ordering::Relaxed);
        assert!(producer.has_room(&head, 1) && !producer.has_room(&head, 2));
        producer.publish(&tail, 1);
        assert_eq!((producer.place(0), producer.place(1)), (7, 0));
    }

    #[test]
    #[should_panic(expected = "without room")]
    fn nothing_is_published_without_room() {
        let (mut producer, _, tail) = producer(0);
        for _ in 0..4 {
            producer.publish(&tail, 2);
        }
    }

    #[test]
    fn a_head_that_cannot_be_leaves_no_room() {
        for head in [1, u64::MAX] {
            let (mut producer, _, tail) = producer(0);
            for _ in 0..3 {
                producer.publish(&tail, 2);
            }
            let head = AtomicU64::new(head.max(7));
            assert!(!producer.has_room(&head, 1), "ahead of the tail");
        }
    }
}

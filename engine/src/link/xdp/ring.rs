//! Whose turn a slot of the frame ring is: two numbers that only grow.
//!
//! ```text
//!            free: taken               tail: published
//!              v                         v
//!  | free      | the program's           | being built | free |      slots, in a circle
//!                                         <-- batch -->
//! ```
//!
//! The program in the kernel (`engine/bpf/send.bpf.c`) is the one that writes `free`, and the [`Producer`] the one that writes
//! `tail`. A slot is the program's while `free <= its number < tail`, and the producer's otherwise. Each side publishes
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
    /// `free` as last seen, which it has not fallen behind.
    free: u64,
}

impl Producer {
    /// The producer of a ring in which nothing was ever published, whose program says what is free after so many frames each.
    ///
    /// # Panics
    ///
    /// When `slots` is no power of two, or does not hold a batch that is built, one that is sent, and what was sent without
    /// saying so.
    pub(crate) fn new(slots: usize, batch: usize, free_every: usize) -> Self {
        let least = 2 * batch + free_every;
        assert!(slots.is_power_of_two() && slots >= least, "{slots} slots for {batch}");
        Self { slots: slots as u64, batch: batch as u64, tail: 0, free: 0 }
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
    pub(crate) fn has_room(&mut self, free: &impl Word, count: usize) -> bool {
        if self.room() < count as u64 {
            // Acquire: what the program read of a slot it has read, before anything is written there again.
            self.free = free.load(Acquire);
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

    /// How many slots can be published by what is known. None when `free` is no number that it can be.
    #[inline]
    fn room(&self) -> u64 {
        let on_way = self.tail.wrapping_sub(self.free);
        (self.slots - self.batch).saturating_sub(on_way)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use loom::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{self, fence},
        },
        thread,
    };

    use super::*;

    const SLOTS: usize = 4;
    const BATCH: usize = 1;
    const FREE_EVERY: u64 = 2;

    impl Word for atomic::AtomicU64 {
        fn load(&self, ordering: Ordering) -> u64 {
            Self::load(self, ordering)
        }

        fn store(&self, value: u64, ordering: Ordering) {
            Self::store(self, value, ordering);
        }
    }

    /// A word whose reader or writer forgot what order it needs: loom must find out.
    pub(in crate::link::xdp) struct Careless<'a, W>(pub(in crate::link::xdp) &'a W);

    impl Word for Careless<'_, atomic::AtomicU64> {
        fn load(&self, _: Ordering) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        fn store(&self, value: u64, _: Ordering) {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    /// What both sides map.
    struct Ring {
        free: atomic::AtomicU64,
        tail: atomic::AtomicU64,
        /// loom's: it panics when one side reads or writes and the other may write at the same time.
        frames: [Cell<u64>; SLOTS],
    }

    impl Ring {
        fn new() -> Self {
            Self {
                free: atomic::AtomicU64::new(0),
                tail: atomic::AtomicU64::new(0),
                frames: std::array::from_fn(|_| Cell::new(u64::MAX)),
            }
        }
    }

    /// What the program alone writes.
    #[derive(Default)]
    struct Program {
        head: u64,
        known: u64,
    }

    impl Program {
        /// `send` of send.bpf.c, step by step. The frame, if there was one.
        fn run(&mut self, ring: &Ring) -> Option<u64> {
            if self.head == self.known {
                if ring.tail.load(Ordering::Relaxed) == self.head {
                    return None;
                }
                // There an atomic that adds nothing, which is a full barrier. Beside stores loom takes such a one for a store of
                // what it read, and lets it undo a later one.
                fence(Ordering::SeqCst);
                self.known = ring.tail.load(Ordering::SeqCst);
                fence(Ordering::SeqCst);
            }
            let frame = ring.frames[self.head as usize & (SLOTS - 1)].get();
            self.head += 1;
            if self.head.is_multiple_of(FREE_EVERY) {
                let before = ring.free.fetch_add(FREE_EVERY, Ordering::SeqCst);
                assert_eq!(before, self.head - FREE_EVERY);
            }
            Some(frame)
        }
    }

    /// One producer that publishes so many batches of one frame, waiting for room a little, and one program that looks as often
    /// at the same time, and takes what is left when both are done.
    fn send(batches: u64, is_careless: (bool, bool)) {
        let ring = Arc::new(Ring::new());
        let theirs = Arc::clone(&ring);
        let program = thread::spawn(move || {
            let mut program = Program::default();
            let frames: Vec<_> = (0..batches).filter_map(|_| program.run(&theirs)).collect();
            (program, frames)
        });
        let mut producer = Producer::new(SLOTS, BATCH, FREE_EVERY as usize);
        let mut published = 0;
        for _ in 0..batches {
            let has_room = match is_careless.0 {
                true => producer.has_room(&Careless(&ring.free), 1),
                false => producer.has_room(&ring.free, 1),
            };
            if !has_room {
                thread::yield_now();
                continue;
            }
            ring.frames[producer.place(0)].set(published);
            published += 1;
            match is_careless.1 {
                true => producer.publish(&Careless(&ring.tail), 1),
                false => producer.publish(&ring.tail, 1),
            }
        }
        let (mut program, mut frames) = program.join().unwrap();
        frames.extend(std::iter::from_fn(|| program.run(&ring)));
        assert!(frames.into_iter().eq(0..published), "each frame once, in order");
    }

    /// Runs `test` in every order that the two sides allow each other, with two switches that nobody asked for at most.
    fn in_every_order(test: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(2);
        model.check(test);
    }

    #[test]
    fn no_slot_is_raced_for_and_every_frame_is_taken_once() {
        in_every_order(|| send(7, (false, false)));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_slot_that_is_written_while_it_is_read() {
        in_every_order(|| send(7, (true, false)));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_slot_that_is_read_before_it_is_written() {
        in_every_order(|| send(2, (false, true)));
    }

    /// The same code with the words it has in use.
    fn producer(free: u64) -> (Producer, AtomicU64, AtomicU64) {
        (Producer::new(8, 2, 1), AtomicU64::new(free), AtomicU64::new(0))
    }

    #[test]
    fn a_batch_is_always_free() {
        let (mut producer, free, tail) = producer(0);
        for published in [2, 4, 6] {
            assert!(producer.has_room(&free, 2));
            producer.publish(&tail, 2);
            assert_eq!(tail.load(Ordering::Relaxed), published);
        }
        assert!(!producer.has_room(&free, 1), "the last two are for the batch that is built");
        assert_eq!((producer.place(0), producer.place(1)), (6, 7));
        free.store(1, Ordering::Relaxed);
        assert!(producer.has_room(&free, 1) && !producer.has_room(&free, 2));
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
    fn a_number_that_cannot_be_leaves_no_room() {
        for free in [1, u64::MAX] {
            let (mut producer, _, tail) = producer(0);
            for _ in 0..3 {
                producer.publish(&tail, 2);
            }
            let free = AtomicU64::new(free.max(7));
            assert!(!producer.has_room(&free, 1), "ahead of the tail");
        }
    }
}

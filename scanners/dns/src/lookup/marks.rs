//! Up to which question all is told, over several threads that take questions from one order.
//!
//! Each thread keeps the lowest number that it has taken and not told the end of. One that has taken nothing it did not tell
//! holds nobody up, so it has no mark; before it asks for more it puts its mark where the order stands, for what it may be given
//! lies there or later.
//!
//! ```text
//!  order     0 ................. 41 ............ 97 ........... reached
//!  thread 0                      |oldest under way
//!  thread 1                                      |oldest under way
//!  thread 2                                                     | about to take
//!  mark = 41                                                          thread 3 is idle
//! ```
//!
//! Questions must be handed to threads in ascending order, whoever takes them; each thread's own come to it so too.

use std::sync::{
    Arc,
    atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Release},
    },
};

use crossbeam_utils::CachePadded;

/// The mark of a thread that holds nothing up.
const IDLE: u64 = u64::MAX;

/// Up to which question all is told, of all threads.
#[derive(Clone, Debug)]
pub struct Marks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Nothing from this number on was taken.
    reached: CachePadded<AtomicU64>,
    threads: Box<[CachePadded<AtomicU64>]>,
    /// The highest mark that was told: a thread that is about to take may look back a little for a moment.
    told: AtomicU64,
}

impl Marks {
    /// Marks for `threads` threads over questions from number `start` on.
    pub fn new(threads: usize, start: u64) -> Self {
        Self(Arc::new(Inner {
            reached: CachePadded::new(AtomicU64::new(start)),
            threads: (0..threads).map(|_| CachePadded::new(AtomicU64::new(IDLE))).collect(),
            told: AtomicU64::new(start),
        }))
    }

    /// A number such that each question below it has its end in the queue, or was taken from it. It never decreases.
    pub fn mark(&self) -> u64 {
        // First what was taken, then by whom: what is taken in between lies behind the first.
        let reached = self.0.reached.load(Acquire);
        let marks = self.0.threads.iter().map(|mark| mark.load(Acquire));
        let mark = marks.min().unwrap_or(IDLE).min(reached);
        self.0.told.fetch_max(mark, AcqRel).max(mark)
    }

    /// Thread `thread` is about to take a question and has none under way.
    pub(super) fn about_to_take(&self, thread: usize) {
        self.set(thread, self.0.reached.load(Acquire));
    }

    /// A thread was given question `number`, and its mark is no higher.
    pub(super) fn taken(&self, number: u64) {
        self.0.reached.fetch_max(number.saturating_add(1), AcqRel);
    }

    /// All that `thread` has taken and will take of what it holds lies at `number` or behind; `None` when it holds nothing.
    pub(super) fn set(&self, thread: usize, number: impl Into<Option<u64>>) {
        if let Some(mark) = self.0.threads.get(thread) {
            mark.store(number.into().unwrap_or(IDLE), Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Mutex, thread};

    use super::*;

    #[test]
    fn who_holds_nothing_holds_nobody_up() {
        let marks = Marks::new(2, 10);
        assert_eq!(marks.mark(), 10);
        marks.about_to_take(0);
        marks.taken(10);
        marks.set(0, 10);
        marks.about_to_take(1);
        marks.taken(11);
        marks.set(1, 11);
        assert_eq!(marks.mark(), 10);
        marks.set(0, None);
        assert_eq!(marks.mark(), 11);
        marks.set(1, None);
        assert_eq!(marks.mark(), 12);
    }

    /// Three threads take batches from one queue and finish what they hold in an order of their own; whatever the mark says is
    /// finished is.
    #[test]
    fn nothing_below_the_mark_is_unfinished() {
        const COUNT: u64 = 60_000;
        let marks = Marks::new(3, 0);
        let queue = Mutex::new(
            (0..COUNT).collect::<Vec<_>>().chunks(50).map(Vec::from).collect::<VecDeque<_>>(),
        );
        let done: Vec<AtomicU64> = (0..COUNT).map(|_| AtomicU64::new(0)).collect();
        thread::scope(|scope| {
            for number in 0..3 {
                let (marks, queue, done) = (&marks, &queue, &done);
                scope.spawn(move || {
                    let mut under_way = VecDeque::new();
                    loop {
                        if under_way.is_empty() {
                            marks.about_to_take(number);
                        }
                        let Some(batch) = queue.lock().unwrap().pop_front() else { break };
                        for question in batch {
                            marks.taken(question);
                            under_way.push_back(question);
                            marks.set(number, under_way.front().copied());
                            // All but the oldest few end out of order.
                            if under_way.len() > 9 {
                                let at = if question % 7 == 0 { 0 } else { 5 };
                                let ended = under_way.remove(at).unwrap();
                                done[ended as usize].store(1, Release);
                                marks.set(number, under_way.front().copied());
                            }
                        }
                        under_way
                            .drain(..)
                            .for_each(|ended| done[ended as usize].store(1, Release));
                        marks.set(number, None);
                    }
                    marks.set(number, None);
                });
            }
            let (mut looked, mut last) = (0, 0);
            while looked < COUNT {
                let mark = marks.mark();
                assert!(mark >= last, "{mark} after {last}");
                last = mark;
                for number in looked..mark {
                    assert_eq!(done[number as usize].load(Acquire), 1, "{number} below {mark}");
                }
                looked = mark;
            }
        });
        assert_eq!(marks.mark(), COUNT);
    }
}

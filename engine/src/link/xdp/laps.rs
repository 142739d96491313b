//! Whose turn the place of a digest is: each place says itself how often it was written.
//!
//! ```text
//!             taken                          claimed
//!               v                              v
//!  | lap 7 ... | lap 7 | lap 7 | lap 6 | lap 7 | lap 6 ... |      places, in a circle
//!               the reader's    being written    free
//! ```
//!
//! The program in the kernel (`engine/bpf/receive.bpf.c`) runs on several CPUs at a time. Each run claims a turn by counting
//! `claimed` up, writes the place of that turn, and at last the lap that the turn is of. The [`Reader`] goes through the turns
//! one by one as far as their laps are there, and counts `taken` up behind it. A run claims nothing while more turns are claimed
//! and not taken than there are places, less those that other runs may claim at the same time; so no place is written that
//! was not read.
//!
//! Who finds nothing says that it sleeps and looks once more; who wrote a lap asks whether it sleeps. With a full barrier in
//! between on both sides one of them sees the other.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{self, Acquire, Release},
};

use super::ring::Word;

/// How often a place was written, as the program says.
pub(crate) trait Lap {
    /// Reads it.
    fn load(&self, ordering: Ordering) -> u32;
}

impl Lap for AtomicU32 {
    #[inline]
    fn load(&self, ordering: Ordering) -> u32 {
        Self::load(self, ordering)
    }
}

/// Where the one reader is.
#[derive(Debug)]
pub(crate) struct Reader {
    /// There are `1 << bits` places.
    bits: u32,
    /// The turn that is next.
    turn: u64,
    /// As far as the program knows.
    said: u64,
}

impl Reader {
    /// The reader of `1 << bits` places that were never written.
    pub(crate) fn new(bits: u32) -> Self {
        Self { bits, turn: 0, said: 0 }
    }

    /// The place of the next turn.
    #[inline]
    pub(crate) fn place(&self) -> usize {
        (self.turn & ((1 << self.bits) - 1)) as usize
    }

    /// Whether that was written, by the lap that it says.
    #[inline]
    pub(crate) fn is_written(&self, lap: &impl Lap) -> bool {
        // Acquire: what was written before the lap is there. It wraps after 2^32 laps, and so does this.
        lap.load(Acquire) == ((self.turn >> self.bits) as u32).wrapping_add(1)
    }

    /// Goes on to the next turn; gives places back once they are a sixteenth of all, since each time a line of cache changes
    /// hands.
    #[inline]
    pub(crate) fn pass(&mut self, taken: &impl Word) {
        self.turn += 1;
        if self.turn - self.said >= 1 << self.bits.saturating_sub(4) {
            self.give_back(taken);
        }
    }

    /// Gives back the places of all turns before.
    #[inline]
    pub(crate) fn give_back(&mut self, taken: &impl Word) {
        if self.said != self.turn {
            self.said = self.turn;
            // Release: what was read there has been read.
            taken.store(self.said, Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use loom::{
        cell::Cell,
        sync::{
            Arc,
            atomic::{self, fence},
        },
        thread,
    };

    use super::*;
    use Ordering::{Relaxed, SeqCst};

    const BITS: u32 = 2;
    const PLACES: u64 = 1 << BITS;
    /// How many runs of the program there are at a time.
    const CPUS: u64 = 2;

    impl Lap for atomic::AtomicU32 {
        fn load(&self, ordering: Ordering) -> u32 {
            Self::load(self, ordering)
        }
    }

    /// Words whose reader or writer forgot what order it needs: loom must find out.
    struct Careless<'a, W>(&'a W);

    impl Lap for Careless<'_, atomic::AtomicU32> {
        fn load(&self, _: Ordering) -> u32 {
            self.0.load(Relaxed)
        }
    }

    impl Word for Careless<'_, atomic::AtomicU64> {
        fn load(&self, _: Ordering) -> u64 {
            self.0.load(Relaxed)
        }

        fn store(&self, value: u64, _: Ordering) {
            self.0.store(value, Relaxed);
        }
    }

    /// What both sides map.
    struct Shared {
        taken: atomic::AtomicU64,
        claimed: atomic::AtomicU64,
        sleeps: atomic::AtomicU32,
        laps: [atomic::AtomicU32; PLACES as usize],
        /// loom's: it panics when one side reads or writes and the other may write at the same time.
        digests: [Cell<u64>; PLACES as usize],
        /// Wake-ups of the reader.
        wakes: atomic::AtomicU32,
    }

    impl Shared {
        fn new() -> Self {
            Self {
                taken: atomic::AtomicU64::new(0),
                claimed: atomic::AtomicU64::new(0),
                sleeps: atomic::AtomicU32::new(0),
                laps: std::array::from_fn(|_| atomic::AtomicU32::new(0)),
                digests: std::array::from_fn(|_| Cell::new(u64::MAX)),
                wakes: atomic::AtomicU32::new(0),
            }
        }

        /// `hand_up_digest` of receive.bpf.c, step by step; no, when there was no room. An atomic of BPF that gives back what
        /// was there is a full barrier, before and after.
        fn hand_up(&self, digest: u64) -> bool {
            let held = self.claimed.load(Relaxed) as i64 - self.taken.load(Relaxed) as i64;
            if held > PLACES as i64 - CPUS as i64 {
                return false;
            }
            fence(SeqCst);
            let turn = self.claimed.fetch_add(1, SeqCst);
            fence(SeqCst);
            let place = (turn & (PLACES - 1)) as usize;
            self.digests[place].set(digest);
            fence(SeqCst);
            self.laps[place].swap((turn >> BITS) as u32 + 1, SeqCst);
            fence(SeqCst);
            if self.sleeps.load(Relaxed) != 0 {
                self.sleeps.store(0, Relaxed);
                self.wakes.fetch_add(1, Relaxed);
            }
            true
        }
    }

    /// What the reader forgets.
    #[derive(Clone, Copy, Default)]
    struct Forgets {
        acquire: bool,
        release: bool,
        second_look: bool,
    }

    /// The next digest, if it is there.
    fn look(reader: &mut Reader, shared: &Shared, forgets: Forgets) -> Option<u64> {
        let place = reader.place();
        let lap = &shared.laps[place];
        let is_written = if forgets.acquire {
            reader.is_written(&Careless(lap))
        } else {
            reader.is_written(lap)
        };
        if !is_written {
            return None;
        }
        let digest = shared.digests[place].get();
        match forgets.release {
            true => reader.pass(&Careless(&shared.taken)),
            false => reader.pass(&shared.taken),
        }
        Some(digest)
    }

    /// Two CPUs that hand up so many each, waiting for room, and one reader that has them all.
    fn hand_up(each: u64, forgets: Forgets) {
        let shared = Arc::new(Shared::new());
        let cpus: Vec<_> = (0..CPUS)
            .map(|cpu| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || {
                    for number in 0..each {
                        while !shared.hand_up(cpu * 100 + number) {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        let mut reader = Reader::new(BITS);
        let mut seen = Vec::new();
        while (seen.len() as u64) < CPUS * each {
            match look(&mut reader, &shared, forgets) {
                Some(digest) => seen.push(digest),
                None => thread::yield_now(),
            }
        }
        cpus.into_iter().for_each(|cpu| cpu.join().unwrap());
        assert_eq!(look(&mut reader, &shared, forgets), None, "and none after the last");
        for cpu in 0..CPUS {
            let of_cpu = seen.iter().filter(|digest| *digest / 100 == cpu).copied();
            assert!(of_cpu.eq(cpu * 100..cpu * 100 + each), "each once, in order: {seen:?}");
        }
    }

    /// A reader that finds nothing and falls asleep, while two CPUs hand up one each.
    fn fall_asleep(forgets: Forgets) {
        let shared = Arc::new(Shared::new());
        let cpus: Vec<_> = (0..CPUS)
            .map(|cpu| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || assert!(shared.hand_up(cpu)))
            })
            .collect();
        let mut reader = Reader::new(BITS);
        shared.sleeps.store(1, SeqCst);
        fence(SeqCst);
        let sleeps = forgets.second_look || look(&mut reader, &shared, forgets).is_none();
        cpus.into_iter().for_each(|cpu| cpu.join().unwrap());
        assert!(!sleeps || shared.wakes.load(Relaxed) > 0, "nobody wakes it");
    }

    /// Runs `test` in every order that the sides allow each other, with so many switches that nobody asked for at most.
    fn in_every_order(switches: usize, test: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(switches);
        model.check(test);
    }

    #[test]
    fn no_digest_is_lost_or_torn() {
        in_every_order(2, || hand_up(2, Forgets::default()));
    }

    #[test]
    fn who_sleeps_is_woken() {
        in_every_order(3, || fall_asleep(Forgets::default()));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_digest_that_is_read_before_it_is_written() {
        in_every_order(2, || hand_up(1, Forgets { acquire: true, ..Forgets::default() }));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_place_that_is_written_while_it_is_read() {
        in_every_order(1, || hand_up(3, Forgets { release: true, ..Forgets::default() }));
    }

    #[test]
    #[should_panic(expected = "nobody wakes it")]
    fn loom_finds_a_reader_that_nobody_wakes() {
        in_every_order(3, || fall_asleep(Forgets { second_look: true, ..Forgets::default() }));
    }

    #[test]
    fn laps_are_counted_from_one_and_wrap() {
        let mut reader = Reader::new(1);
        let taken = std::sync::atomic::AtomicU64::new(0);
        let says = |reader: &Reader, lap: u32| reader.is_written(&AtomicU32::new(lap));
        assert!(!says(&reader, 0), "never written");
        for (turn, lap) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3)] {
            assert_eq!(reader.place(), turn & 1);
            assert!(says(&reader, lap) && !says(&reader, lap - 1) && !says(&reader, lap + 1));
            reader.pass(&taken);
        }
        reader.turn = (u64::from(u32::MAX) << 1) | 1;
        assert!(says(&reader, 0) && !says(&reader, 1));
    }

    #[test]
    fn places_are_given_back_by_the_sixteenth_and_when_asked() {
        let mut reader = Reader::new(8);
        let taken = std::sync::atomic::AtomicU64::new(0);
        let mut given_back = Vec::new();
        for _ in 0..40 {
            reader.pass(&taken);
            given_back.push(taken.load(Relaxed));
        }
        assert_eq!(given_back, [[0; 15].as_slice(), &[16; 16], &[32; 9]].concat());
        reader.give_back(&taken);
        assert_eq!(taken.load(Relaxed), 40);
    }
}

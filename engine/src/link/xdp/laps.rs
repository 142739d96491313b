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
//! between on both sides one of them sees the other. Who is woken in that last look takes the wake-up with it, so it asks whether
//! it still sleeps before it waits for one.

use std::sync::atomic::{
    AtomicU32,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use super::ring::Word;

/// How often a place was written, as the program says.
pub(crate) trait Lap {
    /// Reads it, by a plain load: the memory may be mapped for reading alone, where the language promises no others.
    fn load(&self) -> u32;
    /// A barrier behind that: what was written before what was read is there.
    fn acquire();
}

impl Lap for AtomicU32 {
    #[inline]
    fn load(&self) -> u32 {
        Self::load(self, Relaxed)
    }

    #[inline]
    fn acquire() {
        fence(Acquire);
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
    pub(crate) fn is_written<L: Lap>(&self, lap: &L) -> bool {
        // It wraps after 2^32 laps, and so does this.
        let is_written = lap.load() == ((self.turn >> self.bits) as u32).wrapping_add(1);
        L::acquire();
        is_written
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

    use std::sync::atomic::Ordering::SeqCst;

    use super::{super::ring::tests::Careless, Acquire, Lap, Reader, Relaxed};

    /// How many runs of the program there are at a time.
    const CPUS: u64 = 2;

    impl Lap for atomic::AtomicU32 {
        fn load(&self) -> u32 {
            Self::load(self, Relaxed)
        }

        fn acquire() {
            fence(Acquire);
        }
    }

    impl Lap for Careless<'_, atomic::AtomicU32> {
        fn load(&self) -> u32 {
            self.0.load(Relaxed)
        }

        fn acquire() {}
    }

    /// What one of the sides forgets.
    #[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
    enum Forgets {
        #[default]
        Nothing,
        /// The reader, what order it reads a lap in.
        Acquire,
        /// The reader, what order it gives places back in.
        Release,
        /// The program, that another CPU may claim what it has found room for.
        Margin,
        /// The reader, the full barrier between what it says and its last look.
        Barrier,
        /// The reader, to look once more before it waits.
        SecondLook,
        /// The reader, to ask whether its last look has taken a wake-up.
        Word,
    }

    /// What both sides map.
    struct Shared {
        forgets: Forgets,
        bits: u32,
        taken: atomic::AtomicU64,
        claimed: atomic::AtomicU64,
        sleeps: atomic::AtomicU32,
        laps: Vec<atomic::AtomicU32>,
        /// loom's: it panics when one side reads or writes and the other may write at the same time.
        digests: Vec<Cell<u64>>,
        /// Wake-ups in the ring buffer that the reader has not taken out.
        wakes: atomic::AtomicU32,
    }

    impl Shared {
        fn new(bits: u32, forgets: Forgets) -> Arc<Self> {
            let places = 0..1 << bits;
            Arc::new(Self {
                forgets,
                bits,
                taken: atomic::AtomicU64::new(0),
                claimed: atomic::AtomicU64::new(0),
                sleeps: atomic::AtomicU32::new(0),
                laps: places.clone().map(|_| atomic::AtomicU32::new(0)).collect(),
                digests: places.map(|_| Cell::new(u64::MAX)).collect(),
                wakes: atomic::AtomicU32::new(0),
            })
        }

        /// `hand_up_digest` of receive.bpf.c, step by step; no, when there was no room. An atomic of BPF that gives back what
        /// was there is a full barrier, before and after.
        fn hand_up(&self, digest: u64) -> bool {
            let margin = if self.forgets == Forgets::Margin { CPUS - 1 } else { CPUS };
            let held = self.claimed.load(Relaxed) as i64 - self.taken.load(Relaxed) as i64;
            let places = 1_u64 << self.bits;
            if held > places as i64 - margin as i64 {
                return false;
            }
            fence(SeqCst);
            let turn = self.claimed.fetch_add(1, SeqCst);
            fence(SeqCst);
            let place = (turn & (places - 1)) as usize;
            self.digests[place].set(digest);
            fence(SeqCst);
            self.laps[place].swap((turn >> self.bits) as u32 + 1, SeqCst);
            fence(SeqCst);
            if self.sleeps.load(Relaxed) != 0 {
                self.sleeps.store(0, Relaxed);
                self.wakes.fetch_add(1, SeqCst);
            }
            true
        }

        /// The next digest, if it is there.
        fn look(&self, reader: &mut Reader) -> Option<u64> {
            let place = reader.place();
            let lap = &self.laps[place];
            let is_written = match self.forgets {
                Forgets::Acquire => reader.is_written(&Careless(lap)),
                _ => reader.is_written(lap),
            };
            if !is_written {
                return None;
            }
            let digest = self.digests[place].get();
            match self.forgets {
                Forgets::Release => reader.pass(&Careless(&self.taken)),
                _ => reader.pass(&self.taken),
            }
            Some(digest)
        }

        /// What `XdpRx::receive` does that has found nothing: whether it would wait now.
        fn last_look(&self, reader: &mut Reader, seen: &mut Vec<u64>) -> bool {
            self.sleeps.store(1, SeqCst);
            if self.forgets != Forgets::Barrier {
                fence(SeqCst);
            }
            let before = seen.len();
            if self.forgets != Forgets::SecondLook {
                seen.extend(self.look(reader));
                // It goes through the ring buffer too.
                self.wakes.swap(0, SeqCst);
            }
            let sleeps = self.forgets == Forgets::Word || self.sleeps.load(SeqCst) != 0;
            let waits = seen.len() == before && sleeps;
            if !waits {
                self.sleeps.store(0, SeqCst);
            }
            waits
        }
    }

    /// CPUs that hand up so many each as far as they find room, at most as often as told; what they did hand up.
    fn cpus(shared: &Arc<Shared>, each: u64, tries: u64) -> Vec<thread::JoinHandle<Vec<u64>>> {
        let cpu = |cpu| {
            let shared = Arc::clone(shared);
            thread::spawn(move || {
                let mut handed = Vec::new();
                for _ in 0..tries {
                    let next = cpu * 100 + handed.len() as u64;
                    match shared.hand_up(next) {
                        true => handed.push(next),
                        false => thread::yield_now(),
                    }
                    if handed.len() as u64 == each {
                        break;
                    }
                }
                handed
            })
        };
        (0..CPUS).map(cpu).collect()
    }

    /// Two CPUs that hand up two each, which is each place twice, and a reader that looks while they do and once they are done.
    fn hand_up(forgets: Forgets) {
        let shared = Shared::new(1, forgets);
        let cpus = cpus(&shared, 2, 3);
        let (mut reader, mut seen) = (Reader::new(shared.bits), Vec::new());
        for _ in 0..3 {
            match shared.look(&mut reader) {
                Some(digest) => seen.push(digest),
                None => thread::yield_now(),
            }
        }
        let handed: Vec<_> = cpus.into_iter().map(|cpu| cpu.join().unwrap()).collect();
        seen.extend(std::iter::from_fn(|| shared.look(&mut reader)));
        for (cpu, handed) in (0..).zip(handed) {
            let of_cpu = seen.iter().copied().filter(|digest| digest / 100 == cpu);
            assert!(of_cpu.eq(handed), "each once, in order: {seen:?}");
        }
    }

    /// A reader that falls asleep while two CPUs hand up one each.
    fn fall_asleep(forgets: Forgets) {
        let shared = Shared::new(2, forgets);
        let cpus = cpus(&shared, 1, 1);
        let (mut reader, mut seen) = (Reader::new(shared.bits), Vec::new());
        // Two rounds, since who was seen in the first may yet take the word of the second back.
        let waits = (0..2).any(|_| shared.last_look(&mut reader, &mut seen));
        cpus.into_iter().for_each(|cpu| assert_eq!(cpu.join().unwrap().len(), 1));
        let is_woken = shared.wakes.load(SeqCst) > 0;
        assert!(!waits || is_woken || seen.len() == 2, "nobody wakes it: {seen:?}");
    }

    /// Runs `test` in every order that the sides allow each other, with so many switches that nobody asked for at most.
    fn in_every_order(switches: usize, test: impl Fn() + Send + Sync + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(switches);
        model.check(test);
    }

    #[test]
    fn no_digest_is_lost_or_torn() {
        in_every_order(2, || hand_up(Forgets::Nothing));
    }

    #[test]
    fn who_sleeps_is_woken() {
        in_every_order(3, || fall_asleep(Forgets::Nothing));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_digest_that_is_read_before_it_is_written() {
        in_every_order(2, || hand_up(Forgets::Acquire));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_place_that_is_written_while_it_is_read() {
        in_every_order(2, || hand_up(Forgets::Release));
    }

    #[test]
    #[should_panic(expected = "Causality violation")]
    fn loom_finds_a_place_that_is_claimed_while_it_is_held() {
        in_every_order(2, || hand_up(Forgets::Margin));
    }

    #[test]
    #[should_panic(expected = "nobody wakes it")]
    fn loom_finds_a_reader_that_looks_too_early() {
        in_every_order(3, || fall_asleep(Forgets::SecondLook));
    }

    #[test]
    #[should_panic(expected = "nobody wakes it")]
    fn loom_finds_a_look_that_is_made_before_the_word_is_said() {
        in_every_order(3, || fall_asleep(Forgets::Barrier));
    }

    #[test]
    #[should_panic(expected = "nobody wakes it")]
    fn loom_finds_a_reader_that_takes_its_wake_up_and_sleeps() {
        in_every_order(3, || fall_asleep(Forgets::Word));
    }

    #[test]
    fn laps_are_counted_from_one_and_wrap() {
        let mut reader = Reader::new(1);
        let taken = std::sync::atomic::AtomicU64::new(0);
        let says =
            |reader: &Reader, lap: u32| reader.is_written(&std::sync::atomic::AtomicU32::new(lap));
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

//! When something is next to be done about each of many: a hierarchical timing wheel (Varghese and Lauck, "Hashed and
//! hierarchical timing wheels", 1987).
//!
//! Level `l` has 64 places, one for each value of the `l`-th digit of a tick to the base 64. An entry stands on the level of
//! the highest digit in which its tick differs from the present one, so all of a level is due before any of the next level:
//!
//! ```text
//!  level 0   64 places of 1 tick       due in this turn of 64 ticks
//!  level 1   64 places of 64 ticks     due in this turn of 4,096 ticks, later than this 64
//!    ...                               when the present reaches a place, its entries move to lower levels
//! ```
//!
//! To set, to move and to cancel are a few stores; to find the next tick is one look at six words of bits. What a tick is, is the
//! caller's to say.

/// No entry.
const NONE: u32 = u32::MAX;
/// Not in any list.
const NOWHERE: u16 = u16::MAX;
const BITS: u32 = 6;
const PLACES: usize = 1 << BITS;
/// As many digits as a tick of 32 bits has.
const LEVELS: usize = 6;

/// One entry for each number from 0 up, each due at one tick or not at all.
#[derive(Debug)]
pub struct Wheel {
    /// All before this tick was popped.
    now: u32,
    heads: [[u32; PLACES]; LEVELS],
    /// The places of each level that are not empty.
    filled: [u64; LEVELS],
    links: Vec<Link>,
}

#[derive(Debug)]
struct Link {
    previous: u32,
    next: u32,
    due: u32,
    /// Level and place of its list.
    list: u16,
}

impl Wheel {
    /// Octets of memory an entry.
    pub const ENTRY_LEN: usize = size_of::<Link>();

    /// A wheel for numbers below `capacity`.
    ///
    /// # Errors
    ///
    /// That of the allocator.
    pub fn new(capacity: usize) -> Result<Self, std::collections::TryReserveError> {
        let mut links = Vec::new();
        links.try_reserve_exact(capacity)?;
        let heads = [[NONE; PLACES]; LEVELS];
        Ok(Self { now: 0, heads, filled: [0; LEVELS], links })
    }

    /// Adds the next number, which is not due. Nothing is allocated up to the capacity.
    pub fn add(&mut self) {
        self.links.push(Link { previous: NONE, next: NONE, due: NONE, list: NOWHERE });
    }

    /// Makes `number` due at `tick`, or as soon as possible if that is past, and at no other.
    ///
    /// # Panics
    ///
    /// When `number` was not added.
    #[inline]
    pub fn set(&mut self, number: u32, tick: u32) {
        self.cancel(number);
        let due = tick.max(self.now);
        let level = (31 - ((self.now ^ due) | 1).leading_zeros()) / BITS;
        let place = due >> (level * BITS) & (PLACES as u32 - 1);
        let (level, place) = (level as usize, place as usize);
        let next = std::mem::replace(&mut self.heads[level][place], number);
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = number;
        }
        let list = (level * PLACES + place) as u16;
        self.links[number as usize] = Link { previous: NONE, next, due, list };
        self.filled[level] |= 1 << place;
    }

    /// Makes `number` not due.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    #[inline]
    pub fn cancel(&mut self, number: u32) {
        let link = &mut self.links[number as usize];
        let list = usize::from(std::mem::replace(&mut link.list, NOWHERE));
        if list == usize::from(NOWHERE) {
            return;
        }
        link.due = NONE;
        let (previous, next) = (link.previous, link.next);
        let (level, place) = (list / PLACES, list % PLACES);
        match self.links.get_mut(previous as usize) {
            Some(previous) => previous.next = next,
            None => self.heads[level][place] = next,
        }
        if let Some(next) = self.links.get_mut(next as usize) {
            next.previous = previous;
        }
        if self.heads[level][place] == NONE {
            self.filled[level] &= !(1 << place);
        }
    }

    /// When `number` is due; `u32::MAX` for never.
    ///
    /// # Panics
    ///
    /// As [`set`](Self::set).
    #[inline]
    pub fn due(&self, number: u32) -> u32 {
        self.links[number as usize].due
    }

    /// Takes one number that is due at `to` or before, in the order of ticks.
    pub fn pop(&mut self, to: u32) -> Option<u32> {
        while let Some((level, place, from)) = self.first() {
            if from > to {
                break;
            }
            self.now = from;
            let number = self.heads[level][place];
            if level == 0 {
                self.cancel(number);
                return Some(number);
            }
            self.settle(level, place);
        }
        self.now = self.now.max(to);
        None
    }

    /// A tick before which nothing is due.
    pub fn next(&self) -> Option<u32> {
        self.first().map(|(_, _, from)| from)
    }

    /// The first place that is not empty, and the tick at which it begins.
    fn first(&self) -> Option<(usize, usize, u32)> {
        (0..LEVELS).find_map(|level| {
            let shift = level as u32 * BITS;
            // Above level 0 the place of the present digit is empty: its entries stand on lower levels.
            let present = self.now >> shift & (PLACES as u32 - 1);
            let filled = self.filled[level] >> present << present;
            if filled == 0 {
                return None;
            }
            let place = filled.trailing_zeros();
            let turn = u64::from(self.now) >> (shift + BITS) << (shift + BITS);
            let from = turn as u32 | place << shift;
            Some((level, place as usize, from.max(self.now)))
        })
    }

    /// Moves the entries of a place that the present has reached to lower levels.
    fn settle(&mut self, level: usize, place: usize) {
        loop {
            let number = self.heads[level][place];
            let Some(link) = self.links.get(number as usize) else { break };
            self.set(number, link.due);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn wheel(numbers: u32) -> Wheel {
        let mut wheel = Wheel::new(numbers as usize).unwrap();
        (0..numbers).for_each(|_| wheel.add());
        wheel
    }

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u32),
        Cancel(u32),
        Advance(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        let ahead = prop_oneof![0_u32..70, 0_u32..5_000, any::<u32>()];
        prop_oneof![
            4 => (0_u32..20, ahead.clone()).prop_map(|(number, ahead)| Step::Set(number, ahead)),
            1 => (0_u32..20).prop_map(Step::Cancel),
            3 => prop_oneof![0_u32..70, 0_u32..5_000, 0_u32..1 << 29].prop_map(Step::Advance),
        ]
    }

    proptest! {
        /// An ordered set of (tick, number) is the model.
        #[test]
        fn everything_comes_when_it_is_due(start: u32, steps in prop::collection::vec(step(), 1..80)) {
            let mut wheel = wheel(20);
            prop_assert_eq!(wheel.pop(start), None);
            let (mut now, mut model) = (start, BTreeSet::new());
            for step in steps {
                match step {
                    Step::Set(number, ahead) => {
                        let due = now.saturating_add(ahead).min(NONE - 1);
                        model.retain(|(_, other)| *other != number);
                        model.insert((due, number));
                        wheel.set(number, due);
                    }
                    Step::Cancel(number) => {
                        model.retain(|(_, other)| *other != number);
                        wheel.cancel(number);
                    }
                    Step::Advance(by) => {
                        now = now.saturating_add(by).min(NONE - 1);
                        while let Some(number) = wheel.pop(now) {
                            let first = model.first().unwrap().0;
                            prop_assert!(first <= now);
                            prop_assert!(model.remove(&(first, number)), "{} before its time", number);
                        }
                    }
                }
                let first = model.first().map(|(due, _)| *due);
                prop_assert!(first.is_none_or(|due| due >= now) || matches!(wheel.next(), Some(next) if next <= now));
                prop_assert!(wheel.next().is_none_or(|next| first.is_some_and(|first| next <= first)));
                prop_assert_eq!(wheel.next().is_none(), model.is_empty());
                for number in 0..20 {
                    let due = model.iter().find(|(_, other)| *other == number);
                    prop_assert_eq!(wheel.due(number), due.map_or(NONE, |(due, _)| *due));
                }
            }
        }
    }

    #[test]
    fn who_sleeps_until_the_next_tick_finds_what_is_due_in_few_turns() {
        let mut wheel = wheel(1);
        assert_eq!(wheel.next(), None);
        wheel.set(0, 300_000);
        let mut turns = 0;
        while wheel.pop(wheel.next().unwrap()).is_none() {
            turns += 1;
        }
        assert!(turns <= 3, "{turns} times awake for nothing");
        assert_eq!(wheel.now, 300_000);
    }

    #[test]
    fn what_is_past_is_due_at_once() {
        let mut wheel = wheel(2);
        assert_eq!(wheel.pop(100), None);
        wheel.set(1, 40);
        assert_eq!((wheel.next(), wheel.pop(100), wheel.pop(100)), (Some(100), Some(1), None));
    }
}

//! Lookups under way: a table of fixed size, and lists through it.
//!
//! ```text
//!  slot    | number | last four queries: whom, when | generation | links | type, class, states | name, up to 74 octets |
//!                                                                                                '-> a longer one: names
//!  lists   free (last given back, first taken)     waiting to be asked (first come, first served)
//!          oldest <-> ... <-> newest: the questions in the order in which they came, for the mark
//! ```
//!
//! A lookup costs [`SLOT_LEN`] octets, its timer included; 74 octets hold every name of `ip6.arpa`. Names that are longer lie in a
//! second table with room for a quarter as many. Memory is asked for at the start and touched as slots come into use.
//!
//! Of a lookup that is over nothing is left but the generation of its slot, by which late answers are known.

use mrpf_engine::wheel::Wheel;

use super::LookupsError;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;
/// In no list.
const UNLISTED: u32 = u32::MAX - 1;
/// Octets of a name in its slot.
const INLINE: usize = 74;
/// The longest name (RFC 1035, section 2.3.4).
const LONGEST: usize = 255;
/// Of so many slots one may have a long name.
const LONG_SHARE: u32 = 4;
/// Queries of a lookup whose answers are taken.
pub(super) const TAKEN: usize = 4;

/// Octets that a lookup under way takes, its timer included, when its name is not long.
pub const SLOT_LEN: usize = size_of::<Slot>() + TIMER_LEN;
/// What an entry of the wheel takes.
const TIMER_LEN: usize = 16;

const _: () = assert!(SLOT_LEN <= 160);

/// What a slot is waiting for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum State {
    /// Nothing: it is nobody's.
    Free,
    /// Its turn to be asked, or asked again.
    Ready,
    /// The moment from which its server may be asked.
    Paused,
    /// The answer to its last query, until its timer runs out.
    Asked,
    /// Its turn to send a SYN.
    Knocking,
    /// The SYN-ACK, until its timer runs out.
    Opening,
    /// The answer over TCP, as long as its flow lasts.
    Talking,
    /// The word whether its parent is a wildcard.
    Held,
    /// Its turn to be forgotten: it is over, and still in a list.
    Over,
}

/// What a query of a lookup was like, as the answer must be.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Manner {
    pub(super) edns: bool,
    pub(super) cased: bool,
    pub(super) tcp: bool,
}

/// One query that was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Asked {
    /// Whom, by its number in the pool.
    pub(super) server: u32,
    /// When, in wrapped microseconds.
    pub(super) sent: u32,
}

/// What a slot is occupied by.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Purpose {
    /// A question of the source, to be told.
    Question,
    /// The same, for a server of its own, which every query of it is for.
    Direct,
    /// A test whether a parent is a wildcard; the number is its tag.
    Test,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Slot {
    /// Of the question; the tag of a test.
    pub(super) number: u64,
    asked: [Asked; TAKEN],
    /// How many queries the slot has sent, all its lookups together.
    pub(super) generation: u32,
    /// The next in the list that it is in; [`UNLISTED`] in none.
    link: u32,
    older: u32,
    newer: u32,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    /// Of the last four queries, three bits each: see [`Manner`].
    manners: u16,
    /// Queries of this lookup, up to [`TAKEN`].
    made: u8,
    /// Attempts made, of those that are counted.
    pub(super) attempts: u8,
    /// Queries that were not counted since the last that was.
    pub(super) extra: u8,
    pub(super) state: State,
    pub(super) purpose: Purpose,
    /// How the last attempt failed.
    pub(super) failure: Failure,
    /// Depth of its root in labels; [`NO_ROOT`] without one.
    pub(super) root: u8,
    name_len: u8,
    /// The name, or the number of the long name in the first four octets.
    name: [u8; INLINE],
}

/// See [`Slot::root`].
pub(super) const NO_ROOT: u8 = u8::MAX;

/// How an attempt failed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Failure {
    /// Nothing came in time.
    Timeout,
    /// A router or the host says that nothing arrives there, or no way leads there.
    Unreachable,
    /// There is more than fits into a datagram, and TCP did not bring it.
    Truncated,
    /// What came was an answer to us and no message.
    Malformed,
    /// A message that says so.
    Said,
    /// The server was asked in a manner that it has not: it is to be asked once more.
    Manners,
}

impl Slot {
    const EMPTY: Self = Self {
        number: 0,
        asked: [Asked { server: NONE, sent: 0 }; TAKEN],
        generation: 0,
        link: UNLISTED,
        older: NONE,
        newer: NONE,
        qtype: 0,
        qclass: 0,
        manners: 0,
        made: 0,
        attempts: 0,
        extra: 0,
        state: State::Free,
        purpose: Purpose::Question,
        failure: Failure::Timeout,
        root: NO_ROOT,
        name_len: 0,
        name: [0; INLINE],
    };

    /// Notes that a query leaves and gives its generation.
    #[inline]
    pub(super) fn note(&mut self, asked: Asked, manner: Manner) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        self.asked[self.generation as usize % TAKEN] = asked;
        let bits =
            u16::from(manner.edns) | u16::from(manner.cased) << 1 | u16::from(manner.tcp) << 2;
        self.manners = self.manners << 3 | bits;
        self.made = self.made.saturating_add(1).min(TAKEN as u8);
        self.generation
    }

    /// The query that was noted last leaves later than it was noted: at `sent`.
    pub(super) fn stamp(&mut self, sent: u32) {
        self.asked[self.generation as usize % TAKEN].sent = sent;
    }

    /// The query that was sent `age` queries ago, if it is of this lookup and its answer is taken.
    #[inline]
    pub(super) fn asked(&self, age: u32) -> Option<(Asked, Manner)> {
        if age >= u32::from(self.made) {
            return None;
        }
        let bits = self.manners >> (3 * age);
        let manner = Manner { edns: bits & 1 != 0, cased: bits & 2 != 0, tcp: bits & 4 != 0 };
        Some((self.asked[self.generation.wrapping_sub(age) as usize % TAKEN], manner))
    }

    /// Whom the last queries of this lookup were for, latest first.
    pub(super) fn servers(&self) -> impl Iterator<Item = u32> {
        (0..u32::from(self.made)).filter_map(|age| self.asked(age).map(|(asked, _)| asked.server))
    }

    /// How many labels its root has, if it has one.
    pub(super) fn root(&self) -> Option<u8> {
        (self.root != NO_ROOT).then_some(self.root)
    }

    /// The server of a [direct](Purpose::Direct) lookup.
    pub(super) fn own_server(&self) -> Option<u32> {
        let [Asked { server, .. }, ..] = self.asked;
        (self.purpose == Purpose::Direct).then_some(server)
    }

    /// Whether it has sent a query `age` queries ago, for whatever lookup.
    pub(super) fn was_asked(&self, age: u32) -> bool {
        age < self.generation
    }
}

/// A list through the slots, first come, first served.
#[derive(Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
    len: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE, len: 0 }
    }
}

impl List {
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What a lookup begins with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Begun<'a> {
    pub(super) number: u64,
    pub(super) purpose: Purpose,
    pub(super) name: &'a [u8],
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    pub(super) root: u8,
    /// The only server to ask, of a [direct](Purpose::Direct) lookup.
    pub(super) server: u32,
}

/// All lookups of one thread. See the [module](self).
#[derive(Debug)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    capacity: u32,
    free: u32,
    len: u32,
    oldest: u32,
    newest: u32,
    pub(super) wheel: Wheel,
    long: Vec<[u8; LONGEST]>,
    long_free: Vec<u32>,
    long_capacity: u32,
}

impl Slots {
    /// A table of `capacity` slots.
    pub(super) fn new(capacity: u32) -> Result<Self, LookupsError> {
        let no_memory = |_| LookupsError::Memory(capacity);
        let long_capacity = capacity.div_ceil(LONG_SHARE);
        let (mut slots, mut long, mut long_free) = (Vec::new(), Vec::new(), Vec::new());
        slots.try_reserve_exact(capacity as usize).map_err(no_memory)?;
        long.try_reserve_exact(long_capacity as usize).map_err(no_memory)?;
        long_free.try_reserve_exact(long_capacity as usize).map_err(no_memory)?;
        Ok(Self {
            slots,
            capacity,
            free: NONE,
            len: 0,
            oldest: NONE,
            newest: NONE,
            wheel: Wheel::new(capacity as usize).map_err(no_memory)?,
            long,
            long_free,
            long_capacity,
        })
    }

    /// How many are in use.
    pub(super) fn len(&self) -> u32 {
        self.len
    }

    /// How many more may begin.
    pub(super) fn room(&self) -> u32 {
        self.capacity - self.len
    }

    /// Whether a name of `len` octets finds a place.
    #[cfg(test)]
    fn has_room_for(&self, len: usize) -> bool {
        let is_long = len > INLINE;
        self.len < self.capacity
            && (!is_long
                || !self.long_free.is_empty()
                || self.long.len() < self.long_capacity as usize)
    }

    /// Begins a lookup; `None` when there [is no room](Self::has_room_for).
    pub(super) fn begin(&mut self, begun: &Begun<'_>) -> Option<u32> {
        let mut name = [0; INLINE];
        match name.get_mut(..begun.name.len()) {
            Some(place) => place.copy_from_slice(begun.name),
            None => {
                let long = self.keep_long(begun.name)?;
                name[..4].copy_from_slice(&long.to_le_bytes());
            }
        }
        let number = match self.slots.get(self.free as usize) {
            Some(slot) => std::mem::replace(&mut self.free, slot.link),
            None if self.slots.len() < self.capacity as usize => {
                self.slots.push(Slot::EMPTY);
                self.wheel.add();
                self.slots.len() as u32 - 1
            }
            None => return None,
        };
        let generation = self.slots[number as usize].generation;
        self.slots[number as usize] = Slot {
            number: begun.number,
            generation,
            qtype: begun.qtype,
            qclass: begun.qclass,
            asked: [Asked { server: begun.server, sent: 0 }; TAKEN],
            purpose: begun.purpose,
            root: begun.root,
            state: State::Ready,
            name_len: begun.name.len() as u8,
            name,
            ..Slot::EMPTY
        };
        self.len += 1;
        if begun.purpose != Purpose::Test {
            self.append(number);
        }
        Some(number)
    }

    /// Ends a lookup, and its slot is free as soon as it is in no list.
    pub(super) fn end(&mut self, number: u32) {
        self.wheel.cancel(number);
        let Slot { link, purpose, state, .. } = self.slots[number as usize];
        if matches!(state, State::Free | State::Over) {
            return;
        }
        if purpose != Purpose::Test {
            self.take_out(number);
        }
        self.slots[number as usize].state = State::Over;
        if link == UNLISTED {
            self.free(number);
        }
    }

    fn free(&mut self, number: u32) {
        if let Some(long) = self.long_name(number) {
            self.long_free.push(long);
        }
        let slot = &mut self.slots[number as usize];
        slot.state = State::Free;
        slot.made = 0;
        slot.link = std::mem::replace(&mut self.free, number);
        self.len -= 1;
    }

    /// The slot, if it was ever used.
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Slot> {
        self.slots.get(number as usize)
    }

    /// A slot in use.
    ///
    /// # Panics
    ///
    /// When there is no such slot: numbers come from [`begin`](Self::begin) alone.
    #[inline]
    pub(super) fn at(&mut self, number: u32) -> &mut Slot {
        &mut self.slots[number as usize]
    }

    /// The name, in wire form.
    #[inline]
    pub(super) fn name(&self, number: u32) -> &[u8] {
        let Some(slot) = self.get(number) else { return &[] };
        let len = usize::from(slot.name_len);
        match self.long_name(number) {
            Some(long) => &self.long[long as usize][..len],
            None => &slot.name[..len],
        }
    }

    /// The lowest number of a question under way.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.get(self.oldest).map(|slot| slot.number)
    }

    /// Numbers in use, for who gives all of them up.
    pub(super) fn all(&self) -> std::ops::Range<u32> {
        0..self.slots.len() as u32
    }

    // --- lists ----------------------------------------------------------------------------------------------------

    /// Puts a slot at the end of a list; one that is in a list stays where it is, and whoever takes it from there looks at its
    /// state.
    pub(super) fn enlist(&mut self, list: &mut List, number: u32) {
        if self.slots[number as usize].link != UNLISTED {
            return;
        }
        self.slots[number as usize].link = NONE;
        match self.slots.get_mut(list.last as usize) {
            Some(last) => last.link = number,
            None => list.first = number,
        }
        list.last = number;
        list.len += 1;
    }

    /// Takes the first of a list whose lookup is not over.
    pub(super) fn pop(&mut self, list: &mut List) -> Option<u32> {
        loop {
            let number = list.first;
            let slot = self.slots.get_mut(number as usize)?;
            list.first = std::mem::replace(&mut slot.link, UNLISTED);
            if list.first == NONE {
                list.last = NONE;
            }
            list.len -= 1;
            if slot.state != State::Over {
                return Some(number);
            }
            self.free(number);
        }
    }

    /// Puts a slot back to where [`pop`](Self::pop) took it from.
    pub(super) fn put_back(&mut self, list: &mut List, number: u32) {
        self.slots[number as usize].link = std::mem::replace(&mut list.first, number);
        if list.last == NONE {
            list.last = number;
        }
        list.len += 1;
    }

    fn append(&mut self, number: u32) {
        let older = std::mem::replace(&mut self.newest, number);
        self.slots[number as usize].older = older;
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = number,
            None => self.oldest = number,
        }
    }

    fn take_out(&mut self, number: u32) {
        let Slot { older, newer, .. } = self.slots[number as usize];
        match self.slots.get_mut(older as usize) {
            Some(older) => older.newer = newer,
            None => self.oldest = newer,
        }
        match self.slots.get_mut(newer as usize) {
            Some(newer) => newer.older = older,
            None => self.newest = older,
        }
    }

    fn keep_long(&mut self, name: &[u8]) -> Option<u32> {
        if self.len == self.capacity {
            return None;
        }
        let number = match self.long_free.pop() {
            Some(number) => number,
            None if self.long.len() < self.long_capacity as usize => {
                self.long.push([0; LONGEST]);
                self.long.len() as u32 - 1
            }
            None => return None,
        };
        self.long[number as usize].get_mut(..name.len())?.copy_from_slice(name);
        Some(number)
    }

    fn long_name(&self, number: u32) -> Option<u32> {
        let slot = self.get(number)?;
        let [a, b, c, d, ..] = slot.name;
        (usize::from(slot.name_len) > INLINE).then(|| u32::from_le_bytes([a, b, c, d]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn begun(number: u64, name: &[u8]) -> Begun<'_> {
        let purpose = if number % 5 == 4 { Purpose::Test } else { Purpose::Question };
        Begun { number, purpose, name, qtype: 1, qclass: 1, root: NO_ROOT, server: NONE }
    }

    proptest! {
        /// A map of names by slot is the model.
        #[test]
        fn names_and_their_order_are_kept(steps in prop::collection::vec((any::<bool>(), 1_usize..256, any::<usize>()), 1..400)) {
            let mut slots = Slots::new(16).unwrap();
            let mut model = BTreeMap::new();
            let mut next = 0;
            for (begins, len, pick) in steps {
                if begins {
                    let name = vec![next as u8; len];
                    let room = slots.has_room_for(len);
                    let slot = slots.begin(&begun(next, &name));
                    prop_assert_eq!(slot.is_some(), room);
                    if let Some(slot) = slot {
                        prop_assert!(model.insert(slot, (next, name)).is_none());
                        next += 1;
                    } else {
                        let long = model.values().filter(|(_, name)| name.len() > INLINE).count();
                        prop_assert!(model.len() == 16 || len > INLINE && long == 4);
                    }
                } else if let Some(slot) = model.keys().nth(pick % model.len().max(1)).copied() {
                    model.remove(&slot);
                    slots.end(slot);
                }
                prop_assert_eq!(slots.len() as usize, model.len());
                for (slot, (number, name)) in &model {
                    prop_assert_eq!(slots.name(*slot), &name[..]);
                    prop_assert_eq!(slots.at(*slot).number, *number);
                }
                let questions = model.values().map(|(number, _)| *number).filter(|n| n % 5 != 4);
                prop_assert_eq!(slots.oldest(), questions.min());
            }
        }
    }

    #[test]
    fn a_list_is_first_come_first_served() {
        let mut slots = Slots::new(8).unwrap();
        let mut list = List::default();
        for number in 0..5 {
            let slot = slots.begin(&begun(number, b"\0")).unwrap();
            slots.enlist(&mut list, slot);
        }
        let first = slots.pop(&mut list).unwrap();
        slots.put_back(&mut list, first);
        assert_eq!(list.len(), 5);
        let all: Vec<u32> = std::iter::from_fn(|| slots.pop(&mut list)).collect();
        assert_eq!(all, [0, 1, 2, 3, 4]);
        [3, 1, 4, 1].into_iter().for_each(|slot| slots.enlist(&mut list, slot));
        assert_eq!(list.len(), 3);
        slots.end(1);
        assert_eq!((slots.len(), slots.oldest()), (5, Some(0)));
        assert_eq!(slots.pop(&mut list), Some(3));
        assert_eq!(slots.pop(&mut list), Some(4));
        assert_eq!((slots.pop(&mut list), slots.len()), (None, 4));
        assert!(list.is_empty());
        assert_eq!(slots.begin(&begun(7, b"\0")), Some(1));
    }

    #[test]
    fn the_last_four_queries_of_a_lookup_are_known_and_none_of_the_one_before() {
        let mut slots = Slots::new(1).unwrap();
        let slot = slots.begin(&begun(0, b"\0")).unwrap();
        for server in 0..6 {
            let manner = Manner { edns: server % 2 == 0, cased: true, tcp: server == 5 };
            slots.at(slot).note(Asked { server, sent: 10 * server }, manner);
        }
        let known =
            |slots: &mut Slots, age| slots.at(slot).asked(age).map(|(asked, _)| asked.server);
        assert_eq!(
            [0, 1, 2, 3, 4].map(|age| known(&mut slots, age)),
            [Some(5), Some(4), Some(3), Some(2), None]
        );
        let (asked, manner) = slots.at(slot).asked(1).unwrap();
        assert_eq!((asked.sent, manner), (40, Manner { edns: true, cased: true, tcp: false }));
        assert_eq!(slots.at(slot).servers().collect::<Vec<_>>(), [5, 4, 3, 2]);
        slots.end(slot);
        assert_eq!(slots.begin(&begun(1, b"\0")), Some(slot));
        slots.at(slot).note(Asked { server: 9, sent: 0 }, Manner::default());
        assert_eq!([0, 1].map(|age| known(&mut slots, age)), [Some(9), None]);
        assert!(slots.at(slot).was_asked(6) && !slots.at(slot).was_asked(7));
    }
}

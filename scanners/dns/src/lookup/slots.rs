//! Lookups under way: a table of fixed size, and lists through it.
//!
//! ```text
//!  slot    | number | last four queries: whom, when | generation | links | type, class, states | name, up to 74 octets |
//!                                                                                                '-> a longer one: names
//!  lists   free (last given back, first taken)     waiting to be asked (first come, first served)
//!          oldest <-> ... <-> newest: the questions in the order in which they came, for the mark
//! ```
//!
//! A lookup costs [`SLOT_LEN`](super::SLOT_LEN) octets, its timer included; 74 octets hold every name of `ip6.arpa`. Names that are longer lie in a
//! second table with room for a quarter as many. Memory is asked for at the start and touched as slots come into use.
//!
//! Of a lookup that is over nothing is left but the generation of its slot, by which late answers are known.

use mrpf_engine::wheel::Wheel;

use super::{
    LookupsError,
    slot::{Asked, INLINE, NONE, Purpose, Slot, State, TAKEN, UNLISTED},
};

/// The longest name (RFC 1035, section 2.3.4).
const LONGEST: usize = 255;
/// Of so many slots one may have a long name.
const LONG_SHARE: u32 = 4;

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

    use super::{
        super::slot::{Manner, NO_ROOT},
        *,
    };

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

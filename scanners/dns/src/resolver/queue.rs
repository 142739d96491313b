//! Who is due next: a heap of four children a node that knows where each number stands.
//!
//! ```text
//!  [ due 3 ]                    set:        O(log n), up or down from where the number stood
//!   |- [ due 5 ] [ due 4 ] ...  first:      O(1)
//!   '- ...                      first_but:  looks below a number that is passed over, and no further
//! ```

const CHILDREN: usize = 4;
const NOWHERE: u32 = u32::MAX;

/// Numbers from 0 up, each due at one moment or not at all.
#[derive(Debug, Default)]
pub(super) struct Queue {
    heap: Vec<Entry>,
    /// Where each number stands in the heap.
    places: Vec<u32>,
}

/// A number, and when it is due.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Entry {
    pub(super) due: u64,
    pub(super) number: u32,
}

impl Queue {
    /// Makes `number` due at `due` and at no other moment.
    #[inline]
    pub(super) fn set(&mut self, number: u32, due: u64) {
        let index = number as usize;
        if index >= self.places.len() {
            self.places.resize(index + 1, NOWHERE);
        }
        let entry = Entry { due, number };
        match self.places[index] {
            NOWHERE => {
                self.heap.push(entry);
                self.rise(self.heap.len() - 1, entry);
            }
            place => self.settle(place as usize, entry),
        }
    }

    /// Makes `number` not due.
    pub(super) fn remove(&mut self, number: u32) {
        let Some(place) = self.place(number) else { return };
        self.places[number as usize] = NOWHERE;
        let last = self.heap.pop();
        // Unless it was the last itself, that one takes its place.
        if let Some(last) = last.filter(|last| last.number != number) {
            self.settle(place, last);
        }
    }

    /// When `number` is due.
    #[inline]
    pub(super) fn due(&self, number: u32) -> Option<u64> {
        self.place(number).map(|place| self.heap[place].due)
    }

    /// What is due first.
    #[inline]
    pub(super) fn first(&self) -> Option<Entry> {
        self.heap.first().copied()
    }

    /// What is due first of all for which `is_avoided` is false.
    #[inline]
    pub(super) fn first_but(&self, is_avoided: &impl Fn(u32) -> bool) -> Option<Entry> {
        self.first_below(0, is_avoided)
    }

    fn first_below(&self, place: usize, is_avoided: &impl Fn(u32) -> bool) -> Option<Entry> {
        let entry = *self.heap.get(place)?;
        if !is_avoided(entry.number) {
            return Some(entry);
        }
        let children = place * CHILDREN + 1..=place * CHILDREN + CHILDREN;
        children.filter_map(|child| self.first_below(child, is_avoided)).min()
    }

    /// How many are due at some moment.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Whether none is due at any moment.
    pub(super) fn is_empty(&self) -> bool {
        self.heap.is_empty()
    }

    fn place(&self, number: u32) -> Option<usize> {
        self.places
            .get(number as usize)
            .filter(|place| **place != NOWHERE)
            .map(|place| *place as usize)
    }

    /// Puts `entry` at `place` or wherever it belongs from there.
    #[inline]
    fn settle(&mut self, place: usize, entry: Entry) {
        match place.checked_sub(1).map(|below| below / CHILDREN) {
            Some(parent) if self.heap[parent] > entry => self.rise(place, entry),
            _ => self.sink(place, entry),
        }
    }

    #[inline]
    fn rise(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / CHILDREN;
            if self.heap[parent] <= entry {
                break;
            }
            self.put(place, self.heap[parent]);
            place = parent;
        }
        self.put(place, entry);
    }

    #[inline]
    fn sink(&mut self, mut place: usize, entry: Entry) {
        loop {
            let first = place * CHILDREN + 1;
            let end = (first + CHILDREN).min(self.heap.len());
            let Some(least) = (first..end).min_by_key(|child| self.heap[*child]) else { break };
            if self.heap[least] >= entry {
                break;
            }
            self.put(place, self.heap[least]);
            place = least;
        }
        self.put(place, entry);
    }

    #[inline]
    fn put(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        self.places[entry.number as usize] = place as u32;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Step {
        Set(u32, u64),
        Remove(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..60_u32, 0..50_u64).prop_map(|(number, due)| Step::Set(number, due)),
            1 => (0..60_u32).prop_map(Step::Remove),
        ]
    }

    proptest! {
        /// Against a sorted set, by the definition of each word.
        #[test]
        fn is_a_sorted_set_of_moments(
            steps in prop::collection::vec(step(), 0..300),
            avoided in prop::collection::btree_set(0..60_u32, 0..20),
        ) {
            let mut queue = Queue::default();
            let mut model: BTreeSet<(u64, u32)> = BTreeSet::new();
            for step in steps {
                match step {
                    Step::Set(number, due) => {
                        model.retain(|(_, other)| *other != number);
                        model.insert((due, number));
                        queue.set(number, due);
                    }
                    Step::Remove(number) => {
                        model.retain(|(_, other)| *other != number);
                        queue.remove(number);
                    }
                }
                let pair = |entry: Entry| (entry.due, entry.number);
                prop_assert_eq!(queue.len(), model.len());
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                prop_assert_eq!(queue.first().map(pair), model.first().copied());
                let but = model.iter().find(|(_, number)| !avoided.contains(number)).copied();
                prop_assert_eq!(queue.first_but(&|number| avoided.contains(&number)).map(pair), but);
                for number in 0..60 {
                    let due = model.iter().find(|(_, other)| *other == number).map(|(due, _)| *due);
                    prop_assert_eq!(queue.due(number), due);
                }
            }
        }
    }
}

//! The levels that are remembered: so many and no more, by a keyed number; the one not used for longest goes first.

use std::collections::HashMap;

use super::{Held, Tag, level::Level};

const NONE: u32 = u32::MAX;

/// A bounded table of levels.
#[derive(Debug)]
pub(super) struct Levels {
    places: HashMap<u64, u32>,
    levels: Vec<Entry>,
    /// The one used last, and the one not used for longest.
    newest: u32,
    oldest: u32,
    limit: usize,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    level: Level,
    newer: u32,
    older: u32,
}

/// How many levels are looked at to find one that nobody waits for.
const LOOKED_AT: usize = 32;

impl Levels {
    pub(super) fn new(limit: usize) -> Self {
        let limit = limit.min(NONE as usize);
        Self { places: HashMap::new(), levels: Vec::new(), newest: NONE, oldest: NONE, limit }
    }

    /// The level of a key; `None` while the table is full of levels that names wait for.
    pub(super) fn find_or_add(&mut self, key: u64, is_root: bool) -> Option<u32> {
        if let Some(number) = self.places.get(&key) {
            let number = *number;
            if self.newest != number {
                self.unlink(number);
                self.link(number);
            }
            return Some(number);
        }
        let number = if self.levels.len() < self.limit {
            let entry = Entry { key, level: Level::default(), newer: NONE, older: NONE };
            self.levels.push(entry);
            (self.levels.len() - 1) as u32
        } else {
            let number = self.forgettable()?;
            self.unlink(number);
            let entry = self.levels.get_mut(number as usize)?;
            self.places.remove(&entry.key);
            entry.key = key;
            number
        };
        self.get(number).reset(is_root);
        self.link(number);
        self.places.insert(key, number);
        Some(number)
    }

    /// The level of a number that [`Self::find_or_add`] gave.
    pub(super) fn get(&mut self, number: u32) -> &mut Level {
        &mut self.levels[number as usize].level
    }

    /// The level that a test was for, if it still is that one.
    pub(super) fn current(&mut self, tag: Tag) -> Option<&mut Level> {
        let level = &mut self.levels.get_mut(tag.level as usize)?.level;
        (level.generation == tag.generation).then_some(level)
    }

    pub(super) fn hold(&mut self, number: u32, held: Held) {
        self.get(number).held.push(held);
    }

    pub(super) fn take_held(&mut self, number: u32) -> Vec<Held> {
        std::mem::take(&mut self.get(number).held)
    }

    /// The level not used for longest of those that nobody waits for.
    fn forgettable(&self) -> Option<u32> {
        let mut number = self.oldest;
        for _ in 0..LOOKED_AT {
            let entry = self.levels.get(number as usize)?;
            if entry.level.is_idle() {
                return Some(number);
            }
            number = entry.newer;
        }
        None
    }

    fn unlink(&mut self, number: u32) {
        let Some(entry) = self.levels.get(number as usize) else { return };
        let (newer, older) = (entry.newer, entry.older);
        match self.levels.get_mut(newer as usize) {
            Some(entry) => entry.older = older,
            None => self.newest = older,
        }
        match self.levels.get_mut(older as usize) {
            Some(entry) => entry.newer = newer,
            None => self.oldest = newer,
        }
    }

    /// Makes it the one used last.
    fn link(&mut self, number: u32) {
        let older = std::mem::replace(&mut self.newest, number);
        match self.levels.get_mut(older as usize) {
            Some(entry) => entry.newer = number,
            None => self.oldest = number,
        }
        if let Some(entry) = self.levels.get_mut(number as usize) {
            (entry.newer, entry.older) = (NONE, older);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}

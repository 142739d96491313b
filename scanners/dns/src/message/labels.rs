//! Names as they stand in octets: a row of labels, each behind its length, the empty one last (RFC 1035, section 3.1); in
//! messages the rest of a name may be a pointer to an earlier one (section 4.1.4).
//!
//! ```text
//!  3 w w w 7 e x a m p l e 3 c o m 0         4 m a i l [ 0xc0 0x10 ]
//!          ^ parent()                                        |
//!          `------------------------------------------------'
//! ```
//!
//! A pointer must lead to before the run of labels that it ends, so there are no loops, and no more than [`MOST_POINTERS`] of
//! them are followed. The letters of two names are the same in either case (RFC 4343); length octets are never letters,
//! which is why names in their wire form are compared and folded without looking at labels.

/// A name has at most so many octets, lengths and the root included (RFC 1035, section 3.1).
pub const MAX_NAME: usize = 255;

/// A label has at most so many octets (RFC 1035, section 2.3.4).
pub const MAX_LABEL: usize = 63;

/// A name of 255 octets has 127 labels, so more pointers than these are there to keep a reader busy.
const MOST_POINTERS: u8 = 255;

/// The labels of a name in wire form, the root's left out; ends early where the octets are no name.
#[derive(Clone, Debug)]
pub struct Labels<'a>(&'a [u8]);

/// The labels of a name in wire form, the root's left out.
pub fn labels(wire: &[u8]) -> Labels<'_> {
    Labels(wire)
}

impl<'a> Iterator for Labels<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&len, rest) = self.0.split_first()?;
        if len == 0 || usize::from(len) > MAX_LABEL {
            return None;
        }
        let (label, rest) = rest.split_at_checked(len.into())?;
        self.0 = rest;
        Some(label)
    }
}

/// The name that a name in wire form stands under; the root stands under none.
pub fn parent(wire: &[u8]) -> Option<&[u8]> {
    let mut labels = labels(wire);
    labels.next()?;
    Some(labels.0)
}

/// Whether a name is `ancestor` or stands under it, case apart.
pub fn is_within(wire: &[u8], ancestor: &[u8]) -> bool {
    std::iter::successors(Some(wire), |name| parent(name))
        .find(|name| name.len() <= ancestor.len())
        .is_some_and(|name| name.eq_ignore_ascii_case(ancestor))
}

/// How long the name at the head of `octets` is, if it is one: no label types but the two of RFC 1035, nothing cut, not too
/// long.
pub(super) fn length(octets: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        let len = usize::from(*octets.get(at)?);
        at += 1 + len;
        if len == 0 {
            return Some(at);
        }
        if len > MAX_LABEL || at >= MAX_NAME {
            return None;
        }
    }
}

/// The labels of a name in a message, through pointers; the root's left out.
#[derive(Clone, Debug)]
pub(super) struct Walk<'a> {
    message: &'a [u8],
    at: usize,
    /// Where this run of labels began: pointers lead to before it.
    run: usize,
    pointers: u8,
    /// How many octets the name has without pointers, so far.
    octets: usize,
    /// Where the name ends in the place where it began, known from its first pointer or its root on.
    end: Option<usize>,
    state: State,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Within,
    Root,
    Bad,
}

impl<'a> Walk<'a> {
    pub(super) fn new(message: &'a [u8], at: usize) -> Self {
        Self { message, at, run: at, pointers: 0, octets: 1, end: None, state: State::Within }
    }

    /// Where the name ends, if all of it is well.
    pub(super) fn end(mut self) -> Option<usize> {
        while self.next().is_some() {}
        self.end.filter(|_| self.is_whole())
    }

    /// Whether the last label was followed by the root.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::Root
    }

    /// Where the next label stands, once pointers to it are followed: names that go on at one place are one name.
    fn settle(&mut self) -> Option<usize> {
        while self.state == State::Within {
            let len = *self.message.get(self.at)?;
            if usize::from(len) <= MAX_LABEL {
                return Some(self.at);
            }
            let low = *self.message.get(self.at + 1)?;
            let to = usize::from(u16::from_be_bytes([len & 0x3f, low]));
            if len < 0xc0 || to >= self.run || self.pointers == MOST_POINTERS {
                return None;
            }
            self.end.get_or_insert(self.at + 2);
            self.pointers += 1;
            (self.at, self.run) = (to, to);
        }
        None
    }

    fn step(&mut self) -> Option<&'a [u8]> {
        let at = self.settle()?;
        let len = usize::from(*self.message.get(at)?);
        if len == 0 {
            self.end.get_or_insert(at + 1);
            self.state = State::Root;
            return None;
        }
        let label = self.message.get(at + 1..at + 1 + len)?;
        self.octets += 1 + len;
        if self.octets > MAX_NAME {
            return None;
        }
        self.at = at + 1 + len;
        Some(label)
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.state != State::Within {
            return None;
        }
        let label = self.step();
        if label.is_none() && self.state == State::Within {
            self.state = State::Bad;
        }
        label
    }
}

/// Whether two names of a message are the same, case apart: label by label, or because they go on at one place. What cannot
/// be read is the same as nothing else.
pub(super) fn same(message: &[u8], one: usize, other: usize) -> bool {
    let (mut one, mut other) = (Walk::new(message, one), Walk::new(message, other));
    loop {
        // Most owners are pointers to the question, or to the target of the CNAME before them.
        match (one.settle(), other.settle()) {
            (Some(here), Some(there)) if here == there => return true,
            _ => {}
        }
        match (one.next(), other.next()) {
            (Some(here), Some(there)) if here.eq_ignore_ascii_case(there) => {}
            (None, None) => return one.is_whole() && other.is_whole(),
            _ => return false,
        }
    }
}

/// Passes over the name at `at` without following its pointer: where what stands behind it begins.
pub(super) fn skip(message: &[u8], at: usize) -> Option<usize> {
    let mut to = at;
    loop {
        let len = *message.get(to)?;
        match len {
            0 => return Some(to + 1),
            0xc0.. => return (to + 1 < message.len()).then_some(to + 2),
            1..=0x3f => to += 1 + usize::from(len),
            _ => return None,
        }
        if to - at >= MAX_NAME {
            return None;
        }
    }
}

//! What a host hears on a connection, put in order.

use std::collections::BTreeMap;

/// Most segments that wait for what is missing before them; others are as if they were lost.
const MOST_EARLY: usize = 64;

/// The octets of a peer, numbered from 0.
#[derive(Debug, Default)]
pub(super) struct Hearing {
    /// The number of the next octet in order, a FIN included.
    next: u32,
    /// What came in order and was not answered.
    asked: Vec<u8>,
    early: BTreeMap<u32, Vec<u8>>,
    /// The number of the peer's FIN.
    end: Option<u32>,
}

impl Hearing {
    pub(super) fn next(&self) -> u32 {
        self.next
    }

    pub(super) fn asked(&self) -> &[u8] {
        &self.asked
    }

    /// What was asked is answered.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
    }

    /// Whether the peer has said its last, and all of it is here.
    pub(super) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| end < self.next)
    }

    /// Takes `payload` from number `at` on, as far as it lies within `room` octets from the next; `true` when there are more
    /// octets in order than before.
    pub(super) fn take(&mut self, at: u32, payload: &[u8], is_fin: bool, room: usize) -> bool {
        let before = self.next;
        // Negative when it begins with what is here already.
        let ahead = i64::from(at.wrapping_sub(self.next).cast_signed());
        let known = usize::try_from(-ahead).unwrap_or(0);
        let gap = usize::try_from(ahead).unwrap_or(0);
        let fresh = payload.get(known..).unwrap_or_default();
        let fitting = &fresh[..fresh.len().min(room.saturating_sub(gap))];
        if is_fin && known <= payload.len() && fitting.len() == fresh.len() && gap <= room {
            self.end = Some(at.wrapping_add(payload.len() as u32));
        }
        let at = self.next.wrapping_add(gap as u32);
        if !fitting.is_empty() && (gap == 0 || self.early.len() < MOST_EARLY) {
            let held = self.early.entry(at).or_default();
            if held.len() < fitting.len() {
                *held = fitting.to_vec();
            }
        }
        self.put_in_order();
        self.next != before
    }

    fn put_in_order(&mut self) {
        while let Some(first) = self.early.first_entry()
            && *first.key() <= self.next
        {
            let (at, octets) = first.remove_entry();
            let known = (self.next - at) as usize;
            let fresh = octets.get(known..).unwrap_or_default();
            self.asked.extend(fresh);
            self.next += fresh.len() as u32;
        }
        if self.end == Some(self.next) {
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: usize = 100;

    #[test]
    fn pieces_in_any_order_and_number_become_one() {
        let mut hearing = Hearing::default();
        assert!(!hearing.take(6, b"ghi", true, ROOM));
        assert!(!hearing.take(2, b"cd", false, ROOM));
        assert!(!hearing.take(2, b"c", false, ROOM));
        assert!(hearing.take(0, b"abc", false, ROOM));
        assert_eq!((hearing.asked(), hearing.next()), (&b"abcd"[..], 4));
        assert!(!hearing.take(0, b"abcd", false, ROOM));
        assert!(!hearing.is_over());
        assert!(hearing.take(1, b"bcdefg", false, ROOM));
        assert_eq!((hearing.asked(), hearing.next()), (&b"abcdefghi"[..], 10));
        assert!(hearing.is_over());
        hearing.forget();
        assert!(!hearing.take(6, b"ghi", true, ROOM));
        assert_eq!((hearing.asked(), hearing.next()), (&b""[..], 10));
    }

    #[test]
    fn what_is_beyond_the_room_is_not_taken() {
        let mut hearing = Hearing::default();
        assert!(!hearing.take(0, b"ab", true, 0));
        assert!(!hearing.take(5, b"f", false, 5));
        assert!(hearing.take(0, b"abc", true, 2));
        assert_eq!((hearing.asked(), hearing.is_over()), (&b"ab"[..], false));
        assert!(hearing.take(2, b"c", true, 1));
        assert!(hearing.is_over());
    }

    #[test]
    fn early_segments_are_bounded() {
        let mut hearing = Hearing::default();
        for at in 1..1_000 {
            hearing.take(at, b"x", false, 65_535);
        }
        assert_eq!(hearing.early.len(), MOST_EARLY);
        hearing.take(0, b"x", false, 65_535);
        assert_eq!(hearing.next() as usize, MOST_EARLY + 1);
    }
}

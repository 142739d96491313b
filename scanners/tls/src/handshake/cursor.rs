//! Reads numbers and vectors (RFC 8446, section 3.4) off a part of a buffer, and says where in it they lie.

use crate::capture::Span;

/// Octets yet to be read. What is not there is `None`, and then nothing is taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    /// The place of the first in the buffer.
    at: u32,
}

impl<'a> Cursor<'a> {
    /// Of a place that does not lie in `octets`, as much as does.
    pub(crate) fn new(octets: &'a [u8], span: Span) -> Self {
        let behind = octets.get(span.at as usize..).unwrap_or_default();
        let rest = behind.get(..span.len as usize).unwrap_or(behind);
        Self { rest, at: span.at }
    }

    pub(crate) fn take(&mut self, len: usize) -> Option<Self> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        let taken = Self { rest: taken, at: self.at };
        self.at += len as u32;
        self.rest = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.rest.first_chunk().copied()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[octet]| octet)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u24(&mut self) -> Option<u32> {
        self.array().map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub(crate) fn vec8(&mut self) -> Option<Self> {
        self.vector(|cursor| cursor.u8().map(usize::from))
    }

    pub(crate) fn vec16(&mut self) -> Option<Self> {
        self.vector(|cursor| cursor.u16().map(usize::from))
    }

    pub(crate) fn vec24(&mut self) -> Option<Self> {
        self.vector(|cursor| cursor.u24().map(|len| len as usize))
    }

    /// A vector as long as is said, or as much of it as there is.
    pub(crate) fn vec24_or_part(&mut self) -> Option<Self> {
        let len = self.u24()? as usize;
        self.take(len.min(self.rest.len()))
    }

    fn vector(&mut self, len: impl FnOnce(&mut Self) -> Option<usize>) -> Option<Self> {
        let mut ahead = *self;
        let len = len(&mut ahead)?;
        let vector = ahead.take(len)?;
        *self = ahead;
        Some(vector)
    }

    /// Each is `None` only when nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Holds when all has been read.
    pub(crate) fn end(&self) -> Option<()> {
        self.is_empty().then_some(())
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn span(&self) -> Span {
        Span { at: self.at, len: self.rest.len() as u32 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_there_is_not_taken() {
        let octets = [9, 9, 0, 2, 7, 8, 3, 1];
        let mut cursor = Cursor::new(&octets, Span { at: 2, len: 99 });
        let vector = cursor.vec16().unwrap();
        assert_eq!((vector.rest(), vector.span()), (&[7, 8][..], Span { at: 4, len: 2 }));
        assert!(cursor.vec8().is_none() && cursor.u24().is_none());
        assert_eq!((cursor.rest(), cursor.span()), (&[3, 1][..], Span { at: 6, len: 2 }));
        assert_eq!(cursor.u16(), Some(0x301));
        assert!(cursor.is_empty() && cursor.u8().is_none());
        assert!(Cursor::new(&octets, Span { at: 99, len: 1 }).is_empty());
        let mut cursor = Cursor::new(&[0, 1, 0, 5], Span { at: 0, len: 4 });
        assert_eq!(cursor.vec24_or_part().unwrap().rest(), [5]);
    }
}

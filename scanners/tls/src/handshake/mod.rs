//! What a host answers to a hello: from octets to a [`Capture`], as early as possible.
//!
//! ```text
//!   octets --> records --> [ opened, TLS 1.3 ] --> messages --> Capture
//!                clear: as they come                  '- in the buffer of the capture, where they stay
//!                protected: whole, opened in that buffer
//! ```
//!
//! It takes what hosts say whatever is wrong with it, and says how far it made sense. It never answers, never verifies a
//! signature, never computes a finished message: there is nothing to learn from those.
//!
//! # What holds
//!
//! - However a network cuts the octets into pieces, the capture is the same.
//! - Nothing a host sends makes more memory be held than [`LIMIT`] and one record, or one octet be parsed twice.
//! - Everything that was read before the end is in the capture, whatever the end was.

mod cursor;
mod exchange;
mod fault;
#[cfg(any(fuzzing, test, feature = "testing"))]
pub mod fuzzing;
mod messages;
#[cfg(test)]
mod tests;

use mrpf_engine::tcp::End;

pub(crate) use self::cursor::Cursor;
use self::exchange::Exchange;
pub use self::fault::Fault;
use crate::{
    capture::Capture,
    hello::{KeyShares, Retry},
};

/// Octets of handshake messages that are kept of one host.
pub const LIMIT: usize = 1 << 17;

/// What is to be done after octets were read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Next {
    /// Wait for more.
    More,
    /// Send another hello (RFC 8446, section 4.1.4), and read on with it as the one that was sent.
    Retry(Retry),
    /// Nothing more can be learnt.
    Enough,
}

/// Why no more octets come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cut {
    /// There was [enough](Next::Enough), or we gave up on a host that wants more of us than we have.
    Enough,
    /// The host has no more to say.
    Finished,
    /// The host reset the connection.
    Reset,
    /// Nothing arrives at the host any more.
    Unreachable,
    /// The host says more than is kept.
    Full,
    /// Nothing came for too long.
    Idle,
    /// It took too long altogether.
    Deadline,
}

impl From<End> for Cut {
    fn from(end: End) -> Self {
        match end {
            End::Closed => Self::Enough,
            End::Finished => Self::Finished,
            End::Reset => Self::Reset,
            End::Unreachable => Self::Unreachable,
            End::Full => Self::Full,
            End::Idle => Self::Idle,
            End::Deadline => Self::Deadline,
        }
    }
}

/// One connection's. See the [module](self). Before the host has said something it is one pointer.
#[derive(Debug, Default)]
pub struct Handshake(Option<Box<Exchange>>);

impl Handshake {
    /// The host has said nothing.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Reads what the host said and was not consumed before. `sent` is the latest hello, its records as they were sent.
    ///
    /// How many octets are consumed: with [`Next::More`] and [`Next::Retry`] perhaps not all, for a protected record is read
    /// once it is whole.
    pub fn read(&mut self, sent: &[u8], shares: &KeyShares, data: &[u8]) -> (usize, Next) {
        if data.is_empty() && self.0.is_none() {
            return (0, Next::More);
        }
        let exchange = self.0.get_or_insert_with(|| Box::new(Exchange::new(data.len())));
        exchange.read(sent, shares, data)
    }

    /// The second hello, which the host [asked for](Next::Retry), goes out.
    pub fn asked_again(&mut self) {
        if let Some(exchange) = &mut self.0 {
            exchange.asked_again();
        }
    }

    /// Octets of memory that the host takes by what it says.
    pub fn held(&self) -> usize {
        self.0.as_ref().map_or(0, |exchange| exchange.held())
    }

    /// What was learnt.
    pub fn finish(self, cut: Cut) -> Capture {
        match self.0 {
            Some(exchange) => exchange.finish(cut),
            None => exchange::nothing(cut),
        }
    }
}

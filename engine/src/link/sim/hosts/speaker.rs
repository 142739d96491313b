//! Hosts that take a connection and answer on it, and the ways in which their TCP can be hard on a client.
//!
//! What is said is octets from a closure: nothing here knows a protocol above TCP.

use std::{fmt, sync::Arc, time::Duration};

use crate::target::Target;

/// What a host says next.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Say {
    /// Its octets.
    pub bytes: Vec<u8>,
    /// What follows them.
    pub then: Then,
}

/// What a host does when it has said something.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Then {
    /// Waits for more.
    #[default]
    Wait,
    /// Closes the connection: FIN.
    Finish,
    /// Resets it, as soon as all that the peer's window takes was sent once.
    Reset,
}

impl Say {
    /// Nothing yet: the request is not whole, or there is no answer to it.
    pub fn nothing() -> Self {
        Self::default()
    }

    /// Nothing, and a reset in place of an answer.
    pub fn reset() -> Self {
        Self { then: Then::Reset, ..Self::default() }
    }

    /// These octets.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Self { bytes: bytes.into(), then: Then::Wait }
    }

    /// The same, and then the end of the connection.
    #[must_use]
    pub fn then(self, then: Then) -> Self {
        Self { then, ..self }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.bytes.is_empty() && self.then == Then::Wait
    }
}

/// In which order the segments of a burst leave.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Order {
    /// The first octets first.
    #[default]
    Forward,
    /// The last octets first.
    Backward,
}

/// One connection's side of the talk: it is shown what was asked since it last said something, first nothing at all when the
/// connection is there, then again whenever more has come.
pub(super) type Voice = Box<dyn FnMut(&[u8]) -> Say + Send>;

/// A host that answers on connections, by a TCP of its own: see `talk.rs`.
///
/// ```
/// use mrpf_engine::link::sim::hosts::{Behaviour, Say, Speaker, Then};
///
/// // An echo of one line, by a host that can take and send no more than 100 octets at a time.
/// let echo = Speaker::answering(|_, asked| match asked {
///     [.., b'\n'] => Say::bytes(asked).then(Then::Finish),
///     _ => Say::nothing(),
/// });
/// let behaviour = Behaviour::Speaks(echo.mss(Some(100)).segment(100));
/// ```
#[derive(Clone)]
pub struct Speaker {
    pub(super) mss: Option<u16>,
    pub(super) segment: u16,
    pub(super) overlap: u16,
    pub(super) order: Order,
    pub(super) window: u16,
    pub(super) opens_after: Option<Duration>,
    voice: Arc<dyn Fn(Target) -> Voice + Send + Sync>,
}

impl Speaker {
    /// A Linux host on each of whose connections a voice of its own speaks, which `make` makes for the address and port that
    /// were asked.
    pub fn new<V>(make: impl Fn(Target) -> V + Send + Sync + 'static) -> Self
    where
        V: FnMut(&[u8]) -> Say + Send + 'static,
    {
        Self {
            mss: Some(1_460),
            segment: 1_460,
            overlap: 0,
            order: Order::Forward,
            window: 64_240,
            opens_after: None,
            voice: Arc::new(move |target| Box::new(make(target))),
        }
    }

    /// The same for answers that need no memory: `answer` is shown what was asked since it last said something.
    pub fn answering(answer: impl Fn(Target, &[u8]) -> Say + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::new(move |target| {
            let answer = Arc::clone(&answer);
            move |asked: &[u8]| answer(target, asked)
        })
    }

    /// A host that takes connections and requests, and never says anything.
    pub fn silent() -> Self {
        Self::answering(|_, _| Say::nothing())
    }

    /// The most octets that it takes in a segment, as its SYN-ACK says; `None` says nothing, which means 536, or 1,220 over
    /// IPv6 (RFC 9293, section 3.7.1).
    #[must_use]
    pub fn mss(self, octets: Option<u16>) -> Self {
        Self { mss: octets, ..self }
    }

    /// The most octets that it puts in one, at least 1; the peer's own limit goes before.
    #[must_use]
    pub fn segment(self, octets: u16) -> Self {
        Self { segment: octets.max(1), ..self }
    }

    /// How many octets each segment says again of the one before; fewer than a segment holds.
    #[must_use]
    pub fn overlap(self, octets: u16) -> Self {
        Self { overlap: octets, ..self }
    }

    /// In which order segments leave that may leave together.
    #[must_use]
    pub fn order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// How many octets it takes before the next acknowledgement.
    #[must_use]
    pub fn window(self, octets: u16) -> Self {
        Self { window: octets, ..self }
    }

    /// Its window is zero from the SYN-ACK on, until so long after the handshake.
    #[must_use]
    pub fn opens_after(self, wait: Duration) -> Self {
        Self { opens_after: Some(wait), ..self }
    }

    pub(super) fn voice(&self, target: Target) -> Voice {
        (self.voice)(target)
    }
}

impl fmt::Debug for Speaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speaker")
            .field("mss", &self.mss)
            .field("segment", &self.segment)
            .field("overlap", &self.overlap)
            .field("order", &self.order)
            .field("window", &self.window)
            .field("opens_after", &self.opens_after)
            .finish_non_exhaustive()
    }
}

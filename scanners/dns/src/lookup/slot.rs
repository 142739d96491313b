//! One lookup under way.

use mrpf_engine::wheel::Wheel;

/// No slot.
pub(super) const NONE: u32 = u32::MAX;
/// In no list.
pub(super) const UNLISTED: u32 = u32::MAX - 1;
/// Octets of a name in its slot.
pub(super) const INLINE: usize = 74;
/// Queries of a lookup whose answers are taken.
pub(super) const TAKEN: usize = 4;

/// Octets that a lookup under way takes, its timer included, when its name is not long.
pub const SLOT_LEN: usize = size_of::<Slot>() + Wheel::ENTRY_LEN;

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
    pub(super) asked: [Asked; TAKEN],
    /// How many queries the slot has sent, all its lookups together.
    pub(super) generation: u32,
    /// The next in the list that it is in; [`UNLISTED`] in none.
    pub(super) link: u32,
    pub(super) older: u32,
    pub(super) newer: u32,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
    /// Of the last four queries, three bits each: see [`Manner`].
    pub(super) manners: u16,
    /// Queries of this lookup, up to [`TAKEN`].
    pub(super) made: u8,
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
    pub(super) name_len: u8,
    /// The name, or the number of the long name in the first four octets.
    pub(super) name: [u8; INLINE],
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
    pub(super) const EMPTY: Self = Self {
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

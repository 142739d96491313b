//! The bits of a header that are on or off.

/// The flags of a message (RFC 1035, section 4.1.1; RFC 4035, section 3.2).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Flags(pub(super) u16);

impl Flags {
    const NAMES: [(u16, &'static str); 7] = [
        (0x0400, "aa"),
        (0x0200, "tc"),
        (0x0100, "rd"),
        (0x0080, "ra"),
        (0x0040, "z"),
        (0x0020, "ad"),
        (0x0010, "cd"),
    ];

    /// The server speaks for the zone.
    pub fn aa(self) -> bool {
        self.0 & 0x0400 != 0
    }

    /// The message is cut.
    pub fn tc(self) -> bool {
        self.0 & 0x0200 != 0
    }

    /// The server would resolve for us.
    pub fn ra(self) -> bool {
        self.0 & 0x0080 != 0
    }

    /// The names of those that are on, in the order of the header: `aa`, `tc`, `rd`, `ra`, `z`, `ad`, `cd`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(bit, _)| self.0 & bit != 0).map(|(_, name)| name)
    }
}

//! What an at-least-once queue may do to its receivers, on purpose, for tests.

/// What goes wrong, and how often. Drawn from the seed and the delivery, so it does not depend on who receives when.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Faults {
    /// Deliveries in a hundred after which the message is in the queue a second time: deleting the one leaves the other.
    pub duplicates: u8,
    /// Deliveries in a hundred that hide the message from nobody, so that the next delivery makes their handles stale.
    pub stale: u8,
    /// Messages come in no order.
    pub is_disordered: bool,
    /// Another seed is another course of events.
    pub seed: u64,
}

impl Faults {
    pub(super) fn is_duplicate(&self, id: i64, receives: u32) -> bool {
        self.draw(id, receives, 1) % 100 < u64::from(self.duplicates)
    }

    pub(super) fn is_stale(&self, id: i64, receives: u32) -> bool {
        self.draw(id, receives, 2) % 100 < u64::from(self.stale)
    }

    /// Where a message stands among those that are due.
    pub(super) fn place(&self, id: i64, receives: u32) -> u64 {
        if self.is_disordered { self.draw(id, receives, 3) } else { 0 }
    }

    /// A number for a delivery: SplitMix64 (Steele, Lea and Flood, 2014).
    fn draw(&self, id: i64, receives: u32, purpose: u64) -> u64 {
        let step = |z: u64| {
            let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        };
        step(step(step(self.seed ^ purpose) ^ id.unsigned_abs()) ^ u64::from(receives))
    }
}

//! Numbers that are drawn: tickets, and what spreads retries.

use uuid::{Builder, Uuid};

use mrpf_tasks::Ticket;

/// Where drawn numbers come from.
#[derive(Clone, Debug)]
pub enum Dice {
    /// The system: nobody guesses the next one.
    System,
    /// A seed: the same at every run, for tests.
    Seeded(u64),
}

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        match self {
            Self::System => Uuid::new_v4().as_u64_pair().0,
            Self::Seeded(state) => {
                // SplitMix64 (Steele, Lea and Flood, 2014).
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ z >> 31
            }
        }
    }

    pub(crate) fn ticket(&mut self) -> Ticket {
        if let Self::System = self {
            return Ticket(Uuid::new_v4());
        }
        let (high, low) = (u128::from(self.roll()), u128::from(self.roll()));
        Ticket(Builder::from_random_bytes((high << 64 | low).to_be_bytes()).into_uuid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_again_and_every_ticket_is_another() {
        let (mut one, mut two) = (Dice::Seeded(7), Dice::Seeded(7));
        let first = one.ticket();
        assert_eq!(first, two.ticket());
        assert_ne!(first, one.ticket());
        assert_eq!(first.0.get_version_num(), 4);
        let mut system = Dice::System;
        assert_ne!(system.ticket(), system.ticket());
        assert_ne!(system.roll(), system.roll());
    }
}

//! Chance that comes out the same in every run.

/// A number drawn from a seed and what it is drawn for: SplitMix64 (Steele, Lea and Flood, 2014).
pub(crate) fn draw(seed: u64, purpose: u64, subject: u64, time: u64) -> u64 {
    let step = |z: u64| {
        let z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    };
    step(step(step(seed ^ purpose) ^ subject) ^ time)
}

/// Whether something that happens `percent` times in a hundred happens this time.
pub(crate) fn happens(percent: u8, number: u64) -> bool {
    number % 100 < u64::from(percent)
}

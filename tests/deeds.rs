//! Kinds of task that do what a test says: declared here for the tests, done by the program in `processes/program/`.

use std::path::PathBuf;

use mrpf_tasks::{Check, CollectionId, task};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

task! {
    /// Does what a test says, outside.
    pub struct Outside;
    requires: [];
    input: Deed;
    output: Value;
}

task! {
    /// Does what a test says, beside the store.
    pub struct Inside;
    requires: [TaskDataAccess, ReconDataAccess];
    input: Deed;
    output: Value;
}

task! {
    /// Makes tasks, outside.
    pub struct MakesOutside;
    requires: [QueueAccess];
    input: Brood;
    output: Value;
}

task! {
    /// Makes tasks, beside the store.
    pub struct MakesInside;
    requires: [TaskDataAccess, QueueAccess];
    input: Brood;
    output: Value;
}

/// What a task does.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Deed {
    /// Ends its process.
    Abort,
    /// Gives [`octets`] as one item.
    Give {
        /// Which.
        seed: u64,
        /// How many.
        len: usize,
    },
    /// Waits until a file is there.
    Sit {
        /// The file.
        until: PathBuf,
        /// Whether it ends when it is told to stop.
        is_obedient: bool,
    },
    /// Gives items that no other run gives, and leaves a trace where it has a store.
    Vary(Variety),
}

/// See [`Deed::Vary`]. An item is `{"token": .., "n": .., "pad": ".."}`: the token is the run's, `n` counts from 0.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema, Serialize)]
pub struct Variety {
    /// How many items.
    pub items: u32,
    /// Octets of padding in each.
    pub pad: usize,
    /// Whether the padding holds a NUL, so that each item is a part of its own.
    pub has_nul: bool,
    /// Milliseconds of each.
    pub pause: u64,
    /// Where a row with its token is to be, keyed by the task; a task outside has no use for it.
    pub rows: Option<CollectionId>,
    /// The token of the run that made it.
    pub made_by: Option<String>,
}

/// Children of a task: every other outside, the rest inside, each giving its one item.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
pub struct Brood {
    /// How many.
    pub children: u32,
    /// What those inside fill: see [`Variety::rows`].
    pub rows: CollectionId,
}

impl Check for Deed {}
impl Check for Brood {}

/// Octets that are hard on whoever takes them for text: random ones, among them NULs and, as UTF-8 would have them if it could,
/// lone surrogates.
pub fn octets(seed: u64, len: usize) -> Vec<u8> {
    const SURROGATES: [[u8; 3]; 3] = [[0xed, 0xa0, 0x80], [0xed, 0xad, 0xbf], [0xed, 0xbf, 0xbf]];
    let mut state = seed;
    let mut octets = Vec::with_capacity(len + 8);
    while octets.len() < len {
        let drawn = draw(&mut state);
        match drawn % 7 {
            0 => octets.extend_from_slice(&SURROGATES[(drawn >> 8) as usize % SURROGATES.len()]),
            1 => octets.extend_from_slice(&[0; 5]),
            _ => octets.extend_from_slice(&drawn.to_le_bytes()),
        }
    }
    octets.truncate(len);
    octets
}

/// The next number of a sequence: SplitMix64 (Steele, Lea and Flood, 2014).
pub fn draw(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

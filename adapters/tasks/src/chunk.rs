//! The output of a task on its way: items in chunks that fit into a message and a row.
//!
//! A chunk is JSON that any queue and any JSON column takes. An item that is too large for one, or that holds a NUL (which
//! PostgreSQL's `jsonb` refuses even as `\u0000`), goes as slices of its JSON text in base64 instead.
//!
//! ```text
//! items ---> Chunker ---> {"items":[..]}  {"items":[..]}  {"slice":"..","more":true}  {"slice":".."} ---> Joiner ---> items
//! ```

use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::Value;

/// Most items of one chunk.
pub const MOST_ITEMS: usize = 5_000;
/// Most octets of the JSON text of one chunk: a message has room for it and its envelope within
/// [`MOST_BODY`](crate::message::MOST_BODY).
pub const MOST_OCTETS: usize = 640 * 1_024;
/// Octets of an item's text in one slice; base64 makes four of three.
const SLICE: usize = MOST_OCTETS / 4 * 3 - 64;

/// A piece of a task's output: one row of `task_data`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Chunk {
    /// Whole items.
    Items {
        /// In their order.
        items: Vec<Value>,
    },
    /// A slice of the JSON text of one item.
    Slice {
        /// The octets.
        slice: Bytes,
        /// Whether the next chunk has more of the same item.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        more: bool,
    },
}

/// Cuts items into chunks.
#[derive(Debug, Default)]
pub struct Chunker {
    items: Vec<Value>,
    octets: usize,
}

impl Chunker {
    /// Takes an item; gives the chunks that are full now.
    pub fn push(&mut self, item: Value) -> Vec<Chunk> {
        let text = item.to_string();
        if text.len() + "{\"items\":[]}".len() > MOST_OCTETS || text.contains("\\u0000") {
            let mut chunks: Vec<Chunk> = self.rest().into_iter().collect();
            let slices = text.as_bytes().chunks(SLICE);
            let last = slices.len() - 1;
            chunks.extend(
                slices.enumerate().map(|(at, slice)| Chunk::Slice {
                    slice: Bytes(slice.to_vec()),
                    more: at < last,
                }),
            );
            return chunks;
        }
        let is_full = self.items.len() == MOST_ITEMS
            || self.octets + text.len() + 1 + "{\"items\":[]}".len() > MOST_OCTETS;
        let full = if is_full { self.rest() } else { None };
        self.octets += text.len() + 1;
        self.items.push(item);
        full.into_iter().collect()
    }

    /// What is left, if anything.
    pub fn rest(&mut self) -> Option<Chunk> {
        let items = std::mem::take(&mut self.items);
        self.octets = 0;
        (!items.is_empty()).then_some(Chunk::Items { items })
    }
}

/// Joins the chunks of one run to items again.
#[derive(Debug, Default)]
pub struct Joiner {
    slices: Vec<u8>,
}

impl Joiner {
    /// Takes the next chunk; gives the items that are whole now.
    ///
    /// # Errors
    ///
    /// [`ChunkError`] when slices make no JSON, or an item is missing its end.
    pub fn push(&mut self, chunk: Chunk) -> Result<Vec<Value>, ChunkError> {
        match chunk {
            Chunk::Items { items } if self.slices.is_empty() => Ok(items),
            Chunk::Items { .. } => Err(ChunkError::Unfinished),
            Chunk::Slice { slice, more } => {
                self.slices.extend_from_slice(&slice.0);
                if more {
                    return Ok(Vec::new());
                }
                let text = std::mem::take(&mut self.slices);
                serde_json::from_slice(&text).map(|item| vec![item]).map_err(|_| ChunkError::NoJson)
            }
        }
    }

    /// Says that there are no more chunks.
    ///
    /// # Errors
    ///
    /// [`ChunkError::Unfinished`] when the last item has no end.
    pub fn finish(self) -> Result<(), ChunkError> {
        if self.slices.is_empty() { Ok(()) } else { Err(ChunkError::Unfinished) }
    }
}

/// Chunks that are not what a [`Chunker`] gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ChunkError {
    /// Slices that are no JSON together.
    #[error("the slices of an item are no JSON: chunks are missing or out of order")]
    NoJson,
    /// An item without its last slice.
    #[error("an item ends in mid-slice: chunks are missing or out of order")]
    Unfinished,
}

/// Octets that need not be text: base64 in JSON, so that queues and columns take them.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        STANDARD.decode(text.as_bytes()).map(Self).map_err(D::Error::custom)
    }
}

impl JsonSchema for Bytes {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Bytes".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "contentEncoding": "base64" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Through chunks and their JSON text, as a message or a row takes it; every one within its limits.
    #[track_caller]
    fn check(items: &[Value]) -> usize {
        let mut chunker = Chunker::default();
        let mut chunks: Vec<Chunk> =
            items.iter().flat_map(|item| chunker.push(item.clone())).collect();
        chunks.extend(chunker.rest());
        let mut joiner = Joiner::default();
        let mut joined = Vec::new();
        for chunk in &chunks {
            let text = serde_json::to_string(chunk).unwrap();
            assert!(text.len() <= MOST_OCTETS, "{} octets", text.len());
            assert!(!text.contains("\\u0000"));
            if let Chunk::Items { items } = chunk {
                assert!((1..=MOST_ITEMS).contains(&items.len()));
            }
            joined.extend(joiner.push(serde_json::from_str(&text).unwrap()).unwrap());
        }
        joiner.finish().unwrap();
        assert_eq!(joined, items);
        chunks.len()
    }

    #[test]
    fn items_come_back_whatever_their_size() {
        assert_eq!(check(&[]), 0);
        assert_eq!(check(&[Value::Null]), 1);
        assert_eq!(check(&vec![json!(1); MOST_ITEMS]), 1);
        assert_eq!(check(&vec![json!(1); MOST_ITEMS + 1]), 2);
        assert_eq!(check(&[json!("a".repeat(MOST_OCTETS))]), 2);
        assert_eq!(check(&[json!({ "n": 1 }), json!("x\0y"), json!({ "n": 2 })]), 3);
        let blob = Bytes((0..20 * 1_024 * 1_024_u32).map(|n| (n ^ n >> 8) as u8).collect());
        assert!(check(&[serde_json::to_value(&blob).unwrap()]) > 40);
    }

    #[test]
    fn chunks_that_are_missing_are_noticed() {
        let mut chunker = Chunker::default();
        let chunks = chunker.push(json!("a".repeat(2 * MOST_OCTETS)));
        assert!(chunks.len() >= 3);
        let mut joiner = Joiner::default();
        assert_eq!(joiner.push(chunks[0].clone()), Ok(Vec::new()));
        assert_eq!(joiner.push(Chunk::Items { items: Vec::new() }), Err(ChunkError::Unfinished));
        assert_eq!(joiner.finish(), Err(ChunkError::Unfinished));
        let mut joiner = Joiner::default();
        assert_eq!(joiner.push(chunks[chunks.len() - 1].clone()), Err(ChunkError::NoJson));
    }

    proptest! {
        #[test]
        fn any_octets_come_back(octets in prop::collection::vec(any::<u8>(), 0..300)) {
            let text = serde_json::to_string(&Bytes(octets.clone())).unwrap();
            prop_assert_eq!(serde_json::from_str::<Bytes>(&text).unwrap().0, octets);
        }

        #[test]
        fn any_texts_come_back(texts in prop::collection::vec(any::<String>(), 0..20)) {
            check(&texts.into_iter().map(Value::String).collect::<Vec<_>>());
        }
    }
}

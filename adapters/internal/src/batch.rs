//! Items that wait to be written or looked up together.

use serde_json::Value;

/// Most items.
pub(crate) const MOST_ITEMS: usize = 5_000;
/// About how many octets, so that few large items do not fill the memory.
const MOST_OCTETS: usize = 8 * 1_024 * 1_024;

/// Items up to a limit of number and size.
#[derive(Debug)]
pub(crate) struct Batch<T> {
    items: Vec<T>,
    octets: usize,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self { items: Vec::new(), octets: 0 }
    }
}

impl<T> Batch<T> {
    /// Takes an item of about so many octets; gives all of them once they are enough.
    pub(crate) fn push(&mut self, item: T, octets: usize) -> Option<Vec<T>> {
        self.items.push(item);
        self.octets += octets;
        let is_full = self.items.len() >= MOST_ITEMS || self.octets >= MOST_OCTETS;
        is_full.then(|| self.take())
    }

    /// What there is.
    pub(crate) fn take(&mut self) -> Vec<T> {
        self.octets = 0;
        std::mem::take(&mut self.items)
    }
}

/// About how much memory a value takes.
pub(crate) fn octets(value: &Value) -> usize {
    const NODE: usize = size_of::<Value>();
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(octets).sum(),
        Value::Object(members) => {
            members.iter().map(|(key, value)| NODE + key.len() + octets(value)).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_full_by_number_or_size() {
        let mut batch = Batch::default();
        for item in 1..MOST_ITEMS {
            assert_eq!(batch.push(item, 1), None);
        }
        assert_eq!(batch.push(0, 1).unwrap().len(), MOST_ITEMS);
        assert_eq!(batch.push(1, MOST_OCTETS - 1), None);
        assert_eq!(batch.push(2, 1), Some(vec![1, 2]));
        assert!(batch.take().is_empty());
    }

    #[test]
    fn size_follows_the_text() {
        let large = serde_json::json!([{ "key": "x".repeat(1_000) }, null]);
        assert!((1_000..1_500).contains(&octets(&large)), "{}", octets(&large));
    }
}

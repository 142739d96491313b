//! Tasks that make one of many: collect, count, union; and the one that puts items where others find them by key.

use std::collections::BTreeMap;

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    TaskError,
    catalogue::{
        AggregateCollect, AggregateCount, AggregateInput, AggregateUnion, Counted, InsertData,
        InsertInput, UnionInput,
    },
};
use serde_json::Value;

use crate::{
    Stored,
    batch::{Batch, octets},
    item::{each, tell_malformed},
};

impl Runs<AggregateCollect> for Stored {
    fn run(
        &self,
        cx: &Cx<'_, AggregateCollect>,
        input: AggregateInput,
    ) -> Result<Finished, TaskError> {
        each(cx, input.from, |item| cx.emit(&item))?;
        Ok(Finished::default())
    }
}

impl Runs<AggregateCount> for Stored {
    fn run(
        &self,
        cx: &Cx<'_, AggregateCount>,
        input: AggregateInput,
    ) -> Result<Finished, TaskError> {
        let mut counted = Counted::default();
        each(cx, input.from, |_| {
            counted.count += 1;
            Ok(())
        })?;
        cx.emit(&counted)?;
        Ok(Finished::default())
    }
}

impl Runs<AggregateUnion> for Stored {
    /// Holds every value once: order is only known when all have come.
    fn run(&self, cx: &Cx<'_, AggregateUnion>, input: UnionInput) -> Result<Finished, TaskError> {
        let mut values = BTreeMap::new();
        each(cx, input.from, |mut item| {
            if let Some(value) = item.pointer_mut(&input.field) {
                let value = value.take();
                values.entry(order(&value)).or_insert(value);
            }
            Ok(())
        })?;
        values.values().try_for_each(|value| cx.emit(value))?;
        Ok(Finished::default())
    }
}

/// Sorts values: by type, numbers by size, all others by their text.
fn order(value: &Value) -> (u8, u64, String) {
    // The bits of an IEEE 754 number sort like the number once the sign is taken care of.
    let by_size = |number: f64| {
        let bits = number.to_bits();
        if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
    };
    match value {
        Value::Null => (0, 0, String::new()),
        Value::Bool(is) => (1, u64::from(*is), String::new()),
        Value::Number(number) => (2, number.as_f64().map_or(0, by_size), number.to_string()),
        Value::String(text) => (3, 0, text.clone()),
        Value::Array(_) => (4, 0, value.to_string()),
        Value::Object(_) => (5, 0, value.to_string()),
    }
}

impl Runs<InsertData> for Stored {
    fn run(&self, cx: &Cx<'_, InsertData>, input: InsertInput) -> Result<Finished, TaskError> {
        let (mut counted, mut malformed) = (Counted::default(), 0);
        let mut batch = Batch::default();
        let mut write = |rows: Vec<(String, Value)>| {
            counted.count += cx.task_data().insert(input.into.collection, &rows)?;
            Ok::<_, TaskError>(())
        };
        each(cx, input.from, |item| {
            let key = match item.pointer(&input.key) {
                None | Some(Value::Null) => {
                    malformed += 1;
                    return Ok(());
                }
                Some(Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
            };
            let octets = key.len() + octets(&item);
            batch.push((key, item), octets).map_or(Ok(()), &mut write)
        })?;
        write(batch.take())?;
        tell_malformed(cx, malformed);
        cx.emit(&counted)?;
        Ok(Finished::default())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, items};

    #[test]
    fn items_are_collected_in_their_order() {
        let fake = Fake::default();
        let all: Vec<Value> = (0..12_345).map(Value::from).collect();
        let input = json!({ "from": fake.stored(all.clone()) });
        assert_eq!(fake.run::<AggregateCollect>(input), Ok(Finished::default()));
        assert_eq!(fake.output(), all);
        assert!(fake.most_chunks_read() <= 16, "items are read bit by bit");
    }

    #[test]
    fn items_are_counted_none_too() {
        for count in [0, 1, 10_000] {
            let fake = Fake::default();
            let input = json!({ "from": fake.stored(vec![json!({}); count]) });
            assert_eq!(fake.run::<AggregateCount>(input), Ok(Finished::default()));
            assert_eq!(fake.output(), [json!({ "count": count })]);
        }
    }

    #[test]
    fn values_come_once_and_in_order() {
        let fake = Fake::default();
        let from = items(json!([
            { "v": "b" }, { "v": 10 }, { "v": 9 }, { "v": -1 }, { "v": -2.5 }, { "v": "a" }, {}, { "v": 9 },
            { "v": [1] }, { "v": null }, { "v": "b" }, { "v": true }, { "v": "10" },
        ]));
        let input = json!({ "from": fake.stored(from), "field": "/v" });
        assert_eq!(fake.run::<AggregateUnion>(input), Ok(Finished::default()));
        assert_eq!(fake.output(), items(json!([null, true, -2.5, -1, 9, 10, "10", "a", "b", [1]])));
    }

    #[test]
    fn items_are_put_in_by_key() {
        let fake = Fake::default();
        let collection = uuid::Uuid::from_u128(7);
        let mut from = items(json!([
            { "k": "a", "n": 1 }, { "k": "b" }, { "k": "a", "n": 2 }, { "k": 3 }, { "k": null }, {},
        ]));
        from.extend((0..12_000).map(|n| json!({ "k": format!("more {n}") })));
        let input = json!({
            "from": fake.stored(from), "into": { "collection": collection }, "key": "/k",
        });
        assert_eq!(fake.run::<InsertData>(input.clone()), Ok(Finished::default()));
        assert_eq!(fake.output(), [json!({ "count": 12_003 })]);
        assert_eq!(fake.row("a"), Some(json!({ "k": "a", "n": 1 })), "the first with a key stays");
        assert_eq!(fake.row("3"), Some(json!({ "k": 3 })));
        assert_eq!(fake.told(), "2: items were malformed and passed over");

        // A worker was lost behind the last row: the second run finds them all there.
        assert_eq!(fake.run::<InsertData>(input), Ok(Finished::default()));
        assert_eq!(fake.output()[1], json!({ "count": 0 }));
    }

    proptest! {
        #[test]
        fn numbers_sort_by_size(a in any::<f64>(), b in any::<f64>()) {
            prop_assume!(a.is_finite() && b.is_finite() && a != b);
            prop_assert_eq!(order(&json!(a)) < order(&json!(b)), a < b);
        }
    }
}

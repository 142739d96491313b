//! Filters that look at items alone: equality, a regular expression, the first of each value.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
};

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    ErrorKind, TaskError,
    catalogue::{
        FilterDedupe, FilterEquals, FilterEqualsInput, FilterInput, FilterRegex, FilterRegexInput,
    },
};
use regex::RegexBuilder;
use serde_json::Value;

use crate::{
    Stored,
    item::{each, name_in},
};

/// Octets that a compiled pattern may take, and the same again for what matching caches: a pattern comes from a file.
const MOST_OF_A_PATTERN: usize = 2 * 1_024 * 1_024;

impl Runs<FilterEquals> for Stored {
    fn run(
        &self,
        cx: &Cx<'_, FilterEquals>,
        input: FilterEqualsInput,
    ) -> Result<Finished, TaskError> {
        each(cx, input.from, |item| {
            let is_equal = item.pointer(&input.field) == Some(&input.equals);
            if is_equal != input.negate { cx.emit(&item) } else { Ok(()) }
        })?;
        Ok(Finished::default())
    }
}

impl Runs<FilterRegex> for Stored {
    fn run(
        &self,
        cx: &Cx<'_, FilterRegex>,
        input: FilterRegexInput,
    ) -> Result<Finished, TaskError> {
        let pattern = RegexBuilder::new(&input.pattern)
            .size_limit(MOST_OF_A_PATTERN)
            .dfa_size_limit(MOST_OF_A_PATTERN)
            .build()
            .map_err(|error| {
                // Of several lines, the last says what is wrong; those before draw where.
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default();
                TaskError::new(ErrorKind::Input, format!("pattern: {why}"))
            })?;
        each(cx, input.from, |item| {
            let text = item.pointer(&input.field).and_then(Value::as_str);
            let is_match = text.is_some_and(|text| pattern.is_match(text));
            if is_match != input.negate { cx.emit(&item) } else { Ok(()) }
        })?;
        Ok(Finished::default())
    }
}

impl Runs<FilterDedupe> for Stored {
    fn run(&self, cx: &Cx<'_, FilterDedupe>, input: FilterInput) -> Result<Finished, TaskError> {
        let mut seen = Seen::default();
        each(cx, input.from, |item| {
            let is_first = match item.pointer(&input.field) {
                Some(Value::String(text)) => match name_in(text) {
                    Some(name) => seen.is_first(&Value::String(name.to_string())),
                    None => seen.is_first(&Value::String(text.clone())),
                },
                Some(value) => seen.is_first(value),
                None => false,
            };
            if is_first { cx.emit(&item) } else { Ok(()) }
        })?;
        Ok(Finished::default())
    }
}

/// Values that were seen, by their digests: 16 octets for each, however long it is, in a table of less than 40. Of ten
/// million values two have the same digest once in 10^24 runs.
#[derive(Default)]
struct Seen {
    digests: HashSet<u128>,
    keys: [RandomState; 2],
}

impl Seen {
    fn is_first(&mut self, value: &Value) -> bool {
        let text = value.to_string();
        let [low, high] = [0, 1].map(|half: usize| u128::from(self.keys[half].hash_one(&text)));
        self.digests.insert(high << 64 | low)
    }
}

#[cfg(test)]
mod tests {
    use mrpf_tasks::TaskDefinition;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, items};

    #[track_caller]
    fn check<T: TaskDefinition>(from: Vec<Value>, mut input: Value, passed: &[Value]) {
        let fake = Fake::default();
        input["from"] = fake.stored(from);
        assert_eq!(fake.run::<T>(input), Ok(Finished::default()));
        assert_eq!(fake.output(), passed);
    }

    #[test]
    fn equal_items_pass() {
        let from = || items(json!([{ "a": { "b": 1 } }, { "a": { "b": "1" } }, { "a": 1 }, 7]));
        let all = from();
        check::<FilterEquals>(from(), json!({ "field": "/a/b", "equals": 1 }), &all[..1]);
        check::<FilterEquals>(
            from(),
            json!({ "field": "/a/b", "equals": 1, "negate": true }),
            &all[1..],
        );
        check::<FilterEquals>(from(), json!({ "field": "", "equals": 7 }), &all[3..]);
    }

    #[test]
    fn a_field_that_is_not_there_is_not_null() {
        let from = items(json!([{ "a": null }, {}]));
        check::<FilterEquals>(from.clone(), json!({ "field": "/a", "equals": null }), &from[..1]);
    }

    #[test]
    fn matching_items_pass() {
        let from = || {
            items(
                json!([{ "name": "www.example.org" }, { "name": "mail.example.org" }, { "name": 3 }]),
            )
        };
        let all = from();
        check::<FilterRegex>(from(), json!({ "field": "/name", "pattern": "^www\\." }), &all[..1]);
        check::<FilterRegex>(
            from(),
            json!({ "field": "/name", "pattern": "^www", "negate": true }),
            &all[1..],
        );
    }

    #[test]
    fn bad_and_huge_patterns_are_refused() {
        for (pattern, why) in [
            ("(", "input: pattern: error: unclosed group"),
            (
                "(?:\\w{1000}){1000}",
                "input: pattern: Compiled regex exceeds size limit of 2097152 bytes.",
            ),
        ] {
            let fake = Fake::default();
            let from = fake.stored(Vec::new());
            let input = json!({ "from": from, "field": "", "pattern": pattern });
            assert_eq!(fake.run::<FilterRegex>(input).unwrap_err().to_string(), why);
        }
    }

    #[test]
    fn the_first_of_each_value_passes() {
        let from = items(json!([
            { "name": "a.example.org", "n": 1 },
            { "name": "*.A.example.org.", "n": 2 },
            { "name": "me@example.org", "n": 3 },
            { "name": "me@example.org", "n": 4 },
            { "name": 1, "n": 5 },
            { "name": "1", "n": 6 },
            { "n": 7 },
        ]));
        let passed = [0, 2, 4, 5].map(|at: usize| from[at].clone());
        check::<FilterDedupe>(from, json!({ "field": "/name" }), &passed);
    }

    #[test]
    fn a_task_that_is_told_to_stop_stops() {
        let fake = Fake::told_to_stop();
        let input = json!({ "from": fake.stored(vec![json!(1)]), "field": "" });
        assert_eq!(fake.run::<FilterDedupe>(input).unwrap_err().kind, ErrorKind::Cancelled);
        assert!(fake.output().is_empty());
    }

    proptest! {
        /// Through chunks of any size the same passes as would from a list.
        #[test]
        fn dedupe_is_that_of_a_list(values in prop::collection::vec(0_u8..40, 0..200)) {
            let mut seen = HashSet::new();
            let passed: Vec<Value> =
                values.iter().filter(|value| seen.insert(**value)).map(|value| json!(value)).collect();
            let from: Vec<Value> = values.iter().map(|value| json!(value)).collect();
            check::<FilterDedupe>(from, json!({ "field": "" }), &passed);
        }
    }
}

//! Which way a workflow goes on.

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    TaskError,
    catalogue::{Condition, Conditional, ConditionalInput, Counted},
};
use serde_json::Value;

use crate::{Stored, item::each_while};

impl Runs<Conditional> for Stored {
    /// Reads until the verdict is sure, and gives the number of items that this took.
    fn run(
        &self,
        cx: &Cx<'_, Conditional>,
        input: ConditionalInput,
    ) -> Result<Finished, TaskError> {
        let mut counted = Counted::default();
        let mut verdict = verdict_so_far(&input.condition, 0, None);
        if verdict.is_none() {
            each_while(cx, input.from, |item| {
                counted.count += 1;
                verdict = verdict_so_far(&input.condition, counted.count, Some(&item));
                Ok(verdict.is_none())
            })?;
        }
        cx.emit(&counted)?;
        let branch = verdict.unwrap_or_else(|| verdict_at_end(&input.condition));
        Ok(Finished { branch: Some(branch), truncated: false })
    }
}

/// The verdict if more items cannot change it. `count` items came, `item` last.
fn verdict_so_far(condition: &Condition, count: u64, item: Option<&Value>) -> Option<bool> {
    let has = |field: &str, value: &Value| Some(item?.pointer(field) == Some(value));
    match condition {
        Condition::CountAtLeast(least) => (count >= *least).then_some(true),
        Condition::CountAtMost(most) => (count > *most).then_some(false),
        Condition::Any { field, equals } => (has(field, equals) == Some(true)).then_some(true),
        Condition::All { field, equals } => (has(field, equals) == Some(false)).then_some(false),
    }
}

/// The verdict when no item has decided it.
fn verdict_at_end(condition: &Condition) -> bool {
    match condition {
        Condition::CountAtLeast(_) | Condition::Any { .. } => false,
        Condition::CountAtMost(_) | Condition::All { .. } => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, items};

    #[track_caller]
    fn check(from: Value, condition: Value, verdict: bool, read: u64) {
        let fake = Fake::default();
        let input = json!({ "from": fake.stored(items(from)), "condition": condition });
        let finished = fake.run::<Conditional>(input).unwrap();
        assert_eq!((finished.branch, finished.truncated), (Some(verdict), false));
        assert_eq!(fake.output(), [json!({ "count": read })]);
    }

    #[test]
    fn numbers_decide() {
        check(json!([]), json!({ "count_at_least": 0 }), true, 0);
        check(json!([]), json!({ "count_at_least": 1 }), false, 0);
        check(json!([1, 2, 3]), json!({ "count_at_least": 2 }), true, 2);
        check(json!([1, 2, 3]), json!({ "count_at_least": 4 }), false, 3);
        check(json!([]), json!({ "count_at_most": 0 }), true, 0);
        check(json!([1, 2, 3]), json!({ "count_at_most": 0 }), false, 1);
        check(json!([1, 2, 3]), json!({ "count_at_most": 3 }), true, 3);
    }

    #[test]
    fn values_decide() {
        let open = |word: &str| json!({ word: { "field": "/state", "equals": "open" } });
        let (yes, no) = (json!({ "state": "open" }), json!({ "state": "closed" }));
        check(json!([]), open("any"), false, 0);
        check(json!([no, yes, no]), open("any"), true, 2);
        check(json!([no, {}]), open("any"), false, 2);
        check(json!([]), open("all"), true, 0);
        check(json!([yes, no, yes]), open("all"), false, 2);
        check(json!([yes, yes]), open("all"), true, 2);
        check(json!([yes, {}]), open("all"), false, 2);
    }
}

//! Items: reading them, and what their fields hold.

use mrpf_ports::Cx;
use mrpf_tasks::{DomainName, Requires, TaskError, access::TaskDataAccess, catalogue::DataRef};
use serde_json::Value;

/// Says how far it is after so many items.
const TELL_EVERY: u64 = 10_000;

/// Gives every item of `from` to `take`, and says how far it is. Ends early when the task is told to stop.
pub(crate) fn each<T: Requires<TaskDataAccess>>(
    cx: &Cx<'_, T>,
    from: DataRef,
    mut take: impl FnMut(Value) -> Result<(), TaskError>,
) -> Result<(), TaskError> {
    each_while(cx, from, |item| take(item).map(|()| true))
}

/// As [`each`], until `take` gives `false`.
pub(crate) fn each_while<T: Requires<TaskDataAccess>>(
    cx: &Cx<'_, T>,
    from: DataRef,
    mut take: impl FnMut(Value) -> Result<bool, TaskError>,
) -> Result<(), TaskError> {
    let mut items = 0;
    cx.task_data().each_while(from, |item| {
        if cx.is_stopping() {
            return Err(cx.stopped());
        }
        items += 1;
        if items % TELL_EVERY == 0 {
            cx.progress(items, None, "items");
        }
        take(item)
    })
}

/// Ends a task that passed over items: says how many, for people.
pub(crate) fn tell_malformed<T: Requires<TaskDataAccess>>(cx: &Cx<'_, T>, malformed: u64) {
    if malformed > 0 {
        cx.progress(malformed, None, "items were malformed and passed over");
    }
}

/// A host name as sources write it: of a wildcard the name below which it stands.
pub(crate) fn name_in(text: &str) -> Option<DomainName> {
    let text = text.trim();
    text.strip_prefix("*.").unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::name_in;

    #[test]
    fn names_are_found_in_what_sources_write() {
        let name = |text: &str| name_in(text).map(|name| name.to_string());
        assert_eq!(name(" *.Example.ORG. ").as_deref(), Some("example.org"));
        assert_eq!(name("a.example.org").as_deref(), Some("a.example.org"));
        for text in
            ["", "*", "*.", "*.*.example.org", "a*.example.org", "me@example.org", "198.19.0.1"]
        {
            assert_eq!(name(text), None, "{text:?}");
        }
    }
}

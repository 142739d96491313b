//! What lies in the workflow's scope: the filter, and the notes about what does not.

use mrpf_ports::{Cx, Finished, Runs};
use mrpf_tasks::{
    AddressRange, Requires, Scope, TaskError,
    access::ReconDataAccess,
    catalogue::{FilterInScope, FilterInput},
    scope::Refused,
};
use serde_json::Value;

use crate::{
    Stored,
    item::{each, name_in, tell_malformed},
};

impl Runs<FilterInScope> for Stored {
    fn run(&self, cx: &Cx<'_, FilterInScope>, input: FilterInput) -> Result<Finished, TaskError> {
        let blocklist = cx.recon().blocklist()?;
        let mut refusals = Refusals::default();
        let mut malformed = 0;
        each(cx, input.from, |mut item| {
            let field = item.pointer_mut(&input.field);
            let judged = match &field {
                Some(Value::String(text)) => judge(cx.scope(), &blocklist, text),
                _ => None,
            };
            match (judged, field) {
                (Some(Ok(text)), Some(field)) => {
                    *field = Value::String(text);
                    cx.emit(&item)
                }
                (Some(Err(refused)), _) => {
                    refused.into_iter().try_for_each(|it| refusals.note(cx, it))
                }
                _ => {
                    malformed += 1;
                    Ok(())
                }
            }
        })?;
        refusals.finish(cx)?;
        tell_malformed(cx, malformed);
        Ok(Finished::default())
    }
}

/// The one form of a name, address or range that lies inside, or what does not; `None` of what is none of these.
fn judge(
    scope: &Scope,
    blocklist: &[AddressRange],
    text: &str,
) -> Option<Result<String, Vec<Refused>>> {
    if let Ok(range) = text.trim().parse::<AddressRange>() {
        let refused = scope.cut(&[range], blocklist).refused;
        return Some(if refused.is_empty() { Ok(range.to_string()) } else { Err(refused) });
    }
    let name = name_in(text)?;
    Some(match scope.refusal_of(&name) {
        None => Ok(name.to_string()),
        Some(why) => Err(vec![Refused { what: name.to_string(), why }]),
    })
}

/// Refusals on their way to recon, many at a time.
#[derive(Default)]
pub(crate) struct Refusals {
    waiting: Vec<Refused>,
    count: u64,
}

/// Refusals written together.
const AT_A_TIME: usize = 1_000;

impl Refusals {
    /// Notes one.
    pub(crate) fn note<T: Requires<ReconDataAccess>>(
        &mut self,
        cx: &Cx<'_, T>,
        refused: Refused,
    ) -> Result<(), TaskError> {
        self.waiting.push(refused);
        self.count += 1;
        if self.waiting.len() < AT_A_TIME {
            return Ok(());
        }
        cx.recon().refuse(&std::mem::take(&mut self.waiting))
    }

    /// Writes the rest; gives how many there were.
    pub(crate) fn finish<T: Requires<ReconDataAccess>>(
        self,
        cx: &Cx<'_, T>,
    ) -> Result<u64, TaskError> {
        cx.recon().refuse(&self.waiting)?;
        Ok(self.count)
    }
}

#[cfg(test)]
mod tests {
    use mrpf_tasks::scope::Refusal;
    use serde_json::json;

    use super::*;
    use crate::fake::{Fake, items};

    #[test]
    fn what_lies_inside_passes_in_its_one_form_and_the_rest_is_noted() {
        let fake = Fake::with_scope(json!({
            "domains": ["example.org"],
            "addresses": ["198.19.0.0/24"],
            "exclude": ["internal.example.org", "198.19.0.7"],
        }));
        fake.block("198.19.0.9");
        let from = fake.stored(items(json!([
            { "name": "*.WWW.example.org." },
            { "name": "a.internal.example.org" },
            { "name": "example.com" },
            { "name": "198.19.0.1" },
            { "name": "198.19.0.7" },
            { "name": "198.19.0.8-198.19.0.9" },
            { "name": "10.0.0.1" },
            { "name": "me@example.org" },
            { "name": 4 },
            {},
        ])));
        let input = json!({ "from": from, "field": "/name" });
        assert_eq!(fake.run::<FilterInScope>(input), Ok(Finished::default()));
        assert_eq!(
            fake.output(),
            items(json!([{ "name": "www.example.org" }, { "name": "198.19.0.1" }]))
        );
        let refused = [
            ("a.internal.example.org", Refusal::Excluded),
            ("example.com", Refusal::OutOfScope),
            ("198.19.0.7", Refusal::Excluded),
            ("198.19.0.9", Refusal::Blocklisted),
            ("10.0.0.1", Refusal::OutOfScope),
        ];
        assert_eq!(fake.refused(), refused.map(|(what, why)| (what.to_owned(), why)));
        assert_eq!(fake.told(), "3: items were malformed and passed over");
    }

    #[test]
    fn many_refusals_are_all_noted() {
        let fake = Fake::with_scope(json!({ "domains": ["example.org"] }));
        let names = (0..2_500).map(|n| json!(format!("n{n}.example.com"))).collect();
        let input = json!({ "from": fake.stored(names), "field": "" });
        assert_eq!(fake.run::<FilterInScope>(input), Ok(Finished::default()));
        assert_eq!(fake.refused().len(), 2_500);
    }
}

//! The places of an input that name a task or a collection. Which places these are, the schema of the input says.

use serde_json::Value;

use super::document::Step;

/// Something that an input names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reference {
    /// Where in the input the name stands.
    pub(super) path: Vec<Step>,
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The output of a task.
    Task,
    /// The output of the members of a collection.
    Collection,
    /// The rows of a collection.
    Rows,
    /// A collection that rows are put into.
    Into,
}

/// All references in `input`, whose JSON schema is `schema`. What does not have the form of one is left for the input's own
/// check to refuse.
pub(super) fn references(schema: &Value, input: &Value) -> Vec<Reference> {
    let mut walk = Walk { root: schema, path: Vec::new(), found: Vec::new() };
    walk.value(schema, input);
    walk.found
}

/// Puts `id` in the place of a name.
pub(super) fn put(input: &mut Value, path: &[Step], id: String) {
    let place = path.iter().try_fold(input, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(index) => value.get_mut(index),
    });
    if let Some(place) = place {
        *place = Value::String(id);
    }
}

struct Walk<'a> {
    root: &'a Value,
    path: Vec<Step>,
    found: Vec<Reference>,
}

impl<'a> Walk<'a> {
    fn value(&mut self, schema: &'a Value, value: &Value) {
        if let Some(name) = schema["$ref"].as_str().and_then(|it| it.strip_prefix("#/$defs/")) {
            match name {
                "DataRef" => self.reference(
                    value,
                    &[("task", Kind::Task), ("collection", Kind::Collection), ("rows", Kind::Rows)],
                ),
                "IntoCollection" => self.reference(value, &[("collection", Kind::Into)]),
                _ => self.value(&self.root["$defs"][name], value),
            }
        }
        for choice in ["allOf", "anyOf", "oneOf"] {
            for schema in schema[choice].as_array().into_iter().flatten() {
                self.value(schema, value);
            }
        }
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    let schema = match schema["properties"].get(key) {
                        Some(schema) => schema,
                        None => &schema["additionalProperties"],
                    };
                    self.at(Step::Key(key.clone()), schema, value);
                }
            }
            Value::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    let schema = match schema["prefixItems"].get(index) {
                        Some(schema) => schema,
                        None => &schema["items"],
                    };
                    self.at(Step::Index(index), schema, value);
                }
            }
            _ => {}
        }
    }

    fn at(&mut self, step: Step, schema: &'a Value, value: &Value) {
        self.path.push(step);
        self.value(schema, value);
        self.path.pop();
    }

    fn reference(&mut self, value: &Value, words: &[(&str, Kind)]) {
        let Value::Object(members) = value else { return };
        for (word, kind) in words {
            let Some(Value::String(name)) = members.get(*word) else { continue };
            let mut path = self.path.clone();
            path.push(Step::Key((*word).to_owned()));
            // Two branches of a schema may lead to one place.
            if self.found.iter().all(|reference| reference.path != path) {
                self.found.push(Reference { path, kind: *kind, name: name.clone() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};
    use serde_json::json;

    use super::*;
    use crate::catalogue::{DataRef, IntoCollection};

    /// Every way in which a type may hold a reference.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    struct Everywhere {
        /// With a text of its own.
        plain: DataRef,
        maybe: Option<DataRef>,
        many: Vec<DataRef>,
        named: std::collections::BTreeMap<String, DataRef>,
        pair: (DataRef, u8),
        into: IntoCollection,
        choice: Choice,
        free: Value,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is used")]
    enum Choice {
        A { from: DataRef },
        B { from: DataRef, more: Option<Box<Self>> },
    }

    #[test]
    fn references_are_found_wherever_the_schema_has_them() {
        let input = json!({
            "plain": { "task": "a" },
            "maybe": { "collection": "b" },
            "many": [{ "rows": "c" }, { "task": "d" }],
            "named": { "x": { "task": "e" } },
            "pair": [{ "task": "f" }, 1],
            "into": { "collection": "g" },
            "choice": { "B": { "from": { "task": "h" }, "more": { "A": { "from": { "task": "i" } } } } },
            "free": { "task": "no reference" },
            "unknown": { "task": "no reference" },
        });
        let schema = schema_for!(Everywhere);
        let mut found: Vec<_> = references(schema.as_value(), &input)
            .into_iter()
            .map(|reference| (reference.name, reference.kind))
            .collect();
        found.sort_by(|a, b| a.0.cmp(&b.0));
        let kinds = [
            ("a", Kind::Task),
            ("b", Kind::Collection),
            ("c", Kind::Rows),
            ("d", Kind::Task),
            ("e", Kind::Task),
            ("f", Kind::Task),
            ("g", Kind::Into),
            ("h", Kind::Task),
            ("i", Kind::Task),
        ];
        assert_eq!(found, kinds.map(|(name, kind)| (name.to_owned(), kind)));
    }

    #[test]
    fn what_has_not_the_form_of_a_reference_is_left_alone() {
        let schema = schema_for!(Everywhere);
        for value in [json!(1), json!("a"), json!({}), json!({ "task": 1 }), json!({ "into": "a" })]
        {
            assert_eq!(references(schema.as_value(), &json!({ "plain": value })), []);
        }
    }

    #[test]
    fn a_name_is_replaced_where_it_stands() {
        let mut input = json!({ "many": [{ "rows": "c" }] });
        let path = [Step::Key("many".to_owned()), Step::Index(0), Step::Key("rows".to_owned())];
        put(&mut input, &path, "id".to_owned());
        assert_eq!(input, json!({ "many": [{ "rows": "id" }] }));
    }
}

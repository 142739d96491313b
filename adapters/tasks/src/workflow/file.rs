//! What a workflow file holds.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::Value;
use serde_path_to_error::Segment;

use super::{
    On, WorkflowError,
    document::{Document, Step, Syntax},
};
use crate::Scope;

/// A workflow file that was read. Its form is right; whether what it names exists is for [`Self::plan`] to say.
#[derive(Clone, Debug)]
pub struct WorkflowFile {
    pub(super) document: Document,
    pub(super) entries: Entries,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    pub(super) name: String,
    #[serde(default)]
    pub(super) scope: Scope,
    #[serde(default, rename = "collection")]
    pub(super) collections: Vec<CollectionEntry>,
    #[serde(default, rename = "task")]
    pub(super) tasks: Vec<TaskEntry>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CollectionEntry {
    pub(super) name: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TaskEntry {
    pub(super) name: String,
    pub(super) run: String,
    #[serde(default = "nothing")]
    pub(super) input: Value,
    #[serde(default)]
    pub(super) after: Vec<AfterEntry>,
    pub(super) for_each: Option<Each>,
    pub(super) member_of: Option<String>,
    pub(super) feeds: Option<String>,
    #[serde(default = "three")]
    pub(super) max_tries: u32,
}

fn nothing() -> Value {
    Value::Object(serde_json::Map::new())
}

fn three() -> u32 {
    3
}

/// For each of what a task is made once.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) enum Each {
    #[serde(rename = "scope.domains")]
    ScopeDomains,
}

/// `"name"`, `{ task = "name", on = "failed" }` or `{ collection = "name" }`.
#[derive(Clone, Debug)]
pub(super) enum AfterEntry {
    Task(String, On),
    Collection(String),
}

impl<'de> Deserialize<'de> for AfterEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AfterVisitor)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AfterTable {
    task: Option<String>,
    collection: Option<String>,
    #[serde(default, deserialize_with = "on_word")]
    on: Option<On>,
}

fn on_word<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<On>, D::Error> {
    let word = match Value::deserialize(deserializer)? {
        Value::String(word) => word,
        other => other.to_string(),
    };
    match On::ALL.into_iter().find(|on| on.as_str() == word) {
        Some(on) => Ok(Some(on)),
        None => Err(D::Error::custom(format_args!(
            "no task ends {word:?}: succeeded, failed, finished, true or false"
        ))),
    }
}

struct AfterVisitor;

impl<'de> Visitor<'de> for AfterVisitor {
    type Value = AfterEntry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a task, or a table with `task` or `collection`")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<AfterEntry, E> {
        Ok(AfterEntry::Task(name.to_owned(), On::default()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<AfterEntry, A::Error> {
        match AfterTable::deserialize(MapAccessDeserializer::new(map))? {
            AfterTable { task: Some(name), collection: None, on } => {
                Ok(AfterEntry::Task(name, on.unwrap_or_default()))
            }
            AfterTable { task: None, collection: Some(name), on: None } => {
                Ok(AfterEntry::Collection(name))
            }
            AfterTable { task: None, collection: Some(_), on: Some(_) } => Err(A::Error::custom(
                "a collection is waited for until it is complete; leave out `on`",
            )),
            _ => Err(A::Error::custom("say either `task` or `collection`")),
        }
    }
}

impl WorkflowFile {
    /// Reads `text`. `file` is what errors call it.
    ///
    /// # Errors
    ///
    /// [`WorkflowError`], with line and field.
    pub fn read(file: &str, text: &str, syntax: Syntax) -> Result<Self, WorkflowError> {
        let document = Document::new(file, text, syntax);
        let value = document.value()?;
        let entries = serde_path_to_error::deserialize(&value).map_err(|error| {
            let step = |segment: &Segment| match segment {
                Segment::Seq { index } => Some(Step::Index(*index)),
                Segment::Map { key } => Some(Step::Key(key.clone())),
                Segment::Enum { variant } => Some(Step::Key(variant.clone())),
                Segment::Unknown => None,
            };
            let path: Vec<Step> = error.path().iter().filter_map(step).collect();
            document.error(&path, error.inner().to_string())
        })?;
        Ok(Self { document, entries })
    }

    /// The same workflow over another scope.
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.entries.scope = scope;
        self
    }

    /// What it may touch.
    pub fn scope(&self) -> &Scope {
        &self.entries.scope
    }
}

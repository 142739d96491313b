//! The text of a workflow file: what it says as JSON, whichever syntax it is in, and on which line it says so.
//!
//! ```text
//!  text --value()--> Value ---> types, names, inputs ---> a path of what is wrong --line(path)--> line
//! ```
//!
//! A line is looked for only once something is wrong, in the text itself. So the types of a file need not carry positions.

use std::ops::Range;

use serde_json::{Map, Number, Value};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::WorkflowError;

/// How a workflow file is written.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syntax {
    /// <https://toml.io>.
    Toml,
    /// RFC 8259.
    Json,
}

impl Syntax {
    /// By the extension of a file's name: `.json`, and TOML for any other.
    pub fn of(file: &str) -> Self {
        let extension = file.rsplit_once('.').map(|(_, extension)| extension);
        if extension.is_some_and(|it| it.eq_ignore_ascii_case("json")) {
            Self::Json
        } else {
            Self::Toml
        }
    }
}

/// A step on the way from the whole file to a value in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// Reads a path as errors of inputs have it, `condition.any.field` or `targets[3]`. What is no such path leads nowhere.
pub(super) fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (key, indices) = part.split_once('[').unwrap_or((part, ""));
        if !key.is_empty() {
            steps.push(Step::Key(key.to_owned()));
        }
        let indices = indices.split(['[', ']']).filter_map(|index| index.parse().ok());
        steps.extend(indices.map(Step::Index));
    }
    steps
}

/// A file that was read.
#[derive(Clone, Debug)]
pub(super) struct Document {
    file: String,
    text: String,
    syntax: Syntax,
}

impl Document {
    pub(super) fn new(file: &str, text: &str, syntax: Syntax) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), syntax }
    }

    /// What it says.
    pub(super) fn value(&self) -> Result<Value, WorkflowError> {
        match self.syntax {
            Syntax::Json => serde_json::from_str(&self.text).map_err(|error| {
                // "expected value at line 3 column 9": we say where ourselves.
                let why = error.to_string();
                let why = why.rsplit_once(" at line ").map_or(why.as_str(), |(why, _)| why);
                WorkflowError {
                    file: self.file.clone(),
                    line: error.line(),
                    column: Some(error.column()),
                    place: String::new(),
                    why: why.to_owned(),
                }
            }),
            Syntax::Toml => {
                let table = DeTable::parse(&self.text)
                    .map_err(|error| self.at(error.span(), error.message().trim_end()))?;
                self.table(table.get_ref())
            }
        }
    }

    fn table(&self, table: &DeTable<'_>) -> Result<Value, WorkflowError> {
        let entry = |(key, value): (&Spanned<_>, &Spanned<_>)| {
            let key: &std::borrow::Cow<'_, str> = key.get_ref();
            Ok((key.to_string(), self.json(value)?))
        };
        table.iter().map(entry).collect::<Result<Map<_, _>, _>>().map(Value::Object)
    }

    fn json(&self, value: &Spanned<DeValue<'_>>) -> Result<Value, WorkflowError> {
        let refused = |why: &str| self.at(Some(value.span()), why);
        Ok(match value.get_ref() {
            DeValue::String(text) => Value::String(text.to_string()),
            DeValue::Boolean(is) => Value::Bool(*is),
            DeValue::Datetime(at) => Value::String(at.to_string()),
            DeValue::Integer(digits) => i64::from_str_radix(digits.as_str(), digits.radix())
                .map_err(|_| refused("no number of 64 bits"))?
                .into(),
            DeValue::Float(digits) => digits
                .as_str()
                .parse()
                .ok()
                .and_then(Number::from_f64)
                .ok_or_else(|| refused("no number that JSON has"))?
                .into(),
            DeValue::Array(values) => {
                values.iter().map(|value| self.json(value)).collect::<Result<Vec<_>, _>>()?.into()
            }
            DeValue::Table(table) => self.table(table)?,
        })
    }

    fn at(&self, span: Option<Range<usize>>, why: &str) -> WorkflowError {
        let before = span.and_then(|span| self.text.get(..span.start)).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        WorkflowError {
            file: self.file.clone(),
            line: 1 + before.matches('\n').count(),
            column: Some(1 + before[line_start..].chars().count()),
            place: String::new(),
            why: why.replace('\n', ": "),
        }
    }

    /// Says what is wrong with what `path` leads to.
    pub(super) fn error(&self, path: &[Step], why: impl Into<String>) -> WorkflowError {
        WorkflowError {
            file: self.file.clone(),
            line: self.line(path),
            column: None,
            place: self.place(path),
            why: why.into(),
        }
    }

    /// For people: `task "names", input.from`; a task without a name by its number.
    fn place(&self, path: &[Step]) -> String {
        let (mut place, fields) = match path {
            [Step::Key(list), Step::Index(index), fields @ ..]
                if list == "task" || list == "collection" =>
            {
                let value = self.value().unwrap_or_default();
                let name = match &value[list][*index]["name"] {
                    Value::String(name) => format!("{list} {name:?}"),
                    _ => format!("{list} {}", index + 1),
                };
                (name, fields)
            }
            fields => (String::new(), fields),
        };
        let mut separator = if place.is_empty() { "" } else { ", " };
        for step in fields {
            place += &match step {
                Step::Key(key) => format!("{separator}{key}"),
                Step::Index(index) => format!("[{index}]"),
            };
            separator = ".";
        }
        place
    }

    /// The line of what `path` leads to, or of the last thing on the way that is there.
    fn line(&self, path: &[Step]) -> usize {
        let offset = match self.syntax {
            Syntax::Json => offset_in_json(&self.text, path),
            Syntax::Toml => offset_in_toml(&self.text, path),
        };
        1 + self.text.as_bytes().iter().take(offset).filter(|octet| **octet == b'\n').count()
    }
}

fn offset_in_toml(text: &str, path: &[Step]) -> usize {
    let Ok(root) = DeTable::parse(text) else { return 0 };
    let mut offset = 0;
    let mut table = Some(root.get_ref());
    let mut value: Option<&DeValue<'_>> = None;
    for step in path {
        let next = match step {
            Step::Key(key) => table
                .and_then(|table| table.iter().find(|(name, _)| name.get_ref() == key))
                .map(|(name, value)| (name.span(), value)),
            Step::Index(index) => value
                .and_then(DeValue::as_array)
                .and_then(|array| array.get(*index))
                .map(|value| (value.span(), value)),
        };
        let Some((span, found)) = next else { break };
        offset = span.start;
        value = Some(found.get_ref());
        table = value.and_then(DeValue::as_table);
    }
    offset
}

/// `text` is JSON: serde_json has read it.
fn offset_in_json(text: &str, path: &[Step]) -> usize {
    let mut cursor = JsonCursor { text: text.as_bytes(), at: 0 };
    cursor.blanks();
    let mut offset = cursor.at;
    for step in path {
        let found = match step {
            Step::Key(key) => cursor.enter_member(key),
            Step::Index(index) => cursor.enter_item(*index),
        };
        let Some(found) = found else { break };
        offset = found;
    }
    offset
}

/// Walks over JSON that is known to be well formed; anything else ends the walk early and does no harm.
struct JsonCursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl JsonCursor<'_> {
    fn next(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self
            .next()
            .is_some_and(|octet| octet.is_ascii_whitespace() || matches!(octet, b',' | b':'))
        {
            self.at += 1;
        }
    }

    /// Over a string, from its first quote.
    fn string(&mut self) {
        self.at += 1;
        while let Some(octet) = self.next() {
            self.at += if octet == b'\\' { 2 } else { 1 };
            if octet == b'"' {
                break;
            }
        }
    }

    /// Over one value and the blanks behind it.
    fn value(&mut self) {
        let mut depth = 0_usize;
        while let Some(octet) = self.next() {
            match octet {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => {
                    let is_scalar =
                        |octet: u8| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet);
                    self.at += 1;
                    while self.next().is_some_and(is_scalar) {
                        self.at += 1;
                    }
                }
            }
            self.blanks();
            if depth == 0 || self.next().is_none() {
                break;
            }
        }
    }

    /// To the value of a member; gives where its key is.
    fn enter_member(&mut self, wanted: &str) -> Option<usize> {
        self.open(b'{')?;
        while self.next()? == b'"' {
            let start = self.at;
            self.string();
            let key = self.text.get(start..self.at).map(serde_json::from_slice::<String>);
            self.blanks();
            if key.is_some_and(|key| key.is_ok_and(|key| key == wanted)) {
                return Some(start);
            }
            self.value();
        }
        None
    }

    /// To an item of an array; gives where it is.
    fn enter_item(&mut self, index: usize) -> Option<usize> {
        self.open(b'[')?;
        for _ in 0..index {
            if self.next()? == b']' {
                return None;
            }
            self.value();
        }
        (self.next()? != b']').then_some(self.at)
    }

    fn open(&mut self, bracket: u8) -> Option<()> {
        if self.next()? != bracket {
            return None;
        }
        self.at += 1;
        self.blanks();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(syntax: Syntax, text: &str, places: &[(&str, usize)]) {
        let document = Document::new("file", text, syntax);
        document.value().unwrap();
        for (path, line) in places {
            assert_eq!(document.line(&steps(path)), *line, "{path}");
        }
    }

    #[test]
    fn lines_of_toml() {
        let text = "name = 'a'\n\n[[task]]\nname = 'x'\n[[task]]\nname = 'y'\ninput = { a = [1,\n 2] }\n[task.more]\nb = 1\n";
        check(
            Syntax::Toml,
            text,
            &[
                ("", 1),
                ("name", 1),
                ("task[0]", 3),
                ("task[0].name", 4),
                ("task[1].none.at.all", 5),
                ("task[1].name", 6),
                ("task[1].input.a[0]", 7),
                ("task[1].input.a[1]", 8),
                ("task[1].more.b", 10),
                ("task[2]", 3),
            ],
        );
    }

    #[test]
    fn lines_of_json() {
        let text = "{ \"skip\": [1, {\"a}\\\"\": \"]\"}, [[]], -1.5e3, null],\n\"a\\u0062\":\n {\"x\": [10,\n20,\n[ ]\n]},\n\"z\": true}";
        check(
            Syntax::Json,
            text,
            &[
                ("", 1),
                ("skip[1]", 1),
                ("ab", 2),
                ("ab.x", 3),
                ("ab.x[1]", 4),
                ("ab.x[2]", 5),
                ("ab.x[3]", 3),
                ("ab.none", 2),
                ("z", 7),
                ("z.none", 7),
            ],
        );
    }

    #[test]
    fn the_extension_says_which_syntax() {
        assert_eq!(Syntax::of("a/b.JSON"), Syntax::Json);
        assert_eq!(Syntax::of("json"), Syntax::Toml);
        assert_eq!(Syntax::of("a.toml"), Syntax::Toml);
    }

    #[test]
    fn toml_becomes_json() {
        let text = "a = 0x1F\nb = 1.5\nc = 2026-01-01\nd = [true, 'x']\n[e]\nf = -7";
        let value = Document::new("file", text, Syntax::Toml).value().unwrap();
        let json = serde_json::json!({ "a": 31, "b": 1.5, "c": "2026-01-01", "d": [true, "x"], "e": { "f": -7 } });
        assert_eq!(value, json);
    }
}

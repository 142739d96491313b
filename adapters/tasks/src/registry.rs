//! The kinds of task that a program knows, by name.

use std::{collections::BTreeMap, fmt};

use schemars::{Schema, schema_for};
use serde_json::Value;

use crate::{Check, Source, TaskDefinition, WorkerClass, WorkerRequirement};

/// What is known of a kind of task without knowing its types.
#[derive(Clone, Copy)]
pub struct Declared {
    /// [`TaskDefinition::NAME`].
    pub name: &'static str,
    /// [`TaskDefinition::ABOUT`].
    pub about: &'static str,
    /// [`TaskDefinition::WORKER_REQUIREMENTS`].
    pub requirements: &'static [WorkerRequirement],
    /// [`TaskDefinition::CLASS`].
    pub class: WorkerClass,
    /// [`TaskDefinition::SOURCE`].
    pub source: Option<Source>,
    input_schema: fn() -> Schema,
    output_schema: fn() -> Schema,
    check: fn(&Value) -> Result<Option<String>, InputError>,
}

impl Declared {
    /// What there is to know of `T`.
    pub fn of<T: TaskDefinition>() -> Self {
        Self {
            name: T::NAME,
            about: T::ABOUT,
            requirements: T::WORKER_REQUIREMENTS,
            class: T::CLASS,
            source: T::SOURCE,
            input_schema: || schema_for!(T::Input),
            output_schema: || schema_for!(T::Output),
            check: |input| {
                let input: T::Input = read_input(input)?;
                input.check().map_err(InputError)?;
                Ok(input.dedupe_key())
            },
        }
    }

    /// Whether its tasks may create tasks.
    pub fn may_create(&self) -> bool {
        self.requirements.contains(&WorkerRequirement::QueueAccess)
    }

    /// The JSON schema of its input.
    pub fn input_schema(&self) -> Schema {
        (self.input_schema)()
    }

    /// The JSON schema of one item of its output.
    pub fn output_schema(&self) -> Schema {
        (self.output_schema)()
    }

    /// Whether `input` is what it takes; gives the key under which two tasks of a workflow are one.
    ///
    /// # Errors
    ///
    /// [`InputError`], which names the field.
    pub fn check(&self, input: &Value) -> Result<Option<String>, InputError> {
        (self.check)(input)
    }
}

impl fmt::Debug for Declared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declared").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads an input as a type; an error names the field.
///
/// # Errors
///
/// [`InputError`].
pub fn read_input<I: serde::de::DeserializeOwned>(input: &Value) -> Result<I, InputError> {
    serde_path_to_error::deserialize(input).map_err(|error| {
        let path = error.path().to_string();
        let why = error.into_inner();
        InputError(if path == "." { why.to_string() } else { format!("{path}: {why}") })
    })
}

/// An input that its definition does not take.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0}")]
pub struct InputError(pub String);

/// The kinds of task that a program knows.
#[derive(Clone, Debug, Default)]
pub struct Registry(BTreeMap<&'static str, Declared>);

impl Registry {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that ship with mrpf.
    pub fn shipped() -> Self {
        crate::catalogue::all()
    }

    /// These and `T`. One of the same name takes its place.
    #[must_use]
    pub fn with<T: TaskDefinition>(mut self) -> Self {
        self.0.insert(T::NAME, Declared::of::<T>());
        self
    }

    /// The one called `name`.
    pub fn find(&self, name: &str) -> Option<&Declared> {
        self.0.get(name)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Declared> {
        self.0.values()
    }
}

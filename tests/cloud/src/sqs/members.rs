//! The members of a JSON object that a client sent, each of which somebody must take.

use std::{collections::BTreeMap, ops::RangeInclusive};

use serde_json::{Map, Value};

use crate::failure::Failure;

pub(super) struct Members {
    object: Map<String, Value>,
}

impl Members {
    pub(super) fn of(value: &Value) -> Result<Self, Failure> {
        let object = value.as_object().ok_or_else(|| wrong_type("the input", "an object"))?;
        Ok(Self { object: object.clone() })
    }

    /// A member; null is none.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.object.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Failure> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    pub(super) fn required_text(&mut self, name: &str) -> Result<String, Failure> {
        self.text(name)?.ok_or_else(|| missing(name))
    }

    pub(super) fn number(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Failure> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.as_i64().ok_or_else(|| wrong_type(name, "an integer"))?;
        let number = u64::try_from(number).ok().filter(|number| range.contains(number));
        let (first, last) = (range.start(), range.end());
        let reason = format!("Must be between {first} and {last}, if provided.");
        number.map(Some).ok_or_else(|| invalid_value(&value.to_string(), name, &reason))
    }

    pub(super) fn required_number(
        &mut self,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Failure> {
        self.number(name, range)?.ok_or_else(|| missing(name))
    }

    pub(super) fn texts(&mut self, name: &str) -> Result<Vec<String>, Failure> {
        let Some(value) = self.take(name) else { return Ok(Vec::new()) };
        let list = value.as_array().ok_or_else(|| wrong_type(name, "a list of strings"))?;
        list.iter()
            .map(|text| text.as_str().map(str::to_owned))
            .collect::<Option<_>>()
            .ok_or_else(|| wrong_type(name, "a list of strings"))
    }

    pub(super) fn map(&mut self, name: &str) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let map = value.as_object().ok_or_else(|| wrong_type(name, "a map of strings"))?;
        map.iter()
            .map(|(key, value)| value.as_str().map(|value| (key.clone(), value.to_owned())))
            .collect::<Option<_>>()
            .map(Some)
            .ok_or_else(|| wrong_type(name, "a map of strings"))
    }

    pub(super) fn objects(&mut self, name: &str) -> Result<Vec<Self>, Failure> {
        let value = self.take(name).ok_or_else(|| missing(name))?;
        let list = value.as_array().ok_or_else(|| wrong_type(name, "a list of objects"))?;
        list.iter().map(Self::of).collect()
    }

    /// What nobody took, nobody knows.
    pub(super) fn finish(self) -> Result<(), Failure> {
        match self.object.iter().find(|(_, value)| !value.is_null()) {
            None => Ok(()),
            Some((name, _)) => {
                let why = format!("The member {name} is not known, or not modelled here");
                Err(Failure::misuse("UnknownParameter", why))
            }
        }
    }
}

pub(super) fn missing(name: &str) -> Failure {
    Failure::misuse("MissingParameter", format!("The request must contain the parameter {name}."))
}

pub(super) fn invalid_value(value: &str, name: &str, reason: &str) -> Failure {
    let why = format!("Value {value} for parameter {name} is invalid. Reason: {reason}");
    Failure::misuse("InvalidParameterValue", why)
}

fn wrong_type(name: &str, wanted: &str) -> Failure {
    Failure::misuse("SerializationException", format!("{name} is not {wanted}"))
}

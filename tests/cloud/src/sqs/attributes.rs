//! What can be set on a queue.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use serde_json::Value;

use super::members::invalid_value;
use crate::failure::Failure;

/// Numbers that can be set: name, range, default.
const NUMBERS: [(&str, RangeInclusive<u64>, u64); 5] = [
    ("DelaySeconds", 0..=900, 0),
    ("MaximumMessageSize", 1_024..=1_048_576, 1_048_576),
    ("MessageRetentionPeriod", 60..=1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0..=20, 0),
    ("VisibilityTimeout", 0..=43_200, 30),
];
const REDRIVE: &str = "RedrivePolicy";
/// What can be read and not set.
const COUNTED: [&str; 6] = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
];

/// Attributes of one queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Attributes {
    numbers: BTreeMap<&'static str, u64>,
    redrive: Option<Redrive>,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Redrive {
    /// As it was set: what was written is read.
    text: String,
    pub(super) dead_letters: String,
    pub(super) max_receives: u32,
}

impl Attributes {
    fn number(&self, name: &str) -> u64 {
        let default = NUMBERS.iter().find(|(other, ..)| *other == name).map(|(.., value)| *value);
        self.numbers.get(name).copied().or(default).unwrap_or_default()
    }

    pub(super) fn visibility(&self) -> Duration {
        Duration::from_secs(self.number("VisibilityTimeout"))
    }

    pub(super) fn delay(&self) -> Duration {
        Duration::from_secs(self.number("DelaySeconds"))
    }

    pub(super) fn wait(&self) -> Duration {
        Duration::from_secs(self.number("ReceiveMessageWaitTimeSeconds"))
    }

    pub(super) fn retention(&self) -> Duration {
        Duration::from_secs(self.number("MessageRetentionPeriod"))
    }

    pub(super) fn max_octets(&self) -> usize {
        usize::try_from(self.number("MaximumMessageSize")).unwrap_or(usize::MAX)
    }

    pub(super) fn redrive(&self) -> Option<&Redrive> {
        self.redrive.as_ref()
    }

    /// Sets what is given. `is_queue` says whether an ARN is that of a queue.
    pub(super) fn set(
        &mut self,
        given: &BTreeMap<String, String>,
        is_queue: impl Fn(&str) -> bool,
    ) -> Result<(), Failure> {
        let mut changed = self.clone();
        for (name, value) in given {
            if name == REDRIVE {
                changed.redrive = Redrive::read(value, &is_queue)?;
                continue;
            }
            let known = NUMBERS.iter().find(|(other, ..)| other == name);
            let Some((name, range, _)) = known else { return Err(unknown(name)) };
            let number = value.parse().ok().filter(|number| range.contains(number));
            let number = number.ok_or_else(|| {
                let why = format!("Invalid value for the parameter {name}.");
                Failure::misuse("InvalidAttributeValue", why)
            })?;
            changed.numbers.insert(name, number);
        }
        *self = changed;
        Ok(())
    }

    /// The name of an attribute given that differs from what is set.
    pub(super) fn difference<'a>(&self, given: &'a BTreeMap<String, String>) -> Option<&'a str> {
        let mine = self.all();
        given.iter().find(|(name, value)| mine.get(*name) != Some(value)).map(|(name, _)| &**name)
    }

    /// All that can be set, as it is set.
    pub(super) fn all(&self) -> BTreeMap<String, String> {
        let numbers = NUMBERS.iter().map(|(name, ..)| (*name, self.number(name).to_string()));
        let redrive = self.redrive.iter().map(|redrive| (REDRIVE, redrive.text.clone()));
        numbers.chain(redrive).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// Whether such an attribute can be asked for.
    pub(super) fn check_name(name: &str) -> Result<(), Failure> {
        let is_known = name == "All"
            || name == REDRIVE
            || COUNTED.contains(&name)
            || NUMBERS.iter().any(|(other, ..)| *other == name);
        if is_known { Ok(()) } else { Err(unknown(name)) }
    }
}

impl Redrive {
    /// The empty text ends it.
    fn read(text: &str, is_queue: impl Fn(&str) -> bool) -> Result<Option<Self>, Failure> {
        if text.is_empty() {
            return Ok(None);
        }
        let invalid = |reason: &str| invalid_value(text, REDRIVE, reason);
        let policy: Value = serde_json::from_str(text)
            .map_err(|_| invalid("Redrive policy is not a valid JSON map."))?;
        let dead_letters = policy["deadLetterTargetArn"].as_str();
        let dead_letters = dead_letters.ok_or_else(|| {
            invalid("Redrive policy does not contain mandatory attribute: deadLetterTargetArn.")
        })?;
        let count = &policy["maxReceiveCount"];
        let count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
        let count = count.filter(|count| (1..=1_000).contains(count));
        let count = count.and_then(|count| u32::try_from(count).ok());
        let max_receives =
            count.ok_or_else(|| invalid("maxReceiveCount must be an integer from 1 to 1000."))?;
        if !is_queue(dead_letters) {
            return Err(invalid("Dead letter target does not exist."));
        }
        let (text, dead_letters) = (text.to_owned(), dead_letters.to_owned());
        Ok(Some(Self { text, dead_letters, max_receives }))
    }
}

fn unknown(name: &str) -> Failure {
    Failure::misuse("InvalidAttributeName", format!("Unknown Attribute {name}."))
}

//! Elements of an answer.

use std::time::Duration;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{clock::Moment, form::escape};

/// `<name>inside</name>`; what is inside is XML.
pub(super) fn element(name: &str, inside: &str) -> String {
    format!("<{name}>{inside}</{name}>")
}

/// As [`element`], of text.
pub(super) fn text(name: &str, value: &str) -> String {
    element(name, &escape(value))
}

/// A list: `<name><item>..</item>..</name>`.
pub(super) fn list(name: &str, items: impl IntoIterator<Item = String>) -> String {
    let items: String = items.into_iter().map(|item| element("item", &item)).collect();
    element(name, &items)
}

/// A moment as AWS writes it.
pub(crate) fn date(moment: Moment) -> String {
    let whole = Duration::from_secs(moment.as_secs());
    (OffsetDateTime::UNIX_EPOCH + whole).format(&Rfc3339).unwrap_or_default()
}

use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use time::{
    OffsetDateTime, PrimitiveDateTime,
    format_description::{BorrowedFormatItem, well_known::Rfc3339},
    macros::format_description,
};

/// A moment: RFC 3339 in UTC with exactly six digits of microseconds, `2026-11-24T08:00:00.000123Z`.
///
/// Always the same width, so that records sort by time as text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

const FORM: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
/// The last microsecond of the year 9999: later ones do not fit the form.
const LAST: u64 = 253_402_300_799_999_999;

impl Timestamp {
    /// Microseconds since 1970; the last of the year 9999 at most.
    pub fn from_unix_micros(micros: u64) -> Self {
        Self(micros.min(LAST))
    }

    /// Microseconds since 1970.
    pub fn as_unix_micros(self) -> u64 {
        self.0
    }
}

impl From<SystemTime> for Timestamp {
    /// Moments before 1970 become its first.
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self::from_unix_micros(u64::try_from(since.as_micros()).unwrap_or(LAST))
    }
}

impl From<Timestamp> for SystemTime {
    fn from(at: Timestamp) -> Self {
        UNIX_EPOCH + Duration::from_micros(at.0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::UNIX_EPOCH + Duration::from_micros(self.0);
        f.write_str(
            &PrimitiveDateTime::new(at.date(), at.time()).format(FORM).map_err(|_| fmt::Error)?,
        )
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    /// Any RFC 3339 time; one before 1970 is an error.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let at = OffsetDateTime::parse(&text, &Rfc3339).map_err(D::Error::custom)?;
        let micros = u64::try_from(at.unix_timestamp_nanos() / 1_000)
            .map_err(|_| D::Error::custom("a time before 1970"))?;
        Ok(Self::from_unix_micros(micros))
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date-time" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(micros: u64, text: &str) {
        let ts = Timestamp::from_unix_micros(micros);
        assert_eq!(ts.to_string(), text);
        assert_eq!(serde_json::from_str::<Timestamp>(&format!("\"{text}\"")).unwrap(), ts);
    }

    #[test]
    fn has_six_digits_and_comes_back() {
        check(0, "1970-01-01T00:00:00.000000Z");
        check(1, "1970-01-01T00:00:00.000001Z");
        check(951_782_400_500_000, "2000-02-29T00:00:00.500000Z");
        check(LAST, "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn other_offsets_are_read_and_nonsense_is_not() {
        let read =
            |text: &str| serde_json::from_str::<Timestamp>(text).map(Timestamp::as_unix_micros);
        assert_eq!(read("\"1970-01-01T01:00:00+01:00\"").unwrap(), 0);
        assert!(read("\"1969-12-31T23:59:59Z\"").is_err());
        assert!(read("\"yesterday\"").is_err());
    }
}

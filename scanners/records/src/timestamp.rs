use std::{
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A moment: RFC 3339 in UTC with exactly six digits of microseconds, `2026-11-24T08:00:00.000123Z`.
///
/// Always the same width, so that records sort by time as text.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(u64);

/// What stands between the digits.
const FORM: [u8; 27] = *b"0000-00-00T00:00:00.000000Z";
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

impl Timestamp {
    /// Its text. Every record has one, so it is written without a formatter, in a tenth of the time.
    fn text(self) -> [u8; 27] {
        let (days, micros) = (self.0 / DAY, self.0 % DAY);
        let (year, month, day) = date(days);
        let seconds = micros / 1_000_000;
        let mut text = FORM;
        let mut put = |digits: std::ops::Range<usize>, mut number: u64| {
            for digit in text[digits].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        };
        put(0..4, year);
        put(5..7, month);
        put(8..10, day);
        put(11..13, seconds / 3_600);
        put(14..16, seconds / 60 % 60);
        put(17..19, seconds % 60);
        put(20..26, micros % 1_000_000);
        text
    }
}

/// Microseconds of a day.
const DAY: u64 = 86_400_000_000;

/// Year, month and day, so many days after the first of 1970: in eras of 400 years that begin on the first of March, so that the
/// day that some years have more is the last of its year.
fn date(days: u64) -> (u64, u64, u64) {
    const ERA: u64 = 146_097;
    // From the first of March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Five months have 153 days, from March on.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + next, month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = self.text();
        serializer.serialize_str(std::str::from_utf8(&text).map_err(S::Error::custom)?)
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
    fn each_day_up_to_the_last_reads_back() {
        let mut before = Timestamp::from_unix_micros(0);
        for day in 1..=LAST / DAY {
            let ts = Timestamp::from_unix_micros(day * DAY + day % DAY);
            let text = ts.to_string();
            assert!(text > before.to_string(), "{text}");
            let read = OffsetDateTime::parse(&text, &Rfc3339).unwrap();
            assert_eq!(read.unix_timestamp_nanos(), i128::from(ts.0) * 1_000, "{text}");
            before = ts;
        }
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

//! Times as the services write them.

use std::time::Duration;

use mrpf_ports::clock;
use mrpf_records::Timestamp;
use serde::{
    Deserialize,
    de::{IntoDeserializer, value::Error},
};
use time::{PrimitiveDateTime, format_description::BorrowedFormatItem, macros::format_description};

/// The form of `Retry-After`, where it is no number (RFC 9110, section 5.6.7).
const HTTP_DATE: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);

/// A time of RFC 3339; one without a zone, as crt.sh and Shodan write it, is UTC. `None` where it is no such time, or one
/// that a record does not hold, as of certificates that are valid beyond the year 9999.
pub(crate) fn read(text: &str) -> Option<Timestamp> {
    let rfc3339 = |text: &str| {
        Timestamp::deserialize(IntoDeserializer::<Error>::into_deserializer(text)).ok()
    };
    rfc3339(text).or_else(|| rfc3339(&format!("{text}Z")))
}

/// How long a `Retry-After` asks us to wait: seconds, or a date.
pub(crate) fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = PrimitiveDateTime::parse(text, HTTP_DATE).ok()?.assume_utc();
    let micros = u64::try_from(at.unix_timestamp_nanos() / 1_000).unwrap_or_default();
    Some(clock::between(now, Timestamp::from_unix_micros(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_with_and_without_zone_are_read() {
        for (text, utc) in [
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02T03:04:05.6789", "2026-01-02T03:04:05.678900Z"),
            ("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000000Z"),
            ("2026-01-02T03:04:05+01:00", "2026-01-02T02:04:05.000000Z"),
            ("9999-12-31T23:59:59", "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(read(text).unwrap().to_string(), utc);
        }
        for text in [
            "",
            "infinity",
            "10000-01-01T00:00:00",
            "1969-12-31T23:59:59",
            "2026-01-02",
            "2026-02-30T00:00:00",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = read("2026-11-27T12:00:00Z").unwrap();
        let wait = |text| retry_after(text, now).map(|wait| wait.as_secs());
        assert_eq!(wait("120"), Some(120));
        assert_eq!(wait(" 0 "), Some(0));
        assert_eq!(wait("Fri, 27 Nov 2026 12:02:30 GMT"), Some(150));
        assert_eq!(wait("Fri, 27 Nov 2026 11:00:00 GMT"), Some(0), "a date that has passed");
        assert_eq!(wait("Wed, 01 Jan 1969 00:00:00 GMT"), Some(0));
        for text in ["", "-1", "1.5", "soon", "Fri, 27 Nov 2026 12:02:30", "99999999999999999999"] {
            assert_eq!(wait(text), None, "{text}");
        }
    }
}

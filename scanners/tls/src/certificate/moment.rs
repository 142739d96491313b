use thiserror::Error;
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, UtcOffset};

use super::der::Item;

/// A date field that is none.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error("is no time that there is")]
pub(crate) struct NoTime;

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// A UTCTime or GeneralizedTime, in the form of RFC 5280, section 4.1.2.5, or in those that X.680 allows beside it: without
/// seconds, with a fraction (which is dropped), with an offset.
pub(crate) fn read(item: &Item<'_>) -> Result<OffsetDateTime, NoTime> {
    let mut digits = Digits(item.value);
    let year = match item.tag {
        UTC_TIME => match digits.two()? {
            year @ 0..50 => 2_000 + i32::from(year),
            year => 1_900 + i32::from(year),
        },
        GENERALIZED_TIME => i32::from(digits.two()?) * 100 + i32::from(digits.two()?),
        _ => return Err(NoTime),
    };
    let month = Month::try_from(digits.two()?).map_err(|_| NoTime)?;
    let date = Date::from_calendar_date(year, month, digits.two()?).map_err(|_| NoTime)?;
    let (hour, minute) = (digits.two()?, digits.two()?);
    let second = if digits.0.first().is_some_and(u8::is_ascii_digit) { digits.two()? } else { 0 };
    let time = Time::from_hms(hour, minute, second).map_err(|_| NoTime)?;
    if let [b'.' | b',', fraction @ ..] = digits.0 {
        let len = fraction.iter().take_while(|octet| octet.is_ascii_digit()).count();
        digits.0 = fraction.get(len..).unwrap_or_default();
    }
    let at = PrimitiveDateTime::new(date, time);
    match digits.0 {
        // Without a zone it is the local time of somewhere: UTC is the best guess.
        [] | [b'Z'] => Ok(at.assume_utc()),
        [sign @ (b'+' | b'-'), rest @ ..] => {
            let mut digits = Digits(rest);
            let sign: i8 = if *sign == b'-' { -1 } else { 1 };
            let (hours, minutes) = (digits.two()?, digits.two()?);
            let part = |n: u8| i8::try_from(n).map(|n| n * sign).map_err(|_| NoTime);
            let offset =
                UtcOffset::from_hms(part(hours)?, part(minutes)?, 0).map_err(|_| NoTime)?;
            let at = at.assume_offset(offset).checked_to_offset(UtcOffset::UTC);
            at.filter(|at| at.year() >= 0).ok_or(NoTime)
        }
        _ => Err(NoTime),
    }
}

/// RFC 3339 with whole seconds.
pub(crate) fn rfc3339(at: OffsetDateTime) -> String {
    let (date, time) = (at.date(), at.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second()
    )
}

struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn two(&mut self) -> Result<u8, NoTime> {
        let [tens @ b'0'..=b'9', ones @ b'0'..=b'9', rest @ ..] = self.0 else {
            return Err(NoTime);
        };
        self.0 = rest;
        Ok((tens - b'0') * 10 + (ones - b'0'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(tag: u8, value: &str) -> Result<String, NoTime> {
        read(&Item { tag, value: value.as_bytes(), whole: &[] }).map(rfc3339)
    }

    #[test]
    fn all_forms_are_read() {
        let utc = |value| text(UTC_TIME, value).unwrap();
        let generalized = |value| text(GENERALIZED_TIME, value).unwrap();
        assert_eq!(utc("491231235959Z"), "2049-12-31T23:59:59Z");
        assert_eq!(utc("500101000000Z"), "1950-01-01T00:00:00Z");
        assert_eq!(utc("2602281230Z"), "2026-02-28T12:30:00Z");
        assert_eq!(utc("260228123000+0130"), "2026-02-28T11:00:00Z");
        assert_eq!(utc("260228233000-0100"), "2026-03-01T00:30:00Z");
        assert_eq!(generalized("99991231235959Z"), "9999-12-31T23:59:59Z"); // RFC 5280, section 4.1.2.5
        assert_eq!(generalized("00000101000000Z"), "0000-01-01T00:00:00Z");
        assert_eq!(generalized("20260228123456.789Z"), "2026-02-28T12:34:56Z");
        assert_eq!(generalized("20260228123456"), "2026-02-28T12:34:56Z");
        assert_eq!(generalized("202602281234"), "2026-02-28T12:34:00Z");
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for value in [
            "",
            "26",
            "260230000000Z",
            "261301000000Z",
            "260101250000Z",
            "26010100000 Z",
            "260101000060Z",
        ] {
            assert_eq!(text(UTC_TIME, value), Err(NoTime), "{value}");
        }
        for value in [
            "120260228123456Z", // a year of five digits
            "20260228123456ZZ",
            "20260228123456+01",
            "20260228123456+9900",
            "99991231235959-0100", // which is in the year 10000
            "00000101000000+0100", // which is before the year 0
        ] {
            assert_eq!(text(GENERALIZED_TIME, value), Err(NoTime), "{value}");
        }
        assert_eq!(text(0x0c, "260101000000Z"), Err(NoTime));
    }
}

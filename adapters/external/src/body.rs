//! Bodies of answers: never more than a limit, never nothing, never a page for people, never half.
//!
//! ```text
//! octets, unpacked --Bounded--> open: empty? <html>? --> value: all of it as a T
//!                                                   '--> rows:  an array, a row at a time
//! ```
//!
//! What a source says in its own documented way with an empty list is an answer. Everything else that holds no data is an
//! error here, because "0 results" would be believed.

use std::{
    fmt,
    io::{self, BufRead, Read},
    marker::PhantomData,
};

use mrpf_tasks::ErrorKind;
use serde::{
    Deserializer,
    de::{DeserializeOwned, SeqAccess, Visitor},
};

/// An answer that is none, before anybody has put it down to a service.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BadAnswer {
    pub(crate) kind: ErrorKind,
    /// Holds what others wrote: to be redacted.
    pub(crate) why: String,
}

impl BadAnswer {
    pub(crate) fn new(kind: ErrorKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    /// Not what the source documents.
    pub(crate) fn malformed(why: impl Into<String>) -> Self {
        Self::new(ErrorKind::Malformed, why)
    }
}

/// The octets of a body, up to a limit. They are counted here, behind the unpacking, since a small body may unpack to a
/// large one.
pub(crate) struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    pub(crate) fn new(inner: R, most: u64) -> Self {
        Self { inner, left: most }
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            // One octet more tells a body of just the limit from a larger one.
            return match self.inner.read(&mut [0; 1])? {
                0 => Ok(0),
                _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, "more than we take")),
            };
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        let count = self.inner.read(&mut buf[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}

/// Skips blanks; refuses a body with nothing else, and one for a browser.
///
/// # Errors
///
/// [`BadAnswer`].
pub(crate) fn open<R: BufRead>(mut body: R) -> Result<R, BadAnswer> {
    loop {
        let ahead = body.fill_buf().map_err(|error| unread(&error))?;
        if ahead.is_empty() {
            return Err(BadAnswer::malformed("an empty body, which is no answer"));
        }
        // The blanks of JSON (RFC 8259, section 2), which are fewer than those of ASCII.
        match ahead.iter().position(|octet| !b" \t\r\n".contains(octet)) {
            Some(at) if ahead[at] == b'<' => return Err(page()),
            Some(at) => {
                body.consume(at);
                return Ok(body);
            }
            None => {
                let blanks = ahead.len();
                body.consume(blanks);
            }
        }
    }
}

/// A page where data was expected.
pub(crate) fn page() -> BadAnswer {
    BadAnswer::new(
        ErrorKind::Blocked,
        "a page for people instead of data: we may be blocked, or the service is down",
    )
}

/// All of `body` as one value, which is an object.
///
/// # Errors
///
/// [`BadAnswer`].
pub(crate) fn value<T: DeserializeOwned>(mut body: impl BufRead) -> Result<T, BadAnswer> {
    begins(&mut body, b'{', "an object")?;
    serde_json::from_reader(body).map_err(misread)
}

/// All of `body` as an array, each row of which goes to `take` and is gone.
///
/// # Errors
///
/// [`BadAnswer`]; `take` has got the rows before it.
pub(crate) fn rows<T: DeserializeOwned>(
    mut body: impl BufRead,
    take: impl FnMut(T),
) -> Result<(), BadAnswer> {
    begins(&mut body, b'[', "an array")?;
    let mut json = serde_json::Deserializer::from_reader(body);
    json.deserialize_seq(Rows(take, PhantomData)).map_err(misread)?;
    json.end().map_err(misread)
}

/// Whether an opened body begins as it should. serde would take an array for any struct.
fn begins(body: &mut impl BufRead, with: u8, what: &str) -> Result<(), BadAnswer> {
    match body.fill_buf().map_err(|error| unread(&error))?.first() {
        Some(octet) if *octet == with => Ok(()),
        _ => Err(BadAnswer::malformed(format!("not the documented JSON: it is not {what}"))),
    }
}

struct Rows<T, F>(F, PhantomData<fn() -> T>);

impl<'de, T: DeserializeOwned, F: FnMut(T)> Visitor<'de> for Rows<T, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut rows: A) -> Result<(), A::Error> {
        while let Some(row) = rows.next_element()? {
            (self.0)(row);
        }
        Ok(())
    }
}

fn misread(error: serde_json::Error) -> BadAnswer {
    if error.is_eof() {
        BadAnswer::new(ErrorKind::Truncated, "the answer ends early")
    } else if error.is_io() {
        unread(&error.into())
    } else {
        undocumented(&error)
    }
}

/// An answer of another form than documented.
pub(crate) fn undocumented(error: &serde_json::Error) -> BadAnswer {
    // serde quotes values, and who knows what a service sends in them, and quoted how.
    let text = error.to_string();
    let text = match (text.find('"'), text.rfind('"')) {
        (Some(first), Some(last)) if first < last => {
            format!("{}..{}", &text[..=first], &text[last..])
        }
        _ => text,
    };
    BadAnswer::malformed(format!("not the documented JSON: {text}"))
}

/// What went wrong below the JSON.
fn unread(error: &io::Error) -> BadAnswer {
    use io::ErrorKind::{FileTooLarge, UnexpectedEof};
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    match (error.kind(), inner) {
        (FileTooLarge, _) => BadAnswer::malformed("the answer is larger than we take"),
        (UnexpectedEof, _) => cut_short(),
        (_, Some(ureq::Error::Decompress(_, packed))) if packed.kind() == UnexpectedEof => {
            cut_short()
        }
        (_, Some(ureq::Error::Decompress(..))) => {
            BadAnswer::malformed("the answer does not unpack")
        }
        (_, Some(ureq::Error::Protocol(_))) => BadAnswer::malformed("the answer breaks HTTP"),
        (_, Some(ureq::Error::Timeout(_))) => {
            BadAnswer::new(ErrorKind::Upstream, "the answer was not complete in time")
        }
        _ => BadAnswer::new(ErrorKind::Upstream, format!("the answer broke off: {error}")),
    }
}

fn cut_short() -> BadAnswer {
    BadAnswer::new(ErrorKind::Truncated, "the connection closed before the end of the answer")
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn read(body: &str) -> Result<Vec<u32>, BadAnswer> {
        let (mut taken, body) = (Vec::new(), open(body.as_bytes())?);
        rows(body, |row| taken.push(row)).map(|()| taken)
    }

    #[test]
    fn an_array_is_read_a_row_at_a_time() {
        assert_eq!(read("[1, 2,3]\n"), Ok(vec![1, 2, 3]));
        assert_eq!(read(" \r\n[]"), Ok(vec![]), "an empty list is an answer");
    }

    #[test]
    fn what_is_no_answer_is_an_error_of_its_kind() {
        use ErrorKind::{Blocked, Malformed, Truncated};
        for (body, kind) in [
            ("", Malformed),
            (" \n", Malformed),
            ("<html>", Blocked),
            ("\n <!DOCTYPE html>", Blocked),
            ("\u{c}[1]", Malformed),
            ("[1, 2", Truncated),
            ("[", Truncated),
            ("[1,", Truncated),
            ("[1, 2]]", Malformed),
            ("[1] x", Malformed),
            ("{}", Malformed),
            ("null", Malformed),
            ("[\"a\", \"b\"]", Malformed),
            ("[\"a\"]", Malformed),
            ("[-1]", Malformed),
            ("Service unavailable", Malformed),
        ] {
            assert_eq!(read(body).map_err(|bad| bad.kind), Err(kind), "{body:?}");
        }
    }

    #[test]
    fn a_body_has_a_limit() {
        let bounded = |most| {
            let body = BufReader::with_capacity(4, Bounded::new(&b"[1,2,3]"[..], most));
            let mut taken = Vec::new();
            rows(body, |row: u8| taken.push(row)).map(|()| taken).map_err(|bad| bad.kind)
        };
        assert_eq!(bounded(8), Ok(vec![1, 2, 3]));
        assert_eq!(bounded(7), Ok(vec![1, 2, 3]), "just the limit");
        for most in 0..7 {
            assert_eq!(bounded(most), Err(ErrorKind::Malformed), "{most}");
        }
    }

    #[test]
    fn values_of_others_do_not_get_into_errors() {
        let error = serde_json::from_str::<u8>(r#""a \"quoted\" word""#).unwrap_err();
        let why = undocumented(&error).why;
        assert!(
            why.starts_with(r#"not the documented JSON: invalid type: string "..", exp"#),
            "{why}"
        );
        let bad =
            value::<std::collections::BTreeMap<String, u8>>(&br#"{"a":300}"#[..]).unwrap_err();
        assert!(bad.why.contains("integer `300`"), "{}", bad.why);
    }

    #[test]
    fn deep_nesting_is_refused() {
        let deep = r#"{"a":"#.repeat(100_000);
        assert!(value::<serde_json::Value>(deep.as_bytes()).is_err());
    }
}

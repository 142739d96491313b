//! Keys and tokens, which nothing shows.

use std::fmt;

/// What stands in the place of a key.
const SHOWN: &str = "***";

/// A key or token of the user's. `Debug` shows none of it, and there is no `Display`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret {
    text: String,
    /// All the ways in which a text of others may have it, in lower case.
    forms: Vec<String>,
}

impl Secret {
    /// The key in `text`, less the blanks around it. `None` where there is none, or where it holds what no header of HTTP
    /// takes.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        if text.is_empty() || !text.bytes().all(|octet| octet.is_ascii_graphic()) {
            return None;
        }
        let mut forms: Vec<String> =
            [text.to_owned(), percent(text), text.escape_debug().to_string()]
                .iter()
                .map(|form| form.to_ascii_lowercase())
                .collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Some(Self { text: text.to_owned(), forms })
    }

    /// The key itself, to be sent to whom it belongs.
    pub(crate) fn reveal(&self) -> &str {
        &self.text
    }

    /// `text` without the key, whether it has it as it is, as a URL has it or as Rust quotes it, in letters of either case.
    pub(crate) fn redact(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| without(&text, form))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

fn without(text: &str, form: &str) -> String {
    // ASCII alone changes, so offsets stay what they are.
    let lower = text.to_ascii_lowercase();
    let (mut redacted, mut from) = (String::with_capacity(text.len()), 0);
    while let Some(at) = lower[from..].find(form) {
        redacted.push_str(&text[from..from + at]);
        redacted.push_str(SHOWN);
        from += at + form.len();
    }
    redacted.push_str(&text[from..]);
    redacted
}

/// As a URL has it (RFC 3986, section 2.1).
fn percent(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::new(), |mut encoded, octet| {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            // A String takes everything.
            let _ = write!(encoded, "%{octet:02X}");
        }
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, text: &str, redacted: &str) {
        assert_eq!(Secret::new(key).unwrap().redact(text), redacted);
    }

    #[test]
    fn a_key_goes_in_every_form() {
        check("AbC123", "key=AbC123&x=1, abc123ABC123", "key=***&x=1, ******");
        check("a/b+c=", "?key=a%2fb%2Bc%3D and a/b+c=", "?key=*** and ***");
        check(r#"q"\k"#, r#"string "q\"\\k", expected a map"#, r#"string "***", expected a map"#);
        check("AbC123", "ärger: ABC123ß", "ärger: ***ß");
        check("AbC123", "AbC12 3", "AbC12 3");
    }

    #[test]
    fn nothing_shows_it() {
        let secret = Secret::new(" AbC123\n").unwrap();
        assert_eq!(secret.reveal(), "AbC123");
        assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "*** Some(\n    ***,\n)");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", " \n", "a b", "a\nb", "schlüssel", "a\0"] {
            assert_eq!(Secret::new(text), None, "{text:?}");
        }
    }
}

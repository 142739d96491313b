//! The form in which Query services are asked: `Action=RunInstances&Filter.1.Name=tag%3Aa`, and a strict reader of it.

use serde_json::{Map, Value};

use crate::failure::Failure;

/// Takes a form apart.
pub(crate) fn parse(body: &[u8]) -> Result<Map<String, Value>, Failure> {
    let mut params = Map::new();
    for pair in body.split(|octet| *octet == b'&').filter(|pair| !pair.is_empty()) {
        let at = pair.iter().position(|octet| *octet == b'=').unwrap_or(pair.len());
        let name = decode(&pair[..at])?;
        let value = decode(pair.get(at + 1..).unwrap_or_default())?;
        if params.contains_key(&name) {
            let why = format!("The parameter {name} was given more than once");
            return Err(Failure::misuse("MalformedQueryString", why));
        }
        params.insert(name, Value::String(value));
    }
    Ok(params)
}

fn decode(text: &[u8]) -> Result<String, Failure> {
    let bad =
        || Failure::misuse("MalformedQueryString", "The query string is not URL-encoded text");
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.iter().copied();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let mut digit = || {
                    let digit = rest.next().and_then(|digit| char::from(digit).to_digit(16));
                    digit.and_then(|digit| u8::try_from(digit).ok()).ok_or_else(bad)
                };
                digit()? << 4 | digit()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).map_err(|_| bad())
}

/// The parameters of a call, each of which somebody must take.
pub(crate) struct Form {
    params: Map<String, Value>,
}

impl Form {
    /// Checks the version of the service's interface, and takes it.
    pub(crate) fn open(params: &Map<String, Value>, version: &str) -> Result<Self, Failure> {
        let mut form = Self { params: params.clone() };
        form.text("Action");
        match form.text("Version").as_deref() {
            Some(found) if found == version => Ok(form),
            found => Err(Failure::misuse(
                "NoSuchVersion",
                format!("The requested version ({}) does not exist", found.unwrap_or("none")),
            )),
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        match self.params.remove(name)? {
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        }
    }

    pub(crate) fn number(&mut self, name: &str) -> Result<Option<usize>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let why =
                format!("Value ({text}) for parameter {name} is invalid. It must be an integer");
            Failure::misuse("InvalidParameterValue", why)
        })
    }

    /// Whether a switch is on.
    pub(crate) fn switch(&mut self, name: &str) -> Result<bool, Failure> {
        match self.text(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(text) => {
                let why = format!(
                    "Value ({text}) for parameter {name} is invalid. It must be true or false"
                );
                Err(Failure::misuse("InvalidParameterValue", why))
            }
        }
    }

    /// `Name.1`, `Name.2` and so on.
    pub(crate) fn list(&mut self, name: &str) -> Vec<String> {
        (1..).map_while(|number| self.text(&format!("{name}.{number}"))).collect()
    }

    /// What nobody took, nobody knows.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        match self.params.keys().next() {
            None => Ok(()),
            Some(name) => {
                let why = format!("The parameter {name} is not recognized");
                Err(Failure::misuse("UnknownParameter", why))
            }
        }
    }
}

pub(crate) fn missing(name: &str) -> Failure {
    Failure::misuse("MissingParameter", format!("The request must contain the parameter {name}"))
}

/// Text as XML takes it.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_taken_apart() {
        let params =
            parse(b"Action=A&Version=1&Filter.1.Name=tag%3Aa+b&Empty=&L.1=x&L.2=%C3%A4").unwrap();
        let mut form = Form::open(&params, "1").unwrap();
        assert_eq!(form.text("Filter.1.Name").as_deref(), Some("tag:a b"));
        assert_eq!(form.text("Empty").as_deref(), Some(""));
        assert_eq!(form.list("L"), ["x", "ä"]);
        assert_eq!(form.finish(), Ok(()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let code = |body: &[u8]| {
            let form = parse(body).and_then(|params| Form::open(&params, "1"));
            form.and_then(|mut form| {
                form.switch("DryRun")?;
                form.number("MaxCount")?;
                form.text("MinCount").ok_or_else(|| missing("MinCount"))?;
                form.finish()
            })
            .unwrap_err()
            .code
        };
        assert_eq!(code(b"Action=A&Version=2"), "NoSuchVersion");
        assert_eq!(code(b"a=%zz"), "MalformedQueryString");
        assert_eq!(code(b"a=1&a=2"), "MalformedQueryString");
        assert_eq!(code(b"Version=1&DryRun=yes"), "InvalidParameterValue");
        assert_eq!(code(b"Version=1&MaxCount=x"), "InvalidParameterValue");
        assert_eq!(code(b"Version=1"), "MissingParameter");
        assert_eq!(code(b"Version=1&MinCount=1&X=1"), "UnknownParameter");
    }
}

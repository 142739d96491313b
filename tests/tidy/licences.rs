//! What the packages that mrpf is built from, and tested with, allow.

use crate::manifests::Metadata;

/// Licences that ask for no more than their text and their notices. MPL-2.0 and the like, which ask for source, are not
/// here: whoever needs such a package decides that first.
const ALLOWED: [&str; 11] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "CDLA-Permissive-2.0", // webpki-roots: the list of certificate authorities
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Packages of the whole graph, those of tests included, whose licence expression cannot be met from the list.
pub(crate) fn not_allowed(metadata: &Metadata) -> Vec<String> {
    metadata
        .licences()
        .filter(|(_, licence)| !licence.is_some_and(is_allowed))
        .map(|(package, licence)| format!("{package}: {}", licence.unwrap_or("no licence field")))
        .collect()
}

/// Whether an SPDX expression can be met from the list (SPDX specification, annex D); a slash is the old form of OR.
fn is_allowed(expression: &str) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = words.as_slice();
    any(&mut rest) == Some(true) && rest.is_empty()
}

/// `all (OR all)*`; `None` when it is no expression.
fn any(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = all(rest)?;
    while let ["OR", more @ ..] = *rest {
        *rest = more;
        allowed |= all(rest)?;
    }
    Some(allowed)
}

/// `one (AND one)*`
fn all(rest: &mut &[&str]) -> Option<bool> {
    let mut allowed = one(rest)?;
    while let ["AND", more @ ..] = *rest {
        *rest = more;
        allowed &= one(rest)?;
    }
    Some(allowed)
}

/// `( any )`, `licence WITH exception` or `licence`
fn one(rest: &mut &[&str]) -> Option<bool> {
    match *rest {
        ["(", more @ ..] => {
            *rest = more;
            let allowed = any(rest)?;
            *rest = rest.strip_prefix(&[")"])?;
            Some(allowed)
        }
        [licence, "WITH", exception, more @ ..] => {
            *rest = more;
            Some(ALLOWED.contains(&format!("{licence} WITH {exception}").as_str()))
        }
        [licence, more @ ..] => {
            *rest = more;
            Some(ALLOWED.contains(licence))
        }
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(expression: &str, allowed: bool) {
        assert_eq!(is_allowed(expression), allowed, "{expression}");
    }

    #[test]
    fn expressions_are_met_or_not() {
        check("MIT", true);
        check("MIT OR Apache-2.0", true);
        check("MIT/GPL-3.0", true);
        check("GPL-3.0 OR MIT", true);
        check("Apache-2.0 WITH LLVM-exception OR GPL-2.0", true);
        check("(MIT OR Apache-2.0) AND Unicode-3.0", true);
        check("GPL-3.0", false);
        check("MPL-2.0", false);
        check("MIT AND GPL-3.0", false);
        check("(MIT OR Apache-2.0) AND GPL-3.0", false);
        check("GPL-2.0 WITH Classpath-exception-2.0", false);
    }

    #[test]
    fn what_is_no_expression_is_not_met() {
        for text in ["", "MIT OR", "(MIT", "MIT)", "MIT Apache-2.0"] {
            check(text, false);
        }
    }
}

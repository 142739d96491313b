//! What all Describe operations have in common: filters and pages.

use crate::{failure::Failure, form::Form};

/// `Filter.1.Name=..&Filter.1.Value.1=..`: all filters must fit, of each any value.
pub(super) struct Filters(Vec<(String, Vec<String>)>);

impl Filters {
    /// Reads them. Names that begin with one of `known` that ends in a colon are known too.
    pub(super) fn read(form: &mut Form, known: &[&str]) -> Result<Self, Failure> {
        let mut filters = Vec::new();
        for number in 1.. {
            let Some(name) = form.text(&format!("Filter.{number}.Name")) else { break };
            let is_known = known
                .iter()
                .any(|known| name == *known || (known.ends_with(':') && name.starts_with(known)));
            if !is_known {
                let why = format!("The filter '{name}' is invalid, or not modelled here");
                return Err(Failure::misuse("InvalidParameterValue", why));
            }
            let values = form.list(&format!("Filter.{number}.Value"));
            if values.is_empty() {
                let why = format!("The filter '{name}' has no values");
                return Err(Failure::misuse("InvalidParameterValue", why));
            }
            filters.push((name, values));
        }
        Ok(Self(filters))
    }

    /// Whether something fits; `values` gives what it has under a filter's name.
    pub(super) fn fit(&self, values: impl Fn(&str) -> Vec<String>) -> bool {
        self.0.iter().all(|(name, wanted)| {
            let found = values(name);
            found.iter().any(|value| wanted.iter().any(|pattern| is_like(pattern, value)))
        })
    }
}

/// `*` is any text, `?` any letter.
fn is_like(pattern: &str, value: &str) -> bool {
    let Some(first) = pattern.chars().next() else { return value.is_empty() };
    let rest = &pattern[first.len_utf8()..];
    match first {
        '*' => {
            let mut ends = value.char_indices().map(|(at, _)| at).chain([value.len()]);
            ends.any(|at| is_like(rest, &value[at..]))
        }
        _ => value.chars().next().is_some_and(|letter| {
            (first == '?' || first == letter) && is_like(rest, &value[letter.len_utf8()..])
        }),
    }
}

/// Which page is asked for.
pub(super) struct Page {
    pub(super) is_limited: bool,
    start: usize,
    most: usize,
}

impl Page {
    /// Reads `MaxResults` and `NextToken`. No page is longer than `longest`, whatever is asked.
    pub(super) fn read(form: &mut Form, least: usize, longest: usize) -> Result<Self, Failure> {
        const MOST: usize = 1_000;
        let asked = form.number("MaxResults")?;
        if let Some(asked) = asked.filter(|asked| !(least..=MOST).contains(asked)) {
            let why = format!(
                "Value ( {asked} ) for parameter maxResults is invalid. Expecting a value from {least} to {MOST}."
            );
            return Err(Failure::misuse("InvalidParameterValue", why));
        }
        let token = form.text("NextToken").filter(|token| !token.is_empty());
        let start = token.map_or(Some(0), |token| token.strip_prefix("page/")?.parse().ok());
        let bad = || Failure::misuse("InvalidNextToken", "The token for the next page is invalid.");
        let most = asked.unwrap_or(MOST).min(longest);
        Ok(Self { is_limited: asked.is_some(), start: start.ok_or_else(bad)?, most })
    }

    /// Cuts the page out, and says where the next begins.
    pub(super) fn cut<T>(&self, items: Vec<T>) -> (Vec<T>, Option<String>) {
        let end = self.start.saturating_add(self.most);
        let next = (items.len() > end).then(|| format!("page/{end}"));
        (items.into_iter().skip(self.start).take(self.most).collect(), next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_have_stars_and_question_marks() {
        for (pattern, value, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("*", "", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
        ] {
            assert_eq!(is_like(pattern, value), fits, "{pattern} {value}");
        }
    }
}

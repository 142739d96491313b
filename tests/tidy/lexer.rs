//! Rust source without its comments and literals, so that a rule about code does not trip over a sentence about code.

use std::iter::Peekable;

/// `source` with every comment, string and character literal replaced by spaces. Lines stay where they are.
///
/// Knows nested block comments, escapes, raw, byte and C strings, and tells a lifetime from a character. Lossless enough to
/// find tokens in, not a lexer for anything else.
pub(crate) fn code_of(source: &str) -> String {
    let chars: Vec<char> = source.chars().collect();
    let mut out: Vec<char> = chars.iter().map(|c| if *c == '\n' { '\n' } else { ' ' }).collect();
    let mut at = 0;
    while at < chars.len() {
        let end = match literal_end(&chars, at) {
            Some(end) => end,
            None => {
                // A whole word at a time: the `r` of `for` followed by a quote is no raw string.
                let end = word_end(&chars, at);
                out[at..end].copy_from_slice(&chars[at..end]);
                end
            }
        };
        at = end;
    }
    out.into_iter().collect()
}

/// The identifiers and single punctuation marks of blanked code, each with its line, from 1.
pub(crate) fn tokens(code: &str) -> impl Iterator<Item = (usize, &str)> {
    code.lines()
        .enumerate()
        .flat_map(|(line, text)| Words { rest: text }.map(move |word| (line + 1, word)))
}

/// Whether `wanted` follow one another in `code`, white space aside; the line where they begin.
pub(crate) fn find_sequence(code: &str, wanted: &[&str]) -> Vec<usize> {
    let tokens: Vec<(usize, &str)> = tokens(code).collect();
    tokens
        .windows(wanted.len())
        .filter(|window| window.iter().map(|(_, word)| word).eq(wanted))
        .map(|window| window[0].0)
        .collect()
}

/// What ships: the code before the first item that only tests or fuzzers see, which house style puts at the foot.
pub(crate) fn shipped(code: &str) -> &str {
    let is_gate = |line: &str| {
        line.trim_start().starts_with("#[cfg(")
            && (line.contains("test") || line.contains("fuzzing"))
    };
    let cut: usize =
        code.split_inclusive('\n').take_while(|line| !is_gate(line)).map(str::len).sum();
    &code[..cut]
}

struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.rest = self.rest.trim_start();
        let first = self.rest.chars().next()?;
        let end = if is_word(first) {
            self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len())
        } else {
            first.len_utf8()
        };
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(word)
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn word_end(chars: &[char], at: usize) -> usize {
    let len = chars[at..].iter().take_while(|c| is_word(**c)).count();
    at + len.max(1)
}

/// Where the comment or literal that begins at `at` ends, if one does.
fn literal_end(chars: &[char], at: usize) -> Option<usize> {
    match &chars[at..] {
        ['/', '/', ..] => Some(at + chars[at..].iter().take_while(|c| **c != '\n').count()),
        ['/', '*', ..] => Some(block_comment_end(chars, at)),
        ['"', ..] => Some(string_end(chars, at + 1)),
        ['\'', ..] => char_end(chars, at),
        ['b' | 'c', '"', ..] => Some(string_end(chars, at + 2)),
        ['b', '\'', ..] => char_end(chars, at + 1),
        ['r', '"' | '#', ..] => raw_string_end(chars, at + 1),
        ['b' | 'c', 'r', '"' | '#', ..] => raw_string_end(chars, at + 2),
        _ => None,
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut at) = (0, at);
    while at < chars.len() {
        match &chars[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn string_end(chars: &[char], inside: usize) -> usize {
    let mut at = inside;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `hashes` is the index of the first `#` or of the quote.
fn raw_string_end(chars: &[char], hashes: usize) -> Option<usize> {
    let count = chars[hashes..].iter().take_while(|c| **c == '#').count();
    // `r#type` is an identifier.
    chars.get(hashes + count).filter(|c| **c == '"')?;
    let mut at = hashes + count + 1;
    while at < chars.len() {
        let closes = chars[at] == '"' && count_hashes(chars[at + 1..].iter().peekable()) >= count;
        if closes {
            return Some(at + 1 + count);
        }
        at += 1;
    }
    Some(chars.len())
}

fn count_hashes<'a>(mut chars: Peekable<impl Iterator<Item = &'a char>>) -> usize {
    std::iter::from_fn(|| chars.next_if(|c| **c == '#')).count()
}

/// `'x'` and `'\u{7f}'` are characters, `'x` is a lifetime.
fn char_end(chars: &[char], quote: usize) -> Option<usize> {
    match &chars[quote + 1..] {
        ['\\', _, rest @ ..] => {
            rest.iter().position(|c| *c == '\'').map(|more| quote + 3 + more + 1)
        }
        [_, '\'', ..] => Some(quote + 3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words that are left of `source`.
    #[track_caller]
    fn check(source: &str, words: &[&str]) {
        let code = code_of(source);
        assert_eq!(code.lines().count(), source.lines().count(), "lines moved");
        let left: Vec<&str> = tokens(&code)
            .map(|(_, word)| word)
            .filter(|word| is_word(word.chars().next().unwrap()))
            .collect();
        assert_eq!(left, words, "{code:?}");
    }

    #[test]
    fn comments_go() {
        check("a // b\nc", &["a", "c"]);
        check("a /* b /* c */ d */ e", &["a", "e"]);
        check("/// loop\nfn f() {}", &["fn", "f"]);
        check("a / b", &["a", "b"]);
        check("a /* never closed", &["a"]);
    }

    #[test]
    fn strings_go() {
        check(r#"a("b \" c") d"#, &["a", "d"]);
        check("a(b\"x\", c\"y\", br\"z\\\") e", &["a", "e"]);
        check("a r##\"b \"# c\"## d", &["a", "d"]);
        check("a \"// b\" c", &["a", "c"]);
        check("r#type x", &["r", "type", "x"]);
        check("for\"x\" y", &["for", "y"]);
    }

    #[test]
    fn characters_go_and_lifetimes_stay() {
        check("fn f<'a>(x: &'a u8) { 'b' }", &["fn", "f", "a", "x", "a", "u8"]);
        check(r"'\'' a '\u{7f}' b '\\' c", &["a", "b", "c"]);
        check("b'x' a '\"' b", &["a", "b"]);
    }

    #[test]
    fn tokens_know_their_lines() {
        let code = code_of("fn f() {\n    todo !()\n}\n");
        assert_eq!(find_sequence(&code, &["todo", "!"]), [2]);
        assert!(find_sequence(&code, &["todo", "?"]).is_empty());
    }

    #[test]
    fn what_ships_ends_where_tests_begin() {
        assert_eq!(shipped("a\n#[cfg(test)]\nmod tests {}\n"), "a\n");
        assert_eq!(shipped("a\n#[cfg(any(fuzzing, feature = ))]\npub mod fuzzing {}\n"), "a\n");
        assert_eq!(shipped("a\n#[cfg(unix)]\nb\n"), "a\n#[cfg(unix)]\nb\n");
    }
}

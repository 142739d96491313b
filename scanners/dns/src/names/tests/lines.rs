use std::io::{self, Read};

use proptest::prelude::*;

use super::{
    super::{Input, Invalid, Lines, Names, NamesError, Pull, Question, Rules},
    all, shown, text,
};

const PLAIN: Rules = Rules { servers: false, addresses: false };
const DIRECT: Rules = Rules { servers: true, addresses: false };
const REVERSE: Rules = Rules { servers: false, addresses: true };

fn lines(input: &str, rules: Rules) -> Vec<Question> {
    all(Lines::new(vec![text(input)], rules))
}

#[test]
fn lines_ends_marks_blanks_and_comments() {
    let input =
        "\u{feff}www.example.com\r\n\r\n  mail.example.com.\t\n# nothing\n\n.\nlast.example";
    let names = ["www.example.com", "mail.example.com", ".", "last.example"];
    assert_eq!(shown(&lines(input, PLAIN)), names);
    assert_eq!(shown(&lines("\u{feff}", PLAIN)), [""; 0]);
    assert_eq!(shown(&lines("", PLAIN)), [""; 0]);
    // A mark is one at the start of a list alone.
    assert_eq!(lines("a.example\n\u{feff}b.example\n", PLAIN).len(), 2);
}

#[test]
fn lists_follow_each_other_and_each_may_have_a_mark() {
    let inputs = vec![text("a.example\nb.example"), text(""), text("\u{feff}c.example")];
    assert_eq!(shown(&all(Lines::new(inputs, PLAIN))), ["a.example", "b.example", "c.example"]);
}

#[test]
fn what_is_no_name_is_a_question_all_the_same() {
    let long = "a".repeat(100_000);
    let input =
        format!("a..example\nok.example\n{long}\nafter.example\n{}.example", "b".repeat(64));
    let given = lines(&input, PLAIN);
    assert_eq!(given.len(), 5);
    assert!(given[1].name.is_ok() && given[3].name.is_ok());
    for bad in [0, 2, 4] {
        let invalid = given[bad].name.clone().unwrap_err();
        assert!(invalid.text.len() <= 255, "{}", invalid.text.len());
        assert!(input.contains(&*invalid.text));
    }
    assert_eq!(given[2].name.clone().unwrap_err().why, Invalid::Length);
    let text = given[0].name.clone().unwrap_err().to_string();
    assert!(text.starts_with("\"a..example\" is no question: a label is empty"), "{text}");
}

#[test]
fn servers_behind_a_comma() {
    let check = |line: &str, server: Option<&str>| {
        let given = lines(line, DIRECT);
        assert_eq!(given.len(), 1, "{line}");
        assert_eq!(given[0].server, server.map(|server| server.parse().unwrap()), "{line}");
        if server.is_some() {
            assert_eq!(shown(&given), ["www.example.com"], "{line}");
        }
    };
    check("www.example.com", None);
    check("www.example.com,198.18.0.53", Some("198.18.0.53:53"));
    check("www.example.com , 198.18.0.53:5353", Some("198.18.0.53:5353"));
    check("www.example.com,2001:db8::53", Some("[2001:db8::53]:53"));
    check("www.example.com,[2001:db8::53]", Some("[2001:db8::53]:53"));
    check("www.example.com,[2001:db8::53]:99", Some("[2001:db8::53]:99"));
    for wrong in [
        "",
        "ns1.example.com",
        "[198.18.0.53]",
        "198.18.0.53:",
        "198.18.0.53:0",
        "198.18.0.53:65536",
        "[2001:db8::53",
    ] {
        let given = lines(&format!("www.example.com,{wrong}"), DIRECT);
        let invalid = given[0].name.clone().unwrap_err();
        assert_eq!(invalid.why, Invalid::Server, "{wrong}");
        assert_eq!(&*invalid.text, format!("www.example.com,{wrong}"));
    }
    // Where no servers are looked for, a comma is an octet of a name.
    assert_eq!(shown(&lines("a,198.18.0.53", PLAIN)), ["a,198.18.0.53"]);
}

#[test]
fn addresses_stand_for_their_names_where_that_is_asked_for() {
    let input = "198.18.0.7\n2001:db8::1\nwww.example.com\n";
    let given = shown(&lines(input, REVERSE));
    assert_eq!(given[0], "7.0.18.198.in-addr.arpa");
    assert_eq!(
        given[1],
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"
    );
    assert_eq!(given[2], "www.example.com");
    assert_eq!(shown(&lines("198.18.0.7", PLAIN)), ["198.18.0.7"]);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let mut lines = Lines::new(vec![Input::File("/nonexistent/names".into())], PLAIN);
    let error = lines.next(&mut Question::default()).unwrap_err();
    assert!(error.to_string().starts_with("/nonexistent/names: cannot be read: "), "{error}");
}

/// Gives its octets in pieces, then an error if it has one.
struct Pieces(Vec<u8>, Vec<usize>, bool);

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() && self.2 {
            return Err(io::Error::other("unplugged"));
        }
        let piece = self.1.pop().unwrap_or(7).clamp(1, buffer.len()).min(self.0.len());
        let rest = self.0.split_off(piece);
        buffer[..piece].copy_from_slice(&self.0);
        self.0 = rest;
        Ok(piece)
    }
}

fn reader(octets: &[u8], pieces: Vec<usize>, fails: bool) -> Lines {
    let pieces = Box::new(Pieces(octets.to_vec(), pieces, fails));
    Lines::new(vec![Input::Reader("pieces".into(), pieces)], PLAIN)
}

#[test]
fn an_error_in_the_midst_comes_after_what_was_read() {
    let mut lines = reader(b"a.example\nb.example\nc.exa", vec![], true);
    let mut given = Vec::new();
    let mut question = Question::default();
    let error = loop {
        match lines.next(&mut question) {
            Ok(Pull::Question) => given.push(question.clone()),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(shown(&given), ["a.example", "b.example"]);
    assert!(matches!(&error, NamesError::Read { path, .. } if &**path == "pieces"), "{error}");
}

/// Who types names wants them asked before the next one is typed.
#[test]
fn what_is_there_does_not_wait_for_what_is_not() {
    let mut lines = reader(b"a.example\nb.example\n", vec![10, 10], false);
    let mut question = Question::default();
    let mut pulls = Vec::new();
    while pulls.last() != Some(&Pull::End) {
        pulls.push(lines.next(&mut question).unwrap());
    }
    let expected = [Pull::Question, Pull::Later, Pull::Question, Pull::Later, Pull::End];
    assert_eq!(pulls, expected);
}

proptest! {
    /// However the octets arrive: the lines of the text that say something, in order.
    #[test]
    fn lines_are_those_of_the_text(
        words in prop::collection::vec("[a-z]{0,9}|#[a-z ]{0,5}|[a-z]{2040,2060}|[a-z]{70000}|\\.\\.", 0..30),
        ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\n\n", " \n"]), 30),
        last in any::<bool>(),
        pieces in prop::collection::vec(1..70_000_usize, 0..40),
    ) {
        let mut input = String::new();
        for (at, word) in words.iter().enumerate() {
            input.push_str(word);
            if last || at + 1 < words.len() {
                input.push_str(ends[at]);
            }
        }
        let expected: Vec<String> = words
            .iter()
            .filter(|word| !word.is_empty() && !word.starts_with('#'))
            .map(|word| match word.len() {
                1..=63 if word != ".." => word.clone(),
                _ => format!("!{}", &word[..word.len().min(255)]),
            })
            .collect();
        prop_assert_eq!(shown(&all(reader(input.as_bytes(), pieces.clone(), false))), expected.clone());
        // Passing over some is the same as not looking at them.
        for count in [0, 1, expected.len() / 2, expected.len() + 1] {
            let mut lines = reader(input.as_bytes(), pieces.clone(), false);
            lines.skip(count as u64).unwrap();
            prop_assert_eq!(shown(&all(lines)), &expected[count.min(expected.len())..]);
        }
    }

    #[test]
    fn no_octets_are_too_strange(octets in prop::collection::vec(any::<u8>(), 0..400), rules in any::<(bool, bool)>()) {
        let rules = Rules { servers: rules.0, addresses: rules.1 };
        let input = Input::Reader("octets".into(), Box::new(io::Cursor::new(octets.clone())));
        let given = all(Lines::new(vec![input], rules));
        prop_assert!(given.len() <= octets.split(|octet| *octet == b'\n').count());
    }
}

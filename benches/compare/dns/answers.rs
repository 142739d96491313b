//! What a tool wrote down, held against what is true: which name has which address, and which names do not exist.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
};

use serde_json::Value;

use super::tools::Tool;

/// The names of the zone are `w0.example.test` to `w399999.example.test`: those with an even number exist.
pub(super) const ZONE: &str = "example.test";

/// The address of name `number`; `None` for a name that does not exist.
pub(super) fn address(number: u32) -> Option<Ipv4Addr> {
    number.is_multiple_of(2).then(|| Ipv4Addr::from_bits(0xc633_6400 | (number / 2 % 256)))
}

/// Name `number`.
pub(super) fn name(number: u32) -> String {
    format!("w{number}.{ZONE}")
}

/// The number of a name in wire form, whose letters may be of either case.
pub(super) fn number_of(wire: &[u8]) -> Option<u32> {
    let (len, rest) = wire.split_first()?;
    let digits = rest.get(1..usize::from(*len))?;
    rest.first().filter(|first| first.eq_ignore_ascii_case(&b'w'))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What one run came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Answers {
    /// The right answer, first time for that name.
    pub(super) right: u64,
    /// Another one, or a name that was not asked for.
    pub(super) wrong: u64,
    /// A name again.
    pub(super) again: u64,
    /// A failure, said so.
    pub(super) failed: u64,
}

/// What a line says of a name.
#[derive(Debug, Eq, PartialEq)]
enum Said {
    Address(Ipv4Addr),
    Nothing,
    Failed,
}

impl Answers {
    /// Reads what `tool` wrote of the names below `asked`. A file that it never made holds nothing.
    pub(super) fn read(
        tool: Tool,
        found: &Path,
        log: &Path,
        asked: u32,
    ) -> Result<Self, io::Error> {
        if tool == Tool::Dnsperf {
            // It judges itself: what it calls completed is all that is known.
            let right = completed(&fs::read_to_string(log)?).unwrap_or(0);
            return Ok(Self { right, ..Self::default() });
        }
        let mut answers = Self::default();
        let mut seen = vec![false; asked as usize];
        let file = match fs::File::open(found) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(answers),
            file => file?,
        };
        for line in BufReader::new(file).lines() {
            let Ok(value) = serde_json::from_str(&line?) else {
                answers.wrong += 1;
                continue;
            };
            answers.take(said(tool, &value), &mut seen);
        }
        Ok(answers)
    }

    fn take(&mut self, said: Option<(u32, Said)>, seen: &mut [bool]) {
        let Some((number, said)) = said else {
            self.wrong += 1;
            return;
        };
        let Some(seen) = seen.get_mut(number as usize) else {
            self.wrong += 1;
            return;
        };
        let is_right = match said {
            Said::Address(found) => address(number) == Some(found),
            Said::Nothing => address(number).is_none(),
            Said::Failed => {
                self.failed += 1;
                return;
            }
        };
        match (is_right, std::mem::replace(seen, true)) {
            (false, _) => self.wrong += 1,
            (true, false) => self.right += 1,
            (true, true) => self.again += 1,
        }
    }
}

fn number(name: &str) -> Option<u32> {
    let label = name.trim_end_matches('.').strip_suffix(ZONE)?.strip_suffix('.')?;
    label.strip_prefix(['w', 'W'])?.parse().ok()
}

fn said(tool: Tool, line: &Value) -> Option<(u32, Said)> {
    let (name, status, address) = match tool {
        Tool::Mrpf => ("/name", "/status", "/answers/0/data"),
        Tool::Massdns => ("/name", "/status", "/data/answers/0/data"),
        Tool::Zdns => ("/name", "/results/A/status", "/results/A/data/answers/0/answer"),
        Tool::Dnsx => ("/host", "/status_code", "/a/0"),
        Tool::Dnsperf => return None,
    };
    let at = |pointer| line.pointer(pointer).and_then(Value::as_str);
    let number = number(at(name)?)?;
    let said = match (at(status), at(address).and_then(|text| text.parse().ok())) {
        (Some("NOERROR"), Some(address)) => Said::Address(address),
        (Some("NXDOMAIN"), None) => Said::Nothing,
        _ => Said::Failed,
    };
    Some((number, said))
}

/// How many of dnsperf's queries were answered, as it says at the end.
fn completed(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Queries completed:"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn half_of_the_names_exist() {
        let exist = (0..1_000).filter(|number| address(*number).is_some()).count();
        assert_eq!(exist, 500);
        assert_eq!(address(2), Some([198, 51, 100, 1].into()));
        assert_eq!(number(&name(17)), Some(17));
        assert_eq!(number("W18.example.test."), Some(18));
        assert_eq!(number("w18.example.org"), None);
        assert_eq!(number_of(b"\x03W18\x07example\x04test\0"), Some(18));
        assert_eq!(number_of(b"\x03x18\0"), None);
    }

    #[test]
    fn each_tool_says_it_in_its_own_way() {
        let ours = json!({ "name": "w2.example.test", "status": "NOERROR", "answers": [{ "data": "198.51.100.1" }] });
        let massdns = json!({ "name": "w2.example.test.", "status": "NOERROR", "data": { "answers": [{ "data": "198.51.100.1" }] } });
        let zdns = json!({ "name": "w2.example.test", "results": { "A": { "status": "NOERROR", "data": { "answers": [{ "answer": "198.51.100.1" }] } } } });
        let dnsx =
            json!({ "host": "w2.example.test", "status_code": "NOERROR", "a": ["198.51.100.1"] });
        let mut answers = Answers::default();
        let mut seen = [false; 4];
        for (tool, line) in
            [(Tool::Mrpf, ours), (Tool::Massdns, massdns), (Tool::Zdns, zdns), (Tool::Dnsx, dnsx)]
        {
            answers.take(said(tool, &line), &mut seen);
        }
        assert_eq!(answers, Answers { right: 1, again: 3, ..Answers::default() });
        for line in [
            json!({ "name": "w3.example.test", "status": "NXDOMAIN" }),
            json!({ "name": "w1.example.test", "status": "NOERROR", "answers": [{ "data": "198.51.100.1" }] }),
            json!({ "name": "w0.example.test", "status": "TIMEOUT" }),
            json!({ "name": "w9.example.test", "status": "NXDOMAIN" }),
        ] {
            answers.take(said(Tool::Mrpf, &line), &mut seen);
        }
        assert_eq!(answers, Answers { right: 2, wrong: 2, again: 3, failed: 1 });
    }

    #[test]
    fn dnsperf_counts_its_own_answers() {
        let text = "Statistics:\n\n  Queries sent:         400000\n  Queries completed:    399998 (100.00%)\n";
        assert_eq!(completed(text), Some(399_998));
    }
}

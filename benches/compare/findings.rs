//! What a tool wrote down as open.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, BufRead, BufReader},
    net::Ipv4Addr,
    path::Path,
};

use crate::tool::{Records, Tool};

/// What mrpf says became of answers that are not among its open ports, and of probes and resets that never left.
pub(crate) type Losses = BTreeMap<&'static str, u64>;

/// The counters of a summary that tell it.
const LOSSES: [&str; 12] = [
    "dropped_redirect",
    "duplicate",
    "invalid_challenge",
    "invalid_cookie",
    "invalid_kind",
    "invalid_malformed",
    "invalid_not_for_us",
    "invalid_target",
    "late",
    "refused",
    "resets_skipped",
    "ring_drops",
];

/// A port of a host.
pub(crate) type Port = (Ipv4Addr, u16);

/// The ports that a tool says are open.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Findings {
    pub(crate) open: BTreeSet<Port>,
    /// Rows that say again what another row said.
    pub(crate) repeated: u64,
}

impl Findings {
    /// Reads what `tool` wrote. A file that it never made holds nothing.
    pub(crate) fn read(tool: Tool, path: &Path) -> Result<Self, io::Error> {
        match fs::read_to_string(path) {
            Ok(text) => Ok(Self::parse(tool, &text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error),
        }
    }

    /// How many open ports `tool` tells of, in a file that may be longer than the memory.
    pub(crate) fn count(tool: Tool, records: Records, path: &Path) -> Result<u64, io::Error> {
        let file = match File::open(path) {
            Ok(file) => BufReader::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(error),
        };
        let is_open = |record: &str| {
            serde_json::from_str(record).is_ok_and(|record: serde_json::Value| {
                record["type"] == "syn" && record["state"] == "open"
            })
        };
        if (tool, records) == (Tool::Mrpf, Records::Counters) {
            let summary: serde_json::Value = serde_json::from_reader(file)?;
            let open = summary.pointer("/states/open").and_then(serde_json::Value::as_u64);
            return open.ok_or_else(|| io::Error::other("a summary without a count of open ports"));
        }
        file.lines().try_fold(0, |sum, line| {
            let line = line?;
            Ok(sum
                + match (tool, records) {
                    (Tool::Mrpf, Records::Jsonl) => u64::from(is_open(&line)),
                    _ => ports(tool, &line).len() as u64,
                })
        })
    }

    /// The counters of loss that are not zero in the summary that mrpf wrote.
    pub(crate) fn losses(path: &Path) -> Result<Losses, io::Error> {
        let summary: serde_json::Value =
            serde_json::from_reader(BufReader::new(File::open(path)?))?;
        let count = |name| {
            let counter = summary.pointer(&format!("/counters/{name}"));
            let counter = counter.and_then(serde_json::Value::as_u64);
            counter.ok_or_else(|| io::Error::other(format!("a summary without {name}")))
        };
        let all: Result<Losses, _> =
            LOSSES.into_iter().map(|name| Ok((name, count(name)?))).collect();
        all.map(|mut all| {
            all.retain(|_, count| *count > 0);
            all
        })
    }

    fn parse(tool: Tool, text: &str) -> Self {
        let mut findings = Self::default();
        for line in text.lines() {
            for port in ports(tool, line) {
                if !findings.open.insert(port) {
                    findings.repeated += 1;
                }
            }
        }
        findings
    }
}

/// The open ports that one line names; none for headings.
fn ports(tool: Tool, line: &str) -> Vec<Port> {
    let pair = |addr: &str, port: &str| Some((addr.parse().ok()?, port.parse().ok()?));
    let one = match tool {
        Tool::Mrpf => line.split_once(':').and_then(|(addr, port)| pair(addr, port)),
        Tool::Zmap => line.split_once(',').and_then(|(addr, port)| pair(addr, port)),
        Tool::Masscan => match line.split(' ').collect::<Vec<_>>()[..] {
            ["open", "tcp", port, addr, ..] => pair(addr, port),
            _ => None,
        },
        Tool::Nmap => return greppable(line).unwrap_or_default(),
        Tool::Kxdpgun => None, // finds nothing
    };
    one.into_iter().collect()
}

/// A line of nmap -oG: `Host: A ()`, a tab, `Ports: 80/open/tcp//http///, 81/closed/...`.
fn greppable(line: &str) -> Option<Vec<Port>> {
    let (host, rest) = line.strip_prefix("Host: ")?.split_once(' ')?;
    let addr: Ipv4Addr = host.parse().ok()?;
    let (_, list) = rest.split_once("Ports: ")?;
    let open = list.split('\t').next()?.split(", ").filter_map(|entry| {
        let mut fields = entry.split('/');
        let port = fields.next()?.parse().ok()?;
        (fields.next()? == "open").then_some((addr, port))
    });
    Some(open.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(tool: Tool, text: &str) {
        let open = [(Ipv4Addr::new(198, 19, 0, 1), 80), (Ipv4Addr::new(198, 19, 0, 2), 443)];
        assert_eq!(Findings::parse(tool, text), Findings { open: open.into(), repeated: 1 });
    }

    #[track_caller]
    fn check_count(tool: Tool, records: Records, text: &str, expected: u64) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("found");
        fs::write(&path, text).expect("a file");
        assert_eq!(Findings::count(tool, records, &path).expect("a count"), expected);
    }

    #[test]
    fn what_is_open_is_counted_as_each_tells_it() {
        check_count(Tool::Mrpf, Records::Counters, r#"{"states":{"open":7,"closed":9}}"#, 7);
        let records = concat!(
            r#"{"type":"syn","state":"open","port":80}"#,
            "\n",
            r#"{"type":"host","noisy":true}"#,
            "\n",
            r#"{"type":"syn","state":"closed","port":81}"#,
            "\n",
        );
        check_count(Tool::Mrpf, Records::Jsonl, records, 1);
        check_count(
            Tool::Masscan,
            Records::List,
            "#masscan\nopen tcp 80 198.19.0.1 17\n# end\n",
            1,
        );
    }

    #[test]
    fn losses_are_the_counters_that_are_not_zero() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("found");
        let mut counters: BTreeMap<_, _> = LOSSES.map(|name| (name, 0)).into();
        counters.extend([("late", 3), ("sent", 9)]);
        fs::write(&path, serde_json::json!({ "counters": counters }).to_string()).expect("a file");
        assert_eq!(Findings::losses(&path).expect("losses"), Losses::from([("late", 3)]));
        counters.remove("refused");
        fs::write(&path, serde_json::json!({ "counters": counters }).to_string()).expect("a file");
        let error = Findings::losses(&path).expect_err("one is not there");
        assert!(error.to_string().contains("refused"), "{error}");
    }

    #[test]
    fn each_tool_says_the_same_in_its_own_way() {
        check(Tool::Mrpf, "198.19.0.1:80\n198.19.0.2:443\n198.19.0.1:80\n");
        check(Tool::Zmap, "saddr,sport\n198.19.0.1,80\n198.19.0.1,80\n198.19.0.2,443\n");
        check(
            Tool::Masscan,
            "#masscan\nopen tcp 80 198.19.0.1 17\nopen tcp 443 198.19.0.2 17\nclosed tcp 81 198.19.0.2 17\n\
             open tcp 80 198.19.0.1 18\n# end\n",
        );
        check(
            Tool::Nmap,
            "# Nmap\nHost: 198.19.0.1 ()\tStatus: Up\n\
             Host: 198.19.0.1 ()\tPorts: 80/open/tcp//http///, 81/closed/tcp/////\tIgnored State: closed (1)\n\
             Host: 198.19.0.2 ()\tPorts: 443/open/tcp//https///, 443/open/tcp//https///\n",
        );
    }
}

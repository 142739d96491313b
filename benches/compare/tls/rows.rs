//! What a tool wrote down, held against what is true: which host has which leaf certificate.

use std::{
    collections::HashSet,
    fs,
    io::{self, BufRead, BufReader},
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use mrpf_lab::{
    tls_responder::{LEAVES, Leaves},
    veth,
};
use serde_json::Value;

use super::tools::Tool;

/// A leaf as a tool names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Leaf {
    /// Lower-case hex of the SHA-256 of the DER.
    Sha256(String),
    /// The base64 of the DER.
    Base64(String),
}

/// Which leaf each address has.
pub(super) struct Truth {
    by_addr: Vec<usize>,
    sha256: Vec<String>,
    base64: Vec<String>,
}

/// What one run came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Rows {
    /// The right leaf, first time for that host and port.
    pub(super) right: u64,
    /// Another one, or a host that is none.
    pub(super) wrong: u64,
    /// Without a leaf.
    pub(super) other: u64,
}

impl Truth {
    /// `number` says which of `leaves` a host has.
    pub(super) fn of(leaves: &Leaves, number: impl Fn(IpAddr) -> usize) -> Self {
        let addrs = veth::HOSTS.first().to_bits()..=veth::HOSTS.last().to_bits();
        Self {
            by_addr: addrs.map(|bits| number(Ipv4Addr::from_bits(bits).into())).collect(),
            sha256: (0..LEAVES).map(|number| leaves.sha256(number)).collect(),
            base64: (0..LEAVES).map(|number| base64(&leaves.chain_pem(number))).collect(),
        }
    }

    fn holds(&self, addr: IpAddr, leaf: &Leaf) -> bool {
        let IpAddr::V4(addr) = addr else { return false };
        let place = addr.to_bits().wrapping_sub(veth::HOSTS.first().to_bits());
        self.by_addr.get(place as usize).is_some_and(|number| match leaf {
            Leaf::Sha256(hex) => self.sha256[*number] == *hex,
            Leaf::Base64(text) => self.base64[*number] == *text,
        })
    }
}

impl Rows {
    /// Reads what `tool` wrote. A file that it never made holds nothing.
    pub(super) fn read(tool: Tool, path: &Path, truth: &Truth) -> Result<Self, io::Error> {
        let mut rows = Self::default();
        let mut seen = HashSet::new();
        let mut take = |addr: IpAddr, port: u16, leaf: Option<Leaf>| match leaf {
            None => rows.other += 1,
            Some(leaf) if truth.holds(addr, &leaf) && seen.insert((addr, port)) => rows.right += 1,
            Some(_) => rows.wrong += 1,
        };
        match tool {
            Tool::Sslyze => sslyze(&text(path)?, &mut take),
            Tool::Nmap => nmap(&text(path)?, &mut take),
            Tool::Mrpf | Tool::Tlsx | Tool::Zgrab2 => {
                let file = match fs::File::open(path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(rows),
                    file => file?,
                };
                for line in BufReader::new(file).lines() {
                    if let Ok(value) = serde_json::from_str(&line?) {
                        by_line(tool, &value, &mut take);
                    }
                }
            }
        }
        Ok(rows)
    }
}

/// Takes a row: host, port, and its leaf if there is one.
type Take<'a> = &'a mut dyn FnMut(IpAddr, u16, Option<Leaf>);

fn text(path: &Path) -> Result<String, io::Error> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        text => text,
    }
}

fn by_line(tool: Tool, value: &Value, take: Take<'_>) {
    const ZGRAB2: &str =
        "/data/tls/result/handshake_log/server_certificates/certificate/parsed/fingerprint_sha256";
    let (addr, leaf) = match tool {
        Tool::Zgrab2 => ("/ip", ZGRAB2),
        Tool::Tlsx => ("/host", "/fingerprint_hash/sha256"),
        _ => ("/ip", "/certificates/0/sha256"),
    };
    let at = |pointer| value.pointer(pointer).and_then(Value::as_str);
    // What mrpf asks at more than one port it says; tlsx says it as text.
    let port = value.pointer("/port").and_then(Value::as_u64).unwrap_or(0) as u16;
    if let Some(addr) = at(addr).and_then(|addr| addr.parse().ok()) {
        take(addr, port, at(leaf).map(|hex| Leaf::Sha256(hex.to_lowercase())));
    }
}

fn sslyze(text: &str, take: Take<'_>) {
    const PEM: &str = "/scan_result/certificate_info/result/certificate_deployments/0/\
        received_certificate_chain/0/as_pem";
    let all: Value = serde_json::from_str(text).unwrap_or_default();
    let hosts = all.pointer("/server_scan_results").and_then(Value::as_array);
    for host in hosts.into_iter().flatten() {
        let at = |pointer| host.pointer(pointer).and_then(Value::as_str);
        let addr = at("/server_location/ip_address").and_then(|addr| addr.parse().ok());
        if let Some(addr) = addr {
            take(addr, 0, at(PEM).map(|pem| Leaf::Base64(base64(pem))));
        }
    }
}

fn nmap(text: &str, take: Take<'_>) {
    for host in text.split("<host ").skip(1) {
        let between = |before: &str, after: &str| {
            let (_, rest) = host.split_once(before)?;
            rest.split_once(after).map(|(inside, _)| inside)
        };
        let addr = between("<address addr=\"", "\"").and_then(|addr| addr.parse().ok());
        if let Some(addr) = addr {
            let pem = between("<elem key=\"pem\">", "</elem>");
            let plain = |pem: &str| pem.replace("&#xa;", "\n").replace("&#45;", "-");
            take(addr, 0, pem.map(|pem| Leaf::Base64(base64(&plain(pem)))));
        }
    }
}

/// What stands between the first pair of PEM's lines, on one line.
fn base64(pem: &str) -> String {
    let lines = pem.lines().map(str::trim).skip_while(|line| !line.starts_with("-----BEGIN"));
    lines.skip(1).take_while(|line| !line.starts_with("-----END")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tool: Tool, text: &str, truth: &Truth) -> Rows {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("found");
        fs::write(&path, text).expect("a file");
        Rows::read(tool, &path, truth).expect("rows")
    }

    /// Two hosts have their leaf, one another's, one none; and the first says so again.
    #[test]
    fn each_tool_says_the_same_in_its_own_way() {
        let leaves = Leaves::make().expect("certificates");
        let truth = Truth::of(&leaves, Leaves::number_of);
        let addr = |last: u8| IpAddr::from([198, 19, 3, last]);
        let of = |last| Leaves::number_of(addr(last));
        let hosts =
            [(1, Some(of(1))), (2, Some(of(2))), (3, Some(of(4))), (5, None), (1, Some(of(1)))];
        let expected = Rows { right: 2, wrong: 2, other: 1 };
        let check = |tool,
                     line: &dyn Fn(IpAddr, Option<usize>) -> String,
                     (before, after): (&str, &str),
                     between| {
            let lines: Vec<_> = hosts.iter().map(|(last, leaf)| line(addr(*last), *leaf)).collect();
            let text = format!("{before}{}{after}", lines.join(between));
            assert_eq!(read(tool, &text, &truth), expected, "{}", tool.as_str());
        };
        let sha256 = |leaf: Option<usize>| leaf.map(|leaf| leaves.sha256(leaf));
        let pem = |leaf: Option<usize>| leaf.map(|leaf| leaves.chain_pem(leaf));
        check(
            Tool::Mrpf,
            &|addr, leaf| {
                let certificates: Vec<_> = sha256(leaf)
                    .map(|hex| serde_json::json!({ "sha256": hex }))
                    .into_iter()
                    .collect();
                serde_json::json!({ "ip": addr, "port": 443, "certificates": certificates })
                    .to_string()
            },
            ("", ""),
            "\n",
        );
        check(
            Tool::Zgrab2,
            &|addr, leaf| {
                serde_json::json!({ "ip": addr, "data": { "tls": { "result": { "handshake_log": { "server_certificates": {
                "certificate": { "parsed": { "fingerprint_sha256": sha256(leaf) } } } } } } } }).to_string()
            },
            ("", ""),
            "\n",
        );
        check(
            Tool::Tlsx,
            &|addr, leaf| {
                serde_json::json!({ "host": addr, "port": "443", "fingerprint_hash": { "sha256": sha256(leaf) } }).to_string()
            },
            ("", ""),
            "\n",
        );
        check(
            Tool::Sslyze,
            &|addr, leaf| {
                serde_json::json!({ "server_location": { "ip_address": addr }, "scan_result": { "certificate_info": { "result": {
                "certificate_deployments": [{ "received_certificate_chain": [{ "as_pem": pem(leaf) }] }] } } } }).to_string()
            },
            ("{\"server_scan_results\":[", "]}"),
            ",",
        );
        check(
            Tool::Nmap,
            &|addr, leaf| {
                let elem = pem(leaf).map(|pem| {
                    format!(
                        "<elem key=\"pem\">{}</elem>",
                        pem.replace('\n', "&#xa;").replace("--", "-&#45;")
                    )
                });
                format!(
                    "<host starttime=\"1\"><address addr=\"{addr}\" addrtype=\"ipv4\"/>{}</host>",
                    elem.unwrap_or_default()
                )
            },
            ("<nmaprun>", "</nmaprun>"),
            "",
        );
    }
}

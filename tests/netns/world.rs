//! What the tests of this folder share.

use std::{
    collections::BTreeSet,
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use mrpf_engine::link::xdp::Wish;
use mrpf_lab::Lab;
use mrpf_records::{Record, State, SynRecord};
use mrpf_syn::{Builder, Scan, Show, Summary};
use serde_json::Value;

/// The variable that runs these tests over another link: `xdp`.
const LINK: &str = "MRPF_TEST_LINK";

/// Whether scans of these tests are to go over XDP.
pub(crate) fn is_over_xdp() -> bool {
    std::env::var_os(LINK).is_some_and(|link| link == "xdp")
}

/// A scan over the link that is tested.
pub(crate) fn builder() -> Builder {
    Scan::builder().link(if is_over_xdp() { Wish::Xdp } else { Wish::Auto })
}

/// A scan of the lab's hosts that shows every state.
pub(crate) fn scan(targets: &str, ports: &str) -> Builder {
    builder().target(targets).ports(ports).allow_reserved(true).show(Show::ALL)
}

/// Runs a scan to its end.
#[track_caller]
pub(crate) fn run(builder: Builder) -> (Vec<SynRecord>, Summary) {
    let mut scan = builder.build().unwrap_or_else(|error| panic!("{error}"));
    let records = scan
        .by_ref()
        .filter_map(|record| match record {
            Record::Syn(record) => Some(record),
            _ => None,
        })
        .collect();
    (records, scan.finish().unwrap_or_else(|error| panic!("{error}")))
}

/// The targets that are `state`; a target with two records is a failure.
#[track_caller]
pub(crate) fn found(records: &[SynRecord], state: State) -> BTreeSet<(IpAddr, u16)> {
    let mut seen = BTreeSet::new();
    for record in records {
        assert!(seen.insert((record.ip, record.port)), "a second record: {record:?}");
    }
    records
        .iter()
        .filter(|record| record.state == state)
        .map(|record| (record.ip, record.port))
        .collect()
}

/// The command, where cargo has put it beside this test.
pub(crate) fn mrpf() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this test");
    let path = test.ancestors().nth(2).expect("a folder above deps/").join("mrpf");
    assert!(path.exists(), "{} is not there: cargo build --bin mrpf", path.display());
    path
}

/// `mrpf` with `args` in the network namespace of the calling thread, ended after two minutes whatever happens. A scan goes over
/// the link that is tested.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "120"]).arg(mrpf()).args(over_the_link(args));
    command.env("MRPF_FENCE", "lab");
    command
}

/// As [`command`], and not under timeout(1), which would be what signals end and what the kernel counts the memory of.
pub(crate) fn bare_command(args: &[&str]) -> Command {
    let mut command = Command::new(mrpf());
    command.args(over_the_link(args)).env("MRPF_FENCE", "lab");
    command
}

/// `args`, with the link that is tested where they begin a scan: one that goes on has it in its checkpoint.
fn over_the_link<'a>(args: &[&'a str]) -> Vec<&'a str> {
    let has_a_link = |word: &&str| word.starts_with("--resume") || *word == "--link";
    match args {
        [scan @ ("syn" | "tls" | "dns"), more @ ..]
            if is_over_xdp() && !more.iter().any(has_a_link) =>
        {
            [&[scan, "--link", "xdp"], more].concat()
        }
        _ => args.to_vec(),
    }
}

/// The words of `mrpf syn` for port 80 of `targets`, which are the lab's, and what else is said; `-f` and its file are targets
/// too.
pub(crate) fn syn<'a>(targets: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let words = ["syn", targets, "-p 80 --allow-reserved"];
    words.iter().chain(more).flat_map(|words| words.split(' ')).collect()
}

/// Runs `mrpf` with `args` to its end.
pub(crate) fn output(args: &[&str]) -> Output {
    command(args).output().expect("coreutils has timeout")
}

/// What a process said on stderr.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The SYN records in lines of JSON; a line that is none is a failure.
#[track_caller]
pub(crate) fn records(lines: &[u8]) -> Vec<SynRecord> {
    let text = std::str::from_utf8(lines).expect("records are UTF-8");
    assert!(text.is_empty() || text.ends_with('\n'), "a torn last line: {:?}", text.lines().last());
    text.lines()
        .filter_map(|line| match serde_json::from_str(line) {
            Ok(Record::Syn(record)) => Some(record),
            Ok(_) => None,
            Err(error) => panic!("{error}: {line}"),
        })
        .collect()
}

/// A file of JSON.
#[track_caller]
pub(crate) fn json(path: &Path) -> Value {
    let text =
        fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// One number of the kernel's TCP, of the network namespace of the calling thread: see nstat(8).
#[track_caller]
pub(crate) fn kernel_tcp(name: &str) -> u64 {
    for (file, table) in [("snmp", "Tcp: "), ("netstat", "TcpExt: ")] {
        let text = fs::read_to_string(format!("/proc/thread-self/net/{file}")).expect("a /proc");
        let mut lines = text.lines().filter_map(|line| line.strip_prefix(table));
        let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
        let mut pairs = names.split(' ').zip(values.split(' '));
        if let Some((_, value)) = pairs.find(|(found, _)| *found == name) {
            return value.parse().expect("a number");
        }
    }
    panic!("no {name} in /proc/net");
}

/// The same of its UDP.
#[track_caller]
pub(crate) fn kernel_udp(name: &str) -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").expect("a /proc");
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Udp: "));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let mut pairs = names.split(' ').zip(values.split(' '));
    let (_, value) = pairs.find(|(found, _)| *found == name).expect("a counter of UDP");
    value.parse().expect("a number")
}

/// What the kernel of a lab's world may have to say for hosts that were not found.
pub(crate) fn words_of_the_world(lab: &Lab) -> String {
    let names = [
        "RetransSegs",
        "OutRsts",
        "ListenDrops",
        "ListenOverflows",
        "SyncookiesSent",
        "TCPReqQFullDrop",
    ];
    let read = || names.map(|name| (name, kernel_tcp(name)));
    format!("{:?}", lab.world().run(read).unwrap())
}

/// That the scan has seen all `arrived` frames of the interface but those that came when it was over. Only SYN-ACKs that a busy
/// world says again before it has read our reset can come so late, and its kernel has counted them: where it has said nothing
/// twice, both numbers are the same.
#[track_caller]
pub(crate) fn check_arrivals(lab: &Lab, arrived: u64, seen: u64) {
    let repeated = || kernel_tcp("RetransSegs");
    let repeated = lab.world().run(repeated).unwrap();
    assert!(
        (seen..=seen + repeated).contains(&arrived),
        "{arrived} frames arrived and {seen} were seen; {repeated} SYN-ACKs were sent again"
    );
}

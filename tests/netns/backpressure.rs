//! A reader of stdout that pauses: the scan waits for it, in the memory that it had, and nothing is lost.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use mrpf_lab::{
    Lab,
    gate::{self, Need},
};
use mrpf_records::State;

use crate::world::{found, json, mrpf, records};

/// Answers that are due: 25,000 a second at this rate, a reset for each.
const HOSTS: usize = 65_536;
const PORTS: [u16; 2] = [80, 81];
const RATE: &str = "50k";
/// How much the memory of the process may grow while nobody reads, in KiB. A scan that kept what comes would take 5 MiB a
/// second for the records alone.
const MOST_GROWTH: u64 = 2_048;

/// How long nobody reads.
fn pause() -> Duration {
    Duration::from_secs(if std::env::var_os("MRPF_FULL").is_some() { 20 } else { 4 })
}

/// The memory of a process that is present, in KiB: proc_pid_status(5).
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_reader_that_pauses_loses_nothing_and_costs_no_memory() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = Lab::builder().open(PORTS[0]).open(PORTS[1]).start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let summary = folder.path().join("summary.json");
    let mut child = Command::new(mrpf())
        .args(["syn", "198.19.0.0/16", "-p", "80,81", "--allow-reserved", "--rate", RATE])
        .args(["--format", "jsonl", "-q", "--summary", summary.to_str().unwrap()])
        .env("MRPF_FENCE", "lab")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    // A second's worth, so that every part of it has its memory.
    for _ in 0..25_000 {
        reader.read_until(b'\n', &mut lines).unwrap();
    }
    // The queue and the pipe are full soon; from then on nothing may grow.
    thread::sleep(pause() / 2);
    let before = resident(child.id());
    thread::sleep(pause() / 2);
    let after = resident(child.id());
    while reader.read_until(b'\n', &mut lines).unwrap() > 0 {}
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));

    let records = records(&lines);
    assert_eq!(found(&records, State::Open).len(), HOSTS * PORTS.len(), "each once, none missing");
    assert!(after <= before + MOST_GROWTH, "{before} KiB before, {after} KiB after");
    println!("VmRSS {before} KiB in mid-pause, {after} KiB at its end");
    let summary = json(&summary);
    assert_eq!(summary["complete"], true, "{summary}");
    assert_eq!(summary["counters"]["refused"], 0, "{summary}");
    assert!(summary["counters"]["pauses"].as_u64() > Some(0), "it did wait: {summary}");
}

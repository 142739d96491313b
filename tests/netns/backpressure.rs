//! A reader of stdout that pauses: the scan waits for it, in the memory that it had, and nothing is lost.
//!
//! ```text
//!   world --> s0 --> receive ring --> queue of the scan --> one write at a time --> pipe --> the reader
//!                                     half full: no probe leaves         blocks while the pipe is full
//! ```
//!
//! Nothing is kept for a reader that does not read. The pipe fills, the command stands in its write, the queue fills up to its
//! half, and from then on the sender asks for no more until the queue is shorter again. The other half is for the answers to
//! what had left by then. So "50,000 answers a second" is the rate before the pause and after it; in the pause the answers stop
//! within the queue's length, a second's worth, though more targets remain than the pause would have had answers at that rate:
//! a scan that did not wait would lose those, or keep them in memory.
//!
//! The rates are those at which frames arrived at the interface, by the kernel's count. They are printed and decide nothing: a busy
//! machine makes the test slower, and no easier.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    net::IpAddr,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use mrpf_engine::link::interface::Interface;
use mrpf_lab::{
    Lab,
    gate::{self, Need},
};
use mrpf_records::{Record, State};

use crate::world::{bare_command, json, syn};

const HOSTS: usize = 65_536;
/// Frames a second: for each answer a probe and the reset that closes what it opened, and a tenth over 50,000 of both, since
/// a scan does not reach its rate while it makes up for a reader that is a little late.
const RATE: u64 = 110_000;
const ANSWERS_A_SECOND: usize = 50_000;
/// What the queue of a scan at that rate holds: the engine gives it a second's worth of frames.
const QUEUE: u64 = RATE;
/// Records that a pipe and the lines gathered for it hold at most: 64 KiB each, of no line that is shorter than 64 octets.
const ON_THE_WAY: u64 = 2 * 1_024;
/// Read before the pause, so that every place of the queue has been used and has its memory.
const BEFORE: usize = 150_000;
/// How much the memory of the process may grow while nobody reads, in KiB. A scan that kept what comes would take 10 MiB a
/// second for the records alone.
const MOST_GROWTH: u64 = 2_048;

/// How long nobody reads, and how many ports are asked of each host: before the pause and after it, as many answers as come in
/// it at the full rate and more.
fn size() -> (Duration, u16) {
    let (pause, ports) = if std::env::var_os("MRPF_FULL").is_some() { (20, 20) } else { (4, 6) };
    assert!(HOSTS * ports >= BEFORE + pause * ANSWERS_A_SECOND);
    (Duration::from_secs(pause as u64), ports as u16)
}

/// The memory of a process that is present, in KiB: proc_pid_status(5).
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

/// Frames that have arrived at the scanner's interface, which are answers all, and when that was.
fn arrived() -> (u64, Instant) {
    let counters = Interface::by_name("s0").unwrap().counters().unwrap();
    (counters.rx_packets, Instant::now())
}

/// From one count to another, as a rate.
fn a_second((from, begin): (u64, Instant), (to, end): (u64, Instant)) -> f64 {
    (to - from) as f64 / (end - begin).as_secs_f64()
}

/// The targets of all lines, each of which must be a record of an open port or of a host, and no target's second.
#[track_caller]
fn targets(lines: &[u8]) -> HashSet<(IpAddr, u16)> {
    let mut targets = HashSet::new();
    for line in std::str::from_utf8(lines).unwrap().lines() {
        match serde_json::from_str(line) {
            // Hosts with ten open ports and more are said to be noise.
            Ok(Record::Host(_)) => {}
            Ok(Record::Syn(record)) => {
                assert_eq!(record.state, State::Open, "{line}");
                assert!(targets.insert((record.ip, record.port)), "a second record: {line}");
            }
            other => panic!("{other:?}: {line}"),
        }
    }
    targets
}

#[test]
fn a_reader_that_pauses_loses_nothing_and_costs_no_memory() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (pause, ports) = size();
    let ports = 80..80 + ports;
    let lab = ports.clone().fold(Lab::builder(), |lab, port| lab.open(port));
    let _lab = lab.start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (rate, asked) = (RATE.to_string(), format!("{}-{}", ports.start + 1, ports.end - 1));
    let args = syn("198.19.0.0/16", &["-p", &asked, "--rate", &rate, "-q --summary summary.json"]);
    let mut child = bare_command(&args)
        .current_dir(&folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut lines = Vec::new();
    reader.read_until(b'\n', &mut lines).unwrap();
    let begin = arrived();
    for _ in 1..BEFORE {
        reader.read_until(b'\n', &mut lines).unwrap();
    }

    let paused = arrived();
    let mut memory = vec![resident(child.id())];
    // The queue and the pipe are full soon.
    for _ in 0..2 {
        thread::sleep(pause / 2);
        memory.push(resident(child.id()));
    }
    let resumed = arrived();

    while reader.read_until(b'\n', &mut lines).unwrap() > 0 {}
    let end = arrived();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let summary = json(&folder.path().join("summary.json"));
    let (in_pause, after) = (resumed.0 - paused.0, end.0 - resumed.0);
    println!(
        "answers a second: {:.0} before the pause, {:.0} after it; in its {pause:?} {in_pause} came, and {after} after it\n\
         VmRSS {memory:?} KiB at its beginning, in its middle, at its end",
        a_second(begin, paused),
        a_second(resumed, end),
    );

    let found = targets(&lines).len();
    assert_eq!(found, HOSTS * ports.len(), "each once, none missing: {summary}");
    let counter = |name: &str| summary["counters"][name].as_u64().unwrap();
    assert_eq!((&summary["complete"], counter("refused")), (&true.into(), 0), "{summary}");
    assert!(counter("pauses") > 0, "it did wait: {summary}");
    // What had arrived by the end of the pause was read before it, or has a place in the queue or in the pipe; but for answers
    // that came again.
    let held = resumed.0.saturating_sub(BEFORE as u64 + counter("duplicate") + counter("late"));
    assert!(held <= QUEUE + ON_THE_WAY, "{held} answers were held back in the pause: {summary}");
    assert!(
        memory.iter().all(|now| *now <= memory[0] + MOST_GROWTH),
        "KiB at the beginning, in the middle and at the end: {memory:?}"
    );
}

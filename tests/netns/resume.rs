//! Scans that are killed, interrupted or stopped, and go on: nothing is missing then, and no more comes twice than was said.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Child, Output, Stdio},
    thread,
    time::Duration,
};

use mrpf_lab::{
    Lab,
    gate::{self, Need},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    killed::{Killed, number},
    world::{json, stderr, syn},
};

/// What a scan does that is over soon after its last probe.
const SHORT: &str = "--retries 1 --cooldown 0.5";
const FILES: &str = "-o out.jsonl --summary summary.json";
const SAVED: &str = "--checkpoint checkpoint";

fn lab() -> Lab {
    Lab::builder().open(80).start().unwrap()
}

/// Kills a scan of `first` up to `most` times and lets it end; how often it was killed. Every second kill waits until there
/// is something to go on from, so that runs begin in the middle, and from one middle after another.
#[track_caller]
fn kill_and_resume(scan: &Killed, first: &[&str], checkpoint: &str, most: u32) -> u32 {
    let resume = ["syn", "--resume", checkpoint, "-q"];
    let mut kills = 0;
    while kills < most {
        // Killed before the first checkpoint it has nothing to go on from, and begins again.
        let has_begun = scan.path(checkpoint).exists();
        let args = if has_begun { &resume[..] } else { first };
        let from = scan.mark(checkpoint);
        let (beyond, longest) = match kills % 2 {
            0 if most > 1 => (None, 900),
            _ => (Some((checkpoint, from)), 100),
        };
        if !scan.kill(args, beyond, Duration::from_millis(longest)) {
            break;
        }
        kills += 1;
        let mark = scan.mark(checkpoint);
        assert!(mark >= from && (beyond.is_none() || mark > from), "{from} {mark}");
    }
    let from = scan.mark(checkpoint);
    assert!(from > 0, "a kill has waited for that");
    let args = if scan.path(checkpoint).exists() { &resume[..] } else { first };
    scan.ends(args, 0);
    let checkpoint = json(&scan.path(checkpoint));
    assert_eq!(
        (&checkpoint["finished"], &checkpoint["mark"]),
        (&true.into(), &checkpoint["total"])
    );
    kills
}

#[test]
fn a_scan_killed_at_twenty_moments_finds_every_host() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let mut kills = 0;
    while kills < 20 {
        let scan = Killed::new();
        let first = syn("198.19.0.0/16", &["--rate 20k -q", SHORT, FILES, SAVED]);
        let killed = kill_and_resume(&scan, &first, "checkpoint", 20 - kills);
        assert!(killed > 0, "it came to its end before it was killed");
        kills += killed;
        let summary = scan.check("out.jsonl", "summary.json", 65_536);
        assert!(number(&summary, "/resumed_from") > 0, "{summary}");
        let again = scan.ends(&["syn", "--resume", "checkpoint"], 0);
        assert!(stderr(&again).contains("nothing left"), "{}", stderr(&again));
    }
}

#[test]
fn shards_on_two_threads_are_killed_and_find_all_hosts_between_them() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let mut all = BTreeMap::new();
    for shard in ["1/3", "2/3", "3/3"] {
        let scan = Killed::new();
        let part = ["--rate 4k -q --seed 5 --threads 2 --shard", shard, SHORT, FILES, SAVED];
        let first = syn("198.19.0.0/17", &part);
        kill_and_resume(&scan, &first, "checkpoint", 4);
        let found = scan.found("out.jsonl");
        let summary = scan.check("out.jsonl", "summary.json", found.len());
        assert!(number(&summary, "/resumed_from") > 0, "{summary}");
        assert_eq!(number(&summary, "/settings/threads"), 2);
        assert_eq!(number(&summary, "/targets/total"), found.len() as u64);
        for target in found.into_keys() {
            assert_eq!(all.insert(target, shard), None, "{target:?} is of two shards");
        }
    }
    assert_eq!(all.len(), 32_768);
}

/// Waits until `output` holds so many records.
fn wait_for_records(output: &Path, records: usize) {
    for _ in 0..1_000 {
        let text = fs::read(output).unwrap_or_default();
        if text.iter().filter(|byte| **byte == b'\n').count() >= records {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no records in {}", output.display());
}

#[track_caller]
fn interrupt(child: Child, signal: Signal) -> Output {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
    child.wait_with_output().unwrap()
}

/// What the command says to run next.
#[track_caller]
fn resuming(said: &str) -> Vec<String> {
    let line = said.lines().find_map(|line| line.split_once("to go on: mrpf "));
    let (_, words) = line.unwrap_or_else(|| panic!("no resuming command: {said}"));
    words.split(' ').map(str::to_owned).collect()
}

#[test]
fn an_interrupted_scan_prints_the_command_that_goes_on() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    for (signal, loud) in [(Signal::SIGINT, "-q"), (Signal::SIGTERM, "-v")] {
        let scan = Killed::new();
        let first = syn("198.19.0.0/18", &["--rate 5k", loud, SHORT, FILES]);
        let child = scan.mrpf(&first).spawn().unwrap();
        // At this rate it takes longer than a target without an answer is given.
        wait_for_records(&scan.path("out.jsonl"), 11_000);
        let output = interrupt(child, signal);
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        let first = json(&scan.path("summary.json"));
        assert_eq!((&first["ended"], &first["complete"]), (&"interrupted".into(), &false.into()));

        let words = resuming(&stderr(&output));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let file = words[1].strip_prefix("--resume=").unwrap_or_default();
        assert!(file.starts_with("mrpf-") && file.ends_with(".checkpoint"), "{words:?}");
        scan.ends(&[words.as_slice(), &["--rate", "20k"]].concat(), 0);
        let summary = scan.check("out.jsonl", "summary.json", 16_384);
        assert_eq!(summary["resumed_from"], first["mark"]);
        assert!(number(&summary, "/resumed_from") > 0, "{summary}");
        assert_eq!(summary["settings"]["rate"], "20000");
    }
}

#[test]
fn a_limit_stops_a_scan_and_its_checkpoint_goes_on() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let scan = Killed::new();
    let limited = ["--rate 2k --max-results 5000", SHORT, FILES, SAVED];
    let output = scan.ends(&syn("198.19.0.0/19", &limited), 3);
    assert_eq!(scan.found("out.jsonl").len(), 5_000);
    let words = resuming(&stderr(&output));
    assert_eq!(words, ["syn", "--resume=checkpoint"]);
    scan.ends(&["syn", "--resume", "checkpoint", "--max-results", "100000"], 0);
    let summary = scan.check("out.jsonl", "summary.json", 8_192);
    assert!(number(&summary, "/resumed_from") > 0, "{summary}");
}

/// A list that came from a pipe is in the checkpoint, the header of the records stands once, and a torn line is cut.
#[test]
fn a_list_from_a_pipe_goes_on_in_csv() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let scan = Killed::new();
    fs::write(scan.path("list"), "198.19.64.0/19 # é\n").unwrap();
    let first = syn("-f -", &["--rate 2k -q -o out.csv --format csv", SHORT, SAVED]);
    let list = fs::File::open(scan.path("list")).unwrap();
    scan.kill_once_saved(scan.mrpf(&first).stdin(list), "checkpoint");
    let mut text = fs::read_to_string(scan.path("out.csv")).unwrap();
    text.push_str("2026-11-24T08:00:00.000000Z,198.1");
    fs::write(scan.path("out.csv"), &text).unwrap();
    scan.ends(&["syn", "--resume", "checkpoint", "--rate", "20k"], 0);
    let text = fs::read_to_string(scan.path("out.csv")).unwrap();
    let mut hosts = std::collections::BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        assert_eq!(line.starts_with("ts,ip,port,"), at == 0, "{line}");
        if at > 0 {
            assert_eq!(line.split(',').nth(3), Some("open"), "{line}");
            hosts.insert(line.split(',').nth(1).unwrap());
        }
    }
    assert_eq!(hosts.len(), 8_192);
}

#[test]
fn a_list_that_was_changed_is_refused_and_nothing_is_touched() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let scan = Killed::new();
    fs::write(scan.path("list"), "198.19.0.0/24\n").unwrap();
    let limited = ["--cooldown 1 --max-results 9 -o out.jsonl", SAVED];
    scan.ends(&syn("-f list", &limited), 3);
    let before = fs::read(scan.path("out.jsonl")).unwrap();
    fs::write(scan.path("list"), "198.19.0.0/25\n").unwrap();
    let refused = scan.ends(&["syn", "--resume", "checkpoint"], 2);
    assert!(stderr(&refused).contains("put the files back"), "{}", stderr(&refused));
    assert_eq!(fs::read(scan.path("out.jsonl")).unwrap(), before);
    // Nor is an output that somebody has cut taken for ours.
    fs::write(scan.path("list"), "198.19.0.0/24\n").unwrap();
    fs::write(scan.path("out.jsonl"), "").unwrap();
    let refused = scan.ends(&["syn", "--resume", "checkpoint"], 2);
    assert!(stderr(&refused).contains("is not the output of this scan"), "{}", stderr(&refused));
    fs::write(scan.path("out.jsonl"), before).unwrap();
    scan.ends(&["syn", "--resume", "checkpoint", "--max-results", "1000"], 0);
    assert_eq!(scan.found("out.jsonl").len(), 256);
}

/// What the shell does: > empties a file and >> appends to it.
#[test]
fn standard_output_goes_on_in_a_file() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let scan = Killed::new();
    let out = scan.path("out.jsonl");
    let append = || fs::OpenOptions::new().append(true).create(true).open(&out).unwrap();
    let first = syn("198.19.0.0/19", &["--rate 2k -q --summary summary.json", SHORT, SAVED]);
    scan.kill_once_saved(scan.mrpf(&first).stdout(append()), "checkpoint");
    let before = fs::read(&out).unwrap();
    let resume = ["syn", "--resume", "checkpoint", "-q", "--rate", "20k"];
    let emptied = scan.mrpf(&resume).stdout(fs::File::create(&out).unwrap()).output().unwrap();
    assert_eq!(emptied.status.code(), Some(2), "{}", stderr(&emptied));
    assert!(stderr(&emptied).contains(">> appends"), "{}", stderr(&emptied));
    fs::write(&out, [&before, &b"{\"type\":\"sy"[..]].concat()).unwrap();
    let again = scan.mrpf(&resume).stdout(append()).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    let summary = scan.check("out.jsonl", "summary.json", 8_192);
    assert_eq!(summary["may_repeat_is_counted"], true);
    assert!(number(&summary, "/resumed_from") > 0, "{summary}");
}

/// It waits for its list, so there is nothing to be saved: no file of it stays.
#[test]
fn an_interrupt_before_the_scan_leaves_nothing() {
    let scan = Killed::new();
    let mut child = scan
        .mrpf(&["syn", "-f", "-", "-p", "80", "-o", "out.jsonl", "--summary", "summary.json"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let _list = child.stdin.take(); // which would end the list when it is dropped
    for _ in 0..1_000 {
        if scan.path("summary.json").exists() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    let output = interrupt(child, Signal::SIGINT);
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(stderr(&output).contains("before the scan began"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(scan.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_checkpoint_does_not_replace_what_standard_output_writes_to() {
    let scan = Killed::new();
    for flag in ["--checkpoint", "--summary"] {
        let out = fs::File::create(scan.path("out")).unwrap();
        let words = ["syn", "198.19.0.1", "-p", "80", "--allow-reserved", flag, "out"];
        let output = scan.mrpf(&words).stdout(out).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let text = format!("standard output and {flag} name the same file");
        assert!(stderr(&output).contains(&text), "{}", stderr(&output));
    }
}

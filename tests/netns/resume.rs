//! Scans that are killed, interrupted or stopped, and go on: nothing is missing then, and no more comes twice than was said.

use std::{
    collections::BTreeMap,
    fs,
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
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
use serde_json::Value;

use crate::world::{json, mrpf, records, stderr};

/// A scan in a folder of its own, which may take several runs of the command.
struct Killed {
    folder: tempfile::TempDir,
}

impl Killed {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `mrpf` in that folder. Not under timeout(1), which would be what the signals end.
    fn mrpf(&self, args: &[&str]) -> Command {
        let mut command = Command::new(mrpf());
        command.args(args).current_dir(&self.folder).env("MRPF_FENCE", "lab");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    #[track_caller]
    fn run(&self, args: &[&str]) -> Output {
        self.mrpf(args).output().unwrap()
    }

    /// Kills a run of `args` after at most `most`; false when it had come to its end before.
    #[track_caller]
    fn kill(&self, args: &[&str], most: Duration) -> bool {
        let mut child = self.mrpf(args).spawn().unwrap();
        thread::sleep(most.mul_f64(random()));
        child.kill().unwrap();
        let output = child.wait_with_output().unwrap();
        let was_killed = output.status.code().is_none();
        assert!(was_killed || output.status.success(), "{}", stderr(&output));
        was_killed
    }

    /// How many records each target has, of an output that must be whole lines of JSON.
    #[track_caller]
    fn found(&self, output: &str) -> BTreeMap<(IpAddr, u16), u64> {
        let mut found = BTreeMap::new();
        for record in records(&fs::read(self.path(output)).unwrap()) {
            *found.entry((record.ip, record.port)).or_default() += 1;
        }
        found
    }

    /// That `hosts` were found in `output`, and that no more came twice than `summary` says. Gives the summary.
    #[track_caller]
    fn check(&self, output: &str, summary: &str, hosts: usize) -> Value {
        let (found, summary) = (self.found(output), json(&self.path(summary)));
        assert_eq!(found.len(), hosts, "hosts are missing: {summary}");
        let lines: u64 = found.values().sum();
        let (repeated, said) = (lines - found.len() as u64, number(&summary, "/may_repeat"));
        eprintln!("{repeated} of {lines} records came twice, at most {said} were to");
        assert!(repeated <= said, "{repeated} came twice: {summary}");
        if summary.get("all_runs").is_some() {
            assert_eq!(number(&summary, "/all_runs/records"), lines, "{summary}");
        }
        assert_eq!(summary["complete"], true, "{summary}");
        summary
    }
}

#[track_caller]
fn number(json: &Value, path: &str) -> u64 {
    json.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("{path}: {json}"))
}

/// From 0 to 1, differently each time: no moment is safe from being tried.
fn random() -> f64 {
    RandomState::new().hash_one("when") as f64 / u64::MAX as f64
}

fn lab() -> Lab {
    Lab::builder().open(80).start().unwrap()
}

/// Kills a scan of `first` up to `most` times and lets it end; how often it was killed.
#[track_caller]
fn kill_and_resume(scan: &Killed, first: &[&str], checkpoint: &str, most: u32) -> u32 {
    let resume = ["syn", "--resume", checkpoint, "-q"];
    let mut kills = 0;
    while kills < most {
        // Killed before the first checkpoint it has nothing to go on from, and begins again.
        let has_begun = scan.path(checkpoint).exists();
        let args = if has_begun { &resume[..] } else { first };
        if !scan.kill(args, Duration::from_millis(900)) {
            break;
        }
        kills += 1;
    }
    let args = if scan.path(checkpoint).exists() { &resume[..] } else { first };
    let output = scan.run(args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
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
        let first = [
            "syn",
            "198.19.0.0/16",
            "-p",
            "80",
            "--allow-reserved",
            "--rate",
            "20k",
            "--cooldown",
            "1",
            "-q",
            "-o",
            "out.jsonl",
            "--summary",
            "summary.json",
            "--checkpoint",
            "checkpoint",
        ];
        kills += kill_and_resume(&scan, &first, "checkpoint", 20 - kills);
        scan.check("out.jsonl", "summary.json", 65_536);
        let again = scan.run(&["syn", "--resume", "checkpoint"]);
        assert_eq!(again.status.code(), Some(0));
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
        let first = [
            "syn",
            "198.19.0.0/17",
            "-p",
            "80",
            "--allow-reserved",
            "--rate",
            "10k",
            "--cooldown",
            "1",
            "-q",
            "--seed",
            "5",
            "--shard",
            shard,
            "--threads",
            "2",
            "-o",
            "out.jsonl",
            "--summary",
            "summary.json",
            "--checkpoint",
            "checkpoint",
        ];
        kill_and_resume(&scan, &first, "checkpoint", 4);
        let found = scan.found("out.jsonl");
        let summary = scan.check("out.jsonl", "summary.json", found.len());
        assert_eq!(number(&summary, "/settings/threads"), 2);
        assert_eq!(number(&summary, "/targets/total"), found.len() as u64);
        for target in found.into_keys() {
            assert_eq!(all.insert(target, shard), None, "{target:?} is of two shards");
        }
    }
    assert_eq!(all.len(), 32_768);
}

/// Waits until `output` holds records.
fn wait_for_records(output: &Path) {
    for _ in 0..1_000 {
        if fs::metadata(output).is_ok_and(|file| file.len() > 20_000) {
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
        let child = scan
            .mrpf(&[
                "syn",
                "198.19.0.0/18",
                "-p",
                "80",
                "--allow-reserved",
                "--rate",
                "5k",
                "--cooldown",
                "1",
                loud,
                "-o",
                "out.jsonl",
                "--summary",
                "summary.json",
            ])
            .spawn()
            .unwrap();
        wait_for_records(&scan.path("out.jsonl"));
        let output = interrupt(child, signal);
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        let first = json(&scan.path("summary.json"));
        assert_eq!((&first["ended"], &first["complete"]), (&"interrupted".into(), &false.into()));

        let words = resuming(&stderr(&output));
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert!(words[2].starts_with("mrpf-") && words[2].ends_with(".checkpoint"), "{words:?}");
        let again = scan.run(&[words.as_slice(), &["--rate", "20k"]].concat());
        assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
        let summary = scan.check("out.jsonl", "summary.json", 16_384);
        assert_eq!(summary["resumed_from"], first["mark"]);
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
    let output = scan.run(&[
        "syn",
        "198.19.0.0/19",
        "-p",
        "80",
        "--allow-reserved",
        "--rate",
        "20k",
        "--cooldown",
        "1",
        "--max-results",
        "1000",
        "-o",
        "out.jsonl",
        "--summary",
        "summary.json",
        "--checkpoint",
        "checkpoint",
    ]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert_eq!(scan.found("out.jsonl").len(), 1_000);
    let words = resuming(&stderr(&output));
    assert_eq!(words, ["syn", "--resume", "checkpoint"]);
    let again = scan.run(&["syn", "--resume", "checkpoint", "--max-results", "100000"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    scan.check("out.jsonl", "summary.json", 8_192);
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
    let mut child = scan
        .mrpf(&[
            "syn",
            "-f",
            "-",
            "-p",
            "80",
            "--allow-reserved",
            "--rate",
            "5k",
            "--cooldown",
            "1",
            "-q",
            "-o",
            "out.csv",
            "--checkpoint",
            "checkpoint",
            "--format",
            "csv",
        ])
        .stdin(fs::File::open(scan.path("list")).unwrap())
        .spawn()
        .unwrap();
    wait_for_records(&scan.path("out.csv"));
    child.kill().unwrap();
    child.wait().unwrap();
    let mut text = fs::read_to_string(scan.path("out.csv")).unwrap();
    text.push_str("2026-11-24T08:00:00.000000Z,198.1");
    fs::write(scan.path("out.csv"), &text).unwrap();
    let again = scan.run(&["syn", "--resume", "checkpoint", "--rate", "20k"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
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
    let output = scan.run(&[
        "syn",
        "-f",
        "list",
        "-p",
        "80",
        "--allow-reserved",
        "--cooldown",
        "1",
        "--max-results",
        "9",
        "-o",
        "out.jsonl",
        "--checkpoint",
        "checkpoint",
    ]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let before = fs::read(scan.path("out.jsonl")).unwrap();
    fs::write(scan.path("list"), "198.19.0.0/25\n").unwrap();
    let refused = scan.run(&["syn", "--resume", "checkpoint"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("put the files back"), "{}", stderr(&refused));
    assert_eq!(fs::read(scan.path("out.jsonl")).unwrap(), before);
    // Nor is an output that somebody has cut taken for ours.
    fs::write(scan.path("list"), "198.19.0.0/24\n").unwrap();
    fs::write(scan.path("out.jsonl"), "").unwrap();
    let refused = scan.run(&["syn", "--resume", "checkpoint"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("is not the output of this scan"), "{}", stderr(&refused));
    fs::write(scan.path("out.jsonl"), before).unwrap();
    let again = scan.run(&["syn", "--resume", "checkpoint", "--max-results", "1000"]);
    assert_eq!(again.status.code(), Some(0), "{}", stderr(&again));
    assert_eq!(scan.found("out.jsonl").len(), 256);
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

//! Flags, files, pipes, signals and exit codes of `mrpf syn`, each as a user meets it.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    process::{Command, Stdio},
    time::Duration,
};

use mrpf_lab::{
    Lab,
    gate::{self, Need},
};
use mrpf_records::State;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::world::{
    bare_command, check_arrivals, command, found, json, mrpf, output, records, stderr, syn,
};

/// A lab whose hosts all have port 80 open.
fn lab() -> Lab {
    Lab::builder().open(80).start().unwrap()
}

/// Runs a command that must fail before it sends: the exit code, and the words of the mend.
#[track_caller]
fn check_refused(args: &[&str], code: i32, words: &str) {
    let output = output(args);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    assert!(said.contains(words), "{args:?}: {said}");
    assert!(output.stdout.is_empty(), "{args:?}: nothing was scanned");
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn wrong_input_names_its_mend_and_ends_with_2() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let listed = path("targets.txt", "198.19.0.1\n\n# a comment\n198.19.0.999\n");
    let scope = path("scope.txt", "198.19.0.0/33\n");
    let elsewhere = path("elsewhere.txt", "192.0.2.0/24\n");
    let missing = folder.path().join("none.txt").to_str().unwrap().to_owned();
    let ok = ["syn", "198.19.0.1", "-p", "80", "--allow-reserved"];
    let with = |more: &[&str]| -> Vec<String> {
        ok.iter().chain(more).map(|word| (*word).to_owned()).collect()
    };
    let check = |args: &[String], words: &str| {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        check_refused(&args, 2, words);
    };
    check_refused(&["syn", "198.19.0.300", "-p", "80"], 2, "198.19.0.300");
    check_refused(&["syn", "198.19.0.0/33", "-p", "80"], 2, "198.19.0.0/33");
    check_refused(&["syn", "198.19.0.9-198.19.0.1", "-p", "80"], 2, "198.19.0.9-198.19.0.1");
    check_refused(&["syn", "198.19.0.1", "-p", "80,70000"], 2, "70000");
    check_refused(&["syn", "198.19.0.1"], 2, "-p");
    check_refused(&["syn", "-p", "80"], 2, "target");
    // Everything is reserved, and the flag that lifts that is named.
    check_refused(&["syn", "198.19.0.0/24", "-p", "80"], 2, "--allow-reserved");
    check(&with(&["--rate", "fast"]), "10k");
    check(&with(&["--rate", "0"]), "--rate");
    check(&with(&["--retries", "99"]), "--retries");
    check(&with(&["--shard", "1/2"]), "--seed");
    check(&with(&["--source-ports", "61000-61001"]), "--source-ports");
    check(&with(&["-f", &listed]), "targets.txt:4");
    check(&with(&["-f", &missing]), "none.txt");
    check(&with(&["--scope", &scope]), "scope.txt:1");
    check(&with(&["--scope", &missing]), "none.txt");
    check(&with(&["--scope", &elsewhere]), "--scope");
    check(&with(&["--exclude", "198.19.0.0/16"]), "--exclude");
    check(&with(&["-i", "eth7"]), "eth7");
    check(&with(&["-o", "/nonexistent/out.jsonl"]), "/nonexistent/out.jsonl");
}

#[test]
fn without_permission_the_mend_is_sudo_or_setcap() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    if !gate::is_root_of_machine() {
        eprintln!(
            "SKIPPED: command::without_permission_the_mend_is_sudo_or_setcap: needs root, to give it up"
        );
        return;
    }
    let _lab = lab();
    let folder = readable_by_all();
    let output = Command::new("setpriv")
        .args([
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--bounding-set=-all",
            "--inh-caps=-all",
        ])
        .arg(folder.path().join("mrpf"))
        .args(["syn", "198.19.0.1", "-p", "80", "--allow-reserved"])
        .env("MRPF_FENCE", "lab")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("CAP_NET_RAW") && stderr(&output).contains("setcap"),
        "{}",
        stderr(&output)
    );
}

/// The command in a folder that every user may look into, which a checkout in somebody's home is not.
pub(crate) fn readable_by_all() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(mrpf(), folder.path().join("mrpf")).unwrap();
    folder
}

#[test]
fn a_namespace_with_a_way_out_is_refused_under_the_fence() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    // Nothing can leave by this route: it leads to the lab's own world.
    let added =
        Command::new("ip").args(["route", "add", "default", "via", "198.18.0.2"]).status().unwrap();
    assert!(added.success());
    check_refused(&["syn", "198.19.0.1", "-p", "80", "--allow-reserved"], 1, "MRPF_FENCE");
}

#[test]
fn records_go_to_stdout_as_json_and_nothing_else_does() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let output = output(&syn("198.19.3.0/24", &["-p 81 --show all --cooldown 1"]));
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let records = records(&output.stdout);
    assert_eq!(found(&records, State::Open).len(), 256);
    assert_eq!(found(&records, State::Closed).len(), 256);
    assert!(stderr(&output).contains("done: 512 targets"), "{}", stderr(&output));
}

#[test]
fn targets_come_from_stdin_and_a_list_goes_out() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let mut child =
        command(&["syn", "-f", "-", "--allow-reserved", "--format", "list", "-q", "-p", "80"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"198.19.0.7\n198.19.0.8:81 # closed\n198.19.0.9:80\n")
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let mut lines: Vec<&str> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["198.19.0.7:80", "198.19.0.9:80"]);
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""), "quiet is quiet");
}

#[test]
fn the_summary_adds_up_and_agrees_with_the_interface() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = lab();
    let folder = tempfile::tempdir().unwrap();
    let (out, summary) = (folder.path().join("out.jsonl"), folder.path().join("summary.json"));
    let files = ["-o", out.to_str().unwrap(), "--summary", summary.to_str().unwrap()];
    let args = syn("198.19.0.0/20", &["--rate max --exclude 198.19.0.0/24"]);
    let output = output(&[args.as_slice(), &files].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stdout.is_empty());
    let records = records(&fs::read(&out).unwrap());
    assert_eq!(records.len(), 4_096 - 256);
    let summary = json(&summary);
    let number = |path: &str| {
        summary
            .pointer(path)
            .and_then(serde_json::Value::as_u64)
            .unwrap_or_else(|| panic!("{path}: {summary}"))
    };
    assert_eq!(summary["complete"], true);
    assert_eq!(number("/records"), 3_840);
    assert_eq!(number("/states/open"), 3_840);
    assert_eq!(number("/targets/excluded_listed"), 256);
    assert_eq!(number("/counters/sent"), number("/interface/tx_packets"));
    let seen = number("/counters/received") + number("/counters/ring_drops");
    check_arrivals(&lab, number("/interface/rx_packets"), seen);
    assert!(number("/counters/resets") >= 3_840);
}

#[test]
fn a_dry_run_sends_nothing_and_needs_nothing() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let sent = || {
        let dev = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        dev.lines().find(|line| line.trim_start().starts_with("s0:")).unwrap().to_owned()
    };
    let before = sent();
    let output = output(&["syn", "198.19.0.0/16", "-p", "80,443", "--allow-reserved", "--dry-run"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(&output);
    assert!(said.contains("131,072"), "{said}");
    assert_eq!(sent(), before);
}

#[test]
fn limits_end_a_scan_and_say_so() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let first = output(&syn("198.19.0.0/16", &["--max-results 100"]));
    assert_eq!(
        (first.status.code(), records(&first.stdout).len()),
        (Some(3), 100),
        "{}",
        stderr(&first)
    );
    assert!(
        stderr(&first).contains("not complete (stopped by --max-results"),
        "{}",
        stderr(&first)
    );
    let second = output(&syn("198.19.0.0/16", &["--max-time 1"]));
    assert_eq!(second.status.code(), Some(3));
    assert!(stderr(&second).contains("stopped by --max-time"), "{}", stderr(&second));
    assert!(records(&second.stdout).len() > 1_000);
}

#[test]
fn an_interrupt_keeps_what_was_found_and_ends_with_130() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.jsonl");
        let mut child = bare_command(&syn("198.19.0.0/16", &["--rate 5k -o out.jsonl"]))
            .current_dir(folder.path()) // where its checkpoint goes
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let has_begun = || fs::metadata(&out).is_ok_and(|file| file.len() > 20_000);
        for _ in 0..500 {
            if has_begun() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130));
        let output = child.wait_with_output().unwrap();
        let said = stderr(&output);
        assert!(said.contains("not complete (interrupted"), "{said}");
        let records = records(&fs::read(&out).unwrap());
        assert!(records.len() > 50);
        let told = format!("{} records written to", indicatif_count(records.len()));
        assert!(said.contains(&told), "{told}: {said}");
    }
}

/// 1234 as 1,234.
fn indicatif_count(n: usize) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_scan_quietly() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let mut child = command(&syn("198.19.0.0/16", &["--rate 5k"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(records(line.as_bytes()).len(), 1);
    drop(lines);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.signal(), None);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("the reader closed the pipe"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("panicked"));
}

/// What fits on the disk is kept, in whole lines, and the error names the file and what to do.
#[test]
fn a_full_disk_keeps_whole_records_and_ends_with_1() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept.jsonl");
    // A disk of 64 KiB in a mount namespace of its own, which ends with the shell.
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs '{0}' || exit 99
         '{1}' syn 198.19.0.0/16 -p 80 --allow-reserved --rate 20k -o '{0}/out.jsonl'
         code=$?
         cat '{0}/out.jsonl' >&3
         exit $code",
        folder.path().join("disk").display(),
        mrpf().display(),
    );
    fs::create_dir(folder.path().join("disk")).unwrap();
    let output = Command::new("unshare")
        .args(["--mount", "bash", "-c", &format!("exec 3>'{}'\n{script}", kept.display())])
        .env("MRPF_FENCE", "lab")
        .output()
        .unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("out.jsonl") && said.contains("free some space"), "{said}");
    let records = records(&fs::read(&kept).unwrap());
    assert!(records.len() > 100, "{}", records.len());
    assert!(said.contains(&format!("{} whole records are kept", records.len())), "{said}");
}

#[test]
fn an_interface_that_vanishes_ends_the_scan_with_1_and_what_was_found() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    for (how, args) in
        [("deleted", ["link", "del", "s0"].as_slice()), ("down", &["link", "set", "s0", "down"])]
    {
        let _lab = lab();
        let mut child = command(&syn("198.19.0.0/16", &["--rate 5k"]))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut text = String::new();
        for _ in 0..100 {
            lines.read_line(&mut text).unwrap();
        }
        assert!(Command::new("ip").args(args).status().unwrap().success());
        while lines.read_line(&mut text).unwrap() > 0 {}
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{how}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("interface s0 went away or down"),
            "{how}: {}",
            stderr(&output)
        );
        assert!(records(text.as_bytes()).len() >= 100);
    }
}

#[test]
fn pretty_output_and_files_are_for_people_and_programs() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = lab();
    let output = output(&syn("198.19.0.0/30", &["--format pretty"]));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines().any(|line| line.contains("198.19.0.1") && line.contains("open")),
        "{text}"
    );
}

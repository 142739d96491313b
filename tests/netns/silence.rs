//! The kernel of the scanner says nothing while we speak, and nothing is left behind.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
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

use crate::world::{bare_command, kernel_tcp, run, scan, syn};

#[test]
fn the_kernel_sends_no_reset_and_no_rule_is_needed() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let lab = Lab::builder().open(80).start().unwrap();
    let before = (kernel_tcp("OutRsts"), kernel_tcp("OutSegs"));
    let (records, summary) = run(scan("198.19.0.0/18", "80").rate("50k".parse().unwrap()));
    assert_eq!(records.len(), 16_384);
    assert!(summary.counts.resets >= 16_384);
    let after = (kernel_tcp("OutRsts"), kernel_tcp("OutSegs"));
    assert_eq!(after.0, before.0, "resets of the kernel");
    // The self-test of the port guard is all that the kernel sends: one SYN to ourselves, and its repetitions.
    assert!(after.1 - before.1 <= 4, "{before:?} {after:?}");
    assert_eq!(lab.served(), 0, "no connection came to be");
}

/// Without the guard the kernel would answer each SYN-ACK: this is what the test above would see.
#[test]
fn a_kernel_without_a_guard_would_be_heard() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    let before = kernel_tcp("OutRsts");
    // A connection to a closed port of our own: the kernel answers with a reset.
    let refused = std::net::TcpStream::connect(("198.18.0.1", 9)).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    assert_eq!(kernel_tcp("OutRsts"), before + 1);
}

#[test]
fn killed_in_mid_scan_it_leaves_its_ports_free_and_no_file() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let _lab = Lab::builder().open(80).start().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The same ports each time: a second run could not have them if the first still held them.
    let args = syn("198.19.0.0/16", &["--rate 5k --source-ports 61000-61255"]);
    for _ in 0..2 {
        let mut child = bare_command(&args)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        for _ in 0..100 {
            assert!(lines.next().unwrap().unwrap().contains("\"state\":\"open\""));
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        kill(pid, Signal::SIGKILL).unwrap();
        child.wait().unwrap();
        assert!(lines.all(|line| line.is_ok()));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    // The kernel takes a moment to give ring memory back; sockets are gone at once.
    let held = || {
        let sockets = std::fs::read_to_string("/proc/thread-self/net/packet").unwrap();
        let listening = std::fs::read_to_string("/proc/thread-self/net/tcp").unwrap();
        (sockets.lines().count() - 1, listening.lines().count() - 1)
    };
    for _ in 0..50 {
        if held() == (0, 0) {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("packet and TCP sockets are left: {:?}", held());
}

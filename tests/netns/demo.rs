//! `mrpf demo` and `mrpf lab`, as root and as an ordinary user.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use mrpf_lab::{
    demo,
    gate::{self, Need},
};
use mrpf_records::State;

use crate::{
    command::readable_by_all,
    world::{found, output, records, stderr},
};

/// Runs the demo in a folder of its own and checks what it leaves there.
#[track_caller]
fn check_demo(as_ordinary_user: bool) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let readable = readable_by_all();
    let binary = readable.path().join("mrpf");
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "300"]);
    if as_ordinary_user {
        command.args([
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            "--inh-caps=-all",
        ]);
    }
    let output =
        command.arg(binary).args(["demo", "--quiet"]).current_dir(folder.path()).output().unwrap();
    let said = stderr(&output) + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let records = records(&fs::read(folder.path().join("mrpf-demo.jsonl")).unwrap());
    let [open, closed, silent, unreachable] = demo::totals();
    assert_eq!(found(&records, State::Open).len() as u64, open);
    assert_eq!(found(&records, State::Closed).len() as u64, closed);
    assert_eq!(found(&records, State::Silent).len() as u64, silent);
    assert_eq!(found(&records, State::Unreachable).len() as u64, unreachable);
    assert!(said.contains("mrpf-demo.jsonl"), "it says where the records lie: {said}");
}

#[test]
fn the_demo_tells_the_truth_as_root() {
    if gate::permits(&[Need::Netns]) {
        check_demo(false);
    }
}

#[test]
fn the_demo_tells_the_truth_as_an_ordinary_user() {
    if !gate::permits(&[Need::Netns, Need::Userns]) {
        return;
    }
    if gate::is_root_of_machine() {
        check_demo(true);
    } else {
        eprintln!(
            "SKIPPED: demo::the_demo_tells_the_truth_as_an_ordinary_user: the other demo is run by one already"
        );
    }
}

#[test]
fn a_command_runs_inside_a_lab_that_dies_with_it() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let mrpf = crate::world::mrpf();
    let mrpf = mrpf.to_str().unwrap();
    let scan = ["lab", "run", "--", mrpf, "syn", "198.19.0.0/28", "-p", "80", "--allow-reserved"];
    let first = output(&scan);
    assert_eq!(first.status.code(), Some(0), "{}", stderr(&first));
    assert_eq!(records(&first.stdout).len(), 16);
    let second = output(&["lab", "run", "--", "sh", "-c", "exit 7"]);
    assert_eq!(second.status.code(), Some(7));
    let killed = output(&["lab", "run", "--", "sh", "-c", "kill -KILL $$"]);
    assert_eq!(killed.status.code(), Some(137));
    let missing = output(&["lab", "run", "--", "no-such-program"]);
    assert!(stderr(&missing).contains("no-such-program"), "{}", stderr(&missing));
    assert_ne!(missing.status.code(), Some(0));
}

#[test]
fn a_lab_can_be_up_for_as_long_as_wanted() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    if !gate::is_root_of_machine() || std::path::Path::new("/run/netns/mrpf-lab").exists() {
        eprintln!(
            "SKIPPED: demo::a_lab_can_be_up_for_as_long_as_wanted: needs root, and no lab of yours that is up"
        );
        return;
    }
    let _down = Down;
    let up = output(&["lab", "up"]);
    assert_eq!(up.status.code(), Some(0), "{}", stderr(&up));
    let again = output(&["lab", "up"]);
    assert!(stderr(&again).contains("mrpf lab down"), "{}", stderr(&again));
    let status = output(&["lab", "status"]);
    let pinged = Command::new("ip")
        .args(["netns", "exec", "mrpf-lab", "ip", "-o", "addr", "show", "s0"])
        .output()
        .unwrap();
    let down = output(&["lab", "down"]);
    assert_eq!(down.status.code(), Some(0), "{}", stderr(&down));
    assert!(
        String::from_utf8_lossy(&pinged.stdout).contains("198.18.0.1/16"),
        "{}",
        stderr(&pinged)
    );
    assert!(String::from_utf8_lossy(&status.stdout).contains("mrpf-lab"), "{status:?}");
    assert!(!std::path::Path::new("/run/netns/mrpf-lab").exists());
}

/// Ends the lab even when an assertion fails before its test does.
struct Down;

impl Drop for Down {
    fn drop(&mut self) {
        let _ = output(&["lab", "down"]);
    }
}

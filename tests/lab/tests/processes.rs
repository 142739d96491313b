//! Labs in processes of their own: run, named, killed, and of an ordinary user.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use mrpf_lab::gate::{self, Need};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::eventually;

const HOLDER: &str = env!("CARGO_BIN_EXE_mrpf-lab-holder");
/// One named lab at a time on a machine.
static NAME: Mutex<()> = Mutex::new(());

fn holder(args: &[&str]) -> Output {
    Command::new(HOLDER).args(args).stdin(Stdio::null()).output().unwrap()
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A child that is killed when the test fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The threads of all processes that are inside the network namespace with this number.
fn inhabitants(inode: &str) -> usize {
    let inside = format!("net:[{inode}]");
    let of_process = |process: fs::DirEntry| {
        let tasks = fs::read_dir(process.path().join("task")).into_iter().flatten().flatten();
        tasks
            .filter(|task| {
                fs::read_link(task.path().join("ns/net"))
                    .is_ok_and(|link| link.as_os_str() == inside.as_str())
            })
            .count()
    };
    fs::read_dir("/proc").unwrap().flatten().map(of_process).sum()
}

#[test]
fn a_command_runs_in_the_lab_and_gives_its_exit_code() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let run = |script: &str| holder(&["lab", "run", "--", "bash", "-c", script]);
    let output = run("exec 3<>/dev/tcp/198.19.1.2/80 && echo reached; exit 7");
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "reached\n");
    assert_eq!(run("kill -TERM $$").status.code(), Some(128 + 15));
    let missing = holder(&["lab", "run", "--", "no-such-program-of-mrpf"]);
    assert!(text(&missing.stderr).starts_with("cannot run no-such-program-of-mrpf: "));
}

#[test]
fn a_signal_reaches_the_command_and_its_code_comes_back() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let script = "trap 'exit 42' TERM; echo ready; while :; do sleep 0.05; done";
    let mut child = Command::new(HOLDER)
        .args(["lab", "run", "--", "bash", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .map(Killed)
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    kill(Pid::from_raw(child.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(42));
}

#[test]
fn nothing_is_left_of_a_lab_that_was_killed() {
    if !gate::permits(&[Need::Netns, Need::Nft, Need::Nginx]) {
        return;
    }
    let mut child =
        Command::new(HOLDER).arg("everything").stdout(Stdio::piped()).spawn().map(Killed).unwrap();
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let (scanner, world) = line.trim().split_once(' ').unwrap();
    // The main thread; the world's, the listener's, the responder's and nginx.
    assert_eq!((inhabitants(scanner), inhabitants(world)), (1, 4));
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    eventually("nobody is left in its namespaces", || {
        inhabitants(scanner) + inhabitants(world) == 0
    });
}

#[test]
fn an_ordinary_user_runs_a_lab() {
    if !gate::permits(&[Need::Userns]) {
        return;
    }
    // Where an ordinary user may read it.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("holder");
    fs::copy(HOLDER, &program).unwrap();
    let as_nobody = |program: &Path| {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).current_dir("/");
        gate::as_ordinary_user(&mut command);
        command
    };
    let script = "exec 3<>/dev/tcp/198.19.1.2/80 && echo reached";
    let output =
        as_nobody(&program).args(["lab", "run", "--", "bash", "-c", script]).output().unwrap();
    assert_eq!(text(&output.stdout), "reached\n", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(0));

    if !gate::permits(&[Need::Nft, Need::Nginx]) {
        return;
    }
    let mut child =
        as_nobody(&program).arg("everything").stdout(Stdio::piped()).spawn().map(Killed).unwrap();
    let mut line = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains(' '), "all parts of a lab start for an ordinary user");
}

/// The right to make the one lab that has a name, which is ended again whatever becomes of the test.
struct Named {
    _alone: MutexGuard<'static, ()>,
}

impl Drop for Named {
    fn drop(&mut self) {
        let _ = holder(&["lab", "down"]);
    }
}

fn named_lab() -> Option<Named> {
    if !gate::permits(&[Need::Netns]) {
        return None;
    }
    let _alone = NAME.lock().unwrap_or_else(PoisonError::into_inner);
    if !gate::is_root_of_machine() || Path::new("/run/netns/mrpf-lab").exists() {
        eprintln!("\nSKIPPED: a named lab: needs root, and no lab of yours that is up");
        return None;
    }
    Some(Named { _alone })
}

#[test]
fn a_named_lab_is_entered_by_name_and_ended() {
    let Some(_named) = named_lab() else {
        return;
    };
    let up = holder(&["lab", "up"]);
    assert!(up.status.success(), "{}", text(&up.stderr));
    assert!(text(&up.stdout).contains("ip netns exec mrpf-lab"), "{}", text(&up.stdout));
    let again = holder(&["lab", "up"]);
    assert!(text(&again.stderr).contains("is up already"), "{}", text(&again.stderr));
    assert!(text(&holder(&["lab", "status"]).stdout).contains("a lab is up"));
    let entered = Command::new("nsenter")
        .args(["--net=/run/netns/mrpf-lab", "bash", "-c", "exec 3<>/dev/tcp/198.19.1.2/80"])
        .status()
        .unwrap();
    assert!(entered.success());
    assert_eq!(text(&holder(&["lab", "down"]).stdout), "true\n");
    check_gone();
}

#[test]
fn down_takes_away_what_a_killed_holder_left() {
    let Some(_named) = named_lab() else {
        return;
    };
    assert!(holder(&["lab", "up"]).status.success());
    let state = fs::read_to_string("/run/mrpf-lab/holder").unwrap();
    let (pid, _) = state.split_once(' ').unwrap();
    kill(Pid::from_raw(pid.parse().unwrap()), Signal::SIGKILL).unwrap();
    eventually("the holder ended", || holder(&["lab", "status"]).status.code() == Some(1));
    assert!(Path::new("/run/netns/mrpf-lab").exists());
    assert_eq!(text(&holder(&["lab", "down"]).stdout), "true\n");
    check_gone();
}

#[track_caller]
fn check_gone() {
    for path in ["/run/netns/mrpf-lab", "/run/mrpf-lab"] {
        assert!(!Path::new(path).exists(), "{path}");
    }
    assert_eq!(text(&holder(&["lab", "down"]).stdout), "false\n");
    assert_eq!(holder(&["lab", "status"]).status.code(), Some(1));
}

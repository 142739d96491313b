//! The fleet's suite on local processes, and what is theirs alone.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use mrpf_embedded::LocalFleet;
use mrpf_ports::{Fleet, InstanceId, InstanceState, LaunchError, conformance::fleet::Bench};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

struct Processes {
    /// Has a file with its process number for each instance.
    folder: TempDir,
    fleet: LocalFleet,
}

impl Processes {
    fn make() -> Self {
        Self::running("exec sleep 60", Duration::from_secs(5))
    }

    fn running(script: &str, grace: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().display();
        let script = format!("echo $$ > {at}/new.$$; mv {at}/new.$$ {at}/$MRPF_INSTANCE; {script}");
        let command = move || {
            let mut command = Command::new("sh");
            // A case may be over, and the folder gone, before the script begins.
            command.args(["-c", &script]).stderr(Stdio::null());
            command
        };
        Self { folder, fleet: LocalFleet::new(command, grace).unwrap() }
    }

    fn pid(&self, id: &InstanceId) -> Pid {
        let file = self.folder.path().join(&id.0);
        within(Duration::from_secs(5), || fs::exists(&file).unwrap());
        Pid::from_raw(fs::read_to_string(&file).unwrap().trim().parse().unwrap())
    }
}

impl Bench for Processes {
    fn fleet(&self) -> &dyn Fleet {
        &self.fleet
    }

    fn lose(&self, id: &InstanceId) {
        kill(self.pid(id), Signal::SIGKILL).unwrap();
    }
}

mrpf_ports::fleet_conformance!(Processes::make);

#[track_caller]
fn within(limit: Duration, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < end, "not within {limit:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Not even as a zombie.
fn is_there(pid: Pid) -> bool {
    PathBuf::from(format!("/proc/{pid}")).exists()
}

#[test]
fn a_worker_that_does_not_listen_is_killed_after_the_grace() {
    let processes = Processes::running("trap '' TERM; exec sleep 60", Duration::from_millis(400));
    let id = processes.fleet.launch(1, 1).unwrap();
    let pid = processes.pid(&id);
    // The file may be there before the trap is.
    std::thread::sleep(Duration::from_millis(100));
    let start = Instant::now();
    processes.fleet.terminate(&id).unwrap();
    within(Duration::from_secs(3), || !is_there(pid));
    assert!(start.elapsed() >= Duration::from_millis(400), "{:?}", start.elapsed());
    within(Duration::from_secs(1), || {
        processes.fleet.list().unwrap()[0].reason.as_deref() == Some("signal 9")
    });
}

#[test]
fn a_fleet_that_ends_takes_its_workers_along() {
    let processes = Processes::make();
    let pids = [1, 2, 3].map(|slot| processes.pid(&processes.fleet.launch(slot, 1).unwrap()));
    assert!(pids.into_iter().all(is_there));
    drop(processes);
    assert!(!pids.into_iter().any(is_there));
}

#[test]
fn how_a_worker_ended_is_listed() {
    let processes = Processes::running("exit 3", Duration::from_secs(1));
    let id = processes.fleet.launch(4, 2).unwrap();
    within(Duration::from_secs(5), || {
        processes.fleet.list().unwrap()[0].state == InstanceState::Gone
    });
    let listed = processes.fleet.list().unwrap();
    assert_eq!((&listed[0].id, listed[0].slot), (&id, Some((4, 2))));
    assert_eq!(listed[0].reason.as_deref(), Some("exit status 3"));
}

#[test]
fn a_command_that_is_not_there_is_refused() {
    let fleet = LocalFleet::new(|| Command::new("/nowhere/mrpf"), Duration::ZERO).unwrap();
    let refused = fleet.launch(1, 1);
    assert!(
        matches!(refused, Err(LaunchError::Refused(ref why)) if why.contains("/nowhere/mrpf")),
        "{refused:?}"
    );
    assert_eq!(fleet.list().unwrap(), []);
}

#[test]
fn the_list_does_not_grow_for_ever() {
    let fleet = LocalFleet::new(|| Command::new("true"), Duration::ZERO).unwrap();
    for generation in 1..=80 {
        fleet.launch(1, generation).unwrap();
    }
    within(Duration::from_secs(5), || fleet.list().unwrap().len() == 64);
    let oldest = fleet.list().unwrap().iter().filter_map(|instance| instance.slot).min();
    assert!(oldest > Some((1, 1)), "the oldest are forgotten first");
}

//! The program itself, on a machine that is a folder: its metadata service on loopback, and a `systemctl` that only notes.

#![forbid(unsafe_code)]

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use mrpf_cloud::{Cloud, Database, Imds, Instance, InstanceState, Postgres, QueueSettings};
use mrpf_ports::{
    ManagerStore as _,
    clock::after,
    store::{SlotRow, SlotState, Tx},
};
use mrpf_postgres::PgStore;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mrpf-worker");
const INSTANCE: &str = "i-0123456789abcdef0";
/// Longest that anything in these tests takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct World<'a> {
    cloud: Cloud,
    imds: Imds,
    store: PgStore,
    database: Database<'a>,
    own: String,
    manager: String,
    folder: tempfile::TempDir,
    program: Option<Child>,
}

impl World<'_> {
    /// `None` where there is no PostgreSQL, which is said.
    fn new() -> Option<Self> {
        let database = Postgres::shared()?.database();
        PgStore::migrate(&database.url()).unwrap();
        let store = PgStore::open(&database.url()).unwrap();
        let cloud = Cloud::start();
        let own = cloud.queues().create("bare-metal", &QueueSettings::default().max_receives(10));
        let manager = cloud.queues().create("task-manager", &QueueSettings::default());
        let imds = Imds::start(instance(), cloud.clock()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let systemctl = folder.path().join("systemctl");
        fs::write(&systemctl, "#!/bin/sh\necho \"$0 $*\" >>\"${0%/*}/said\"\n").unwrap();
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).unwrap();
        Some(Self { cloud, imds, store, database, own, manager, folder, program: None })
    }

    /// As the manager does once the machine is launched.
    fn give_slot(&self, instance: &str) {
        let row = SlotRow {
            slot: 1,
            generation: 1,
            state: SlotState::Launching,
            instance_id: Some(instance.to_owned()),
            lease_until: Some(after(SystemTime::now().into(), Duration::from_secs(300))),
            is_surplus: false,
        };
        self.within(|tx| tx.put_slot(&row).unwrap());
    }

    fn slot(&self) -> SlotState {
        let mut state = None;
        self.within(|tx| state = tx.slots().unwrap().first().map(|slot| slot.state));
        state.unwrap()
    }

    fn within(&self, mut work: impl FnMut(&mut dyn Tx)) {
        let done = self.store.transaction(&mut |tx| {
            work(tx);
            Ok(())
        });
        done.unwrap();
    }

    /// The program, for a machine with nothing else in its `PATH` than the `systemctl` that only notes.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .env_clear()
            .envs(self.cloud.environment())
            .env("PATH", self.folder.path())
            .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", self.imds.endpoint())
            .env("BARE_METAL_QUEUE_URL", &self.own)
            .env("TASK_MANAGER_QUEUE_URL", &self.manager)
            .env("DATABASE_URL", self.database.login(&["mrpf_bare_metal"]))
            .env("BARE_METAL_IDLE_TIMEOUT_SECS", "300")
            .stdin(Stdio::null());
        command
    }

    fn start(&mut self, arguments: &[&str], environment: &[(&str, &str)]) {
        let mut command = self.command(arguments);
        self.program = Some(command.envs(environment.iter().copied()).spawn().unwrap());
    }

    /// What was asked of `systemctl`.
    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("said")).unwrap_or_default()
    }

    /// Waits until the program has ended by itself.
    #[track_caller]
    fn ended(&mut self) -> ExitStatus {
        let program = self.program.as_mut().unwrap();
        let mut status = None;
        eventually("the program ends", || {
            status = program.try_wait().unwrap();
            status.is_some()
        });
        self.program = None;
        status.unwrap()
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if let Some(mut program) = self.program.take() {
            let _ = program.kill();
            let _ = program.wait();
        }
    }
}

#[track_caller]
fn eventually(what: &str, mut is_true: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_true() {
        assert!(begin.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn instance() -> Instance {
    Instance {
        id: INSTANCE.to_owned(),
        instance_type: "t4g.micro".to_owned(),
        architecture: "arm64".to_owned(),
        image: "ami-0123456789abcdef0".to_owned(),
        subnet: "subnet-a".to_owned(),
        zone: "eu-central-1a".to_owned(),
        private_ip: "10.0.0.7".to_owned(),
        tags: BTreeMap::new(),
        client_token: None,
        shutdown_behavior: "terminate".to_owned(),
        launched_at: Duration::ZERO,
        state: InstanceState::Running,
        reason: None,
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_machine_without_work_leaves_its_slot_draining_and_switches_itself_off() {
    let Some(mut world) = World::new() else { return };
    world.give_slot(INSTANCE);
    world.start(&[], &[("BARE_METAL_IDLE_TIMEOUT_SECS", "3")]);
    eventually("it takes up its slot", || world.slot() == SlotState::Live);
    assert_eq!(world.ended().code(), Some(0));
    assert_eq!(world.slot(), SlotState::Draining);
    let systemctl = world.folder.path().join("systemctl");
    assert_eq!(world.said(), format!("{} poweroff\n", systemctl.display()));
    assert!(world.cloud.misuses().is_empty());
}

#[test]
fn a_machine_that_is_to_be_kept_stays_on() {
    let Some(mut world) = World::new() else { return };
    world.give_slot("a-machine-of-our-own");
    let arguments = ["--keep-machine", "--instance", "a-machine-of-our-own"];
    world.start(&arguments, &[("BARE_METAL_IDLE_TIMEOUT_SECS", "1")]);
    assert_eq!(world.ended().code(), Some(0));
    assert_eq!((world.slot(), world.said().as_str()), (SlotState::Draining, ""));
    assert!(world.imds.asked().is_empty(), "a machine with a name has no metadata service");
}

#[test]
fn a_spot_notice_ends_the_worker_and_sigterm_does_so_in_5_s() {
    let Some(mut world) = World::new() else { return };
    world.give_slot(INSTANCE);
    world.start(&[], &[]);
    eventually("it takes up its slot", || world.slot() == SlotState::Live);
    world.imds.give_spot_notice();
    assert_eq!(world.ended().code(), Some(0));
    assert_eq!((world.slot(), world.said().as_str()), (SlotState::Draining, ""));

    world.give_slot(INSTANCE);
    let looks = |(line, _): &(String, u16)| line.ends_with("/spot/instance-action");
    let looked = world.imds.asked().iter().filter(|asked| looks(asked)).count();
    assert!(looked >= 2, "it looks again and again");
    world.imds = Imds::start(instance(), world.cloud.clock()).unwrap();
    world.start(&[], &[]);
    eventually("it takes up its slot", || world.slot() == SlotState::Live);
    let begin = Instant::now();
    let program = world.program.as_ref().unwrap().id();
    kill(Pid::from_raw(i32::try_from(program).unwrap()), Signal::SIGTERM).unwrap();
    assert_eq!(world.ended().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!((world.slot(), world.said().as_str()), (SlotState::Draining, ""));
    // Whatever comes now finds nobody's poll open that would hide it.
    world.cloud.queues().send(&world.own, "a message");
    thread::sleep(Duration::from_millis(100));
    let left = world.cloud.queues().messages(&world.own);
    assert!(left[0].is_visible && left[0].receives == 0, "{left:?}");
}

#[test]
fn a_worker_that_cannot_begin_does_not_cost_for_ever() {
    let Some(mut world) = World::new() else { return };
    let bad = [
        ("BARE_METAL_IDLE_TIMEOUT_SECS", "1"),
        ("DATABASE_URL", "postgres://worker:s3cret@127.0.0.1:1/mrpf"),
    ];
    world.start(&[], &bad);
    assert_eq!(world.ended().code(), Some(1));
    assert!(world.said().ends_with("systemctl poweroff\n"), "{}", world.said());
}

#[test]
fn a_check_says_all_that_is_wrong_and_touches_nothing() {
    let Some(world) = World::new() else { return };
    world.give_slot(INSTANCE);
    world.cloud.queues().send(&world.own, "a message");
    let said_well = said(&world.command(&["--check", "--keep-machine"]).output().unwrap());
    for line in [
        "OK     settings: all there",
        "OK     identity: i-0123456789abcdef0, t4g.micro in eu-central-1a",
        "OK     AWS: ",
        "OK     bare_metal queue: ",
        "OK     task_manager queue: ",
        "OK     database: ",
        "OK     power: the machine stays on",
    ] {
        assert!(said_well.contains(line), "{line:?} is not in\n{said_well}");
    }
    assert!(!said_well.contains("WRONG  database"), "{said_well}");
    assert_eq!(world.slot(), SlotState::Launching);
    assert_eq!(world.cloud.queues().messages(&world.own)[0].receives, 0);

    let nowhere = world.cloud.queues().url("nowhere");
    let mut command = world.command(&["--check"]);
    command
        .env("BARE_METAL_QUEUE_URL", &nowhere)
        .env("DATABASE_URL", "postgres://worker:s3cret@127.0.0.1:1/mrpf")
        .env("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    let output = command.output().unwrap();
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1));
    for line in ["WRONG  identity: ", "WRONG  bare_metal queue: ", "WRONG  database: "] {
        assert!(said.contains(line), "{line:?} is not in\n{said}");
    }
    assert!(said.contains("OK     task_manager queue") && !said.contains("s3cret"), "{said}");
}

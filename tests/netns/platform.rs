//! `mrpf up` and the commands on its folder, with real workers, scans and signals: what is refused, stopped, killed and mended.
//!
//! ```text
//!  this test --> lab [ hosts that count every SYN ]      commands.rs  what needs no scan: files, ids, pipes
//!            '-> mrpf up [ manager ] --> workers         up.rs      a platform as a process
//! ```

mod commands;
mod up;

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use mrpf_embedded::SqliteStore;
use mrpf_engine::link::sim::hosts::{Behaviour, HostCounts, Hosts, OpenHost};
use mrpf_lab::{
    CertificateLog, Lab, Prefix, certificate_log,
    gate::{self, Need},
};
use mrpf_ports::{Clock as _, ManagerStore as _, clock::SystemClock};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rusqlite::Connection;
use serde_json::Value;

use self::up::{Platform, wait};
use crate::command::readable_by_all;

/// The hosts of the scans: port 80 of each is open.
const HOSTS: Prefix = Prefix::new([198, 19, 0, 0], 19);
const COUNT: u64 = 8_192;
/// Whatever a workflow does after a fault: a lease of a minute runs out, and the reconciler looks every half minute.
const AFTER_A_LEASE: Duration = Duration::from_secs(300);
const SOON: Duration = Duration::from_secs(60);
/// Until this, by what `mrpf stop` promises.
const PROMISE: Duration = Duration::from_secs(5);
/// How long nothing is to be heard after that.
const SILENCE: Duration = Duration::from_secs(3);

/// A lab that counts what reaches [`HOSTS`], and apart from that what reaches the rest of 198.19.0.0/16, where nobody is.
fn lab() -> Lab {
    let all = Prefix::new([198, 19, 0, 0], 16);
    let open = Behaviour::Open(OpenHost::linux());
    let hosts = Hosts::new(1).rule((HOSTS.first(), HOSTS.last()), 80..=80, open);
    Lab::builder().respond(all, hosts).start().unwrap()
}

fn counts(lab: &Lab) -> HostCounts {
    lab.responder().unwrap()
}

/// A workflow of one scan of [`HOSTS`] at `rate` frames a second, which are half as many hosts: each is sent a SYN and a RST.
fn scan(rate: u32) -> String {
    let input = format!(
        "{{ targets = [\"{HOSTS}\"], ports = \"80\", rate = {rate}, retries = 0, cooldown_secs = 1, seed = 7 }}"
    );
    format!(
        "name = \"scan\"\nscope = {{ addresses = [\"{HOSTS}\"] }}\n[[task]]\nname = \"scan\"\nrun = \"TcpSynScan\"\ninput = {input}\n"
    )
}

/// Waits until the hosts have seen `syns` of a scan.
#[track_caller]
fn scanned(lab: &Lab, syns: u64) {
    let has = || (counts(lab).syns_open >= syns).then_some(());
    wait(&format!("the scan has not got to {syns} SYNs"), SOON, has);
}

/// That the task `scan` of workflow `id` has found every host.
#[track_caller]
fn check_found(platform: &Platform, id: &str) {
    let rows = platform.rows(&format!("results {id} --task scan"));
    let open = rows.iter().filter(|row| row["state"] == "open" && row["port"] == 80);
    let found: BTreeSet<Ipv4Addr> =
        open.map(|row| row["ip"].as_str().unwrap().parse().unwrap()).collect();
    assert_eq!(found.len() as u64, COUNT);
    assert!(found.iter().all(|ip| HOSTS.contains(*ip)));
}

/// That from [`PROMISE`] after `begin` on not one frame reaches a host.
#[track_caller]
fn check_silent(lab: &Lab, begin: Instant) {
    thread::sleep(PROMISE.saturating_sub(begin.elapsed()));
    let before = counts(lab);
    thread::sleep(SILENCE);
    let after = counts(lab);
    assert_eq!((after.frames, after.syns_open), (before.frames, before.syns_open));
}

#[test]
fn what_lies_outside_the_scope_is_not_touched_and_is_recorded() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (lab, log, platform) = (lab(), CertificateLog::start().unwrap(), Platform::new());
    let _up = platform.up(&[("CRTSH_BASE_URL", &log.url())]);
    let store = SqliteStore::open(platform.data().join("store.db")).unwrap();
    let now = SystemClock.now();
    store.transaction(&mut |tx| tx.put_blocked("198.19.0.64/26".parse().unwrap(), now)).unwrap();
    let workflow = format!(
        r#"
name = "half"
[scope]
domains = ["{}"]
addresses = ["198.19.0.0/24"]
exclude = ["198.19.0.255"]
[[task]]
name = "certificates"
run = "CrtSh"
input = {{ domain = "{}" }}
[[task]]
name = "in-scope"
run = "FilterInScope"
input = {{ from = {{ task = "certificates" }}, field = "/name" }}
[[task]]
name = "partly"
run = "TcpSynScan"
input = {{ targets = ["198.19.0.0/25", "198.19.0.192-198.19.1.63", "198.19.40.0/24"], ports = "80", rate = 1000, retries = 0, cooldown_secs = 1, seed = 7 }}
[[task]]
name = "beyond"
run = "TcpSynScan"
input = {{ targets = ["198.19.2.0/24", "198.19.41.7"], ports = "80", rate = 1000, retries = 0, cooldown_secs = 1, seed = 7 }}
"#,
        certificate_log::DOMAIN,
        certificate_log::DOMAIN
    );
    let id = platform.submit(&workflow);
    platform.ends(&id, "failed", SOON);

    // 0 to 63 and 192 to 254; 64 to 127 are blocked.
    let open = platform.rows(&format!("results {id} --task partly"));
    let found: BTreeSet<&str> = open.iter().map(|row| row["ip"].as_str().unwrap()).collect();
    let inside = (0..64).chain(192..255).map(|host| format!("198.19.0.{host}"));
    assert_eq!(found, inside.collect::<Vec<_>>().iter().map(String::as_str).collect());
    let seen = counts(&lab);
    assert_eq!((seen.syns_open, seen.syns_unclaimed), (127, 0), "{seen:?}");

    let status = platform.ask(&format!("status {id}"));
    assert!(status.contains("failed: beyond: out-of-scope: "), "{status}");
    assert!(status.contains(&format!("mrpf results {id} --refused")), "{status}");
    let refused = platform.rows(&format!("results {id} --refused"));
    let refused: BTreeSet<(&str, &str)> = refused
        .iter()
        .map(|row| (row["what"].as_str().unwrap(), row["why"].as_str().unwrap()))
        .collect();
    let names = certificate_log::out_of_scope();
    let expected = [
        ("198.19.0.64/26", "blocklisted"),
        ("198.19.0.255", "excluded"),
        ("198.19.1.0/26", "out-of-scope"),
        ("198.19.40.0/24", "out-of-scope"),
        ("198.19.2.0/24", "out-of-scope"),
        ("198.19.41.7", "out-of-scope"),
    ];
    let names = names.iter().map(|name| (name.as_str(), "out-of-scope"));
    assert_eq!(refused, names.chain(expected).collect());
    let passed = platform.rows(&format!("results {id} --task in-scope"));
    let passed: BTreeSet<&str> = passed.iter().map(|row| row["name"].as_str().unwrap()).collect();
    let names = certificate_log::in_scope();
    assert_eq!(passed, names.iter().map(String::as_str).collect());
}

#[test]
fn a_stopped_scan_sends_nothing_and_goes_on_at_its_checkpoint() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (lab, platform) = (lab(), Platform::new());
    let _up = platform.up(&[]);
    let id = platform.submit(&scan(800));
    scanned(&lab, 4_000);
    platform.ask("stop");
    let begin = Instant::now();
    let later = platform.submit(
        "name = \"later\"\nscope = { domains = [\"a.example\"] }\n[[task]]\nname = \"list\"\nrun = \"ListModels\"\ninput = { model = \"domain\" }\n",
    );
    check_silent(&lab, begin);
    let before = counts(&lab).syns_open;
    assert!(before < COUNT, "the scan was over before it was stopped");
    assert_eq!(platform.state(&id), "running");
    assert_eq!(platform.task_state(&later, "list"), "ready", "nothing is given out");
    let status = platform.ask("status");
    assert!(status.starts_with("stopped: "), "{status}");
    assert_eq!(platform.rows("status --json")[0]["stopped"], true);

    platform.ask("stop --undo");
    platform.ends(&later, "succeeded", SOON);
    platform.ends(&id, "succeeded", Duration::from_secs(120));
    check_found(&platform, &id);
    // What was sent in the last second, and has not been answered for sure, is sent again.
    let again = counts(&lab).syns_open - COUNT;
    assert!(again <= 1_000, "{again} SYNs were sent twice: it began anew");
}

#[test]
fn a_cancelled_scan_ends_and_its_results_are_dropped() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (lab, platform) = (lab(), Platform::new());
    let _up = platform.up(&[]);
    let id = platform.submit(&scan(800));
    // Long enough that a checkpoint was saved, with parts before it.
    scanned(&lab, 4_000);
    assert!(parts(&platform) > 0, "something of it is stored");
    let said = platform.run(&format!("cancel {}", &id[..id.len() - 1]));
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    let begin = Instant::now();
    check_silent(&lab, begin);
    assert!(counts(&lab).syns_open < COUNT, "the scan was over before it was cancelled");
    assert_eq!(platform.state(&id), "cancelled");
    assert_eq!(platform.task_state(&id, "scan"), "cancelled");
    assert_eq!(platform.rows(&format!("results {id} --task scan")), [] as [Value; 0]);
    assert_eq!(parts(&platform), 0);
    let again = platform.run(&format!("cancel {id}"));
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    // Its worker is free for others.
    let id = platform.submit(&scan(10_000));
    platform.ends(&id, "succeeded", SOON);
    check_found(&platform, &id);
}

/// How much output of tasks is stored, in parts.
fn parts(platform: &Platform) -> u64 {
    let store = Connection::open(platform.data().join("store.db")).unwrap();
    store.query_row("SELECT count(*) FROM task_data", [], |row| row.get(0)).unwrap()
}

/// Both wait for a lease to run out, so they wait at the same time, each in a lab of its own.
#[test]
fn a_killed_worker_and_a_killed_platform_lose_nothing() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    thread::scope(|scope| {
        scope.spawn(kill_a_worker);
        scope.spawn(kill_the_platform);
    });
}

fn kill_a_worker() {
    let (lab, platform) = (lab(), Platform::new());
    let _up = platform.up(&[]);
    let id = platform.submit(&scan(600));
    scanned(&lab, 5_500);
    let workers = platform.workers("bare_metal");
    let [worker] = workers[..] else { panic!("one task, and the workers {workers:?}") };
    kill(worker, Signal::SIGKILL).unwrap();
    check_goes_on(&lab, &platform, &id);
    assert!(!platform.workers("bare_metal").contains(&worker));
}

fn kill_the_platform() {
    let (lab, platform) = (lab(), Platform::new());
    let up = platform.up(&[]);
    let id = platform.submit(&scan(600));
    scanned(&lab, 5_500);
    let workers = platform.processes().len() - 1;
    assert!(workers >= 4, "one external, two internal, one bare-metal worker, and {workers} there");
    up.kill();
    wait("workers have outlived their manager", Duration::from_secs(10), || {
        platform.processes().is_empty().then_some(())
    });
    let _up = platform.up(&[]);
    check_goes_on(&lab, &platform, &id);
}

/// That a scan whose worker is gone at two thirds of it, or later, is finished by another.
#[track_caller]
fn check_goes_on(lab: &Lab, platform: &Platform, id: &str) {
    assert!(counts(lab).syns_open < COUNT, "the scan was over before its worker was");
    platform.ends(id, "succeeded", AFTER_A_LEASE);
    check_found(platform, id);
    // A checkpoint is 5 s old, or a little more, and does not speak for the second before it.
    let again = counts(lab).syns_open - COUNT;
    assert!(again <= 4_000, "{again} SYNs were sent twice: it began anew");
    let slots = platform.rows("status --json");
    let launched: u64 = slots.iter().filter_map(|row| row["generation"].as_u64()).sum();
    assert!(launched >= 2, "another worker was launched: {slots:?}");
}

#[test]
fn a_platform_that_is_asked_to_end_gives_back_and_goes_on_next_time() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    let (lab, platform) = (lab(), Platform::new());
    let mut up = platform.up(&[]);
    let taken = platform.run("up");
    assert_eq!(taken.status.code(), Some(2), "{taken:?}");
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(
        said.contains("a platform runs on") && said.contains("--data another folder"),
        "{said}"
    );
    let external = platform.workers("external");
    let id = platform.submit(&scan(800));
    for (signal, at) in [(Signal::SIGTERM, 2_500), (Signal::SIGINT, 5_000)] {
        scanned(&lab, at);
        for worker in &external {
            check_has_no_store(*worker);
        }
        let (code, took) = up.end(signal);
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(8), "{signal} took {took:?}");
        assert_eq!(platform.processes(), [], "nothing is left");
        let sent = counts(&lab).syns_open;
        assert!(sent < COUNT, "the scan was over before {signal}");
        up = platform.up(&[]);
        // It was given back, so nobody waits for a lease to run out.
        let begin = Instant::now();
        scanned(&lab, sent + 1);
        assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    }
    platform.ends(&id, "succeeded", SOON);
    check_found(&platform, &id);
    let again = counts(&lab).syns_open - COUNT;
    assert!(again <= 2_000, "{again} SYNs were sent twice: it began anew");
}

/// That a worker of public services has the queues open, and no store.
#[track_caller]
fn check_has_no_store(worker: Pid) {
    let Ok(open) = std::fs::read_dir(format!("/proc/{worker}/fd")) else { return };
    let open: Vec<_> = open.flatten().flat_map(|entry| entry.path().read_link()).collect();
    let has = |name: &str| open.iter().any(|path| path.file_name().is_some_and(|it| it == name));
    assert!(has("queue.db") && !has("store.db"), "{open:?}");
}

#[test]
fn without_privileges_a_scan_fails_with_its_mend_and_nothing_runs_hot() {
    if !gate::permits(&[Need::Netns]) {
        return;
    }
    if !gate::is_root_of_machine() {
        eprintln!(
            "SKIPPED: platform::without_privileges_a_scan_fails_with_its_mend_and_nothing_runs_hot: needs root, to give it up"
        );
        return;
    }
    let (lab, platform, program) = (lab(), Platform::new(), readable_by_all());
    let _up = platform.up_without_privileges(&program.path().join("mrpf"));
    let submitted = platform.ask("submit recon --address 198.19.0.0/24 --ports 80");
    let id = submitted.trim();
    platform.ends(id, "failed", SOON);
    let status = platform.ask(&format!("status {id}"));
    let failed = status.lines().find(|line| line.contains("failed: TcpSynScan: not-configured: "));
    let failed = failed.unwrap_or_else(|| panic!("{status}"));
    assert!(failed.contains("CAP_NET_RAW") && failed.contains("setcap"), "{failed}");
    assert_eq!(counts(&lab).frames, 0);
    let before = cpu_time(&platform);
    thread::sleep(Duration::from_secs(4));
    let used = cpu_time(&platform).saturating_sub(before);
    assert!(used < Duration::from_secs(1), "{used:?} in 4 s without work");
    let slots = platform.rows("status --json");
    let launched: u64 = slots.iter().filter_map(|row| row["generation"].as_u64()).sum();
    assert_eq!(launched, 1, "{slots:?}");
}

/// Processor time of all processes of a platform: proc_pid_stat(5).
fn cpu_time(platform: &Platform) -> Duration {
    /// USER_HZ of every Linux that anybody runs us on.
    const TICK: Duration = Duration::from_millis(10);
    let ticks = |(pid, _): (Pid, String)| {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"));
        let stat = stat.ok()?;
        let (_, fields) = stat.rsplit_once(") ")?;
        // utime and stime; the state behind the name is field 3.
        let fields = fields.split(' ').skip(11).take(2);
        fields.map(|field| field.parse::<u32>().ok()).sum::<Option<u32>>()
    };
    platform.processes().into_iter().filter_map(ticks).map(|ticks| TICK * ticks).sum()
}

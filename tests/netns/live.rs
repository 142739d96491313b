//! Live frames at real servers: `mrpf syn` finds all there is as fast as it goes, and knows what its link has lost.
//!
//! ```text
//! mrpf --- live frames, redirected ---> w0: pass ---> the kernel of the world, nginx
//!      <--- taken by its program ------ SYN-ACKs ----'
//! ```
//!
//! nginx is one server that has all addresses, and the kernel under it works on the CPUs that the scan sends with: so the far end
//! is slower than the scan, frames are lost on the way to it, and retries have to make up for that.

use std::{
    collections::BTreeSet,
    env, fs,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use mrpf_engine::{
    governor::Rate,
    link::{Tx, interface::Interface, xdp::XdpTx},
};
use mrpf_lab::{
    Lab, Pass,
    gate::{self, Need},
    veth,
};
use mrpf_records::State;
use tempfile::TempDir;

use crate::{
    exact::{HOSTS, hosts_v4},
    killed::number,
    world::{bare_command, found, json, kernel_tcp, records, stderr, syn, words_of_the_world},
};

/// What a scan may have in memory at any time, in octets.
const MOST_MEMORY: u64 = 150_000_000;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// After that, nothing comes of a scan that is over: a second until a SYN-ACK is sent again (RFC 6298), and some more.
const LATE: Duration = Duration::from_millis(1_500);
/// What `-v` says of the link.
const LIVE: &str = "link: XDP sends and receives (native) on s0, asked for";

/// How often all hosts are to be found, one time after another.
fn times() -> u32 {
    if env::var_os("MRPF_FULL").is_some() { 5 } else { 1 }
}

/// The most memory that a process has had present at a time until now, in octets: VmHWM of proc_pid_status(5). `None` when it
/// has come to its end.
fn peak(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1_024)
}

/// Waits for the end of a scan; also gives the most memory that it had.
#[track_caller]
fn watch(mut child: Child) -> (Output, u64) {
    let (begin, mut most) = (Instant::now(), 0);
    while child.try_wait().unwrap().is_none() {
        most = peak(child.id()).unwrap_or(most);
        if begin.elapsed() > PATIENCE {
            child.kill().unwrap();
        }
        thread::sleep(Duration::from_millis(5));
    }
    (child.wait_with_output().unwrap(), most)
}

#[test]
fn every_host_of_nginx_is_found_by_live_frames_each_time() {
    if !gate::permits(&[Need::Netns, Need::Nginx, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().nginx(80).start().unwrap();
    let _pass = Pass::attach(lab.world(), "w0").unwrap();
    let hosts: BTreeSet<_> = hosts_v4().map(|host| (host, 80)).collect();
    for time in 1..=times() {
        let folder = TempDir::new().unwrap();
        let resets = kernel_tcp("OutRsts");
        let words = "--link xdp --rate max -v -o out.jsonl --summary summary.json";
        let mut command = bare_command(&syn("198.19.0.0/16", &[words]));
        command.current_dir(&folder).stdout(Stdio::null()).stderr(Stdio::piped());
        let (output, memory) = watch(command.spawn().unwrap());
        let said = stderr(&output);
        assert!(said.lines().any(|line| line == LIVE), "it sends live frames: {said}");
        let records = records(&fs::read(folder.path().join("out.jsonl")).unwrap());
        let open = found(&records, State::Open);
        let summary = json(&folder.path().join("summary.json"));
        println!(
            "time {time}: {} hosts in {} s, {} probes, {} lost, {} resets, {} lost, {memory} octets",
            open.len(),
            summary["elapsed_s"],
            number(&summary, "/counters/probes"),
            number(&summary, "/counters/dropped_redirect"),
            number(&summary, "/counters/resets"),
            number(&summary, "/interface/tx_dropped"),
        );
        let missing: Vec<_> = hosts.difference(&open).collect();
        assert!(
            missing.is_empty() && records.len() == HOSTS && open.is_subset(&hosts),
            "time {time}: {} of {HOSTS} are missing, from {:?} on, of {} records; {summary}\nthe world: {}",
            missing.len(),
            missing.first(),
            records.len(),
            words_of_the_world(&lab),
        );
        // Where the world had no room for more than a thousandth of the frames it is told, though a retry has made up for each.
        let was_lossy = number(&summary, "/counters/dropped_redirect") > 0;
        let code = output.status.code();
        assert!(code == Some(0) || code == Some(3) && was_lossy, "time {time}: {said}");
        assert_eq!((&summary["link"], &summary["ended"]), (&"xdp".into(), &"through".into()));
        let counter = |name: &str| number(&summary, &format!("/counters/{name}"));
        let interface = |name: &str| number(&summary, &format!("/interface/{name}"));
        // What the other end of the pair saw, and what it had no room for: lost resets are among what was sent, as the program
        // does not hear of that. Whoever did not get his says his SYN-ACK again, perhaps when all had been counted, and the
        // program answers each.
        let made = counter("sent") + counter("dropped_redirect");
        let told = interface("tx_packets") + interface("tx_dropped");
        let later = interface("rx_packets") - counter("received") - counter("ring_drops");
        assert!((made..=made + later).contains(&told), "{made} and {later}, {told}: {summary}");
        assert_eq!(kernel_tcp("OutRsts"), resets, "time {time}: resets of the kernel");
        assert!((1..=MOST_MEMORY).contains(&memory), "time {time}: {memory} octets of memory");
        // Hosts whose reset was lost say their SYN-ACK again after a second, and the kernel, to which the ports belong again
        // then, refuses it: before the next time, which is to be without.
        thread::sleep(LATE);
    }
}

/// The variable that makes the next test the process that it starts.
const SENDS: &str = "MRPF_TEST_SENDS_WITHOUT_TRACEPOINTS";

/// A kernel may have no tracepoints for programs, or not for this process. A whole scan cannot be had so here, as what withholds
/// them, CAP_PERFMON, is needed to receive: so this is the sender alone.
#[test]
fn what_is_lost_is_known_without_tracepoints_too() {
    if env::var_os(SENDS).is_some() {
        return send_without_tracepoints();
    }
    if !gate::permits(&[Need::Netns, Need::Bpf]) {
        return;
    }
    let lab = Lab::builder().start().unwrap();
    let _pass = Pass::attach(lab.world(), "w0").unwrap();
    lab.world().run(receive_by_a_thread).unwrap();
    let arrived = || {
        let count = || Interface::by_name("w0").unwrap().counters().unwrap().rx_packets;
        lab.world().run(count).unwrap()
    };
    let before = arrived();
    let test = thread::current();
    // CAP_SYS_ADMIN stands for CAP_PERFMON too.
    let mut command = Command::new("setpriv");
    command.arg("--bounding-set=-perfmon,-sys_admin").arg(env::current_exe().unwrap());
    command.arg(test.name().unwrap()).args(["--exact", "--nocapture"]).env(SENDS, "1");
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", stderr(&output));
    let counted = |word: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(word));
        line.unwrap_or_else(|| panic!("no {word}: {said}")).parse::<u64>().unwrap()
    };
    let (sent, lost) = (counted("sent "), counted("lost "));
    println!("{lost} of {sent} were lost");
    assert!(lost > 0, "the world is slower than a sender");
    assert_eq!(sent - lost, arrived() - before);
}

/// Has w0 receive by a thread of its own, which has a queue of 256 frames before it: what comes faster is lost. Else the CPU that
/// sends receives as well, before it sends more.
fn receive_by_a_thread() {
    let script = "mount -t sysfs sysfs /sys && echo 1 >/sys/class/net/w0/threaded";
    let status = Command::new("unshare").args(["--mount", "sh", "-c", script]).status().unwrap();
    assert!(status.success(), "w0 takes no thread: {status}");
}

/// Sends for two seconds as fast as it goes what the kernel at the other end throws away, and says how much that was.
fn send_without_tracepoints() {
    const LEN: usize = 60;
    let mut tx = XdpTx::open(&Interface::by_name("s0").unwrap(), LEN, Rate::Max).unwrap();
    assert!(format!("{tx:?}").contains("losses: Interface("), "{tx:?}");
    let header = [veth::WORLD.mac.as_slice(), &veth::SCANNER.mac, &[0x88, 0xb5]].concat();
    let (begin, mut sent, mut lost) = (Instant::now(), 0, 0);
    while begin.elapsed() < Duration::from_secs(2) {
        for slot in 0..tx.slots() {
            tx.frame(slot)[..header.len()].copy_from_slice(&header);
        }
        let lens = vec![LEN as u16; tx.slots()];
        sent += u64::from(tx.send(&lens).unwrap().sent);
        lost += tx.lost();
    }
    // The program takes what is left, and the interface is asked ten times a second.
    thread::sleep(Duration::from_millis(500));
    lost += tx.lost();
    println!("sent {sent}\nlost {lost}");
}

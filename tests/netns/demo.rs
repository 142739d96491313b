//! `mrpf demo` and `mrpf lab`, as root and as an ordinary user.

use std::{
    collections::BTreeSet, fs, net::Ipv4Addr, os::unix::fs::PermissionsExt, process::Command,
};

use mrpf_lab::{
    Prefix, certificate_log,
    demo::{self, Certificates, Spoken, Truth},
    gate::{self, Need},
};
use serde_json::Value;

use crate::{
    command::readable_by_all,
    world::{output, records, stderr},
};

/// Runs the demo in a folder of its own and checks what it leaves there.
#[track_caller]
fn check_demo(as_ordinary_user: bool) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let readable = readable_by_all();
    let mrpf = |words: &str| {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "300"]);
        if as_ordinary_user {
            let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];
            command.arg("setpriv").args(nobody);
        }
        command.arg(readable.path().join("mrpf")).args(words.split(' '));
        let output = command.current_dir(folder.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words}: {}", stderr(&output));
        output
    };
    let rows = |words: &str| -> Vec<Value> {
        let text = String::from_utf8(mrpf(words).stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };

    let said = String::from_utf8(mrpf("demo --quiet").stdout).unwrap();
    let data = folder.path().canonicalize().unwrap().join("mrpf-demo-data");
    let says = |line: &&str| line.starts_with("data ") && line.contains(data.to_str().unwrap());
    assert!(said.lines().any(|line| says(&line)), "it says where the data lie: {said}");
    assert!(data.join("queue.db").exists() && data.join("store.db").exists());

    let listed = |model: &str| rows(&format!("results --data mrpf-demo-data --model {model}"));
    let found = listed("endpoint");
    let endpoint = |row: &Value| {
        let port = row["port"].as_u64().unwrap();
        (row["ip"].as_str().unwrap().parse().unwrap(), u16::try_from(port).unwrap())
    };
    let found: BTreeSet<(Ipv4Addr, u16)> = found.iter().map(endpoint).collect();
    let addrs = demo::HOSTS.first().to_bits()..=demo::HOSTS.last().to_bits();
    let addrs = addrs.map(Ipv4Addr::from_bits).filter(|addr| !OUT_OF_SCOPE.contains(*addr));
    let open = addrs.flat_map(|addr| demo::PORTS.map(|port| (addr, port)));
    let open: BTreeSet<_> = open.filter(|it| demo::truth(it.0, it.1) == Truth::Open).collect();
    assert!(found == open, "{} endpoints, and {} ports are open", found.len(), open.len());
    let certificates = Certificates::make().unwrap();
    let shown = listed("endpoint-certificate");
    let shown = shown.iter().filter(|row| row["position"] == 0);
    let hash = |row: &Value| row["sha256"].as_str().unwrap().to_owned();
    let shown: BTreeSet<_> = shown.map(|row| (endpoint(row), hash(row))).collect();
    let leaf = |port: &(Ipv4Addr, u16)| match demo::spoken(port.0, port.1) {
        Some(Spoken::Certificate(number)) => Some((*port, certificates.leaf(number))),
        _ => None,
    };
    let truth: BTreeSet<_> = open.iter().filter_map(leaf).collect();
    assert!(shown == truth, "{} hosts show a leaf, and {} have one", shown.len(), truth.len());
    let found: BTreeSet<_> = listed("certificate").iter().map(hash).collect();
    let leaves = truth.into_iter().map(|(_, hash)| hash);
    assert_eq!(found, leaves.chain([certificates.intermediate()]).collect());

    let names = listed("domain");
    let names = names.iter().map(|row| row["name"].as_str().unwrap().to_owned());
    let truth = certificate_log::in_scope().into_iter().chain(demo::names_of_certificates());
    assert_eq!(names.collect::<BTreeSet<_>>(), truth.collect());

    let records = listed("domain-record");
    let text = |row: &Value, field: &str| row[field].as_str().unwrap().to_owned();
    let record = |row: &Value| (text(row, "domain"), text(row, "rtype"), text(row, "data"));
    let truth = demo::records().into_iter();
    let truth = truth.map(|(name, rtype, data)| (name, rtype.to_owned(), data));
    assert_eq!(records.iter().map(record).collect::<BTreeSet<_>>(), truth.collect());

    let status = rows("status --data mrpf-demo-data --json");
    let of = |kind: &str| status.iter().filter(|row| row["type"] == kind).collect::<Vec<_>>();
    let [workflow] = of("workflow")[..] else { panic!("one workflow: {status:?}") };
    assert_eq!((&workflow["state"], &workflow["name"]), (&"succeeded".into(), &"recon".into()));
    let slots = of("slot");
    assert!(!slots.is_empty() && slots.iter().all(|slot| slot["state"] == "free"), "{status:?}");
    let launched: u64 = slots.iter().map(|slot| slot["generation"].as_u64().unwrap()).sum();
    assert!(launched >= 1, "a worker was launched on demand: {status:?}");
    let id = workflow["id"].as_str().unwrap();
    let refused = rows(&format!("results --data mrpf-demo-data --refused {id}"));
    let refused: BTreeSet<&str> = refused.iter().map(|row| row["what"].as_str().unwrap()).collect();
    let mut out = [certificate_log::out_of_scope(), demo::names_of_others()].concat();
    out.push(OUT_OF_SCOPE.to_string());
    assert_eq!(refused, out.iter().map(String::as_str).collect());
}

/// What the scope of the demo leaves out.
const OUT_OF_SCOPE: Prefix = Prefix::new([198, 19, 255, 0], 24);

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

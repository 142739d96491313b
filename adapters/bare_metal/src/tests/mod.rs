//! Scans on the simulated network, as a worker would have them done.

mod dns;
mod tls;
mod world;

use std::{collections::BTreeSet, num::NonZeroU64};

use mrpf_engine::{
    link::sim::{Faults, hosts::Behaviour},
    target::Target,
    time::Instant,
};
use mrpf_ports::{Finished, store::Checkpoint};
use mrpf_tasks::{ErrorKind, Scope, TaskError};
use proptest::prelude::*;
use serde_json::json;

use self::world::{Ends, Run, Store, found, hosts, input, input_of, net, scope};
use crate::Settings;

fn settings(rate: u64) -> Settings {
    Settings {
        max_rate: NonZeroU64::new(rate).unwrap(),
        allow_reserved: true,
        ..Settings::default()
    }
}

#[test]
fn everything_that_is_open_is_found_once_and_goes_to_recon() {
    let (store, mut run) = (Store::default(), Run::new(scope(), input()));
    let finished = run.work(&settings(100_000), net(1, Faults::default()), &store).unwrap();
    assert_eq!(finished, Finished::default());
    let expected: BTreeSet<Target> = hosts().0.into_iter().collect();
    assert_eq!(found(&run.output).len(), run.output.len(), "a record twice");
    assert_eq!(found(&run.output), expected);
    assert_eq!(store.endpoints(), expected);
    assert_eq!(run.progress, (600, Some(600)));
    assert_eq!(run.probed(), 600);
}

#[test]
fn hosts_where_everything_is_open_are_said_to_be_noise() {
    let input = json!({
        "targets": ["198.19.1.1"], "ports": "1-20", "rate": 1_000, "retries": 0, "cooldown_secs": 1, "seed": 7,
    });
    let (store, mut run) = (Store::default(), Run::new(scope(), input));
    run.hosts = Some(Behaviour::open());
    run.work(&settings(1_000), net(1, Faults::default()), &store).unwrap();
    let kinds: Vec<&str> =
        run.output.iter().map(|record| record["type"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "host").count(), 1, "{kinds:?}");
    assert_eq!(store.endpoints().len(), 20);
}

/// Runs one after the other, each ended at a random point, until one is through.
fn in_pieces(ends: &[Ends], rate: u64, faults: Faults) -> Result<(), TestCaseError> {
    let (store, mut run) = (Store::default(), Run::new(scope(), input()));
    let mut probed = 0;
    let mut pieces = ends.iter().copied();
    loop {
        run.ends = pieces.next().unwrap_or(Ends::Never);
        let result = run.work(&settings(rate), net(7, faults), &store);
        probed += run.probed();
        match result {
            Ok(_) => break,
            Err(error) => {
                let expected = match run.ends {
                    Ends::Stopped(_) => ErrorKind::Cancelled,
                    _ => ErrorKind::WorkerLost,
                };
                prop_assert_eq!(error.kind, expected, "{}", error);
            }
        }
    }
    let expected: BTreeSet<Target> = hosts().0.into_iter().collect();
    prop_assert_eq!(found(&run.output), expected.clone(), "left out, or found where nothing is");
    prop_assert_eq!(store.endpoints(), expected);
    // What comes twice was asked twice: it lay between a mark and the end of what had been asked.
    let repeats = (run.output.len() - found(&run.output).len()) as u64;
    prop_assert!(repeats <= probed - 600, "{repeats} repeats, and {probed} probes");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_found_in_pieces_is_everything(
        ends in prop::collection::vec(prop_oneof![
            (0..60_u64).prop_map(Ends::Stopped),
            (0..60_u64).prop_map(Ends::Killed),
        ], 0..6),
        rate in prop_oneof![Just(150_u64), Just(1_000), Just(20_000)],
        duplicate in prop_oneof![Just(0.0), Just(0.3)],
    ) {
        in_pieces(&ends, rate, Faults { duplicate, ..Faults::default() })?;
    }
}

#[test]
fn a_run_that_was_stopped_has_saved_what_it_found() {
    let (store, mut run) = (Store::default(), Run::new(scope(), input()));
    run.ends = Ends::Stopped(20);
    let error = run.work(&settings(1_000), net(1, Faults::default()), &store).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled);
    let (saved, before) = (run.saved.clone().unwrap(), run.output.len());
    assert!(before > 0 && saved.parts as usize == before, "{saved:?} of {before}");
    let mark = saved.position["mark"].as_u64().unwrap();
    assert!(mark < 600, "it was through before it was stopped");
    run.ends = Ends::Never;
    run.work(&settings(1_000), net(1, Faults::default()), &store).unwrap();
    assert_eq!(run.probed(), 600 - mark, "it goes on at the mark");
    assert!(run.output.len() > before);
}

#[test]
fn nothing_goes_to_what_is_outside_excluded_or_blocked() {
    let scope: Scope = serde_json::from_value(json!({
        "addresses": ["198.19.0.0/25"], "exclude": ["198.19.0.9"],
    }))
    .unwrap();
    let store = Store { blocklist: vec!["198.19.0.16/30".parse().unwrap()], ..Store::default() };
    let targets = ["198.19.0.0/24", "203.0.113.7"];
    let mut run = Run::new(scope, input_of(&targets, "80-82"));
    run.work(&settings(100_000), net(1, Faults::default()), &store).unwrap();
    let last = |target: &Target| match target.addr {
        std::net::IpAddr::V4(addr) => addr.octets()[3],
        std::net::IpAddr::V6(addr) => panic!("{addr} was never a target"),
    };
    let may = |last: u8| last < 128 && last != 9 && !(16..20).contains(&last);
    let asked: BTreeSet<u8> = run.probes.lock().unwrap().keys().map(last).collect();
    assert_eq!(asked, (0..=255).filter(|last| may(*last)).collect());
    let refusals = store.refusals.lock().unwrap();
    let mut told: Vec<(&str, &str, &str)> =
        refusals.iter().map(|row| (row.what.as_str(), row.why.as_str(), row.by.as_str())).collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            ("198.19.0.128/25", "out-of-scope", "bare_metal"),
            ("198.19.0.16/30", "blocklisted", "bare_metal"),
            ("198.19.0.9", "excluded", "bare_metal"),
            ("203.0.113.7", "out-of-scope", "bare_metal"),
        ]
    );
}

/// That a task is refused without a packet.
#[track_caller]
fn check_refused(run: &mut Run, settings: &Settings, kind: ErrorKind, words: &str) -> TaskError {
    let store = Store::default();
    let error = run.work(settings, net(1, Faults::default()), &store).unwrap_err();
    assert_eq!(error.kind, kind, "{error}");
    assert!(error.message.contains(words), "{error}");
    assert_eq!(run.probed(), 0);
    assert!(run.output.is_empty() && run.saved.is_none());
    error
}

#[test]
fn a_task_of_which_nothing_may_be_touched_fails_and_says_why() {
    let mut run = Run::new(scope(), input_of(&["203.0.113.0/24"], "80"));
    let store = Store::default();
    let error = run.work(&settings(1_000), net(1, Faults::default()), &store).unwrap_err();
    assert_eq!((error.kind, run.probed()), (ErrorKind::OutOfScope, 0));
    assert_eq!(store.refusals.lock().unwrap().len(), 1);
    let public_only = Settings { allow_reserved: false, ..settings(1_000) };
    let mut run = Run::new(scope(), input());
    check_refused(&mut run, &public_only, ErrorKind::OutOfScope, "reserved");
}

#[test]
fn a_task_that_takes_more_than_six_hours_is_refused() {
    // 256 addresses, 60,000 ports and 3 attempts at 2,000 frames a second are 6.4 h.
    let mut input = input_of(&["198.19.0.0/24"], "1-60000");
    input["retries"] = json!(2);
    input["rate"] = json!(1_000_000);
    let mut run = Run::new(scope(), input.clone());
    check_refused(&mut run, &settings(2_000), ErrorKind::Input, "more shards");
    // The rate is capped by what each host is to bear, too: 1,000 a second.
    let mut one = input_of(&["198.19.0.1"], "-");
    one["retries"] = json!(15);
    one["rate"] = json!(40);
    let error =
        check_refused(&mut Run::new(scope(), one), &settings(10_000), ErrorKind::Input, "7 h");
    assert!(error.message.contains("65535 targets at 16 attempts and 40 frames"), "{error}");
    // Half of it is not.
    input["shards"] = json!(2);
    input["shard"] = json!(2);
    let mut run = Run::new(scope(), input);
    run.ends = Ends::Stopped(0);
    let error =
        run.work(&settings(2_000), net(1, Faults::default()), &Store::default()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Cancelled, "{error}");
}

#[test]
fn no_task_is_faster_than_the_worker_allows() {
    let mut input = input();
    input["rate"] = json!(1_000_000);
    let (store, mut run) = (Store::default(), Run::new(scope(), input));
    run.work(&settings(300), net(1, Faults::default()), &store).unwrap();
    let probes = run.probes.lock().unwrap();
    let times = probes.values().flatten();
    let (first, last) = (times.clone().min().unwrap(), times.max().unwrap());
    assert!(last.since(*first).as_secs_f64() > 1.9, "600 probes at 300 a second");
}

#[test]
fn a_link_that_goes_away_is_no_fault_of_the_task_and_costs_nothing() {
    let (store, mut run) = (Store::default(), Run::new(scope(), input()));
    let gone =
        net(1, Faults::default()).gone_at(Instant::START + std::time::Duration::from_millis(300));
    let error = run.work(&settings(1_000), gone, &store).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Resource);
    assert!(!run.output.is_empty() && run.saved.is_some());
    run.work(&settings(1_000), net(1, Faults::default()), &store).unwrap();
    assert_eq!(found(&run.output), hosts().0.into_iter().collect());
}

#[test]
fn a_mark_of_another_order_means_nothing() {
    let (store, mut run) = (Store::default(), Run::new(scope(), input()));
    run.saved = Some(Checkpoint { position: json!({ "mark": 500, "fingerprint": 7 }), parts: 0 });
    run.work(&settings(10_000), net(1, Faults::default()), &store).unwrap();
    assert_eq!(run.probed(), 600);
    run.saved = Some(Checkpoint { position: json!("somewhere"), parts: 0 });
    let error = run.work(&settings(10_000), net(1, Faults::default()), &store).unwrap_err();
    assert_eq!((error.kind, run.probed()), (ErrorKind::Storage, 0));
}

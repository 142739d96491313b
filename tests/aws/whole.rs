//! The bundled workflow, from a domain to stored results, on AWS in small and on moto: what it finds is what it finds on one
//! machine.

use std::time::Duration;

use mrpf_lab::certificate_log;
use serde_json::Value;

use crate::{
    account::Account,
    program::{self, Program, Variables},
    world::{HOSTS, SOON, World, postgres, rows},
};

/// Its rows in three tables, without when they were seen.
type Found = [Vec<String>; 3];

const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn recon_on_aws_in_small_finds_what_it_finds_on_one_machine() {
    let Some((lab, postgres)) = postgres() else { return };
    let world = World::start(lab, &postgres, Account::small(), &[]);
    check(&world);
    assert!(world.account.cloud().misuses().is_empty(), "{:?}", world.account.cloud().misuses());
}

#[test]
fn recon_on_moto_finds_what_it_finds_on_one_machine() {
    let Some((lab, postgres)) = postgres() else { return };
    let Some(account) = Account::moto() else { return };
    check(&World::start(lab, &postgres, account, &[]));
}

#[track_caller]
fn check(world: &World<'_>) {
    let mut manager = world.manager();
    let id = submit(|words| world.ask(words));
    world.ends(&id, "succeeded", PATIENCE);
    let found = found(&id, |words| world.ask(words));
    for (on_aws, here) in found.iter().zip(&on_one_machine(world)) {
        // Not all of thousands of rows: those that differ.
        let differ = |rows: &[String], others: &[String]| -> Vec<String> {
            rows.iter().filter(|row| !others.contains(row)).take(10).cloned().collect()
        };
        assert_eq!(differ(on_aws, here), differ(here, on_aws));
        assert_eq!(on_aws.len(), here.len());
    }
    // And that is something.
    let [names, endpoints, refused] = &found;
    assert_eq!(names.len(), certificate_log::in_scope().len());
    assert_eq!(endpoints.len() as u64, crate::world::COUNT - 256, "{HOSTS} less what is excluded");
    assert!(refused.len() > 1, "{refused:?}");
    // All who can do something have, and machines went when there was nothing to do.
    for (runtime, _) in world.functions() {
        assert!(!runtime.invocations().is_empty() && runtime.init_errors().is_empty());
    }
    assert!((1..=3).contains(&world.machines().came_up()), "{:?}", world.machines());
    program::wait("machines have not gone", SOON, || {
        world.machines().at_work().is_empty().then_some(())
    });
    manager.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(manager.ends(SOON).code(), Some(0), "{}", manager.said());
}

/// The bundled workflow over the lab: its id.
#[track_caller]
fn submit(ask: impl Fn(&str) -> String) -> String {
    let domain = certificate_log::DOMAIN;
    let excluded = "198.19.15.0/24";
    let words = format!(
        "submit recon --domain {domain} --address {HOSTS} --exclude {excluded} --ports 80,443 --rate 6k"
    );
    ask(&words).trim().to_owned()
}

#[track_caller]
fn found(id: &str, ask: impl Fn(&str) -> String) -> Found {
    let words = [
        "results --model domain".to_owned(),
        "results --model endpoint".to_owned(),
        format!("results {id} --refused"),
    ];
    words.map(|words| {
        let mut rows: Vec<String> = rows(&ask(&words)).into_iter().map(timeless).collect();
        rows.sort_unstable();
        rows
    })
}

/// A row without what differs from run to run: when it was seen, and for whom.
fn timeless(mut row: Value) -> String {
    if let Some(row) = row.as_object_mut() {
        for name in ["first_seen", "last_seen", "at", "workflow_id", "task_id"] {
            row.remove(name);
        }
    }
    row.to_string()
}

/// The same with `mrpf up`, in the same lab.
#[track_caller]
fn on_one_machine(world: &World<'_>) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data").display().to_string();
    let variables: Variables = vec![
        ("CRTSH_BASE_URL".to_owned(), world.certificate_log().url()),
        ("BARE_METAL_IDLE_TIMEOUT_SECS".to_owned(), "3".to_owned()),
        ("MAX_BARE_METAL_WORKERS".to_owned(), crate::world::MOST_WORKERS.to_owned()),
    ];
    let args = ["up", "--allow-reserved", "--data", &data];
    let mut up = Program::start("mrpf", &args, &variables, folder.path());
    up.says("the platform is up", SOON);
    let ask = |words: &str| program::ask("mrpf", &format!("{words} --data {data}"), &variables);
    let id = submit(ask);
    program::wait("the workflow has not ended on one machine", PATIENCE, || {
        let row = &rows(&ask(&format!("status {id} --json")))[0];
        (row["state"] != "running").then_some(())
    });
    found(&id, ask)
}

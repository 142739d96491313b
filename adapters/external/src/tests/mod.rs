//! Tasks run through [`runners`](crate::runners) against servers on this machine that speak as the services document it.
//!
//! ```text
//! Runners --ureq--> Server on 127.0.0.1: answers in a row, some of them bad
//!    '--> Hands: what was emitted, slept, said
//! ```

mod censys;
mod crt_sh;
mod hands;
mod keys;
mod refusals;
mod server;
mod shodan;

use std::time::Duration;

use mrpf_ports::Finished;
use mrpf_tasks::{
    Scope, TaskDefinition, TaskError, TaskId, Ticket, WorkflowId,
    message::{Assignment, RunTask},
};
use serde_json::{Value, json};

use self::{
    hands::Hands,
    server::{Reply, Server},
};
use crate::{Limits, Secret, Settings, runners};

/// With letters that a URL writes otherwise.
const TOKEN: &str = "censys_T0ken+of/the=Test";
const KEY: &str = "ShodanKey%of\"Test1";

/// Settings for services that are all at `server`.
fn settings(server: &Server) -> Settings {
    Settings {
        crt_sh: server.url(),
        censys: server.url(),
        shodan: server.url(),
        censys_token: Secret::new(TOKEN),
        censys_organization: Some("11111111-2222-3333-4444-555555555555".to_owned()),
        shodan_key: Secret::new(KEY),
        limits: Limits {
            connect: Duration::from_secs(5),
            call: Duration::from_secs(20),
            body: 1_024 * 1_024,
        },
    }
}

fn order(definition: &str, input: Value) -> RunTask {
    RunTask {
        assignment: Assignment { task_id: TaskId::fresh(), attempt: 1, ticket: Ticket::fresh() },
        workflow_id: WorkflowId::fresh(),
        definition: definition.to_owned(),
        input,
        scope: Scope::default(),
    }
}

/// Runs a task of kind `T`.
fn run<T: TaskDefinition>(
    settings: &Settings,
    hands: &Hands,
    input: Value,
) -> Result<Finished, TaskError> {
    runners(settings).run(hands, &order(T::NAME, input))
}

/// Runs a task of kind `T` to its good end against `replies`: what it emitted, whether it was truncated, what was asked.
#[track_caller]
fn run_well<T: TaskDefinition>(
    replies: impl IntoIterator<Item = Reply>,
    input: Value,
) -> (Vec<Value>, bool, Vec<String>) {
    let (server, hands) = (Server::start(replies), Hands::new());
    let finished = run::<T>(&settings(&server), &hands, input).unwrap();
    assert_eq!(finished.branch, None);
    (hands.items(), finished.truncated, server.requests())
}

/// A good input of each task that asks a service, and how often it asks.
fn inputs() -> [(&'static str, Value); 5] {
    [
        ("CrtSh", json!({ "domain": "example.org" })),
        ("CensysHosts", json!({ "query": "host.ip: 192.0.2.0/24" })),
        ("CensysCertificates", json!({ "query": "cert.names: example.org" })),
        ("ShodanHost", json!({ "ip": "192.0.2.7" })),
        ("ShodanDomain", json!({ "domain": "example.org" })),
    ]
}

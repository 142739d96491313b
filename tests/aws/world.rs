//! A platform on AWS: everything but the manager, which each test starts as it likes.

use std::{
    collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, sync::Arc, time::Duration,
};

use mrpf_cloud::{Database, EventSource, Function, LambdaRuntime, Postgres};
use mrpf_engine::link::sim::hosts::{Behaviour, HostCounts, Hosts, OpenHost};
use mrpf_lab::{
    CertificateLog, Lab, Prefix,
    gate::{self, Need},
};
use serde_json::Value;

use crate::{
    account::Account,
    machines::Machines,
    program::{self, Program, Variables, wait},
};

/// The hosts that are scanned: port 80 of each is open.
pub(crate) const HOSTS: Prefix = Prefix::new([198, 19, 0, 0], 20);
pub(crate) const COUNT: u64 = 4_096;
/// Of an invocation. The function stops what it does some seconds before.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);
/// Bare-metal workers at a time, in all tests but one.
pub(crate) const MOST_WORKERS: &str = "3";
/// Programs come up within this.
pub(crate) const SOON: Duration = Duration::from_secs(60);

/// All that a platform needs, and what it is to find. Dropped in this order.
#[derive(Debug)]
pub(crate) struct World<'a> {
    functions: Vec<(LambdaRuntime, Program)>,
    machines: Machines,
    pub(crate) account: Arc<Account>,
    database: Database<'a>,
    variables: Variables,
    log: CertificateLog,
    pub(crate) lab: Lab,
    folder: tempfile::TempDir,
}

/// A database server, if the machine permits a test what all here need: namespaces and PostgreSQL.
pub(crate) fn postgres() -> Option<(Lab, Postgres)> {
    if !gate::permits(&[Need::Netns]) {
        return None;
    }
    // The server listens on lo of the namespace in which it is started.
    let open = Behaviour::Open(OpenHost::linux());
    let hosts = Hosts::new(1).rule((HOSTS.first(), HOSTS.last()), 80..=80, open);
    let lab = Lab::builder().respond(Prefix::new([198, 19, 0, 0], 16), hosts).start().unwrap();
    Some((lab, Postgres::start()?))
}

impl<'a> World<'a> {
    /// A platform whose manager has yet to be started, but for the one that makes the tables. `more` is set for all programs.
    #[track_caller]
    pub(crate) fn start(
        lab: Lab,
        postgres: &'a Postgres,
        account: Account,
        more: &[(&str, &str)],
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let (account, log) = (Arc::new(account), CertificateLog::start().unwrap());
        let database = postgres.database();
        let mut variables = account.variables();
        let crt_sh = log.url();
        let ours = [
            ("CRTSH_BASE_URL", crt_sh.as_str()),
            ("MAX_BARE_METAL_WORKERS", MOST_WORKERS),
            ("BARE_METAL_IDLE_TIMEOUT_SECS", "3"),
            ("MRPF_LOG", "info"),
        ];
        let all = ours.iter().chain(more);
        variables.extend(all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let with = |url: String| {
            let mut variables = variables.clone();
            variables.push(("DATABASE_URL".to_owned(), url));
            variables
        };
        let owner = with(database.url());
        // Roles and tables are the first manager's.
        let mut first = Program::start("mrpf-manager", &["serve"], &owner, folder.path());
        first.says("the manager is up", SOON);
        drop(first);
        let internal = with(database.login(&["mrpf_internal"]));
        let bare_metal = with(database.login(&["mrpf_bare_metal"]));
        let function = |name: &str, queue: &str, variables: &Variables| {
            let runtime =
                LambdaRuntime::start(Function { name: name.to_owned(), timeout: FUNCTION_TIMEOUT })
                    .unwrap();
            let own =
                runtime.environment().into_iter().map(|(name, value)| (name.to_owned(), value));
            let variables = variables.iter().cloned().chain(own).collect();
            let program = Program::start(name, &[], &variables, folder.path());
            runtime.map(EventSource::new(&account.endpoint(), &account.queue(queue))).unwrap();
            (runtime, program)
        };
        // Outside the VPC nobody knows of a database.
        let functions = vec![
            function("mrpf-lambda-external", "external", &variables),
            function("mrpf-lambda-internal", "internal", &internal),
        ];
        let machines = Machines::watch(&account, &bare_metal, folder.path());
        Self { functions, machines, account, database, variables: owner, log, lab, folder }
    }

    /// A manager that is up.
    #[track_caller]
    pub(crate) fn manager(&self) -> Program {
        let mut manager =
            Program::start("mrpf-manager", &["serve"], &self.variables, self.folder.path());
        manager.says("the manager is up", SOON);
        manager
    }

    pub(crate) fn machines(&self) -> &Machines {
        &self.machines
    }

    pub(crate) fn functions(&self) -> &[(LambdaRuntime, Program)] {
        &self.functions
    }

    pub(crate) fn database(&self) -> &Database<'a> {
        &self.database
    }

    pub(crate) fn certificate_log(&self) -> &CertificateLog {
        &self.log
    }

    /// The manager's environment.
    pub(crate) fn variables(&self) -> &Variables {
        &self.variables
    }

    /// What `mrpf-manager` with `words` answers; it must succeed.
    #[track_caller]
    pub(crate) fn ask(&self, words: &str) -> String {
        program::ask("mrpf-manager", words, &self.variables)
    }

    /// As [`ask`](Self::ask), an answer of a JSON value a line.
    #[track_caller]
    pub(crate) fn rows(&self, words: &str) -> Vec<Value> {
        rows(&self.ask(words))
    }

    /// A workflow in a file: its id.
    #[track_caller]
    pub(crate) fn submit(&self, workflow: &str) -> String {
        let path = self.folder.path().join("workflow.toml");
        fs::write(&path, workflow).unwrap();
        self.ask(&format!("submit {}", path.display())).trim().to_owned()
    }

    /// Waits until the workflow `id` has ended, and checks how.
    #[track_caller]
    pub(crate) fn ends(&self, id: &str, state: &str, patience: Duration) {
        let ended = wait("the workflow has not ended", patience, || {
            let row = &self.rows(&format!("status {id} --json"))[0];
            row["state"].as_str().filter(|state| *state != "running").map(str::to_owned)
        });
        assert_eq!(ended, state, "{}", self.ask(&format!("status {id}")));
    }

    /// What has reached the hosts.
    pub(crate) fn seen(&self) -> HostCounts {
        self.lab.responder().unwrap()
    }

    /// That the task `scan` of workflow `id` has found every host, and none twice but those that were asked twice.
    #[track_caller]
    pub(crate) fn check_found(&self, id: &str) {
        let again = self.seen().syns_open - COUNT;
        let rows = self.rows(&format!("results {id} --task scan"));
        let open: Vec<_> = rows.iter().filter(|row| row["state"] == "open").collect();
        let found: BTreeSet<_> = open.iter().map(|row| row["ip"].as_str().unwrap()).collect();
        assert_eq!(found.len() as u64, COUNT);
        assert!(open.len() as u64 <= COUNT + again, "{} records, {again} asked twice", open.len());
    }
}

/// JSON lines.
#[track_caller]
pub(crate) fn rows(text: &str) -> Vec<Value> {
    let row = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(row).collect()
}

/// A workflow of one scan of [`HOSTS`] at `rate` frames a second, which are half as many hosts: each is sent a SYN and a RST.
pub(crate) fn scan(rate: u32) -> String {
    let input = format!(
        "{{ targets = [\"{HOSTS}\"], ports = \"80\", rate = {rate}, retries = 0, cooldown_secs = 1, seed = 7 }}"
    );
    format!(
        "name = \"scan\"\nscope = {{ addresses = [\"{HOSTS}\"] }}\n[[task]]\nname = \"scan\"\nrun = \"TcpSynScan\"\ninput = {input}\n"
    )
}

//! Hands, a store and a network for one task that is run, and run again.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use mrpf_engine::{
    link::{
        LinkLayer,
        sim::{
            Faults, Network,
            hosts::{Behaviour, Hosts},
        },
    },
    target::Target,
    time::Instant,
    wire::{self, Transport, tcp::Flags},
};
use mrpf_ports::{
    Finished, Hands, StoreError, WorkerStore,
    store::{Checkpoint, Claim, Cursor, Lease, ModelRow, RefusalRow, Renewal, SeenCount},
};
use mrpf_records::{Record, Timestamp};
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, ErrorKind, RunId, Scope, TaskDefinition as _, TaskError,
    TaskId, Ticket, WorkflowId,
    catalogue::{DataRef, Model, TcpSynScan},
    message::{Assignment, NewTask, Run as RunName, RunTask},
};
use serde_json::{Value, json};

use crate::{Link, Settings, runners};

/// When each target was probed.
type Probes = Arc<Mutex<BTreeMap<Target, Vec<Instant>>>>;

/// 200 hosts of three ports each: every third host is open, every third closed, and every third silent. Those that are open,
/// and the hosts.
pub(super) fn hosts() -> (Vec<Target>, Hosts) {
    let (mut open, mut hosts) = (Vec::new(), Hosts::new(7));
    for last in 0..200_u8 {
        let addr = Ipv4Addr::new(198, 19, 0, last);
        let behaviour = match last % 3 {
            0 => {
                open.extend((80..=82).map(|port| Target { addr: addr.into(), port }));
                Behaviour::open()
            }
            1 => Behaviour::closed(),
            _ => Behaviour::Silent,
        };
        hosts = hosts.rule((addr, addr), 0..=u16::MAX, behaviour);
    }
    (open, hosts)
}

/// The network of [`hosts`].
pub(super) fn net(seed: u64, faults: Faults) -> Network {
    Network::new(seed, hosts().1, faults)
}

/// The scope of the lab.
pub(super) fn scope() -> Scope {
    serde_json::from_value(json!({ "addresses": ["198.18.0.0/15"] })).unwrap()
}

/// All 600 targets of [`hosts`].
pub(super) fn input() -> Value {
    input_of(&["198.19.0.0-198.19.0.199"], "80-82")
}

pub(super) fn input_of(targets: &[&str], ports: &str) -> Value {
    json!({
        "targets": targets, "ports": ports, "rate": 100_000, "retries": 1, "cooldown_secs": 1, "seed": 7,
    })
}

/// The open ports among records.
pub(super) fn found(output: &[Value]) -> BTreeSet<Target> {
    let open = |record: &Value| match serde_json::from_value(record.clone()).unwrap() {
        Record::Syn(record) => Some(Target { addr: record.ip, port: record.port }),
        _ => None,
    };
    output.iter().filter_map(open).collect()
}

/// How a run ends before its time, after so many looks at whether it is to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    Never,
    /// It is told to stop.
    Stopped(u64),
    /// Whatever it wants to keep after that is refused.
    Killed(u64),
}

/// A task, and what is kept of it between its runs.
pub(super) struct Run {
    order: RunTask,
    pub(super) hosts: Option<Behaviour>,
    pub(super) ends: Ends,
    /// Each item is a part.
    pub(super) output: Vec<Value>,
    pub(super) saved: Option<Checkpoint>,
    pub(super) progress: (u64, Option<u64>),
    /// Of the last run.
    pub(super) probes: Probes,
}

impl Run {
    pub(super) fn new(scope: Scope, input: Value) -> Self {
        Self::of(TcpSynScan::NAME, scope, input)
    }

    /// Of a kind of task.
    pub(super) fn of(definition: &str, scope: Scope, input: Value) -> Self {
        let assignment =
            Assignment { task_id: TaskId::fresh(), attempt: 1, ticket: Ticket::fresh() };
        let order = RunTask {
            assignment,
            workflow_id: WorkflowId::fresh(),
            definition: definition.to_owned(),
            input,
            scope,
        };
        Self {
            order,
            hosts: None,
            ends: Ends::Never,
            output: Vec::new(),
            saved: None,
            progress: (0, None),
            probes: Probes::default(),
        }
    }

    /// Changes a field of the input.
    pub(super) fn change(&mut self, field: &str, value: Value) {
        self.order.input[field] = value;
    }

    /// Targets that the last run probed.
    pub(super) fn probed(&self) -> u64 {
        self.probes.lock().unwrap().len() as u64
    }

    /// Runs the task once, from its checkpoint if it has one.
    pub(super) fn work(
        &mut self,
        settings: &Settings,
        network: Network,
        store: &Store,
    ) -> Result<Finished, TaskError> {
        // What no checkpoint covers is not the output of the next run.
        self.output.truncate(self.saved.as_ref().map_or(0, |saved| saved.parts as usize));
        let network = match &self.hosts {
            Some(behaviour) => {
                let all = (Ipv4Addr::new(198, 18, 0, 0), Ipv4Addr::new(198, 19, 255, 255));
                let hosts = Hosts::new(7).rule(all, 0..=u16::MAX, behaviour.clone());
                Network::new(7, hosts, Faults::default())
            }
            None => network,
        };
        let probes = Probes::default();
        self.probes = Arc::clone(&probes);
        let network = network.with_tap(Box::new(move |at, frame| {
            if let Some(target) = syn(frame) {
                probes.lock().unwrap().entry(target).or_default().push(at);
            }
        }));
        let run = RunName { assignment: self.order.assignment, run_id: RunId::fresh() };
        let hands = TestHands {
            run,
            checkpoint: self.saved.clone(),
            ends: self.ends,
            store,
            looks: AtomicU64::new(0),
            kept: Mutex::new((std::mem::take(&mut self.output), self.saved.take())),
            progress: Mutex::new(self.progress),
        };
        let settings = Settings { link: Link::Simulated(network), ..settings.clone() };
        let result = runners(settings).run(&hands, &self.order);
        self.progress = *hands.progress.lock().unwrap();
        (self.output, self.saved) = hands.kept.into_inner().unwrap();
        result
    }
}

/// Where a SYN goes.
fn syn(frame: &[u8]) -> Option<Target> {
    let packet = wire::parse(frame, LinkLayer::Ethernet).unwrap();
    match packet.network {
        wire::Network::Ipv4(header, Transport::Tcp(segment)) if segment.flags() == Flags::SYN => {
            Some(Target { addr: header.destination().into(), port: segment.destination_port() })
        }
        _ => None,
    }
}

/// The hands of one run. Each look at the clock takes 200 ms.
struct TestHands<'a> {
    run: RunName,
    checkpoint: Option<Checkpoint>,
    ends: Ends,
    store: &'a Store,
    looks: AtomicU64,
    kept: Mutex<(Vec<Value>, Option<Checkpoint>)>,
    progress: Mutex<(u64, Option<u64>)>,
}

impl TestHands<'_> {
    fn check_alive(&self) -> Result<(), TaskError> {
        match self.ends {
            Ends::Killed(after) if self.looks.load(SeqCst) > after => {
                Err(TaskError::new(ErrorKind::WorkerLost, "killed"))
            }
            _ => Ok(()),
        }
    }
}

impl Hands for TestHands<'_> {
    fn emit(&self, item: Value) -> Result<(), TaskError> {
        self.check_alive()?;
        self.kept.lock().unwrap().0.push(item);
        Ok(())
    }

    fn create(&self, child: NewTask) -> Result<(), TaskError> {
        panic!("a scan makes no tasks: {child:?}")
    }

    fn save(&self, position: Value) -> Result<(), TaskError> {
        self.check_alive()?;
        let mut kept = self.kept.lock().unwrap();
        let parts = kept.0.len() as u32;
        kept.1 = Some(Checkpoint { position, parts });
        Ok(())
    }

    fn run(&self) -> &RunName {
        &self.run
    }

    fn checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoint.as_ref()
    }

    fn progress(&self, done: u64, total: Option<u64>, _: &str) {
        *self.progress.lock().unwrap() = (done, total);
    }

    fn is_stopping(&self) -> bool {
        let looks = self.looks.fetch_add(1, SeqCst);
        matches!(self.ends, Ends::Stopped(after) if looks >= after)
    }

    fn sleep(&self, _: Duration) {}

    fn now(&self) -> Timestamp {
        Timestamp::from_unix_micros(self.looks.load(SeqCst) * 200_000)
    }

    fn store(&self) -> Option<&dyn WorkerStore> {
        Some(self.store)
    }

    fn class(&self) -> &'static str {
        "bare_metal"
    }
}

/// Recon, and nothing else of a store.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) blocklist: Vec<AddressRange>,
    pub(super) refusals: Mutex<Vec<RefusalRow>>,
    pub(super) rows: Mutex<BTreeMap<String, ModelRow>>,
}

impl Store {
    pub(super) fn endpoints(&self) -> BTreeSet<Target> {
        let target = |row: &ModelRow| match row {
            ModelRow::Endpoint(row) if row.transport == "tcp" => {
                Target { addr: row.ip, port: row.port }
            }
            row => panic!("no endpoint: {row:?}"),
        };
        self.rows.lock().unwrap().values().map(target).collect()
    }
}

fn no_part_of_it<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("a scan has no business with this".to_owned()))
}

impl WorkerStore for Store {
    fn claim_task(&self, _: &RunName, _: &Lease<'_>) -> Result<Claim, StoreError> {
        no_part_of_it()
    }

    fn renew_task(
        &self,
        _: &RunName,
        _: &Lease<'_>,
        _: Option<(u64, Option<u64>, &str)>,
    ) -> Result<Renewal, StoreError> {
        no_part_of_it()
    }

    fn release_task(&self, _: &RunName) -> Result<(), StoreError> {
        no_part_of_it()
    }

    fn put_part(&self, _: &RunName, _: u32, _: &Chunk) -> Result<(), StoreError> {
        no_part_of_it()
    }

    fn put_checkpoint(&self, _: &RunName, _: &Checkpoint, _: Timestamp) -> Result<(), StoreError> {
        no_part_of_it()
    }

    fn read(
        &self,
        _: DataRef,
        _: Option<Cursor>,
        _: usize,
    ) -> Result<Vec<(Cursor, Chunk)>, StoreError> {
        no_part_of_it()
    }

    fn insert_rows(
        &self,
        _: &RunName,
        _: CollectionId,
        _: &[(String, Value)],
    ) -> Result<u64, StoreError> {
        no_part_of_it()
    }

    fn upsert(&self, rows: &[ModelRow], _: Timestamp) -> Result<SeenCount, StoreError> {
        let mut known = self.rows.lock().unwrap();
        let mut count = SeenCount::default();
        for row in rows {
            match known.insert(row.key(), row.clone()) {
                None => count.new += 1,
                Some(_) => count.known += 1,
            }
        }
        Ok(count)
    }

    fn list(&self, _: Model, _: Option<&str>, _: usize) -> Result<Vec<ModelRow>, StoreError> {
        no_part_of_it()
    }

    fn known(&self, _: Model, _: &[String]) -> Result<Vec<bool>, StoreError> {
        no_part_of_it()
    }

    fn blocklist(&self) -> Result<Vec<AddressRange>, StoreError> {
        Ok(self.blocklist.clone())
    }

    fn refuse(&self, rows: &[RefusalRow]) -> Result<(), StoreError> {
        self.refusals.lock().unwrap().extend_from_slice(rows);
        Ok(())
    }

    fn refusals(&self, _: WorkflowId) -> Result<Vec<RefusalRow>, StoreError> {
        no_part_of_it()
    }

    fn live_slot(&self, _: &str, _: Timestamp) -> Result<bool, StoreError> {
        no_part_of_it()
    }

    fn drain_slot(&self, _: &str) -> Result<bool, StoreError> {
        no_part_of_it()
    }
}

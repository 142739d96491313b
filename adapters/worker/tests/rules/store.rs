//! A store in memory: one task at a time, fenced as the port says, and slots that do what the test says.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

use mrpf_ports::{
    StoreError, WorkerStore,
    store::{Checkpoint, Claim, Cursor, Lease, ModelRow, RefusalRow, Renewal, SeenCount},
};
use mrpf_records::Timestamp;
use mrpf_tasks::{
    AddressRange, Chunk, CollectionId, RunId, TaskId, WorkflowId,
    catalogue::{DataRef, Model},
    message::Run,
};
use serde_json::Value;

use crate::world::{Gate, Log};

#[derive(Debug)]
pub(crate) struct FakeStore {
    log: Log,
    state: Mutex<State>,
    pub(crate) has_slot: AtomicBool,
    /// Whether no call of a run succeeds.
    pub(crate) is_away: AtomicBool,
    /// Where claims wait first.
    gate: Mutex<Option<Gate>>,
}

#[derive(Debug, Default)]
struct State {
    /// Answers to claims before the ordinary ones.
    claims: VecDeque<Claim>,
    /// The answer to renewals, when it is not the ordinary one.
    renewal: Option<Renewal>,
    holders: BTreeMap<TaskId, RunId>,
    checkpoints: BTreeMap<TaskId, Checkpoint>,
    parts: BTreeMap<u32, Chunk>,
    renewals: Vec<u64>,
}

impl FakeStore {
    pub(crate) fn new(log: &Log) -> Self {
        Self {
            log: log.clone(),
            state: Mutex::default(),
            has_slot: AtomicBool::new(true),
            is_away: AtomicBool::new(false),
            gate: Mutex::default(),
        }
    }

    /// Lets claims wait at a door.
    pub(crate) fn hold_claims(&self, gate: &Gate) {
        *self.gate.lock().unwrap() = Some(gate.clone());
    }

    pub(crate) fn answer_claim(&self, claim: Claim) {
        self.state.lock().unwrap().claims.push_back(claim);
    }

    pub(crate) fn answer_renewals(&self, renewal: Option<Renewal>) {
        self.state.lock().unwrap().renewal = renewal;
    }

    /// Another run takes every task.
    pub(crate) fn fence(&self) {
        let mut state = self.state.lock().unwrap();
        for holder in state.holders.values_mut() {
            *holder = RunId::fresh();
        }
    }

    pub(crate) fn parts(&self) -> BTreeMap<u32, Chunk> {
        self.state.lock().unwrap().parts.clone()
    }

    /// What each renewal said was done.
    pub(crate) fn renewals(&self) -> Vec<u64> {
        self.state.lock().unwrap().renewals.clone()
    }

    pub(crate) fn holders(&self) -> usize {
        self.state.lock().unwrap().holders.len()
    }

    fn held<T>(&self, run: &Run, work: impl FnOnce(&mut State) -> T) -> Result<T, StoreError> {
        if self.is_away.load(SeqCst) {
            return Err(unavailable());
        }
        let mut state = self.state.lock().unwrap();
        if state.holders.get(&run.assignment.task_id) != Some(&run.run_id) {
            return Err(StoreError::Fenced);
        }
        Ok(work(&mut state))
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("the test says so".to_owned())
}

impl WorkerStore for FakeStore {
    fn claim_task(&self, run: &Run, _: &Lease<'_>) -> Result<Claim, StoreError> {
        let gate = self.gate.lock().unwrap().clone();
        if let Some(gate) = gate {
            gate.pass();
        }
        let mut state = self.state.lock().unwrap();
        if let Some(claim) = state.claims.pop_front() {
            return Ok(claim);
        }
        let task = run.assignment.task_id;
        if state.holders.contains_key(&task) {
            return Ok(Claim::Busy);
        }
        state.holders.insert(task, run.run_id);
        Ok(Claim::Held { checkpoint: state.checkpoints.get(&task).cloned() })
    }

    fn renew_task(
        &self,
        run: &Run,
        _: &Lease<'_>,
        progress: Option<(u64, Option<u64>, &str)>,
    ) -> Result<Renewal, StoreError> {
        let held = self.held(run, |state| {
            state.renewals.push(progress.map_or(0, |(done, ..)| done));
            state.renewal.unwrap_or(Renewal::Held)
        });
        match held {
            Err(StoreError::Fenced) => Ok(Renewal::Lost),
            other => other,
        }
    }

    fn release_task(&self, run: &Run) -> Result<(), StoreError> {
        self.held(run, |state| state.holders.remove(&run.assignment.task_id))?;
        self.log.note("released");
        Ok(())
    }

    fn put_part(&self, run: &Run, seq: u32, chunk: &Chunk) -> Result<(), StoreError> {
        self.held(run, |state| {
            state.parts.entry(seq).or_insert_with(|| chunk.clone());
        })
    }

    fn put_checkpoint(
        &self,
        run: &Run,
        checkpoint: &Checkpoint,
        _: Timestamp,
    ) -> Result<(), StoreError> {
        self.held(run, |state| {
            state.checkpoints.insert(run.assignment.task_id, checkpoint.clone());
        })
    }

    fn read(
        &self,
        _: DataRef,
        _: Option<Cursor>,
        _: usize,
    ) -> Result<Vec<(Cursor, Chunk)>, StoreError> {
        Err(unavailable())
    }

    fn insert_rows(
        &self,
        _: &Run,
        _: CollectionId,
        _: &[(String, Value)],
    ) -> Result<u64, StoreError> {
        Err(unavailable())
    }

    fn upsert(&self, _: &[ModelRow], _: Timestamp) -> Result<SeenCount, StoreError> {
        Err(unavailable())
    }

    fn list(&self, _: Model, _: Option<&str>, _: usize) -> Result<Vec<ModelRow>, StoreError> {
        Err(unavailable())
    }

    fn known(&self, _: Model, _: &[String]) -> Result<Vec<bool>, StoreError> {
        Err(unavailable())
    }

    fn blocklist(&self) -> Result<Vec<AddressRange>, StoreError> {
        Err(unavailable())
    }

    fn refuse(&self, _: &[RefusalRow]) -> Result<(), StoreError> {
        Err(unavailable())
    }

    fn refusals(&self, _: WorkflowId) -> Result<Vec<RefusalRow>, StoreError> {
        Err(unavailable())
    }

    fn live_slot(&self, _: &str, _: Timestamp) -> Result<bool, StoreError> {
        let is_ours = self.has_slot.load(SeqCst);
        self.log.note(if is_ours { "slot live" } else { "no slot" });
        Ok(is_ours)
    }

    fn drain_slot(&self, _: &str) -> Result<bool, StoreError> {
        self.log.note("slot draining");
        Ok(self.has_slot.load(SeqCst))
    }
}

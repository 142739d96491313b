//! Machines that do as the tests say.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
};

use mrpf_ports::{Fleet, FleetError, Instance, InstanceId, InstanceState, LaunchError};

/// A fleet that counts.
#[derive(Debug, Default)]
pub(crate) struct Machines(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    machines: BTreeMap<InstanceId, Instance>,
    most: usize,
    launches: usize,
    lists: usize,
    /// What the next launches say instead.
    errors: Vec<LaunchError>,
    /// Machines that were launched although the caller was told of an error.
    is_doubtful: bool,
    ended: Vec<InstanceId>,
    /// Machines that cannot be ended.
    stays: Vec<InstanceId>,
}

impl Machines {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// The most that ever were there at a time, those that power off too.
    pub(crate) fn most(&self) -> usize {
        self.inner().most
    }

    /// How often a machine was asked for.
    pub(crate) fn launches(&self) -> usize {
        self.inner().launches
    }

    /// How often it was asked what there is.
    pub(crate) fn lists(&self) -> usize {
        self.inner().lists
    }

    pub(crate) fn live(&self) -> Vec<InstanceId> {
        let inner = self.inner();
        let live = inner.machines.values().filter(|it| it.state == InstanceState::Live);
        live.map(|it| it.id.clone()).collect()
    }

    /// Those that the manager ended.
    pub(crate) fn ended(&self) -> Vec<InstanceId> {
        self.inner().ended.clone()
    }

    /// The next launch says so.
    pub(crate) fn next_launch(&self, error: LaunchError) {
        self.inner().errors.push(error);
    }

    /// The next launch makes a machine, and its answer is lost.
    pub(crate) fn next_answer_is_lost(&self) {
        self.inner().is_doubtful = true;
    }

    /// A machine cannot be ended from now on, or can.
    pub(crate) fn stays(&self, id: &InstanceId, stays: bool) {
        let mut inner = self.inner();
        inner.stays.retain(|other| other != id);
        if stays {
            inner.stays.push(id.clone());
        }
    }

    /// A machine begins to power off.
    pub(crate) fn goes(&self, id: &InstanceId) {
        self.turn(id, InstanceState::Ending);
    }

    /// A machine is off, or lost.
    pub(crate) fn off(&self, id: &InstanceId) {
        self.turn(id, InstanceState::Gone);
    }

    fn turn(&self, id: &InstanceId, state: InstanceState) {
        if let Some(machine) = self.inner().machines.get_mut(id) {
            machine.state = state;
        }
    }
}

impl Fleet for Machines {
    fn launch(&self, slot: u32, generation: u32) -> Result<InstanceId, LaunchError> {
        let mut inner = self.inner();
        inner.launches += 1;
        if let Some(error) = inner.errors.pop() {
            return Err(error);
        }
        let id = InstanceId(format!("i-{slot}-{generation}"));
        inner.machines.entry(id.clone()).or_insert_with(|| Instance {
            id: id.clone(),
            slot: Some((slot, generation)),
            state: InstanceState::Live,
            reason: None,
        });
        let there = inner.machines.values().filter(|it| it.state != InstanceState::Gone).count();
        inner.most = inner.most.max(there);
        if std::mem::take(&mut inner.is_doubtful) {
            return Err(LaunchError::Unknown("the answer was lost".to_owned()));
        }
        Ok(id)
    }

    fn list(&self) -> Result<Vec<Instance>, FleetError> {
        let mut inner = self.inner();
        inner.lists += 1;
        Ok(inner.machines.values().cloned().collect())
    }

    fn terminate(&self, id: &InstanceId) -> Result<(), FleetError> {
        if self.inner().stays.contains(id) {
            return Err(FleetError(format!("{id} cannot be ended")));
        }
        self.inner().ended.push(id.clone());
        self.off(id);
        Ok(())
    }
}

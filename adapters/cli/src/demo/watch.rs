//! What the platform does, told while it does it: a line for each task that ends and each worker that comes or goes, and on a
//! terminal a live line for each scan.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use mrpf_console::{called, say};
use mrpf_ports::{
    ManagerStore,
    store::{SlotRow, SlotState, TaskFilter, TaskRow, TaskState, WorkflowState},
};
use mrpf_tasks::{TaskId, WorkflowId};

use crate::platform::PlatformError;

/// Looks at a workflow from time to time.
#[derive(Debug)]
pub(super) struct Watch {
    workflow: WorkflowId,
    begin: Instant,
    is_quiet: bool,
    bars: Option<MultiProgress>,
    running: HashMap<TaskId, ProgressBar>,
    states: BTreeMap<TaskId, TaskState>,
    slots: BTreeMap<u32, SlotRow>,
    /// Every machine that was ever seen in a slot.
    machines: BTreeSet<String>,
}

impl Watch {
    pub(super) fn new(workflow: WorkflowId, is_quiet: bool) -> Self {
        let is_live = !is_quiet && io::stderr().is_terminal();
        Self {
            workflow,
            begin: Instant::now(),
            is_quiet,
            bars: is_live.then(MultiProgress::new),
            running: HashMap::new(),
            states: BTreeMap::new(),
            slots: BTreeMap::new(),
            machines: BTreeSet::new(),
        }
    }

    /// Tells what is new; whether the workflow has ended and all bare-metal workers have gone.
    pub(super) fn look(&mut self, store: &dyn ManagerStore) -> Result<bool, PlatformError> {
        let (mut workflow, mut tasks, mut slots) = (None, Vec::new(), Vec::new());
        store.transaction(&mut |tx| {
            workflow = tx.workflow(self.workflow)?;
            tasks = tx.tasks(TaskFilter::Of(self.workflow), usize::MAX)?;
            slots = tx.slots()?;
            Ok(())
        })?;
        tasks.sort_by_key(|task| task.finished_at);
        tasks.iter().for_each(|task| self.task(task));
        slots.iter().for_each(|slot| self.slot(slot));
        let has_ended = workflow.is_none_or(|row| row.state != WorkflowState::Running);
        Ok(has_ended && slots.iter().all(|slot| slot.state == SlotState::Free))
    }

    /// Machines that were launched.
    pub(super) fn launched(&self) -> usize {
        self.machines.len()
    }

    /// Takes the live lines away.
    pub(super) fn finish(&mut self) {
        self.running.drain().for_each(|(_, bar)| bar.finish_and_clear());
    }

    fn task(&mut self, task: &TaskRow) {
        let before = self.states.insert(task.id, task.state);
        if task.state == TaskState::Running {
            if let Some(bars) = &self.bars {
                let bar = self.running.entry(task.id).or_insert_with(|| bars.add(bar(task)));
                show(bar, task);
            }
        } else if let Some(bar) = self.running.remove(&task.id) {
            bar.finish_and_clear();
        }
        if before != Some(task.state) && task.state.is_final() {
            let mut line = format!("{:<12} {}", called(task), task.state.as_str());
            if let Some(error) = &task.error
                && task.state == TaskState::Failed
            {
                line.push_str(&format!(": {error}"));
            } else if task.done > 0 {
                line.push_str(&format!(", {} {}", HumanCount(task.done), task.note));
            }
            if let Some(worker) = &task.worker {
                line.push_str(&format!("  [{worker}]"));
            }
            self.tell(line.trim_end());
        }
    }

    fn slot(&mut self, slot: &SlotRow) {
        let before = self.slots.insert(slot.slot, slot.clone());
        if let Some(machine) = &slot.instance_id
            && self.machines.insert(machine.clone())
        {
            self.tell(&format!("worker {machine} was launched for slot {}", slot.slot));
        }
        if let Some(before) = before
            && before.state != slot.state
        {
            let machine = slot.instance_id.as_ref().or(before.instance_id.as_ref());
            let of = machine.map_or("of a slot", String::as_str);
            match slot.state {
                SlotState::Draining => {
                    self.tell(&format!("worker {of} is idle and looks a last time"))
                }
                SlotState::Free => self.tell(&format!("worker {of} has gone")),
                SlotState::Launching | SlotState::Live => {}
            }
        }
    }

    fn tell(&self, line: &str) {
        if self.is_quiet {
            return;
        }
        let line = format!("{:>6.1} s  {line}", self.begin.elapsed().as_secs_f64());
        match &self.bars {
            // A terminal that has gone is nobody who could be told.
            Some(bars) => drop(bars.println(line)),
            None => say(&line),
        }
    }
}

fn bar(task: &TaskRow) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let template = "          {prefix:<12} [{bar:30}] {human_pos} of {human_len} {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(called(task).to_owned());
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

fn show(bar: &ProgressBar, task: &TaskRow) {
    bar.set_length(task.total.unwrap_or(task.done));
    bar.set_position(task.done);
    bar.set_message(format!("{} [{}]", task.note, task.worker.as_deref().unwrap_or_default()));
}

#[cfg(test)]
mod tests {
    use mrpf_embedded::SqliteStore;
    use mrpf_manager::control;
    use mrpf_ports::{Clock as _, clock::SystemClock};
    use mrpf_tasks::{Registry, Scope};

    use super::*;

    #[test]
    fn a_demo_is_over_when_its_workflow_and_its_workers_are() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        let scope = Scope { domains: vec!["a.example".parse().unwrap()], ..Scope::default() };
        let plan = mrpf_console::recon(scope, None, None, &[]).unwrap();
        let now = SystemClock.now();
        mrpf_manager::submit(&store, &Registry::shipped(), &plan, now).unwrap();
        let slot = |state, instance: Option<&str>| {
            let row = SlotRow {
                slot: 1,
                generation: 1,
                state,
                instance_id: instance.map(str::to_owned),
                lease_until: None,
                is_surplus: false,
            };
            store.transaction(&mut |tx| tx.put_slot(&row)).unwrap();
        };
        let mut watch = Watch::new(plan.id, true);
        slot(SlotState::Launching, None);
        assert_eq!((watch.look(&store).unwrap(), watch.launched()), (false, 0));
        slot(SlotState::Live, Some("one"));
        assert_eq!((watch.look(&store).unwrap(), watch.launched()), (false, 1));
        slot(SlotState::Free, None);
        assert!(!watch.look(&store).unwrap(), "tasks are open");
        control::cancel(&store, plan.id, now).unwrap();
        assert!(watch.look(&store).unwrap());
        slot(SlotState::Draining, Some("two"));
        assert_eq!((watch.look(&store).unwrap(), watch.launched()), (false, 2));
    }
}

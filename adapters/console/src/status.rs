//! `status`: how far workflows are, for people or as JSON lines.

use std::fmt::Write as _;

use indicatif::HumanCount;
use mrpf_manager::status::{self, Group, PlatformStatus, WorkflowStatus};
use mrpf_ports::{
    Clock as _, ManagerStore,
    clock::{SystemClock, between},
    store::{SlotRow, SlotState, TaskRow, TaskState, WorkflowRow},
};
use mrpf_records::Timestamp;
use serde_json::{Value, json};

use crate::{ConsoleError, StatusArgs, answer, exit::DONE, find, results::called};

/// Most failures and refusals that are shown; all are in the JSON.
const LISTED: usize = 10;

/// Shows one workflow, or all.
pub(crate) fn run(
    args: &StatusArgs,
    store: &dyn ManagerStore,
    program: &'static str,
) -> Result<u8, ConsoleError> {
    let now = SystemClock.now();
    let text = match &args.workflow {
        None => {
            let status = status::platform(store)?;
            if args.json { platform_json(&status) } else { platform(&status, now, program) }
        }
        Some(prefix) => {
            let id = find::workflow(store, prefix, program)?.id;
            let status = status::workflow(store, id)?
                .ok_or_else(|| ConsoleError::NoWorkflow { prefix: prefix.clone(), program })?;
            if args.json { workflow_json(&status) } else { workflow(&status, now, program) }
        }
    };
    answer(&text)?;
    Ok(DONE)
}

fn platform(status: &PlatformStatus, now: Timestamp, program: &str) -> String {
    let mut text = String::new();
    if status.control.is_stopped {
        text.push_str(&format!(
            "stopped: nothing is given out; go on with: {program} stop --undo\n"
        ));
    }
    for row in &status.workflows {
        text.push_str(&line(row, now));
        text.push('\n');
    }
    if status.workflows.is_empty() {
        text.push_str(&format!(
            "no workflows; give one: {program} submit recon --domain ... --address ...\n"
        ));
    }
    text.push_str(&slots(&status.slots));
    text.truncate(text.trim_end().len());
    text
}

fn line(row: &WorkflowRow, now: Timestamp) -> String {
    let WorkflowRow { id, name, open, failed, .. } = row;
    let took = between(row.created_at, row.finished_at.unwrap_or(now)).as_secs();
    let state = row.state.as_str();
    format!("{id}  {name:<12} {state:<10} {took:>6} s  {open} open, {failed} failed")
}

fn slots(slots: &[SlotRow]) -> String {
    let count = |state| slots.iter().filter(|slot| slot.state == state).count();
    let mut text = format!(
        "bare-metal workers: {} of {} ({} launching, {} about to go)\n",
        count(SlotState::Live),
        slots.len(),
        count(SlotState::Launching),
        count(SlotState::Draining)
    );
    for slot in slots.iter().filter(|slot| slot.state != SlotState::Free) {
        let machine = slot.instance_id.as_deref().unwrap_or("-");
        // A string takes every write.
        let _ = writeln!(text, "  slot {}  {}  {machine}", slot.slot, slot.state.as_str());
    }
    text
}

fn workflow(status: &WorkflowStatus, now: Timestamp, program: &str) -> String {
    let mut text = line(&status.workflow, now);
    let mut add = |line: String| {
        text.push('\n');
        text.push_str(&line);
    };
    let width = |of: fn(&Group) -> &str| {
        status.groups.iter().map(|group| of(group).len()).max().unwrap_or_default()
    };
    let (name, kind) = (width(|group| &group.name), width(|group| &group.definition));
    for group in &status.groups {
        add(format!("  {:<name$}  {:<kind$}  {}", group.name, group.definition, states(group)));
    }
    for task in &status.running {
        add(format!("  running: {}{}", called(task), how_far(task)));
    }
    for task in status.failed.iter().take(LISTED) {
        let why = task.error.as_ref().map(ToString::to_string).unwrap_or_default();
        add(format!("  failed: {}: {why}", called(task)));
    }
    let more = status.failed.len().saturating_sub(LISTED);
    if more > 0 {
        add(format!("  and {more} more that failed: see --json"));
    }
    if !status.refusals.is_empty() {
        let (id, count) = (status.workflow.id, status.refusals.len());
        add(format!("  not touched: {count} ({program} results {id} --refused)"));
    }
    text
}

fn states(group: &Group) -> String {
    let total: u32 = group.states.values().sum();
    let mut words: Vec<String> = match (total, group.states.keys().next()) {
        (1, Some(state)) => vec![state.as_str().to_owned()],
        _ => group.states.iter().map(|(state, n)| format!("{n} {}", state.as_str())).collect(),
    };
    let (done, all) = group.progress;
    if all > 0 {
        words.push(format!("{} of {}", HumanCount(done), HumanCount(all)));
    }
    words.join(", ")
}

fn how_far(task: &TaskRow) -> String {
    let mut text = String::new();
    if let Some(total) = task.total {
        text = format!(", {} of {} {}", HumanCount(task.done), HumanCount(total), task.note);
    }
    if let Some(worker) = &task.worker {
        text.push_str(&format!(" [{worker}]"));
    }
    text
}

fn platform_json(status: &PlatformStatus) -> String {
    let stopped = json!({ "type": "platform", "stopped": status.control.is_stopped });
    let workflows = status.workflows.iter().map(workflow_row);
    let slots = status.slots.iter().map(|slot| {
        json!({ "type": "slot", "slot": slot.slot, "state": slot.state, "generation": slot.generation,
            "instance": slot.instance_id })
    });
    lines([stopped].into_iter().chain(workflows).chain(slots))
}

fn workflow_row(row: &WorkflowRow) -> Value {
    json!({ "type": "workflow", "id": row.id, "name": row.name, "state": row.state, "open": row.open,
        "failed": row.failed, "created_at": row.created_at, "finished_at": row.finished_at })
}

fn workflow_json(status: &WorkflowStatus) -> String {
    let groups = status.groups.iter().map(|group| {
        let states: serde_json::Map<String, Value> = TaskState::ALL
            .iter()
            .filter_map(|state| Some((state.as_str().to_owned(), (*group.states.get(state)?).into())))
            .collect();
        json!({ "type": "tasks", "name": group.name, "definition": group.definition, "states": states,
            "done": group.progress.0, "total": group.progress.1 })
    });
    let tasks = status.running.iter().chain(&status.failed).map(|task| {
        json!({ "type": "task", "id": task.id, "name": called(task), "definition": task.definition,
            "state": task.state, "attempt": task.attempt, "tries": task.tries, "worker": task.worker,
            "done": task.done, "total": task.total, "note": task.note, "error": task.error })
    });
    let collections = status.collections.iter().map(|row| {
        json!({ "type": "collection", "name": row.name, "total": row.total, "done": row.done, "failed": row.failed,
            "completed_at": row.completed_at })
    });
    lines(
        [workflow_row(&status.workflow)].into_iter().chain(groups).chain(tasks).chain(collections),
    )
}

fn lines(rows: impl Iterator<Item = Value>) -> String {
    rows.map(|row| row.to_string()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_one_has_a_state_and_one_of_many_has_counts() {
        let group = |states: &[(TaskState, u32)], progress| Group {
            name: "scans".to_owned(),
            definition: "TcpSynScan".to_owned(),
            states: states.iter().copied().collect(),
            progress,
        };
        assert_eq!(states(&group(&[(TaskState::Blocked, 1)], (0, 0))), "blocked");
        let many = group(&[(TaskState::Running, 2), (TaskState::Succeeded, 3)], (1_000, 4_000));
        assert_eq!(states(&many), "2 running, 3 succeeded, 1,000 of 4,000");
    }

    #[test]
    fn a_platform_says_what_to_do_next() {
        let slot = |slot, state, instance: Option<&str>| SlotRow {
            slot,
            generation: 1,
            state,
            instance_id: instance.map(str::to_owned),
            lease_until: None,
            is_surplus: false,
        };
        let status = PlatformStatus {
            control: mrpf_ports::store::Control { is_stopped: true },
            workflows: Vec::new(),
            slots: vec![
                slot(1, SlotState::Live, Some("one")),
                slot(2, SlotState::Launching, None),
                slot(3, SlotState::Free, None),
            ],
        };
        let text = platform(&status, SystemClock.now(), "mrpf");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "stopped: nothing is given out; go on with: mrpf stop --undo",
                "no workflows; give one: mrpf submit recon --domain ... --address ...",
                "bare-metal workers: 1 of 3 (1 launching, 0 about to go)",
                "  slot 1  live  one",
                "  slot 2  launching  -",
            ]
        );
        let rows = platform_json(&status);
        let rows: Vec<Value> = rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
        assert_eq!(rows.len(), 4);
        assert_eq!((&rows[0]["stopped"], &rows[1]["state"]), (&true.into(), &"live".into()));
    }
}

//! Every state and every event, against a table written by hand.

use mrpf_tasks::{TaskId, WorkerClass, WorkflowId};
use uuid::Uuid;

use super::*;

const POLICY: Policy = Policy {
    lease: Duration::from_secs(60),
    grace: Duration::from_secs(10),
    patience: Duration::from_secs(900),
    dice: 0,
};

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix_micros(seconds * 1_000_000)
}

fn run(last: u128) -> Run {
    let assignment =
        Assignment { task_id: TaskId(Uuid::nil()), attempt: 3, ticket: Ticket(Uuid::from_u128(9)) };
    Run { assignment, run_id: RunId(Uuid::from_u128(last)) }
}

/// A task in a state as it is found there: given out for the third time where it is out, held by run 1 until 1030 where it
/// runs, with one try left of three.
fn task(state: TaskState) -> TaskRow {
    let is_out = state.is_out();
    let runs = state == TaskState::Running;
    let (id, workflow) = (TaskId(Uuid::nil()), WorkflowId(Uuid::nil()));
    TaskRow {
        state,
        waits_for: if state == TaskState::Blocked { 2 } else { 0 },
        attempt: if is_out { 3 } else { 2 },
        ticket: is_out.then_some(run(1).assignment.ticket),
        tries: 1,
        max_tries: 3,
        not_before: at(900),
        lease_until: is_out.then_some(at(1_030)),
        run_id: runs.then_some(run(1).run_id),
        worker: runs.then(|| "w".to_owned()),
        done: if runs { 5 } else { 0 },
        finished_at: state.is_final().then(|| at(950)),
        ..TaskRow::new(id, workflow, "CrtSh", WorkerClass::External, at(800))
    }
}

/// What differs, by the names of the fields.
fn changes(before: &TaskRow, after: &TaskRow) -> Vec<&'static str> {
    let mut changed = Vec::new();
    macro_rules! compare {
        ($($field:ident)*) => {{
            // Without `..`: a new field must be compared too.
            let TaskRow { $($field: _),* } = before;
            $(if before.$field != after.$field { changed.push(stringify!($field)) })*
        }};
    }
    compare!(
        id workflow_id name parent_id member_of feeds definition class source input dedupe_key state
        waits_for attempt ticket tries max_tries not_before lease_until run_id worker parts branch
        truncated error done total note created_at finished_at
    );
    changed
}

/// A line of the table: the new state, what else changed, and what follows; or why nothing did.
fn told(task: &TaskRow, event: Event<'_>, now: Timestamp) -> String {
    let (next, effects) = match apply(task, event, now, &POLICY) {
        Ok(changed) => changed,
        Err(refused) => return format!("{refused:?}"),
    };
    let mut words = vec![next.state.as_str().to_owned()];
    words.extend(
        changes(task, &next).into_iter().filter(|name| *name != "state").map(str::to_owned),
    );
    if effects.has_ended {
        words.push("ENDED".to_owned());
    }
    if effects.came_back {
        words.push("BACK".to_owned());
    }
    if let Some(wait) = effects.source_wait {
        words.push(format!("WAIT {}", wait.as_secs()));
    }
    words.join(" ")
}

/// All events, each with the time at which it happens.
fn with_events(mut take: impl FnMut(&str, Event<'_>, Timestamp)) {
    let (one, two) = (run(1), run(2));
    let mut other_attempt = one;
    other_attempt.assignment.attempt = 2;
    let mut other_ticket = one;
    other_ticket.assignment.ticket = Ticket(Uuid::from_u128(8));
    let completed = Completed { parts: 4, branch: Some(true), truncated: true };
    let upstream = TaskError::new(ErrorKind::Upstream, "502");
    let input = TaskError::new(ErrorKind::Input, "no");
    let limited = TaskError::new(ErrorKind::RateLimited, "429").after(Duration::from_secs(300));
    let cancelled = TaskError::new(ErrorKind::Cancelled, "told to stop");
    let (now, later) = (at(1_000), at(1_041));
    let progress = Some((7, Some(9), "half"));

    take("met", Event::Met, now);
    take("unmet", Event::Unmet, now);
    take("give out", Event::GiveOut(one.assignment.ticket), now);
    take("give out, not due", Event::GiveOut(one.assignment.ticket), at(899));
    take("put off", Event::PutOff(at(2_000)), now);
    take("reject", Event::Reject(&input), now);
    take("alive", Event::Alive(&one, progress), now);
    take("alive, said by its end", Event::Alive(&one, None), now);
    take("alive, second run", Event::Alive(&two, progress), now);
    take("alive, second run later", Event::Alive(&two, progress), later);
    take("alive, other attempt", Event::Alive(&other_attempt, progress), now);
    take("alive, other ticket", Event::Alive(&other_ticket, progress), now);
    take("complete", Event::Complete(&one, completed), now);
    take("complete, second run", Event::Complete(&two, completed), now);
    take("complete, other attempt", Event::Complete(&other_attempt, completed), now);
    take("complete, other ticket", Event::Complete(&other_ticket, completed), now);
    take("fail", Event::Fail(&one, &upstream), now);
    take("fail for good", Event::Fail(&one, &input), now);
    take("fail, rate limited", Event::Fail(&one, &limited), now);
    take("fail, stopped", Event::Fail(&one, &cancelled), now);
    take("fail, second run", Event::Fail(&two, &upstream), now);
    take("fail, second run later", Event::Fail(&two, &upstream), later);
    take("fail, other attempt", Event::Fail(&other_attempt, &upstream), now);
    take("fail, other ticket", Event::Fail(&other_ticket, &upstream), now);
    take("lease over, too early", Event::LeaseOver, at(1_040));
    take("lease over", Event::LeaseOver, later);
    take("still queued, too early", Event::StillQueued, at(1_040));
    take("still queued", Event::StillQueued, later);
    take("dead letter", Event::DeadLetter(&one.assignment), now);
    take("dead letter later", Event::DeadLetter(&one.assignment), later);
    take("dead letter, other attempt", Event::DeadLetter(&other_attempt.assignment), later);
    take("dead letter, other ticket", Event::DeadLetter(&other_ticket.assignment), later);
    take("recall", Event::Recall, now);
    take("cancel", Event::Cancel, now);
}

/// The number of an event's kind; a new kind does not compile here until it has one, and then [`KINDS`] wants it told.
fn kind(event: Event<'_>) -> usize {
    match event {
        Event::Met => 0,
        Event::Unmet => 1,
        Event::GiveOut(_) => 2,
        Event::PutOff(_) => 3,
        Event::Reject(_) => 4,
        Event::Alive(..) => 5,
        Event::Complete(..) => 6,
        Event::Fail(..) => 7,
        Event::LeaseOver => 8,
        Event::StillQueued => 9,
        Event::DeadLetter(_) => 10,
        Event::Recall => 11,
        Event::Cancel => 12,
    }
}

const KINDS: usize = 13;

const OPEN: [TaskState; 4] =
    [TaskState::Blocked, TaskState::Ready, TaskState::Dispatched, TaskState::Running];

/// One line an event, one column each of the states that are open.
const TABLE: &str = include_str!("table.txt");

#[test]
fn every_state_and_event_is_as_the_table_says() {
    let mut lines = Vec::new();
    let mut kinds = [false; KINDS];
    with_events(|name, event, now| {
        kinds[kind(event)] = true;
        lines.push(format!("{name}:"));
        for state in OPEN {
            lines.push(format!("    {:<10} -> {}", state.as_str(), told(&task(state), event, now)));
        }
    });
    assert_eq!(kinds, [true; KINDS], "an event is missing");
    let said: Vec<&str> = TABLE.lines().filter(|line| !line.starts_with('#')).collect();
    for (ours, said) in lines.iter().zip(&said) {
        assert_eq!(ours, said);
    }
    assert_eq!(lines.len(), said.len());
}

#[test]
fn final_states_never_change() {
    for state in TaskState::ALL.into_iter().filter(|state| state.is_final()) {
        with_events(|name, event, now| {
            let refused = apply(&task(state), event, now, &POLICY);
            assert_eq!(refused, Err(Refused::Over), "{name} {state:?}");
        });
    }
}

/// Any change and what it may never do, whatever the table says.
#[test]
fn what_holds_of_every_change() {
    for state in OPEN {
        let before = task(state);
        with_events(|name, event, now| {
            let Ok((after, effects)) = apply(&before, event, now, &POLICY) else { return };
            assert_eq!(effects.has_ended, after.state.is_final(), "{name}");
            assert_eq!(after.state.is_final(), after.finished_at.is_some(), "{name}");
            assert!(
                after.state.is_final() || after.state.is_out() == after.ticket.is_some(),
                "{name}"
            );
            assert_eq!(after.state.is_out(), after.lease_until.is_some(), "{name}");
            assert!(after.attempt >= before.attempt, "{name}");
            assert_eq!(
                after.attempt > before.attempt,
                matches!(event, Event::GiveOut(_)),
                "{name}"
            );
            assert!(after.tries >= before.tries && after.tries <= after.max_tries, "{name}");
        });
    }
}

#[test]
fn the_last_thing_waited_for_makes_a_task_ready() {
    let mut blocked = task(TaskState::Blocked);
    blocked.waits_for = 1;
    assert_eq!(told(&blocked, Event::Met, at(1_000)), "ready waits_for not_before");
}

#[test]
fn the_last_try_is_the_last() {
    let mut running = task(TaskState::Running);
    running.tries = 2;
    let upstream = TaskError::new(ErrorKind::Upstream, "502");
    let ended = "failed tries lease_until error finished_at ENDED BACK";
    assert_eq!(told(&running, Event::Fail(&run(1), &upstream), at(1_000)), ended);
    assert_eq!(told(&running, Event::LeaseOver, at(1_041)), ended);
}

#[test]
fn a_retry_waits_as_its_error_says() {
    let upstream = TaskError::new(ErrorKind::Upstream, "502");
    let (next, _) =
        apply(&task(TaskState::Running), Event::Fail(&run(1), &upstream), at(1_000), &POLICY)
            .unwrap();
    assert_eq!(next.not_before, at(1_030), "the second failure of a kind that waits 15 s");
    assert_eq!(next.error, Some(upstream));
}

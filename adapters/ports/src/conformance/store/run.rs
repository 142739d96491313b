//! Who holds a task.

use std::{sync::Barrier, thread};

use mrpf_tasks::{Chunk, RunId, TaskId, message::Run};
use serde_json::json;

use super::{Bench, a_run, given_out, lease, now, parts, seconds, stored, ticket, within};
use crate::{
    StoreError,
    clock::after,
    store::{Checkpoint, Claim, Control, Lease, Renewal, TaskState, WorkflowState},
};

const HELD: Claim = Claim::Held { checkpoint: None };

fn chunk(of: &Run, seq: u32) -> Chunk {
    Chunk::Items { items: vec![json!({ "run": of.run_id, "seq": seq })] }
}

#[track_caller]
fn assert_fenced(done: Result<(), StoreError>) {
    assert!(matches!(done, Err(StoreError::Fenced)), "{done:?}");
}

/// A message that was delivered sixteen times makes one run.
pub fn one_of_sixteen_racing_runs_holds_the_task(bench: &dyn Bench) {
    let others: Vec<_> = (0..4).map(|_| bench.other()).collect();
    for _ in 0..10 {
        let at = now();
        let task = given_out(bench.store(), at);
        let start = Barrier::new(16);
        let race = |n: usize| {
            let store = if n < 8 { bench.store() } else { &*others[n % 4] };
            let run = a_run(&task);
            start.wait();
            (run.run_id, store.claim_task(&run, &lease(at)).unwrap())
        };
        let claims: Vec<(RunId, Claim)> = thread::scope(|scope| {
            let race = &race;
            let threads: Vec<_> = (0..16).map(|n| scope.spawn(move || race(n))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let holders: Vec<_> = claims.iter().filter(|(_, claim)| *claim == HELD).collect();
        assert_eq!(holders.len(), 1, "{claims:?}");
        let busy = claims.iter().filter(|(_, claim)| *claim == Claim::Busy).count();
        assert_eq!(busy, 15, "{claims:?}");
        let row = stored(bench.store(), task.id);
        assert_eq!((row.state, row.run_id), (TaskState::Running, Some(holders[0].0)));
        assert_eq!(row.lease_until, Some(lease(at).until));
        assert_eq!(row.worker.as_deref(), Some("worker"));
    }
}

/// Until it is over, however often it was renewed.
pub fn a_run_whose_lease_lives_keeps_others_out(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let (first, second) = (a_run(&task), a_run(&task));
    assert_eq!(store.claim_task(&first, &lease(at)).unwrap(), HELD);
    let claim = |run: &Run, later: u64| {
        bench.other().claim_task(run, &lease(after(at, seconds(later)))).unwrap()
    };
    assert_eq!(claim(&second, 59), Claim::Busy);
    let renewed = store.renew_task(&first, &lease(after(at, seconds(50))), None).unwrap();
    assert_eq!(renewed, Renewal::Held);
    assert_eq!(claim(&second, 109), Claim::Busy);
    assert_eq!(claim(&second, 111), HELD);
    assert_eq!(claim(&first, 112), Claim::Busy);
}

/// Whatever it does is in vain, and says so.
pub fn a_run_that_another_has_followed_can_do_nothing(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let (first, second) = (a_run(&task), a_run(&task));
    store.claim_task(&first, &lease(at)).unwrap();
    let later = after(at, seconds(61));
    assert_eq!(bench.other().claim_task(&second, &lease(later)).unwrap(), HELD);
    let checkpoint = Checkpoint { position: json!(7), parts: 1 };
    assert_eq!(
        store.renew_task(&first, &lease(later), Some((9, None, ""))).unwrap(),
        Renewal::Lost
    );
    assert_fenced(store.put_part(&first, 0, &chunk(&first, 0)));
    assert_fenced(store.put_checkpoint(&first, &checkpoint, later));
    assert_fenced(store.release_task(&first));
    assert_eq!(parts(store, &first), 0);
    let row = stored(store, task.id);
    assert_eq!((row.run_id, row.done), (Some(second.run_id), 0));
    // A third finds no checkpoint.
    let (third, later) = (a_run(&task), after(at, seconds(600)));
    assert_eq!(store.claim_task(&third, &lease(later)).unwrap(), HELD);
}

/// Whatever is wrong with it.
pub fn a_message_that_has_had_its_day_is_stale(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let good = a_run(&task);
    let mut wrong = [good; 3];
    wrong[0].assignment.task_id = TaskId::fresh();
    wrong[1].assignment.attempt = 2;
    wrong[2].assignment.ticket = ticket();
    for run in wrong {
        assert_eq!(store.claim_task(&run, &lease(at)).unwrap(), Claim::Stale, "{run:?}");
        assert_eq!(store.renew_task(&run, &lease(at), None).unwrap(), Renewal::Lost);
        assert_fenced(store.put_part(&run, 0, &chunk(&run, 0)));
    }
    for state in TaskState::ALL.into_iter().filter(|state| !state.is_out()) {
        let mut row = task.clone();
        row.state = state;
        within(store, |tx| tx.put_task(&row));
        assert_eq!(store.claim_task(&good, &lease(at)).unwrap(), Claim::Stale, "{state:?}");
        assert_fenced(store.put_part(&good, 0, &chunk(&good, 0)));
    }
    within(store, |tx| tx.put_task(&task));
    assert_eq!(store.claim_task(&good, &lease(at)).unwrap(), HELD);
}

/// It did not hear the first answer.
pub fn the_same_run_may_claim_again(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let run = a_run(&task);
    store.claim_task(&run, &lease(at)).unwrap();
    store.put_part(&run, 0, &chunk(&run, 0)).unwrap();
    assert_eq!(store.claim_task(&run, &lease(at)).unwrap(), HELD);
    assert_eq!(parts(store, &run), 1);
}

/// Without a wait for the lease.
pub fn a_released_task_can_be_claimed_at_once(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let (first, second) = (a_run(&task), a_run(&task));
    store.claim_task(&first, &lease(at)).unwrap();
    store.release_task(&first).unwrap();
    let row = stored(store, task.id);
    assert_eq!((row.state, row.run_id, row.worker), (TaskState::Dispatched, None, None));
    assert_eq!(row.tries, 0, "no failure");
    assert_fenced(store.release_task(&first));
    assert_eq!(store.renew_task(&first, &lease(at), None).unwrap(), Renewal::Lost);
    assert_eq!(store.claim_task(&second, &lease(at)).unwrap(), HELD);
}

/// What runs can still save what it has.
pub fn a_stopped_platform_stops_runs_and_gives_no_claims(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let (task, waiting) = (given_out(store, at), given_out(store, at));
    let run = a_run(&task);
    store.claim_task(&run, &lease(at)).unwrap();
    within(store, |tx| tx.put_control(Control { is_stopped: true }));
    assert!(within(store, |tx| tx.control()).is_stopped);
    let later = after(at, seconds(1));
    assert_eq!(bench.other().renew_task(&run, &lease(later), None).unwrap(), Renewal::Stop);
    assert_eq!(stored(store, task.id).lease_until, Some(lease(at).until), "not renewed");
    store.put_part(&run, 0, &chunk(&run, 0)).unwrap();
    let checkpoint = Checkpoint { position: json!({ "next": 65_536 }), parts: 1 };
    store.put_checkpoint(&run, &checkpoint, later).unwrap();
    store.release_task(&run).unwrap();
    assert_eq!(store.claim_task(&a_run(&waiting), &lease(at)).unwrap(), Claim::Busy);
    within(store, |tx| tx.put_control(Control { is_stopped: false }));
    assert_eq!(store.claim_task(&a_run(&waiting), &lease(at)).unwrap(), HELD);
    let next = store.claim_task(&a_run(&task), &lease(at)).unwrap();
    assert_eq!(next, Claim::Held { checkpoint: Some(checkpoint) });
}

/// Alone, or with its workflow.
pub fn a_cancelled_task_stops_its_run(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let [alone, with_workflow] = [(); 2].map(|()| given_out(store, at));
    for (task, is_alone) in [(alone, true), (with_workflow, false)] {
        let run = a_run(&task);
        store.claim_task(&run, &lease(at)).unwrap();
        within(store, |tx| {
            if is_alone {
                let mut row = tx.task(task.id)?.expect("the task");
                row.state = TaskState::Cancelled;
                return tx.put_task(&row);
            }
            let mut row = tx.workflow(task.workflow_id)?.expect("the workflow");
            row.state = WorkflowState::Cancelled;
            tx.put_workflow(&row)
        });
        assert_eq!(store.renew_task(&run, &lease(at), None).unwrap(), Renewal::Stop);
        let next = store.claim_task(&a_run(&task), &lease(after(at, seconds(99)))).unwrap();
        assert_eq!(next, Claim::Stale);
        if is_alone {
            assert_fenced(store.put_part(&run, 0, &chunk(&run, 0)));
            assert_fenced(store.release_task(&run));
        }
    }
}

/// The last that was said.
pub fn progress_is_kept(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let run = a_run(&task);
    store.claim_task(&run, &lease(at)).unwrap();
    let said = |progress| {
        store.renew_task(&run, &lease(at), progress).unwrap();
        let row = stored(store, task.id);
        (row.done, row.total, row.note)
    };
    assert_eq!(said(Some((5, None, "names"))), (5, None, "names".to_owned()));
    let (most, note) = (i64::MAX.unsigned_abs(), "\u{1f980} packets".to_owned());
    assert_eq!(said(Some((7, Some(most), &note))), (7, Some(most), note.clone()));
    assert_eq!(said(None), (7, Some(most), note));
}

/// With the parts that the checkpoint covers, and no others.
pub fn a_run_goes_on_where_the_checkpoint_before_it_was(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let runs = [(); 3].map(|()| a_run(&task));
    store.claim_task(&runs[0], &lease(at)).unwrap();
    for seq in 0..4 {
        store.put_part(&runs[0], seq, &chunk(&runs[0], seq)).unwrap();
    }
    let earlier = Checkpoint { position: json!(1), parts: 1 };
    store.put_checkpoint(&runs[0], &earlier, at).unwrap();
    let checkpoint = Checkpoint { position: json!({ "next": 3, "of": "targets" }), parts: 3 };
    store.put_checkpoint(&runs[0], &checkpoint, at).unwrap();
    let held = Claim::Held { checkpoint: Some(checkpoint) };
    // Twice, since the second run may end before its own first checkpoint.
    for (n, later) in [(1, 100), (2, 200)] {
        let store = bench.other();
        assert_eq!(store.claim_task(&runs[n], &lease(after(at, seconds(later)))).unwrap(), held);
        assert_eq!((parts(&*store, &runs[n - 1]), parts(&*store, &runs[n])), (0, 3));
        store.put_part(&runs[n], 3, &chunk(&runs[n], 3)).unwrap();
    }
    // A new attempt goes on too.
    let mut row = stored(store, task.id);
    (row.state, row.attempt, row.ticket) = (TaskState::Dispatched, 2, Some(ticket()));
    within(store, |tx| tx.put_task(&row));
    let next = a_run(&row);
    assert_eq!(store.claim_task(&next, &lease(after(at, seconds(300)))).unwrap(), held);
    assert_eq!((parts(store, &runs[2]), parts(store, &next)), (0, 3));
}

/// Nobody can go on there.
pub fn parts_without_a_checkpoint_are_removed(bench: &dyn Bench) {
    let (store, at) = (bench.store(), now());
    let task = given_out(store, at);
    let (first, second) = (a_run(&task), a_run(&task));
    store.claim_task(&first, &lease(at)).unwrap();
    store.put_part(&first, 0, &chunk(&first, 0)).unwrap();
    store.put_part(&first, 1, &chunk(&first, 1)).unwrap();
    assert_eq!(parts(store, &first), 2);
    assert_eq!(store.claim_task(&second, &lease(after(at, seconds(61)))).unwrap(), HELD);
    assert_eq!((parts(store, &first), parts(store, &second)), (0, 0));
}

/// A run that writes while another takes its task over leaves nothing behind.
pub fn parts_of_two_runs_never_mix(bench: &dyn Bench) {
    let other = bench.other();
    for round in 0..20 {
        let (store, at) = (bench.store(), now());
        let task = given_out(store, at);
        let (first, second) = (a_run(&task), a_run(&task));
        store.claim_task(&first, &lease(at)).unwrap();
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                let fenced =
                    (0..).find_map(|seq| store.put_part(&first, seq, &chunk(&first, seq)).err());
                assert!(matches!(fenced, Some(StoreError::Fenced)), "{fenced:?}");
            });
            scope.spawn(|| {
                start.wait();
                let over = Lease { worker: "second", ..lease(after(at, seconds(61))) };
                // At another point of the first run's writing in each round.
                thread::sleep(std::time::Duration::from_micros(200 * round));
                assert_eq!(other.claim_task(&second, &over).unwrap(), HELD);
                for seq in 0..5 {
                    other.put_part(&second, seq, &chunk(&second, seq)).unwrap();
                }
            });
        });
        assert_eq!((parts(store, &first), parts(store, &second)), (0, 5));
    }
}

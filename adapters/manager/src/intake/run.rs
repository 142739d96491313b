//! When a run is complete, and what it made comes to life.

use mrpf_ports::{StoreError, store::TaskRow};
use mrpf_tasks::{
    ErrorKind, RunId, TaskError, TaskId,
    message::{Assignment, NewTask, Outcome, Run},
};

use crate::{
    settle::Books,
    submit::fresh,
    transition::{Completed, Event},
};

/// Ends a task whose run has said so, once all the parts and children that it spoke of are here.
pub(super) fn complete(books: &mut Books<'_>, id: TaskId, run_id: RunId) -> Result<(), StoreError> {
    let Some(task) = books.task(id)? else { return Ok(()) };
    // Another run may have been complete a moment ago, or the attempt over: then the rest of this one has nowhere to go.
    let Some(ticket) = task.ticket.filter(|_| task.state.is_out()) else { return Ok(()) };
    let assignment = Assignment { task_id: id, attempt: task.attempt, ticket };
    let run = Run { assignment, run_id };
    let Some(Outcome::Succeeded { parts, created, branch, truncated }) =
        books.tx().outcome(id, run_id)?
    else {
        return Ok(());
    };
    if parts > 0 && books.tx().parts(id, run_id)? != parts {
        return Ok(());
    }
    if created > 0 {
        let children = books.tx().children(id, run_id)?;
        let here = u32::try_from(children.len()).unwrap_or(u32::MAX);
        let last = children.last().map_or(0, |(index, _)| *index);
        if here > created || last >= created {
            let why = format!(
                "it said that it made {created} tasks, and made {here} up to number {last}"
            );
            let error = TaskError::new(ErrorKind::Malformed, why);
            return books.apply(&task, Event::Fail(&run, &error)).map(drop);
        }
        if here < created {
            return Ok(());
        }
        for (index, child) in children {
            activate(books, &task, index, child)?;
        }
    }
    let completed = Completed { parts, branch, truncated };
    let done = books.apply(&task, Event::Complete(&run, completed))?;
    if done.is_ok() {
        books.desk().counts.completed += 1;
    }
    Ok(())
}

/// Makes a task of what a complete run has made, unless the workflow has one with the same key.
fn activate(
    books: &mut Books<'_>,
    parent: &TaskRow,
    index: u32,
    child: NewTask,
) -> Result<(), StoreError> {
    let id = parent.id.child(index);
    let Some(declared) = books.desk().registry.find(&child.definition).copied() else {
        // It was known when the child came: another manager, of another version, took it then.
        let why = format!("no task is called {:?} here", child.definition);
        return Err(StoreError::Unavailable(why));
    };
    let Ok(dedupe_key) = declared.check(&child.input) else {
        let why = format!("an input of {} that was taken is refused now", declared.name);
        return Err(StoreError::Unavailable(why));
    };
    if books.task(id)?.is_some() {
        return Ok(());
    }
    if let Some(key) = &dedupe_key
        && books.tx().deduped(parent.workflow_id, key)?.is_some()
    {
        books.desk().counts.deduped += 1;
        return Ok(());
    }
    let mut row = fresh(parent.workflow_id, id, &declared, books.now());
    row.parent_id = Some(parent.id);
    row.member_of = parent.feeds;
    row.feeds = parent.feeds.filter(|_| declared.may_create());
    row.input = child.input;
    row.dedupe_key = dedupe_key;
    row.max_tries = parent.max_tries;
    books.tx().put_task(&row)?;
    books.workflow(parent.workflow_id)?.open += 1;
    if let Some(id) = row.member_of {
        let collection = books.collection(id)?;
        collection.total += 1;
        collection.feeders += u32::from(row.feeds.is_some());
    }
    Ok(())
}

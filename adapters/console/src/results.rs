//! `results`: what was found, as JSON lines.

use std::io::{self, BufWriter, Write as _};

use mrpf_ports::{
    ManagerStore, StoreError,
    store::{TaskFilter, TaskRow, TaskState, WorkflowRow},
};
use mrpf_tasks::{
    catalogue::{DataRef, Model},
    chunk::{ChunkError, Joiner},
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{ConsoleError, ResultsArgs, exit::DONE, find};

/// Chunks and rows read at a time.
const AT_A_TIME: usize = 16;
const ROWS: usize = 1_000;

/// Writes what was asked for to standard output.
pub(crate) fn run(
    args: &ResultsArgs,
    store: &dyn ManagerStore,
    program: &'static str,
) -> Result<u8, ConsoleError> {
    let mut out = Lines(BufWriter::new(io::stdout().lock()));
    match write(args, store, program, &mut out) {
        // `results .. | head`: a reader that has gone away has seen enough.
        Err(ConsoleError::Stdout(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(DONE),
        written => written.map(|()| DONE),
    }
}

fn write<W: io::Write>(
    args: &ResultsArgs,
    store: &dyn ManagerStore,
    program: &'static str,
    out: &mut Lines<W>,
) -> Result<(), ConsoleError> {
    match (&args.model, &args.workflow) {
        (Some(model), _) => rows(store, *model, out)?,
        (None, Some(workflow)) => {
            let workflow = find::workflow(store, workflow, program)?;
            if args.refused {
                store.refusals(workflow.id)?.iter().try_for_each(|row| out.write(row))?;
            } else {
                items(store, &workflow, args.task.as_deref(), out)?;
            }
        }
        (None, None) => {} // clap wants one of them
    }
    out.flush()
}

struct Lines<W: io::Write>(BufWriter<W>);

impl<W: io::Write> Lines<W> {
    fn write(&mut self, row: &impl Serialize) -> Result<(), ConsoleError> {
        serde_json::to_writer(&mut self.0, row)
            .map_err(io::Error::from)
            .and_then(|()| self.0.write_all(b"\n"))
            .map_err(ConsoleError::Stdout)
    }

    fn flush(&mut self) -> Result<(), ConsoleError> {
        self.0.flush().map_err(ConsoleError::Stdout)
    }
}

fn rows<W: io::Write>(
    store: &dyn ManagerStore,
    model: Model,
    out: &mut Lines<W>,
) -> Result<(), ConsoleError> {
    let mut after: Option<String> = None;
    loop {
        let rows = store.list(model, after.as_deref(), ROWS)?;
        let Some(last) = rows.last() else { return Ok(()) };
        after = Some(last.key());
        rows.iter().try_for_each(|row| out.write(row))?;
    }
}

/// The items of one task by themselves, or those of all with the name of their task.
fn items<W: io::Write>(
    store: &dyn ManagerStore,
    workflow: &WorkflowRow,
    name: Option<&str>,
    out: &mut Lines<W>,
) -> Result<(), ConsoleError> {
    let tasks = tasks(store, workflow)?;
    if let Some(name) = name
        && !tasks.iter().any(|task| called(task) == name)
    {
        let mut known: Vec<&str> = tasks.iter().map(called).collect();
        known.sort_unstable();
        known.dedup();
        return Err(ConsoleError::NoTask {
            workflow: workflow.id.to_string(),
            name: name.to_owned(),
            known: known.join(", "),
        });
    }
    for task in tasks.iter().filter(|task| task.state == TaskState::Succeeded) {
        match name {
            Some(name) if called(task) == name => {
                each(store, DataRef::Task(task.id), |item| out.write(&item))?;
            }
            Some(_) => {}
            None => each(store, DataRef::Task(task.id), |item| {
                out.write(&json!({ "task": called(task), "item": item }))
            })?,
        }
    }
    Ok(())
}

/// What people call a task: its name in the workflow's file, or what kind it is.
pub fn called(task: &TaskRow) -> &str {
    task.name.as_deref().unwrap_or(&task.definition)
}

fn tasks(store: &dyn ManagerStore, workflow: &WorkflowRow) -> Result<Vec<TaskRow>, ConsoleError> {
    let mut tasks = Vec::new();
    store.transaction(&mut |tx| {
        tasks = tx.tasks(TaskFilter::Of(workflow.id), usize::MAX)?;
        Ok(())
    })?;
    Ok(tasks)
}

fn each(
    store: &dyn ManagerStore,
    from: DataRef,
    mut take: impl FnMut(Value) -> Result<(), ConsoleError>,
) -> Result<(), ConsoleError> {
    let broken = |error: ChunkError| StoreError::Corrupt(error.to_string());
    let (mut joiner, mut after) = (Joiner::default(), None);
    loop {
        let chunks = store.read(from, after, AT_A_TIME)?;
        let Some((last, _)) = chunks.last() else { break };
        after = Some(*last);
        for (_, chunk) in chunks {
            joiner.push(chunk).map_err(broken)?.into_iter().try_for_each(&mut take)?;
        }
    }
    Ok(joiner.finish().map_err(broken)?)
}

#[cfg(test)]
mod tests {
    use mrpf_embedded::SqliteStore;
    use mrpf_ports::{Clock as _, clock::SystemClock};
    use mrpf_tasks::{Registry, Scope};

    use super::*;

    /// Takes nothing.
    struct Closed;

    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_away_is_known_as_that() {
        let mut lines = Lines(BufWriter::new(Closed));
        lines.write(&json!({ "ip": "198.51.100.1" })).unwrap();
        let error = lines.flush().unwrap_err();
        assert!(
            matches!(&error, ConsoleError::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe),
            "{error}"
        );
    }

    #[test]
    fn a_task_that_is_not_there_is_answered_with_those_that_are() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("store.db")).unwrap();
        let domains = vec!["a.example".parse().unwrap(), "b.example".parse().unwrap()];
        let scope = Scope { domains, ..Scope::default() };
        let plan = crate::recon(scope, None, None, &[]).unwrap();
        let now = SystemClock.now();
        mrpf_manager::submit(&store, &Registry::shipped(), &plan, now).unwrap();
        let workflow = find::workflow(&store, &plan.id.to_string(), "mrpf").unwrap();
        let mut lines = Lines(BufWriter::new(Vec::new()));
        let error = items(&store, &workflow, Some("crt"), &mut lines).unwrap_err().to_string();
        assert!(
            error.contains(
                "no task \"crt\": it has any-open, count, crt-sh/a.example, crt-sh/b.example"
            ),
            "{error}"
        );
        // Nothing has ended.
        items(&store, &workflow, Some("names"), &mut lines).unwrap();
        items(&store, &workflow, None, &mut lines).unwrap();
        assert!(lines.0.buffer().is_empty() && lines.0.get_ref().is_empty());
    }
}

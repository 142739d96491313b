//! Who does the tasks of `mrpf_tests::deeds`.

use std::{fs::OpenOptions, io::Write as _, path::PathBuf, time::Duration};

use mrpf_ports::{
    Cx, Finished, Runners, Runs,
    store::{DomainRow, ModelRow},
};
use mrpf_tasks::{
    Bytes, ErrorKind, Requires, RunId, TaskDefinition, TaskError, TaskId, WorkerClass,
    access::QueueAccess,
};
use mrpf_tests::{
    deeds::{Brood, Deed, Inside, MakesInside, MakesOutside, Outside, Variety, octets},
    order::Order,
};
use serde_json::{Value, json};

/// How often a task that waits for a file looks.
const LOOK: Duration = Duration::from_millis(20);

/// All of a class but those that the order says.
pub(crate) fn all(class: WorkerClass, order: &Order) -> Runners {
    let journal = || Journal(order.journal.clone());
    let mut runners = match class {
        WorkerClass::Internal => mrpf_internal::runners(1, 1),
        WorkerClass::External | WorkerClass::BareMetal => Runners::new(),
    };
    let knows = |name| !order.without.iter().any(|other| other == name);
    if knows(Outside::NAME) {
        runners = runners.with::<Outside>(journal());
    }
    if knows(Inside::NAME) {
        runners = runners.with::<Inside>(journal());
    }
    runners.with::<MakesOutside>(Maker(journal())).with::<MakesInside>(Maker(journal()))
}

/// Notes each run, and does what the task says.
struct Journal(PathBuf);

impl Journal {
    /// Notes a run that begins; gives its token, which no other run has.
    fn begin<T: TaskDefinition>(&self, cx: &Cx<'_, T>) -> Result<String, TaskError> {
        let token = RunId::fresh().to_string();
        let line = format!("{} {} {token}\n", std::process::id(), task(cx));
        // One call, at the end: lines of several processes never mix.
        let mut file =
            OpenOptions::new().append(true).create(true).open(&self.0).map_err(failed)?;
        file.write_all(line.as_bytes()).map_err(failed)?;
        Ok(token)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "an argument of map_err")]
fn failed(error: std::io::Error) -> TaskError {
    TaskError::new(ErrorKind::Resource, error.to_string())
}

fn task<T: TaskDefinition>(cx: &Cx<'_, T>) -> TaskId {
    cx.order().assignment.task_id
}

impl Runs<Outside> for Journal {
    fn run(&self, cx: &Cx<'_, Outside>, deed: Deed) -> Result<Finished, TaskError> {
        let token = self.begin(cx)?;
        act(cx, &deed, &token)
    }
}

impl Runs<Inside> for Journal {
    fn run(&self, cx: &Cx<'_, Inside>, deed: Deed) -> Result<Finished, TaskError> {
        let token = self.begin(cx)?;
        if let Deed::Vary(Variety { rows: Some(rows), .. }) = &deed {
            let id = task(cx);
            cx.task_data().insert(*rows, &[(id.to_string(), json!({ "token": token }))])?;
            let name = format!("{id}.example.org").parse();
            let name = name.map_err(|_| TaskError::new(ErrorKind::Input, "an id is no name"))?;
            let sources = vec!["test".to_owned()];
            cx.recon().upsert(&[ModelRow::Domain(DomainRow { name, sources, seen: None })])?;
        }
        act(cx, &deed, &token)
    }
}

fn act<T: TaskDefinition<Output = Value>>(
    cx: &Cx<'_, T>,
    deed: &Deed,
    token: &str,
) -> Result<Finished, TaskError> {
    match deed {
        Deed::Abort => std::process::abort(),
        Deed::Give { seed, len } => {
            let item = serde_json::to_value(Bytes(octets(*seed, *len)));
            cx.emit(&item.map_err(|error| failed(error.into()))?)?;
        }
        Deed::Sit { until, is_obedient } => {
            while !until.exists() {
                if *is_obedient && cx.is_stopping() {
                    return Err(cx.stopped());
                }
                std::thread::sleep(LOOK);
            }
        }
        Deed::Vary(variety) => vary(cx, variety, token)?,
    }
    Ok(Finished::default())
}

fn vary<T: TaskDefinition<Output = Value>>(
    cx: &Cx<'_, T>,
    variety: &Variety,
    token: &str,
) -> Result<(), TaskError> {
    let end = if variety.has_nul { "\0" } else { "" };
    let pad = "x".repeat(variety.pad) + end;
    for n in 0..variety.items {
        if cx.is_stopping() {
            return Err(cx.stopped());
        }
        cx.emit(&json!({ "token": token, "n": n, "pad": pad }))?;
        cx.sleep(Duration::from_millis(variety.pause));
    }
    Ok(())
}

/// Does the tasks that make tasks.
struct Maker(Journal);

impl<T> Runs<T> for Maker
where
    T: TaskDefinition<Input = Brood, Output = Value> + Requires<QueueAccess>,
{
    fn run(&self, cx: &Cx<'_, T>, brood: Brood) -> Result<Finished, TaskError> {
        let token = self.0.begin(cx)?;
        for n in 0..brood.children {
            let made_by = Some(token.clone());
            let rows = Some(brood.rows);
            let deed = Deed::Vary(Variety { items: 1, rows, made_by, ..Variety::default() });
            if n % 2 == 0 {
                cx.queue().create::<Outside>(&deed)?;
            } else {
                cx.queue().create::<Inside>(&deed)?;
            }
        }
        cx.emit(&json!({ "token": token, "n": 0 }))?;
        Ok(Finished::default())
    }
}

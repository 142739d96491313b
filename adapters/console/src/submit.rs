//! `submit`: a workflow is checked whole, stored, and from then on the manager's.

use std::{fs, path::Path, thread, time::Duration};

use mrpf_manager::submit;
use mrpf_ports::{Clock as _, ManagerStore, clock::SystemClock, store::WorkflowState};
use mrpf_tasks::{
    Registry, Scope, WorkflowId,
    scope::Excluded,
    workflow::{self, Plan, Syntax, WorkflowFile},
};

use crate::{
    ConsoleError, Place, Signals, SubmitArgs, answer,
    exit::{DONE, INCOMPLETE, INTERRUPTED},
    recon, say,
};

/// The name of the bundled workflow.
const RECON: &str = "recon";
/// How often it is looked whether a workflow has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Checks and submits.
pub(crate) fn run<P: Place>(args: &SubmitArgs, place: &P) -> Result<u8, P::Error> {
    if args.workflow == RECON && args.print {
        answer(workflow::RECON.trim_end())?;
        return Ok(DONE);
    }
    let plan = plan(args)?;
    if args.check {
        let (tasks, edges) = (plan.tasks.len(), plan.edges.len());
        say(&format!("{}: {tasks} tasks, {edges} edges; nothing is submitted", plan.name));
        return Ok(DONE);
    }
    let store = place.make()?;
    Ok(give(&*store, &plan, args.wait, P::PROGRAM)?)
}

fn give(
    store: &dyn ManagerStore,
    plan: &Plan,
    is_awaited: bool,
    program: &str,
) -> Result<u8, ConsoleError> {
    submit(store, &Registry::shipped(), plan, SystemClock.now())?;
    answer(&plan.id.to_string())?;
    if is_awaited { wait(store, plan.id, program) } else { Ok(DONE) }
}

fn plan(args: &SubmitArgs) -> Result<Plan, ConsoleError> {
    if args.workflow == RECON {
        let exclude = args.exclude.iter().map(|text| excluded(text)).collect::<Result<_, _>>()?;
        let (domains, addresses) = (args.domain.clone(), args.address.clone());
        let scope = Scope { domains, addresses, exclude };
        let (ports, rate) = (args.ports.as_deref(), args.rate.map(|rate| rate.0.get()));
        return recon(scope, ports, rate, &args.resolver);
    }
    let has_flags = !(args.domain.is_empty() && args.address.is_empty() && args.exclude.is_empty())
        || args.ports.is_some()
        || args.rate.is_some()
        || !args.resolver.is_empty()
        || args.print;
    if has_flags {
        return Err(ConsoleError::OnlyRecon(args.workflow.clone()));
    }
    let path = Path::new(&args.workflow);
    let text = fs::read_to_string(path)
        .map_err(|source| ConsoleError::ReadWorkflow { path: path.to_owned(), source })?;
    let file = WorkflowFile::read(&args.workflow, &text, Syntax::of(&args.workflow))?;
    Ok(file.plan(&Registry::shipped())?)
}

fn excluded(text: &str) -> Result<Excluded, ConsoleError> {
    if let Ok(range) = text.parse() {
        return Ok(Excluded::Addresses(range));
    }
    let name = text.parse().map_err(|_| ConsoleError::Exclude(text.to_owned()))?;
    Ok(Excluded::Domain(name))
}

/// Waits until a workflow has ended; says how.
fn wait(store: &dyn ManagerStore, id: WorkflowId, program: &str) -> Result<u8, ConsoleError> {
    let signals = Signals::install()?;
    loop {
        let mut row = None;
        store.transaction(&mut |tx| {
            row = tx.workflow(id)?;
            Ok(())
        })?;
        match row.map(|row| row.state) {
            Some(WorkflowState::Succeeded) => return Ok(DONE),
            Some(WorkflowState::Failed) => {
                say(&format!("some tasks failed: {program} status {id}"));
                return Ok(INCOMPLETE);
            }
            Some(WorkflowState::Cancelled) | None => {
                say("it was cancelled");
                return Ok(INCOMPLETE);
            }
            Some(WorkflowState::Running) => {}
        }
        if signals.asked() {
            say(&format!("it goes on without us: {program} status {id}"));
            return Ok(INTERRUPTED);
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{Command, command::tests::Program};

    fn plan_of(words: &str) -> Result<Plan, ConsoleError> {
        let words = ["any", "submit"].into_iter().chain(words.split(' '));
        match Program::try_parse_from(words).unwrap().command {
            Command::Submit { args, .. } => plan(&args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn flags_are_the_scope_and_the_scans_of_recon() {
        let plan = plan_of(
            "recon --domain a.example --address 198.51.100.0/24 --exclude 198.51.100.7 --exclude b.a.example \
             -p 80,443 --rate 2k",
        )
        .unwrap();
        let scope = serde_json::json!({
            "domains": ["a.example"],
            "addresses": ["198.51.100.0/24"],
            "exclude": ["198.51.100.7", "b.a.example"],
        });
        assert_eq!(serde_json::to_value(&plan.scope).unwrap(), scope);
        let shards = plan.tasks.iter().find(|task| task.name == "shards").unwrap();
        assert_eq!(
            (&shards.input["ports"], &shards.input["rate"]),
            (&"80,443".into(), &2_000.into())
        );
        assert!(plan.tasks.iter().all(|task| task.name != "resolve"), "there are no resolvers");
    }

    #[test]
    fn names_are_asked_about_where_there_are_resolvers() {
        let plan = plan_of(
            "recon --domain a.example --resolver 192.0.2.1 --resolver [2001:db8::1]:53 --rate 1k",
        )
        .unwrap();
        let resolve = plan.tasks.iter().find(|task| task.name == "resolve").unwrap();
        assert_eq!(
            resolve.input["resolvers"],
            serde_json::json!(["192.0.2.1", "[2001:db8::1]:53"])
        );
        assert_eq!(
            (&resolve.input["rate"], &resolve.input["resolver_rate"]),
            (&1_000.into(), &500.into())
        );
        let error = plan_of("recon --domain a.example --resolver ns.example").unwrap_err();
        assert!(
            error.to_string().contains("\"ns.example\" is no address") && error.is_usage(),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_planned_is_the_fault_of_who_asks() {
        let bad = [
            ("recon", "say which domains and addresses may be touched"),
            ("recon --domain a.example --exclude 1.2.3.4/33", "--exclude 1.2.3.4/33"),
            ("recon --domain a.example --ports 80-1", "80-1"),
            ("none.toml", "reading none.toml: "),
            ("none.toml --rate 10", "are for recon"),
            ("none.toml --print", "are for recon"),
        ];
        for (words, says) in bad {
            let error = plan_of(words).unwrap_err();
            assert!(error.to_string().contains(says) && error.is_usage(), "{words}: {error}");
        }
    }
}

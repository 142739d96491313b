//! `mrpf submit`: a workflow is checked whole, stored, and from then on the manager's.

use std::{fs, path::Path, time::Duration};

use mrpf_manager::submit;
use mrpf_ports::{Clock as _, ManagerStore, clock::SystemClock, store::WorkflowState};
use mrpf_tasks::{
    Registry, Scope, WorkflowId,
    catalogue::GenerateTargets,
    scope::Excluded,
    workflow::{self, Plan, Syntax, WorkflowFile},
};

use super::{Folder, PlatformError};
use crate::{
    answer,
    args::SubmitArgs,
    error::{CliError, DONE, INCOMPLETE, INTERRUPTED},
    say,
    signals::Signals,
};

/// The name of the bundled workflow.
const RECON: &str = "recon";
/// How often it is looked whether a workflow has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Checks and submits.
pub(crate) fn run(args: &SubmitArgs) -> Result<u8, CliError> {
    let is_recon = args.workflow == RECON;
    if is_recon && args.print {
        answer(workflow::RECON.trim_end());
        return Ok(DONE);
    }
    let plan = plan(args, is_recon)?;
    if args.check {
        let (tasks, edges) = (plan.tasks.len(), plan.edges.len());
        say(&format!("{}: {tasks} tasks, {edges} edges; nothing is submitted", plan.name));
        return Ok(DONE);
    }
    let folder = Folder::make(&args.data.data).map_err(CliError::from)?;
    let store = folder.open_store()?;
    let now = SystemClock.now();
    submit(store.as_ref(), &Registry::shipped(), &plan, now).map_err(PlatformError::from)?;
    answer(&plan.id.to_string());
    if args.wait { wait(store.as_ref(), plan.id) } else { Ok(DONE) }
}

fn plan(args: &SubmitArgs, is_recon: bool) -> Result<Plan, PlatformError> {
    let registry = Registry::shipped();
    if is_recon {
        let exclude = args.exclude.iter().map(|text| excluded(text)).collect::<Result<_, _>>()?;
        let (domains, addresses) = (args.domain.clone(), args.address.clone());
        let scope = Scope { domains, addresses, exclude };
        let mut plan = workflow::recon(scope)?.plan(&registry)?;
        let rate = args.rate.map(|rate| rate.0.get());
        set_scans(&mut plan, &registry, args.ports.as_deref(), rate)?;
        return Ok(plan);
    }
    let has_flags = !(args.domain.is_empty() && args.address.is_empty() && args.exclude.is_empty())
        || args.ports.is_some()
        || args.rate.is_some()
        || args.print;
    if has_flags {
        return Err(PlatformError::OnlyRecon(args.workflow.clone()));
    }
    let path = Path::new(&args.workflow);
    let text = fs::read_to_string(path)
        .map_err(|source| PlatformError::ReadWorkflow { path: path.to_owned(), source })?;
    Ok(WorkflowFile::read(&args.workflow, &text, Syntax::of(&args.workflow))?.plan(&registry)?)
}

fn excluded(text: &str) -> Result<Excluded, PlatformError> {
    if let Ok(range) = text.parse() {
        return Ok(Excluded::Addresses(range));
    }
    let name = text.parse().map_err(|_| PlatformError::Exclude(text.to_owned()))?;
    Ok(Excluded::Domain(name))
}

/// Changes what the scans of a plan are asked.
pub(crate) fn set_scans(
    plan: &mut Plan,
    registry: &Registry,
    ports: Option<&str>,
    rate: Option<u64>,
) -> Result<(), PlatformError> {
    use mrpf_tasks::TaskDefinition as _;
    for task in plan.tasks.iter_mut().filter(|task| task.definition == GenerateTargets::NAME) {
        if let Some(ports) = ports {
            task.input["ports"] = ports.into();
        }
        if let Some(rate) = rate {
            task.input["rate"] = rate.into();
        }
        if let Some(declared) = registry.find(&task.definition) {
            declared.check(&task.input)?;
        }
    }
    Ok(())
}

/// Waits until a workflow has ended; says how.
fn wait(store: &dyn ManagerStore, id: WorkflowId) -> Result<u8, CliError> {
    let signals = Signals::install().map_err(CliError::Signals)?;
    loop {
        let mut row = None;
        store
            .transaction(&mut |tx| {
                row = tx.workflow(id)?;
                Ok(())
            })
            .map_err(PlatformError::from)?;
        match row.map(|row| row.state) {
            Some(WorkflowState::Succeeded) => return Ok(DONE),
            Some(WorkflowState::Failed) => {
                say(&format!("some tasks failed: mrpf status {id}"));
                return Ok(INCOMPLETE);
            }
            Some(WorkflowState::Cancelled) | None => {
                say("it was cancelled");
                return Ok(INCOMPLETE);
            }
            Some(WorkflowState::Running) => {}
        }
        if signals.asked() {
            say(&format!("it goes on without us: mrpf status {id}"));
            return Ok(INTERRUPTED);
        }
        std::thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn plan_of(words: &str) -> Result<Plan, PlatformError> {
        let words = ["mrpf", "submit"].into_iter().chain(words.split(' '));
        match Cli::try_parse_from(words).unwrap().command {
            Command::Submit(args) => plan(&args, args.workflow == RECON),
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

//! The workflow that comes with the platform, over a scope of the user's.

use mrpf_tasks::{
    Registry, Scope, TaskDefinition as _,
    catalogue::GenerateTargets,
    workflow::{self, Plan},
};

use crate::ConsoleError;

/// A plan of the bundled workflow. Ports and frames a second are those of its file where they are not given.
///
/// # Errors
///
/// [`ConsoleError`], when the scope is empty or a flag is not what the scans take.
pub fn recon(scope: Scope, ports: Option<&str>, rate: Option<u64>) -> Result<Plan, ConsoleError> {
    let registry = Registry::shipped();
    let mut plan = workflow::recon(scope)?.plan(&registry)?;
    for task in plan.tasks.iter_mut().filter(|task| task.definition == GenerateTargets::NAME) {
        // Where no ports stand, they are those that were found open.
        if let Some(ports) = ports
            && task.input.get("ports").is_some()
        {
            task.input["ports"] = ports.into();
        }
        if let Some(rate) = rate {
            task.input["rate"] = rate.into();
        }
        if let Some(declared) = registry.find(&task.definition) {
            declared.check(&task.input)?;
        }
    }
    Ok(plan)
}

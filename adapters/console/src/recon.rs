//! The workflow that comes with the platform, over a scope of the user's.

use std::collections::HashSet;

use mrpf_tasks::{
    Registry, Scope, TaskDefinition as _,
    catalogue::{DnsScan, GenerateTargets},
    workflow::{self, Plan},
};

use crate::ConsoleError;

/// A plan of the bundled workflow. Ports and frames a second are those of its file where they are not given; without resolvers,
/// nobody is asked what names stand for.
///
/// # Errors
///
/// [`ConsoleError`], when the scope is empty or a flag is not what the scans take.
pub fn recon(
    scope: Scope,
    ports: Option<&str>,
    rate: Option<u64>,
    resolvers: &[String],
) -> Result<Plan, ConsoleError> {
    let registry = Registry::shipped();
    let mut plan = workflow::recon(scope)?.plan(&registry)?;
    // Nothing waits for it.
    plan.tasks.retain(|task| task.definition != DnsScan::NAME || !resolvers.is_empty());
    let known: HashSet<_> = plan.tasks.iter().map(|task| task.id).collect();
    plan.edges.retain(|edge| known.contains(&edge.task));
    for task in plan.tasks.iter_mut().filter(|task| task.definition == DnsScan::NAME) {
        task.input["resolvers"] = resolvers.into();
        if let Some(rate) = rate {
            task.input["rate"] = rate.into();
            task.input["resolver_rate"] = rate.div_ceil(resolvers.len().max(1) as u64).into();
        }
        if let Some(declared) = registry.find(&task.definition) {
            declared.check(&task.input)?;
        }
    }
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

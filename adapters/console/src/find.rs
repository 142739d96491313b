//! Workflows by the first characters of their ids.

use mrpf_ports::{ManagerStore, store::WorkflowRow};
use mrpf_tasks::WorkflowId;

use crate::ConsoleError;

/// The workflow whose id begins so.
pub(crate) fn workflow(
    store: &dyn ManagerStore,
    prefix: &str,
    program: &'static str,
) -> Result<WorkflowRow, ConsoleError> {
    let mut all = Vec::new();
    store.transaction(&mut |tx| {
        all = tx.workflows()?;
        Ok(())
    })?;
    let wanted = prefix.to_ascii_lowercase();
    let begins = |id: WorkflowId| id.to_string().starts_with(&wanted);
    let mut found: Vec<WorkflowRow> = all.into_iter().filter(|row| begins(row.id)).collect();
    match found.len() {
        0 => Err(ConsoleError::NoWorkflow { prefix: prefix.to_owned(), program }),
        1 => Ok(found.remove(0)),
        many => Err(ConsoleError::Ambiguous(many, prefix.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use mrpf_embedded::SqliteStore;
    use mrpf_ports::{Clock as _, clock::SystemClock};
    use mrpf_tasks::{Registry, Scope};

    use super::*;

    #[test]
    fn workflows_are_found_by_the_first_characters_of_their_ids() {
        let place = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(place.path().join("store.db")).unwrap();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let scope = Scope { domains: vec!["a.example".parse().unwrap()], ..Scope::default() };
            let plan = crate::recon(scope, None, None, &[]).unwrap();
            mrpf_manager::submit(&store, &Registry::shipped(), &plan, SystemClock.now()).unwrap();
            ids.push(plan.id);
        }
        let find = |prefix: &str| workflow(&store, prefix, "mrpf");
        let (whole, short) =
            (ids[0].to_string().to_uppercase(), ids[1].to_string()[..35].to_owned());
        assert_eq!(find(&whole).unwrap().id, ids[0]);
        assert_eq!(find(&short).map(|row| row.id).ok(), Some(ids[1]));
        // Nothing is what all begin with.
        assert!(matches!(find(""), Err(ConsoleError::Ambiguous(2, _))));
        assert!(matches!(find("x"), Err(ConsoleError::NoWorkflow { .. })));
    }
}

//! What a fuzzer does with workflow files; compiled for fuzzing and tests alone.

use std::collections::HashMap;

use super::{Plan, Syntax, Waits, WorkflowError, WorkflowFile};
use crate::{Registry, TaskId};

/// Reads and plans `data`, as JSON when it begins like an object, and checks what came of it.
///
/// # Panics
///
/// When an error says nothing or points nowhere, or a plan could not be carried out.
pub fn fuzz_workflow(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let syntax = if text.trim_start().starts_with('{') { Syntax::Json } else { Syntax::Toml };
    let registry = Registry::shipped();
    let file = WorkflowFile::read("file", &text, syntax);
    match file.and_then(|file| file.plan(&registry)) {
        Ok(plan) => check(&plan, &registry),
        Err(error) => check_error(&error, &text),
    }
}

fn check_error(error: &WorkflowError, text: &str) {
    assert!(!error.why.is_empty());
    assert!(error.line >= 1 && error.line <= 1 + text.matches('\n').count(), "{error}");
    assert!(error.to_string().starts_with(&format!("file:{}:", error.line)));
}

/// Everything that a plan names is in it, its inputs are what their kinds take, and it ends.
pub(super) fn check(plan: &Plan, registry: &Registry) {
    assert!(!plan.scope.is_empty());
    let places: HashMap<TaskId, usize> =
        plan.tasks.iter().enumerate().map(|(at, task)| (task.id, at)).collect();
    assert_eq!(places.len(), plan.tasks.len(), "ids are unique");
    for task in &plan.tasks {
        let declared = registry.find(&task.definition).expect("a kind of task that is known");
        assert_eq!(declared.class, task.class);
        assert_eq!(declared.check(&task.input).as_ref(), Ok(&task.dedupe_key));
        assert!(task.feeds.is_none() || declared.may_create());
        assert!(task.max_tries > 0);
    }
    for collection in &plan.collections {
        let feeders = plan.tasks.iter().filter(|task| task.feeds == Some(collection.id)).count();
        let members =
            plan.tasks.iter().filter(|task| task.member_of == Some(collection.id)).count();
        assert_eq!((collection.feeders as usize, collection.members as usize), (feeders, members));
    }
    assert_eq!(ended(plan, &places), plan.tasks.len(), "some task waits for ever");
}

/// How many tasks end when each begins once all that it waits for has ended.
fn ended(plan: &Plan, places: &HashMap<TaskId, usize>) -> usize {
    let mut is_over = vec![false; plan.tasks.len()];
    loop {
        let is_met = |waits: &Waits| match waits {
            Waits::Task(id, _) => is_over[places[id]],
            Waits::Collection(id) => {
                assert!(plan.collections.iter().any(|collection| collection.id == *id));
                let belongs = |at: &usize| {
                    let task = &plan.tasks[*at];
                    task.member_of == Some(*id) || task.feeds == Some(*id)
                };
                (0..plan.tasks.len()).filter(belongs).all(|at| is_over[at])
            }
        };
        let can_begin = |at: &usize| {
            let id = plan.tasks[*at].id;
            !is_over[*at]
                && plan.edges.iter().filter(|edge| edge.task == id).all(|edge| is_met(&edge.waits))
        };
        let next: Vec<usize> = (0..plan.tasks.len()).filter(can_begin).collect();
        if next.is_empty() {
            return is_over.into_iter().filter(|is_over| *is_over).count();
        }
        for at in next {
            is_over[at] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    /// Every committed input, so that a stable `cargo test` replays what fuzzing knows; and each cut after any line, and
    /// without any line.
    #[test]
    fn the_corpus_holds() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/workflow_file");
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap() {
            let file = fs::read(entry.unwrap().path()).unwrap();
            fuzz_workflow(&file);
            let lines: Vec<&[u8]> = file.split_inclusive(|octet| *octet == b'\n').collect();
            for at in 0..lines.len() {
                fuzz_workflow(&lines[..at].concat());
                fuzz_workflow(&[&lines[..at], &lines[at + 1..]].concat().concat());
            }
            count += 1;
        }
        assert!(count >= 6, "{count} inputs in {}", folder.display());
    }
}

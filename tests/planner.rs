//! Writes plans, without a workflow file.

use mrpf_tasks::{
    CollectionId, Scope, TaskDefinition, TaskId, WorkflowId,
    workflow::{Plan, PlannedCollection, PlannedEdge, PlannedTask, Waits},
};
use serde_json::json;

/// A plan that grows.
#[derive(Debug)]
pub struct Planner(pub Plan);

impl Default for Planner {
    fn default() -> Self {
        Self::new()
    }
}

impl Planner {
    /// A plan with a scope and nothing to do.
    ///
    /// # Panics
    ///
    /// When the scope that stands here is none.
    pub fn new() -> Self {
        let scope = json!({ "domains": ["example.org"], "addresses": ["198.19.0.0/24"] });
        Self(Plan {
            id: WorkflowId::fresh(),
            name: "a workflow".to_owned(),
            scope: serde_json::from_value::<Scope>(scope).expect("a scope"),
            tasks: Vec::new(),
            edges: Vec::new(),
            collections: Vec::new(),
        })
    }

    /// A task more.
    ///
    /// # Panics
    ///
    /// When the input has no JSON.
    pub fn task<T: TaskDefinition>(&mut self, input: &T::Input) -> TaskId {
        let id = TaskId::fresh();
        self.0.tasks.push(PlannedTask {
            id,
            name: format!("task {}", self.0.tasks.len()),
            definition: T::NAME.to_owned(),
            class: T::CLASS,
            input: serde_json::to_value(input).expect("an input"),
            dedupe_key: None,
            member_of: None,
            feeds: None,
            max_tries: 3,
        });
        id
    }

    /// A collection more.
    pub fn collection(&mut self) -> CollectionId {
        let id = CollectionId::fresh();
        let name = format!("collection {}", self.0.collections.len());
        self.0.collections.push(PlannedCollection { id, name, feeders: 0, members: 0 });
        id
    }

    /// Makes a task a member of a collection.
    ///
    /// # Panics
    ///
    /// When the plan has no such task or collection.
    pub fn member(&mut self, task: TaskId, of: CollectionId) {
        self.find(task).member_of = Some(of);
        self.find_collection(of).members += 1;
    }

    /// Lets what a task makes go to a collection.
    ///
    /// # Panics
    ///
    /// When the plan has no such task or collection.
    pub fn feeder(&mut self, task: TaskId, of: CollectionId) {
        self.find(task).feeds = Some(of);
        self.find_collection(of).feeders += 1;
    }

    /// Lets a task wait for a collection.
    pub fn after_all(&mut self, task: TaskId, of: CollectionId) {
        self.0.edges.push(PlannedEdge { task, waits: Waits::Collection(of) });
    }

    fn find(&mut self, id: TaskId) -> &mut PlannedTask {
        self.0.tasks.iter_mut().find(|task| task.id == id).expect("a task of the plan")
    }

    fn find_collection(&mut self, id: CollectionId) -> &mut PlannedCollection {
        self.0.collections.iter_mut().find(|it| it.id == id).expect("a collection of the plan")
    }
}

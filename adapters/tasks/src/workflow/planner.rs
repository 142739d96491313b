//! From a file to a plan: finds everything that is named, and refuses what could not run.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{
    On, Plan, PlannedCollection, PlannedEdge, PlannedTask, Waits, WorkflowError, WorkflowFile,
    cycle::cycle,
    document::{Step, steps},
    file::{AfterEntry, TaskEntry},
    references::{Kind, Reference, put, references},
};
use crate::{
    CollectionId, Declared, Registry, TaskDefinition, TaskId, WorkflowId, catalogue::Conditional,
};

/// What stands for each in the input of a task that is made for each.
const EACH: &str = "{each}";

impl WorkflowFile {
    /// Checks the workflow against the kinds of task in `registry`, and gives everything an id.
    ///
    /// # Errors
    ///
    /// [`WorkflowError`], with line and field: see the [module](crate::workflow).
    pub fn plan(&self, registry: &Registry) -> Result<Plan, WorkflowError> {
        let planner = Planner::new(self, registry)?;
        let refers = planner.all_references()?;
        let waits = (0..planner.tasks.len())
            .map(|task| planner.waits(task, &refers))
            .collect::<Result<Vec<_>, _>>()?;
        planner.refuse_cycles(&waits)?;
        planner.plan(&refers, &waits)
    }

    fn error(&self, path: impl IntoIterator<Item = Step>, why: impl Into<String>) -> WorkflowError {
        self.document.error(&path.into_iter().collect::<Vec<_>>(), why)
    }
}

/// Something of the file that can be waited for, by its place there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Node {
    Task(usize),
    Collection(usize),
}

/// A task of the file, and what its kind is.
struct Known<'a> {
    entry: &'a TaskEntry,
    declared: &'a Declared,
    member_of: Option<usize>,
    feeds: Option<usize>,
}

struct Planner<'a> {
    file: &'a WorkflowFile,
    tasks: Vec<Known<'a>>,
    task_names: HashMap<&'a str, usize>,
    collection_names: HashMap<&'a str, usize>,
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn of_task(task: usize, fields: impl IntoIterator<Item = Step>) -> impl Iterator<Item = Step> {
    [key("task"), Step::Index(task)].into_iter().chain(fields)
}

/// The known word that `word` may have been meant to be.
fn meant<'k>(word: &str, known: impl Iterator<Item = &'k str>) -> String {
    let distance =
        |known: &str| strsim::damerau_levenshtein(&word.to_lowercase(), &known.to_lowercase());
    let nearest = known.map(|known| (distance(known), known)).min();
    match nearest {
        Some((distance, known)) if distance <= 1.max(word.len() / 3) => {
            format!("; did you mean {known:?}?")
        }
        _ => String::new(),
    }
}

impl<'a> Planner<'a> {
    /// Finds what tasks are and belong to.
    fn new(file: &'a WorkflowFile, registry: &'a Registry) -> Result<Self, WorkflowError> {
        let entries = &file.entries;
        if entries.scope.is_empty() {
            let why = "there is none: say which domains and addresses may be touched";
            return Err(file.error([key("scope")], why));
        }
        if entries.tasks.is_empty() {
            return Err(file.error([key("task")], "there is none"));
        }
        let names = entries.collections.iter().map(|collection| collection.name.as_str());
        let collection_names = unique(file, "collection", names)?;
        let names = entries.tasks.iter().map(|task| task.name.as_str());
        let task_names = unique(file, "task", names)?;
        let mut planner = Self { file, tasks: Vec::new(), task_names, collection_names };
        for (task, entry) in entries.tasks.iter().enumerate() {
            let error = |field: &str, why: String| file.error(of_task(task, [key(field)]), why);
            let Some(declared) = registry.find(&entry.run) else {
                let mut meant = meant(&entry.run, registry.iter().map(|declared| declared.name));
                if meant.is_empty() {
                    meant.push_str("; `mrpf tasks` lists them");
                }
                return Err(error(
                    "run",
                    format!("there is no kind of task {:?}{meant}", entry.run),
                ));
            };
            if entry.max_tries == 0 {
                return Err(error("max_tries", "must be 1 or more".to_owned()));
            }
            let collection = |field: &str, name: &Option<String>| match name {
                Some(name) => planner.collection(name).map(Some).map_err(|why| error(field, why)),
                None => Ok(None),
            };
            let member_of = collection("member_of", &entry.member_of)?;
            let feeds = collection("feeds", &entry.feeds)?;
            if feeds.is_some() && !declared.may_create() {
                let why =
                    format!("{} makes no tasks (it does not require QueueAccess)", declared.name);
                return Err(error("feeds", why));
            }
            if entry.for_each.is_some() && member_of.is_none() {
                let why = "the tasks that are made need a collection: add member_of".to_owned();
                return Err(error("for_each", why));
            }
            planner.tasks.push(Known { entry, declared, member_of, feeds });
        }
        Ok(planner)
    }

    fn collection(&self, name: &str) -> Result<usize, String> {
        self.collection_names.get(name).copied().ok_or_else(|| {
            let meant = meant(name, self.collection_names.keys().copied());
            format!("there is no collection {name:?}{meant}")
        })
    }

    /// A task that others may wait for by name.
    fn task(&self, name: &str) -> Result<usize, String> {
        let Some(&task) = self.task_names.get(name) else {
            let meant = meant(name, self.task_names.keys().copied());
            return Err(format!("there is no task {name:?}{meant}"));
        };
        let entry = &self.file.entries.tasks[task];
        match &entry.member_of {
            Some(collection) if entry.for_each.is_some() => Err(format!(
                "{name:?} is made for each of several; name its collection, {collection:?}"
            )),
            _ => Ok(task),
        }
    }

    /// What each task's input names.
    fn all_references(&self) -> Result<Vec<Vec<(Reference, Node)>>, WorkflowError> {
        let of = |(task, known): (usize, &Known<'_>)| {
            let schema = known.declared.input_schema();
            let resolve = |reference: Reference| {
                let node = match reference.kind {
                    Kind::Task => self.task(&reference.name).map(Node::Task),
                    Kind::Collection | Kind::Rows | Kind::Into => {
                        self.collection(&reference.name).map(Node::Collection)
                    }
                };
                match node {
                    Ok(node) => Ok((reference, node)),
                    Err(why) => {
                        // The line of the key that holds the reference says more than that of the word in it.
                        let mut fields = reference.path;
                        fields.pop();
                        fields.insert(0, key("input"));
                        Err(self.file.error(of_task(task, fields), why))
                    }
                }
            };
            let found = references(schema.as_value(), &known.entry.input);
            found.into_iter().map(resolve).collect()
        };
        self.tasks.iter().enumerate().map(of).collect()
    }

    /// What a task waits for: what `after` says, and what its input reads. What `after` says of a task that is read too
    /// holds.
    fn waits(
        &self,
        task: usize,
        refers: &[Vec<(Reference, Node)>],
    ) -> Result<BTreeMap<Node, On>, WorkflowError> {
        let mut waits = BTreeMap::new();
        for (at, after) in self.tasks[task].entry.after.iter().enumerate() {
            let error = |why| self.file.error(of_task(task, [key("after"), Step::Index(at)]), why);
            let (node, on, name) = match after {
                AfterEntry::Task(name, on) => {
                    let other = self.task(name).map_err(error)?;
                    let definition = self.tasks[other].declared.name;
                    if matches!(on, On::True | On::False) && definition != Conditional::NAME {
                        let on = on.as_str();
                        let why = format!(
                            "{name:?} never ends {on}: it is no Conditional but a {definition}"
                        );
                        return Err(error(why));
                    }
                    (Node::Task(other), *on, name)
                }
                AfterEntry::Collection(name) => {
                    let collection = self.collection(name).map_err(error)?;
                    (Node::Collection(collection), On::Finished, name)
                }
            };
            if waits.insert(node, on).is_some() {
                return Err(error(format!("{name:?} is named twice")));
            }
        }
        for (reference, node) in &refers[task] {
            if reference.kind != Kind::Into {
                waits.entry(*node).or_default();
            }
            if reference.kind == Kind::Rows {
                // Rows are there once those that put them in have ended.
                for (writer, refers) in refers.iter().enumerate() {
                    let writes =
                        refers.iter().any(|(it, into)| it.kind == Kind::Into && into == node);
                    if writes {
                        waits.entry(Node::Task(writer)).or_default();
                    }
                }
            }
        }
        Ok(waits)
    }

    /// A collection waits for its members and feeders.
    fn refuse_cycles(&self, waits: &[BTreeMap<Node, On>]) -> Result<(), WorkflowError> {
        let tasks = self.tasks.len();
        let number = |node: &Node| match node {
            Node::Task(task) => *task,
            Node::Collection(collection) => tasks + collection,
        };
        let mut next: Vec<Vec<usize>> =
            waits.iter().map(|waits| waits.keys().map(number).collect()).collect();
        next.resize(tasks + self.collection_names.len(), Vec::new());
        for (task, known) in self.tasks.iter().enumerate() {
            for collection in known.member_of.iter().chain(&known.feeds) {
                next[tasks + collection].push(task);
            }
        }
        let Some(cycle) = cycle(&next) else { return Ok(()) };
        let entries = &self.file.entries;
        let name = |node: &usize| match node.checked_sub(tasks) {
            None => entries.tasks[*node].name.clone(),
            Some(collection) => format!("collection {:?}", entries.collections[collection].name),
        };
        let way: Vec<String> = cycle.iter().chain(cycle.first()).map(name).collect();
        let why = format!("waits for itself: {}", way.join(" -> "));
        Err(self.file.error(of_task(cycle[0], []), why))
    }

    /// Gives ids, and checks the inputs with them.
    fn plan(
        &self,
        refers: &[Vec<(Reference, Node)>],
        waits: &[BTreeMap<Node, On>],
    ) -> Result<Plan, WorkflowError> {
        let entries = &self.file.entries;
        let ids: Vec<TaskId> = self.tasks.iter().map(|_| TaskId::fresh()).collect();
        let mut collections: Vec<PlannedCollection> = entries
            .collections
            .iter()
            .map(|entry| PlannedCollection {
                id: CollectionId::fresh(),
                name: entry.name.clone(),
                feeders: 0,
                members: 0,
            })
            .collect();
        let (mut tasks, mut edges) = (Vec::new(), Vec::new());
        let mut keys: HashMap<String, usize> = HashMap::new();
        for (task, known) in self.tasks.iter().enumerate() {
            let error = |field: &str, why: String| {
                let fields = std::iter::once(key("input")).chain(steps(field));
                self.file.error(of_task(task, fields), why)
            };
            let mut input = known.entry.input.clone();
            for (reference, node) in &refers[task] {
                let id = match node {
                    Node::Task(task) => ids[*task].to_string(),
                    Node::Collection(collection) => collections[*collection].id.to_string(),
                };
                put(&mut input, &reference.path, id);
            }
            for (name, id, input) in self.instances(task, ids[task], input)? {
                let dedupe_key = known.declared.check(&input).map_err(|refused| {
                    // Each says its field first.
                    match refused.0.split_once(": ") {
                        Some((field, why)) if !field.contains(' ') => error(field, why.to_owned()),
                        _ => error("", refused.0),
                    }
                })?;
                if let Some(key) = &dedupe_key
                    && let Some(same) = keys.insert(key.clone(), task)
                {
                    let same = &entries.tasks[same].name;
                    return Err(error("", format!("asks the same as task {same:?}")));
                }
                for (node, on) in &waits[task] {
                    let waits = match node {
                        Node::Task(task) => Waits::Task(ids[*task], *on),
                        Node::Collection(at) => Waits::Collection(collections[*at].id),
                    };
                    edges.push(PlannedEdge { task: id, waits });
                }
                let mut join = |collection: Option<usize>, count: fn(&mut PlannedCollection)| {
                    let collection = &mut collections[collection?];
                    count(collection);
                    Some(collection.id)
                };
                let member_of = join(known.member_of, |collection| collection.members += 1);
                let feeds = join(known.feeds, |collection| collection.feeders += 1);
                tasks.push(PlannedTask {
                    id,
                    name,
                    definition: known.declared.name.to_owned(),
                    class: known.declared.class,
                    input,
                    dedupe_key,
                    member_of,
                    feeds,
                    max_tries: known.entry.max_tries,
                });
            }
        }
        Ok(Plan {
            id: WorkflowId::fresh(),
            name: entries.name.clone(),
            scope: entries.scope.clone(),
            tasks,
            edges,
            collections,
        })
    }

    /// The tasks that an entry stands for: itself, or one for each.
    fn instances(
        &self,
        task: usize,
        id: TaskId,
        input: Value,
    ) -> Result<Vec<(String, TaskId, Value)>, WorkflowError> {
        let entry = self.tasks[task].entry;
        if entry.for_each.is_none() {
            return Ok(vec![(entry.name.clone(), id, input)]);
        }
        if !has_each(&input) {
            let why =
                format!("{EACH:?} stands nowhere, so all tasks that are made would be the same");
            return Err(self.file.error(of_task(task, [key("input")]), why));
        }
        let mut seen = HashSet::new();
        let domains = self.file.entries.scope.domains.iter().filter(|domain| seen.insert(*domain));
        let instance = |domain: &crate::DomainName| {
            let mut input = input.clone();
            put_each(&mut input, domain.as_str());
            (format!("{}/{domain}", entry.name), TaskId::fresh(), input)
        };
        Ok(domains.map(instance).collect())
    }
}

fn has_each(input: &Value) -> bool {
    match input {
        Value::String(text) => text == EACH,
        Value::Array(values) => values.iter().any(has_each),
        Value::Object(members) => members.values().any(has_each),
        _ => false,
    }
}

fn put_each(input: &mut Value, each: &str) {
    match input {
        Value::String(text) if text == EACH => each.clone_into(text),
        Value::Array(values) => values.iter_mut().for_each(|value| put_each(value, each)),
        Value::Object(members) => members.values_mut().for_each(|value| put_each(value, each)),
        _ => {}
    }
}

/// Finds names by their place; each may stand once, and has letters, digits, `-`, `_` and `.` alone.
fn unique<'a>(
    file: &WorkflowFile,
    list: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<HashMap<&'a str, usize>, WorkflowError> {
    let mut found = HashMap::new();
    for (at, name) in names.enumerate() {
        let error = |why| file.error([key(list), Step::Index(at), key("name")], why);
        let is_name = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_name) {
            return Err(error(
                "a name has 1 to 64 letters, digits, dots, \"-\" and \"_\"".to_owned(),
            ));
        }
        if found.insert(name, at).is_some() {
            return Err(error("there are two of this name".to_owned()));
        }
    }
    Ok(found)
}

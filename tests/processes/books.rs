//! What must hold of a platform whose workflows have succeeded, whatever happened on the way: asked of the files, in SQL.

use std::collections::BTreeMap;

use mrpf_tasks::{Chunk, TaskId, chunk::Joiner};
use mrpf_tests::planner::Planner;
use rusqlite::Connection;
use serde_json::Value;

use crate::{killed::CHILDREN, world::World};

/// What it took.
#[derive(Clone, Copy, Debug)]
#[expect(dead_code, reason = "most of it is printed for people")]
pub(crate) struct Books {
    /// Tasks, all of them done.
    pub(crate) tasks: u64,
    /// Runs of them.
    pub(crate) runs: u64,
    /// How often they were given out.
    pub(crate) attempts: u64,
    /// Tasks that were lost with a worker.
    pub(crate) lost: u64,
    /// Messages that were in a queue.
    pub(crate) messages: u64,
}

/// Each asks for what must not be.
const NEVER: [(&str, &str); 13] = [
    ("a task that has not succeeded", "SELECT id FROM task WHERE state <> 'succeeded'"),
    (
        "a workflow whose numbers are wrong",
        "SELECT id FROM workflow WHERE state <> 'succeeded' OR open <> 0 OR failed <> 0",
    ),
    (
        "a collection whose numbers are wrong",
        "SELECT id FROM task_collection WHERE feeders <> 0 OR done <> total OR failed <> 0 OR completed_at IS NULL
             OR total <> (SELECT count(*) FROM task WHERE member_of = task_collection.id)",
    ),
    (
        "a part of a run that is not its task's",
        "SELECT task.id FROM task JOIN task_data ON task_id = task.id WHERE task_data.run_id IS NOT task.run_id",
    ),
    (
        "a task with too few parts, or too many",
        "SELECT task.id FROM task LEFT JOIN task_data ON task_id = task.id GROUP BY task.id
         HAVING count(seq) <> parts OR coalesce(min(seq), 0) <> 0 OR coalesce(max(seq) + 1, 0) <> parts",
    ),
    (
        "a task inside without its row, or with two",
        "SELECT task.id FROM task LEFT JOIN task_collection_data ON item_key = task.id
         WHERE definition = 'Inside' GROUP BY task.id HAVING count(seq) <> 1",
    ),
    (
        "a row that is no task's",
        "SELECT item_key FROM task_collection_data LEFT JOIN task ON task.id = item_key
         WHERE definition IS NOT 'Inside' OR task_id <> item_key OR collection_id <> member_of",
    ),
    (
        "a task inside without its name",
        "SELECT task.id FROM task WHERE definition = 'Inside'
             AND NOT EXISTS (SELECT 1 FROM recon_domain WHERE name = task.id || '.example.org')",
    ),
    (
        "a name that is no task's",
        "SELECT name FROM recon_domain
         WHERE NOT EXISTS (SELECT 1 FROM task WHERE recon_domain.name = id || '.example.org' AND definition = 'Inside')",
    ),
    ("a child that is kept still", "SELECT task_id FROM task_child"),
    ("an outcome that is kept still", "SELECT task_id FROM task_outcome"),
    ("a dead letter", "SELECT why FROM dead_letter"),
    ("a reference to nothing", "SELECT \"table\" FROM pragma_foreign_key_check"),
];

pub(crate) fn check(world: &World, plans: &[Planner]) -> Books {
    let (store, queue) = (world.sql("store.db"), world.sql("queue.db"));
    for (what, sql) in NEVER {
        let found: Vec<String> = strings(&store, sql);
        assert!(
            found.is_empty(),
            "{what}: {} of them: {:?}",
            found.len(),
            &found[..found.len().min(5)]
        );
    }
    let dead = "SELECT body FROM message WHERE queue LIKE '%dead-letter'";
    assert_eq!(strings(&queue, dead), [""; 0], "dead letters");
    for file in [&store, &queue] {
        assert_eq!(strings(file, "PRAGMA integrity_check"), ["ok"]);
    }
    let tokens = tokens(&store);
    check_children(&store, &tokens);
    plans.iter().for_each(|plan| check_count(world, &store, plan));
    Books {
        tasks: number(&store, "SELECT count(*) FROM task"),
        runs: world.journal().len() as u64,
        attempts: number(&store, "SELECT sum(attempt) FROM task"),
        lost: number(&store, "SELECT sum(tries) FROM task"),
        messages: number(&queue, "SELECT seq FROM sqlite_sequence WHERE name = 'message'"),
    }
}

/// The token of each task: that of one run, in all of its items, which are numbered from 0 and as many as were asked for.
fn tokens(store: &Connection) -> BTreeMap<TaskId, String> {
    let mut find = store
        .prepare(
            "SELECT task.id, task.input, data FROM task LEFT JOIN task_data ON task_id = task.id
             WHERE definition IN ('Outside', 'Inside', 'MakesOutside', 'MakesInside') ORDER BY task.id, seq",
        )
        .unwrap();
    let mut rows = find.query(()).unwrap();
    let mut items: BTreeMap<TaskId, (u64, Joiner, Vec<Value>)> = BTreeMap::new();
    while let Some(row) = rows.next().unwrap() {
        let id: TaskId = row.get::<_, String>(0).unwrap().parse().unwrap();
        let (_, joiner, items) = items.entry(id).or_insert_with(|| {
            let input: Value = serde_json::from_str(&row.get::<_, String>(1).unwrap()).unwrap();
            // A maker has no such field, and gives one.
            (input["vary"]["items"].as_u64().unwrap_or(1), Joiner::default(), Vec::new())
        });
        if let Some(data) = row.get::<_, Option<String>>(2).unwrap() {
            let chunk: Chunk = serde_json::from_str(&data).unwrap();
            items.extend(joiner.push(chunk).unwrap());
        }
    }
    let mut tokens = BTreeMap::new();
    for (id, (wanted, joiner, items)) in items {
        joiner.finish().unwrap();
        assert_eq!(items.len() as u64, wanted, "items of {id}");
        for (n, item) in items.iter().enumerate() {
            assert_eq!(item["n"], n, "items of {id}");
            assert_eq!(item["token"], items[0]["token"], "{id} has items of two runs");
        }
        if let Some(item) = items.first() {
            tokens.insert(id, item["token"].as_str().unwrap().to_owned());
        }
    }
    tokens
}

/// The children of a maker are those of the run that counts, each once.
fn check_children(store: &Connection, tokens: &BTreeMap<TaskId, String>) {
    let makers =
        strings(store, "SELECT id FROM task WHERE definition IN ('MakesOutside', 'MakesInside')");
    for maker in makers {
        let maker: TaskId = maker.parse().unwrap();
        let mut find = store
            .prepare_cached(
                "SELECT id, json_extract(input, '$.vary.made_by') FROM task WHERE parent_id = ?1",
            )
            .unwrap();
        let children: BTreeMap<String, String> = find
            .query_map([maker.to_string()], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let expected: BTreeMap<String, String> =
            (0..CHILDREN).map(|n| (maker.child(n).to_string(), tokens[&maker].clone())).collect();
        assert_eq!(children, expected, "children of {maker}");
    }
    let others = "SELECT id FROM task WHERE parent_id IS NOT NULL AND parent_id NOT IN
                      (SELECT id FROM task WHERE definition IN ('MakesOutside', 'MakesInside'))";
    assert_eq!(strings(store, others), [""; 0], "children of nobody");
}

/// The task that waited for all counted what all gave.
fn check_count(world: &World, store: &Connection, plan: &Planner) {
    let count = plan.0.tasks.last().expect("a plan has a task that counts").id;
    let all = plan.0.collections[0].id;
    let sql = "SELECT sum(coalesce(json_extract(input, '$.vary.items'), 1)) FROM task WHERE member_of = ?1";
    let wanted: u64 = store.query_row(sql, [all.to_string()], |row| row.get(0)).unwrap();
    let items = world.items(count);
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["count"], wanted, "{:?}", items[0]);
}

fn strings(connection: &Connection, sql: &str) -> Vec<String> {
    let mut find = connection.prepare(sql).unwrap();
    find.query_map((), |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn number(connection: &Connection, sql: &str) -> u64 {
    connection.query_row(sql, (), |row| row.get(0)).unwrap()
}

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Registry, WorkerClass};

#[track_caller]
fn plan(text: &str) -> Plan {
    let file = WorkflowFile::read("test.toml", text, Syntax::Toml).unwrap();
    let plan = file.plan(&Registry::shipped()).unwrap();
    fuzzing::check(&plan, &Registry::shipped());
    plan
}

fn task<'a>(plan: &'a Plan, name: &str) -> &'a PlannedTask {
    plan.tasks.iter().find(|task| task.name == name).unwrap()
}

fn collection<'a>(plan: &'a Plan, name: &str) -> &'a PlannedCollection {
    plan.collections.iter().find(|collection| collection.name == name).unwrap()
}

fn waits(plan: &Plan, name: &str) -> Vec<Waits> {
    let id = task(plan, name).id;
    plan.edges.iter().filter(|edge| edge.task == id).map(|edge| edge.waits).collect()
}

#[test]
fn the_bundled_workflow_plans_over_any_scope() {
    let scope: Scope = serde_json::from_value(json!({
        "domains": ["b.test", "a.test", "b.test"],
        "addresses": ["198.19.0.0/24"],
    }))
    .unwrap();
    let plan = recon(scope.clone()).unwrap().plan(&Registry::shipped()).unwrap();
    fuzzing::check(&plan, &Registry::shipped());
    assert_eq!(plan.scope, scope);
    assert_eq!(task(&plan, "crt-sh/b.test").input, json!({ "domain": "b.test" }));
    assert_eq!(task(&plan, "crt-sh/a.test").class, WorkerClass::External);
    let certificates = collection(&plan, "certificates");
    assert_eq!((certificates.members, certificates.feeders), (2, 0), "a domain counts once");
    let scans = collection(&plan, "scans");
    assert_eq!((scans.members, scans.feeders), (0, 1));
    assert_eq!(task(&plan, "shards").feeds, Some(scans.id));
    assert_eq!(waits(&plan, "in-scope"), [Waits::Collection(certificates.id)]);
    assert_eq!(waits(&plan, "endpoints"), [Waits::Task(task(&plan, "any-open").id, On::True)]);
    let tls = collection(&plan, "tls-scans");
    assert_eq!((tls.members, tls.feeders), (0, 1));
    assert_eq!(task(&plan, "tls-shards").feeds, Some(tls.id));
    let open = Waits::Task(task(&plan, "open").id, On::Succeeded);
    assert_eq!(waits(&plan, "tls-shards"), [open]);
    assert_eq!(waits(&plan, "store-tls-names"), [Waits::Collection(tls.id)]);

    let addresses_only: Scope = serde_json::from_value(json!({ "addresses": ["::1"] })).unwrap();
    let plan = recon(addresses_only).unwrap().plan(&Registry::shipped()).unwrap();
    fuzzing::check(&plan, &Registry::shipped());
    assert_eq!(collection(&plan, "certificates").members, 0);

    let error = recon(Scope::default()).unwrap().plan(&Registry::shipped()).unwrap_err();
    assert!(error.why.starts_with("there is none: say which domains"), "{error}");
}

#[test]
fn names_become_ids_and_readers_wait() {
    let plan = plan(
        r#"
name = "all"
scope = { domains = ["example.org"] }
[[collection]]
name = "kept"
[[task]]
name = "certificates"
run = "CrtSh"
input = { domain = "example.org" }
[[task]]
name = "keep"
run = "InsertData"
input = { from = { task = "certificates" }, into = { collection = "kept" }, key = "/name" }
[[task]]
name = "kept"
run = "AggregateCollect"
input = { from = { rows = "kept" } }
max_tries = 7
[[task]]
name = "anyhow"
run = "AggregateCount"
input = { from = { task = "keep" } }
after = [{ task = "keep", on = "finished" }, "certificates", { collection = "kept" }]
"#,
    );
    let ids = ["certificates", "keep", "kept", "anyhow"].map(|name| task(&plan, name).id);
    let kept = collection(&plan, "kept").id;
    assert_eq!(
        task(&plan, "keep").input,
        json!({ "from": { "task": ids[0] }, "into": { "collection": kept }, "key": "/name" })
    );
    assert_eq!(task(&plan, "kept").input, json!({ "from": { "rows": kept } }));
    assert_eq!(waits(&plan, "certificates"), []);
    assert_eq!(waits(&plan, "keep"), [Waits::Task(ids[0], On::Succeeded)]);
    assert_eq!(
        waits(&plan, "kept"),
        [Waits::Task(ids[1], On::Succeeded), Waits::Collection(kept)],
        "rows are there once those that put them in have ended"
    );
    assert_eq!(
        waits(&plan, "anyhow"),
        [
            Waits::Task(ids[0], On::Succeeded),
            Waits::Task(ids[1], On::Finished),
            Waits::Collection(kept)
        ],
        "what `after` says holds for what is read too"
    );
    assert_eq!((task(&plan, "kept").max_tries, task(&plan, "keep").max_tries), (7, 3));
    let key = task(&plan, "certificates").dedupe_key.as_deref();
    assert_eq!(key, Some("crt.sh:example.org:false"));
}

#[test]
fn json_says_the_same_as_toml() {
    let toml = WorkflowFile::read("recon.toml", RECON, Syntax::Toml).unwrap();
    let value = toml.document.value().unwrap();
    let text = serde_json::to_string_pretty(&value).unwrap();
    let json = WorkflowFile::read("recon.json", &text, Syntax::Json).unwrap();
    let shape = |file: WorkflowFile| {
        let plan = file.plan(&Registry::shipped()).unwrap();
        let tasks: Vec<_> = plan.tasks.iter().map(|task| (task.name.clone(), task.class)).collect();
        (plan.name, plan.scope, tasks, plan.edges.len())
    };
    assert_eq!(shape(json), shape(toml));
}

const HEAD: &str = "name = \"x\"\nscope = { domains = [\"example.org\"] }\n";
const CERTIFICATES: &str =
    "[[task]]\nname = \"certificates\"\nrun = \"CrtSh\"\ninput = { domain = \"example.org\" }\n";

#[track_caller]
fn check_refused(text: &str, error: &str) {
    let file = WorkflowFile::read("bad.toml", text, Syntax::Toml);
    let refused = file.and_then(|file| file.plan(&Registry::shipped())).unwrap_err();
    assert_eq!(refused.to_string(), error, "\n{text}");
}

/// Behind two lines of head and four of a task that is right.
#[track_caller]
fn check_task_refused(text: &str, error: &str) {
    check_refused(&format!("{HEAD}{CERTIFICATES}{text}"), error);
}

#[test]
fn bad_syntax_and_forms_are_refused() {
    check_refused(
        "name = \n",
        "bad.toml:1:8: string values must be quoted, expected literal string",
    );
    check_refused("name = \"x\"\nname = \"y\"\n", "bad.toml:2:1: duplicate key");
    check_refused("", "bad.toml:1: missing field `name`");
    check_refused(
        "name = \"x\"\ncolour = 1\n",
        "bad.toml:2: colour: unknown field `colour`, expected one of `name`, `scope`, `collection`, `task`",
    );
    check_refused(
        "name = \"x\"\nscope = { domains = [\"a\", \"*.b\"] }\n",
        "bad.toml:2: scope.domains[1]: \"*.b\" is no host name",
    );
    check_refused(
        "name = \"x\"\nscope = { addresses = [\"10.0.0.0/33\"] }\n",
        "bad.toml:2: scope.addresses[0]: \"10.0.0.0/33\" is no network (a/len), range (a-b) or address",
    );
    check_refused(
        "name = \"x\"\n[scope]\nexclude = [\n\"a.b\",\n\"1.2.3.4-1\"]\n",
        "bad.toml:5: scope.exclude[1]: \"1.2.3.4-1\" is no network (a/len), range (a-b), address or host name",
    );
    check_refused(
        "name = \"x\"\n[scope]\ndomain = [\"example.org\"]\n",
        "bad.toml:3: scope.domain: unknown field `domain`, expected one of `domains`, `addresses`, `exclude`",
    );
    check_refused(
        &format!("{HEAD}[[task]]\nname = \"a\"\n"),
        "bad.toml:3: task \"a\": missing field `run`",
    );
    check_refused(
        &format!("{HEAD}[[task]]\nrun = \"CrtSh\"\nretries = 3\n"),
        "bad.toml:5: task 1, retries: unknown field `retries`, expected one of `name`, `run`, `input`, `after`, `for_each`, `member_of`, `feeds`, `max_tries`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"CrtSh\"\nafter = [\"certificates\", 1]\n",
        "bad.toml:10: task \"b\", after[1]: invalid type: integer `1`, expected the name of a task, or a table with `task` or `collection`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"CrtSh\"\nafter = [{ task = \"certificates\", on = \"maybe\" }]\n",
        "bad.toml:10: task \"b\", after[0].on: no task ends \"maybe\": succeeded, failed, finished, true or false",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"CrtSh\"\nafter = [{ on = \"failed\" }]\n",
        "bad.toml:10: task \"b\", after[0]: say either `task` or `collection`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"CrtSh\"\nafter = [{ collection = \"c\", on = \"failed\" }]\n",
        "bad.toml:10: task \"b\", after[0]: a collection is waited for until it is complete; leave out `on`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"CrtSh\"\nfor_each = \"address\"\n",
        "bad.toml:10: task \"b\", for_each: unknown variant `address`, expected `scope.domains`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"FilterEquals\"\ninput = { equals = nan }\n",
        "bad.toml:10:20: no number that JSON has",
    );
}

#[test]
fn a_missing_or_empty_scope_is_refused() {
    check_refused(
        &format!("name = \"x\"\n{CERTIFICATES}"),
        "bad.toml:1: scope: there is none: say which domains and addresses may be touched",
    );
    check_refused(
        &format!("name = \"x\"\n\n[scope]\nexclude = [\"a.b\"]\n{CERTIFICATES}"),
        "bad.toml:3: scope: there is none: say which domains and addresses may be touched",
    );
    check_refused(HEAD, "bad.toml:1: task: there is none");
}

#[test]
fn unknown_names_are_refused() {
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"TcpSynScann\"\n",
        "bad.toml:9: task \"b\", run: there is no kind of task \"TcpSynScann\"; did you mean \"TcpSynScan\"?",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"Nmap\"\n",
        "bad.toml:9: task \"b\", run: there is no kind of task \"Nmap\"; `mrpf tasks` lists them",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\ninput.from = { task = \"certs\" }\n",
        "bad.toml:10: task \"b\", input.from: there is no task \"certs\"",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\n[task.input.from]\ntask = \"certificate\"\n",
        "bad.toml:10: task \"b\", input.from: there is no task \"certificate\"; did you mean \"certificates\"?",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\ninput.from = { collection = \"certificates\" }\n",
        "bad.toml:10: task \"b\", input.from: there is no collection \"certificates\"",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\nafter = [\n\"certificates\",\n\"b2\"]\n",
        "bad.toml:12: task \"b\", after[1]: there is no task \"b2\"; did you mean \"b\"?",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\nmember_of = \"scans\"\n",
        "bad.toml:10: task \"b\", member_of: there is no collection \"scans\"",
    );
    check_task_refused(
        "[[collection]]\nname = \"scans\"\n[[task]]\nname = \"b\"\nrun = \"GenerateTargets\"\nfeeds = \"scan\"\n",
        "bad.toml:12: task \"b\", feeds: there is no collection \"scan\"; did you mean \"scans\"?",
    );
}

#[test]
fn names_that_are_none_or_not_unique_are_refused() {
    check_task_refused(
        CERTIFICATES,
        "bad.toml:8: task \"certificates\", name: there are two of this name",
    );
    check_task_refused(
        "[[task]]\nname = \"a b\"\nrun = \"CrtSh\"\n",
        "bad.toml:8: task \"a b\", name: a name has 1 to 64 letters, digits, dots, \"-\" and \"_\"",
    );
    check_task_refused(
        "[[collection]]\nname = \"c\"\n[[collection]]\nname = \"c\"\n",
        "bad.toml:10: collection \"c\", name: there are two of this name",
    );
    check_task_refused(
        "[[task]]\nname = \"again\"\nrun = \"CrtSh\"\ninput = { domain = \"EXAMPLE.org\" }\n",
        "bad.toml:10: task \"again\", input: asks the same as task \"certificates\"",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\nafter = [\"certificates\", { task = \"certificates\", on = \"failed\" }]\n",
        "bad.toml:10: task \"b\", after[1]: \"certificates\" is named twice",
    );
}

#[test]
fn inputs_that_do_not_fit_are_refused() {
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\n",
        "bad.toml:7: task \"b\", input: missing field `from`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\ninput.from = \"certificates\"\n",
        "bad.toml:10: task \"b\", input.from: unknown variant `certificates`, expected one of `task`, `collection`, `rows`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"FilterDedupe\"\n[task.input]\nfrom = { task = \"certificates\" }\nfield = \"name\"\n",
        "bad.toml:12: task \"b\", input.field: \"name\" is no JSON pointer; write \"/name\"",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"GenerateTargets\"\n[task.input]\nports = \"80\"\naddresses = [\"198.19.0.1\",\n\"x\"]\n",
        "bad.toml:13: task \"b\", input.addresses[1]: \"x\" is no network (a/len), range (a-b) or address",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"GenerateTargets\"\n[task.input]\nports = \"80\"\nretry = 1\n",
        "bad.toml:12: task \"b\", input.retry: unknown field `retry`, expected one of `addresses`, `from`, `field`, `ports`, `rate`, `retries`, `cooldown_secs`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"GenerateTargets\"\ninput = { ports = \"80-1\" }\n",
        "bad.toml:10: task \"b\", input.ports: \"80-1\" is no list of ports such as 80,443 or 1-1024 or -",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"Conditional\"\n[task.input]\nfrom = { task = \"certificates\" }\ncondition = { count_over = 1 }\n",
        "bad.toml:12: task \"b\", input.condition: unknown variant `count_over`, expected one of `count_at_least`, `count_at_most`, `any`, `all`",
    );
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\nmax_tries = 0\n",
        "bad.toml:10: task \"b\", max_tries: must be 1 or more",
    );
}

#[test]
fn edges_that_mean_nothing_are_refused() {
    check_task_refused(
        "[[task]]\nname = \"b\"\nrun = \"ListModels\"\nafter = [{ task = \"certificates\", on = true }]\n",
        "bad.toml:10: task \"b\", after[0]: \"certificates\" never ends true: it is no Conditional but a CrtSh",
    );
    check_task_refused(
        "[[collection]]\nname = \"c\"\n[[task]]\nname = \"b\"\nrun = \"ListModels\"\nfeeds = \"c\"\n",
        "bad.toml:12: task \"b\", feeds: ListModels makes no tasks (it does not require QueueAccess)",
    );
}

#[test]
fn tasks_for_each_are_held_to_their_rules() {
    let each = "[[collection]]\nname = \"c\"\n[[task]]\nname = \"each\"\nrun = \"ShodanDomain\"\nfor_each = \"scope.domains\"\n";
    check_task_refused(
        each,
        "bad.toml:12: task \"each\", for_each: the tasks that are made need a collection: add member_of",
    );
    check_task_refused(
        &format!("{each}member_of = \"c\"\ninput = {{ domain = \"example.org\" }}\n"),
        "bad.toml:14: task \"each\", input: \"{each}\" stands nowhere, so all tasks that are made would be the same",
    );
    check_task_refused(
        &format!(
            "{each}member_of = \"c\"\ninput = {{ domain = \"{{each}}\" }}\n[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\nafter = [\"each\"]\n"
        ),
        "bad.toml:18: task \"b\", after[0]: \"each\" is made for each of several; name its collection, \"c\"",
    );
}

#[test]
fn what_waits_for_itself_is_refused() {
    let count = |name: &str, more: &str| {
        format!(
            "[[task]]\nname = \"{name}\"\nrun = \"ListModels\"\ninput = {{ model = \"domain\" }}\n{more}\n"
        )
    };
    check_task_refused(
        &count("a", "after = [\"a\"]"),
        "bad.toml:7: task \"a\": waits for itself: a -> a",
    );
    check_task_refused(
        &[
            count("a", "after = [\"c\"]"),
            count("b", "after = [\"a\"]"),
            count("c", "after = [\"b\"]"),
        ]
        .concat(),
        "bad.toml:7: task \"a\": waits for itself: a -> c -> b -> a",
    );
    check_task_refused(
        &format!(
            "[[collection]]\nname = \"all\"\n{}{}",
            count("a", "member_of = \"all\"\nafter = [\"b\"]"),
            "[[task]]\nname = \"b\"\nrun = \"AggregateCount\"\ninput.from.collection = \"all\"\n"
        ),
        "bad.toml:9: task \"a\": waits for itself: a -> b -> collection \"all\" -> a",
    );
    check_task_refused(
        "[[collection]]\nname = \"scans\"\n[[task]]\nname = \"shards\"\nrun = \"GenerateTargets\"\nfeeds = \"scans\"\ninput = { ports = \"80\", from = { collection = \"scans\" } }\n",
        "bad.toml:9: task \"shards\": waits for itself: shards -> collection \"scans\" -> shards",
    );
}

#[test]
fn json_errors_have_lines_too() {
    let check = |text: &str, error: &str| {
        let file = WorkflowFile::read("bad.json", text, Syntax::Json);
        let refused = file.and_then(|file| file.plan(&Registry::shipped())).unwrap_err();
        assert_eq!(refused.to_string(), error);
    };
    check("{\n  \"name\": \"x\",\n}", "bad.json:3:1: trailing comma");
    check(
        "{\n\"name\": \"x\",\n\"scope\": {\"domains\": [\"a.b\"]},\n\"task\": [\n{\"name\": \"a\",\n\"run\": \"CrtSh\",\n\"input\": {\n\"domain\": 7}}]}",
        "bad.json:8: task \"a\", input.domain: invalid type: integer `7`, expected a string",
    );
    check(
        "{\n\"name\": \"x\",\n\"scope\": {\"domains\": [\"a.b\"]},\n\"task\": [\n{\"name\": \"a\",\n\"run\": \"CrtSh\",\n\"inputs\": {}}]}",
        "bad.json:7: task \"a\", inputs: unknown field `inputs`, expected one of `name`, `run`, `input`, `after`, `for_each`, `member_of`, `feeds`, `max_tries`",
    );
}

/// A file of tasks in which each waits for some before it; `extra` are edges besides.
fn dag(edges: &[Vec<usize>], extra: &[(usize, usize)]) -> String {
    let mut tasks: Vec<Value> = Vec::new();
    for (at, before) in edges.iter().enumerate() {
        let more = extra.iter().filter(|(from, _)| *from == at).map(|(_, to)| *to);
        let names: std::collections::BTreeSet<String> =
            before.iter().copied().chain(more).map(|other| format!("t{other}")).collect();
        tasks.push(json!({
            "name": format!("t{at}"),
            "run": "ListModels",
            "input": { "model": "domain" },
            "after": names,
        }));
    }
    json!({ "name": "dag", "scope": { "domains": ["a.b"] }, "task": tasks }).to_string()
}

fn any_dag() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 0..4), 1..30)
        .prop_map(|picks| {
            let before = |(at, picks): (usize, Vec<prop::sample::Index>)| {
                if at == 0 { Vec::new() } else { picks.iter().map(|pick| pick.index(at)).collect() }
            };
            picks.into_iter().enumerate().map(before).collect()
        })
}

proptest! {
    #[test]
    fn any_dag_plans_and_an_edge_back_is_refused(edges in any_dag(), pick in any::<prop::sample::Index>()) {
        let registry = Registry::shipped();
        let read = |text: &str| WorkflowFile::read("dag.json", text, Syntax::Json).unwrap();
        let plan = read(&dag(&edges, &[])).plan(&registry).unwrap();
        fuzzing::check(&plan, &registry);

        // From a task to one that waits for it, directly or not, or to itself.
        let to = pick.index(edges.len());
        let mut waiting = vec![false; edges.len()];
        waiting[to] = true;
        for at in to + 1..edges.len() {
            waiting[at] = edges[at].iter().any(|before| waiting[*before]);
        }
        let last = (0..edges.len()).rev().find(|at| waiting[*at]).unwrap();
        let error = read(&dag(&edges, &[(to, last)])).plan(&registry).unwrap_err();
        prop_assert!(error.why.starts_with("waits for itself: "), "{}", error);
        prop_assert!(error.why.contains(&format!("t{to}")), "{}", error);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]a-z\"={}. \n]{0,80}") {
        fuzzing::fuzz_workflow(text.as_bytes());
        fuzzing::fuzz_workflow(format!("{HEAD}{CERTIFICATES}{text}").as_bytes());
    }
}

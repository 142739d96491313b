//! Rules about crates and what they depend on, read from `cargo metadata`.

use std::{
    collections::{BTreeSet, HashMap},
    fs,
    path::Path,
    process::Command,
};

use serde_json::Value;

use crate::{
    lexer::{code_of, find_sequence, shipped},
    tree::{Tree, top},
};

/// What cargo says of the workspace and of every package under it.
#[derive(Debug)]
pub(crate) struct Metadata {
    json: Value,
    top: String,
}

impl Metadata {
    /// Asks cargo, which asks nobody: what was built here is here.
    pub(crate) fn read() -> Self {
        let host = output(Command::new("rustc").arg("-vV"));
        let host = host
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .expect("rustc names its host")
            .to_owned();
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        // Packages of other systems need not be here.
        let args = ["metadata", "--format-version", "1", "--offline", "--filter-platform", &host];
        let json = output(Command::new(cargo).args(args).current_dir(top()));
        let json: Value = serde_json::from_str(&json).expect("cargo writes JSON");
        let top = json["workspace_root"].as_str().expect("cargo names the root").to_owned();
        Self { json, top }
    }

    /// Every crate of ours: its folder from the top, and its description.
    fn members(&self) -> Vec<(String, &Value)> {
        let packages = self.json["packages"].as_array().into_iter().flatten();
        packages
            .filter_map(|package| Some((self.folder(package["manifest_path"].as_str()?)?, package)))
            .collect()
    }

    /// The name of the crate in `folder`.
    fn name(&self, folder: &str) -> Option<String> {
        let (_, package) = self.members().into_iter().find(|(of, _)| of == folder)?;
        package["name"].as_str().map(str::to_owned)
    }

    /// The folder of a manifest of ours, from the top.
    fn folder(&self, manifest: &str) -> Option<String> {
        Some(Path::new(manifest).parent()?.strip_prefix(&self.top).ok()?.to_str()?.to_owned())
    }

    /// Folder and root file of every library and program of ours.
    pub(crate) fn roots(&self) -> Vec<(String, String)> {
        let mut roots = Vec::new();
        for (folder, package) in self.members() {
            for target in package["targets"].as_array().into_iter().flatten() {
                let is_shipped = target["kind"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|kind| kind == "lib" || kind == "bin");
                let path = target["src_path"]
                    .as_str()
                    .and_then(|path| Path::new(path).strip_prefix(&self.top).ok());
                if let Some(path) = path.and_then(Path::to_str).filter(|_| is_shipped) {
                    roots.push((folder.clone(), path.to_owned()));
                }
            }
        }
        roots
    }

    /// Every package, ours too, with its licence expression.
    pub(crate) fn licences(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        let packages = self.json["packages"].as_array().into_iter().flatten();
        packages
            .map(|package| (package["name"].as_str().unwrap_or("?"), package["license"].as_str()))
    }

    /// Dependencies of ours on ours, by folder.
    fn edges(&self) -> Vec<(String, String)> {
        let mut edges = Vec::new();
        for (from, package) in self.members() {
            for dependency in package["dependencies"].as_array().into_iter().flatten() {
                let to = dependency["path"]
                    .as_str()
                    .and_then(|path| self.folder(&format!("{path}/Cargo.toml")));
                edges.extend(to.map(|to| (from.clone(), to)));
            }
        }
        edges
    }

    /// Names of all packages that `folder` is built from, tests aside.
    fn below(&self, folder: &str) -> BTreeSet<String> {
        let nodes: HashMap<&str, &Value> = self.json["resolve"]["nodes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|node| Some((node["id"].as_str()?, node)))
            .collect();
        let names: HashMap<&str, &str> = self.json["packages"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|package| Some((package["id"].as_str()?, package["name"].as_str()?)))
            .collect();
        let root = self
            .members()
            .into_iter()
            .find(|(member, _)| member == folder)
            .map(|(_, package)| &package["id"]);
        let mut todo: Vec<&str> = root.and_then(Value::as_str).into_iter().collect();
        assert!(!todo.is_empty(), "no crate in {folder}");
        let mut seen = BTreeSet::new();
        while let Some(id) = todo.pop() {
            for dependency in nodes[id]["deps"].as_array().into_iter().flatten() {
                let is_built = dependency["dep_kinds"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|kind| kind["kind"] != "dev");
                if let Some(id) = dependency["pkg"].as_str().filter(|_| is_built)
                    && seen.insert(id)
                {
                    todo.push(id);
                }
            }
        }
        seen.into_iter().map(|id| names[id].to_owned()).collect()
    }
}

/// Edges between crates of ours that [`may_use`] does not know.
pub(crate) fn wrong_edges(metadata: &Metadata) -> Vec<String> {
    let edges = metadata.edges();
    assert!(!edges.is_empty(), "cargo names no edge between our crates");
    edges
        .into_iter()
        .filter(|(from, to)| !may_use(from, to))
        .map(|(from, to)| format!("{from} -> {to}"))
        .collect()
}

/// adapters -> scanners -> engine, and inside adapters as [`height`] says. The lab stands on the engine alone; of the
/// adapters only the command shows it, and benches compare whole programs in it. The cloud of the tests stands on nothing of
/// ours, and nothing that is shipped stands on it ([`shipped_with_the_cloud`]).
fn may_use(from: &str, to: &str) -> bool {
    let layer = |folder: &str| folder.split('/').next().map(str::to_owned).unwrap_or_default();
    match (from, to) {
        ("adapters/cli" | "benches" | "tests", "tests/lab") => true,
        (_, "tests/cloud") => from == "tests" || from.starts_with("adapters/"),
        ("tests/cloud", _) => false,
        ("engine" | "scanners/records", _) | (_, "tests" | "tests/lab" | "benches") => false,
        ("tests/lab", _) => to == "engine",
        // Forms of records are for all; packets are for those who send them.
        ("adapters/bare_metal" | "adapters/cli" | "adapters/programs/worker", _)
        | (_, "scanners/records") => layer(to) != "adapters" || height(from) > height(to),
        _ => match (layer(from).as_str(), layer(to).as_str()) {
            // Whoever talks to open ports finds them by SYNs.
            ("scanners", "scanners") => {
                matches!(from, "scanners/tls" | "scanners/dns") && to == "scanners/syn"
            }
            ("scanners", "engine") | ("tests" | "benches", "engine" | "scanners" | "adapters") => {
                true
            }
            ("adapters", "adapters") => height(from) > height(to),
            _ => false,
        },
    }
}

/// tasks <- ports <- who does the work, the loop, the manager, what they stand on <- settings and commands <- the edge. A crate
/// uses those below it, and none beside it.
fn height(adapter: &str) -> u8 {
    match adapter {
        "adapters/tasks" => 0,
        "adapters/aws" | "adapters/ports" => 1,
        "adapters/console" | "adapters/environment" | "adapters/lambda" => 3,
        "adapters/cli" => 4,
        program if program.starts_with("adapters/programs/") => 4,
        _ => 2,
    }
}

/// Crates that are built with the cloud of the tests, and not only tested with it.
pub(crate) fn shipped_with_the_cloud(metadata: &Metadata) -> Vec<String> {
    let members = metadata.members().into_iter().map(|(folder, _)| folder);
    let shipped = members.filter(|folder| folder.starts_with("adapters/"));
    shipped.filter(|folder| metadata.below(folder).contains("mrpf_cloud")).collect()
}

/// Crates whose manifest does not take the lints of the workspace.
pub(crate) fn without_lints(metadata: &Metadata) -> Vec<String> {
    let manifest = |folder: &str| {
        fs::read_to_string(top().join(folder).join("Cargo.toml")).unwrap_or_default()
    };
    let members = metadata.members().into_iter().map(|(folder, _)| folder);
    members.filter(|folder| !takes_lints(&manifest(folder))).collect()
}

fn takes_lints(manifest: &str) -> bool {
    let mut lines = manifest.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines.any(|line| line == "[lints]")
        && lines
            .take_while(|line| !line.starts_with('['))
            .any(|line| line.replace(' ', "") == "workspace=true")
}

/// Packages that this project was asked to stand on, and the folder whose code must use each.
const ASKED_FOR: [(&str, &str); 10] = [
    ("aws-sdk-ec2", "adapters/ec2/src/"),
    ("aws-sdk-sqs", "adapters/sqs/src/"),
    ("criterion", "benches/"),
    ("crossbeam-channel", "engine/src/"),
    ("etherparse", "engine/src/"),
    ("mio", "engine/src/"),
    ("postgres", "adapters/postgres/src/"),
    ("rayon", "engine/src/"),
    ("serde", "scanners/records/src/"),
    ("socket2", "engine/src/"),
];

/// Packages asked for that no line of shipped code names, or that its crate does not depend on.
pub(crate) fn unused_packages(metadata: &Metadata, tree: &Tree) -> Vec<String> {
    let mut unused = Vec::new();
    for (package, folder) in ASKED_FOR {
        let crate_folder = folder.trim_end_matches("src/").trim_end_matches('/');
        let is_declared = metadata.members().iter().any(|(member, description)| {
            member == crate_folder
                && description["dependencies"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .any(|d| d["name"] == package)
        });
        if !is_declared || !is_used(tree, package, folder) {
            unused.push(format!("{package} in {folder}"));
        }
    }
    unused
}

/// Whether shipped code under `folder` imports `package` or has a path that begins with it.
fn is_used(tree: &Tree, package: &str, folder: &str) -> bool {
    let name = package.replace('-', "_");
    let files =
        tree.rust().filter(|(path, _)| path.starts_with(folder) && !path.ends_with("/tests.rs"));
    files.into_iter().any(|(_, text)| {
        let code = code_of(text);
        let code = shipped(&code);
        [["use", &name, "as"], [&name, ":", ":"]]
            .iter()
            .any(|wanted| !find_sequence(code, wanted).is_empty())
    })
}

/// What a crate must not be built from; a dash at the end stands for a family.
const BANNED: [(&str, &[&str]); 4] = [
    // It is synchronous, and its types are not records. (`log` comes with mio, silent unless a program installs a logger.)
    (
        "engine",
        &[
            "async", "async-", "aws", "aws-", "futures", "futures-", "serde", "serde-", "serde_",
            "tokio", "tokio-",
        ],
    ),
    // One machine needs no account anywhere, and nobody who only scans compiles an SDK.
    (
        "adapters/cli",
        &[
            "aws-config",
            "aws-sdk-",
            "aws-smithy-",
            "aws_lambda_events",
            "lambda_runtime",
            "postgres",
            "tokio",
            "tokio-",
            "mrpf_aws",
        ],
    ),
    // What runs outside the VPC has no database and sends no packet of its own making.
    (
        "adapters/programs/lambda_external",
        &[
            "aws-sdk-ec2",
            "libsqlite3-sys",
            "mrpf_engine",
            "mrpf_postgres",
            "postgres",
            "rusqlite",
            "tokio-postgres",
        ],
    ),
    ("adapters/programs/lambda_internal", &["aws-sdk-ec2", "libsqlite3-sys", "mrpf_engine"]),
];

/// Packages under crates of ours that must not be there.
pub(crate) fn banned(metadata: &Metadata) -> Vec<String> {
    let of = |&(folder, names)| {
        let mut found = banned_below(metadata, folder, names);
        // There the features of all crates are joined: what another one switches on is not in this one built alone.
        if let (false, Some(name)) = (found.is_empty(), metadata.name(folder)) {
            let built = built_from(&["--package", &name]);
            found.retain(|package| built.contains(package));
        }
        found.into_iter().map(move |package| format!("{package} under {folder}"))
    };
    BANNED.iter().flat_map(of).collect()
}

fn banned_below(metadata: &Metadata, folder: &str, names: &[&str]) -> Vec<String> {
    let below = metadata.below(folder).into_iter();
    below.filter(|package| is_banned(package, names)).map(|package| package.to_string()).collect()
}

/// The packages of a `cargo tree` with these arguments.
pub(crate) fn built_from(args: &[&str]) -> Vec<String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = ["tree", "--offline", "--edges", "normal,build", "--prefix", "none"];
    let mut cargo = Command::new(cargo);
    let tree = output(cargo.args(tree).args(args).args(["--format", "{p}"]).current_dir(top()));
    let first_words = tree.lines().filter_map(|line| line.split_whitespace().next());
    first_words.map(str::to_owned).collect()
}

fn is_banned(package: &str, names: &[&str]) -> bool {
    let is_family = |name: &str| name.ends_with(['-', '_']) && package.starts_with(name);
    names.iter().any(|name| package == *name || is_family(name))
}

pub(crate) fn output(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A workspace of two crates in which the engine depends on a scanner and on `serde`, the latter for tests if `dev`.
    fn upside_down(dev: bool) -> Metadata {
        let package = |id: &str, folder: &str, dependencies: Value| {
            let targets =
                json!([{ "kind": ["lib"], "src_path": format!("/w/{folder}/src/lib.rs") }]);
            json!({ "id": id, "name": id, "license": "MIT", "manifest_path": format!("/w/{folder}/Cargo.toml"),
                "dependencies": dependencies, "targets": targets })
        };
        let kind = if dev { json!("dev") } else { Value::Null };
        let packages = json!([
            package("mrpf_engine", "engine", json!([{ "name": "mrpf_syn", "path": "/w/scanners/syn" }])),
            package("mrpf_syn", "scanners/syn", json!([{ "name": "mrpf_engine", "path": "/w/engine" }])),
            { "id": "serde", "name": "serde", "manifest_path": "/elsewhere/serde/Cargo.toml" },
        ]);
        let deps = json!([{ "pkg": "serde", "dep_kinds": [{ "kind": kind }] }]);
        let nodes = json!([{ "id": "mrpf_engine", "deps": deps }, { "id": "serde", "deps": [] }]);
        Metadata {
            json: json!({ "packages": packages, "resolve": { "nodes": nodes } }),
            top: "/w".to_owned(),
        }
    }

    #[test]
    fn an_edge_up_is_found() {
        assert_eq!(wrong_edges(&upside_down(false)), ["engine -> scanners/syn"]);
    }

    #[track_caller]
    fn check_edge(from: &str, to: &str, may: bool) {
        assert_eq!(may_use(from, to), may, "{from} -> {to}");
    }

    #[test]
    fn edges_point_down() {
        check_edge("scanners/syn", "engine", true);
        check_edge("scanners/syn", "scanners/records", true);
        check_edge("adapters/cli", "scanners/syn", true);
        check_edge("adapters/cli", "tests/lab", true);
        check_edge("tests/lab", "engine", true);
        check_edge("tests", "tests/lab", true);
        check_edge("benches", "scanners/syn", true);
        check_edge("benches", "tests/lab", true);
        check_edge("engine", "scanners/syn", false);
        check_edge("engine", "tests/lab", false);
        check_edge("scanners/records", "engine", false);
        check_edge("scanners/tls", "scanners/syn", true);
        check_edge("scanners/dns", "scanners/syn", true);
        check_edge("scanners/syn", "scanners/tls", false);
        check_edge("scanners/dns", "scanners/tls", false);
        check_edge("scanners/syn", "adapters/cli", false);
        check_edge("adapters/manager", "tests/lab", false);
        check_edge("adapters/tasks", "scanners/records", true);
        check_edge("adapters/tasks", "adapters/ports", false);
        check_edge("adapters/ports", "adapters/tasks", true);
        check_edge("adapters/manager", "adapters/ports", true);
        check_edge("adapters/manager", "adapters/embedded", false);
        check_edge("adapters/worker", "adapters/manager", false);
        check_edge("adapters/external", "engine", false);
        check_edge("adapters/internal", "scanners/syn", false);
        check_edge("adapters/bare_metal", "scanners/syn", true);
        check_edge("adapters/bare_metal", "adapters/worker", false);
        check_edge("adapters/cli", "adapters/manager", true);
        check_edge("tests", "adapters/embedded", true);
        check_edge("tests/lab", "scanners/syn", false);
        check_edge("adapters/cli", "benches", false);
        check_edge("adapters/sqs", "adapters/aws", true);
        check_edge("adapters/aws", "adapters/ports", false);
        check_edge("adapters/ec2", "adapters/sqs", false);
        check_edge("adapters/console", "adapters/manager", true);
        check_edge("adapters/console", "adapters/environment", false);
        check_edge("adapters/cli", "adapters/console", true);
        check_edge("adapters/programs/manager", "adapters/postgres", true);
        check_edge("adapters/programs/worker", "engine", true);
        check_edge("adapters/programs/lambda_internal", "engine", false);
        check_edge("adapters/programs/lambda_external", "adapters/lambda", true);
        check_edge("adapters/lambda", "adapters/environment", false);
        check_edge("adapters/worker", "adapters/programs/worker", false);
        check_edge("adapters/sqs", "tests/cloud", true);
        check_edge("tests", "tests/cloud", true);
        check_edge("scanners/syn", "tests/cloud", false);
        check_edge("tests/cloud", "adapters/ports", false);
    }

    #[test]
    fn what_only_tests_are_built_from_is_allowed_below_the_engine() {
        let (folder, names) = BANNED[0];
        assert_eq!(banned_below(&upside_down(false), folder, names), ["serde"]);
        assert!(banned_below(&upside_down(true), folder, names).is_empty());
    }

    #[test]
    fn families_are_banned_by_name() {
        for package in [
            "serde",
            "serde_core",
            "serde_json",
            "tokio",
            "tokio-util",
            "aws-sdk-sqs",
            "futures-util",
        ] {
            assert!(is_banned(package, BANNED[0].1), "{package}");
        }
        for package in ["mio", "rayon", "socket2", "log", "asynchrony"] {
            assert!(!is_banned(package, BANNED[0].1), "{package}");
        }
    }

    #[test]
    fn lints_are_taken_in_their_own_section() {
        assert!(takes_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true # all\n"));
        assert!(!takes_lints("[package]\nname = \"a\"\n"));
        assert!(!takes_lints("[lints]\n[dependencies]\nworkspace = true\n"));
        assert!(!takes_lints("[lints]\nworkspace = false\n"));
    }

    #[test]
    fn a_package_is_used_only_by_shipped_code() {
        let check = |text: &str| {
            is_used(&Tree::of(&[("engine/src/a.rs", text)]), "crossbeam-channel", "engine/src/")
        };
        assert!(check("use crossbeam_channel::Sender;"));
        assert!(check("use crossbeam_channel as channel;"));
        assert!(check("fn f() { crossbeam_channel :: bounded(1) }"));
        assert!(!check("// use crossbeam_channel::Sender;"));
        assert!(!check("#[cfg(test)]\nmod tests { use crossbeam_channel::Sender; }"));
        assert!(!is_used(&Tree::of(&[("tests/a.rs", "use mio::Poll;")]), "mio", "engine/src/"));
    }

    #[test]
    fn a_package_that_is_not_declared_is_not_used() {
        let tree = Tree::of(&[("engine/src/a.rs", "use mio::Poll;")]);
        assert!(
            unused_packages(&upside_down(false), &tree).contains(&"mio in engine/src/".to_owned())
        );
    }
}

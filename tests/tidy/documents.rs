//! Rules about what stands beside the code: README, fuzz corpora, golden records, the top of the tree.

use std::{collections::BTreeSet, ops::RangeInclusive, path::PathBuf, process::Command};

use crate::tree::{TOP, Tree};

/// Entries at the top that are neither in [`TOP`] nor a licence.
pub(crate) fn strange_entries(tree: &Tree) -> Vec<String> {
    let entries: BTreeSet<&str> = tree.paths().filter_map(|path| path.split('/').next()).collect();
    let is_known = |entry: &str| TOP.contains(&entry) || entry.starts_with("LICENSE-");
    entries.into_iter().filter(|entry| !is_known(entry)).map(str::to_owned).collect()
}

/// Commands that whoever opens the README must find there.
const COMMANDS: [&str; 2] = ["cargo run --release --bin mrpf -- demo", "tests/run"];

/// What the README lacks, and flags of `mrpf syn` in it that the command's `--help` does not know.
///
/// Without the command's help, which is there once it is built, only the first half is judged.
pub(crate) fn readme(tree: &Tree, help: Option<&str>) -> Vec<String> {
    let Some(text) = tree.text("README.md") else {
        return vec!["is missing".to_owned()];
    };
    let missing = COMMANDS
        .iter()
        .filter(|command| !text.contains(*command))
        .map(|command| format!("does not show: {command}"));
    let flags = flags_of_syn(text);
    let unknown = match help {
        Some(help) => flags.into_iter().filter(|flag| !knows(help, flag)).collect(),
        None => BTreeSet::new(),
    };
    missing.chain(unknown.into_iter().map(|flag| format!("mrpf syn has no {flag}"))).collect()
}

/// Flags in lines that show `mrpf syn`, lines that go on after a backslash included.
fn flags_of_syn(text: &str) -> BTreeSet<String> {
    let joined = text.replace("\\\n", " ");
    let mut flags = BTreeSet::new();
    for line in joined.lines() {
        for command in line.split("mrpf syn ").skip(1) {
            // What comes after a pipe, a comment or the end of inline code is not ours.
            let command = command.split(['|', '#', '`', ';', '>']).next().unwrap_or_default();
            let words =
                command.split_whitespace().map(|word| word.split('=').next().unwrap_or(word));
            flags.extend(
                words.filter(|word| word.starts_with('-') && word.len() > 1).map(str::to_owned),
            );
        }
    }
    flags
}

fn knows(help: &str, flag: &str) -> bool {
    let separators = |c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '=' | '`' | '.');
    help.split(separators).any(|word| word == flag)
}

/// Paths and tests that ARCHITECTURE.md names and that are not there: `path/` or `path.rs` or `path.rs::test` in inline code.
pub(crate) fn architecture(tree: &Tree) -> Vec<String> {
    let Some(text) = tree.text("ARCHITECTURE.md") else {
        return vec!["is missing".to_owned()];
    };
    // Outside the drawings every second piece between backticks is inline code.
    let prose = text.split("```").step_by(2);
    let spans = prose.flat_map(|prose| prose.split('`').skip(1).step_by(2));
    spans
        .filter(|span| is_reference(span) && !exists(tree, span))
        .map(|span| format!("there is no {span}"))
        .collect()
}

fn is_reference(span: &str) -> bool {
    let path = span.split("::").next().unwrap_or(span);
    let is_path =
        path.contains('/') && path.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    // An address range is written with a slash too.
    is_path && !path.starts_with(|c: char| c.is_ascii_digit())
}

fn exists(tree: &Tree, reference: &str) -> bool {
    match reference.split_once("::") {
        Some((path, test)) => {
            tree.text(path).is_some_and(|text| text.contains(&format!("fn {test}(")))
        }
        None => tree.paths().any(|path| {
            path.strip_prefix(reference).is_some_and(|rest| {
                rest.is_empty() || reference.ends_with('/') || rest.starts_with('/')
            })
        }),
    }
}

/// What `mrpf syn --help` prints, if the command has been built beside these tests.
pub(crate) fn syn_help() -> Option<String> {
    let tests = std::env::current_exe().ok()?;
    let mrpf: PathBuf = tests.parent()?.parent()?.join("mrpf");
    if !mrpf.exists() {
        println!("SKIPPED: the flags in README.md, as mrpf is not built: cargo build --bin mrpf");
        return None;
    }
    let output = Command::new(&mrpf).args(["syn", "--help"]).output().expect("mrpf starts");
    assert!(output.status.success(), "mrpf syn --help: {output:?}");
    Some(String::from_utf8(output.stdout).expect("help is text"))
}

/// Fuzz targets that start from nothing.
pub(crate) fn fuzz_targets_without_corpus(tree: &Tree) -> Vec<String> {
    let targets: Vec<&str> = tree
        .paths()
        .filter_map(|path| path.strip_prefix("fuzz/fuzz_targets/")?.strip_suffix(".rs"))
        .collect();
    if targets.is_empty() {
        return vec!["fuzz/fuzz_targets holds no target".to_owned()];
    }
    let has_corpus = |target: &str| {
        let folder = format!("fuzz/corpus/{target}/");
        tree.paths().any(|path| path.starts_with(&folder))
    };
    targets.into_iter().filter(|target| !has_corpus(target)).map(str::to_owned).collect()
}

/// Record versions without a file of what they looked like.
pub(crate) fn missing_golden_files(tree: &Tree, versions: RangeInclusive<u32>) -> Vec<String> {
    let files = versions.map(|version| format!("scanners/records/testdata/v{version}.jsonl"));
    files.filter(|file| tree.text(file).is_none_or(str::is_empty)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strange_entry_is_found() {
        let tree = Tree::of(&[
            ("engine/src/lib.rs", ""),
            ("LICENSE-MIT", ""),
            ("notes.txt", ""),
            ("src/main.rs", ""),
        ]);
        assert_eq!(strange_entries(&tree), ["notes.txt", "src"]);
    }

    const HELP: &str = "Usage: mrpf syn [OPTIONS]\n  -p, --ports <PORTS>  Ports [default: 80]\n      --rate <RATE>";

    #[track_caller]
    fn check_readme(text: &str, expected: &[&str]) {
        assert_eq!(readme(&Tree::of(&[("README.md", text)]), Some(HELP)), expected);
    }

    #[test]
    fn a_readme_without_its_commands_is_found() {
        check_readme("tests/run", &["does not show: cargo run --release --bin mrpf -- demo"]);
        assert_eq!(readme(&Tree::default(), None), ["is missing"]);
    }

    #[test]
    fn a_flag_that_does_not_exist_is_found() {
        let with =
            |line: &str| format!("cargo run --release --bin mrpf -- demo\ntests/run\n{line}\n");
        check_readme(&with("mrpf syn 198.18.0.0/15 -p 80 --rate=10k"), &[]);
        check_readme(&with("mrpf syn - -p 80 | jq -r .ip # --pipe"), &[]);
        check_readme(&with("`mrpf syn x -p 1` and --other"), &[]);
        check_readme(&with("mrpf lab run -- mrpf syn x --fast"), &["mrpf syn has no --fast"]);
        check_readme(&with("mrpf syn x \\\n  -p 80 \\\n  --port 80"), &["mrpf syn has no --port"]);
    }

    #[test]
    fn a_reference_to_what_is_not_there_is_found() {
        let text = "`engine/src/` `engine/src/a.rs` `engine/src/a.rs::f` `198.18.0.0/16` `engine/src/b.rs` \
                    `engine/src/a.rs::g`\n```text\n engine/none/ `\n```\n`engine/sr` `1 + r` `gone/`";
        let tree = Tree::of(&[("ARCHITECTURE.md", text), ("engine/src/a.rs", "fn f() {}")]);
        assert_eq!(
            architecture(&tree),
            ["engine/src/b.rs", "engine/src/a.rs::g", "engine/sr", "gone/"]
                .map(|name| format!("there is no {name}"))
        );
        assert_eq!(architecture(&Tree::default()), ["is missing"]);
    }

    #[test]
    fn a_target_without_corpus_is_found() {
        let tree = Tree::of(&[
            ("fuzz/fuzz_targets/a.rs", ""),
            ("fuzz/fuzz_targets/b.rs", ""),
            ("fuzz/corpus/a/x", ""),
        ]);
        assert_eq!(fuzz_targets_without_corpus(&tree), ["b"]);
        assert_eq!(fuzz_targets_without_corpus(&Tree::default()).len(), 1);
    }

    #[test]
    fn a_version_without_golden_file_is_found() {
        let tree = Tree::of(&[
            ("scanners/records/testdata/v1.jsonl", "{}"),
            ("scanners/records/testdata/v3.jsonl", ""),
        ]);
        assert_eq!(
            missing_golden_files(&tree, 1..=3),
            ["scanners/records/testdata/v2.jsonl", "scanners/records/testdata/v3.jsonl"]
        );
    }
}

//! Rules about BPF objects, which are committed so that nobody needs clang to build mrpf.
//!
//! Beside NAME.bpf.c stand NAME.bpf.o and NAME.bpf.o.built: lines `source HASH` (SHA-256, with the headers of the folder before
//! it), `object HASH` and `clang VERSION`. The hashes are checked everywhere; where that major version of clang is installed the object is built
//! again, and is the same octet for octet.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    slice,
};

use crate::{
    manifests::{built_from, output},
    tree::{Tree, top},
};

/// The folders of the sources: of the link, which are part of the command, and of the lab, which are not.
const FOLDERS: [&str; 2] = ["engine/bpf", "tests/lab/bpf"];
/// The program in each that builds them.
const BUILD: &str = "build";
/// The package whose feature brings the programs of the lab, and the loader that it brings with it.
const LAB: &str = "mrpf_lab";
/// What loads BPF programs: the engine alone of what is ours, so that no program of the lab is in the command.
const LOADER: &str = "aya";
const LOADS: &str = "mrpf_engine";

/// Sources and objects that are not those of the note beside them.
pub(crate) fn stale(tree: &Tree) -> Vec<String> {
    let differences = |source: String| {
        let object = object_of(&source);
        let note = tree.text(&format!("{object}.built")).unwrap_or_default();
        let hash = sha256(&with_headers(tree, &source));
        differences(note, &source, &hash, &object, &sha256(slice::from_ref(&object)))
    };
    FOLDERS.iter().flat_map(|folder| sources(tree, folder)).flat_map(differences).collect()
}

/// Objects that clang, where it is the one of the note, makes otherwise.
pub(crate) fn made_otherwise(tree: &Tree) -> Vec<String> {
    FOLDERS.iter().flat_map(|folder| made_otherwise_in(tree, folder)).collect()
}

fn made_otherwise_in(tree: &Tree, folder: &str) -> Vec<String> {
    let sources = sources(tree, folder);
    let notes =
        sources.iter().filter_map(|source| tree.text(&format!("{}.built", object_of(source))));
    let wanted: Vec<_> = notes.filter_map(|note| value(note, "clang").map(major)).collect();
    // Debian has each under a name with its number.
    let names = ["clang".to_owned(), format!("clang-{}", wanted.first().copied().unwrap_or("?"))];
    let is_right = |name: &&String| {
        let installed = installed_clang(name);
        installed.is_some_and(|installed| wanted.iter().all(|it| *it == major(&installed)))
    };
    let Some(clang) = names.iter().find(is_right) else {
        let [clang, wanted] = names;
        let is = installed_clang(&clang).unwrap_or_else(|| "not installed".to_owned());
        println!(
            "SKIPPED: the objects of {folder} built again: clang is {is}, and they are of {wanted}"
        );
        return Vec::new();
    };
    let made = tempfile::tempdir().expect("a folder to build in");
    output(Command::new(top().join(folder).join(BUILD)).arg(made.path()).env("CLANG", clang));
    let is_same = |object: &str| {
        let name = Path::new(object).file_name().expect("a name");
        let built = fs::read(made.path().join(name)).expect("the build makes every object");
        fs::read(top().join(object)).is_ok_and(|committed| committed == built)
    };
    sources.iter().map(|source| object_of(source)).filter(|object| !is_same(object)).collect()
}

/// Packages of ours that bring a BPF loader into what the command alone is built from, other than the engine, whose link it is:
/// the lab's objects come with a feature of the lab that needs one. Cargo's metadata cannot say: there the features of all crates
/// are joined, those of the benches too.
pub(crate) fn loaders_in_the_command() -> Vec<String> {
    let command = built_from(&["--package", "mrpf"]);
    assert!(command.iter().any(|name| name == LAB), "the command shows the lab: {command:?}");
    // Turned round, what stands one step from the loader brings it.
    let bring = built_from(&["--package", "mrpf", "--invert", LOADER, "--depth", "1"]);
    assert!(bring.iter().any(|name| name == LOADS), "the engine loads its programs: {bring:?}");
    bring.into_iter().filter(|name| name != LOADER && name != LOADS).collect()
}

fn sources(tree: &Tree, folder: &str) -> Vec<String> {
    let is_source = |path: &&str| path.starts_with(folder) && path.ends_with(".bpf.c");
    let sources: Vec<_> = tree.paths().filter(is_source).map(str::to_owned).collect();
    assert!(!sources.is_empty(), "no *.bpf.c in {folder}");
    sources
}

/// A source, behind the headers of its folder.
fn with_headers(tree: &Tree, source: &str) -> Vec<String> {
    let (folder, _) = source.rsplit_once('/').expect("sources lie in folders");
    let is_header = |path: &&str| path.starts_with(folder) && path.ends_with(".h");
    let mut paths: Vec<_> = tree.paths().filter(is_header).map(str::to_owned).collect();
    paths.sort();
    paths.push(source.to_owned());
    paths
}

fn object_of(source: &str) -> String {
    format!("{}.o", source.trim_end_matches(".c"))
}

/// What `note` says of source and object that is not so.
fn differences(
    note: &str,
    source: &str,
    source_hash: &str,
    object: &str,
    object_hash: &str,
) -> Vec<String> {
    let mut differences = Vec::new();
    for (key, path, hash) in [("source", source, source_hash), ("object", object, object_hash)] {
        if value(note, key) != Some(hash) {
            differences.push(format!("{path} is not what {object}.built names"));
        }
    }
    if value(note, "clang").is_none() {
        differences.push(format!("{object}.built names no clang"));
    }
    differences
}

/// What stands after `key` on its line.
fn value<'a>(note: &'a str, key: &str) -> Option<&'a str> {
    note.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))
}

fn major(version: &str) -> &str {
    version.split('.').next().unwrap_or(version)
}

fn installed_clang(name: &str) -> Option<String> {
    let output = Command::new(name).arg("--version").stderr(Stdio::null()).output().ok()?;
    clang_version(&String::from_utf8(output.stdout).ok()?)
}

/// The version in the first line of `clang --version`, which distributions begin with their names.
fn clang_version(text: &str) -> Option<String> {
    let (_, after) = text.lines().next()?.split_once("clang version ")?;
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    Some(after.chars().take_while(|c| is_part(*c)).collect())
}

/// SHA-256 of these files of the repository, one behind the other, in hexadecimal; by coreutils, so that no package is needed for
/// it.
fn sha256(paths: &[String]) -> String {
    if paths.iter().any(|path| !top().join(path).exists()) {
        return "no file".to_owned();
    }
    let script = ["-c", "cat -- \"$@\" | sha256sum", "sh"];
    let line = output(Command::new("sh").args(script).args(paths).current_dir(top()));
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "source aa\nobject bb\nclang 14.0.6\n";

    #[track_caller]
    fn check(note: &str, source_hash: &str, object_hash: &str, expected: &[&str]) {
        assert_eq!(differences(note, "x.bpf.c", source_hash, "x.bpf.o", object_hash), expected);
    }

    #[test]
    fn a_source_or_object_changed_alone_is_found() {
        check(NOTE, "aa", "bb", &[]);
        check(NOTE, "ac", "bb", &["x.bpf.c is not what x.bpf.o.built names"]);
        check(NOTE, "aa", "bc", &["x.bpf.o is not what x.bpf.o.built names"]);
        check("source aa\nobject bb\n", "aa", "bb", &["x.bpf.o.built names no clang"]);
        assert_eq!(differences("", "x.bpf.c", "aa", "x.bpf.o", "bb").len(), 3);
    }

    #[test]
    fn clang_says_its_version_in_many_ways() {
        for (text, version) in [
            ("Debian clang version 14.0.6\nTarget: x", "14.0.6"),
            ("Ubuntu clang version 18.1.3 (1ubuntu1)", "18.1.3"),
            ("clang version 20.1.0-rc1", "20.1.0"),
        ] {
            assert_eq!(clang_version(text).as_deref(), Some(version));
        }
        assert_eq!(clang_version("gcc (Debian 12)"), None);
        assert_eq!(major("14.0.6"), "14");
    }

    #[test]
    fn sha256_is_that_of_the_standard() {
        // FIPS 180-4: nothing hashes to this, and so does an empty file.
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("empty");
        fs::write(&path, "").expect("a file");
        assert!(
            sha256(&[path.to_str().expect("text").to_owned()])
                .starts_with("e3b0c44298fc1c149afbf4c8996fb924")
        );
        assert_eq!(sha256(&["tests/none".to_owned()]), "no file");
    }
}

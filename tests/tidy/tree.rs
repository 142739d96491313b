//! Which files there are.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// The folders and files at the top that anyone looks for, and the settings that tools look for there.
pub(crate) const TOP: [&str; 18] = [
    ".cargo",
    ".ci",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "README.md",
    "adapters",
    "benches",
    "clippy.toml",
    "engine",
    "fuzz",
    "rustfmt.toml",
    "scanners",
    "tests",
];

/// The files of the repository, by path from its top with `/` between folders.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// What git tracks, and what may be added to it: new files in our folders, but not what somebody's scan left at the top.
    /// In a source archive every file that `.gitignore` does not name.
    pub(crate) fn read() -> Self {
        let top = top();
        let paths =
            tracked(&top).filter(|paths| !paths.is_empty()).unwrap_or_else(|| present(&top));
        let files = paths
            .into_iter()
            .filter_map(|path| Some((path.clone(), fs::read(top.join(&path)).ok()?)))
            .collect();
        Self { files }
    }

    /// A tree that exists only in a test.
    #[cfg(test)]
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self {
            files: files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
                .collect(),
        }
    }

    /// All paths, sorted.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// The files that are text, with their text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, bytes)| Some((path.as_str(), std::str::from_utf8(bytes).ok()?)))
    }

    /// The Rust files, with their text.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts().filter(|(path, _)| path.ends_with(".rs"))
    }

    /// The text of one file.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(self.files.get(path)?).ok()
    }
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ stands in the repository")
        .to_owned()
}

fn tracked(top: &Path) -> Option<Vec<String>> {
    let list = |which: &[&str]| {
        let mut git = Command::new("git");
        // A checkout made by another user is still the one to judge.
        git.args(["-c", "safe.directory=*", "ls-files", "-z"]).args(which).current_dir(top);
        let output = git.output().ok().filter(|output| output.status.success())?;
        let paths = String::from_utf8(output.stdout).ok()?;
        Some(paths.split_terminator('\0').map(str::to_owned).collect::<Vec<_>>())
    };
    let tracked = list(&["--cached"])?;
    let new = list(&["--others", "--exclude-standard"])?;
    let is_ours = |path: &String| path.split('/').next().is_some_and(|entry| TOP.contains(&entry));
    Some(tracked.into_iter().chain(new.into_iter().filter(is_ours)).collect())
}

fn present(top: &Path) -> Vec<String> {
    let patterns = fs::read_to_string(top.join(".gitignore")).unwrap_or_default();
    let patterns: Vec<&str> =
        patterns.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(top.join(&folder)).into_iter().flatten().flatten() {
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if path == ".git" || patterns.iter().any(|pattern| is_ignored(&path, pattern)) {
                continue;
            }
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// The two forms of pattern that our `.gitignore` has: from the top with `/`, else the name alone; one `*` at most.
fn is_ignored(path: &str, pattern: &str) -> bool {
    let pattern = pattern.trim_end_matches('/');
    let (subject, pattern) = match pattern.strip_prefix('/') {
        Some(pattern) => (path, pattern),
        None => (path.rsplit('/').next().unwrap_or(path), pattern),
    };
    match pattern.split_once('*') {
        None => subject == pattern,
        Some((before, after)) => {
            subject.len() >= before.len() + after.len()
                && subject.starts_with(before)
                && subject.ends_with(after)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_paths_are_those_that_git_ignores() {
        for (path, pattern) in [
            ("target", "/target"),
            ("fuzz/target", "/fuzz/target"),
            ("a/b.checkpoint", "*.checkpoint"),
            ("mrpf-demo-1", "/mrpf-demo-*/"),
        ] {
            assert!(is_ignored(path, pattern), "{path} by {pattern}");
        }
        for (path, pattern) in
            [("engine/src/target", "/target"), ("a.checkpoint.rs", "*.checkpoint"), ("x", "/xx*x")]
        {
            assert!(!is_ignored(path, pattern), "{path} by {pattern}");
        }
    }

    #[test]
    fn the_repository_is_found() {
        let tree = Tree::read();
        assert!(tree.text("Cargo.toml").is_some_and(|text| text.contains("[workspace]")));
        assert!(tree.rust().any(|(path, _)| path == "tests/tidy/tree.rs"));
        assert!(tree.paths().all(|path| !path.starts_with("target/")));
    }
}

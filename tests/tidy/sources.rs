//! Rules about the text of source files.

use crate::{
    lexer::{code_of, find_sequence},
    manifests::Metadata,
    tree::{Tree, top},
};

/// Where `unsafe` may stand: the system calls of the links.
const UNSAFE_FOLDER: &str = "engine/src/link/sys/";
/// In two pieces, here as in the samples below: who searches the tree for the word finds code.
const UNSAFE: &str = concat!("un", "safe");
/// Longest file, tests included.
const MOST_LINES: usize = 700;

/// The keyword `unsafe`, in code, outside its folder.
pub(crate) fn unsafe_elsewhere(tree: &Tree) -> Vec<String> {
    tree.rust()
        .filter(|(path, _)| !path.starts_with(UNSAFE_FOLDER))
        .flat_map(|(path, text)| places(path, &code_of(text), &[UNSAFE]))
        .collect()
}

/// Roots of libraries and programs that do not rule `unsafe` out: the engine denies it (and allows it again in one folder),
/// every other crate forbids it.
pub(crate) fn roots_without_attribute(metadata: &Metadata) -> Vec<String> {
    metadata
        .roots()
        .into_iter()
        .filter(|(folder, root)| {
            let text = std::fs::read_to_string(top().join(root)).unwrap_or_default();
            !rules_unsafe_out(folder, &text)
        })
        .map(|(_, root)| root)
        .collect()
}

fn rules_unsafe_out(folder: &str, root: &str) -> bool {
    let level = if folder == "engine" { "deny" } else { "forbid" };
    let code = code_of(root);
    !find_sequence(&code, &["#", "!", "[", level, "(", "unsafe_code", ")", "]"]).is_empty()
}

/// Code that says of itself that it is not done, and tests that are switched off.
pub(crate) fn unfinished(tree: &Tree) -> Vec<String> {
    const MARKS: [&[&str]; 4] =
        [&["todo", "!"], &["unimplemented", "!"], &["dbg", "!"], &["#", "[", "ignore"]];
    tree.rust()
        .flat_map(|(path, text)| {
            let code = code_of(text);
            MARKS.iter().flat_map(|mark| places(path, &code, mark)).collect::<Vec<_>>()
        })
        .collect()
}

/// Files written by hand that are too long to be read at a sitting.
pub(crate) fn too_long(tree: &Tree) -> Vec<String> {
    // CloudFormation takes one template in one file; parts of it would have to lie in S3.
    const ONE_FILE: [&str; 2] = ["Cargo.lock", "adapters/deploy/stack.yaml"];
    let is_written = |path: &str| {
        !ONE_FILE.iter().any(|whole| path.ends_with(whole))
            && !path.contains("/testdata/")
            && !path.contains("/corpus/")
    };
    tree.texts()
        .filter(|(path, _)| is_written(path))
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect()
}

/// Paths that exist on the machine of whoever wrote the file, and nowhere else.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<String> {
    // In two pieces each, or this file would find itself.
    const WORDS: [&str; 5] = [
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!(".libr", "ary"),
        concat!(".mir", "ror/"),
    ];
    tree.texts()
        .flat_map(|(path, text)| {
            text.lines().enumerate().flat_map(move |(line, text)| {
                let words = WORDS.iter().filter(move |word| text.contains(**word));
                words.map(move |word| format!("{path}:{}: {word}", line + 1))
            })
        })
        .collect()
}

fn places(path: &str, code: &str, wanted: &[&str]) -> Vec<String> {
    find_sequence(code, wanted)
        .into_iter()
        .map(|line| format!("{path}:{line}: {}", wanted.concat()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_in_code_alone() {
        let allowed = format!("{UNSAFE} {{ f() }}");
        let no_code =
            format!("// {UNSAFE}\nconst A: &str = \"{UNSAFE}\";\n#![deny({UNSAFE}_code)]");
        let bad = format!("fn f() {{\n    {UNSAFE} {{ g() }}\n}}");
        let tree = Tree::of(&[
            ("engine/src/link/sys/mmap.rs", &allowed),
            ("engine/src/wire/tcp.rs", &no_code),
            ("scanners/syn/src/lib.rs", &bad),
        ]);
        assert_eq!(unsafe_elsewhere(&tree), [format!("scanners/syn/src/lib.rs:2: {UNSAFE}")]);
    }

    #[test]
    fn a_root_needs_the_attribute_of_its_crate() {
        assert!(rules_unsafe_out("engine", "//! x\n#![deny(unsafe_code)]\n"));
        assert!(rules_unsafe_out("scanners/syn", "#![forbid(unsafe_code)]"));
        assert!(!rules_unsafe_out("scanners/syn", "#![deny(unsafe_code)]"));
        assert!(!rules_unsafe_out("scanners/syn", "// #![forbid(unsafe_code)]"));
    }

    #[test]
    fn unfinished_code_is_found() {
        const MARKS: [&str; 4] = [
            concat!("to", "do!"),
            concat!("unimple", "mented!"),
            concat!("db", "g!"),
            concat!("#[ig", "nore"),
        ];
        let [one, other, shown, off] = MARKS;
        let bad = format!(
            "fn f() {{ {one}() }}\nfn g() {{ {other}(\"x\") }}\n#[test]\n{off} = \"slow\"]\nfn h() {{ {shown}(1); }}"
        );
        let good = format!("// {one}()\nfn todo() {{ ignore(); }}");
        let tree = Tree::of(&[("a.rs", &bad), ("b.rs", &good)]);
        let found = [(1, one), (2, other), (5, shown), (4, off)];
        assert_eq!(unfinished(&tree), found.map(|(line, mark)| format!("a.rs:{line}: {mark}")));
    }

    #[test]
    fn long_files_are_found() {
        let (long, short) = ("x\n".repeat(701), "x\n".repeat(700));
        let tree = Tree::of(&[("a.rs", &long), ("b.rs", &short), ("Cargo.lock", &long)]);
        assert_eq!(too_long(&tree), ["a.rs: 701 lines"]);
    }

    #[test]
    fn paths_of_a_machine_are_found_in_comments_too() {
        let bad = format!("a\n// see {}main\n", concat!("/wo", "rk/"));
        let tree = Tree::of(&[("a.rs", &bad), ("b.md", "we work/play")]);
        assert_eq!(machine_paths(&tree), [format!("a.rs:2: {}", concat!("/wo", "rk/"))]);
    }
}

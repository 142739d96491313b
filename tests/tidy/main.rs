//! The house rules, as tests: what a reviewer would otherwise have to look for in every change.
//!
//! ```text
//! tree.rs       which files there are, and which of them are ours to judge
//! lexer.rs      Rust source without its comments and literals
//! sources.rs    unsafe, unfinished code, long files, words that must not leave this machine
//! manifests.rs  edges between crates, lints, packages that must be used, packages that must not
//! licences.rs   what the packages we build on allow
//! documents.rs  README, fuzz corpora, golden records, the top of the tree
//! bpf.rs        BPF objects are what clang makes of the sources beside them, and no part of the command
//! ```
//!
//! Each rule is a function from what it reads to a list of violations, and has beside it a test that shows it what it must
//! find. The tests in this file run the rules over the repository.

#![forbid(unsafe_code)]

mod bpf;
mod documents;
mod lexer;
mod licences;
mod manifests;
mod sources;
mod tree;

use crate::{manifests::Metadata, tree::Tree};

/// Fails with one line a violation.
#[track_caller]
fn hold(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}

#[test]
fn the_top_of_the_tree_holds_only_what_belongs_there() {
    hold("entries that belong elsewhere", documents::strange_entries(&Tree::read()));
}

#[test]
fn unsafe_stands_in_link_sys_alone() {
    hold("unsafe outside engine/src/link/sys", sources::unsafe_elsewhere(&Tree::read()));
}

#[test]
fn every_crate_root_rules_unsafe_out() {
    hold(
        "crate roots without their unsafe_code attribute",
        sources::roots_without_attribute(&Metadata::read()),
    );
}

#[test]
fn no_unfinished_code() {
    hold("unfinished code", sources::unfinished(&Tree::read()));
}

#[test]
fn no_file_is_too_long() {
    hold("files longer than 700 lines", sources::too_long(&Tree::read()));
}

#[test]
fn nothing_speaks_of_the_machine_it_was_written_on() {
    hold("paths of one machine", sources::machine_paths(&Tree::read()));
}

#[test]
fn dependencies_point_one_way() {
    hold("edges that point the wrong way", manifests::wrong_edges(&Metadata::read()));
}

#[test]
fn every_member_has_the_lints_of_the_workspace() {
    hold("members without `[lints] workspace = true`", manifests::without_lints(&Metadata::read()));
}

#[test]
fn the_packages_asked_for_are_used() {
    hold(
        "packages without a real use",
        manifests::unused_packages(&Metadata::read(), &Tree::read()),
    );
}

#[test]
fn crates_stay_free_of_what_they_must_not_have() {
    hold("packages under crates that must not have them", manifests::banned(&Metadata::read()));
}

#[test]
fn nothing_shipped_stands_on_the_cloud_of_the_tests() {
    hold("crates built with tests/cloud", manifests::shipped_with_the_cloud(&Metadata::read()));
}

#[test]
fn licences_of_all_packages_are_allowed() {
    hold("packages whose licence is not on our list", licences::not_allowed(&Metadata::read()));
}

#[test]
fn the_readme_shows_commands_that_exist() {
    hold("README.md", documents::readme(&Tree::read(), documents::syn_help().as_deref()));
}

#[test]
fn the_architecture_names_what_is_there() {
    hold("ARCHITECTURE.md", documents::architecture(&Tree::read()));
}

#[test]
fn every_fuzz_target_has_a_corpus() {
    hold("fuzz targets without a corpus", documents::fuzz_targets_without_corpus(&Tree::read()));
}

#[test]
fn every_record_version_has_a_golden_file() {
    let versions = 1..=mrpf_records::SCHEMA_VERSION;
    hold("golden files of the records", documents::missing_golden_files(&Tree::read(), versions));
}

#[test]
fn bpf_objects_belong_to_their_sources() {
    hold("BPF objects to build again (by `build` beside them)", bpf::stale(&Tree::read()));
}

#[test]
fn bpf_objects_are_what_clang_makes() {
    hold("BPF objects that clang makes otherwise", bpf::made_otherwise(&Tree::read()));
}

#[test]
fn the_command_has_no_bpf_program_of_the_lab() {
    hold("packages beside the engine that load BPF in the command", bpf::loaders_in_the_command());
}

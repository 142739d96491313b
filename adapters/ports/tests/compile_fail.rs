//! What must not compile: a task that uses what it does not declare. `cargo check` is enough to see it, and says which
//! requirement is missing.
//!
//! After a change of the compiler's words: `TRYBUILD=overwrite cargo test -p mrpf_ports --test compile_fail`.

#[test]
fn a_task_uses_only_what_it_declares() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}

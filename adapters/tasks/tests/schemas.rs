//! The JSON schemas of every task that ships, as files: what a task takes and gives does not change unseen.
//!
//! After a change that is meant: `MRPF_WRITE_SCHEMAS=1 cargo test -p mrpf_tasks --test schemas`, and read the difference.

use std::{collections::BTreeSet, env, fs, path::Path};

use mrpf_tasks::Registry;
use serde_json::json;

#[test]
fn schemas_are_those_of_the_files() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/schemas");
    let mut expected = BTreeSet::new();
    for declared in Registry::shipped().iter() {
        let schemas = json!({
            "name": declared.name,
            "class": declared.class,
            "requirements": declared.requirements,
            "input": declared.input_schema(),
            "output": declared.output_schema(),
        });
        let text = serde_json::to_string_pretty(&schemas).unwrap() + "\n";
        let file = folder.join(format!("{}.json", declared.name));
        if env::var_os("MRPF_WRITE_SCHEMAS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let golden = fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            text, golden,
            "{}: run with MRPF_WRITE_SCHEMAS=1 if this is meant",
            declared.name
        );
        expected.insert(file);
    }
    let found: BTreeSet<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(found, expected, "a file of a task that does not ship");
}

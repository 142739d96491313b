//! `tasks`: the kinds of task that there are.

use mrpf_tasks::{Declared, Registry};
use serde_json::json;

use crate::{ConsoleError, answer, exit::DONE};

/// A row for each kind, or the schemas of one.
pub(crate) fn run(name: Option<&str>) -> Result<u8, ConsoleError> {
    let registry = Registry::shipped();
    match name {
        None => answer(&table(&registry))?,
        Some(name) => {
            let declared = registry.find(name).ok_or_else(|| {
                let known: Vec<&str> = registry.iter().map(|declared| declared.name).collect();
                ConsoleError::UnknownTask { name: name.to_owned(), known: known.join(", ") }
            })?;
            answer(&schemas(declared))?;
        }
    }
    Ok(DONE)
}

fn table(registry: &Registry) -> String {
    let requirements = |declared: &Declared| {
        let words: Vec<&str> = declared.requirements.iter().map(|it| it.as_str()).collect();
        if words.is_empty() { "-".to_owned() } else { words.join(" ") }
    };
    let header = ["task", "worker", "requirements", "about"].map(str::to_owned);
    let rows = registry.iter().map(|declared| {
        [
            declared.name.to_owned(),
            declared.class.to_string(),
            requirements(declared),
            declared.about.to_owned(),
        ]
    });
    let rows: Vec<[String; 4]> = [header].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let (name, worker, needs) = (width(0), width(1), width(2));
    let lines = rows.iter().map(|[a, b, c, d]| format!("{a:name$}  {b:worker$}  {c:needs$}  {d}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn schemas(declared: &Declared) -> String {
    let json = json!({
        "task": declared.name,
        "about": declared.about,
        "worker": declared.class,
        "requirements": declared.requirements,
        "input": declared.input_schema(),
        "output": declared.output_schema(),
    });
    format!("{json:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_has_its_row_and_its_schemas() {
        let registry = Registry::shipped();
        let table = table(&registry);
        for declared in registry.iter() {
            let row = table.lines().find(|line| line.split(' ').next() == Some(declared.name));
            let row = row.unwrap_or_else(|| panic!("{} has no row", declared.name));
            assert!(row.contains(declared.about) && row.contains(declared.class.as_str()), "{row}");
            assert!(schemas(declared).contains("\"$schema\""), "{}", declared.name);
        }
    }
}

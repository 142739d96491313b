//! Tables for people: on stdout as they come, and at the end of benches/RESULTS.md when asked.
//!
//! Everything is Markdown that also reads well as it is.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
};

use time::{OffsetDateTime, macros::format_description};

use crate::{Failure, machine, tool::OURS};

const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

/// One comparison, as text.
#[derive(Debug)]
pub(crate) struct Report {
    text: String,
    ours_failed: bool,
}

impl Report {
    /// Begins with the day, what is compared and the machine.
    pub(crate) fn begin(what: &str, runs: u32, quick: bool) -> Result<Self, Failure> {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
        let now = OffsetDateTime::now_utc().format(format)?;
        let mut report = Self { text: String::new(), ours_failed: false };
        report.say(format!("## {now}: {what}"));
        report.note(format!("{}. Median of {runs} runs, tools in turn.", machine::description()));
        if quick {
            report.note("**Quick: shows that all of it runs. No figures.**".to_owned());
        }
        Ok(report)
    }

    /// The names and versions that are compared.
    pub(crate) fn programs<'a>(&mut self, programs: impl Iterator<Item = (&'a str, &'a str)>) {
        let list = programs.map(|(name, version)| format!("- {name}: {version}"));
        self.note(list.collect::<Vec<_>>().join("\n"));
    }

    /// A heading of a part.
    pub(crate) fn part(&mut self, title: &str) {
        self.say(format!("\n### {title}"));
    }

    /// A paragraph.
    pub(crate) fn note(&mut self, text: String) {
        self.say(format!("\n{text}"));
    }

    /// A tool that does not run in this part any more, and why.
    pub(crate) fn left_out(&mut self, tool: &str, why: &Failure) {
        // A row may say behind a comma how ours was asked.
        self.ours_failed |= tool.split(',').next() == Some(OURS);
        self.note(format!("{tool} is left out from here on: {why}."));
    }

    /// Whether mrpf was left out anywhere.
    pub(crate) fn ours_failed(&self) -> bool {
        self.ours_failed
    }

    /// Commands, a line each.
    pub(crate) fn commands(&mut self, commands: &[String]) {
        self.note(format!("```text\n{}\n```", commands.join("\n")));
    }

    /// A table whose first column is words and whose others are numbers.
    pub(crate) fn table(&mut self, header: &[&str], rows: &[Vec<String>]) {
        self.note(table(header, rows));
    }

    /// Adds everything to the results of earlier days.
    pub(crate) fn write(&self) -> Result<(), Failure> {
        add(Path::new(RESULTS), &self.text)?;
        println!("\nAdded to benches/RESULTS.md.");
        Ok(())
    }

    fn say(&mut self, text: String) {
        println!("{text}");
        self.text.push_str(&text);
        self.text.push('\n');
    }
}

/// Adds a section to a file after an empty line.
fn add(path: &Path, section: &str) -> Result<(), Failure> {
    let is_empty = fs::metadata(path).map_or(true, |facts| facts.len() == 0);
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let gap = if is_empty { "" } else { "\n" };
    file.write_all(format!("{gap}{section}").as_bytes())?;
    Ok(())
}

fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let cells = cells.zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!(" {cell:<width$} |"),
            _ => format!(" {cell:>width$} |"),
        });
        format!("|{}", cells.collect::<String>())
    };
    let rule = widths.iter().enumerate().map(|(column, &width)| match column {
        0 => format!("{}|", "-".repeat(width + 2)),
        _ => format!("{}:|", "-".repeat(width + 1)),
    });
    let mut lines =
        vec![line(&mut header.iter().copied()), format!("|{}", rule.collect::<String>())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// The middle value, or the mean of the two in the middle; zero of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        len if len % 2 == 1 => values[len / 2],
        len => (values[len / 2 - 1] + values[len / 2]) / 2.0,
    }
}

/// The median, and the range in brackets when there is one.
pub(crate) fn spread(values: impl IntoIterator<Item = f64>, digits: usize) -> String {
    let values: Vec<f64> = values.into_iter().collect();
    let middle = median(values.iter().copied());
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match values.len() {
        0 => "-".to_owned(),
        1 => format!("{middle:.digits$}"),
        _ => format!("{middle:.digits$} ({least:.digits$}-{most:.digits$})"),
    }
}

/// `ours / theirs`, as `0.91x`; a dash when one of them is not known.
pub(crate) fn ratio(ours: f64, theirs: f64) -> String {
    if ours > 0.0 && theirs > 0.0 { format!("{:.2}x", ours / theirs) } else { "-".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
        assert_eq!(spread([1.0, 3.0, 2.0], 1), "2.0 (1.0-3.0)");
        assert_eq!(spread([1.0], 2), "1.00");
        assert_eq!(spread([], 2), "-");
    }

    #[test]
    fn ratios_to_nothing_are_none() {
        assert_eq!(ratio(1.0, 2.0), "0.50x");
        assert_eq!((ratio(1.0, 0.0), ratio(0.0, 1.0)), ("-".to_owned(), "-".to_owned()));
    }

    #[test]
    fn tables_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["zmap".to_owned(), "1.25".to_owned()]];
        assert_eq!(table(&["", "us"], &rows), "|      |   us |\n|------|-----:|\n| zmap | 1.25 |");
    }

    #[test]
    fn sections_are_added_after_what_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("RESULTS.md");
        add(&path, "## a\n").expect("a file");
        add(&path, "## b\n").expect("a file");
        assert_eq!(fs::read_to_string(&path).expect("a file"), "## a\n\n## b\n");
    }
}

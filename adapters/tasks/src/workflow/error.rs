//! What is wrong with a workflow file, and where.

use std::fmt;

/// A workflow file that cannot be submitted: `recon.toml:14: task "names", input.from: there is no task "certs"`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WorkflowError {
    /// The file, as it was called.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, where the text itself is not what its syntax allows.
    pub column: Option<usize>,
    /// The task or collection, and the field; empty where the text itself is wrong.
    pub place: String,
    /// What is wrong, and what mends it.
    pub why: String,
}

impl fmt::Display for WorkflowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if let Some(column) = self.column {
            write!(f, ":{column}")?;
        }
        f.write_str(": ")?;
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.why)
    }
}

impl std::error::Error for WorkflowError {}

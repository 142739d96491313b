//! What is wrong with the environment.

use std::{error::Error, fmt};

/// One variable that is missing, or whose value cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Nothing is given, and there is no default.
    #[error("{name} is not set: it is {is}; give {give}")]
    Missing {
        /// Which variable.
        name: &'static str,
        /// What it is for.
        is: &'static str,
        /// What to give.
        give: &'static str,
    },
    /// Two variables that must differ.
    #[error("{first} and {second} name the same queue: give each its own")]
    Same {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// No UTF-8.
    #[error("{name} is no text (UTF-8): it is {is}; give {give}")]
    NoText {
        /// Which variable.
        name: &'static str,
        /// What it is for.
        is: &'static str,
        /// What to give.
        give: &'static str,
    },
    /// A value that cannot be used.
    #[error("{name}{shown}: {why}")]
    Wrong {
        /// Which variable.
        name: &'static str,
        /// `=` and its value, or nothing where that may be secret.
        shown: String,
        /// What is wrong with it, and what to give.
        why: String,
    },
}

/// All that is wrong; at least one thing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problems(pub(crate) Vec<Problem>);

impl Problems {
    /// Each by itself.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.0.iter()
    }
}

impl fmt::Display for Problems {
    /// One is said as it is, several on a line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0[..] {
            [one] => one.fmt(f),
            several => {
                write!(f, "{} settings of the environment are wrong", several.len())?;
                several.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
            }
        }
    }
}

impl Error for Problems {}

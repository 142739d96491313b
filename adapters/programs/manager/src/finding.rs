//! What was looked at, and what came of it.

use std::fmt;

use mrpf_console::exit::{DONE, FAILED, USAGE};

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Finding {
    /// It is as it should be.
    Fine(String),
    /// It works, and somebody should know something about it.
    Note(String),
    /// A variable that is missing, or whose value cannot be used.
    Setting(String),
    /// It will not work like this.
    Wrong(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fine(text) => write!(f, "OK     {text}"),
            Self::Note(text) => write!(f, "NOTE   {text}"),
            Self::Setting(text) | Self::Wrong(text) => write!(f, "WRONG  {text}"),
        }
    }
}

/// All that was looked at, in the order in which it was.
#[derive(Debug, Default)]
pub(crate) struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    pub(crate) fn extend(&mut self, findings: impl IntoIterator<Item = Finding>) {
        self.0.extend(findings);
    }

    /// Notes what was opened and how it is called, or why it was not.
    pub(crate) fn note<T, E: fmt::Display>(
        &mut self,
        opened: Result<T, E>,
        fine: impl FnOnce(&T) -> String,
    ) -> Option<T> {
        match opened {
            Ok(opened) => {
                self.push(Finding::Fine(fine(&opened)));
                Some(opened)
            }
            Err(error) => {
                self.push(Finding::Wrong(error.to_string()));
                None
            }
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.0.iter()
    }

    /// What a program ends with that finds this: a setting is the user's to mend, all else may be of this moment.
    pub(crate) fn exit_code(&self) -> u8 {
        let worst = |finding: &Finding| match finding {
            Finding::Fine(_) | Finding::Note(_) => DONE,
            Finding::Wrong(_) => FAILED,
            Finding::Setting(_) => USAGE,
        };
        self.iter().map(worst).max().unwrap_or(DONE)
    }
}

impl fmt::Display for Findings {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(at, finding)| {
            let end = if at == 0 { "" } else { "\n" };
            write!(f, "{end}{finding}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_that_is_found_is_the_exit_code() {
        let mut findings = Findings::default();
        assert_eq!(findings.exit_code(), 0);
        assert_eq!(findings.note(Ok::<_, &str>(7), |n| format!("AWS: {n}")), Some(7));
        findings.push(Finding::Note("subnet: no address is free in it".to_owned()));
        assert_eq!(findings.exit_code(), 0);
        assert_eq!(findings.note(Err::<u8, _>("external queue: 403"), |_| String::new()), None);
        assert_eq!(findings.exit_code(), 1);
        findings.push(Finding::Setting("DATABASE_URL is not set".to_owned()));
        assert_eq!(findings.exit_code(), 2);
        let text = "OK     AWS: 7\nNOTE   subnet: no address is free in it\nWRONG  external queue: 403\n\
                    WRONG  DATABASE_URL is not set";
        assert_eq!(findings.to_string(), text);
    }
}

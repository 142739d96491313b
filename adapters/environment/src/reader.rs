//! Groups of variables, and the one who reads them and notes what is wrong.

use std::{env, ffi::OsString, fmt};

use crate::{Problem, Problems};

/// Variables that belong together.
pub trait Group: Sized {
    /// Reads them; `None` when one is wrong, which `reader` has noted.
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

/// Reads a group, or several in a tuple, from the environment of this process.
///
/// # Errors
///
/// [`Problems`]: all that is wrong with any of them.
pub fn read<G: Group>() -> Result<G, Problems> {
    read_from(env::var_os)
}

/// As [`read`], with variables from elsewhere.
///
/// # Errors
///
/// [`Problems`]: all that is wrong with any of them.
pub fn read_from<G: Group>(
    variable: impl Fn(&'static str) -> Option<OsString>,
) -> Result<G, Problems> {
    let mut reader = Reader { variable: &variable, problems: Vec::new() };
    match G::read(&mut reader) {
        Some(group) if reader.problems.is_empty() => Ok(group),
        _ => Err(Problems(reader.problems)),
    }
}

macro_rules! tuples {
    ($($($part:ident)*;)*) => {$(
        impl<$($part: Group),*> Group for ($($part,)*) {
            fn read(reader: &mut Reader<'_>) -> Option<Self> {
                // All are read before the first that is wrong ends it.
                let parts = ($($part::read(reader),)*);
                #[expect(non_snake_case, reason = "values have the names of their types")]
                let ($($part,)*) = parts;
                Some(($($part?,)*))
            }
        }
    )*};
}

tuples! {
    A B;
    A B C;
    A B C D;
    A B C D E;
}

/// A variable, and the words for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    /// What it is, after `it is`.
    pub(crate) is: &'static str,
    /// What to give, after `give`.
    pub(crate) give: &'static str,
}

/// Looks variables up, and notes what is wrong.
pub struct Reader<'a> {
    variable: &'a dyn Fn(&'static str) -> Option<OsString>,
    problems: Vec<Problem>,
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("problems", &self.problems).finish_non_exhaustive()
    }
}

impl Reader<'_> {
    /// What a variable without a default says. One that is set to nothing is not set.
    pub(crate) fn required<T>(
        &mut self,
        of: &Variable,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let Variable { name, is, give } = *of;
        match self.text(of)? {
            Some(text) if !text.is_empty() => self.note(parse(&text)),
            _ => self.note(Err(Problem::Missing { name, is, give })),
        }
    }

    /// What a variable says, or `default` when it is not set.
    pub(crate) fn optional<T>(
        &mut self,
        of: &Variable,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        match self.text(of)? {
            Some(text) => self.note(parse(&text)),
            None => Some(default),
        }
    }

    /// The value, or the problem noted.
    pub(crate) fn note<T>(&mut self, read: Result<T, Problem>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(problem) => {
                // Two groups may read one variable.
                if !self.problems.contains(&problem) {
                    self.problems.push(problem);
                }
                None
            }
        }
    }

    /// Without the blanks around it.
    fn text(&mut self, of: &Variable) -> Option<Option<String>> {
        let Variable { name, is, give } = *of;
        match (self.variable)(name).map(OsString::into_string) {
            None => Some(None),
            Some(Ok(text)) => Some(Some(text.trim().to_owned())),
            Some(Err(_)) => self.note(Err(Problem::NoText { name, is, give })),
        }
    }
}

impl Variable {
    /// The value cannot be used, and may be shown.
    pub(crate) fn wrong(&self, value: &str, why: impl fmt::Display) -> Problem {
        /// More of a value would hide what is said of it.
        const SHOWN: usize = 80;
        let mut shown: String = value.chars().take(SHOWN).collect();
        if shown.len() < value.len() {
            shown.push_str("..");
        }
        Problem::Wrong { name: self.name, shown: format!("={shown}"), why: why.to_string() }
    }

    /// The value cannot be used, and may hold a secret.
    pub(crate) fn wrong_secret(&self, why: impl fmt::Display) -> Problem {
        Problem::Wrong { name: self.name, shown: String::new(), why: why.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;
    use crate::{DatabaseUrl, Fleet, IdleTimeout, ManagerQueues, Scans};

    #[test]
    fn all_that_is_wrong_is_told_together_and_once() {
        let bad = |name: &str| match name {
            "MAX_BARE_METAL_WORKERS" => Some("many".into()),
            "BARE_METAL_WORKER_SUBNETS" => Some(OsString::from_vec(vec![0xff])),
            "TASK_MANAGER_QUEUE_URL" => Some(" ".into()),
            "EXTERNAL_QUEUE_URL" | "INTERNAL_QUEUE_URL" => Some("http://127.0.0.1:1/1/q".into()),
            _ => None,
        };
        let problems =
            read_from::<(ManagerQueues, DatabaseUrl, Fleet, Scans, IdleTimeout)>(bad).unwrap_err();
        let said = problems.to_string();
        let lines: Vec<&str> = said.lines().collect();
        let begins = [
            "6 settings of the environment are wrong",
            "  BARE_METAL_QUEUE_URL is not set: it is the queue of tasks for bare-metal workers; give ",
            "  TASK_MANAGER_QUEUE_URL is not set: it is the queue of what workers tell the manager; give ",
            "  EXTERNAL_QUEUE_URL and INTERNAL_QUEUE_URL name the same queue: ",
            "  DATABASE_URL is not set: it is the PostgreSQL database of the platform; give ",
            "  MAX_BARE_METAL_WORKERS=many: give a number from 1 to 1000",
            "  BARE_METAL_WORKER_SUBNETS is no text (UTF-8): ",
        ];
        assert_eq!(lines.len(), begins.len(), "{said}");
        for (line, begin) in lines.iter().zip(begins) {
            assert!(line.starts_with(begin), "{line}");
        }
        assert_eq!(problems.iter().count(), 6);
    }

    #[test]
    fn a_long_value_is_cut() {
        let of = Variable { name: "X", is: "x", give: "y" };
        let said = of.wrong(&"\u{e9}".repeat(200), "no").to_string();
        assert_eq!(said, format!("X={}..: no", "\u{e9}".repeat(80)));
    }
}

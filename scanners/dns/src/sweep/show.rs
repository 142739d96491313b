//! Which targets of a sweep give records.

/// Which targets give records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Show {
    /// Those that answered, whatever they said.
    pub answered: bool,
    /// Those of which an ICMP error says that nobody listens there, or whose hardware address nobody knows.
    pub unreachable: bool,
    /// Those that never answered.
    pub silent: bool,
}

impl Show {
    /// No records at all: counters only.
    pub const NONE: Self = Self { answered: false, unreachable: false, silent: false };
    /// Every target gives one.
    pub const ALL: Self = Self { answered: true, unreachable: true, silent: true };
    /// Those that answered alone.
    pub const ANSWERED: Self = Self { answered: true, ..Self::NONE };
}

impl Default for Show {
    fn default() -> Self {
        Self::ANSWERED
    }
}

impl std::str::FromStr for Show {
    type Err = UnknownShow;

    /// A comma list of `answered`, `unreachable`, `silent`, or `all`, or `none`.
    fn from_str(text: &str) -> Result<Self, UnknownShow> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        let mut show = Self::NONE;
        for word in text.split(',') {
            match word {
                "answered" => show.answered = true,
                "unreachable" => show.unreachable = true,
                "silent" => show.silent = true,
                _ => return Err(UnknownShow(word.to_owned())),
            }
        }
        Ok(show)
    }
}

/// A word that says nothing of a target.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} tells no targets: give a comma list of answered, unreachable, silent, or all, or none"
)]
pub struct UnknownShow(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read() {
        assert_eq!("answered".parse(), Ok(Show::default()));
        assert_eq!("all".parse(), Ok(Show::ALL));
        assert_eq!("silent,answered,unreachable".parse(), Ok(Show::ALL));
        assert_eq!("none".parse(), Ok(Show::NONE));
        let silent = Show { silent: true, ..Show::NONE };
        assert_eq!("silent".parse(), Ok(silent));
        for wrong in ["", "open", "silent,", "all,silent"] {
            assert!(wrong.parse::<Show>().is_err(), "{wrong:?}");
        }
    }
}

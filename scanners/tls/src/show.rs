//! Which rows are wanted.

use mrpf_records::{TlsOutcome, TlsRecord, TlsStage};

/// Which outcomes give records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Show {
    /// One bit an outcome.
    outcomes: u32,
    /// Hosts that never answered a SYN.
    silent: bool,
}

/// The word for hosts that never answered a SYN: by outcome and stage they have timed out, and most networks are full of them.
const SILENT: &str = "silent";

impl Show {
    /// No records at all: counters only.
    pub const NONE: Self = Self { outcomes: 0, silent: false };
    /// Every target.
    pub const ALL: Self = Self { outcomes: u32::MAX, silent: true };
    /// Who accepted a connection.
    pub const CONNECTED: Self = Self {
        outcomes: !(1 << TlsOutcome::Refused as u32 | 1 << TlsOutcome::Unreachable as u32),
        silent: false,
    };

    /// These and `outcome`.
    #[must_use]
    pub fn and(mut self, outcome: TlsOutcome) -> Self {
        self.outcomes |= 1 << outcome as u32;
        self
    }

    /// Whether `record` is wanted.
    pub fn shows(self, record: &TlsRecord) -> bool {
        if record.outcome == TlsOutcome::Timeout && record.stage == TlsStage::Syn {
            return self.silent;
        }
        self.outcomes & (1 << record.outcome as u32) != 0
    }

    /// Whether hosts that never answered give records.
    pub fn silent(self) -> bool {
        self.silent
    }
}

impl Default for Show {
    fn default() -> Self {
        Self::CONNECTED
    }
}

impl std::str::FromStr for Show {
    type Err = ShowError;

    /// A comma list of outcomes, `connected`, or `silent`; or `all`, or `none`.
    fn from_str(text: &str) -> Result<Self, ShowError> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        text.split(',').try_fold(Self::NONE, |show, word| match word {
            SILENT => Ok(Self { silent: true, ..show }),
            "connected" => Ok(Self { outcomes: show.outcomes | Self::CONNECTED.outcomes, ..show }),
            _ => {
                let outcome = TlsOutcome::ALL.iter().find(|outcome| outcome.as_str() == word);
                outcome.map(|outcome| show.and(*outcome)).ok_or_else(|| ShowError(word.to_owned()))
            }
        })
    }
}

impl std::fmt::Display for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::NONE => return f.pad("none"),
            Self::ALL => return f.pad("all"),
            Self::CONNECTED => return f.pad("connected"),
            _ => {}
        }
        let mut words: Vec<&str> = TlsOutcome::ALL
            .iter()
            .filter(|outcome| self.outcomes & (1 << **outcome as u32) != 0)
            .map(|outcome| outcome.as_str())
            .collect();
        words.extend(self.silent.then_some(SILENT));
        f.pad(&words.join(","))
    }
}

/// A word that is no outcome.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no outcome: give a comma list of ok, alert, not-tls, refused, unreachable, reset, timeout, truncated, malformed, connected, silent; or all, or none"
)]
pub struct ShowError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_to_show_are_read_and_written() {
        for text in ["all", "none", "connected", "ok,alert", "refused,silent"] {
            assert_eq!(text.parse::<Show>().unwrap().to_string(), text);
        }
        assert_eq!("connected,silent".parse::<Show>().unwrap().silent, true);
        assert!("okay".parse::<Show>().is_err());
        assert!("".parse::<Show>().is_err());
        let error = "x".parse::<Show>().unwrap_err().to_string();
        for outcome in TlsOutcome::ALL {
            assert!(error.contains(outcome.as_str()), "{outcome}");
        }
    }
}

//! Which records are wanted.

use mrpf_records::DnsRecord;

/// What came of a question, as far as [`Show`] tells apart.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Sort {
    Answers,
    Wild,
    NoData,
    NxDomain,
    ServFail,
    Refused,
    Other,
    Timeout,
    Failed,
    Invalid,
}

impl Sort {
    const ALL: [(Self, &str); 10] = [
        (Self::Answers, "answers"),
        (Self::Wild, "wild"),
        (Self::NoData, "nodata"),
        (Self::NxDomain, "nxdomain"),
        (Self::ServFail, "servfail"),
        (Self::Refused, "refused"),
        (Self::Other, "other"),
        (Self::Timeout, "timeout"),
        (Self::Failed, "failed"),
        (Self::Invalid, "invalid"),
    ];

    fn of(record: &DnsRecord) -> Self {
        match &*record.status {
            "NOERROR" if record.answers.is_empty() => Self::NoData,
            "NOERROR" if record.wildcard == Some(true) => Self::Wild,
            "NOERROR" => Self::Answers,
            "NXDOMAIN" => Self::NxDomain,
            "SERVFAIL" => Self::ServFail,
            "REFUSED" => Self::Refused,
            DnsRecord::TIMEOUT => Self::Timeout,
            DnsRecord::UNREACHABLE | DnsRecord::TRUNCATED | DnsRecord::MALFORMED => Self::Failed,
            DnsRecord::INVALID => Self::Invalid,
            _ => Self::Other,
        }
    }
}

/// Which outcomes give records.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Show(u16);

impl Show {
    /// No records at all: counters only.
    pub const NONE: Self = Self(0);
    /// Every question.
    pub const ALL: Self = Self((1 << Sort::ALL.len()) - 1);
    /// Whatever a server said, be it that it will not say.
    pub const ANSWERED: Self = Self((1 << Sort::Timeout as u16) - 1);

    /// Whether `record` is wanted.
    pub fn shows(self, record: &DnsRecord) -> bool {
        self.has(Sort::of(record))
    }

    fn has(self, sort: Sort) -> bool {
        self.0 & 1 << sort as u16 != 0
    }
}

impl Default for Show {
    fn default() -> Self {
        Self::ALL
    }
}

impl std::str::FromStr for Show {
    type Err = ShowError;

    /// A comma list of outcomes, or `answered` for all that a server said; or `all`, or `none`.
    fn from_str(text: &str) -> Result<Self, ShowError> {
        match text {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::NONE),
            _ => {}
        }
        text.split(',').try_fold(Self::NONE, |show, word| {
            if word == ANSWERED {
                return Ok(Self(show.0 | Self::ANSWERED.0));
            }
            let sort = Sort::ALL.into_iter().find(|(_, known)| *known == word);
            sort.map(|(sort, _)| Self(show.0 | 1 << sort as u16))
                .ok_or_else(|| ShowError(word.to_owned()))
        })
    }
}

const ANSWERED: &str = "answered";

impl std::fmt::Display for Show {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::NONE => return f.pad("none"),
            Self::ALL => return f.pad("all"),
            Self::ANSWERED => return f.pad(ANSWERED),
            _ => {}
        }
        let words = Sort::ALL.into_iter().filter(|(sort, _)| self.has(*sort));
        f.pad(&words.map(|(_, word)| word).collect::<Vec<_>>().join(","))
    }
}

/// An outcome that does not exist.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "{0:?} is no outcome: give a comma list of answers, wild, nodata, nxdomain, servfail, refused, other, timeout, failed, \
     invalid, answered (the first seven), or all, or none"
)]
pub struct ShowError(String);

#[cfg(test)]
mod tests {
    use mrpf_records::{DnsData, Timestamp};

    use super::*;

    fn record(status: &'static str) -> DnsRecord {
        let ts = Timestamp::from_unix_micros(0);
        DnsRecord::new(ts, "www.example".to_owned(), "A".into(), status.into())
    }

    fn with_answer(wildcard: Option<bool>) -> DnsRecord {
        let answer = DnsData {
            name: "www.example".to_owned(),
            rtype: "A".into(),
            class: None,
            ttl: 60,
            data: "198.19.0.1".to_owned(),
        };
        DnsRecord { answers: vec![answer], wildcard, ..record("NOERROR") }
    }

    #[test]
    fn each_record_is_of_one_sort_and_all_are_met() {
        let records = [
            with_answer(Some(false)),
            with_answer(Some(true)),
            record("NOERROR"),
            record("NXDOMAIN"),
            record("SERVFAIL"),
            record("REFUSED"),
            record("RCODE3841"),
            record(DnsRecord::TIMEOUT),
            record(DnsRecord::TRUNCATED),
            record(DnsRecord::INVALID),
        ];
        for (at, (_, word)) in Sort::ALL.into_iter().enumerate() {
            let show: Show = word.parse().unwrap();
            let shown: Vec<_> = (0..records.len()).filter(|n| show.shows(&records[*n])).collect();
            assert_eq!((shown, show.to_string()), (vec![at], word.to_owned()));
        }
        for record in &records {
            assert!(Show::ALL.shows(record) && !Show::NONE.shows(record));
        }
        let answered: Vec<_> = records.iter().map(|record| Show::ANSWERED.shows(record)).collect();
        assert_eq!(answered, [[true; 7].as_slice(), &[false; 3]].concat());
        assert!(Show::ANSWERED.shows(&with_answer(None)));
    }

    #[test]
    fn words_come_back_as_they_were() {
        for text in ["all", "none", "answered", "answers", "answers,nodata", "wild,timeout"] {
            assert_eq!(text.parse::<Show>().unwrap().to_string(), text);
        }
        assert_eq!("answered,timeout,failed,invalid".parse(), Ok(Show::ALL));
        assert!("open".parse::<Show>().unwrap_err().to_string().contains("\"open\" is no outcome"));
    }
}

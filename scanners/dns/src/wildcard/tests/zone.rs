//! Zones as pure functions, after RFC 4592, and a scan of names in them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::{Tag, Verdict, Wildcards};
use crate::message::{Answers, Message, Name, Qtype, labels, parent};

/// What a name has of one type.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Data {
    /// Addresses by number, all of them each time.
    Fixed(Vec<u16>),
    /// Of so many addresses from a first one, some at a time, in turn.
    Turns { first: u16, members: u16, shown: u16 },
    /// The same, each time drawn anew.
    Dice { first: u16, members: u16, shown: u16 },
    /// An alias of a name by number, and behind it addresses that are never the same.
    Alias(u16),
}

/// A zone: names with data; `*` is a label as any other, to this side.
#[derive(Clone, Debug, Default)]
pub(super) struct Zone {
    nodes: BTreeMap<String, Vec<(Qtype, Data)>>,
    /// Names with data, and all above them.
    existing: BTreeSet<String>,
}

/// What a name stands for.
#[derive(Debug, PartialEq)]
pub(super) enum Found<'a> {
    Own(&'a Data),
    Wild(&'a Data),
    Nothing,
}

impl Zone {
    pub(super) fn with(mut self, name: &str, qtype: Qtype, data: Data) -> Self {
        self.nodes.entry(name.to_owned()).or_default().push((qtype, data));
        let mut above = name;
        while self.existing.insert(above.to_owned())
            && let Some((_, parent)) = above.split_once('.')
        {
            above = parent;
        }
        self
    }

    fn exists(&self, name: &str) -> bool {
        self.existing.contains(name)
    }

    fn data(&self, name: &str, qtype: Qtype) -> Option<&Data> {
        let node = self.nodes.get(name)?;
        let is = |data: &&(Qtype, Data)| data.0 == qtype || matches!(data.1, Data::Alias(_));
        node.iter().find(is).map(|(_, data)| data)
    }

    /// RFC 4592, section 3.3.1: the closest encloser decides.
    pub(super) fn find(&self, name: &str, qtype: Qtype) -> Found<'_> {
        if self.exists(name) {
            return self.data(name, qtype).map_or(Found::Nothing, Found::Own);
        }
        let mut encloser = name;
        while let Some((_, above)) = encloser.split_once('.') {
            encloser = above;
            if self.exists(encloser) {
                let source = format!("*.{encloser}");
                return self.data(&source, qtype).map_or(Found::Nothing, Found::Wild);
            }
        }
        Found::Nothing
    }

    pub(super) fn has_data(&self, name: &str, qtype: Qtype) -> bool {
        self.find(name, qtype) != Found::Nothing
    }

    /// What is to be said of a name: wild if a name that nobody made, at its level or one above it, has what it has.
    pub(super) fn truth(&self, name: &str, root_labels: usize, qtype: Qtype) -> Verdict {
        let (Found::Own(own) | Found::Wild(own)) = self.find(name, qtype) else {
            return Verdict::Real;
        };
        let mut ancestor = name;
        while let Some((_, above)) = ancestor.split_once('.') {
            ancestor = above;
            if let Found::Wild(pool) = self.find(&format!("nobody.{ancestor}"), qtype)
                && own.is_within(pool)
            {
                return Verdict::Wild;
            }
            if ancestor.split('.').count() == root_labels {
                break;
            }
        }
        Verdict::Real
    }
}

impl Data {
    fn members(&self) -> Vec<u16> {
        match self {
            Self::Fixed(members) => members.clone(),
            Self::Turns { first, members, .. } | Self::Dice { first, members, .. } => {
                (*first..first + members).collect()
            }
            Self::Alias(_) => vec![],
        }
    }

    fn is_within(&self, pool: &Self) -> bool {
        match (self, pool) {
            (Self::Alias(one), Self::Alias(other)) => one == other,
            (Self::Alias(_), _) | (_, Self::Alias(_)) => false,
            _ => {
                let pool = pool.members();
                self.members().iter().all(|member| pool.contains(member))
            }
        }
    }

    /// The answer to one question; `count` is how many there were before it, `dice` drawn for it.
    fn answers(&self, name: &Name, qtype: Qtype, count: u64, dice: u64) -> Answers {
        let pick = |from: u64, first: u16, members: u16, shown: u16| {
            (0..shown.min(members))
                .map(|at| first + ((from + u64::from(at)) % u64::from(members)) as u16)
                .collect::<Vec<_>>()
        };
        let addresses = match self {
            Self::Fixed(members) => members.clone(),
            Self::Turns { first, members, shown } => {
                pick(count * u64::from(*shown), *first, *members, *shown)
            }
            Self::Dice { first, members, shown } => pick(dice, *first, *members, *shown),
            Self::Alias(target) => return digest(name, qtype, &[], Some((*target, dice as u16))),
        };
        digest(name, qtype, &addresses, None)
    }
}

/// The digest of a response that is made and read.
fn digest(name: &Name, qtype: Qtype, addresses: &[u16], alias: Option<(u16, u16)>) -> Answers {
    let count = addresses.len() as u16 + 2 * u16::from(alias.is_some());
    let mut octets = vec![0, 1, 0x81, 0x80, 0, 1, (count >> 8) as u8, count as u8, 0, 0, 0, 0];
    octets.extend_from_slice(name.as_wire());
    octets.extend([qtype.0.to_be_bytes(), [0, 1]].concat());
    let mut record = |owner: &[u8], rtype: Qtype, data: &[u8]| {
        octets.extend_from_slice(owner);
        octets.extend([rtype.0.to_be_bytes(), [0, 1], [0, 0], [0, 60]].concat());
        octets.extend((data.len() as u16).to_be_bytes());
        octets.extend_from_slice(data);
    };
    let address = |number: u16| {
        let [high, low] = number.to_be_bytes();
        if qtype == Qtype::A {
            vec![198, 18, high, low]
        } else {
            [vec![0; 14], vec![high, low]].concat()
        }
    };
    if let Some((target, behind)) = alias {
        let target = Name::parse(format!("t{target}.cdn.example").as_bytes()).unwrap();
        record(&[0xc0, 12], Qtype::CNAME, target.as_wire());
        record(target.as_wire(), qtype, &address(behind));
    }
    for number in addresses {
        record(&[0xc0, 12], qtype, &address(*number));
    }
    Message::parse(&octets).unwrap().digest()
}

/// A scan whose tests are answered in any order, some of them not at all.
pub(super) struct Scan<'a> {
    pub(super) zone: &'a Zone,
    pub(super) wildcards: Wildcards,
    pub(super) verdicts: BTreeMap<u32, Verdict>,
    pub(super) questions: u64,
    /// How many tests of a thousand fail.
    pub(super) failing: u64,
    asked: VecDeque<(Name, Qtype, Tag)>,
    dice: u64,
    /// Questions so far: for names, and for the tests of each level. A pool takes its turns over each of them by itself. Tests in
    /// lockstep with the names between them would see a part of it alone, as often as not: no number of tests can tell.
    counts: BTreeMap<(Option<Vec<u8>>, Qtype), u64>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(zone: &'a Zone, levels: usize, seed: u64) -> Self {
        Self {
            zone,
            wildcards: Wildcards::new(levels, [seed as u8; 16]),
            verdicts: BTreeMap::new(),
            questions: 0,
            failing: 0,
            asked: VecDeque::new(),
            dice: seed,
            counts: BTreeMap::new(),
        }
    }

    fn next(&mut self) -> u64 {
        self.dice = self
            .dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.dice >> 33
    }

    /// What the zone says of a name, if it has data.
    pub(super) fn answer(&mut self, name: &Name, qtype: Qtype) -> Option<Answers> {
        self.answer_for(None, name, qtype)
    }

    /// The same, as a test of a level.
    fn answer_for(&mut self, level: Option<&[u8]>, name: &Name, qtype: Qtype) -> Option<Answers> {
        let dice = self.next();
        let count = self.counts.entry((level.map(<[u8]>::to_vec), qtype)).or_default();
        *count += 1;
        match self.zone.find(&name.to_string(), qtype) {
            Found::Own(data) | Found::Wild(data) => Some(data.answers(name, qtype, *count, dice)),
            Found::Nothing => None,
        }
    }

    /// Looks a name up, and judges it if it has data.
    pub(super) fn look_up(&mut self, name: &str, root_labels: u8, qtype: Qtype, ticket: u32) {
        let name = Name::parse(name.as_bytes()).unwrap();
        let Some(answers) = self.answer(&name, qtype) else { return };
        let verdict = self.wildcards.judge(name.as_wire(), root_labels, qtype, &answers, ticket);
        if verdict != Verdict::Hold {
            assert_eq!(self.verdicts.insert(ticket, verdict), None);
        }
    }

    /// Asks what is to be asked and answers some of what was; true while there is more of either.
    pub(super) fn step(&mut self) -> bool {
        while let Some(question) = self.wildcards.next_question() {
            self.questions += 1;
            self.asked.push_back(question);
        }
        assert!(!self.wildcards.has_questions());
        if !self.asked.is_empty() {
            let place = self.next() as usize % self.asked.len();
            let (name, qtype, tag) = self.asked.swap_remove_back(place).unwrap();
            let level = parent(name.as_wire());
            assert!(level.is_some());
            assert_eq!(labels(name.as_wire()).next().map(<[u8]>::len), Some(16));
            if self.next() % 1_000 < self.failing {
                self.wildcards.failed(tag);
            } else {
                let answers = self.answer_for(level, &name, qtype);
                self.wildcards.learnt(tag, answers);
            }
        }
        while let Some((ticket, verdict)) = self.wildcards.released() {
            assert_ne!(verdict, Verdict::Hold);
            assert_eq!(self.verdicts.insert(ticket, verdict), None, "ticket {ticket} twice");
        }
        !self.asked.is_empty() || self.wildcards.has_questions()
    }

    pub(super) fn finish(&mut self) {
        while self.step() {}
        assert_eq!(self.wildcards.held(), 0);
    }
}

//! Names and what they stand for, in memory, answered as a resolver would that knows nothing else.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
};

use super::{
    message::{Asked, Reply, Section, wire_name},
    rtype,
};

const TTL: u32 = 300;
/// CNAMEs that are followed: more is a loop.
const MOST_ALIASES: usize = 8;
const IN: u16 = 1;
const NXDOMAIN: u16 = 3;
const REFUSED: u16 = 5;

/// What a name stands for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// Another name that it is an alias of.
    Cname(&'static str),
    /// Who takes its mail, and how gladly.
    Mx(u16, &'static str),
    /// A server of its zone.
    Ns(&'static str),
    /// The name of an address.
    Ptr(&'static str),
    /// Texts of 255 octets at most each.
    Txt(Vec<Vec<u8>>),
    /// Any type: its number, and the octets.
    Other(u16, Vec<u8>),
}

impl Data {
    fn rtype(&self) -> u16 {
        match self {
            Self::A(_) => rtype::A,
            Self::Aaaa(_) => rtype::AAAA,
            Self::Cname(_) => rtype::CNAME,
            Self::Mx(..) => rtype::MX,
            Self::Ns(_) => rtype::NS,
            Self::Ptr(_) => rtype::PTR,
            Self::Txt(_) => rtype::TXT,
            Self::Other(number, _) => *number,
        }
    }

    fn octets(&self) -> Vec<u8> {
        match self {
            Self::A(addr) => addr.octets().to_vec(),
            Self::Aaaa(addr) => addr.octets().to_vec(),
            Self::Cname(name) | Self::Ns(name) | Self::Ptr(name) => wire_name(name),
            Self::Mx(preference, name) => {
                [&preference.to_be_bytes()[..], &wire_name(name)].concat()
            }
            Self::Txt(texts) => {
                texts.iter().flat_map(|text| [&[text.len() as u8][..], text].concat()).collect()
            }
            Self::Other(_, octets) => octets.clone(),
        }
    }
}

#[derive(Clone, Debug)]
struct Record {
    rtype: u16,
    octets: Vec<u8>,
}

/// A zone. Names without records that others hang from exist (RFC 8020); `*` is a wildcard (RFC 4592).
#[derive(Clone, Debug)]
pub struct Zone {
    apex: Vec<u8>,
    /// By name, in lower case.
    nodes: HashMap<Vec<u8>, Vec<Record>>,
    soa: Vec<u8>,
}

impl Zone {
    /// A zone with nothing in it.
    pub fn new(apex: &str) -> Self {
        let apex = wire_name(apex);
        let server = [&[2][..], b"ns", &apex].concat();
        let mailbox = [&[10][..], b"hostmaster", &apex].concat();
        let mut soa = [server, mailbox].concat();
        for number in [1_u32, 7_200, 900, 1_209_600, TTL] {
            soa.extend(number.to_be_bytes());
        }
        let own = Record { rtype: rtype::SOA, octets: soa.clone() };
        Self { nodes: HashMap::from([(apex.clone(), vec![own])]), apex, soa }
    }

    /// The same with one record more. `name` is a whole one.
    ///
    /// # Panics
    ///
    /// When `name` lies outside.
    #[must_use]
    pub fn with(mut self, name: &str, data: &Data) -> Self {
        self.add(name, data);
        self
    }

    /// As [`with`](Self::with).
    ///
    /// # Panics
    ///
    /// When `name` lies outside.
    pub fn add(&mut self, name: &str, data: &Data) {
        let name = wire_name(name);
        assert!(self.has(&name), "a name of the zone");
        let mut above = parent(&name);
        while let Some(node) = above.filter(|node| self.has(node)) {
            self.nodes.entry(node.to_vec()).or_default();
            above = parent(node);
        }
        let record = Record { rtype: data.rtype(), octets: data.octets() };
        self.nodes.entry(name).or_default().push(record);
    }

    /// Says what is so: answers with the aliases on the way, NODATA, NXDOMAIN; REFUSED for what lies outside.
    pub fn answer(&self, asked: &Asked<'_>, reply: &mut Reply) {
        if !self.has(asked.name) || asked.qclass != IN {
            reply.status(REFUSED);
            return;
        }
        let mut owner = asked.name.to_vec();
        for _ in 0..MOST_ALIASES {
            let Some(records) = self.find(&owner) else {
                reply.status(NXDOMAIN);
                break;
            };
            let is_wanted = |record: &&Record| [record.rtype, rtype::ANY].contains(&asked.qtype);
            let mut has_any = false;
            for Record { rtype, octets } in records.iter().filter(is_wanted) {
                has_any = true;
                if owner == asked.name {
                    reply.answer(*rtype, TTL, octets);
                } else {
                    reply.record(Section::Answer, &owner, *rtype, TTL, octets);
                }
            }
            if has_any {
                return;
            }
            let Some(alias) = records.iter().find(|record| record.rtype == rtype::CNAME) else {
                break;
            };
            reply.record(Section::Answer, &owner, rtype::CNAME, TTL, &alias.octets);
            owner.clone_from(&alias.octets);
            if !self.has(&owner) {
                return;
            }
        }
        reply.record(Section::Authority, &self.apex, rtype::SOA, TTL, &self.soa);
    }

    /// The records of `name`, or of the wildcard that stands for it; `None` when there is no such name.
    fn find(&self, name: &[u8]) -> Option<&Vec<Record>> {
        if let Some(records) = self.nodes.get(name) {
            return Some(records);
        }
        let mut above = parent(name);
        while let Some(encloser) = above {
            if self.nodes.contains_key(encloser) {
                return self.nodes.get(&[&[1, b'*'], encloser].concat());
            }
            above = parent(encloser);
        }
        None
    }

    /// Whether `name` is the apex or below it.
    fn has(&self, name: &[u8]) -> bool {
        let mut rest = Some(name);
        while let Some(name) = rest {
            if name == self.apex {
                return true;
            }
            rest = parent(name);
        }
        false
    }
}

/// The name without its first label; the root has none.
fn parent(name: &[u8]) -> Option<&[u8]> {
    let len = usize::from(*name.first()?);
    if len == 0 { None } else { name.get(1 + len..) }
}

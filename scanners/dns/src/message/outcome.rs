//! What a message means for who asked.

use super::{Message, Qclass, Qtype, Rcode, Record, Section};

/// What a message says about the name and the type of its question.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// There are records of the type: of the name, or of the name that its CNAMEs end in.
    Answer,
    /// The name is there, records of the type are not (RFC 2308, section 2.2). A chain of CNAMEs may lead to this.
    NoData,
    /// There is no such name (RFC 2308, section 2.1), or none that its CNAMEs end in.
    NxDomain,
    /// Somebody else is to be asked: only name servers are named, and the one asked does not speak for the zone.
    Referral,
    /// Any other response code.
    Failure(Rcode),
    /// The octets that would tell are missing or cut.
    Malformed,
}

/// CNAMEs are followed so far; longer chains are loops, or mistakes that resolvers do not follow either.
const MOST_ALIASES: usize = 16;

/// Where the name of the question stands.
const QUESTION_AT: usize = 12;

impl Message<'_> {
    /// What it says about its question, which is the one that was asked: see [`super::Query::answers`].
    ///
    /// TC is for the caller to look at first: what a truncated message says is not the whole truth.
    pub fn outcome(&self) -> Kind {
        match self.rcode() {
            Rcode::NOERROR => {}
            Rcode::NXDOMAIN => return Kind::NxDomain,
            rcode => return Kind::Failure(rcode),
        }
        let Some(question) = self.question() else { return Kind::Malformed };
        let (qtype, qclass) = (question.qtype, question.qclass);
        let fits = |record: &Record<'_>| qclass == Qclass::ANY || record.class == qclass;
        let fits = |record: &Record<'_>| record.section == Section::Answer && fits(record);

        let (mut name_at, mut aliases) = (QUESTION_AT, 0);
        // Records of an answer may stand in any order, so a chain can need as many passes as it has links.
        loop {
            let before = aliases;
            for record in self.records().take_while(|record| record.section == Section::Answer) {
                if !fits(&record) || !record.is_of(name_at) {
                    continue;
                }
                if record.rtype == qtype || qtype == Qtype::ANY {
                    return Kind::Answer;
                }
                if record.rtype == Qtype::CNAME && aliases < MOST_ALIASES {
                    (name_at, aliases) = (record.rdata_at, aliases + 1);
                }
            }
            if aliases == before || aliases == MOST_ALIASES {
                break;
            }
        }
        self.without_answer(aliases > 0)
    }

    /// Tells a name without records of the type from a server that knows of others who know.
    fn without_answer(&self, is_alias: bool) -> Kind {
        let (mut name_servers, mut authority) = (false, false);
        let mut records = self.records();
        for record in records.by_ref().filter(|record| record.section == Section::Authority) {
            name_servers |= record.rtype == Qtype::NS;
            authority |= record.rtype == Qtype::SOA;
        }
        match (authority, name_servers) {
            _ if is_alias => Kind::NoData,
            (true, _) => Kind::NoData,
            _ if records.is_cut() => Kind::Malformed,
            (false, true) if !self.flags().aa() => Kind::Referral,
            _ => Kind::NoData,
        }
    }
}

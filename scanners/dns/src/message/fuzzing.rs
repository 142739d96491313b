//! What a fuzzer does with messages and names; compiled for fuzzing and tests alone.
//!
//! Asserts more than that nothing panics: what `domain` and hickory both take for a message, has the same records here;
//! text reads back as the data that it is of; and what is cut from the end of a message takes nothing from before.
//!
//! # Panics
//!
//! When an invariant does not hold.

use domain::{
    base::{
        Message as TheirMessage, Name as TheirName, ParsedName, Rtype, ToName as _,
        rdata::ComposeRecordData as _, rdata::ParseRecordData as _,
    },
    dep::octseq::Parser,
    rdata::ZoneRecordData,
    zonefile::inplace::{Entry, Zonefile},
};
use hickory_proto::{
    op::Message as HickoryMessage,
    serialize::binary::{BinEncodable as _, BinEncoder, NameEncoding},
};

use super::{
    Message, Name, Qtype, Record, Section, labels, parent,
    rdata::{Field, fields},
};

/// A message of a server.
pub fn fuzz_message(data: &[u8]) {
    let Some(message) = Message::parse(data) else {
        assert!(data.len() < 12);
        return;
    };
    let records: Vec<Record<'_>> = message.records().collect();
    let counts: usize = message.counts().into_iter().map(usize::from).sum();
    assert!(records.len() <= counts);
    assert!(records.is_sorted_by_key(|record| (record.section, record.owner_at)));
    let mut whole = message.records();
    let read = whole.by_ref().count();
    let is_cut = read < counts || message.behind_questions().is_none();
    assert_eq!(whole.is_cut(), is_cut, "all that are counted, or the reason why not");

    for record in &records {
        reads_back(record);
    }
    let _ = (message.outcome(), message.flags().names().count(), message.opt());
    let digest = message.digest();
    assert!(digest.hashes().is_sorted() && digest.is_subset(&digest));
    assert_eq!(digest.is_empty(), !digest.overlaps(&digest));

    // What is cut from the end takes nothing from before.
    let short = data.get(..data.len() * 3 / 4).unwrap_or_default();
    if let Some(short) = Message::parse(short) {
        let fit =
            |record: &&Record<'_>| record.rdata_at + record.rdata.len() <= short.octets().len();
        let (left, kept) = (short.records(), records.iter().take_while(fit));
        assert!(left.map(|record| record.rdata_at).eq(kept.map(|record| record.rdata_at)));
    }
    agrees(data, &message, &records);
}

/// A text that may be a name, and octets that may be one.
pub fn fuzz_name(data: &[u8]) {
    let theirs = TheirName::from_octets(data);
    let ours = Name::from_wire(data);
    assert_eq!(ours.is_ok(), theirs.is_ok());
    for name in [ours, Name::parse(data)].into_iter().flatten() {
        let text = name.to_string();
        assert!(text.bytes().all(|octet| octet.is_ascii_graphic()), "{text}");
        for text in [format!("{text}."), text] {
            if text != ".." {
                let back = Name::parse(text.as_bytes()).expect("is the text of a name");
                assert_eq!(back.as_wire(), name.as_wire(), "{text}");
                let theirs: TheirName<Vec<u8>> = text.parse().expect("is the text of a name");
                assert_eq!(theirs.as_slice(), name.as_wire(), "{text}");
            }
        }
        assert_eq!(
            Name::from_wire(name.as_wire()).map(|name| name.to_string()),
            Ok(name.to_string())
        );
        let count = std::iter::successors(Some(name.as_wire()), |wire| parent(wire)).count();
        assert_eq!(count, labels(name.as_wire()).count() + 1);
        let read = Name::read(name.as_wire(), 0).expect("is a name");
        assert_eq!((read.0.as_wire(), read.1), (name.as_wire(), name.as_wire().len()));
    }
}

/// The data of a record with its names decompressed, as far as its form is known: what its text has to read back as.
pub(super) fn decompressed(record: &Record<'_>) -> Option<Vec<u8>> {
    if matches!(record.rtype, Qtype::SVCB | Qtype::HTTPS) {
        let (target, end) = Name::read(record.message(), record.rdata_at + 2)?;
        let rest = record.message().get(end..record.rdata_at + record.rdata.len())?;
        return Some([record.rdata.get(..2)?, target.as_wire(), rest].concat());
    }
    if let Some(fields) = fields(record) {
        let mut octets = Vec::new();
        for (field, range) in fields {
            match field {
                Field::Name => {
                    octets.extend(Name::read(record.message(), range.start)?.0.as_wire())
                }
                _ => octets.extend(record.message().get(range)?),
            }
        }
        return Some(octets);
    }
    their_data(record)
}

/// The data of a record as `domain` reads and writes them.
fn their_data(record: &Record<'_>) -> Option<Vec<u8>> {
    let mut parser = Parser::from_ref(record.message());
    parser.advance(record.rdata_at).ok()?;
    let mut parser = parser.parse_parser(record.rdata.len()).ok()?;
    let rtype = Rtype::from_int(record.rtype.0);
    let data =
        ZoneRecordData::<&[u8], ParsedName<&[u8]>>::parse_rdata(rtype, &mut parser).ok()??;
    if parser.remaining() > 0 || matches!(data, ZoneRecordData::Unknown(_)) {
        return None;
    }
    let mut octets = Vec::new();
    data.compose_rdata(&mut octets).expect("memory takes all");
    Some(octets)
}

/// What a reader of zone files makes of a type and its data as text.
pub(crate) fn read_back(rtype: Qtype, data: &str) -> Result<Vec<u8>, String> {
    // By number, as in RFC 3597: the names of types are for another test.
    let line = format!(". 0 IN TYPE{} {data}\n", rtype.0);
    let mut zone = Zonefile::load(&mut line.as_bytes()).expect("memory gives all");
    match zone.next_entry() {
        Ok(Some(Entry::Record(record))) => {
            let mut octets = Vec::new();
            record.data().compose_rdata(&mut octets).expect("memory takes all");
            Ok(octets)
        }
        other => Err(format!("{line}: {other:?}")),
    }
}

/// Types whose text `domain` does not read, though it is their presentation form.
const TEXT_UNKNOWN_TO_DOMAIN: [Qtype; 18] = [
    Qtype::NSAP_PTR,
    Qtype::AFSDB,
    Qtype::RT,
    Qtype::KX,
    Qtype::LP,
    Qtype::SPF,
    Qtype::NINFO,
    Qtype::AVC,
    Qtype::RESINFO,
    Qtype::WALLET,
    Qtype::ISDN,
    Qtype::URI,
    Qtype::X25,
    Qtype::GPOS,
    Qtype::TALINK,
    Qtype::PX,
    Qtype::L32,
    Qtype::SMIMEA,
];

/// The text of a record's data is one line of ASCII that reads back as the same data.
fn reads_back(record: &Record<'_>) {
    let text = record.data();
    assert!(text.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{text}");
    let raw = text.starts_with("\\# ");
    if !raw
        && (TEXT_UNKNOWN_TO_DOMAIN.contains(&record.rtype)
            || matches!(record.rtype, Qtype::TA | Qtype::DLV))
    {
        return;
    }
    // Nor does it read a nine in a key without a name.
    let nine = |word: &str| {
        word.starts_with("key") && word.split('=').take(1).any(|key| key.contains('9'))
    };
    if matches!(record.rtype, Qtype::SVCB | Qtype::HTTPS) && text.split([' ', ',', '=']).any(nine) {
        return;
    }
    // Nor a type with a hyphen in its name, which there is one of.
    let text = match record.rtype {
        Qtype::NSEC | Qtype::RRSIG => text.replace("NSAP-PTR", "TYPE23"),
        _ => text,
    };
    // What `domain` takes for data of no form it does not read either.
    let data = if raw { Some(record.rdata.to_vec()) } else { decompressed(record) };
    let Some(data) = data else { return };
    assert_eq!(read_back(record.rtype, &text), Ok(data), "{} {text}", record.rtype);
}

/// Types that hickory writes as it read them.
const HICKORY_KEEPS: [Qtype; 16] = [
    Qtype::A,
    Qtype::AAAA,
    Qtype::NS,
    Qtype::CNAME,
    Qtype::PTR,
    Qtype::MX,
    Qtype::SOA,
    Qtype::SRV,
    Qtype::TXT,
    Qtype::NAPTR,
    Qtype::HINFO,
    Qtype::TLSA,
    Qtype::SSHFP,
    Qtype::CAA,
    Qtype::OPENPGPKEY,
    Qtype::SMIMEA,
];

/// What both oracles take has the same records here; false for what they do not take.
pub(crate) fn agrees(data: &[u8], message: &Message<'_>, records: &[Record<'_>]) -> bool {
    let (Some(theirs), Ok(hickory)) = (domain_records(data), HickoryMessage::from_vec(data)) else {
        return false;
    };
    assert!(!message.records().is_cut());
    let ours: Vec<Theirs> = records.iter().map(ours).collect();
    assert_eq!(ours, theirs);
    assert_eq!(message.rcode().0, u16::from(hickory.metadata.response_code));

    // OPT and what signs a message stand in places of their own there.
    let plain =
        |record: &&Record<'_>| !matches!(record.rtype, Qtype::OPT | Qtype::TSIG | Qtype::SIG);
    let ours: Vec<&Record<'_>> = records.iter().filter(plain).collect();
    let theirs = hickory.all_sections();
    let theirs: Vec<_> =
        theirs.filter(|record| !matches!(u16::from(record.record_type()), 24 | 250)).collect();
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.into_iter().zip(theirs) {
        let labels = theirs.name.iter().flat_map(|label| [&[label.len() as u8], label].concat());
        let name: Vec<u8> = labels.chain([0]).collect();
        assert_eq!(owner(ours), Some(name.to_ascii_lowercase()));
        assert_eq!(ours.rtype.0, u16::from(theirs.record_type()));
        assert_eq!((ours.class.0, ours.ttl), (theirs.dns_class.into(), theirs.ttl));
        let mut octets = Vec::new();
        let mut encoder = BinEncoder::new(&mut octets);
        encoder.set_name_encoding(NameEncoding::Uncompressed);
        let is_written = theirs.data.emit(&mut encoder).is_ok();
        let known = decompressed(ours).filter(|_| HICKORY_KEEPS.contains(&ours.rtype));
        if let Some(known) = known.filter(|_| is_written) {
            assert_eq!(octets, known, "{}", ours.rtype);
        }
    }
    true
}

/// A record for a comparison.
#[derive(Debug, PartialEq)]
struct Theirs {
    section: Section,
    owner: Option<Vec<u8>>,
    rtype: u16,
    class: u16,
    ttl: u32,
    rdata: Vec<u8>,
    decompressed: Option<Vec<u8>>,
}

fn owner(record: &Record<'_>) -> Option<Vec<u8>> {
    record.owner().map(|name| name.as_wire().to_ascii_lowercase())
}

fn ours(record: &Record<'_>) -> Theirs {
    Theirs {
        section: record.section,
        owner: owner(record),
        rtype: record.rtype.0,
        class: record.class.0,
        ttl: record.ttl,
        rdata: record.rdata.to_vec(),
        // Only where both know the type.
        decompressed: their_data(record).and_then(|_| decompressed(record)),
    }
}

/// All records as `domain` reads them, if it takes the whole message.
fn domain_records(data: &[u8]) -> Option<Vec<Theirs>> {
    let message = TheirMessage::from_octets(data).ok()?;
    if message.question().any(|question| question.is_err()) {
        return None;
    }
    let (_, answer, authority, additional) = message.sections().ok()?;
    let mut all = Vec::new();
    for (name, section) in [
        (Section::Answer, answer),
        (Section::Authority, authority),
        (Section::Additional, additional),
    ] {
        for record in section {
            let record = record.ok()?;
            let mut owner = Vec::new();
            record.owner().compose(&mut owner).expect("memory takes all");
            let unknown =
                record.to_record::<domain::base::rdata::UnknownRecordData<&[u8]>>().ok()??;
            let known = record.to_record::<ZoneRecordData<&[u8], ParsedName<&[u8]>>>();
            let decompressed = match known.ok()??.into_data() {
                ZoneRecordData::Unknown(_) => None,
                known => {
                    let mut composed = Vec::new();
                    known.compose_rdata(&mut composed).expect("memory takes all");
                    Some(composed)
                }
            };
            all.push(Theirs {
                section: name,
                owner: Some(owner.to_ascii_lowercase()),
                rtype: record.rtype().to_int(),
                class: record.class().to_int(),
                ttl: record.ttl().as_secs(),
                rdata: unknown.data().data().to_vec(),
                decompressed,
            });
        }
    }
    Some(all)
}

//! What a server says about itself beside its answer (RFC 6891).

use super::Record;

/// An OPT record.
///
/// ```text
///  class = UDP size   ttl = [ rcode, upper 8 bits | version | DO 0 ... ]   rdata = { code, length, data } ...
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Opt<'a> {
    udp_size: u16,
    ttl: [u8; 4],
    rdata: &'a [u8],
}

impl<'a> Opt<'a> {
    pub(crate) fn new(record: &Record<'a>) -> Self {
        Self { udp_size: record.class.0, ttl: record.ttl.to_be_bytes(), rdata: record.rdata }
    }

    /// The largest message that it takes over UDP.
    pub fn udp_size(&self) -> u16 {
        self.udp_size
    }

    /// The upper eight bits of the response code.
    pub fn extended_rcode(&self) -> u8 {
        self.ttl[0]
    }

    /// The version of EDNS; there is only 0.
    pub fn version(&self) -> u8 {
        self.ttl[1]
    }

    /// DNSSEC records were wanted (RFC 3225).
    pub fn dnssec_ok(&self) -> bool {
        self.ttl[2] & 0x80 != 0
    }

    /// The options: code and data.
    pub fn options(&self) -> Options<'a> {
        Options { rest: self.rdata, is_cut: false }
    }
}

/// The options of an OPT record; ends at the first that is cut.
#[derive(Clone, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    is_cut: bool,
}

impl Options<'_> {
    /// Whether reading stopped at octets that are no option; known at the end.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<(u16, &'a [u8])> {
        if self.rest.is_empty() {
            return None;
        }
        let option = self.rest.split_first_chunk().and_then(|(&[c0, c1, l0, l1], rest)| {
            let (data, rest) = rest.split_at_checked(u16::from_be_bytes([l0, l1]).into())?;
            self.rest = rest;
            Some((u16::from_be_bytes([c0, c1]), data))
        });
        if option.is_none() {
            (self.rest, self.is_cut) = (&[], true);
        }
        option
    }
}

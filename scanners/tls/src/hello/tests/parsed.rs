//! A ClientHello taken apart as RFC 8446 section 4.1.2 writes it. Panics on whatever is not.

/// The fields of a ClientHello.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Parsed {
    pub(super) record_version: u16,
    pub(super) version: u16,
    pub(super) random: Vec<u8>,
    pub(super) session_id: Vec<u8>,
    pub(super) suites: Vec<u16>,
    pub(super) compression: Vec<u8>,
    pub(super) extensions: Vec<(u16, Vec<u8>)>,
    /// How long the message is, header included.
    pub(super) length: usize,
}

impl Parsed {
    /// Of one record that holds one ClientHello and nothing else.
    pub(super) fn of(record: &[u8]) -> Self {
        assert_eq!(record[0], 22);
        let message = &record[5..];
        assert_eq!(be16(&record[3..]), message.len());
        assert_eq!((message[0], message[1]), (1, 0));
        assert_eq!(be16(&message[2..]), message.len() - 4);
        let (random, rest) = message[6..].split_at(32);
        let (session_id, rest) = rest[1..].split_at(rest[0].into());
        let (suites, rest) = rest[2..].split_at(be16(rest));
        let (compression, rest) = rest[1..].split_at(rest[0].into());
        assert_eq!(be16(rest), rest.len() - 2);
        let mut extensions = Vec::new();
        let mut rest = &rest[2..];
        while !rest.is_empty() {
            let (body, behind) = rest[4..].split_at(be16(&rest[2..]));
            extensions.push((be16(rest) as u16, body.to_vec()));
            rest = behind;
        }
        Self {
            record_version: be16(&record[1..]) as u16,
            version: be16(&message[4..]) as u16,
            random: random.to_vec(),
            session_id: session_id.to_vec(),
            suites: u16s(suites),
            compression: compression.to_vec(),
            extensions,
            length: message.len(),
        }
    }

    /// The body of the one extension of this kind.
    pub(super) fn extension(&self, kind: u16) -> Option<&[u8]> {
        let mut bodies = self.extensions.iter().filter(|(is, _)| *is == kind);
        let body = bodies.next().map(|(_, body)| &**body);
        assert_eq!(bodies.next(), None, "extension {kind} twice");
        body
    }

    pub(super) fn kinds(&self) -> Vec<u16> {
        self.extensions.iter().map(|(kind, _)| *kind).collect()
    }

    /// The name of RFC 6066 section 3.
    pub(super) fn server_name(&self) -> Option<String> {
        let body = self.extension(0)?;
        assert_eq!((be16(body), body[2], be16(&body[3..])), (body.len() - 2, 0, body.len() - 5));
        Some(String::from_utf8(body[5..].to_vec()).unwrap())
    }

    /// Groups and public values of the key shares.
    pub(super) fn key_shares(&self) -> Option<Vec<(u16, Vec<u8>)>> {
        let body = self.extension(51)?;
        assert_eq!(be16(body), body.len() - 2);
        let mut rest = &body[2..];
        let mut shares = Vec::new();
        while !rest.is_empty() {
            let (share, behind) = rest[4..].split_at(be16(&rest[2..]));
            shares.push((be16(rest) as u16, share.to_vec()));
            rest = behind;
        }
        Some(shares)
    }
}

pub(super) fn be16(octets: &[u8]) -> usize {
    usize::from(octets[0]) << 8 | usize::from(octets[1])
}

pub(super) fn u16s(octets: &[u8]) -> Vec<u16> {
    octets.chunks(2).map(|pair| be16(pair) as u16).collect()
}

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::der_parser::Oid;

use super::{
    der::{self, DerError, Reader},
    hex, name,
};

/// Something that a certificate is for (RFC 5280, section 4.2.1.6).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Alternative<'a> {
    Email(&'a [u8]),
    Dns(&'a [u8]),
    /// A distinguished name, whole.
    Directory(&'a [u8]),
    Uri(&'a [u8]),
    Ip(IpAddr),
    /// The content of an object identifier.
    Registered(&'a [u8]),
    /// Any other form, or an address of a length that none has: its tag and content.
    Other(u8, &'a [u8]),
}

/// Those in the content of a subjectAltName extension, up to the first that is no DER.
pub(crate) fn read(extension: &[u8]) -> impl Iterator<Item = Result<Alternative<'_>, DerError>> {
    let list = der::only(extension, der::SEQUENCE);
    let mut failed = list.err();
    let mut reader = Reader::new(list.map_or(&[], |list| list.value));
    std::iter::from_fn(move || {
        if let Some(error) = failed.take() {
            reader = Reader::new(&[]);
            return Some(Err(error));
        }
        if reader.is_empty() {
            return None;
        }
        let item = reader.next();
        if item.is_err() {
            reader = Reader::new(&[]);
        }
        Some(item.map(|item| match (item.tag, item.value) {
            (0x81, value) => Alternative::Email(value),
            (0x82, value) => Alternative::Dns(value),
            (0xa4, value) => Alternative::Directory(value),
            (0x86, value) => Alternative::Uri(value),
            (0x87, value) => match (<[u8; 4]>::try_from(value), <[u8; 16]>::try_from(value)) {
                (Ok(octets), _) => Alternative::Ip(Ipv4Addr::from(octets).into()),
                (_, Ok(octets)) => Alternative::Ip(Ipv6Addr::from(octets).into()),
                _ => Alternative::Other(0x87, value),
            },
            (0x88, value) => Alternative::Registered(value),
            (tag, value) => Alternative::Other(tag, value),
        }))
    })
}

impl Alternative<'_> {
    /// The text of records: DNS names and addresses as they are, others behind their kind.
    ///
    /// Spaces, commas, backslashes and control characters are escaped as in RFC 4514, and colons of DNS names, so that none
    /// can pass for another kind or for two, whatever stands between them.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Dns(name) => name::escaped(name, &[':', ' ', ',', '\\']),
            Self::Ip(address) => address.to_string(),
            Self::Email(value) => behind("email:", value),
            Self::Uri(value) => behind("uri:", value),
            Self::Directory(value) => behind("dir:", name::distinguished_name(value).as_bytes()),
            Self::Registered(value) => format!("rid:{}", Oid::new((*value).into()).to_id_string()),
            Self::Other(0x87, value) => format!("ip:#{}", hex(value)),
            Self::Other(_, value) => format!("other:#{}", hex(value)),
        }
    }
}

fn behind(kind: &str, value: &[u8]) -> String {
    format!("{kind}{}", name::escaped(value, &[' ', ',', '\\']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(extension: &[u8]) -> Result<Vec<String>, DerError> {
        read(extension).map(|found| found.map(|found| found.text())).collect()
    }

    #[test]
    fn all_kinds_have_a_text() {
        let list: &[&[u8]] = &[
            b"\x82\x03a.b",
            b"\x87\x04\xc6\x13\x00\x07",
            b"\x87\x10\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07",
            b"\x87\x02\x01\x02",
            b"\x81\x03a@b",
            b"\x86\x06http:x",
            b"\xa4\x0e\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01A",
            b"\x88\x03\x2a\x03\x04",
            b"\xa0\x02\x05\x00",
        ];
        let list = list.concat();
        let extension = [&[0x30, u8::try_from(list.len()).unwrap()][..], &list].concat();
        let expected = [
            "a.b",
            "198.19.0.7",
            "2001:db8::7",
            "ip:#0102",
            "email:a@b",
            "uri:http:x",
            "dir:CN=A",
            "rid:1.2.3.4",
            "other:#0500",
        ];
        assert_eq!(texts(&extension).unwrap(), expected);
    }

    #[test]
    fn a_name_passes_for_nothing_else() {
        assert_eq!(texts(b"\x30\x0b\x82\x09uri:a, b\0").unwrap(), ["uri\\3Aa\\2C\\20b\\00"]);
        assert_eq!(texts(b"\x30\x06\x82\x04\xc3\xa9.b").unwrap(), ["é.b"]);
        assert_eq!(texts(b"\x30\x08\x81\x06a b,\\c").unwrap(), ["email:a\\20b\\2C\\5Cc"]);
        assert_eq!(texts(b"\x30\x08\x86\x06x:a b,").unwrap(), ["uri:x:a\\20b\\2C"]);
        let directory =
            b"\x30\x14\xa4\x12\x30\x10\x31\x0e\x30\x0c\x06\x03\x55\x04\x03\x0c\x05a b,c";
        assert_eq!(texts(directory).unwrap(), ["dir:CN=a\\20b\\5C\\2Cc"]);
    }

    #[test]
    fn what_is_no_der_ends_the_list() {
        assert_eq!(texts(b"\x31\x00"), Err(DerError::Tag { wanted: 0x30, found: 0x31 }));
        let found: Vec<_> = read(b"\x30\x07\x82\x01a\x82\x05b").collect();
        assert_eq!(found, [Err(DerError::Short)]);
        let found: Vec<_> = read(b"\x30\x06\x82\x01a\x82\x05b").collect();
        assert_eq!(found, [Ok(Alternative::Dns(b"a")), Err(DerError::Short)]);
    }
}

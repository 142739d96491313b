//! Types, classes and response codes: numbers with names (IANA, "Domain Name System (DNS) Parameters").
//!
//! A number without a name is `TYPE65280`, `CLASS7` (RFC 3597, section 5) or `RCODE12`; all texts are read in either case.

use std::{fmt, str::FromStr};

use thiserror::Error;

/// A text that names no type, class or response code.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{text:?} is no DNS {kind}; those without a name are {prefix}0 to {prefix}{last}")]
pub struct UnknownNumber {
    text: String,
    kind: &'static str,
    prefix: &'static str,
    last: u16,
}

/// A number with names: constants, and both ways between it and text.
macro_rules! numbers {
    (
        $(#[$docs:meta])* $type:ident, $kind:literal, $prefix:literal, $last:literal;
        $( $constant:ident = $number:literal $text:literal )*;
        $( also $other:literal = $same:literal )*
    ) => {
        $(#[$docs])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $type(pub u16);

        impl $type {
            $(
                #[doc = concat!("`", $text, "`.")]
                pub const $constant: Self = Self($number);
            )*

            /// All that have a name, and it.
            pub const NAMED: &[(Self, &str)] = &[$((Self::$constant, $text)),*];

            /// Its name, if it has one.
            pub fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.name() {
                    Some(name) => f.pad(name),
                    None => f.pad(&format!(concat!($prefix, "{}"), self.0)),
                }
            }
        }

        impl FromStr for $type {
            type Err = UnknownNumber;

            fn from_str(text: &str) -> Result<Self, UnknownNumber> {
                let also: &[(Self, &str)] = &[$((Self($same), $other)),*];
                let mut named = Self::NAMED.iter().chain(also);
                if let Some((number, _)) = named.find(|(_, name)| name.eq_ignore_ascii_case(text)) {
                    return Ok(*number);
                }
                let digits = text
                    .split_at_checked($prefix.len())
                    .filter(|(prefix, _)| prefix.eq_ignore_ascii_case($prefix))
                    .map_or("", |(_, digits)| digits);
                let number = digits.parse().ok().filter(|number| (0..=$last).contains(number));
                number.filter(|_| digits.bytes().all(|digit| digit.is_ascii_digit())).map(Self).ok_or_else(|| {
                    UnknownNumber { text: text.to_owned(), kind: $kind, prefix: $prefix, last: $last }
                })
            }
        }
    };
}

numbers! {
    /// A type of records, or of questions alone (`ANY`, `AXFR`).
    Qtype, "record type", "TYPE", 65535;
    A = 1 "A"
    NS = 2 "NS"
    MD = 3 "MD"
    MF = 4 "MF"
    CNAME = 5 "CNAME"
    SOA = 6 "SOA"
    MB = 7 "MB"
    MG = 8 "MG"
    MR = 9 "MR"
    NULL = 10 "NULL"
    WKS = 11 "WKS"
    PTR = 12 "PTR"
    HINFO = 13 "HINFO"
    MINFO = 14 "MINFO"
    MX = 15 "MX"
    TXT = 16 "TXT"
    RP = 17 "RP"
    AFSDB = 18 "AFSDB"
    X25 = 19 "X25"
    ISDN = 20 "ISDN"
    RT = 21 "RT"
    NSAP = 22 "NSAP"
    NSAP_PTR = 23 "NSAP-PTR"
    SIG = 24 "SIG"
    KEY = 25 "KEY"
    PX = 26 "PX"
    GPOS = 27 "GPOS"
    AAAA = 28 "AAAA"
    LOC = 29 "LOC"
    NXT = 30 "NXT"
    EID = 31 "EID"
    NIMLOC = 32 "NIMLOC"
    SRV = 33 "SRV"
    ATMA = 34 "ATMA"
    NAPTR = 35 "NAPTR"
    KX = 36 "KX"
    CERT = 37 "CERT"
    A6 = 38 "A6"
    DNAME = 39 "DNAME"
    SINK = 40 "SINK"
    OPT = 41 "OPT"
    APL = 42 "APL"
    DS = 43 "DS"
    SSHFP = 44 "SSHFP"
    IPSECKEY = 45 "IPSECKEY"
    RRSIG = 46 "RRSIG"
    NSEC = 47 "NSEC"
    DNSKEY = 48 "DNSKEY"
    DHCID = 49 "DHCID"
    NSEC3 = 50 "NSEC3"
    NSEC3PARAM = 51 "NSEC3PARAM"
    TLSA = 52 "TLSA"
    SMIMEA = 53 "SMIMEA"
    HIP = 55 "HIP"
    NINFO = 56 "NINFO"
    RKEY = 57 "RKEY"
    TALINK = 58 "TALINK"
    CDS = 59 "CDS"
    CDNSKEY = 60 "CDNSKEY"
    OPENPGPKEY = 61 "OPENPGPKEY"
    CSYNC = 62 "CSYNC"
    ZONEMD = 63 "ZONEMD"
    SVCB = 64 "SVCB"
    HTTPS = 65 "HTTPS"
    DSYNC = 66 "DSYNC"
    HHIT = 67 "HHIT"
    BRID = 68 "BRID"
    SPF = 99 "SPF"
    UINFO = 100 "UINFO"
    UID = 101 "UID"
    GID = 102 "GID"
    UNSPEC = 103 "UNSPEC"
    NID = 104 "NID"
    L32 = 105 "L32"
    L64 = 106 "L64"
    LP = 107 "LP"
    EUI48 = 108 "EUI48"
    EUI64 = 109 "EUI64"
    NXNAME = 128 "NXNAME"
    TKEY = 249 "TKEY"
    TSIG = 250 "TSIG"
    IXFR = 251 "IXFR"
    AXFR = 252 "AXFR"
    MAILB = 253 "MAILB"
    MAILA = 254 "MAILA"
    ANY = 255 "ANY"
    URI = 256 "URI"
    CAA = 257 "CAA"
    AVC = 258 "AVC"
    DOA = 259 "DOA"
    AMTRELAY = 260 "AMTRELAY"
    RESINFO = 261 "RESINFO"
    WALLET = 262 "WALLET"
    CLA = 263 "CLA"
    IPN = 264 "IPN"
    TA = 32768 "TA"
    DLV = 32769 "DLV";
    also "*" = 255
}

numbers! {
    /// A class of records, or of questions alone (`ANY`).
    Qclass, "class", "CLASS", 65535;
    IN = 1 "IN"
    CH = 3 "CH"
    HS = 4 "HS"
    NONE = 254 "NONE"
    ANY = 255 "ANY";
    also "CHAOS" = 3
    also "*" = 255
}

numbers! {
    /// A response code: four bits of the header and, above them, eight of the OPT record (RFC 6891, section 6.1.3).
    Rcode, "response code", "RCODE", 4095;
    NOERROR = 0 "NOERROR"
    FORMERR = 1 "FORMERR"
    SERVFAIL = 2 "SERVFAIL"
    NXDOMAIN = 3 "NXDOMAIN"
    NOTIMP = 4 "NOTIMP"
    REFUSED = 5 "REFUSED"
    YXDOMAIN = 6 "YXDOMAIN"
    YXRRSET = 7 "YXRRSET"
    NXRRSET = 8 "NXRRSET"
    NOTAUTH = 9 "NOTAUTH"
    NOTZONE = 10 "NOTZONE"
    DSOTYPENI = 11 "DSOTYPENI"
    BADVERS = 16 "BADVERS"
    BADKEY = 17 "BADKEY"
    BADTIME = 18 "BADTIME"
    BADMODE = 19 "BADMODE"
    BADNAME = 20 "BADNAME"
    BADALG = 21 "BADALG"
    BADTRUNC = 22 "BADTRUNC"
    BADCOOKIE = 23 "BADCOOKIE";
    also "BADSIG" = 16
}

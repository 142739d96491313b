//! Records as comma-separated values: a header, then a line a `syn`, `tls` or `dns` record, quoted as RFC 4180 section 2 says.
//!
//! What hosts wrote may end up in a spreadsheet or on a terminal: its control characters become U+FFFD, and text that begins
//! with `=`, `+`, `-` or `@`, which spreadsheets take for a formula, gets an apostrophe before it.
//!
//! The columns are the fields of the record, empty where one is unknown. `host` records have no line: what they say stands in
//! the column `noise` of the records that follow them. Lines end with a line feed alone, as in every other format here.

use std::{fmt::Display, io::Write as _};

use mrpf_records::{DnsRecord, SynRecord, TlsRecord};

use crate::kind::Kind;

/// The first line.
pub(crate) fn header(kind: Kind) -> &'static str {
    match kind {
        Kind::Syn => {
            "ts,ip,port,state,reason,ttl,window,mss,options,rtt_us,attempts,responder,noise\n"
        }
        Kind::Dns => {
            "ts,name,qtype,qclass,status,resolver,protocol,flags,answers,rtt_us,attempts,wildcard,cut\n"
        }
        Kind::Tls => concat!(
            "ts,ip,port,sni,outcome,stage,version,cipher,group,alpn,alert,service,client_auth,ja3s,jarm,",
            "sha256,subject,issuer,not_before,not_after,sans,self_signed,name_match,valid_now,chain\n"
        ),
    }
}

/// Appends one record.
pub(crate) fn append(lines: &mut Vec<u8>, syn: &SynRecord) -> std::io::Result<()> {
    let SynRecord {
        ts,
        ip,
        port,
        state,
        reason,
        ttl,
        window,
        mss,
        options,
        rtt_us,
        attempts,
        responder,
        noise,
    } = syn;
    write!(lines, "{ts},{ip},{port},{state},{reason},{},{},", field(ttl), field(window))?;
    write!(lines, "{},{},{},", field(mss), quoted(options.as_deref()), field(rtt_us))?;
    writeln!(lines, "{},{},{}", field(attempts), field(responder), field(noise))
}

/// Appends one record; of the certificates the host's own, its names with spaces between them.
pub(crate) fn append_tls(lines: &mut Vec<u8>, tls: &TlsRecord) -> std::io::Result<()> {
    let TlsRecord { ts, ip, port, outcome, stage, .. } = tls;
    write!(lines, "{ts},{ip},{port},{},{outcome},{stage},", quoted(tls.sni.as_deref()))?;
    write!(lines, "{},{},{},", field(&tls.version), field(&tls.cipher), field(&tls.group))?;
    write!(
        lines,
        "{},{},{},",
        quoted(tls.alpn.as_deref()),
        field(&tls.alert),
        field(&tls.service)
    )?;
    write!(lines, "{},{},{},", field(&tls.client_auth), field(&tls.ja3s), field(&tls.jarm))?;
    let leaf = tls.certificates.first();
    let text = |value: Option<&String>| quoted(value.map(String::as_str));
    write!(lines, "{},", text(leaf.map(|leaf| &leaf.sha256)))?;
    write!(lines, "{},", text(leaf.and_then(|leaf| leaf.subject.as_ref())))?;
    write!(lines, "{},", text(leaf.and_then(|leaf| leaf.issuer.as_ref())))?;
    write!(lines, "{},", text(leaf.and_then(|leaf| leaf.not_before.as_ref())))?;
    write!(lines, "{},", text(leaf.and_then(|leaf| leaf.not_after.as_ref())))?;
    write!(lines, "{},", quoted(leaf.map(|leaf| leaf.sans.join(" ")).as_deref()))?;
    write!(lines, "{},", field(&leaf.and_then(|leaf| leaf.self_signed)))?;
    let trust = tls.trust.as_ref();
    write!(lines, "{},", field(&trust.and_then(|trust| trust.name_match)))?;
    write!(lines, "{},", field(&trust.and_then(|trust| trust.valid_now)))?;
    writeln!(lines, "{}", field(&trust.and_then(|trust| trust.chain)))
}

/// Appends one record; of the answers the types and data, with semicolons between them.
pub(crate) fn append_dns(lines: &mut Vec<u8>, dns: &DnsRecord) -> std::io::Result<()> {
    let DnsRecord { ts, name, qtype, qclass, status, resolver, protocol, .. } = dns;
    write!(lines, "{ts},{},{qtype},{},{status},", quoted(Some(name)), field(qclass))?;
    let protocol = protocol.map(|protocol| protocol.as_str());
    write!(lines, "{},{},{},", field(resolver), field(&protocol), dns.flags.join(" "))?;
    let data = dns.answers.iter().map(|answer| format!("{} {}", answer.rtype, answer.data));
    let data = data.collect::<Vec<_>>().join("; ");
    write!(lines, "{},{},", quoted(Some(&data)), field(&dns.rtt_us))?;
    writeln!(lines, "{},{},{}", field(&dns.attempts), field(&dns.wildcard), field(&dns.cut))
}

/// Numbers, addresses and words, which need no quotes.
fn field(value: &Option<impl Display>) -> String {
    value.as_ref().map(ToString::to_string).unwrap_or_default()
}

/// Text, in quotes where it holds a comma or a quote; see the [module](self) for what else is done to it.
fn quoted(text: Option<&str>) -> String {
    let text = text.unwrap_or_default();
    let guard = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    let text = format!("{guard}{}", text.replace(char::is_control, "\u{fffd}"));
    if text.contains([',', '"']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    use mrpf_records::{DnsData, DnsProtocol, Reason, State, Timestamp};

    use super::*;

    fn full() -> SynRecord {
        SynRecord {
            ttl: Some(64),
            window: Some(65_160),
            mss: Some(1_460),
            options: Some("mss=1460,sack".to_owned()),
            rtt_us: Some(123),
            attempts: Some(1),
            responder: Some(Ipv4Addr::new(198, 18, 0, 2).into()),
            noise: Some(true),
            ..SynRecord::new(
                Timestamp::from_unix_micros(0),
                Ipv4Addr::new(198, 19, 0, 7).into(),
                80,
                State::Open,
                Reason::SynAck,
            )
        }
    }

    #[track_caller]
    fn check(record: &SynRecord, expected: &str) {
        let mut line = Vec::new();
        append(&mut line, record).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), expected);
    }

    #[test]
    fn the_columns_are_the_fields_of_the_record() {
        let json = serde_json::to_string(&full()).unwrap();
        let at = |column: &str| json.find(&format!("\"{column}\":"));
        let columns: Vec<&str> = header(Kind::Syn).trim_end().split(',').collect();
        assert!(columns.iter().all(|column| at(column).is_some()), "{json}");
        assert!(columns.is_sorted_by_key(|column| at(column)), "{json}");
        let fields = serde_json::from_str::<serde_json::Map<_, _>>(&json).unwrap();
        assert_eq!(columns.len(), fields.len(), "{json}");
    }

    /// An alias and what it stands for.
    pub(crate) fn dns() -> DnsRecord {
        let data = |name: &str, rtype: &'static str, data: &str| DnsData {
            name: name.to_owned(),
            rtype: rtype.into(),
            class: None,
            ttl: 60,
            data: data.to_owned(),
        };
        DnsRecord {
            resolver: Some((Ipv4Addr::new(198, 19, 0, 53), 53).into()),
            protocol: Some(DnsProtocol::Udp),
            flags: vec!["rd".into(), "ra".into()],
            answers: vec![
                data("www.example", "CNAME", "web.example."),
                data("web.example", "A", "198.19.7.1"),
            ],
            rtt_us: Some(1_042),
            attempts: Some(1),
            wildcard: Some(true),
            ..DnsRecord::new(
                Timestamp::from_unix_micros(0),
                "www.example".to_owned(),
                "A".into(),
                "NOERROR".into(),
            )
        }
    }

    #[test]
    fn a_record_of_a_name_has_its_answers_in_one_column() {
        let mut line = Vec::new();
        append_dns(&mut line, &dns()).unwrap();
        let text = DnsData { data: "\"a, b\"".to_owned(), ..dns().answers[0].clone() };
        let bare = DnsRecord {
            qclass: Some("CH".into()),
            answers: vec![DnsData { rtype: "TXT".into(), ..text }],
            ..DnsRecord::new(
                Timestamp::from_unix_micros(0),
                "=name".to_owned(),
                "TXT".into(),
                DnsRecord::TIMEOUT.into(),
            )
        };
        append_dns(&mut line, &bare).unwrap();
        let lines = String::from_utf8(line).unwrap();
        let expected = "1970-01-01T00:00:00.000000Z,www.example,A,,NOERROR,198.19.0.53:53,udp,rd ra,CNAME web.example.; A \
                        198.19.7.1,1042,1,true,\n\
                        1970-01-01T00:00:00.000000Z,'=name,TXT,CH,TIMEOUT,,,,\"TXT \"\"a, b\"\"\",,,,\n";
        assert_eq!(lines, expected);
        let columns = header(Kind::Dns).trim_end().split(',').count();
        assert_eq!(lines.lines().next().unwrap().split(',').count(), columns);
    }

    #[test]
    fn what_is_unknown_is_empty_and_commas_are_quoted() {
        check(
            &full(),
            "1970-01-01T00:00:00.000000Z,198.19.0.7,80,open,syn-ack,64,65160,1460,\"mss=1460,sack\",123,1,198.18.0.2,true\n",
        );
        let ip = IpAddr::from(Ipv6Addr::LOCALHOST);
        let bare =
            SynRecord::new(Timestamp::from_unix_micros(0), ip, 22, State::Silent, Reason::NoAnswer);
        check(&bare, "1970-01-01T00:00:00.000000Z,::1,22,silent,no-answer,,,,,,,,\n");
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(quoted(Some("a\"b")), "\"a\"\"b\"");
        assert_eq!(quoted(Some("plain")), "plain");
    }

    #[test]
    fn what_hosts_wrote_is_no_order_to_anyone() {
        for formula in ["=1+1", "+1", "-1", "@a"] {
            assert_eq!(quoted(Some(formula)), format!("'{formula}"));
        }
        assert_eq!(quoted(Some("=a,\"b\"")), "\"'=a,\"\"b\"\"\"");
        assert_eq!(quoted(Some("a=b")), "a=b");
        assert_eq!(
            quoted(Some("a\r\n\0\u{1b}\u{7f}\u{9b}b")),
            format!("a{}b", "\u{fffd}".repeat(6))
        );
    }
}

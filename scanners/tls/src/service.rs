//! What speaks on a port that speaks no TLS, by its first octets.

/// The protocol of `first`, the first octets that came where TLS should have; `None` when they fit none, or several.
///
/// Some of these are greetings, which came whatever we sent; others are complaints about our hello. Only what is sure is
/// said: `220 ready` may be mail or files.
pub fn service(first: &[u8]) -> Option<&'static str> {
    binary(first).or_else(|| line(first))
}

/// By octets at fixed places.
fn binary(first: &[u8]) -> Option<&'static str> {
    Some(match first {
        // RFC 4253, section 4.2: the identification string; lines may stand before it.
        [b'S', b'S', b'H', b'-', ..] => "ssh",
        // A handshake packet: its length, number 0, protocol 10 and a version of digits. Or an error packet.
        [_, _, 0, 0, 10, b'0'..=b'9', ..] | [_, _, 0, 0, 0xff, _, _, ..] => "mysql",
        // RFC 6143, section 7.1.1
        [b'R', b'F', b'B', b' ', b'0'..=b'9', ..] => "vnc",
        // An ErrorResponse to a startup packet of a wrong length: the type, a length below 64 KiB, a severity.
        [b'E', 0, 0, _, _, b'S', b'F' | b'E', ..] => "postgresql",
        // RFC 854: IAC, and WILL, WONT, DO or DONT.
        [0xff, 0xfb..=0xfe, _, ..] => "telnet",
        // TPKT of RFC 1006 around an X.224 TPDU that confirms, refuses or reports an error.
        [3, 0, 0, _, _, 0xd0 | 0x80 | 0x70, ..] => "rdp",
        // A TDS answer: a token stream, its last packet.
        [4, 1, _, _, 0, 0, _, _, ..] => "mssql",
        // NetBIOS around SMB 1 or 2.
        [0, 0, _, _, 0xff | 0xfe, b'S', b'M', b'B', ..] => "smb",
        // RFC 4511, section 4.4.1: the notice of disconnection, an ExtendedResponse to message 0.
        [0x30, len, 2, 1, 0, 0x78, ..] if *len < 0x80 => "ldap",
        [b'A', b'M', b'Q', b'P', ..] => "amqp",
        // RFC 4271, section 4.1: the marker is all ones.
        [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, ..] if marker(first) => "bgp",
        [b'@', b'R', b'S', b'Y', b'N', b'C', b'D', b':', ..] => "rsync",
        // RFC 9113, section 3.4: a SETTINGS frame on stream 0 comes first.
        [0, 0, len, 4, 0, 0, 0, 0, 0, ..] if len % 6 == 0 => "http2",
        _ => return None,
    })
}

fn marker(first: &[u8]) -> bool {
    first.get(..16).is_some_and(|octets| octets.iter().all(|octet| *octet == 0xff))
}

/// By words.
fn line(first: &[u8]) -> Option<&'static str> {
    let is = |word: &str| {
        first.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    let has = |word: &str| {
        first.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    };
    Some(match first {
        _ if is("HTTP/") || is("<!DOCTYPE") || is("<html") => "http",
        _ if is("RTSP/") => "rtsp",
        _ if is("SIP/") => "sip",
        _ if is("ICY ") => "icecast",
        _ if is("* OK") || is("* BYE") || is("* PREAUTH") => "imap",
        _ if is("+OK") => "pop3",
        // The same codes greet and complain in mail (RFC 5321), files (RFC 959) and news (RFC 3977).
        [b'2' | b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..] => {
            if has("SMTP") || has("mail") || has("postfix") || has("exim") || has("sendmail") {
                "smtp"
            } else if has("FTP") || has("FileZilla") {
                "ftp"
            } else if has("NNTP") || has("InterNetNews") || has("news") {
                "nntp"
            } else {
                return None;
            }
        }
        // RESP complains about what it takes for a command; POP3 does so with other words.
        _ if is("-ERR unknown command")
            || is("-ERR Protocol error")
            || is("-NOAUTH")
            || is("-DENIED") =>
        {
            "redis"
        }
        _ if is("ERROR\r\n") || is("CLIENT_ERROR ") => "memcached",
        // RFC 2812: a prefix and a NOTICE, or ERROR with a reason.
        _ if is("NOTICE AUTH") || is("ERROR :") || (is(":") && has(" NOTICE ")) => "irc",
        _ if is("<?xml") && has("stream") || is("<stream:") => "xmpp",
        _ if is("( success (") => "svn",
        _ if has("login: ") || has("username: ") => "telnet",
        _ if is("\r\n") && has("SSH-2.0") => "ssh",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_known_by_what_they_say() {
        let cases: &[(&[u8], Option<&str>)] = &[
            (b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n", Some("http")),
            (b"HTTP/1.0 400 Bad request\r\n", Some("http")),
            (b"<!doctype html>\n<html>", Some("http")),
            (b"<html>\r\n<head><title>400", Some("http")),
            (b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", Some("ssh")),
            (b"\r\nNo TLS\r\nSSH-2.0-x\r\n", Some("ssh")),
            (b"220 mx.example.com ESMTP Postfix\r\n", Some("smtp")),
            (b"554 5.7.1 Error: bad mail command\r\n", Some("smtp")),
            (b"220 (vsFTPd 3.0.3)\r\n", Some("ftp")),
            (b"220-FileZilla Server 1.5\r\n", Some("ftp")),
            (b"200 news.example.com InterNetNews ready\r\n", Some("nntp")),
            (b"220 ready\r\n", None),
            (b"500 what?\r\n", None),
            (b"* OK [CAPABILITY IMAP4rev1] Dovecot ready.\r\n", Some("imap")),
            (b"+OK Dovecot ready.\r\n", Some("pop3")),
            (b"-ERR unknown command '\x16\x03'", Some("redis")),
            (b"-ERR Unknown command.\r\n", Some("redis")),
            (b"-ERR bad\r\n", None),
            (b"ERROR\r\n", Some("memcached")),
            (b"\x4a\0\0\0\x0a8.0.36\0\x08\0\0\0", Some("mysql")),
            (b"\x45\0\0\0\xffj\x04Host '198.18.0.1' is not", Some("mysql")),
            (b"RFB 003.008\n", Some("vnc")),
            (b"E\0\0\0\x8fSFATAL\0VFATAL\0C0A000\0", Some("postgresql")),
            (b"\xff\xfd\x18\xff\xfd\x20", Some("telnet")),
            (b"\r\nrouter login: ", Some("telnet")),
            (b"\x03\0\0\x13\x0e\xd0\0\0\x124\0\x02\x0f\x08\0\x02\0\0\0", Some("rdp")),
            (b"\x04\x01\0\x30\0\0\x01\0\xaa", Some("mssql")),
            (b"\0\0\0\x55\xffSMB", Some("smb")),
            (b"\x30\x24\x02\x01\x00\x78\x1f\x0a\x01\x02", Some("ldap")),
            (b"AMQP\0\0\x09\x01", Some("amqp")),
            (
                b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\x15\x03",
                Some("bgp"),
            ),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff\0", None),
            (b"@RSYNCD: 31.0\n", Some("rsync")),
            (b"\0\0\x12\x04\0\0\0\0\0\0\x03", Some("http2")),
            (b"RTSP/1.0 400 Bad Request\r\n", Some("rtsp")),
            (b"SIP/2.0 400 Bad Request\r\n", Some("sip")),
            (b":irc.example.com NOTICE * :*** Looking up", Some("irc")),
            (b"ERROR :Closing Link\r\n", Some("irc")),
            (b"<?xml version='1.0'?><stream:stream ", Some("xmpp")),
            (b"( success ( 2 2 ( ) ", Some("svn")),
            (b"\x15\x03\x01\0\x02\x02\x28", None),
            (b"\0", None),
            (b"", None),
        ];
        for (first, expected) in cases {
            assert_eq!(service(first), *expected, "{}", String::from_utf8_lossy(first));
        }
    }

    #[test]
    fn no_start_of_an_answer_is_taken_for_another_service() {
        for greeting in
            [&b"HTTP/1.1 400"[..], b"SSH-2.0-x", b"+OK x", b"220 a ESMTP", b"E\0\0\0\x8fSFATAL"]
        {
            let whole = service(greeting);
            for len in 0..greeting.len() {
                let part = service(&greeting[..len]);
                assert!(part.is_none() || part == whole, "{part:?} {len}");
            }
        }
    }
}

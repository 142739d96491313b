//! A request, and who sent it.

use std::{
    io::{self, BufRead, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
};

/// Longest line of a head, and longest head.
const MOST_HEAD: usize = 64 * 1_024;
/// Longest body: ten messages of a megabyte in all, every octet escaped.
const MOST_BODY: usize = 16 * 1_024 * 1_024;

/// What a client asks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Names in lower case.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// Reads the next one; `None` where the peer has said all.
    pub(super) fn read(
        reader: &mut impl BufRead,
        mut peer: impl Write,
    ) -> io::Result<Option<Self>> {
        let Some(line) = head_line(reader)? else { return Ok(None) };
        let mut words = line.split(' ');
        let (Some(method), Some(path), Some("HTTP/1.1"), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(invalid("not an HTTP/1.1 request line"));
        };
        let mut request =
            Self { method: method.to_owned(), path: path.to_owned(), ..Self::default() };
        request.headers = headers(reader)?;
        if request.is_header("expect", "100-continue") {
            peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        request.body = body(reader, &request.headers)?;
        Ok(Some(request))
    }

    /// The value of a header; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(super) fn is_header(&self, name: &str, value: &str) -> bool {
        self.header(name).is_some_and(|found| found.eq_ignore_ascii_case(value))
    }
}

/// The other end of a connection whose request is being handled.
pub(crate) struct Peer<'a> {
    stream: &'a TcpStream,
    is_over: &'a AtomicBool,
}

impl<'a> Peer<'a> {
    pub(super) fn new(stream: &'a TcpStream, is_over: &'a AtomicBool) -> Self {
        Self { stream, is_over }
    }

    /// Whether nobody waits for the answer any more: what a killed worker asked for must not be given away to it.
    pub(crate) fn is_gone(&self) -> bool {
        if self.is_over.load(Ordering::SeqCst) || self.stream.set_nonblocking(true).is_err() {
            return true;
        }
        let seen = self.stream.peek(&mut [0]);
        let is_open = match seen {
            Ok(octets) => octets > 0,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        self.stream.set_nonblocking(false).is_err() || !is_open
    }
}

pub(super) fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
}

/// Header lines up to the empty one.
pub(super) fn headers(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    let mut octets = 0;
    loop {
        let line = head_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if line.is_empty() {
            return Ok(headers);
        }
        octets += line.len();
        if octets > MOST_HEAD {
            return Err(invalid("the head is too long"));
        }
        let (name, value) = line.split_once(':').ok_or_else(|| invalid("a header has no colon"))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// The body that `headers` announce.
pub(super) fn body(reader: &mut impl BufRead, headers: &[(String, String)]) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    if find(headers, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"))
    {
        loop {
            let line = head_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let octets = usize::from_str_radix(digits, 16)
                .map_err(|_| invalid("the length of a chunk is no number"))?;
            if octets == 0 {
                self::headers(reader)?;
                return Ok(body);
            }
            append(reader, &mut body, octets)?;
            if head_line(reader)?.as_deref() != Some("") {
                return Err(invalid("a chunk is longer than it says"));
            }
        }
    }
    if let Some(length) = find(headers, "content-length") {
        let octets = length.parse().map_err(|_| invalid("Content-Length is no number"))?;
        append(reader, &mut body, octets)?;
    }
    Ok(body)
}

fn append(reader: &mut impl BufRead, body: &mut Vec<u8>, octets: usize) -> io::Result<()> {
    let start = body.len();
    let end = start.checked_add(octets).filter(|end| *end <= MOST_BODY);
    body.resize(end.ok_or_else(|| invalid("the body is too long"))?, 0);
    reader.read_exact(&mut body[start..])
}

/// A line of a head without its end; `None` where nothing more comes.
pub(super) fn head_line(reader: &mut impl BufRead) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    reader.take(MOST_HEAD as u64).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    let line = line.strip_suffix(b"\n").ok_or_else(|| invalid("a line has no end"))?;
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8(line.to_vec()).map(Some).map_err(|_| invalid("a line is no text"))
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

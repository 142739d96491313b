//! The other side, for the parts of AWS that are clients themselves.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

use super::request::{body, head_line, headers};

/// Longer than the longest poll.
const PATIENCE: Duration = Duration::from_secs(30);

/// Posts a body to `http://host:port`, on a connection of its own. Gives status and body.
pub(crate) fn post(
    endpoint: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<(u16, Vec<u8>)> {
    let host = endpoint
        .strip_prefix("http://")
        .map(|rest| rest.trim_end_matches('/'))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not an http:// endpoint"))?;
    let mut stream = TcpStream::connect(host)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = format!("POST / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    for (name, value) in headers {
        bytes.push_str(&format!("{name}: {value}\r\n"));
    }
    bytes.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    let mut bytes = bytes.into_bytes();
    bytes.extend_from_slice(body);
    stream.write_all(&bytes)?;
    read_response(&mut BufReader::new(stream))
}

/// Reads an answer.
pub(super) fn read_response(reader: &mut impl BufRead) -> io::Result<(u16, Vec<u8>)> {
    let line = head_line(reader)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status =
        status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not a status line"))?;
    let headers = headers(reader)?;
    Ok((status, body(reader, &headers)?))
}

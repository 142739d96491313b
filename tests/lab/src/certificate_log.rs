//! A source of logged certificates for a workflow in the lab: it answers as crt.sh does, on lo, about an organisation that
//! exists nowhere else.
//!
//! What it says is fixed and known, so a workflow can be held against it: [`in_scope`] and [`out_of_scope`].

use std::{
    fmt::Write as _,
    io::{self, Read, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{LabError, error::asking};

/// The domain of the organisation. Nobody can own a name below `example` (RFC 2606, section 2).
pub const DOMAIN: &str = "mrpf-lab.example";

/// Names at [`DOMAIN`] that are in certificates, but for those of [`numbered`].
const NAMES: [&str; 8] = ["", "www.", "mail.", "vpn.", "git.", "status.", "*.", "*.apps."];
/// How many hosts have a number in their name: what makes the log long enough for more than one page of a terminal.
pub(crate) const NUMBERED: u32 = 240;
/// Names of others on the same certificates, and what is no name at all.
const FOREIGN: [&str; 4] = [
    "cdn.elsewhere.example",
    "mrpf-lab.example.elsewhere.example",
    "admin@mrpf-lab.example",
    "notmrpf-lab.example",
];
/// How long a client may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request line and headers that are read.
const MOST: usize = 8 << 10;

/// The names inside the organisation's domain, sorted, wildcards as what they stand below, each once.
pub fn in_scope() -> Vec<String> {
    let names = NAMES.iter().map(|name| format!("{}{DOMAIN}", name.trim_start_matches("*.")));
    let mut names: Vec<String> = names.chain((0..NUMBERED).map(numbered)).collect();
    names.sort();
    names.dedup();
    names
}

/// The names that are not the organisation's, as the log has them.
pub fn out_of_scope() -> Vec<String> {
    FOREIGN.iter().filter(|name| !name.contains('@')).map(|name| (*name).to_owned()).collect()
}

/// A name that is in certificates, by number.
pub(crate) fn numbered(n: u32) -> String {
    format!("host-{n:03}.{DOMAIN}")
}

/// The server; ends when dropped.
#[derive(Debug)]
pub struct CertificateLog {
    addr: SocketAddr,
    served: Arc<AtomicU64>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl CertificateLog {
    /// Listens on a free port of 127.0.0.1 in the calling thread's namespace.
    ///
    /// # Errors
    ///
    /// [`LabError::System`].
    pub fn start() -> Result<Self, LabError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .map_err(asking("listening for the certificate log"))?;
        let addr = listener.local_addr().map_err(asking("asking for a port"))?;
        let (served, ends) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, ended) = (Arc::clone(&served), Arc::clone(&ends));
        let serve = move || {
            for client in listener.incoming() {
                if ended.load(Ordering::Acquire) {
                    break;
                }
                // A client that goes away is its own affair.
                if let Ok(client) = client
                    && answer(client).is_ok()
                {
                    counted.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let thread = thread::Builder::new()
            .name("lab-certificates".to_owned())
            .spawn(serve)
            .map_err(asking("starting a thread"))?;
        Ok(Self { addr, served, ends, thread: Some(thread) })
    }

    /// What a client asks, in place of `https://crt.sh`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Requests that were answered.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for CertificateLog {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Release);
        // A connection ends the wait for one; without it the thread would be waited for in vain.
        if TcpStream::connect_timeout(&self.addr, PATIENCE).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn answer(mut client: TcpStream) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut request = Vec::new();
    let mut octets = [0; 1_024];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let n = client.read(&mut octets)?;
        if n == 0 || request.len() > MOST {
            return Err(io::ErrorKind::InvalidData.into());
        }
        request.extend_from_slice(&octets[..n]);
    }
    let line = request.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let asks_for = |word: &str| String::from_utf8_lossy(line).contains(word);
    let (status, kind, body) = if asks_for("output=json") && asks_for(DOMAIN) {
        ("200 OK", "application/json", certificates())
    } else if asks_for("output=json") {
        ("200 OK", "application/json", "[]".to_owned())
    } else {
        ("404 Not Found", "text/html", "<html>not here</html>".to_owned())
    };
    write!(
        client,
        "HTTP/1.1 {status}\r\nServer: mrpf-lab\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    client.write_all(body.as_bytes())
}

/// All certificates of the log in the form of crt.sh: a JSON array, names of one certificate divided by line feeds.
fn certificates() -> String {
    let mut all: Vec<Vec<String>> = Vec::new();
    let own: Vec<String> = NAMES.iter().map(|name| format!("{name}{DOMAIN}")).collect();
    all.push(own);
    all.push(
        FOREIGN.iter().map(|name| (*name).to_owned()).chain([format!("www.{DOMAIN}")]).collect(),
    );
    all.extend((0..NUMBERED).map(|n| vec![numbered(n)]));
    let mut json = String::from("[");
    for (at, names) in all.iter().enumerate() {
        // A string takes every write.
        let _ = write!(
            json,
            "{}{{\"issuer_ca_id\":1,\"issuer_name\":\"C=XX, O=mrpf lab, CN=Lab CA\",\"common_name\":\"{}\",\
             \"name_value\":\"{}\",\"id\":{},\"entry_timestamp\":\"2026-11-01T00:00:00.{:03}\",\
             \"not_before\":\"2026-11-01T00:00:00\",\"not_after\":\"2027-01-30T00:00:00\",\
             \"serial_number\":\"{:032x}\",\"result_count\":{}}}",
            if at == 0 { "" } else { "," },
            names[0],
            names.join("\\n"),
            at + 1,
            at % 1_000,
            at + 0x6d72,
            names.len() + 1,
        );
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(log: &CertificateLog, path: &str) -> String {
        let mut client = TcpStream::connect(log.addr).unwrap();
        write!(client, "GET {path} HTTP/1.1\r\nHost: log\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        answer
    }

    #[test]
    fn the_organisation_is_known_and_others_are_not() {
        let log = CertificateLog::start().unwrap();
        let answer = get(&log, &format!("/?q={DOMAIN}&output=json"));
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        for name in in_scope().iter().chain(&out_of_scope()) {
            assert!(answer.contains(name.as_str()), "{name} is missing");
        }
        assert!(get(&log, "/?q=other.example&output=json").ends_with("\r\n\r\n[]"));
        assert!(get(&log, "/").starts_with("HTTP/1.1 404 "));
        // An answer is counted when it was given, which its reader may know first.
        for _ in 0..500 {
            if log.served() == 3 {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
        assert_eq!(log.served(), 3);
    }

    #[test]
    fn names_are_counted_once() {
        let names = in_scope();
        // Of NAMES, the wildcard at the top stands for the domain itself.
        assert_eq!(names.len(), NAMES.len() - 1 + NUMBERED as usize);
        assert!(names.iter().all(|name| name == DOMAIN || name.ends_with(&format!(".{DOMAIN}"))));
    }
}

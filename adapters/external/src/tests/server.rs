//! A server on 127.0.0.1 that gives prepared answers, one a connection, and notes what it was asked.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::BaseUrl;

/// Octets of an answer, and waits between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Send(Vec<u8>),
    Wait(Duration),
}

impl Reply {
    /// 200 with JSON.
    pub(super) fn json(body: impl ToString) -> Self {
        Self::status(200, "Content-Type: application/json\r\n", body.to_string())
    }

    /// A whole answer; each of `headers` ends in CR LF.
    pub(super) fn status(status: u16, headers: &str, body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len();
        Self::head(status, &format!("{headers}Content-Length: {length}\r\n")).and(body)
    }

    /// The head of an answer alone.
    pub(super) fn head(status: u16, headers: &str) -> Self {
        let head = format!("HTTP/1.1 {status} Status\r\nConnection: close\r\n{headers}\r\n");
        Self::default().and(head)
    }

    /// These octets next.
    pub(super) fn and(mut self, octets: impl AsRef<[u8]>) -> Self {
        self.0.push(Step::Send(octets.as_ref().to_vec()));
        self
    }

    /// A wait next.
    pub(super) fn wait(mut self, duration: Duration) -> Self {
        self.0.push(Step::Wait(duration));
        self
    }

    fn send(&self, stream: &mut TcpStream, is_over: &AtomicBool) {
        for step in &self.0 {
            match step {
                // A client that has seen enough closes; that is its right.
                Step::Send(octets) => drop(stream.write_all(octets)),
                Step::Wait(duration) => {
                    let end = Instant::now() + *duration;
                    while Instant::now() < end && !is_over.load(SeqCst) {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            }
        }
        drop(stream.shutdown(Shutdown::Write));
    }
}

pub(super) struct Server {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// A server that gives `replies` in turn, and nothing at all afterwards.
    pub(super) fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (requests, is_over) =
            (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (noted, over) = (requests.clone(), is_over.clone());
        let mut replies: Vec<Reply> = replies.into_iter().collect();
        replies.reverse();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if over.load(SeqCst) {
                    break;
                }
                let mut stream = stream.unwrap();
                noted.lock().unwrap().push(read_request(&mut stream));
                replies.pop().unwrap_or_default().send(&mut stream, &over);
            }
        });
        Self { addr, requests, is_over, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> BaseUrl {
        format!("http://{}", self.addr).parse().unwrap()
    }

    /// What it was asked, head and body.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        // Ends the wait for a connection.
        drop(TcpStream::connect(self.addr));
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let (mut request, mut part) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
            });
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return text,
            Ok(count) => request.extend_from_slice(&part[..count]),
        }
    }
}

/// `data` as gzip (RFC 1952) of one stored block; at most 65,535 octets.
pub(super) fn gzip(data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let mut block = vec![1];
    block.extend(length.to_le_bytes());
    block.extend((!length).to_le_bytes());
    block.extend(data);
    wrapped(&block, data.iter().copied())
}

/// `1 + 258 * repeats` blanks as gzip of one block with fixed codes (RFC 1951, section 3.2.6): a thousandth as long.
pub(super) fn gzip_of_blanks(repeats: usize) -> Vec<u8> {
    let (mut block, mut bits) = (Vec::new(), 0);
    let mut push = |bit: u8| {
        if bits % 8 == 0 {
            block.push(0);
        }
        *block.last_mut().unwrap() |= bit << (bits % 8);
        bits += 1;
    };
    let mut code = |value: u32, len: u32| {
        (0..len).rev().for_each(|at| push(u8::try_from(value >> at & 1).unwrap()));
    };
    code(0b110, 3); // the last block, fixed codes, lowest bit first
    code(0x30 + 0x20, 8); // a blank
    for _ in 0..repeats {
        code(0b1100_0101, 8); // 258 octets
        code(0, 5); // from one octet back
    }
    code(0, 7); // the end
    wrapped(&block, std::iter::repeat_n(b' ', 1 + 258 * repeats))
}

fn wrapped(block: &[u8], data: impl ExactSizeIterator<Item = u8>) -> Vec<u8> {
    let length = u32::try_from(data.len()).unwrap();
    let crc = !data.fold(!0_u32, |crc, octet| {
        (0..8).fold(crc ^ u32::from(octet), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    });
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    packed.extend(block);
    packed.extend(crc.to_le_bytes());
    packed.extend(length.to_le_bytes());
    packed
}

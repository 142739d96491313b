//! HTTP/1.1 as AWS clients and AWS runtimes speak it, on loopback.
//!
//! ```text
//!   accept --> a thread a connection: Request --> handler --> Reply::Send --> next request of the connection
//!                                                        '--> Reply::Close: the peer never hears
//! ```
//!
//! Bodies come with a length or in chunks, after `Expect: 100-continue` where the client asks. A request that cannot be read is
//! answered with 400 and ends its connection.

mod client;
mod request;

use std::{
    io::{self, BufReader, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

pub(crate) use self::{
    client::post,
    request::{Peer, Request},
};

/// What a handler does with a request.
pub(crate) enum Reply {
    /// Answers.
    Send(Response),
    /// Hangs up without a word.
    Close,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("Content-Type", content_type.to_owned())];
        Self { status, headers, body: body.into() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A server on a port of its own, until it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accept: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
}

impl Server {
    /// Starts it with the handler that is made for its address. It runs on the thread of the connection and may wait as long
    /// as it likes.
    pub(crate) fn start<H>(make: impl FnOnce(SocketAddr) -> H) -> io::Result<Self>
    where
        H: Fn(&Request, &Peer<'_>) -> Reply + Send + Sync + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let handler = Arc::new(make(address));
        let accept = thread::Builder::new().name(format!("cloud {address}")).spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared, &handler)
        })?;
        Ok(Self { address, shared, accept: Some(accept) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // Wakes `accept`, which sees that it is over.
        let _ = TcpStream::connect(self.address);
        if let Some(accept) = self.accept.take() {
            let _ = accept.join();
        }
        let open = self.shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        for stream in open.iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept<H>(listener: &TcpListener, shared: &Arc<Shared>, handler: &Arc<H>)
where
    H: Fn(&Request, &Peer<'_>) -> Reply + Send + Sync + 'static,
{
    for stream in listener.incoming() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let Ok(kept) = stream.try_clone() else { continue };
        let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that ended have no peer any more.
        open.retain(|stream| stream.peer_addr().is_ok());
        open.push(kept);
        drop(open);
        let (shared, handler) = (Arc::clone(shared), Arc::clone(handler));
        let serve = move || {
            // An error is the peer's: it hung up, or sent what no client sends.
            let _ = serve(&stream, &*handler, &shared.is_over);
            let _ = stream.shutdown(Shutdown::Both);
        };
        let _ = thread::Builder::new().name("cloud connection".to_owned()).spawn(serve);
    }
}

fn serve(
    stream: &TcpStream,
    handler: &impl Fn(&Request, &Peer<'_>) -> Reply,
    is_over: &AtomicBool,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let request = match Request::read(&mut reader, stream) {
            Ok(Some(request)) => request,
            Ok(None) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let response = Response::new(400, "text/plain", error.to_string());
                return (&*stream).write_all(&response.with("Connection", "close").bytes());
            }
            Err(error) => return Err(error),
        };
        let is_last = request.is_header("connection", "close");
        match handler(&request, &Peer::new(stream, is_over)) {
            Reply::Send(response) if is_last => {
                return (&*stream).write_all(&response.with("Connection", "close").bytes());
            }
            Reply::Send(response) => (&*stream).write_all(&response.bytes())?,
            Reply::Close => return Ok(()),
        }
    }
}

/// The words of the status line, which nobody reads but people.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        412 => "Precondition Failed",
        413 => "Payload Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        _ => "Status",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, Read};

    use super::*;

    /// Answers with method, path and body.
    fn echo() -> Server {
        Server::start(|_| {
            |request: &Request, _: &Peer<'_>| {
                let body = String::from_utf8_lossy(&request.body);
                let text = format!("{} {} {body}", request.method, request.path);
                Reply::Send(Response::new(200, "text/plain", text))
            }
        })
        .unwrap()
    }

    fn answer(reader: &mut impl BufRead) -> (u16, String) {
        client::read_response(reader)
            .map(|(status, body)| (status, String::from_utf8(body).unwrap()))
            .unwrap()
    }

    #[test]
    fn a_connection_serves_requests_of_all_forms_in_turn() {
        let server = echo();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        stream.write_all(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\none").unwrap();
        assert_eq!(answer(&mut reader), (200, "POST /a one".to_owned()));
        stream
            .write_all(
                b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\ntw\r\n1\r\no\r\n0\r\nTrailer: t\r\n\r\n",
            )
            .unwrap();
        assert_eq!(answer(&mut reader), (200, "POST /b two".to_owned()));
        stream
            .write_all(b"PUT /c HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
            .unwrap();
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        assert_eq!(line, "HTTP/1.1 100 Continue\r\n");
        reader.read_line(&mut line).unwrap();
        stream.write_all(b"three").unwrap();
        assert_eq!(answer(&mut reader), (200, "PUT /c three".to_owned()));
        stream.write_all(b"GET /d HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
        assert_eq!(answer(&mut reader), (200, "GET /d ".to_owned()));
        assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let server = echo();
        for bad in [
            "nonsense\r\n\r\n",
            "GET / HTTP/1.1\r\nno colon\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let mut stream = TcpStream::connect(server.address()).unwrap();
            stream.write_all(bad.as_bytes()).unwrap();
            let (status, _) = answer(&mut BufReader::new(stream));
            assert_eq!(status, 400, "{bad:?}");
        }
    }

    #[test]
    fn the_end_of_a_server_ends_its_connections() {
        let server = echo();
        let mut stream = TcpStream::connect(server.address()).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        answer(&mut BufReader::new(stream.try_clone().unwrap()));
        drop(server);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
}

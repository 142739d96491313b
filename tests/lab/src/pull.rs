//! A TCP connection that the scanner's kernel knows nothing of: a packet socket at the scanner's end asks a server of the
//! world for data and acknowledges it as it comes.
//!
//! The world's kernel then sends to a port of a scan what no injector can: segments that it leaves merged for the device to
//! cut (TSO), up to 64 KiB long, which over veth arrive whole and with the checksum of their pseudo-header alone.
//!
//! ```text
//! SYN          --->
//!              <---  SYN-ACK
//! ACK          --->
//!              <---  data, data, ... FIN
//! ACK, ACK ... --->
//! RST          --->
//! ```
//!
//! Segments that two CPUs of the world send overtake each other. Those that come early are remembered: a kernel that had to send
//! them again would do so ever more slowly.

use std::{
    io::{self, ErrorKind, Read},
    net::SocketAddrV4,
    os::fd::AsRawFd,
    time::{Duration, Instant},
};

use mrpf_engine::wire::checksum::Sum;
use nix::sys::socket::{bind, setsockopt, sockopt};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{
    LabError, Namespace,
    error::asking,
    responder::{RECEIVE_BUFFER, device_addr_of},
    veth,
};

/// ETH_P_IP of packet(7).
const IPV4: u16 = 0x0800;
/// Where the headers of a frame begin.
const IP: usize = 14;
const TCP: usize = IP + 20;
/// More than any frame has.
const LONGEST: usize = 1 << 17;
/// How long the world may take for all of it.
const PATIENCE: Duration = Duration::from_secs(30);
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;

/// What came of a connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Pulled {
    /// Frames that the server's kernel sent, the SYN-ACK among them.
    pub frames: u64,
    /// Octets of the longest, from its Ethernet header on.
    pub longest: usize,
    /// Octets of data, each once.
    pub octets: u64,
    /// Frames that we sent.
    pub sent: u64,
}

/// Connects from `port` of the scanner to `server` in the world, takes what it has to say until it closes, and resets the
/// connection. The scanner's kernel must be silent on `port`, as it is in a scan. `scanner` is
/// [`Lab::scanner`](crate::Lab::scanner).
///
/// # Errors
///
/// [`LabError::System`] when the packet socket cannot be had or fails, or the server has not closed after half a minute.
pub fn pull(scanner: &Namespace, port: u16, server: SocketAddrV4) -> Result<Pulled, LabError> {
    let run = || -> io::Result<Pulled> {
        let mut connection = Connection::open(port, server)?;
        connection.run()?;
        Ok(connection.pulled)
    };
    scanner.run(run)?.map_err(asking("pulling data through a packet socket in the lab"))
}

struct Connection {
    socket: Socket,
    port: u16,
    server: SocketAddrV4,
    /// The number of our next octet, and of the next that we expect.
    seq: u32,
    expected: u32,
    /// First octets of segments that came before their turn, and the octets after their last.
    early: Vec<(u32, u32)>,
    /// The octet after the last, once the server has said that it is.
    end: Option<u32>,
    pulled: Pulled,
}

impl Connection {
    fn open(port: u16, server: SocketAddrV4) -> io::Result<Self> {
        // An IPv4 header without options, TCP, and both ports (BPF: load, skip the next unless equal, return).
        let ports = u32::from(server.port()) << 16 | u32::from(port);
        let filter = [
            SockFilter::new(0x30, 0, 0, IP as u32 + 9),
            SockFilter::new(0x15, 0, 3, 6),
            SockFilter::new(0x20, 0, 0, TCP as u32),
            SockFilter::new(0x15, 0, 1, ports),
            SockFilter::new(0x06, 0, 0, LONGEST as u32),
            SockFilter::new(0x06, 0, 0, 0),
        ];
        // A socket of one type is not shown what leaves (packet(7)).
        let ipv4 = Protocol::from(i32::from(IPV4.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(ipv4))?;
        socket.attach_filter(&filter)?;
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        bind(socket.as_raw_fd(), &device_addr_of(veth::SCANNER)?)?;
        let (early, end, pulled) = (Vec::new(), None, Pulled::default());
        Ok(Self { socket, port, server, seq: 1, expected: 0, early, end, pulled })
    }

    fn run(&mut self) -> io::Result<()> {
        let start = Instant::now();
        let mut frame = vec![0; LONGEST];
        let mut is_open = false;
        self.send(SYN, 0)?;
        self.socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        loop {
            if start.elapsed() > PATIENCE {
                return Err(ErrorKind::TimedOut.into());
            }
            let Some(segment) = self.receive(&mut frame)? else { continue };
            let Segment { flags, seq, len } = segment;
            if flags & RST != 0 {
                return Err(ErrorKind::ConnectionReset.into());
            }
            if flags & SYN != 0 && !is_open {
                is_open = true;
                self.seq = self.seq.wrapping_add(1);
                self.expected = seq.wrapping_add(1);
            } else if is_open {
                let end = seq.wrapping_add(len as u32);
                if flags & FIN != 0 {
                    self.end = Some(end);
                }
                self.early.push((seq, end));
                self.advance();
                if self.end == Some(self.expected) {
                    break;
                }
            }
            self.send(ACK, self.expected)?;
        }
        self.send(RST, 0)?;
        // What was under way when the reset came: over veth it is there.
        self.socket.set_nonblocking(true)?;
        while self.receive(&mut frame)?.is_some() {}
        Ok(())
    }

    /// Takes what is next of what has come.
    fn advance(&mut self) {
        let before = |one: u32, other: u32| (one.wrapping_sub(other) as i32) <= 0;
        while let Some(at) = self.early.iter().position(|(seq, _)| before(*seq, self.expected)) {
            let (_, end) = self.early.swap_remove(at);
            if !before(end, self.expected) {
                self.pulled.octets += u64::from(end.wrapping_sub(self.expected));
                self.expected = end;
            }
        }
    }

    /// The next frame of the server; `None` when none came in time.
    fn receive(&mut self, frame: &mut [u8]) -> io::Result<Option<Segment>> {
        let len = match (&self.socket).read(frame) {
            Ok(len) => len,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        self.pulled.frames += 1;
        self.pulled.longest = self.pulled.longest.max(len);
        // The filter has seen the ports, so all of this is there or the packet is not TCP.
        let Some(fixed) = frame[..len].get(..TCP + 20) else {
            return Err(ErrorKind::InvalidData.into());
        };
        let total = usize::from(u16::from_be_bytes([fixed[IP + 2], fixed[IP + 3]]));
        let headers = 20 + usize::from(fixed[TCP + 12] >> 4) * 4;
        let seq = [fixed[TCP + 4], fixed[TCP + 5], fixed[TCP + 6], fixed[TCP + 7]];
        Ok(Some(Segment {
            flags: fixed[TCP + 13],
            seq: u32::from_be_bytes(seq),
            len: total.saturating_sub(headers),
        }))
    }

    fn send(&mut self, flags: u8, ack: u32) -> io::Result<()> {
        // MSS 1460, nothing, window scale 7: as Linux asks for on Ethernet.
        const OPTIONS: [u8; 8] = [2, 4, 5, 0xb4, 1, 3, 3, 7];
        let options: &[u8] = if flags & SYN != 0 { &OPTIONS } else { &[] };
        let tcp_len = 20 + options.len() as u16;
        let mut addresses = veth::SCANNER.addr.octets().to_vec();
        addresses.extend(self.server.ip().octets());

        let mut ip = vec![0x45, 0];
        ip.extend((20 + tcp_len).to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        ip.extend(&addresses);
        let checksum = Sum::of(&ip).checksum();
        ip[10..12].copy_from_slice(&checksum.to_be_bytes());

        let mut tcp = Vec::new();
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(self.server.port().to_be_bytes());
        tcp.extend(self.seq.to_be_bytes());
        tcp.extend(ack.to_be_bytes());
        tcp.extend([(tcp_len << 2) as u8, flags, 0xff, 0xff, 0, 0, 0, 0]);
        tcp.extend(options);
        let sum = Sum::of(&tcp).and(Sum::of(&addresses)).word(6).word(tcp_len);
        tcp[16..18].copy_from_slice(&sum.checksum().to_be_bytes());

        let mut frame = veth::WORLD.mac.to_vec();
        frame.extend(veth::SCANNER.mac);
        frame.extend(IPV4.to_be_bytes());
        frame.extend(ip);
        frame.extend(tcp);
        self.socket.send(&frame)?;
        self.pulled.sent += 1;
        Ok(())
    }
}

/// What matters of a segment of the server.
struct Segment {
    flags: u8,
    seq: u32,
    /// Octets of data.
    len: usize,
}

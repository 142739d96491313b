//! When frames arrive at the far end: a thread in the world's namespace that notes the kernel's time of each.
//!
//! The time is taken when a frame enters the world's device, which over a veth pair is when the scanner's driver lets it
//! go: before any queue in which it could wait for this thread. Nothing is judged here, see [`Arrivals`].

use std::{
    fmt, fs,
    io::{self, IoSliceMut},
    os::fd::AsRawFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use nix::{
    cmsg_space,
    errno::Errno,
    sys::{
        socket::{ControlMessageOwned, MsgFlags, bind, recvmsg, setsockopt, sockopt},
        time::TimeSpec,
    },
};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::{
    Arrivals, LabError, Namespace,
    error::asking,
    netns::Inside,
    responder::{RECEIVE_BUFFER, device_addr},
    veth,
};

/// How often what has arrived is taken from the socket, which has room for much more.
const NAP: Duration = Duration::from_millis(5);
/// ETH_P_ALL of packet(7).
const ALL_PROTOCOLS: u16 = 3;

/// Notes arrivals until it is [finished](Recorder::finish) or dropped.
pub struct Recorder {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<Result<Arrivals, LabError>>>,
}

impl Recorder {
    /// Notes what arrives at the world's device from now on; `world` is [`Lab::world`](crate::Lab::world).
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the packet socket cannot be had.
    pub fn start(world: &Namespace) -> Result<Self, LabError> {
        let (socket, before) = world.run(|| Ok::<_, LabError>((open()?, received()?)))??;
        let is_over = Arc::new(AtomicBool::new(false));
        let world = world.try_clone()?;
        let thread = thread::Builder::new()
            .name("lab-recorder".to_owned())
            .spawn({
                let is_over = Arc::clone(&is_over);
                move || {
                    let _inside: Inside = world.enter()?;
                    record(&socket, &is_over, before)
                }
            })
            .map_err(asking("starting a thread"))?;
        Ok(Self { is_over, thread: Some(thread) })
    }

    /// Ends it: what arrived since it was started.
    ///
    /// # Errors
    ///
    /// [`LabError::System`] when the socket failed meanwhile.
    pub fn finish(mut self) -> Result<Arrivals, LabError> {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().map(JoinHandle::join);
        thread.and_then(Result::ok).unwrap_or(Err(LabError::WorldEnded))
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").finish_non_exhaustive()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A packet socket on the world's device that gets the first octets of what arrives there, with their times.
fn open() -> Result<Socket, LabError> {
    // linux/filter.h, SKF_AD_OFF + SKF_AD_PKTTYPE; linux/if_packet.h, PACKET_OUTGOING.
    const PACKET_TYPE: u32 = (-0x1000_i32 + 4).cast_unsigned();
    const OUTGOING: u32 = 4;
    const KEPT: u32 = 64;
    let filter = [
        SockFilter::new(0x30, 0, 0, PACKET_TYPE), // load an octet
        SockFilter::new(0x15, 1, 0, OUTGOING),    // skip the next when it is equal
        SockFilter::new(0x06, 0, 0, KEPT),        // return
        SockFilter::new(0x06, 0, 0, 0),
    ];
    let open = || {
        let all = Protocol::from(i32::from(ALL_PROTOCOLS.to_be()));
        let socket = Socket::new(Domain::PACKET, Type::RAW, Some(all))?;
        socket.attach_filter(&filter)?;
        // The one that ignores the system's limit is not for user namespaces of every kernel.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        }
        setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
        bind(socket.as_raw_fd(), &device_addr()?)?;
        // What it took in before it knew its device and its filter.
        drain(&socket, &mut Vec::new())?;
        Ok::<_, io::Error>(socket)
    };
    open().map_err(asking("opening a packet socket in the lab"))
}

fn record(socket: &Socket, is_over: &AtomicBool, before: u64) -> Result<Arrivals, LabError> {
    let mut times = Vec::new();
    loop {
        let was_over = is_over.load(Ordering::Relaxed);
        drain(socket, &mut times).map_err(asking("receiving in the lab"))?;
        if was_over {
            let arrived = received()?.saturating_sub(before);
            return Ok(Arrivals::new(times, arrived));
        }
        thread::sleep(NAP);
    }
}

/// Takes the times of all that is there, in nanoseconds since 1970.
fn drain(socket: &Socket, times: &mut Vec<u64>) -> nix::Result<()> {
    let mut octets = [0; 64];
    let mut control = cmsg_space!(TimeSpec);
    loop {
        let mut buffers = [IoSliceMut::new(&mut octets)];
        let flags = MsgFlags::MSG_DONTWAIT;
        match recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags) {
            Ok(message) => times.extend(message.cmsgs()?.find_map(|control| match control {
                ControlMessageOwned::ScmTimestampns(at) => {
                    Some(at.tv_sec().cast_unsigned() * 1_000_000_000 + at.tv_nsec().cast_unsigned())
                }
                _ => None,
            })),
            Err(Errno::EAGAIN) => return Ok(()),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The frames that the world's device has received, for a thread in its namespace: proc_net(5).
fn received() -> Result<u64, LabError> {
    const FILE: &str = "/proc/thread-self/net/dev";
    let table = fs::read_to_string(FILE).map_err(asking(format!("reading {FILE}")))?;
    let numbers = table.lines().filter_map(|line| line.split_once(':'));
    let of_world = numbers.filter(|(name, _)| name.trim() == veth::WORLD.device);
    let packets =
        of_world.filter_map(|(_, numbers)| numbers.split_whitespace().nth(1)?.parse::<u64>().ok());
    Ok(packets.sum())
}

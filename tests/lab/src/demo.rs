//! The world of `mrpf demo`, and what is true in it.
//!
//! 65,536 hosts, three ports each. One table says for each block of addresses who answers and how; the lab is made from it
//! and so is the truth, which a scan is held against. Which certificate a host of TLS shows, and for which names, is in
//! `shown.rs`; what names stand for, in `names.rs`.

mod names;
mod shown;

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use mrpf_engine::link::sim::hosts::{Behaviour, Hosts, Odd, OpenHost, Speaker};

use self::shown::Pool;
pub use self::{
    names::{RESOLVER, records, start_resolver},
    shown::{Certificates, names_of_certificates, names_of_others},
};
use crate::{
    Lab, LabError, Prefix, ipv6,
    tls_responder::{refusing, showing},
    veth,
};

/// Every host of the demo.
pub const HOSTS: Prefix = veth::HOSTS;
/// The ports that are asked for.
pub const PORTS: [u16; 3] = [80, 443, 8080];

/// What a scanner should say of a port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Truth {
    /// It answers a SYN with SYN-ACK.
    Open,
    /// It answers with RST.
    Closed,
    /// Nothing comes back, or nothing that answers the SYN.
    Silent,
    /// A router says that there is no such host.
    Unreachable,
}

/// What a TLS scan should find at an open port.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Spoken {
    /// The leaf certificate of this number among the demo's [`Certificates`], and the intermediate one.
    Certificate(usize),
    /// An alert.
    Alert,
    /// HTTP, whatever is asked.
    Http,
    /// Nothing.
    Nothing,
}

/// Who answers for a block, and how.
#[derive(Clone, Copy, Debug)]
enum By {
    /// The kernel of the world, with [`KERNEL_OPEN`].
    Kernel,
    /// Nobody.
    Nobody,
    /// The responder: the ports that are open and silent, the system it resembles, what comes on top.
    Responder(&'static [u16], System, Quirk),
    /// The same, and port 443 of the hosts speaks TLS.
    Tls(&'static [u16], System, Quirk, Voice),
    /// The responder, with this one strange answer for port 80; the others are closed.
    Strange(Odd),
    /// A router, with ICMP host unreachable.
    Router,
}

#[derive(Clone, Copy, Debug)]
enum System {
    Bsd,
    Linux,
    Windows,
}

/// What a host of TLS says.
#[derive(Clone, Copy, Debug)]
enum Voice {
    Alert,
    Shows(Pool),
}

#[derive(Clone, Copy, Debug)]
enum Quirk {
    None,
    /// Each answer comes so many times.
    Copies(u8),
    /// Answers overtake each other by up to so many milliseconds.
    Overtaking(u64),
    /// Each answer takes so many milliseconds.
    Slow(u64),
}

/// The port that TLS is spoken on.
const TLS: u16 = PORTS[1];
/// What the kernel of the world listens on.
const KERNEL_OPEN: [u16; 2] = [80, 443];
/// The responder draws what is random from it: a demo is the same each time.
const SEED: u64 = 0x6d72_7066;
/// What the responder answers for, but for the routers' blocks.
const RESPONDER: Prefix = Prefix::new([198, 19, 128, 0], 17);

/// All of [`HOSTS`], in order, each address once.
const BLOCKS: [(Prefix, By); 21] = [
    (block(0, 18), By::Kernel),
    (block(64, 18), By::Nobody),
    (block(128, 19), By::Tls(&[], System::Windows, Quirk::None, Voice::Shows(Pool::Logged))),
    (block(160, 20), By::Router),
    (block(176, 21), By::Responder(&[80], System::Linux, Quirk::Slow(300))),
    (
        block(184, 22),
        By::Tls(&[80, 8080], System::Linux, Quirk::None, Voice::Shows(Pool::Unlogged)),
    ),
    (block(188, 23), By::Responder(&[80, 8080], System::Bsd, Quirk::Copies(3))),
    (
        block(190, 23),
        By::Tls(&[8080], System::Bsd, Quirk::Overtaking(50), Voice::Shows(Pool::Shared)),
    ),
    (block(192, 24), By::Strange(Odd::BadDataOffset(4))),
    (block(193, 24), By::Strange(Odd::ForeignQuote)),
    (block(194, 24), By::Strange(Odd::Fragment)),
    (block(195, 24), By::Strange(Odd::LoopingOptions)),
    (block(196, 24), By::Strange(Odd::OtherPort)),
    (block(197, 24), By::Strange(Odd::Padded(1_000))),
    (block(198, 24), By::Strange(Odd::RstWithoutAck)),
    (block(199, 24), By::Strange(Odd::WrongAck)),
    (block(200, 21), By::Responder(&[], System::Linux, Quirk::None)),
    (block(208, 20), By::Responder(&[8080], System::Linux, Quirk::None)),
    // A blackhole of its own, so the responder does not even see it.
    (block(224, 20), By::Nobody),
    (block(240, 21), By::Tls(&[80], System::Windows, Quirk::None, Voice::Alert)),
    (block(248, 21), By::Responder(&[80, 443], System::Windows, Quirk::None)),
];

const fn block(third_octet: u8, len: u8) -> Prefix {
    Prefix::new([198, 19, third_octet, 0], len)
}

/// Makes the world, with [IPv6](ipv6) beside the table where this machine gives it; the calling thread is inside its scanner's namespace then.
///
/// # Errors
///
/// As [`Builder::start`](crate::Builder::start).
pub fn start() -> Result<Lab, LabError> {
    let certificates = Certificates::make()?;
    let mut builder = Lab::builder();
    if ipv6::is_possible() {
        builder = builder.ipv6();
    }
    for port in KERNEL_OPEN {
        builder = builder.open(port);
    }
    let mut hosts = Hosts::new(SEED);
    for (prefix, by) in BLOCKS {
        match by {
            By::Kernel => builder = builder.hosts(prefix),
            By::Nobody => builder = builder.silent(prefix),
            By::Responder(..) | By::Tls(..) | By::Strange(_) => {
                for (ports, behaviour) in by.behaviours(&certificates) {
                    hosts = hosts.rule((prefix.first(), prefix.last()), ports, behaviour);
                }
            }
            By::Router => builder = builder.unreachable(prefix),
        }
    }
    builder.respond(RESPONDER, hosts).start()
}

/// What is true of `port` of the host `addr`. Ports that nobody asks for are as [`PORTS`] that are not open.
pub fn truth(addr: Ipv4Addr, port: u16) -> Truth {
    let open = |is_open| if is_open { Truth::Open } else { Truth::Closed };
    match who(addr) {
        None | Some(By::Nobody) => Truth::Silent,
        Some(By::Kernel) => open(KERNEL_OPEN.contains(&port)),
        Some(By::Responder(ports, ..)) => open(ports.contains(&port)),
        Some(By::Tls(ports, ..)) => open(port == TLS || ports.contains(&port)),
        Some(By::Router) => Truth::Unreachable,
        Some(By::Strange(odd)) if port == PORTS[0] => {
            if odd.is_open() {
                Truth::Open
            } else {
                Truth::Silent
            }
        }
        Some(By::Strange(_)) => Truth::Closed,
    }
}

/// What `port` of the host `addr` says; `None` where it is not open.
pub fn spoken(addr: Ipv4Addr, port: u16) -> Option<Spoken> {
    if truth(addr, port) != Truth::Open {
        return None;
    }
    Some(match who(addr) {
        Some(By::Kernel) => Spoken::Http,
        Some(By::Tls(.., voice)) if port == TLS => match voice {
            Voice::Alert => Spoken::Alert,
            Voice::Shows(pool) => Spoken::Certificate(pool.number_of(addr)),
        },
        _ => Spoken::Nothing,
    })
}

fn who(addr: Ipv4Addr) -> Option<By> {
    BLOCKS.iter().find(|(prefix, _)| prefix.contains(addr)).map(|(_, by)| *by)
}

/// How many of all [`HOSTS`] and [`PORTS`] are open, closed, silent and unreachable.
pub fn totals() -> [u64; 4] {
    let mut totals = [0; 4];
    for bits in HOSTS.first().to_bits()..=HOSTS.last().to_bits() {
        for port in PORTS {
            totals[truth(Ipv4Addr::from_bits(bits), port) as usize] += 1;
        }
    }
    totals
}

impl By {
    /// What the responder's hosts do, the most specific ports first.
    fn behaviours(
        self,
        certificates: &Certificates,
    ) -> Vec<(std::ops::RangeInclusive<u16>, Behaviour)> {
        let all = 0..=u16::MAX;
        match self {
            Self::Responder(ports, system, quirk) => {
                let open = || quirk.of(Behaviour::Open(system.open_host()));
                let mut behaviours: Vec<_> =
                    ports.iter().map(|port| (*port..=*port, open())).collect();
                behaviours.push((all, quirk.of(Behaviour::closed())));
                behaviours
            }
            Self::Tls(ports, system, quirk, voice) => {
                let speaks = Behaviour::Speaks(voice.speaker(certificates));
                let mut behaviours = vec![(TLS..=TLS, quirk.of(speaks))];
                behaviours.extend(Self::Responder(ports, system, quirk).behaviours(certificates));
                behaviours
            }
            Self::Strange(odd) => {
                vec![(PORTS[0]..=PORTS[0], Behaviour::Odd(odd)), (all, Behaviour::closed())]
            }
            Self::Kernel | Self::Nobody | Self::Router => Vec::new(),
        }
    }
}

impl Voice {
    fn speaker(self, certificates: &Certificates) -> Speaker {
        match self {
            Self::Alert => refusing(),
            Self::Shows(pool) => showing(certificates.leaves(), move |addr| match addr {
                IpAddr::V4(addr) => pool.number_of(addr),
                // Nothing of the demo's is there.
                IpAddr::V6(_) => 0,
            }),
        }
    }
}

impl System {
    fn open_host(self) -> OpenHost {
        match self {
            Self::Bsd => OpenHost::bsd(),
            Self::Linux => OpenHost::linux(),
            Self::Windows => OpenHost::windows(),
        }
    }
}

impl Quirk {
    fn of(self, behaviour: Behaviour) -> Behaviour {
        match self {
            Self::None => behaviour,
            Self::Copies(copies) => Behaviour::Duplicate(copies, Box::new(behaviour)),
            Self::Overtaking(most) => {
                Behaviour::Reorder(Duration::from_millis(most), Box::new(behaviour))
            }
            Self::Slow(by) => behaviour.slow(Duration::from_millis(by)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blocks_hold_every_host_once_and_in_order() {
        let mut next = HOSTS.first().to_bits();
        for (prefix, _) in BLOCKS {
            assert_eq!(prefix.first().to_bits(), next, "{prefix}");
            next = prefix.last().to_bits() + 1;
        }
        assert_eq!(next, HOSTS.last().to_bits() + 1);
    }

    #[test]
    fn the_responder_holds_the_blocks_that_it_answers_for() {
        for (prefix, by) in BLOCKS {
            let is_responders = matches!(by, By::Responder(..) | By::Tls(..) | By::Strange(_));
            assert!(!is_responders || RESPONDER.covers(prefix), "{prefix}");
        }
    }

    #[test]
    fn the_totals_are_what_the_table_says() {
        let [open, closed, silent, unreachable] = totals();
        assert_eq!(open + closed + silent + unreachable, 65_536 * 3);
        assert_eq!(unreachable, 4_096 * 3);
        // Two blocks without anybody, and six strange answers that answer nothing.
        assert_eq!(silent, (16_384 + 4_096) * 3 + 6 * 256);
    }
}

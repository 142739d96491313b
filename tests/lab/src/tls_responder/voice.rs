//! The same words for hosts of the engine, which have a TCP of their own.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use mrpf_engine::link::sim::hosts::{Say, Speaker, Then};

use super::{
    flight::{Flights, REFUSAL},
    hello::{self, First},
    leaves::Leaves,
};

/// A host that answers a ClientHello with the flight of one of `leaves`, which `number_of` its address chooses, and waits for
/// what the client says to it.
pub(crate) fn showing(
    leaves: &Leaves,
    number_of: impl Fn(IpAddr) -> usize + Send + Sync + 'static,
) -> Speaker {
    let flights = Arc::new(Mutex::new(Flights::new(leaves)));
    Speaker::answering(move |target, asked| match hello::read(asked) {
        First::Hello(hello) => {
            let mut random = [0x6d; 32];
            let addr = match target.addr {
                IpAddr::V4(addr) => addr.to_ipv6_mapped(),
                IpAddr::V6(addr) => addr,
            };
            random[..16].copy_from_slice(&addr.octets());
            let mut flight = Vec::new();
            let mut flights = flights.lock().unwrap_or_else(PoisonError::into_inner);
            flights.write(&mut flight, &hello, number_of(target.addr), &random);
            Say::bytes(flight)
        }
        other => refuse(asked, &other),
    })
}

/// A host that has nothing to say to a ClientHello but an alert: handshake_failure.
pub(crate) fn refusing() -> Speaker {
    Speaker::answering(|_, asked| refuse(asked, &hello::read(asked)))
}

fn refuse(asked: &[u8], first: &First<'_>) -> Say {
    if asked.is_empty() || *first == First::Part {
        return Say::nothing();
    }
    Say::bytes(REFUSAL).then(Then::Finish)
}

//! Who drives a device, and how many queues it uses: SIOCETHTOOL as in [`ethtool`](super::ethtool).

use std::io;

use socket2::{Domain, Socket, Type};

use super::ethtool::{Room, is_unsupported, name, request};

const GET_DRIVER: u32 = 0x03;
const GET_CHANNELS: u32 = 0x3c;
/// Octets of ethtool_drvinfo, and of the name in it, which follows the command.
const DRIVER_LEN: usize = 196;
const DRIVER_NAME_LEN: usize = 32;
/// Octets of ethtool_channels: the command, four maxima, four counts.
const CHANNELS_LEN: usize = 36;

/// How many queues with an interrupt of their own a device has: in use, and at most.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Counts {
    pub(crate) rx: u32,
    pub(crate) tx: u32,
    pub(crate) combined: u32,
    pub(crate) most_rx: u32,
    pub(crate) most_tx: u32,
    pub(crate) most_combined: u32,
}

/// The name of the driver of `device` in the network namespace of the calling thread; `None` where nobody says.
pub(crate) fn driver(device: &str) -> io::Result<Option<String>> {
    let room = answered(device, GET_DRIVER, DRIVER_LEN)?;
    Ok(room.map(|room| name(room.octets(4, DRIVER_NAME_LEN))).filter(|name| !name.is_empty()))
}

/// Whether `device`, in the network namespace of the calling thread, is one end of a veth pair: what the other end does with a frame
/// is done by the CPU that sends it. No, where nobody says.
pub(crate) fn is_veth(device: &str) -> bool {
    driver(device).ok().flatten().is_some_and(|name| name == "veth")
}

/// The channels of `device` in the network namespace of the calling thread; `None` when its driver does not tell.
pub(crate) fn channels(device: &str) -> io::Result<Option<Counts>> {
    let room = answered(device, GET_CHANNELS, CHANNELS_LEN)?;
    Ok(room.map(|room| Counts {
        most_rx: room.get(4),
        most_tx: room.get(8),
        most_combined: room.get(16),
        rx: room.get(20),
        tx: room.get(24),
        combined: room.get(32),
    }))
}

/// Switches GRO of `device` on or off.
#[cfg(test)]
pub(crate) fn set_gro(device: &str, is_on: bool) -> io::Result<()> {
    const SET_GRO: u32 = 0x2c;
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    let mut room = Room::of(8)?;
    room.put(0, SET_GRO);
    room.put(4, is_on.into());
    request(&socket, device, &mut room)
}

/// What the driver of `device` answers to `command`, in a structure of `len` octets; `None` when it has no answer.
fn answered(device: &str, command: u32, len: usize) -> io::Result<Option<Room>> {
    let socket = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
    let mut room = Room::of(len)?;
    room.put(0, command);
    match request(&socket, device, &mut room) {
        Ok(()) => Ok(Some(room)),
        Err(error) if is_unsupported(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::namespace, *};

    #[test]
    fn nobody_drives_loopback() {
        assert_eq!(driver("lo").unwrap(), None);
        assert_eq!(channels("lo").unwrap(), None);
        let error = driver("mrpf-none").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENODEV));
    }

    #[test]
    fn a_veth_has_the_queues_that_it_was_made_with() {
        namespace::run(|| {
            namespace::ip("link add v0 numtxqueues 3 numrxqueues 2 type veth peer name v1");
            assert_eq!(driver("v0").unwrap().as_deref(), Some("veth"));
            let counts = channels("v0").unwrap().expect("a veth tells");
            let expected = Counts { rx: 2, tx: 3, most_rx: 2, most_tx: 3, ..Counts::default() };
            assert_eq!(counts, expected);
        });
    }
}

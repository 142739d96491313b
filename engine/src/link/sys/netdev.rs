//! What the kernel says that a device can do: the family "netdev" of generic netlink, in Linux since 6.3
//! (linux/Documentation/netlink/specs/netdev.yaml, linux/include/uapi/linux/netdev.h and genetlink.h).

use std::{convert::Infallible, io};

use netlink_packet_core::{
    DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkSerializable, Nla,
    NlasIterator,
};
use netlink_sys::protocols::NETLINK_GENERIC;

use super::netlink::Netlink;

/// The family that knows the numbers of all others (GENL_ID_CTRL), and what is asked of it.
const CONTROL: u16 = 0x10;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;

/// Of the family netdev (NETDEV_CMD_DEV_GET, NETDEV_A_DEV_IFINDEX, NETDEV_A_DEV_XDP_FEATURES).
const GET_DEVICE: u8 = 1;
const DEVICE_INDEX: u16 = 1;
const DEVICE_XDP_FEATURES: u16 = 3;

/// Programs may pass, drop and send back frames in the driver (NETDEV_XDP_ACT_BASIC).
pub(crate) const XDP_BASIC: u64 = 1;
/// Programs may redirect frames to another device (NETDEV_XDP_ACT_REDIRECT).
pub(crate) const XDP_REDIRECT: u64 = 1 << 1;
/// The device sends frames that programs redirect to it (NETDEV_XDP_ACT_NDO_XMIT).
pub(crate) const XDP_NDO_XMIT: u64 = 1 << 2;

/// What XDP the device number `index` of the calling thread's network namespace has, as bits; `None` where the kernel is too
/// old to say.
pub(crate) fn xdp_features(index: u32) -> io::Result<Option<u64>> {
    let mut netlink = Netlink::speaking(NETLINK_GENERIC)?;
    let family = attribute(FAMILY_NAME, b"netdev\0");
    let family = match netlink.ask(Message::to(CONTROL, GET_FAMILY, family)) {
        Ok(answer) => value(&answer, FAMILY_ID).map(u16::from_ne_bytes),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(family) = family else { return Ok(None) };
    let device = attribute(DEVICE_INDEX, &index.to_ne_bytes());
    let answer = netlink.ask(Message::to(family, GET_DEVICE, device))?;
    Ok(value(&answer, DEVICE_XDP_FEATURES).map(u64::from_ne_bytes))
}

fn attribute(kind: u16, value: &[u8]) -> DefaultNla {
    DefaultNla::new(kind, value.to_vec())
}

/// The value of the first attribute of a kind, if it is as long as it has to be.
fn value<const N: usize>(messages: &[Message], kind: u16) -> Option<[u8; N]> {
    let mut all = messages.iter().flat_map(|message| &message.attributes);
    let mut value = [0; N];
    let found = all.find(|attribute| attribute.kind() == kind && attribute.value_len() == N)?;
    found.emit_value(&mut value);
    Some(value)
}

/// A message of generic netlink.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Message {
    family: u16,
    command: u8,
    attributes: Vec<DefaultNla>,
}

/// Octets of genlmsghdr: command, version, two of nothing.
const HEAD: usize = 4;
/// Both families are at their first version.
const VERSION: u8 = 1;

impl Message {
    fn to(family: u16, command: u8, attribute: DefaultNla) -> Self {
        Self { family, command, attributes: vec![attribute] }
    }
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        self.family
    }

    fn buffer_len(&self) -> usize {
        HEAD + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (head, rest) = buffer.split_at_mut(HEAD);
        head.copy_from_slice(&[self.command, VERSION, 0, 0]);
        self.attributes.as_slice().emit(rest);
    }
}

impl NetlinkDeserializable for Message {
    type Error = Infallible;

    /// What cannot be read is left out: the rest may be all that is asked for.
    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, Infallible> {
        let attributes = NlasIterator::new(payload.get(HEAD..).unwrap_or_default());
        let attributes = attributes.map_while(Result::ok);
        Ok(Self {
            family: header.message_type,
            command: payload.first().copied().unwrap_or_default(),
            attributes: attributes.map(|read| attribute(read.kind(), read.value())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::namespace, *};

    fn read(payload: &[u8]) -> Message {
        let mut header = NetlinkHeader::default();
        header.message_type = 0x21;
        Message::deserialize(&header, payload).unwrap()
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let message = Message::to(0x21, 7, attribute(DEVICE_INDEX, &[1, 2, 3, 4]));
        let mut octets = vec![0; message.buffer_len()];
        message.serialize(&mut octets);
        let head = [8_u16, DEVICE_INDEX].map(u16::to_ne_bytes).concat();
        assert_eq!(octets, [&[7, VERSION, 0, 0][..], &head, &[1, 2, 3, 4]].concat());
        assert_eq!(read(&octets), message);
    }

    #[test]
    fn what_is_cut_or_of_another_length_is_not_there() {
        let words = [6_u16, FAMILY_ID, 9, 0].map(u16::to_ne_bytes).concat();
        let whole = [&[1, VERSION, 0, 0][..], &words].concat();
        assert_eq!(value(&[read(&whole)], FAMILY_ID).map(u16::from_ne_bytes), Some(9));
        assert_eq!(value::<4>(&[read(&whole)], FAMILY_ID), None);
        for len in 0..whole.len() - 2 {
            assert_eq!(value::<2>(&[read(&whole[..len])], FAMILY_ID), None, "{len}");
        }
    }

    #[test]
    fn a_device_that_is_not_there_is_an_error_where_the_kernel_knows_the_family() {
        namespace::run(|| match xdp_features(4_000_000) {
            Ok(features) => assert_eq!(features, None),
            Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENODEV)),
        });
    }
}

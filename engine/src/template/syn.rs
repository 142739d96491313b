//! SYNs, dressed as those of a real system.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use super::{
    Ends,
    frame::{Frame, IpFields, tcp_sum},
};
use crate::wire::{
    MacAddr,
    checksum::Sum,
    tcp::{self, Flags},
};

/// Whose SYN ours looks like. Hosts and middleboxes answer a SYN without options less often, and the options of a SYN
/// decide which options the answer has.
///
/// | profile | TTL | window | options | octets of a frame |
/// |---|---|---|---|---|
/// | windows | 128 | 64240 | MSS 1460, NOP, WS 8, NOP, NOP, SACK | 66 |
/// | linux | 64 | 64240 | MSS 1460, SACK, TS, NOP, WS 7 | 74 |
/// | bsd | 64 | 65535 | MSS 1460, NOP, WS 6, SACK, TS | 74 |
/// | bare | 64 | 1024 | MSS 1460 | 58 |
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TcpProfile {
    /// Windows 10 and later: no timestamps, and the shortest that answers like a desktop.
    #[default]
    Windows,
    /// Linux 5 and later.
    Linux,
    /// FreeBSD 13 and later.
    Bsd,
    /// The least that works: for the highest rates.
    Bare,
}

impl TcpProfile {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Windows, Self::Linux, Self::Bsd, Self::Bare];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Windows => "windows",
            Self::Linux => "linux",
            Self::Bsd => "bsd",
            Self::Bare => "bare",
        }
    }

    fn ttl(self) -> u8 {
        if self == Self::Windows { 128 } else { 64 }
    }

    fn window(self) -> u16 {
        match self {
            Self::Windows | Self::Linux => 64_240,
            Self::Bsd => 65_535,
            Self::Bare => 1_024,
        }
    }

    /// The options, in whole words of 32 bits; the timestamp's value is zero.
    fn options(self) -> &'static [u8] {
        match self {
            Self::Windows => &[2, 4, 5, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2],
            Self::Linux => &[2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 3, 7],
            Self::Bsd => &[2, 4, 5, 0xb4, 1, 3, 3, 6, 4, 2, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Bare => &[2, 4, 5, 0xb4],
        }
    }

    /// Where in the segment the value of the timestamp is.
    fn timestamp_at(self) -> Option<usize> {
        match self {
            Self::Linux => Some(tcp::MIN_LEN + 8),
            Self::Bsd => Some(tcp::MIN_LEN + 12),
            Self::Windows | Self::Bare => None,
        }
    }
}

impl fmt::Display for TcpProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A profile that does not exist.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no TCP profile: give windows, linux, bsd or bare")]
pub struct ProfileError(String);

impl FromStr for TcpProfile {
    type Err = ProfileError;

    fn from_str(text: &str) -> Result<Self, ProfileError> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == text)
            .ok_or_else(|| ProfileError(text.to_owned()))
    }
}

/// What changes from one SYN to the next.
#[derive(Clone, Copy, Debug)]
pub struct SynFields {
    /// The hardware address to send to; ignored on links without one.
    pub next_hop: MacAddr,
    /// Whom to ask.
    pub destination: Ipv4Addr,
    /// Which port.
    pub destination_port: u16,
    /// From which port.
    pub source_port: u16,
    /// The sequence number: the cookie.
    pub seq: u32,
    /// The identification of the IP packet.
    pub ip_id: u16,
    /// The value of the timestamp, in profiles that have one.
    pub ts_val: u32,
}

/// Frames of a SYN. See the [module](super).
#[derive(Clone, Debug)]
pub struct SynTemplate {
    frame: Frame,
    sum: Sum,
    timestamp_at: Option<usize>,
}

impl SynTemplate {
    /// SYNs from `ends`, dressed as `profile`.
    pub fn new(ends: &Ends, profile: TcpProfile) -> Self {
        let source = ends.sources.v4.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let options = profile.options();
        let len = tcp::MIN_LEN + options.len();
        let mut segment = [0; 60];
        let segment = &mut segment[..len];
        segment[12] = (len as u8 / 4) << 4;
        segment[13] = Flags::SYN.0;
        segment[14..16].copy_from_slice(&profile.window().to_be_bytes());
        segment[tcp::MIN_LEN..].copy_from_slice(options);
        let ip = IpFields { ttl: profile.ttl(), protocol: tcp::PROTOCOL };
        let frame = Frame::new(ends, source, ip, segment);
        Self { frame, sum: tcp_sum(source, segment), timestamp_at: profile.timestamp_at() }
    }

    /// The length of every frame, in octets.
    pub fn frame_len(&self) -> usize {
        self.frame.len()
    }

    /// Writes what [`patch`](Self::patch) leaves alone.
    ///
    /// # Panics
    ///
    /// When `slot` is shorter than [`frame_len`](Self::frame_len).
    pub fn prepare(&self, slot: &mut [u8]) {
        self.frame.prepare(slot);
    }

    /// Writes one SYN into a prepared slot.
    ///
    /// # Panics
    ///
    /// As [`prepare`](Self::prepare).
    #[inline]
    pub fn patch(&self, slot: &mut [u8], fields: &SynFields) {
        let segment = self.frame.patch(slot, fields.next_hop, fields.destination, fields.ip_id);
        let ports = u32::from(fields.source_port) << 16 | u32::from(fields.destination_port);
        let mut sum = self.sum.words(fields.destination.to_bits()).words(ports).words(fields.seq);
        if let Some(at) = self.timestamp_at {
            sum = sum.words(fields.ts_val);
            segment[at..at + 4].copy_from_slice(&fields.ts_val.to_be_bytes());
        }
        segment[..4].copy_from_slice(&ports.to_be_bytes());
        segment[4..8].copy_from_slice(&fields.seq.to_be_bytes());
        segment[16..18].copy_from_slice(&sum.checksum().to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    use proptest::prelude::*;

    use super::{super::RstFields, super::RstTemplate, *};
    use crate::link::LinkLayer;

    fn ends(layer: LinkLayer, vlan: Option<u16>) -> Ends {
        Ends {
            layer,
            source_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            vlan,
            sources: Ipv4Addr::new(198, 18, 0, 1).into(),
        }
    }

    fn sliced(frame: &[u8], layer: LinkLayer) -> SlicedPacket<'_> {
        match layer {
            LinkLayer::Ethernet => SlicedPacket::from_ethernet(frame),
            LinkLayer::Ip => SlicedPacket::from_ip(frame),
        }
        .unwrap()
    }

    /// Both checksums, judged by etherparse.
    #[track_caller]
    fn check_sums(packet: &SlicedPacket<'_>) {
        let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) =
            (&packet.net, &packet.transport)
        else {
            panic!("{packet:?}");
        };
        assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
        let expected =
            tcp.to_header().calc_checksum_ipv4(&ip.header().to_header(), tcp.payload()).unwrap();
        assert_eq!(tcp.checksum(), expected);
    }

    fn fields() -> impl Strategy<Value = SynFields> {
        let numbers =
            (any::<u32>(), any::<u16>(), any::<u16>(), any::<u32>(), any::<u16>(), any::<u32>());
        (any::<[u8; 6]>(), numbers).prop_map(|(mac, (addr, to, from, seq, ip_id, ts_val))| {
            SynFields {
                next_hop: MacAddr(mac),
                destination: addr.into(),
                destination_port: to,
                source_port: from,
                seq,
                ip_id,
                ts_val,
            }
        })
    }

    proptest! {
        /// One slot patched over and over: each frame says what it was told, and both checksums are right.
        #[test]
        fn each_patch_makes_a_whole_syn(
            probes in prop::collection::vec(fields(), 1..6),
            profile in prop::sample::select(TcpProfile::ALL.to_vec()),
            (layer, vlan) in prop::sample::select(vec![
                (LinkLayer::Ethernet, None), (LinkLayer::Ethernet, Some(42)), (LinkLayer::Ip, None),
            ]),
        ) {
            let template = SynTemplate::new(&ends(layer, vlan), profile);
            let mut slot = [0xaa; 128];
            template.prepare(&mut slot);
            for probe in &probes {
                template.patch(&mut slot, probe);
                let frame = &slot[..template.frame_len()];
                let packet = sliced(frame, layer);
                check_sums(&packet);
                let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (&packet.net, &packet.transport) else {
                    panic!("{packet:?}");
                };
                if layer == LinkLayer::Ethernet {
                    prop_assert_eq!(&frame[..6], &probe.next_hop.0[..]);
                }
                prop_assert_eq!(packet.vlan_ids().first().map(|id| id.value()), vlan);
                let ip = ip.header();
                prop_assert_eq!((ip.source_addr(), ip.destination_addr()), (Ipv4Addr::new(198, 18, 0, 1), probe.destination));
                prop_assert_eq!((ip.identification(), ip.ttl(), ip.dont_fragment()), (probe.ip_id, profile.ttl(), true));
                prop_assert_eq!((tcp.source_port(), tcp.destination_port()), (probe.source_port, probe.destination_port));
                prop_assert_eq!((tcp.sequence_number(), tcp.window_size()), (probe.seq, profile.window()));
                prop_assert!(tcp.syn() && !tcp.ack() && !tcp.rst());
                let stamped = tcp.options_iterator().find_map(|option| match option {
                    Ok(etherparse::TcpOptionElement::Timestamp(value, 0)) => Some(value),
                    _ => None,
                });
                prop_assert_eq!(stamped, profile.timestamp_at().map(|_| probe.ts_val));
            }
            prop_assert!(slot[template.frame_len()..].iter().all(|octet| *octet == 0xaa));
        }

        #[test]
        fn each_patch_makes_a_whole_rst(probe in fields(), vlan in prop::option::of(0..4_096_u16)) {
            let template = RstTemplate::new(&ends(LinkLayer::Ethernet, vlan));
            let mut slot = [0xaa; 128];
            template.prepare(&mut slot);
            let SynFields { next_hop, destination, destination_port, source_port, seq, ip_id, .. } = probe;
            template.patch(&mut slot, &RstFields { next_hop, destination, destination_port, source_port, seq, ip_id });
            let packet = sliced(&slot[..template.frame_len()], LinkLayer::Ethernet);
            check_sums(&packet);
            let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("{packet:?}") };
            prop_assert!(tcp.rst() && !tcp.ack() && !tcp.syn());
            prop_assert_eq!((tcp.sequence_number(), tcp.acknowledgment_number(), tcp.window_size()), (seq, 0, 0));
        }
    }

    #[test]
    fn profiles_have_the_lengths_of_their_systems() {
        let len = |profile| SynTemplate::new(&ends(LinkLayer::Ethernet, None), profile).frame_len();
        assert_eq!(TcpProfile::ALL.map(len), [66, 74, 74, 58]);
    }

    #[test]
    fn a_linux_syn_is_the_kernels_byte_for_byte() {
        let kernels: &[u8] = include_bytes!("../../testdata/syn.bin");
        let number = |at: usize| u32::from_be_bytes(kernels[at..at + 4].try_into().unwrap());
        let template = SynTemplate::new(&ends(LinkLayer::Ethernet, None), TcpProfile::Linux);
        let mut slot = [0; 74];
        template.prepare(&mut slot);
        let probe = SynFields {
            next_hop: MacAddr([2, 0, 0, 0, 0, 2]),
            destination: number(30).into(),
            destination_port: 80,
            source_port: (number(34) >> 16) as u16,
            seq: number(38),
            ip_id: (number(18) >> 16) as u16,
            ts_val: number(62),
        };
        template.patch(&mut slot, &probe);
        // The kernel left its checksum to the device, which never came: ours is whole, so compare around it.
        assert_eq!(slot[..50], kernels[..50]);
        // The last octet is the window's shift, which a kernel takes from the memory it may use.
        assert_eq!(slot[52..73], kernels[52..73]);
    }

    #[test]
    fn names_are_read_back() {
        for profile in TcpProfile::ALL {
            assert_eq!(profile.to_string().parse(), Ok(profile));
        }
        assert!("win".parse::<TcpProfile>().is_err());
    }
}

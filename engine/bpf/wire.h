// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What lies on the wire: headers, and the numbers in them.

// Numbers of the wire, as a little-endian machine reads them; the object is for those alone.
#define ETHERTYPE_IPV4 0x0008  // 0x0800
#define ETHERTYPE_IPV6 0xdd86  // 0x86dd
#define ETHERTYPE_VLAN 0x0081  // 0x8100, IEEE 802.1Q
#define ETHERTYPE_SVLAN 0xa888 // 0x88a8, IEEE 802.1ad
#define FRAGMENT_OFFSET 0xff1f // 0x1fff
#define PROTOCOL_ICMP 1
#define PROTOCOL_TCP 6
#define PROTOCOL_UDP 17
#define PROTOCOL_ICMPV6 58
// RFC 792: unreachable and time exceeded. RFC 4443: the errors that are in use are 1 to 4.
#define ICMP_UNREACHABLE 3
#define ICMP_TIME_EXCEEDED 11
#define ICMPV6_LAST_ERROR 4
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define LEAST_IPV4 20
#define LEAST_TCP 20

// Headers as the kernel aligns them: an IP header begins at a multiple of four (NET_IP_ALIGN).
struct ethernet {
    __u16 to[3];
    __u16 from[3];
    __u16 type;
};

struct vlan {
    __u16 tag;
    __u16 type;
};

struct ipv4 {
    __u8 version_and_length;
    __u8 service;
    __u16 length;
    __u16 id;
    __u16 fragment;
    __u8 ttl;
    __u8 protocol;
    __u16 checksum;
    __u32 from;
    __u32 to;
};

struct ipv6 {
    __u32 flow; // and the version, in the first octet
    __u16 length;
    __u8 next_header;
    __u8 hop_limit;
    __u32 from[4];
    __u32 to[4];
};

struct ports {
    __u16 from;
    __u16 to;
};

struct tcp {
    struct ports ports;
    __u32 seq;
    __u32 ack;
    __u8 offset;
    __u8 flags;
    __u16 window;
    __u16 checksum;
    __u16 urgent;
};

struct icmp {
    __u8 type;
    __u8 code;
    __u16 checksum;
    __u32 rest;
};

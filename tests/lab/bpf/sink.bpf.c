// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The far end of a rate run: counts the frames that reach a device and drops them, before the kernel makes a packet of
// one. What resolves neighbours (ARP, and IPv6 neighbour discovery) it lets through, or nobody could send to it.
//
// Built by tests/lab/bpf/build; the object lies beside it, so that no clang is needed to build mrpf. Only the kernel's own
// header is used. The map is of the older kind, which needs no BTF: so the object has no debug information, and is the same
// whatever folder it was built in.

#include <linux/bpf.h>

#include "object.h"

// One a CPU, so that no two CPUs ever write one line of cache. Sink::counts adds them up.
struct counts {
    __u64 frames; // dropped
    __u64 octets; // of them, from the Ethernet header on, without the frame check sequence
    __u64 syns;   // of them, TCP over IPv4 with SYN and without ACK, in a first or only fragment
    __u64 passed; // ARP and neighbour discovery, not counted above
};

struct map_definition SECTION("maps") counts = {
    .type = BPF_MAP_TYPE_PERCPU_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(struct counts),
    .max_entries = 1,
};

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;

// Numbers of the wire, as a little-endian machine reads them; the object is for those alone.
#define ETHERTYPE_IPV4 0x0008  // 0x0800
#define ETHERTYPE_ARP 0x0608   // 0x0806
#define ETHERTYPE_IPV6 0xdd86  // 0x86dd
#define FRAGMENT_OFFSET 0xff1f // 0x1fff
#define PROTOCOL_TCP 6
#define PROTOCOL_ICMPV6 58
#define TCP_SYN 0x02
#define TCP_ACK 0x10
// RFC 4861: router solicitation to redirect.
#define ND_FIRST 133
#define ND_LAST 137

// The octets that are looked at; packed, since an IP header begins at octet 14.
struct ethernet {
    __u8 addresses[12];
    __u16 type;
} __attribute__((packed));

struct ipv4 {
    __u8 version_and_length;
    __u8 service;
    __u16 length;
    __u16 id;
    __u16 fragment;
    __u8 ttl;
    __u8 protocol;
    __u16 checksum;
    __u8 addresses[8];
} __attribute__((packed));

struct ipv6 {
    __u8 flow[4];
    __u16 length;
    __u8 next_header;
    __u8 hop_limit;
    __u8 addresses[32];
    __u8 icmp_type; // of an ICMPv6 message without extension headers, as all neighbour discovery is sent
} __attribute__((packed));

struct tcp {
    __u8 before_flags[13];
    __u8 flags;
} __attribute__((packed));

static __attribute__((always_inline)) int is_syn(const struct ipv4 *ip, const void *end)
{
    if ((const void *)(ip + 1) > end || ip->protocol != PROTOCOL_TCP || (ip->fragment & FRAGMENT_OFFSET))
        return 0;
    const struct tcp *tcp = (const void *)ip + (ip->version_and_length & 0x0f) * 4;
    return (const void *)(tcp + 1) <= end && (tcp->flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

static __attribute__((always_inline)) int is_neighbour_discovery(const struct ipv6 *ip, const void *end)
{
    return (const void *)(ip + 1) <= end && ip->next_header == PROTOCOL_ICMPV6 && ip->icmp_type >= ND_FIRST &&
           ip->icmp_type <= ND_LAST;
}

SECTION("xdp") int sink(struct xdp_md *frame)
{
    const void *start = (const void *)(long)frame->data;
    const void *end = (const void *)(long)frame->data_end;
    __u32 key = 0;
    struct counts *sum = map_lookup(&counts, &key);
    if (!sum)
        return XDP_ABORTED;
    const struct ethernet *ethernet = start;
    if ((const void *)(ethernet + 1) <= end) {
        if (ethernet->type == ETHERTYPE_ARP ||
            (ethernet->type == ETHERTYPE_IPV6 && is_neighbour_discovery((const void *)(ethernet + 1), end))) {
            sum->passed++;
            return XDP_PASS;
        }
        if (ethernet->type == ETHERTYPE_IPV4)
            sum->syns += is_syn((const void *)(ethernet + 1), end);
    }
    sum->frames++;
    sum->octets += end - start;
    return XDP_DROP;
}

char SECTION("license") licence[] = "Dual MIT/GPL";

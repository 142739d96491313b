// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The far end of a rate run with answers: says SYN-ACK for a share of the hosts of 198.19.0.0/16, at any port, and nothing
// for the others; counts what came and drops it. What resolves neighbours (ARP, and IPv6 neighbour discovery) it lets through.
//
// Which hosts answer follows from their address alone: synack.rs has the same function, and a test holds one against the
// other. An answer is made of the SYN in its place: 40 octets of IP, no TCP options, checksums written anew, since those of
// a SYN that another kernel made and never sent over a wire are partial.
//
// Built by tests/lab/bpf/build, as sink.bpf.c says.

#include <linux/bpf.h>
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include "object.h"

// One a CPU, so that no two CPUs ever write one line of cache. Synack::counts adds them up.
struct counts {
    __u64 syns;     // to the hosts, answered or not: SYN without ACK and RST, in a packet that is no fragment
    __u64 octets;   // of them, from the Ethernet header on, without the frame check sequence
    __u64 answered; // of them; the device may have had no room for one, which it counts itself
    __u64 resets;   // RSTs to the hosts
    __u64 others;   // what else was dropped
    __u64 passed;   // ARP and neighbour discovery, not counted above
};

struct map_definition SECTION("maps") counts = {
    .type = BPF_MAP_TYPE_PERCPU_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(struct counts),
    .max_entries = 1,
};

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static long (*adjust_tail)(struct xdp_md *frame, int delta) = (void *)BPF_FUNC_xdp_adjust_tail;

// How many hosts of a thousand answer: written by the loader.
const volatile __u32 per_mille = 0;

#define ON_THE_WIRE_16(number) __builtin_bswap16(number)
#define ON_THE_WIRE_32(number) __builtin_bswap32(number)
#define HOSTS 0xc6130000      // 198.19.0.0
#define HOSTS_MASK 0xffff0000 // of 16 bits
#define FRAGMENT 0x3fff       // more follow, or an offset (RFC 791)
#define DONT_FRAGMENT 0x4000
#define TTL 64
#define WINDOW 64240
// Octet 13 of a TCP header.
#define FLAGS_AT 13
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
// RFC 4861: router solicitation to redirect.
#define ND_FIRST 133
#define ND_LAST 137

// The headers of an answer, all of it.
struct answer {
    struct ethhdr ethernet;
    struct iphdr ip;
    struct tcphdr tcp;
} __attribute__((packed));

// synack::answers of the lab is this function in Rust.
static __attribute__((always_inline)) int answers(__u32 addr)
{
    return (__u32)((addr * 0x9e3779b1u) >> 16) * 1000 >> 16 < per_mille;
}

static __attribute__((always_inline)) int is_neighbour_discovery(const struct ipv6hdr *ip, const void *end)
{
    const struct icmp6hdr *icmp = (const void *)(ip + 1);
    return (const void *)(icmp + 1) <= end && ip->nexthdr == IPPROTO_ICMPV6 && icmp->icmp6_type >= ND_FIRST &&
           icmp->icmp6_type <= ND_LAST;
}

// A sum is that of 16-bit words as they lie in memory, not folded (RFC 1071). It is made of the numbers that are written and
// not of what they became in memory, which costs several times as much.
static __attribute__((always_inline)) __u32 halves(__u32 word)
{
    return (word & 0xffff) + (word >> 16);
}

static __attribute__((always_inline)) __u16 folded(__u32 sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

// Makes the SYN-ACK in place of a SYN with no IP options; the frame may be of any length that holds the headers.
static __attribute__((always_inline)) int answer(struct xdp_md *frame)
{
    if (adjust_tail(frame, (int)sizeof(struct answer) - (int)(frame->data_end - frame->data)))
        return XDP_ABORTED;
    struct answer *it = (void *)(long)frame->data;
    if ((void *)(it + 1) > (void *)(long)frame->data_end)
        return XDP_ABORTED;

    __u8 mac[ETH_ALEN];
    __builtin_memcpy(mac, it->ethernet.h_dest, ETH_ALEN);
    __builtin_memcpy(it->ethernet.h_dest, it->ethernet.h_source, ETH_ALEN);
    __builtin_memcpy(it->ethernet.h_source, mac, ETH_ALEN);

    const __u32 host = it->ip.daddr, scanner = it->ip.saddr;
    it->ip = (struct iphdr){
        .version = 4,
        .ihl = 5,
        .tot_len = ON_THE_WIRE_16(sizeof(it->ip) + sizeof(it->tcp)),
        .frag_off = ON_THE_WIRE_16(DONT_FRAGMENT),
        .ttl = TTL,
        .protocol = IPPROTO_TCP,
        .saddr = host,
        .daddr = scanner,
    };
    const __u32 addrs = halves(host) + halves(scanner);
    it->ip.check = folded(addrs + 0x45 + ON_THE_WIRE_16(sizeof(it->ip) + sizeof(it->tcp)) + ON_THE_WIRE_16(DONT_FRAGMENT) +
                          (TTL | IPPROTO_TCP << 8));

    const __u16 port = it->tcp.dest, its_port = it->tcp.source;
    // Any number will do, and the same host and port has the same.
    const __u32 seq = host * 0x85ebca6bu ^ port;
    const __u32 ack = ON_THE_WIRE_32(ON_THE_WIRE_32(it->tcp.seq) + 1);
    it->tcp = (struct tcphdr){
        .source = port,
        .dest = its_port,
        .seq = seq,
        .ack_seq = ack,
        .doff = sizeof(it->tcp) / 4,
        .syn = 1,
        .ack = 1,
        .window = ON_THE_WIRE_16(WINDOW),
    };
    // The pseudo header of RFC 9293: addresses, protocol and length.
    it->tcp.check = folded(addrs + ON_THE_WIRE_16(IPPROTO_TCP) + ON_THE_WIRE_16(sizeof(it->tcp)) + port + its_port +
                           halves(seq) + halves(ack) + (sizeof(it->tcp) / 4 << 4 | (TCP_SYN | TCP_ACK) << 8) +
                           ON_THE_WIRE_16(WINDOW));
    return XDP_TX;
}

SECTION("xdp") int synack(struct xdp_md *frame)
{
    const void *start = (const void *)(long)frame->data;
    const void *end = (const void *)(long)frame->data_end;
    __u32 key = 0;
    struct counts *sum = map_lookup(&counts, &key);
    if (!sum)
        return XDP_ABORTED;
    const struct answer *it = start;
    const struct ethhdr *ethernet = start;
    if ((const void *)(ethernet + 1) <= end &&
        (ethernet->h_proto == ON_THE_WIRE_16(ETH_P_ARP) || (ethernet->h_proto == ON_THE_WIRE_16(ETH_P_IPV6) &&
                                                            is_neighbour_discovery((const void *)(ethernet + 1), end)))) {
        sum->passed++;
        return XDP_PASS;
    }
    if ((const void *)(it + 1) > end || it->ethernet.h_proto != ON_THE_WIRE_16(ETH_P_IP) || it->ip.version != 4 ||
        it->ip.ihl != 5 || it->ip.protocol != IPPROTO_TCP || (it->ip.frag_off & ON_THE_WIRE_16(FRAGMENT)) ||
        (it->ip.daddr & ON_THE_WIRE_32(HOSTS_MASK)) != ON_THE_WIRE_32(HOSTS)) {
        sum->others++;
        return XDP_DROP;
    }
    const __u8 flags = ((const __u8 *)&it->tcp)[FLAGS_AT];
    if (flags & TCP_RST) {
        sum->resets++;
        return XDP_DROP;
    }
    if ((flags & (TCP_SYN | TCP_ACK)) != TCP_SYN) {
        sum->others++;
        return XDP_DROP;
    }
    sum->syns++;
    sum->octets += end - start;
    if (!answers(ON_THE_WIRE_32(it->ip.daddr)))
        return XDP_DROP;
    int verdict = answer(frame);
    sum->answered += verdict == XDP_TX;
    return verdict;
}

char SECTION("license") licence[] = "Dual MIT/GPL";

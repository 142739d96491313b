// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The receiving half of the XDP link: takes the answers to our probes before the kernel sees them, and nothing else.
//
//   frame -> ours? --no--> XDP_PASS, untouched
//             |yes
//             |--> SYN scan, TCP: the cookie --wrong--> counted, XDP_DROP
//             |                      '--right--> a digest into an array, or the whole frame into a ring buffer
//             |                                   '--> SYN-ACK: made into our RST, XDP_TX
//             '--> all else: the whole frame into a ring buffer, XDP_DROP
//
// Ours is what engine/src/link/xdp/take.rs says, which writes `take` before the program is loaded. The rules of the screen are
// those of SynProbe::validate_segment (scanners/syn/src/probe.rs), the cookie is that of engine/src/cookie.rs, a digest that of
// engine/src/link/digest.rs: tests hold them together.
//
// What cannot be read as far as the screen has to is handed up whole, so that the parser judges it as it does on any link. A
// header that ends before its ports passes: the kernel throws it away, without an answer.
//
// Built by engine/bpf/build; the object lies beside it, so that no clang is needed to build mrpf. Only the kernel's own
// header is used. Maps are of the older kind, which needs no BTF: so the object has no debug information, and is the same
// whatever folder it was built in. Needs Linux 5.18, for bpf_xdp_load_bytes.

#include <linux/bpf.h>

#include "object.h"
#include "siphash.h"
#include "wire.h"

#define OUT_OF_LINE static __attribute__((noinline))

// As many receivers as there can be: MAX_RECEIVERS of take.rs.
#define RECEIVERS 16

// Flags of what is taken.
#define TAKE_V4 0x01
#define TAKE_V6 0x02
#define TAKE_SCREEN 0x04
#define TAKE_DIGESTS 0x08
#define TAKE_RESETS 0x10
#define TAKE_BY_PORTS 0x20

// What is ours. Constant before the program is loaded, so that the verifier leaves out what it does not ask for.
struct take {
    __u64 siphash[4]; // the state that the key begins with
    __u32 v4;         // our addresses, as they stand in a header
    __u32 v6[4];
    __u32 flags;
    __u32 first_port; // of all receivers, both included
    __u32 last_port;
    __u32 receivers;
    __u32 label_mask; // the part of a reset's flow label that is the cookie's
    __u32 digest_bits; // each receiver has 1 << digest_bits digests
    __u32 ranges[RECEIVERS]; // first << 16 | last: TAKE_BY_PORTS
    __u32 unused;
};

const volatile struct take take SECTION(".rodata") = {0};

// One a CPU, so that no two CPUs ever write one line of cache. The order is that of rx.rs, which adds them up.
struct counts {
    __u64 full[RECEIVERS]; // frames lost since a ring was full
    __u64 passed;          // to the kernel, untouched
    __u64 copied;          // of those, handed up too: extension headers
    __u64 whole;           // handed up whole, and dropped
    __u64 digests;         // handed up as digests
    __u64 cookie;          // dropped by the screen
    __u64 challenge;
    __u64 kind;
    __u64 resets_lost; // of the next, those the driver had no room for: counted on veth alone; before it, as it is read first
    __u64 resets;      // given to the driver
    __u64 on_way;      // of those, the ones of which it has not said yet
};

struct map_definition SECTION("maps") counts = {
    .type = BPF_MAP_TYPE_PERCPU_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(struct counts),
    .max_entries = 1,
};

// What this program and a receiver tell each other. A line of cache for each side, and one between any two, since CPUs fetch them
// by pairs.
struct receiver {
    // The receiver's.
    __u64 taken;  // digests that it has done with, since the start
    __u32 sleeps; // not 0: it wants to be woken
    __u32 unused[29];
    // The program's.
    __u64 claimed; // places of digests, since the start
    __u64 unused_too[15];
};

struct map_definition SECTION("maps") receivers = {
    .type = BPF_MAP_TYPE_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(struct receiver),
    .max_entries = RECEIVERS,
    .flags = BPF_F_MMAPABLE,
};

struct digest {
    __u32 remote;
    struct ports ports;
    __u32 seq;
    __u32 ack;
    __u16 window;
    __u8 ttl;
    __u8 flags;
    __u32 lap; // written last: how often the place was written, counted from 1
};

// Those of all receivers, one's behind the other's; the loader makes it as long as it must be. An array, and not the ring buffers:
// these take a lock for each record, which would cost more than the digest itself.
struct map_definition SECTION("maps") digests = {
    .type = BPF_MAP_TYPE_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(struct digest),
    .max_entries = 1,
    .flags = BPF_F_MMAPABLE,
};

// CPUs that may each have found room and not yet claimed it: no kernel has more.
#define CPUS_MOST 8192

// One a receiver: an array of maps would need BTF. Those that nobody reads are a page long; the loader sets the others.
#define RING(n)                                                                                                                \
    struct map_definition SECTION("maps") ring##n = {.type = BPF_MAP_TYPE_RINGBUF, .max_entries = 4096}
RING(0);
RING(1);
RING(2);
RING(3);
RING(4);
RING(5);
RING(6);
RING(7);
RING(8);
RING(9);
RING(10);
RING(11);
RING(12);
RING(13);
RING(14);
RING(15);

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*ktime_get_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;
static void *(*ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)BPF_FUNC_ringbuf_reserve;
static void (*ringbuf_submit)(void *record, __u64 flags) = (void *)BPF_FUNC_ringbuf_submit;
static void (*ringbuf_discard)(void *record, __u64 flags) = (void *)BPF_FUNC_ringbuf_discard;
static long (*xdp_adjust_tail)(struct xdp_md *frame, int delta) = (void *)BPF_FUNC_xdp_adjust_tail;
static __u64 (*xdp_get_buff_len)(struct xdp_md *frame) = (void *)BPF_FUNC_xdp_get_buff_len;
static long (*xdp_load_bytes)(struct xdp_md *frame, __u32 offset, void *to, __u32 len) = (void *)BPF_FUNC_xdp_load_bytes;

// Before the octets of a whole frame.
struct head {
    __u64 nanos;
    __u32 len; // on the wire, which may be more than was kept
    __u32 rest;
};

INLINE __u16 swap(__u16 word)
{
    return __builtin_bswap16(word);
}

INLINE int is_taken(__u32 what)
{
    return (take.flags & what) != 0;
}

// `port` as it stands in a header.
INLINE int is_our_port(__u16 port)
{
    __u32 number = swap(port);
    return number >= take.first_port && number <= take.last_port;
}

INLINE int is_our_v6(const __u32 *addr)
{
    return addr[0] == take.v6[0] && addr[1] == take.v6[1] && addr[2] == take.v6[2] && addr[3] == take.v6[3];
}

// Which receiver an answer is for: the same for each of a flow, and for what tells of it (an ICMP error).
INLINE __u32 receiver_of(__u32 remote, __u16 remote_port, __u16 local_port)
{
    if (take.receivers <= 1)
        return 0;
    if (is_taken(TAKE_BY_PORTS)) {
        __u32 port = swap(local_port);
#pragma unroll
        for (__u32 i = 0; i < RECEIVERS; i++) {
            __u32 range = take.ranges[i];
            if (i < take.receivers && port >= range >> 16 && port <= (range & 0xffff))
                return i;
        }
        return 0;
    }
    // Multiplied twice, so that the upper half depends on all of it (Knuth, The Art of Computer Programming, 6.4).
    __u64 hash = (remote ^ ((__u64)remote_port << 48 | (__u64)local_port << 32)) * 0x9e3779b97f4a7c15;
    hash = (hash ^ hash >> 32) * 0x9e3779b97f4a7c15;
    return ((hash >> 32) * take.receivers) >> 32;
}

INLINE __u32 folded(const __u32 *addr)
{
    return ((addr[0] * 31 + addr[1]) * 31 + addr[2]) * 31 + addr[3];
}

INLINE void *ring_of(__u32 receiver)
{
    switch (receiver) {
    case 1:
        return &ring1;
    case 2:
        return &ring2;
    case 3:
        return &ring3;
    case 4:
        return &ring4;
    case 5:
        return &ring5;
    case 6:
        return &ring6;
    case 7:
        return &ring7;
    case 8:
        return &ring8;
    case 9:
        return &ring9;
    case 10:
        return &ring10;
    case 11:
        return &ring11;
    case 12:
        return &ring12;
    case 13:
        return &ring13;
    case 14:
        return &ring14;
    case 15:
        return &ring15;
    default:
        return &ring0;
    }
}

// Wakes a receiver, if it sleeps, for what was just handed up to it.
//
// That was done by an exchange, which is a full barrier, before it is asked here whether it sleeps. The receiver says that it
// sleeps, makes a full barrier, and looks once more before it does. So either it sees what was handed up or this sees that it
// sleeps. The word is taken back before the receiver is woken: a receiver whose last look took the record by which it is woken
// sees that it is awake, and does not wait. If there is no room in the ring for that record, then the receiver, which sees that
// within a second, has more to do than sleep.
INLINE void wake(volatile struct receiver *receiver, __u32 number)
{
    if (!receiver->sleeps)
        return;
    receiver->sleeps = 0;
    void *ring = ring_of(number);
    void *ringing = ringbuf_reserve(ring, 8, 0);
    if (ringing)
        ringbuf_discard(ringing, BPF_RB_FORCE_WAKEUP);
}

INLINE int put(struct xdp_md *frame, void *ring, __u32 number, __u64 len, __u32 room)
{
    struct head *head = ringbuf_reserve(ring, sizeof(struct head) + room, 0);
    if (!head)
        return 0;
    head->nanos = ktime_get_ns();
    head->len = len;
    head->rest = 0;
    __u64 kept = len < room ? len : room;
    // What the verifier has to see once more, and the compiler knows.
    asm volatile("" : "+r"(kept));
    if (kept < 1 || kept > room || xdp_load_bytes(frame, 0, head + 1, kept)) {
        ringbuf_discard(head, BPF_RB_NO_WAKEUP);
        return 0;
    }
    ringbuf_submit(head, BPF_RB_NO_WAKEUP);
    volatile struct receiver *receiver = map_lookup(&receivers, &number);
    if (receiver)
        wake(receiver, number);
    return 1;
}

// Hands a frame up whole; 0 when there is no room for it. A record is of one of a few lengths, since the verifier must know them.
OUT_OF_LINE int hand_up(struct xdp_md *frame, __u32 receiver)
{
    void *ring = ring_of(receiver);
    __u64 len = xdp_get_buff_len(frame);
    if (len <= 104)
        return put(frame, ring, receiver, len, 104);
    if (len <= 232)
        return put(frame, ring, receiver, len, 232);
    if (len <= 1528)
        return put(frame, ring, receiver, len, 1528);
    return put(frame, ring, receiver, len, 9216);
}

INLINE int take_whole(struct xdp_md *frame, struct counts *sum, __u32 receiver)
{
    receiver &= RECEIVERS - 1;
    if (hand_up(frame, receiver))
        sum->whole++;
    else
        sum->full[receiver]++;
    return XDP_DROP;
}

INLINE void take_copy(struct xdp_md *frame, struct counts *sum)
{
    if (hand_up(frame, 0))
        sum->copied++;
    else
        sum->full[0]++;
}

INLINE int pass(struct counts *sum)
{
    sum->passed++;
    return XDP_PASS;
}

INLINE struct siphash sip_start(void)
{
    return (struct siphash){{take.siphash[0], take.siphash[1], take.siphash[2], take.siphash[3]}};
}

INLINE __u64 joined(__u32 low, __u32 high)
{
    return low | (__u64)high << 32;
}

// The last word of the input: the ports, and its length in octets.
INLINE __u64 last_word(struct ports ports, __u64 len)
{
    return joined(ports.from | (__u32)ports.to << 16, 0) | len << 56;
}

INLINE __u64 cookie_v4(__u32 remote, struct ports ports)
{
    struct siphash hash = sip_start();
    sip_word(&hash, joined(remote, take.v4));
    sip_word(&hash, last_word(ports, 12));
    return sip_end(&hash);
}

INLINE __u64 cookie_v6(const __u32 *remote, struct ports ports)
{
    struct siphash hash = sip_start();
    sip_word(&hash, joined(remote[0], remote[1]));
    sip_word(&hash, joined(remote[2], remote[3]));
    sip_word(&hash, joined(take.v6[0], take.v6[1]));
    sip_word(&hash, joined(take.v6[2], take.v6[3]));
    sip_word(&hash, last_word(ports, 36));
    return sip_end(&hash);
}

// Whether a segment without regard to its cookie could be an answer; counts what could not.
INLINE int is_answer(struct counts *sum, __u8 flags)
{
    if ((flags & TCP_ACK) && (flags & (TCP_SYN | TCP_RST)))
        return 1;
    if (flags & TCP_ACK)
        sum->challenge++;
    else if (flags & TCP_RST)
        sum->cookie++; // a reset of our SYN acknowledges it; this could be anyone's
    else
        sum->kind++;
    return 0;
}

// Whether an answer acknowledges the SYN with this cookie; some systems reset it without counting it.
INLINE int is_proved(struct counts *sum, __u8 flags, __u32 ack, __u64 cookie)
{
    __u32 past = __builtin_bswap32(ack) - (__u32)cookie;
    if (past == 1 || (past == 0 && (flags & TCP_RST)))
        return 1;
    sum->cookie++;
    return 0;
}

INLINE int is_opening(__u8 flags)
{
    return (flags & (TCP_SYN | TCP_RST)) == TCP_SYN;
}

// The checksum of a header whose 16-bit words add up to `sum` (RFC 1071), which does not ask for their order.
INLINE __u16 checksum(__u64 sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    return ~sum;
}

INLINE __u64 halves(__u32 word)
{
    return (word & 0xffff) + (word >> 16);
}

// What a reset is made from, in the order of the wire but for the last.
struct answer {
    __u32 remote[4];
    struct ports ports;
    __u32 ack;
    __u32 random; // the upper half of the cookie
};

// Cuts a frame to its IP header and a TCP header, `len` octets together, and turns its Ethernet header round. Where the IP header
// is; NULL when that cannot be.
INLINE void *turned(struct xdp_md *frame, __u32 at, __u32 len)
{
    // A segment without options is as long already.
    __u64 more = (__u64)frame->data_end - frame->data - at - len;
    if (more && xdp_adjust_tail(frame, -(int)more))
        return 0;
    void *start = (void *)(long)frame->data;
    if (start + at + len > (void *)(long)frame->data_end)
        return 0;
    struct ethernet *ethernet = start;
#pragma unroll
    for (int i = 0; i < 3; i++) {
        __u16 word = ethernet->to[i];
        ethernet->to[i] = ethernet->from[i];
        ethernet->from[i] = word;
    }
    return start + at;
}

// A bare RST that closes what a SYN-ACK opened: its number is what that acknowledged (RFC 9293, section 3.10.7.3). It is that of
// engine/src/template/rst.rs. `sum` is that of both addresses.
INLINE void write_reset(struct tcp *tcp, const struct answer *answer, __u64 sum)
{
    __u16 from = answer->ports.to, to = answer->ports.from;
    __u32 seq = answer->ack;
    tcp->ports.from = from;
    tcp->ports.to = to;
    tcp->seq = seq;
    tcp->ack = 0;
    tcp->offset = 5 << 4;
    tcp->flags = TCP_RST;
    tcp->window = 0;
    tcp->urgent = 0;
    sum += swap(PROTOCOL_TCP) + swap(sizeof(struct tcp)) + halves(seq) + from + to + (5 << 4 | TCP_RST << 8);
    tcp->checksum = checksum(sum);
}

OUT_OF_LINE int reset_v4(struct xdp_md *frame, const struct answer *answer, __u32 at)
{
    struct ipv4 *ip = turned(frame, at, sizeof(struct ipv4) + sizeof(struct tcp));
    if (!ip)
        return XDP_DROP;
    __u32 remote = answer->remote[0];
    __u64 sum = halves(remote) + halves(take.v4);
    __u16 id = swap(answer->random);
    ip->version_and_length = 0x45;
    ip->service = 0;
    ip->length = swap(sizeof(struct ipv4) + sizeof(struct tcp));
    ip->id = id;
    ip->fragment = swap(0x4000); // don't fragment
    ip->ttl = 64;
    ip->protocol = PROTOCOL_TCP;
    ip->checksum = checksum(sum + 0x45 + swap(40) + id + swap(0x4000) + (64 | PROTOCOL_TCP << 8));
    ip->from = take.v4;
    ip->to = remote;
    write_reset((struct tcp *)(ip + 1), answer, sum);
    return XDP_TX;
}

OUT_OF_LINE int reset_v6(struct xdp_md *frame, const struct answer *answer, __u32 at)
{
    struct ipv6 *ip = turned(frame, at, sizeof(struct ipv6) + sizeof(struct tcp));
    if (!ip)
        return XDP_DROP;
    __u64 sum = 0;
    ip->flow = __builtin_bswap32(6U << 28 | (answer->random & take.label_mask));
    ip->length = swap(sizeof(struct tcp));
    ip->next_header = PROTOCOL_TCP;
    ip->hop_limit = 64;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        __u32 ours = take.v6[i], theirs = answer->remote[i];
        ip->from[i] = ours;
        ip->to[i] = theirs;
        sum += halves(ours) + halves(theirs);
    }
    write_reset((struct tcp *)(ip + 1), answer, sum);
    return XDP_TX;
}

INLINE int reset(struct counts *sum, int verdict)
{
    sum->resets += verdict == XDP_TX;
    sum->on_way += verdict == XDP_TX;
    return verdict;
}

// Writes a digest for its receiver, by the rules of engine/src/link/xdp/laps.rs.
INLINE void hand_up_digest(struct counts *sum, const struct ipv4 *ip, const struct tcp *tcp)
{
    __u32 number = receiver_of(ip->from, tcp->ports.from, tcp->ports.to) & (RECEIVERS - 1);
    volatile struct receiver *receiver = map_lookup(&receivers, &number);
    __u32 places = 1U << take.digest_bits;
    if (!receiver)
        return;
    if ((__s64)(receiver->claimed - receiver->taken) > (__s64)places - CPUS_MOST) {
        // What the verifier has to see once more, and the compiler knows.
        asm volatile("" : "+r"(number));
        sum->full[number & (RECEIVERS - 1)]++;
        return;
    }
    // Its value is asked for, so it is a full barrier: what is written below is so after the receiver has read what was there.
    __u64 turn = __sync_fetch_and_add(&receiver->claimed, 1);
    __u32 place = number << take.digest_bits | (turn & (places - 1));
    struct digest *digest = map_lookup(&digests, &place);
    // It cannot be, as the place is in the array; if it could, the receiver would wait for this turn for ever.
    if (!digest)
        return;
    digest->remote = ip->from;
    digest->ports.from = tcp->ports.from;
    digest->ports.to = tcp->ports.to;
    digest->seq = tcp->seq;
    digest->ack = tcp->ack;
    digest->window = tcp->window;
    digest->ttl = ip->ttl;
    digest->flags = tcp->flags;
    // A full barrier again: all of the above is there for who sees the lap, and `wake` asks afterwards.
    __sync_lock_test_and_set(&digest->lap, (__u32)(turn >> take.digest_bits) + 1);
    sum->digests++;
    wake(receiver, number);
}

// Whether all of a segment's header is there, and within the `len` octets that the IP header promises.
INLINE int is_whole(const struct tcp *tcp, const void *end, __u32 len)
{
    if ((const void *)(tcp + 1) > end)
        return 0;
    __u32 offset = (tcp->offset >> 4) * 4;
    return offset >= LEAST_TCP && offset <= len && (const void *)tcp + offset <= end;
}

INLINE int screen_v4(struct xdp_md *frame, struct counts *sum, const struct ipv4 *ip, const struct tcp *tcp, __u32 at)
{
    __u8 flags = tcp->flags;
    if (!is_answer(sum, flags))
        return XDP_DROP;
    struct answer answer = {.remote = {ip->from}, .ports = tcp->ports, .ack = tcp->ack};
    __u64 cookie = cookie_v4(answer.remote[0], answer.ports);
    if (!is_proved(sum, flags, answer.ack, cookie))
        return XDP_DROP;
    if (is_taken(TAKE_DIGESTS))
        hand_up_digest(sum, ip, tcp);
    else
        take_whole(frame, sum, receiver_of(answer.remote[0], answer.ports.from, answer.ports.to));
    if (!is_taken(TAKE_RESETS) || !is_opening(flags))
        return XDP_DROP;
    answer.random = cookie >> 32;
    return reset(sum, reset_v4(frame, &answer, at));
}

INLINE int screen_v6(struct xdp_md *frame, struct counts *sum, const struct ipv6 *ip, const struct tcp *tcp, __u32 at)
{
    __u8 flags = tcp->flags;
    if (!is_answer(sum, flags))
        return XDP_DROP;
    struct answer answer = {
        .remote = {ip->from[0], ip->from[1], ip->from[2], ip->from[3]}, .ports = tcp->ports, .ack = tcp->ack};
    __u64 cookie = cookie_v6(answer.remote, answer.ports);
    if (!is_proved(sum, flags, answer.ack, cookie))
        return XDP_DROP;
    take_whole(frame, sum, receiver_of(folded(answer.remote), answer.ports.from, answer.ports.to));
    if (!is_taken(TAKE_RESETS) || !is_opening(flags))
        return XDP_DROP;
    answer.random = cookie >> 32;
    return reset(sum, reset_v6(frame, &answer, at));
}

INLINE int receive_v4(struct xdp_md *frame, struct counts *sum, const struct ipv4 *ip, const void *end, __u32 at)
{
    if ((const void *)(ip + 1) > end || ip->to != take.v4 || ip->version_and_length >> 4 != 4 ||
        (ip->fragment & FRAGMENT_OFFSET))
        return pass(sum);
    __u32 header = (ip->version_and_length & 0x0f) * 4;
    const void *payload = (const void *)ip + header;
    if (header < LEAST_IPV4)
        return pass(sum);
    if (ip->protocol == PROTOCOL_TCP || ip->protocol == PROTOCOL_UDP) {
        const struct ports *ports = payload;
        if ((const void *)(ports + 1) > end || !is_our_port(ports->to))
            return pass(sum);
        __u32 len = swap(ip->length);
        if (is_taken(TAKE_SCREEN) && ip->protocol == PROTOCOL_TCP && len >= header && is_whole(payload, end, len - header))
            return screen_v4(frame, sum, ip, payload, at);
        return take_whole(frame, sum, receiver_of(ip->from, ports->from, ports->to));
    }
    if (ip->protocol == PROTOCOL_ICMP) {
        const struct icmp *icmp = payload;
        const struct ipv4 *quoted = (const void *)(icmp + 1);
        if ((const void *)(quoted + 1) > end)
            return pass(sum);
        if (icmp->type != ICMP_UNREACHABLE && icmp->type != ICMP_TIME_EXCEEDED)
            return pass(sum);
        header = (quoted->version_and_length & 0x0f) * 4;
        const struct ports *ports = (const void *)quoted + header;
        if (quoted->from != take.v4 || (quoted->fragment & FRAGMENT_OFFSET) || header < LEAST_IPV4 ||
            (quoted->protocol != PROTOCOL_TCP && quoted->protocol != PROTOCOL_UDP) || (const void *)(ports + 1) > end ||
            !is_our_port(ports->from))
            return pass(sum);
        return take_whole(frame, sum, receiver_of(quoted->to, ports->to, ports->from));
    }
    return pass(sum);
}

// Hop-by-hop options, routing, fragment, authentication and destination options (IANA, IPv6 Extension Header Types).
INLINE int is_extension(__u8 next_header)
{
    return next_header == 0 || next_header == 43 || next_header == 44 || next_header == 51 || next_header == 60;
}

INLINE int receive_v6(struct xdp_md *frame, struct counts *sum, const struct ipv6 *ip, const void *end, __u32 at)
{
    if ((const void *)(ip + 1) > end || !is_our_v6(ip->to) || (ip->flow & 0xf0) != 0x60)
        return pass(sum);
    __u8 next = ip->next_header;
    if (next == PROTOCOL_TCP || next == PROTOCOL_UDP) {
        const struct ports *ports = (const void *)(ip + 1);
        if ((const void *)(ports + 1) > end || !is_our_port(ports->to))
            return pass(sum);
        if (is_taken(TAKE_SCREEN) && next == PROTOCOL_TCP && is_whole((const void *)(ip + 1), end, swap(ip->length)))
            return screen_v6(frame, sum, ip, (const void *)(ip + 1), at);
        return take_whole(frame, sum, receiver_of(folded(ip->from), ports->from, ports->to));
    }
    if (next == PROTOCOL_ICMPV6) {
        const struct icmp *icmp = (const void *)(ip + 1);
        const struct ipv6 *quoted = (const void *)(icmp + 1);
        const struct ports *ports = (const void *)(quoted + 1);
        if ((const void *)(ports + 1) > end || icmp->type < 1 || icmp->type > ICMPV6_LAST_ERROR ||
            !is_our_v6(quoted->from) || (quoted->next_header != PROTOCOL_TCP && quoted->next_header != PROTOCOL_UDP) ||
            !is_our_port(ports->from))
            return pass(sum);
        return take_whole(frame, sum, receiver_of(folded(quoted->to), ports->to, ports->from));
    }
    if (is_extension(next)) {
        // What is behind them is not looked for, so it may be the kernel's as well: both get it.
        take_copy(frame, sum);
        return pass(sum);
    }
    return pass(sum);
}

SECTION("xdp") int receive(struct xdp_md *frame)
{
    const void *start = (const void *)(long)frame->data;
    const void *end = (const void *)(long)frame->data_end;
    __u32 key = 0;
    struct counts *sum = map_lookup(&counts, &key);
    if (!sum)
        return XDP_PASS;
    const struct ethernet *ethernet = start;
    if ((const void *)(ethernet + 1) > end)
        return pass(sum);
    __u16 type = ethernet->type;
    __u32 at = sizeof(struct ethernet);
    if (type == ETHERTYPE_VLAN || type == ETHERTYPE_SVLAN) {
        const struct vlan *vlan = start + at;
        if ((const void *)(vlan + 1) > end)
            return pass(sum);
        type = vlan->type;
        at += sizeof(struct vlan);
    }
    if (type == ETHERTYPE_IPV4 && is_taken(TAKE_V4))
        return receive_v4(frame, sum, start + at, end, at);
    if (type == ETHERTYPE_IPV6 && is_taken(TAKE_V6))
        return receive_v6(frame, sum, start + at, end, at);
    return pass(sum);
}

// xdp_bulk_tx(dev, sent, drops, err): up to 16 frames that a program sent back were given to veth (drivers/net/veth.c). That is at
// the latest at the end of the poll that this program runs in, before anybody else's on this CPU: so what is told is of ours
// when so many of ours are on their way.
SECTION("raw_tp/xdp_bulk_tx") int sent_back(struct bpf_raw_tracepoint_args *event)
{
    int sent = (int)event->args[1], drops = (int)event->args[2];
    __u32 key = 0;
    struct counts *sum = map_lookup(&counts, &key);
    if (!sum || sent < 0 || drops < 0 || (__u64)sent + drops > sum->on_way)
        return 0;
    sum->on_way -= sent + drops;
    sum->resets_lost += drops;
    return 0;
}

char SECTION("license") licence[] = "Dual MIT/GPL";

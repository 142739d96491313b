// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The far end of a run at an even rate: counts the IPv4 frames that reach a device by when they come, in tenths of a
// millisecond, and drops them. All else it lets through.
//
// The counts are a ring: a tenth of a millisecond is counted where the one 2^17 before it was. gauge.rs lays it straight.
//
// Built by tests/lab/bpf/build, as sink.bpf.c says.

#include <linux/bpf.h>

#include "object.h"

#define SPANS (1 << 17)
#define SPAN_NS 100000

struct map_definition SECTION("maps") spans = {
    .type = BPF_MAP_TYPE_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(__u64),
    .max_entries = SPANS,
};

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u64 (*ktime_ns)(void) = (void *)BPF_FUNC_ktime_get_ns;

// As a little-endian machine reads it; the object is for those alone.
#define ETHERTYPE_IPV4 0x0008 // 0x0800

struct ethernet {
    __u8 addresses[12];
    __u16 type;
} __attribute__((packed));

SECTION("xdp") int gauge(struct xdp_md *frame)
{
    const struct ethernet *ethernet = (void *)(long)frame->data;
    if ((const void *)(ethernet + 1) > (void *)(long)frame->data_end || ethernet->type != ETHERTYPE_IPV4)
        return XDP_PASS;
    __u32 span = (ktime_ns() / SPAN_NS) & (SPANS - 1);
    __u64 *count = map_lookup(&spans, &span);
    if (!count)
        return XDP_ABORTED;
    // Frames may come by several CPUs.
    __sync_fetch_and_add(count, 1);
    return XDP_DROP;
}

char SECTION("license") licence[] = "Dual MIT/GPL";

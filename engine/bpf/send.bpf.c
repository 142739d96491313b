// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// The send half of the XDP link: takes frames out of a ring that a process fills, and sends them on one device.
//
//   the process -> ring.frames, ring.lens, ring.tail -> send -> bpf_redirect_map -> the driver
//                              ring.free <-'              '-- ring.lost <- xmit, refused
//
// `send` is never attached to anything. One thread of the process runs it by BPF_PROG_TEST_RUN with
// BPF_F_TEST_XDP_LIVE_FRAMES (Linux 5.18; Documentation/bpf/bpf_prog_run.rst): the kernel makes frames of its own, runs the
// program once for each, and does with them what the program says. An empty ring is XDP_DROP, and the next run looks again.
//
// A frame of the kernel is used again and again and keeps what the last user of its page wrote, so every octet that is sent
// is written here first.
//
// `xmit` and `refused` are attached to tracepoints and count the frames that were lost after `send` had let go of them: the
// driver had no room, or the device takes no frames at all.
//
// Built by engine/bpf/build; the object lies beside it, so that no clang is needed to build mrpf. Only the kernel's own
// header is used. The map is of the older kind, which needs no BTF: so the object has no debug information, and is the same
// whatever folder it was built in.

#include <linux/bpf.h>

#include "object.h"

// engine/src/link/sys/frame_ring.rs has the same numbers and the same layout.
#define SLOTS_MOST 8192          // a power of two
#define SLOT_LEN_MOST 2048       // octets
#define FRAMES_LEN (2 << 20)     // octets of all slots
#define FRAME_LEN_LEAST 14       // an Ethernet header, below which the kernel cuts no frame (bpf_xdp_adjust_tail)
#define FREE_EVERY 16            // frames, a power of two
#define SHORT 128                // octets: longer frames are copied by the kernel

struct ring {
    // This program's line: the process reads all of it and writes none.
    __u64 head;      // frames taken since the start; slot head % slots is the next
    __u64 free;      // of them, those whose slots may be written again
    __u64 known;     // tail, when it was last looked at
    __u64 lost;      // frames that were taken and not sent
    __u32 on_way;    // frames redirected of which no tracepoint has told yet
    __u32 cpu;       // where they were redirected
    __u64 unused[3];
    // The process's line.
    __u64 tail;      // frames published since the start
    __u64 unused_too[7];
    // Written by the process once, before the first run.
    __u32 stride;    // octets from one slot to the next
    __u32 mask;      // slots - 1
    __u32 given;     // octets of each frame that the kernel makes
    __u32 unused_also[13];
    __u16 lens[SLOTS_MOST];
    __u8 to_page[4096 - 3 * 64];
    // One slot more than fits, so that the verifier sees where a copy ends.
    __u8 frames[FRAMES_LEN + SLOT_LEN_MOST];
};

struct map_definition SECTION("maps") ring = {
    .type = BPF_MAP_TYPE_ARRAY,
    .key_size = sizeof(__u32),
    .value_size = sizeof(struct ring),
    .max_entries = 1,
    .flags = BPF_F_MMAPABLE,
};

// Where they go: one device, set by the loader. A map, since for a number the kernel would look the device up for each frame.
struct map_definition SECTION("maps") way = {
    .type = BPF_MAP_TYPE_DEVMAP,
    .key_size = sizeof(__u32),
    .value_size = sizeof(struct bpf_devmap_val),
    .max_entries = 1,
};

static void *(*map_lookup)(void *map, const void *key) = (void *)BPF_FUNC_map_lookup_elem;
static __u32 (*this_cpu)(void) = (void *)BPF_FUNC_get_smp_processor_id;
static long (*adjust_tail)(struct xdp_md *frame, int by) = (void *)BPF_FUNC_xdp_adjust_tail;
static long (*store_bytes)(struct xdp_md *frame, __u32 at, const void *from, __u32 len) = (void *)BPF_FUNC_xdp_store_bytes;
static long (*redirect_map)(void *map, __u64 key, __u64 flags) = (void *)BPF_FUNC_redirect_map;

// Copies one `word`, if that many octets are left and lie before `end`.
#define COPY(word, at)                                                                                                         \
    do {                                                                                                                       \
        if (to + (at) + sizeof(word) > end)                                                                                    \
            return 0;                                                                                                          \
        *(word *)(to + (at)) = *(const word *)(from + (at));                                                                   \
    } while (0)

// The octets behind the last whole word: fewer than eight.
INLINE int copy_rest(void *to, const __u8 *from, __u32 left, const void *end)
{
    if (left >= 4) {
        COPY(__u32, 0);
        if (left >= 6)
            COPY(__u16, 4);
        if (left == 5)
            COPY(__u8, 4);
        if (left == 7)
            COPY(__u8, 6);
    } else {
        if (left >= 2)
            COPY(__u16, 0);
        if (left == 1)
            COPY(__u8, 0);
        if (left == 3)
            COPY(__u8, 2);
    }
    return 1;
}

// Copies the word at `at`, or what is left behind the one before it, and is done. The comment, another each time, keeps the
// compiler from joining them all, for which it would compute the place after all.
#define WORD(at)                                                                                                               \
    do {                                                                                                                       \
        if (len < (at) + sizeof(__u64)) {                                                                                      \
            void *to_rest = to + (at);                                                                                         \
            const __u8 *rest = from + (at);                                                                                    \
            asm volatile("# " #at : "+r"(to_rest), "+r"(rest));                                                                \
            return copy_rest(to_rest, rest, len - (at), end);                                                                  \
        }                                                                                                                      \
        COPY(__u64, at);                                                                                                       \
    } while (0)

// Writes a frame of `len` octets over that of the kernel, which is cut to that length already.
//
// A SYN lies in one line of cache, which the process has just written on another CPU. Word by word the fetching of it goes on
// beside all else; the kernel's own copy, one instruction that moves octets, waits for it each time. The words lie anyhow, which
// the verifier allows where the machine does: on x86-64 and arm64, and few others. All places are constants, since to compute
// one in a packet takes CAP_PERFMON.
INLINE int copy(struct xdp_md *frame, const __u8 *from, __u32 len)
{
    if (len > SHORT)
        return !store_bytes(frame, 0, from, len);
    void *to = (void *)(long)frame->data, *end = (void *)(long)frame->data_end;
    WORD(0);
    WORD(8);
    WORD(16);
    WORD(24);
    WORD(32);
    WORD(40);
    WORD(48);
    WORD(56);
    WORD(64);
    WORD(72);
    WORD(80);
    WORD(88);
    WORD(96);
    WORD(104);
    WORD(112);
    WORD(120);
    return 1;
}

SECTION("xdp") int send(struct xdp_md *frame)
{
    __u32 key = 0;
    struct ring *r = map_lookup(&ring, &key);
    if (!r)
        return XDP_ABORTED;
    __u64 head = r->head;
    if (head == r->known) {
        // First by a plain load: while there is nothing, the line stays shared with the process and is not taken from it.
        if (*(volatile __u64 *)&r->tail == head)
            return XDP_DROP;
        // Then by an atomic that gives back what was there, which the kernel makes a full barrier everywhere: what the
        // process wrote before it published is seen below. BPF has no acquire load before Linux 6.14.
        r->known = __sync_fetch_and_add(&r->tail, 0);
    }
    __u64 slot = head & r->mask & (SLOTS_MOST - 1);
    __u64 at = slot * r->stride;
    __u32 len = r->lens[slot];
    int copied = 0;
    if (at <= FRAMES_LEN && len >= FRAME_LEN_LEAST && len <= SLOT_LEN_MOST)
        copied = (len == r->given || !adjust_tail(frame, (int)(len - r->given))) && copy(frame, r->frames + at, len);
    head++;
    r->head = head;
    // The frames are copied, so their slots may be written again: again an atomic that is a full barrier, since what was read
    // must have been read before. Its value is asked for because without that it would be no barrier; that the number is
    // another one would mean that two threads run the program. One barrier for many frames costs next to nothing.
    if (!(head & (FREE_EVERY - 1)) && __sync_fetch_and_add(&r->free, FREE_EVERY) != head - FREE_EVERY)
        return XDP_ABORTED;
    if (!copied) {
        // A slot without a length is one that the process gave up.
        if (len)
            r->lost++;
        return XDP_DROP;
    }
    // The batch that this run is part of holds the CPU until all its frames were handed to the driver, so what a tracepoint
    // tells on this CPU until then is of these frames.
    long verdict = redirect_map(&way, 0, 0);
    if (verdict == XDP_REDIRECT) {
        r->cpu = this_cpu();
        r->on_way++;
    } else {
        // The device went away, and its entry with it.
        r->lost++;
    }
    return verdict;
}

// Takes `told` frames, `lost` of them not sent, off those that are on their way on this CPU; those of others are none of ours.
INLINE int account(__u32 told, __u32 lost)
{
    __u32 key = 0;
    struct ring *r = map_lookup(&ring, &key);
    if (!r || r->cpu != this_cpu() || !told || told > r->on_way)
        return 0;
    r->on_way -= told;
    r->lost += lost;
    return 0;
}

// xdp_devmap_xmit(from, to, sent, drops, err): up to 16 frames were given to the driver (kernel/bpf/devmap.c).
SECTION("raw_tp/xdp_devmap_xmit") int xmit(struct bpf_raw_tracepoint_args *event)
{
    int sent = (int)event->args[2], drops = (int)event->args[3];
    if (sent < 0 || drops < 0)
        return 0;
    return account(sent + drops, drops);
}

// xdp_redirect_err(dev, program, target, err, kind, map, index): one frame could not be given to a driver.
SECTION("raw_tp/xdp_redirect_err") int refused(void)
{
    return account(1, 1);
}

char SECTION("license") licence[] = "Dual MIT/GPL";

// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// What the loader finds in an object: programs and constants by their sections, and maps by the older of its two forms, which
// needs no BTF.

#define INLINE static __attribute__((always_inline))
#define SECTION(name) __attribute__((section(name), used))

struct map_definition {
    __u32 type;
    __u32 key_size;
    __u32 value_size;
    __u32 max_entries;
    __u32 flags;
};

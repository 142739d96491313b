// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// Lets every frame through. A veth device takes frames that another device's XDP program redirects or sends back (XDP_TX)
// only when it receives in batches itself, and a program on it makes it do that (linux/drivers/net/veth.c, veth_xdp_xmit).
//
// Built by tests/lab/bpf/build, as sink.bpf.c says.

#include <linux/bpf.h>

#include "object.h"

SECTION("xdp") int pass(struct xdp_md *frame)
{
    (void)frame;
    return XDP_PASS;
}

char SECTION("license") licence[] = "Dual MIT/GPL";

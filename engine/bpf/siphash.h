// SPDX-License-Identifier: MIT OR GPL-2.0-only
//
// SipHash-2-4 (Aumasson and Bernstein, 2012), as engine/src/cookie.rs has it; the state that a key begins with is computed there.

struct siphash {
    __u64 v[4];
};

INLINE __u64 rotated(__u64 word, int by)
{
    return word << by | word >> (64 - by);
}

INLINE void sip_round(struct siphash *hash)
{
    __u64 *v = hash->v;
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotated(v[1], 13) ^ v[0];
    v[3] = rotated(v[3], 16) ^ v[2];
    v[0] = rotated(v[0], 32) + v[3];
    v[2] += v[1];
    v[1] = rotated(v[1], 17) ^ v[2];
    v[3] = rotated(v[3], 21) ^ v[0];
    v[2] = rotated(v[2], 32);
}

INLINE void sip_word(struct siphash *hash, __u64 word)
{
    hash->v[3] ^= word;
    sip_round(hash);
    sip_round(hash);
    hash->v[0] ^= word;
}

INLINE __u64 sip_end(struct siphash *hash)
{
    hash->v[2] ^= 0xff;
    sip_round(hash);
    sip_round(hash);
    sip_round(hash);
    sip_round(hash);
    return hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}

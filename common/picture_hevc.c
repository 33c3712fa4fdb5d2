/* SPDX-License-Identifier: MIT */
#include "common/picture_hevc.h"

#include "common/err.h"

#include <stdbool.h>

/* What we read stands at its front: at most 12 + 7 x 11 bytes of levels, then numbers. */
enum { MAX_BYTES = 256 };

struct bits {
    const uint8_t *data;
    size_t size, at; /* in bits */
    bool bad;
};

static uint32_t get_bits(struct bits *bits, unsigned count)
{
    uint32_t value = 0;
    if (bits->size - bits->at < count) {
        bits->bad = true;
        bits->at = bits->size;
        return 0;
    }
    for (; count > 0; count--, bits->at++)
        value = value << 1 | (bits->data[bits->at / 8] >> (7 - bits->at % 8) & 1);
    return value;
}

static void skip_bits(struct bits *bits, unsigned count)
{
    for (; count > 16; count -= 16)
        get_bits(bits, 16);
    get_bits(bits, count);
}

/* ue(v), H.265 9.2. */
static uint32_t get_golomb(struct bits *bits)
{
    unsigned zeros = 0;
    while (!bits->bad && get_bits(bits, 1) == 0)
        zeros++;
    if (zeros > 31)
        bits->bad = true;
    return bits->bad ? 0 : (1u << zeros) - 1 + get_bits(bits, zeros);
}

/* profile_tier_level(1, layers - 1), H.265 7.3.3. */
static void skip_levels(struct bits *bits, unsigned layers)
{
    bool profile[8] = {false}, level[8] = {false};
    skip_bits(bits, 96);
    for (unsigned i = 0; i + 1 < layers; i++) {
        profile[i] = get_bits(bits, 1);
        level[i] = get_bits(bits, 1);
    }
    for (unsigned i = layers - 1; layers > 1 && i < 8; i++)
        get_bits(bits, 2);
    for (unsigned i = 0; i + 1 < layers; i++)
        skip_bits(bits, (profile[i] ? 88 : 0) + (level[i] ? 8 : 0));
}

int picture_hevc_frame_size(const uint8_t *nal, size_t size, uint32_t *out_width,
                            uint32_t *out_height)
{
    uint8_t plain[MAX_BYTES];
    size_t count = 0, zeros = 0;
    for (size_t i = 0; i < size && count < sizeof plain; i++) { /* 7.3.1.1 */
        bool drop = zeros >= 2 && nal[i] == 3;
        zeros = nal[i] == 0 ? zeros + 1 : 0;
        if (!drop)
            plain[count++] = nal[i];
    }
    struct bits bits = {.data = plain, .size = count * 8};
    skip_bits(&bits, 16 + 4); /* the NAL's header, video parameter set */
    unsigned layers = get_bits(&bits, 3) + 1;
    get_bits(&bits, 1);
    skip_levels(&bits, layers);
    get_golomb(&bits); /* its own number */
    if (get_golomb(&bits) == 3)
        get_bits(&bits, 1);
    uint32_t width = get_golomb(&bits), height = get_golomb(&bits);
    if (bits.bad || layers > 7)
        return ERR_CORRUPT;
    *out_width = width;
    *out_height = height;
    return 0;
}

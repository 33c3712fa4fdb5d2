/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/kernels.h"

#include "gpu/cuda/store.h"

/* Pixels of a block: what is written of each channel then still lies in the cache. */
#define BLOCK 64

size_t kernel_connected_row_bytes(const struct kernel_connected *s)
{
    return (size_t)kernel_channels(s->channels) * (size_t)s->pixels * store_size(s->type);
}

void kernel_connected_pack(const struct kernel_connected *s, const float *row, void *out_row)
{
    const size_t wide = (size_t)kernel_channels(s->channels), pixels = (size_t)s->pixels;
    for (size_t first = 0; first < pixels; first += BLOCK) {
        const size_t end = first + BLOCK < pixels ? first + BLOCK : pixels;
        for (size_t c = 0; c < wide; c++)
            for (size_t p = first; p < end; p++)
                store_value(s->type, out_row, p * wide + c,
                            c < (size_t)s->channels ? row[c * pixels + p] : 0.0f);
    }
}

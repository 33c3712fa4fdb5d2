/* SPDX-License-Identifier: MIT
 *
 * The block with AVX-512 BF16: each instruction adds 16 products of pairs to 16 outputs. Eleven
 * pixels by 32 outputs are 22 sums in registers, each pair of a pixel fetched once for two uses
 * and each weight once for eleven. */
#include "gpu/cpu/tiles/tiles.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define GROUP 11

/* The pair of values at `at`, sixteen times. */
INLINE __m512bh spread(const uint16_t *at)
{
    int pair;
    memcpy(&pair, at, sizeof pair);
    return (__m512bh)_mm512_set1_epi32(pair);
}

INLINE void group(const struct tile_block *b, int first, const int pixels, const int tiles)
{
    const int64_t step_weights = (int64_t)tiles * TILE_WEIGHTS;
    const uint16_t *src = b->src + first * b->src_pixel, *weights = b->weights;
    float *dst = b->dst + first * b->dst_pixel;
    __m512 sums[GROUP][2];
#pragma GCC unroll 11
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 2
        for (int t = 0; t < tiles; t++)
            sums[p][t] = _mm512_loadu_ps(b->bias + t * TILE_OUTPUTS);
    for (int step = 0; step < b->steps; step++, weights += step_weights - TILE_WEIGHTS) {
        const uint16_t *run = src + b->offsets[step];
        for (int pair = 0; pair < TILE_DEPTH / 2; pair++, run += 2, weights += 2 * TILE_OUTPUTS) {
            __m512bh w[2];
#pragma GCC unroll 2
            for (int t = 0; t < tiles; t++)
                w[t] = (__m512bh)_mm512_loadu_si512(weights + t * TILE_WEIGHTS);
#pragma GCC unroll 11
            for (int p = 0; p < pixels; p++) {
                const __m512bh x = spread(run + p * b->src_pixel);
#pragma GCC unroll 2
                for (int t = 0; t < tiles; t++)
                    sums[p][t] = _mm512_dpbf16_ps(sums[p][t], w[t], x);
            }
        }
    }
#pragma GCC unroll 11
    for (int p = 0; p < pixels; p++)
#pragma GCC unroll 2
        for (int t = 0; t < tiles; t++)
            _mm512_storeu_ps(dst + p * b->dst_pixel + t * b->dst_tile, sums[p][t]);
}

INLINE void groups(const struct tile_block *b, const int tiles)
{
    for (int first = 0; first < b->pixels;) {
        const int left = b->pixels - first;
        /* 32 pixels are 11, 11 and 10. */
        const int now = left >= 11 ? 11 : left >= 10 ? 10 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        switch (now) {
        case 11: group(b, first, 11, tiles); break;
        case 10: group(b, first, 10, tiles); break;
        case 4: group(b, first, 4, tiles); break;
        case 2: group(b, first, 2, tiles); break;
        default: group(b, first, 1, tiles);
        }
        first += now;
    }
}

static void block(const struct tile_block *b)
{
    if (b->outputs == BLOCK_OUTPUTS)
        groups(b, 2);
    else
        groups(b, 1);
}

static void nothing(void)
{
}

const struct tile_functions TILES_TABLE = {
    .name = TILES_NAME, .begin = nothing, .block = block, .end = nothing};

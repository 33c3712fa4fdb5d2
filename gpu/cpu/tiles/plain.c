/* SPDX-License-Identifier: MIT
 *
 * The block for machines without bf16 products: widened, multiplied and added in f32. Compiled once
 * for each width of vectors, as rows.c is. */
#include "gpu/cpu/tiles/tiles.h"

#include <string.h>

typedef float vec __attribute__((vector_size(64), may_alias));
typedef uint32_t word __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))
#define GROUP 4 /* pixels that share each weight's widening */

static float widened(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* 16 outputs of `pixels` pixels; `weights` is the half of the block that they are in. */
INLINE void group(const struct tile_block *b, const uint16_t *src, const uint16_t *weights,
                  const float *bias, float *dst, const int pixels)
{
    const int64_t tile_step = b->outputs * TILE_DEPTH;
    vec sums[GROUP], first;
    memcpy(&first, bias, sizeof first);
    for (int p = 0; p < pixels; p++)
        sums[p] = first;
    for (int step = 0; step < b->steps; step++, weights += tile_step) {
        const uint16_t *run = src + b->offsets[step];
        for (int pair = 0; pair < TILE_DEPTH / 2; pair++) {
            word both;
            memcpy(&both, weights + pair * 2 * TILE_OUTPUTS, sizeof both);
            const vec even = (vec)(both << 16), odd = (vec)(both & 0xffff0000u);
            for (int p = 0; p < pixels; p++) {
                const uint16_t *at = run + p * b->src_pixel + 2 * pair;
                sums[p] += even * widened(at[0]) + odd * widened(at[1]);
            }
        }
    }
    for (int p = 0; p < pixels; p++)
        memcpy(dst + p * b->dst_pixel, &sums[p], sizeof sums[p]);
}

static void block(const struct tile_block *b)
{
    for (int tile = 0; tile < b->outputs / TILE_OUTPUTS; tile++) {
        const uint16_t *weights = b->weights + tile * TILE_WEIGHTS;
        const float *bias = b->bias + tile * TILE_OUTPUTS;
        float *dst = b->dst + tile * b->dst_tile;
        int p = 0;
        for (; p + GROUP <= b->pixels; p += GROUP)
            group(b, b->src + p * b->src_pixel, weights, bias, dst + p * b->dst_pixel, GROUP);
        for (; p < b->pixels; p++)
            group(b, b->src + p * b->src_pixel, weights, bias, dst + p * b->dst_pixel, 1);
    }
}

static void nothing(void)
{
}

const struct tile_functions TILES_TABLE = {
    .name = TILES_NAME, .begin = nothing, .block = block, .end = nothing};

/* SPDX-License-Identifier: MIT
 *
 * The block for machines without bf16 products: widened, multiplied and added in f32. Compiled once
 * for each width of vectors, as rows.c is. */
#include "gpu/cpu/tiles/tiles.h"

#include <string.h>

/* As wide as the registers are: wider vectors would live in memory. GROUP pixels share each
 * weight's widening, as many as there are registers for their sums. */
#if defined __AVX512F__
#define WIDTH 16
#define GROUP 8
#elif defined __AVX2__
#define WIDTH 8
#define GROUP 4
#else
#define WIDTH 4
#define GROUP 2
#endif
#define PARTS (TILE_OUTPUTS / WIDTH)

typedef float vec __attribute__((vector_size(WIDTH * 4), may_alias));
typedef uint32_t word __attribute__((vector_size(WIDTH * 4)));

#define INLINE static inline __attribute__((always_inline))

static float widened(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* What a pair of values of each pixel adds to its 16 outputs. */
INLINE void add_pair(const uint16_t *run, int64_t src_pixel, const uint16_t *weights,
                     vec sums[GROUP][PARTS], const int pixels)
{
    vec even[PARTS], odd[PARTS];
    for (int i = 0; i < PARTS; i++) {
        word both;
        memcpy(&both, weights + i * 2 * WIDTH, sizeof both);
        even[i] = (vec)(both << 16);
        odd[i] = (vec)(both & 0xffff0000u);
    }
#pragma GCC unroll 8
    for (int p = 0; p < pixels; p++) {
        const uint16_t *at = run + p * src_pixel;
        const float first = widened(at[0]), second = widened(at[1]);
        for (int i = 0; i < PARTS; i++)
            sums[p][i] += even[i] * first;
        for (int i = 0; i < PARTS; i++)
            sums[p][i] += odd[i] * second;
    }
}

/* 16 outputs of `pixels` pixels; `weights` is the half of the block that they are in. */
INLINE void group(const struct tile_block *b, const uint16_t *src, const uint16_t *weights,
                  const float *bias, float *dst, const int pixels)
{
    const int64_t tile_step = b->outputs * TILE_DEPTH;
    vec sums[GROUP][PARTS];
    for (int p = 0; p < pixels; p++)
        memcpy(sums[p], bias, sizeof sums[p]);
    for (int step = 0; step < b->steps; step++, weights += tile_step) {
        const uint16_t *run = src + b->offsets[step];
        for (int pair = 0; pair < TILE_DEPTH / 2; pair++)
            add_pair(run + 2 * pair, b->src_pixel, weights + pair * 2 * TILE_OUTPUTS, sums, pixels);
    }
    for (int p = 0; p < pixels; p++)
        memcpy(dst + p * b->dst_pixel, sums[p], sizeof sums[p]);
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

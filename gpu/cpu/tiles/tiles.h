/* SPDX-License-Identifier: MIT
 *
 * The innermost product of a bf16 convolution: a block of up to 32 pixels by 32 output channels,
 * once for each kind of machine behind one contract.
 *
 *     const struct tile_functions *f = tiles_functions();
 *     f->begin();                                     // in every thread that computes
 *     f->block(&(struct tile_block){...});            // as often as there are blocks
 *     f->end();
 *
 * Channels-last rows are tiles as they lie: the values under one row of the kernel are a run of
 * kernel * channels neighbours, and the run of the next pixel starts stride * channels further. A
 * run is cut into pieces of 32 values, the steps of the sum; weights past its end are zero, so that
 * the values there, which belong to other pixels, count for nothing. They are read all the same: 31
 * values behind the last run have to be readable and finite. Steps whose weights are all zero are
 * left out, as a transposed convolution has many.
 *
 * Weights lie as the tile instructions want them: a tile is 16 pairs of values deep and 16 outputs
 * wide, [pair][output][2]. Sums are f32. They are added in an order of each implementation's own:
 * the bytes are equal for one of them, whatever the shape around the block, not across them.
 * Subnormals count as zero on AMX and AVX-512 BF16. All pointers are borrowed; any thread. */
#ifndef DARKROOM_GPU_CPU_TILES_H
#define DARKROOM_GPU_CPU_TILES_H

#include <stdbool.h>
#include <stdint.h>

#define TILE_PIXELS 16  /* rows of a tile of the picture */
#define TILE_OUTPUTS 16 /* columns of a tile of weights */
#define TILE_DEPTH 32   /* values of a run in a tile */
#define TILE_WEIGHTS (TILE_DEPTH * TILE_OUTPUTS)

#define BLOCK_PIXELS (2 * TILE_PIXELS)
#define BLOCK_OUTPUTS (2 * TILE_OUTPUTS)

struct tile_block {
    const uint16_t *src;         /* where the first pixel's window begins */
    int64_t src_pixel;           /* values from its window to the next pixel's */
    const int32_t *offsets;      /* [steps]: of their values in the window */
    const uint16_t *weights;     /* [steps][outputs / 16][TILE_WEIGHTS] */
    const float *bias;           /* [outputs] */
    float *dst;                  /* 16 outputs of a pixel side by side */
    int64_t dst_pixel, dst_tile; /* floats to the next pixel, and to its next 16 outputs */
    int steps;
    int pixels, outputs; /* 1 to 32; 16 or 32 */
};

struct tile_functions {
    const char *name;
    bool matrix; /* so fast that a block with few true outputs beats vectors over pixels */
    void (*begin)(void);
    void (*block)(const struct tile_block *block);
    void (*end)(void);
};

extern const struct tile_functions tiles_plain, tiles_avx2, tiles_avx512, tiles_bf16, tiles_amx;

/* The fastest that this machine has. */
const struct tile_functions *tiles_functions(void);

/* All that this machine has, the fastest last; how many. */
#define TILES_MAX_FUNCTIONS 5
int tiles_available(const struct tile_functions *out[TILES_MAX_FUNCTIONS]);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Which tile of a convolution a block computes, and where its pixels are read and written.
 *
 *     conv_block<PIXELS> *block = …;                  // in shared memory
 *     conv_block_fill(plan, block);                   __syncthreads();
 *     conv_walk walk; walk.start(plan, block->tile.phase, piece);
 *     for each slice { … block->source(walk, row) …; walk.next(plan, block->tile.phase); }
 *
 * Division and reflection happen once, while the block is filled: in the loop a pixel's place is
 * the sum of two numbers from shared memory. Every block has CONV_THREADS threads. */
#ifndef DARKROOM_GPU_CUDA_CONV_TILE_CUH
#define DARKROOM_GPU_CUDA_CONV_TILE_CUH

#include "gpu/cuda/conv_plan.h"

#include <cuda_runtime.h>

#define CONV_THREADS 256
/* A source that is outside: far enough below zero that another offset doesn't bring it back. */
#define CONV_NOWHERE (-0x40000000)

/* Which pixels and outputs this block computes. */
struct conv_tile {
    struct conv_phase phase;
    int picture;
    int output_tile;
    int tile;     /* of the picture */
    int first;    /* pixel of the phase; head: column */
    int row;      /* head: of the phase */
    int computed; /* rows of the product that are pixels */
    int stored;   /* of these, from the first on: the others are only summands of a head */
};

static __device__ __forceinline__ struct conv_tile conv_tile_of(const struct conv_plan &plan)
{
    struct conv_tile t;
    t.picture = (int)blockIdx.z;
    t.output_tile = (int)blockIdx.x % plan.output_tiles;
    t.tile = (int)blockIdx.x / plan.output_tiles;
    t.phase = plan.phase[0];
#pragma unroll
    for (int i = 1; i < CONV_PHASES; i++) /* numbers known when compiling: it stays in registers */
        if (i < plan.phases && t.tile >= plan.phase[i].first_tile)
            t.phase = plan.phase[i];
    const int number = t.tile - t.phase.first_tile;
    t.row = 0;
    t.first = number * plan.tile_pixels;
    t.computed = min(plan.tile_pixels, t.phase.rows * t.phase.columns - t.first);
    t.stored = t.computed;
    if (plan.head) {
        const int step = plan.tile_pixels - (plan.head - 1);
        const int across = (t.phase.columns + step - 1) / step;
        t.row = number / across;
        t.first = number % across * step;
        t.computed = min(plan.tile_pixels, t.phase.columns - t.first + plan.head - 1);
        t.stored = t.computed - (plan.head - 1);
    }
    return t;
}

/* One piece of each slice, as conv_pack.c orders them. */
struct conv_walk {
    int piece; /* of the tap's channels */
    int tap_y, tap_x;
    bool whole; /* a slice is of one tap */

    __device__ __forceinline__ void start(const struct conv_plan &plan, const struct conv_phase &f,
                                          int first)
    {
        piece = first;
        tap_y = tap_x = 0;
        whole = plan.in_pieces % plan.slice_pieces == 0;
        if (!whole)
            carry(plan, f);
    }

    __device__ __forceinline__ void next(const struct conv_plan &plan, const struct conv_phase &f)
    {
        if (!whole) {
            piece += plan.slice_pieces;
            carry(plan, f);
        } else if (next_tap(f)) {
            tap_y = 0;
            piece += plan.slice_pieces;
        }
    }

    /* True behind the last tap; tap_y is then taps_y. */
    __device__ __forceinline__ bool next_tap(const struct conv_phase &f)
    {
        if (++tap_x == f.taps_x) {
            tap_x = 0;
            tap_y++;
        }
        return tap_y == f.taps_y;
    }

    __device__ __forceinline__ void carry(const struct conv_plan &plan, const struct conv_phase &f)
    {
        while (piece >= plan.in_pieces && tap_y < f.taps_y) {
            piece -= plan.in_pieces;
            next_tap(f);
        }
    }
};

/* What a block knows of its tile, in shared memory rather than in everybody's registers. */
template <int PIXELS> struct conv_block {
    struct conv_tile tile;
    int pixel[PIXELS]; /* where in the stored picture */

    /* Behind it [taps_y][PIXELS] of rows, then [taps_x][PIXELS] of columns: their sum is the
     * input's piece of channel 0. */
    __device__ __forceinline__ int *offsets(int tap)
    {
        return (int *)(this + 1) + tap * PIXELS;
    }

    /* The piece of the picture that row `row` of this slice reads; negative: zeros. */
    __device__ __forceinline__ int source(const struct conv_walk &walk, int row)
    {
        const int taps_y = tile.phase.taps_y;
        if (walk.tap_y >= taps_y)
            return -1;
        return offsets(walk.tap_y)[row] + offsets(taps_y + walk.tap_x)[row] + walk.piece;
    }
};

static inline size_t conv_block_bytes(const struct conv_plan *plan)
{
    int taps = 0;
    for (int i = 0; i < plan->phases; i++) {
        const int own = plan->phase[i].taps_y + plan->phase[i].taps_x;
        taps = own > taps ? own : taps;
    }
    return sizeof(struct conv_tile) + (size_t)(taps + 1) * (size_t)plan->tile_pixels * sizeof(int);
}

/* The row (or column) of the input that row i of what the convolution sees is; -1: zeros. */
static __device__ __forceinline__ int conv_inside(const struct conv_plan &plan, int i, int size)
{
    const int seen = plan.doubled ? 2 * size : size;
    if (plan.outside == CONV_ZEROS) {
        if (i < 0 || i >= seen)
            return -1;
    } else if (plan.outside == CONV_EDGE) {
        i = min(max(i, 0), seen - 1);
    } else {
        i = i < 0 ? -i : i;
        i = i < seen ? i : 2 * (seen - 1) - i;
    }
    return plan.doubled ? i >> 1 : i;
}

template <int PIXELS>
static __device__ __forceinline__ void conv_block_fill(const struct conv_plan &plan,
                                                       struct conv_block<PIXELS> *block)
{
    const struct conv_tile t = conv_tile_of(plan);
    const int size = plan.shuffled ? 2 : 1;
    if (threadIdx.x == 0)
        block->tile = t;
    for (int row = (int)threadIdx.x; row < PIXELS; row += CONV_THREADS) {
        const bool is_pixel = row < t.computed;
        const int y = plan.head ? t.row : (t.first + row) / t.phase.columns;
        const int x = plan.head ? t.first + row : (t.first + row) % t.phase.columns;
        for (int tap = 0; tap < t.phase.taps_y; tap++) {
            int from = conv_inside(plan, y * plan.stride + t.phase.first_y + tap, plan.in_h);
            block->offsets(tap)[row] =
                is_pixel && from >= 0 ? from * plan.in_w * plan.in_pieces : CONV_NOWHERE;
        }
        for (int tap = 0; tap < t.phase.taps_x; tap++) {
            int from = conv_inside(plan, x * plan.stride + t.phase.first_x + tap, plan.in_w);
            block->offsets(t.phase.taps_y + tap)[row] =
                is_pixel && from >= 0 ? from * plan.in_pieces : CONV_NOWHERE;
        }
        block->pixel[row] = size * ((y * plan.step + t.phase.out_y) * size * plan.out_w +
                                    x * plan.step + t.phase.out_x);
    }
}

/* Stages of packed weights before this tile's. */
static __device__ __forceinline__ size_t conv_first_stage(const struct conv_tile &t)
{
    return (size_t)t.phase.first_stage + (size_t)t.output_tile * t.phase.slices;
}

#endif

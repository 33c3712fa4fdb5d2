/* SPDX-License-Identifier: MIT
 *
 * The tile instructions that amx.c uses, by the compiler's intrinsics. A test puts a header of the
 * same name before this one on the include path, and computes them in plain C.
 *
 * Numbers of tiles must be literals: the intrinsics paste them into the instruction. gcc 12 does
 * not say that loads read memory: what they read must have been written in another function. */
#ifndef DARKROOM_GPU_CPU_AMX_TILE_H
#define DARKROOM_GPU_CPU_AMX_TILE_H

#include <immintrin.h>
#include <stdint.h>

/* What ldtilecfg reads. */
struct amx_config {
    uint8_t palette, start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16]; /* of each tile */
    uint8_t rows[16];
};

/* Clears all tiles. */
static inline void amx_configure(const struct amx_config *config)
{
    __asm__ volatile("" : : "r"(config) : "memory");
    _tile_loadconfig(config);
}

/* Back to the initial state, so that nobody has 8 KiB to save for this thread. */
static inline void amx_release(void)
{
    _tile_release();
}

/* `stride` in bytes, from row to row. */
#define AMX_LOAD(tile, from, stride) _tile_loadd(tile, from, stride)
#define AMX_STORE(tile, to, stride) _tile_stored(tile, to, stride)

/* sums += picture * weights, by pairs of bf16 */
#define AMX_MULTIPLY(sums, picture, weights) _tile_dpbf16ps(sums, picture, weights)

#endif

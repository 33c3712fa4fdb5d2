/* SPDX-License-Identifier: MIT
 *
 * The tile instructions of gpu/cpu/tiles/amx_tile.h in plain C, as Intel's manual defines them (SDM
 * volume 2, chapter on AMX; palette 1), so that amx.c's blocking runs on machines without them.
 * What the machine would answer with #UD or #GP ends the program. The tiles are the thread's, as
 * they are there.
 *
 * Products of bf16 are exact in f32, so that a multiplication and an addition round once, as the
 * machine's FMA does; subnormals are zero on the way in and out. */
#ifndef DARKROOM_TESTS_SUPPORT_AMX_TILE_H
#define DARKROOM_TESTS_SUPPORT_AMX_TILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AMX_TILES 8
#define AMX_MAX_ROWS 16
#define AMX_MAX_ROW_BYTES 64

struct amx_config {
    uint8_t palette, start_row;
    uint8_t reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

struct amx_tile {
    _Alignas(64) uint8_t bytes[AMX_MAX_ROWS][AMX_MAX_ROW_BYTES];
};

static _Thread_local struct amx_config amx_config;
static _Thread_local struct amx_tile amx_tiles[AMX_TILES];

static inline void amx_require(bool fine, const char *what)
{
    if (fine)
        return;
    fprintf(stderr, "the tile instruction faults: %s\n", what);
    abort();
}

static inline void amx_configure(const struct amx_config *config)
{
    bool reserved = false;
    amx_require(config->palette <= 1, "palette");
    for (int i = 0; i < 14; i++)
        reserved |= config->reserved[i] != 0;
    for (int i = 0; i < 16; i++) {
        amx_require(config->row_bytes[i] <= AMX_MAX_ROW_BYTES, "bytes of a row");
        amx_require(config->rows[i] <= AMX_MAX_ROWS, "rows");
        amx_require((config->rows[i] == 0) == (config->row_bytes[i] == 0), "half a tile");
        reserved |= i >= AMX_TILES && config->rows[i] != 0;
    }
    amx_require(!reserved, "reserved bytes");
    amx_config = *config;
    memset(amx_tiles, 0, sizeof amx_tiles);
}

static inline void amx_release(void)
{
    amx_config = (struct amx_config){0};
    memset(amx_tiles, 0, sizeof amx_tiles);
}

static inline void amx_require_tile(int tile)
{
    amx_require(amx_config.palette == 1, "tiles are not configured");
    amx_require(tile >= 0 && tile < AMX_TILES && amx_config.rows[tile] > 0, "no such tile");
}

static inline void amx_load(int tile, const void *from, long stride)
{
    amx_require_tile(tile);
    memset(&amx_tiles[tile], 0, sizeof amx_tiles[tile]);
    for (int row = 0; row < amx_config.rows[tile]; row++)
        memcpy(amx_tiles[tile].bytes[row], (const char *)from + row * stride,
               amx_config.row_bytes[tile]);
}

static inline void amx_store(int tile, void *to, long stride)
{
    amx_require_tile(tile);
    for (int row = 0; row < amx_config.rows[tile]; row++)
        memcpy((char *)to + row * stride, amx_tiles[tile].bytes[row], amx_config.row_bytes[tile]);
}

/* Subnormals are zero. */
static inline float amx_flush(uint32_t bits)
{
    float value;
    bits = (bits & 0x7f800000) == 0 ? bits & 0x80000000 : bits;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float amx_sum(float sum)
{
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    return amx_flush(bits);
}

static inline void amx_multiply(int sums, int left, int right)
{
    amx_require_tile(sums);
    amx_require_tile(left);
    amx_require_tile(right);
    const int rows = amx_config.rows[sums], columns = amx_config.row_bytes[sums] / 4;
    const int depth = amx_config.row_bytes[left] / 4;
    amx_require(sums != left && sums != right && left != right, "the same tile twice");
    amx_require(rows == amx_config.rows[left] && depth == amx_config.rows[right] &&
                    amx_config.row_bytes[sums] == amx_config.row_bytes[right],
                "shapes that do not fit");
    for (int m = 0; m < rows; m++) {
        float even[16] = {0}, odd[16] = {0}, old[16];
        uint32_t a[16], b[16];
        memcpy(a, amx_tiles[left].bytes[m], sizeof a);
        for (int k = 0; k < depth; k++) {
            const float a_even = amx_flush(a[k] << 16), a_odd = amx_flush(a[k] & 0xffff0000);
            memcpy(b, amx_tiles[right].bytes[k], sizeof b);
            for (int n = 0; n < columns; n++) {
                even[n] = amx_sum(even[n] + a_even * amx_flush(b[n] << 16));
                odd[n] = amx_sum(odd[n] + a_odd * amx_flush(b[n] & 0xffff0000));
            }
        }
        memcpy(old, amx_tiles[sums].bytes[m], sizeof old);
        for (int n = 0; n < columns; n++)
            old[n] = amx_sum(amx_sum(old[n]) + amx_sum(even[n] + odd[n]));
        memcpy(amx_tiles[sums].bytes[m], old, (size_t)columns * sizeof *old);
    }
}

#define AMX_LOAD(tile, from, stride) amx_load(tile, from, stride)
#define AMX_STORE(tile, to, stride) amx_store(tile, to, stride)
#define AMX_MULTIPLY(sums, picture, weights) amx_multiply(sums, picture, weights)

#endif

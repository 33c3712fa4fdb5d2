/* SPDX-License-Identifier: MIT
 *
 * The block with AMX: two tiles of the picture by two of weights into four tiles of sums, which
 * are all eight tiles there are. For each four products, of 16 cycles each, four tiles are loaded,
 * of 8 cycles each, so that loads hide behind products where they come from the near caches. */
#include "gpu/cpu/tiles/tiles.h"

#include "gpu/cpu/tiles/amx_tile.h"

#define INLINE static inline __attribute__((always_inline))

/* Tiles 0 to 3 are sums, [pixels][outputs]; 4 and 5 the picture; 6 and 7 weights. */
#define PALETTE 1
#define ROW_BYTES 64

/* Pixels of the two tiles of the picture that this thread's tiles are set up for. */
static _Thread_local int configured;

static void configure(int pixels)
{
    struct amx_config config = {.palette = PALETTE};
    const int low = pixels < TILE_PIXELS ? pixels : TILE_PIXELS;
    /* A tile without rows is none: the high ones keep one where they are not used. */
    const int high = pixels > TILE_PIXELS ? pixels - TILE_PIXELS : 1;
    const int rows[8] = {low, low, high, high, low, high, TILE_DEPTH / 2, TILE_DEPTH / 2};
    for (int tile = 0; tile < 8; tile++) {
        config.rows[tile] = (uint8_t)rows[tile];
        config.row_bytes[tile] = ROW_BYTES;
    }
    amx_configure(&config);
    configured = pixels;
}

/* `two_high`: more than 16 pixels; `two_wide`: 32 outputs. */
INLINE void product(const struct tile_block *b, const bool two_high, const bool two_wide)
{
    const long src_stride = (long)b->src_pixel * (long)sizeof *b->src;
    const long dst_stride = (long)b->dst_pixel * (long)sizeof *b->dst;
    const uint16_t *src = b->src, *weights = b->weights;
    float *dst = b->dst;
    /* The bias is a row; read with stride 0 it is a tile. */
    AMX_LOAD(0, b->bias, 0);
    if (two_wide)
        AMX_LOAD(1, b->bias + TILE_OUTPUTS, 0);
    if (two_high)
        AMX_LOAD(2, b->bias, 0);
    if (two_high && two_wide)
        AMX_LOAD(3, b->bias + TILE_OUTPUTS, 0);
    for (int step = 0; step < b->steps; step++) {
        const uint16_t *run = src + b->offsets[step];
        AMX_LOAD(6, weights, ROW_BYTES);
        AMX_LOAD(4, run, src_stride);
        AMX_MULTIPLY(0, 4, 6);
        if (two_wide) {
            AMX_LOAD(7, weights + TILE_WEIGHTS, ROW_BYTES);
            AMX_MULTIPLY(1, 4, 7);
        }
        if (two_high) {
            AMX_LOAD(5, run + TILE_PIXELS * b->src_pixel, src_stride);
            AMX_MULTIPLY(2, 5, 6);
        }
        if (two_high && two_wide)
            AMX_MULTIPLY(3, 5, 7);
        weights += (two_wide ? 2 : 1) * TILE_WEIGHTS;
    }
    AMX_STORE(0, dst, dst_stride);
    if (two_wide)
        AMX_STORE(1, dst + b->dst_tile, dst_stride);
    dst += TILE_PIXELS * b->dst_pixel;
    if (two_high)
        AMX_STORE(2, dst, dst_stride);
    if (two_high && two_wide)
        AMX_STORE(3, dst + b->dst_tile, dst_stride);
}

static void block(const struct tile_block *b)
{
    const bool two_high = b->pixels > TILE_PIXELS, two_wide = b->outputs > TILE_OUTPUTS;
    if (b->pixels != configured)
        configure(b->pixels);
    if (two_high && two_wide)
        product(b, true, true);
    else if (two_high)
        product(b, true, false);
    else if (two_wide)
        product(b, false, true);
    else
        product(b, false, false);
}

static void begin(void)
{
    configure(BLOCK_PIXELS);
}

static void end(void)
{
    amx_release();
    configured = 0;
}

const struct tile_functions TILES_TABLE = {
    .name = TILES_NAME, .matrix = true, .begin = begin, .block = block, .end = end};

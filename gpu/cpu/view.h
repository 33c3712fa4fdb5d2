/* SPDX-License-Identifier: MIT
 *
 * How one picture's activations lie in memory: channels in blocks of 16, the 16 values of a pixel
 * side by side. Both of oneDNN's layouts are that, and they differ in strides alone:
 *
 *     nChw16c   block = H*W*16, row = W*16, pixel = 16
 *     nhwc      block = 16,     row = W*C,  pixel = C         (C a multiple of 16)
 *
 * A doubled view shows a picture twice as high and wide as what it lies over: pixel (y, x) is
 * pixel (y/2, x/2) plus phase_y where y is odd and phase_x where x is odd. With both zero that is
 * the nearest neighbour; a convolution that computes its four phases side by side sets them to
 * the distance between those.
 * Channels past the true count are zero wherever sums are taken. Plain values; any thread. */
#ifndef DARKROOM_GPU_CPU_VIEW_H
#define DARKROOM_GPU_CPU_VIEW_H

#include "gpu/tensor.h"

#define VIEW_BLOCK 16

enum view_layout { VIEW_BLOCKED, VIEW_CHANNELS_LAST, VIEW_PLANAR };

struct view {
    void *data;            /* borrowed: pixel (0,0) of block 0 */
    enum tensor_type type; /* of a value; all distances count values */
    int64_t block, row, pixel;
    int64_t phase_y, phase_x; /* for doubled views */
    bool doubled;
    int blocks, h, w; /* as seen: a doubled view's h and w are even */
};

/* Where value `at` of the view lies, counted from its first. */
static inline void *view_at(const struct view *v, int64_t at)
{
    return (char *)v->data + at * (v->type == TENSOR_F32 ? 4 : 2);
}

static inline void *view_row(const struct view *v, int block, int y)
{
    int64_t row = v->doubled ? (y >> 1) * v->row + (y & 1) * v->phase_y : y * v->row;
    return view_at(v, block * v->block + row);
}

/* From a row's first pixel to pixel x. */
static inline int64_t view_column(const struct view *v, int x)
{
    return v->doubled ? (x >> 1) * v->pixel + (x & 1) * v->phase_x : x * v->pixel;
}

/* Pixels around a picture, and what they hold. */
enum padding_mode {
    PADDING_REFLECT,   /* -1 is 1 */
    PADDING_REPLICATE, /* -1 is 0 */
    PADDING_ZERO
};

struct padding {
    enum padding_mode mode;
    int before, after; /* rows above and below, columns left and right */
};

/* Row or column i of `n` with padding: where it comes from; -1 where it is zero. */
static inline int padding_source(struct padding padding, int i, int n)
{
    if (i >= 0 && i < n)
        return i;
    switch (padding.mode) {
    case PADDING_REFLECT: return i < 0 ? -i : 2 * (n - 1) - i;
    case PADDING_REPLICATE: return i < 0 ? 0 : n - 1;
    case PADDING_ZERO: break;
    }
    return -1;
}

static inline int view_round_up(int64_t channels)
{
    return (int)((channels + VIEW_BLOCK - 1) / VIEW_BLOCK * VIEW_BLOCK);
}

#endif

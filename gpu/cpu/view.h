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

#include <stdbool.h>
#include <stdint.h>

#define VIEW_BLOCK 16

enum view_layout { VIEW_BLOCKED, VIEW_CHANNELS_LAST, VIEW_PLANAR };

struct view {
    float *data; /* borrowed: pixel (0,0) of block 0 */
    int64_t block, row, pixel;
    int64_t phase_y, phase_x; /* for doubled views */
    bool doubled;
    int blocks, h, w; /* as seen: a doubled view's h and w are even */
};

static inline float *view_row(const struct view *v, int block, int y)
{
    float *row = v->data + block * v->block;
    return v->doubled ? row + (y >> 1) * v->row + (y & 1) * v->phase_y : row + y * v->row;
}

#endif

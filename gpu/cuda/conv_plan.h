/* SPDX-License-Identifier: MIT
 *
 * How a convolution is cut into products of matrices: what the host packs weights by and the
 * kernels read pixels by.
 *
 *     struct conv_plan plan;
 *     conv_plan_make(&shape, &plan);
 *
 * A convolution is [pixels][taps × channels] times [taps × channels][outputs]; the first matrix is
 * the input, gathered while it is loaded. A doubled 3×3 and a transposed convolution are several
 * such products, one for each *phase*: each parity of output row and column has its own few taps.
 *
 * A block computes `tile_pixels` × `tile_outputs` of one phase of one picture, and takes the sum in
 * *slices* of `slice_pieces` pieces. A piece is 8 channels of one tap.
 *
 * Order of the sum: where the channels fill whole slices, all taps of the first channels come
 * first, then those of the next (the taps of a tile read nearly the same pixels, which are then
 * still in the cache); else the channels of a tap come first and slices run across taps, so that
 * three channels don't become sixty-four.
 *
 * Head: a convolution to a few channels would read every pixel K² times for next to nothing. The K
 * taps of a row are made outputs instead, P[x][tap · outputs + o], K rows are summed by the product
 * and the taps by adding up P[x + tap][tap · outputs + o]: pixels are read K times.
 *
 * Packed weights: for each phase, tile of outputs and slice the bytes of one stage, in the order in
 * which they lie in shared memory (see conv_plan_place()), so that a block copies them as they are;
 * behind all of them bias and slopes as floats. */
#ifndef DARKROOM_GPU_CUDA_CONV_PLAN_H
#define DARKROOM_GPU_CUDA_CONV_PLAN_H

#include "gpu/cuda/kernels.h"

#define CONV_PIECE 8       /* channels */
#define CONV_PHASES 4      /* at most */
#define CONV_MAX_KERNEL 11 /* rows and columns: their tables fit beside the stages on sm_75 */
#define CONV_HEAD_OUTPUTS 32

#ifdef __cplusplus
extern "C" {
#endif

enum conv_engine { CONV_FMA, CONV_MMA, CONV_WGMMA };
enum conv_outside { CONV_REFLECT, CONV_ZEROS, CONV_EDGE };

/* Row q of a phase is row q * step + out_y of the output, and its tap i reads row
 * q * stride + first_y + i of what the convolution sees; columns alike. */
struct conv_phase {
    int rows, columns; /* of output pixels */
    int taps_y, taps_x;
    int first_y, first_x;
    int out_y, out_x;
    int first_tile;
    int slices;
    int first_stage; /* of the packed weights: stages of (tile of outputs, slice) before it */
};

struct conv_plan {
    enum conv_engine engine;
    enum conv_outside outside;
    int tile_pixels, tile_outputs, slice_pieces;
    int in_h, in_w, in_pieces;
    int out_h, out_w, out_pieces; /* as computed; shuffled ones are stored otherwise */
    int stride, step, doubled, shuffled;
    int head; /* 0, or K: see above */
    int head_outputs;
    int tiles; /* of pixels, of one picture */
    int output_tiles;
    int phases;
    struct conv_phase phase[CONV_PHASES];
    int stages; /* of packed weights */
};

/* For a shape that kernel_conv_refuses() doesn't refuse. */
void conv_plan_make(const struct kernel_conv *shape, struct conv_plan *out_plan);

/* Values of one stage of packed weights. */
static inline size_t conv_plan_stage_values(const struct conv_plan *plan)
{
    return (size_t)plan->tile_outputs * (size_t)plan->slice_pieces * CONV_PIECE;
}

#ifdef __cplusplus
}
#endif

#endif

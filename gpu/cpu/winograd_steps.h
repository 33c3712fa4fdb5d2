/* SPDX-License-Identifier: MIT
 *
 * The three innermost loops of a Winograd convolution, F(4x4, 3x3) of Lavin and Gray (2016):
 * a 4x4 tile of the output needs a 6x6 tile d of the input, and is
 *
 *     A^T [ (G g G^T) . (B^T d B) ] A        with 36 products, where 144 were
 *
 * The points of the polynomials are 0, +-p, +-q and infinity. p = 5/8, q = 3/2 make a third of the
 * rounding error of the usual 1, 2. Of a picture that was doubled by nearest neighbour each tile is
 * [x0 x1 x1 x2 x2 x3] along both axes, and with p = 1 the product of point -p is zero: 25 are left.
 *
 * As rows.h: a table for each instruction set, the same C for all. All pointers are borrowed. */
#ifndef DARKROOM_GPU_CPU_WINOGRAD_STEPS_H
#define DARKROOM_GPU_CPU_WINOGRAD_STEPS_H

#include <stdbool.h>
#include <stdint.h>

#define WINOGRAD_INPUT 6  /* a tile's side */
#define WINOGRAD_OUTPUT 4 /* … of the output */
#define WINOGRAD_TILES 16 /* of which a step multiplies as many at once */

/* 16 channels of a tile, the pending norm and ReLU applied, as points. */
struct winograd_load {
    const float *row[WINOGRAD_INPUT];   /* NULL: a row of zeros */
    int64_t column[WINOGRAD_INPUT];     /* floats from there; negative: a column of zeros */
    const float *scale, *shift, *slope; /* 16 each; scale, slope NULL: none */
    float *out;                         /* point after point, 16 values each */
    int64_t point;                      /* floats from one to the next */
    bool doubled;
};

/* [16 tiles][16 outputs] = sum over channels k of in[k / 16][tile][k % 16] * weight[k][16] */
struct winograd_multiply {
    const float *in, *weight;
    int channels; /* a multiple of 16 */
    float *out;
};

/* 16 channels of a tile of the output from its points. */
struct winograd_store {
    const float *in;
    int64_t point;
    const float *bias; /* 16 */
    float *dst;        /* its first pixel */
    int64_t row, pixel;
    int rows, columns;     /* of them written: 1 to 4 */
    double *sum, *squares; /* 16 each: += sum x, += sum (x - the tile's mean)^2 + (sum x)^2 / n */
    bool doubled, relu;
};

struct winograd_steps {
    void (*load)(const struct winograd_load *task);
    void (*multiply)(const struct winograd_multiply *task);
    void (*store)(const struct winograd_store *task);
    /* 16 kernels of one input channel, [16][stride] with 3x3 values each, as [points][point]. */
    void (*weights)(const float *kernels, int64_t stride, bool doubled, float *out, int64_t point);
};

extern const struct winograd_steps winograd_plain, winograd_avx2, winograd_avx512;

/* The widest that this machine has. */
const struct winograd_steps *winograd_steps(void);

#endif

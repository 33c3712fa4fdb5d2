/* SPDX-License-Identifier: MIT
 *
 * The innermost loops: one row of one block of 16 channels. A table of functions, filled for the
 * machine that runs them; the same C for each, compiled for different vectors.
 * All pointers are borrowed; f32 pixels lie at multiples of 64 bytes, bf16 ones at those of 32. */
#ifndef DARKROOM_GPU_CPU_ROWS_H
#define DARKROOM_GPU_CPU_ROWS_H

#include "gpu/tensor.h"

#include <stdbool.h>
#include <stdint.h>

struct row_apply {
    const void *src, *other; /* other: NULL where nothing is added */
    void *dst;
    enum tensor_type src_type, other_type, dst_type; /* F32 or BF16, rounded to the nearest */
    int64_t src_pixel, other_pixel, dst_pixel;       /* values from one pixel to the next */
    const float *scale, *shift;                      /* 16 each */
    int n;                                           /* pixels */
    const float *slope;                              /* 16, of what is negative; NULL: 1 */
};

/* A part of a small convolution's output: see planes.h. */
struct row_conv {
    const float *src;   /* planes, padded: the window's first pixel */
    int64_t plane, row; /* floats between planes, and between rows */
    int inputs, kernel;
    const float *weight; /* [inputs][kernel x][kernel y][3]: as they are used */
    float *dst[3];
    int64_t dst_row;
    int rows; /* 1 to ROWS_CONV_ROWS */
};

#define ROWS_CONV_ROWS 6 /* rows of output at once */
#define ROWS_CONV_PIXELS 16
#define ROWS_CONV_KERNEL 7 /* the size that is unrolled; others up to 12 work, slower */

struct row_functions {
    void (*apply)(const struct row_apply *task);
    /* Adds sum(x - origin) and sum((x - origin)^2) of each channel to the 16 doubles. */
    void (*moments)(const float *src, int64_t pixel, int n, const float *origin, double *sum,
                    double *squares);
    /* dst = 16 pixels wide, `rows` high, three channels. Reads 16 + kernel - 1 pixels. */
    void (*conv3)(const struct row_conv *task);
    /* Sum of a[i] * b[i] in a fixed order; `a` has this type and may lie anywhere. */
    float (*dot)(enum tensor_type type, const void *a, const float *b, int64_t n);
    /* False where `in` holds NaN or infinity. */
    bool (*tanh)(const float *in, float *out, int64_t n);
};

extern const struct row_functions rows_plain, rows_avx2, rows_avx512;

/* The widest that this machine has. */
const struct row_functions *rows_functions(void);

#endif

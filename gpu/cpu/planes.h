/* SPDX-License-Identifier: MIT
 *
 * A convolution with at most three outputs, such as the last one of a generator: 64 -> 3, 7x7.
 * Kernels that vectorise over output channels waste most of a register here; this one vectorises
 * over pixels, and so reads planes. Any thread; all pointers are borrowed. */
#ifndef DARKROOM_GPU_CPU_PLANES_H
#define DARKROOM_GPU_CPU_PLANES_H

#include "gpu/cpu/view.h"

struct layer;

#define PLANES_MAX_OUTPUTS 3
#define PLANES_MAX_KERNEL 9

/* Floats that may be read behind a row: rows of padded planes keep that much room. */
#define PLANES_SLACK 16

/* Padded input planes (`src->block` from plane to plane, `src->row` from row to row; its first
 * pixel is the padding's corner) to [outputs][H][W]. `weight` is fold_conv3()'s, `bias` [outputs]
 * or NULL. */
void planes_conv(const struct layer *layer, const struct view *src, const float *weight,
                 const float *bias, float *out);

#endif

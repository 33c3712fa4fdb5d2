/* SPDX-License-Identifier: MIT
 *
 * The passes over activations between two convolutions, vectorised and spread over the threads.
 *
 *     sweep_moments(&raw, moments);                  // of each channel
 *     ... scale and shift of the norm from the moments ...
 *     sweep_apply(&(struct sweep){.src = raw, .dst = padded, .scale = s, .shift = t, .slope =
 * zeros, .padding = {PADDING_REFLECT, 1, 1}});
 *                                                    // norm, ReLU and padding in one pass
 *
 * What they read and write is f32 or bf16, as the views say; moments are taken of f32.
 * Work is cut by the shape alone, and each part is added up in a fixed order: the result depends
 * neither on the number of threads nor on what else runs. */
#ifndef DARKROOM_GPU_CPU_SWEEP_H
#define DARKROOM_GPU_CPU_SWEEP_H

#include "gpu/cpu/view.h"

struct layer;

/* Of one channel over H,W. */
struct moments {
    double mean;
    double squares; /* sum of (x - mean)^2 */
};

/* Doubles that sweep_moments() needs beside its result for this view. */
int64_t sweep_scratch(const struct view *src);

/* out: [blocks * 16]. `scratch`: sweep_scratch() doubles. */
void sweep_moments(const struct view *src, double *scratch, struct moments *out);

struct sweep {
    struct view src, dst;       /* dst.data is its pixel (0,0): the padding lies around it */
    struct view other;          /* added at the end; data NULL: nothing is */
    const float *scale, *shift; /* [blocks * 16]; NULL: x stays as it is */
    const float *slope;         /* then, of what is negative, before `other` is added; NULL: 1 */
    struct padding padding;     /* pixels around dst that are written as well */
};

/* dst = slope(src * scale + shift) + other, and dst's padding. dst is not a doubled view. */
void sweep_apply(const struct sweep *sweep);

/* The same without `other` into planes: value (c, y, x) goes to out[c*plane + y*row + x], for
 * `channels` of them. */
void sweep_to_planes(const struct sweep *sweep, int channels, float *out, int64_t plane,
                     int64_t row);

/* Planes [C][H][W] of this layer to channels-last with padding, [before+H+after][…W…][dst->pixel]
 * of dst's type, zeros in channels from C on. dst->data is the padding's corner. */
void sweep_from_planes(const float *in, const struct layer *layer, struct padding padding,
                       const struct view *dst);

#endif

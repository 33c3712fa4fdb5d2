/* SPDX-License-Identifier: MIT
 *
 * The kind of convolution (conv.h) that computes in bf16 by tiles: bf16 channels-last in, f32 in
 * blocks out, moments taken in passing. */
#ifndef DARKROOM_GPU_CPU_TILED_H
#define DARKROOM_GPU_CPU_TILED_H

#include "gpu/cpu/conv.h"

/* As conv_create(); `functions` stay. ERR_NOMEM. */
int tiled_create(const struct tile_functions *functions, const struct conv_spec *spec,
                 const float *weights, const float *bias, struct conv **out_conv);

#endif

/* SPDX-License-Identifier: MIT
 *
 * 3x3 convolutions of stride 1 by Winograd's algorithm, one of conv.h's kinds.
 *
 * It reads its input unfinished and unpadded: norm, ReLU, padding and the nearest neighbour's
 * doubling are done while a tile is loaded, bias and the next norm's moments while one is stored.
 * Sixteen tiles go through all three steps together, so that their points stay in the second-level
 * cache and only the weights stream by. Each tile is computed alone and moments are added up by
 * groups of tiles in their order: the result depends on no number of threads.
 * The weights take 36/9 (a doubled picture's 25/9) of their own size. */
#ifndef DARKROOM_GPU_CPU_WINOGRAD_H
#define DARKROOM_GPU_CPU_WINOGRAD_H

#include "gpu/cpu/conv.h"

/* As conv_create(), for a kernel of 3 and a stride of 1. ERR_NOMEM. */
int winograd_create(const struct conv_machine *machine, const struct conv_spec *spec,
                    const float *weights, const float *bias, struct conv **out_conv);

#endif

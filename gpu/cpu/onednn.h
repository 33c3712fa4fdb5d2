/* SPDX-License-Identifier: MIT
 *
 * Convolutions through oneDNN: conv.h's direct kind, and Winograd's where it is asked for by name.
 * The only place that knows oneDNN's descriptions. */
#ifndef DARKROOM_GPU_CPU_ONEDNN_H
#define DARKROOM_GPU_CPU_ONEDNN_H

#include "gpu/cpu/conv.h"

/* As conv_create(). ERR_UNSUPPORTED, without a text, where `winograd` is and cannot be. */
int onednn_create(const struct conv_machine *machine, const struct conv_spec *spec, bool winograd,
                  const float *weights, const float *bias, struct conv **out_conv, struct err *err);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Convolutions of any size through oneDNN's direct algorithm, one of conv.h's kinds. The only place
 * that knows oneDNN's descriptions. */
#ifndef DARKROOM_GPU_CPU_ONEDNN_H
#define DARKROOM_GPU_CPU_ONEDNN_H

#include "gpu/cpu/conv.h"

/* As conv_create(). */
int onednn_create(const struct conv_machine *machine, const struct conv_spec *spec,
                  const float *weights, const float *bias, struct conv **out_conv, struct err *err);

#endif

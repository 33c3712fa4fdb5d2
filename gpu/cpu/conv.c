/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/conv.h"

#include "gpu/cpu/isa.h"
#include "gpu/cpu/onednn.h"
#include "gpu/cpu/tiles/tiled.h"
#include "gpu/cpu/winograd.h"

/* Below this the transforms cost more than the multiplications they save: measured. */
#define WINOGRAD_MIN_CHANNELS 32

bool conv_winograd_pays(const struct conv_machine *machine, int inputs, int outputs)
{
    return machine->winograd && !machine->tiles && inputs >= WINOGRAD_MIN_CHANNELS &&
           outputs >= WINOGRAD_MIN_CHANNELS && isa_vectors() == ISA_AVX512;
}

int conv_create(const struct conv_machine *machine, const struct conv_spec *spec,
                const float *weights, const float *bias, struct conv **out_conv, struct err *err)
{
    if (machine->tiles)
        return tiled_create(machine->tiles, spec, weights, bias, out_conv);
    if (spec->kernel == 3 && spec->stride == 1 &&
        conv_winograd_pays(machine, spec->inputs, spec->outputs))
        return winograd_create(machine, spec, weights, bias, out_conv);
    return onednn_create(machine, spec, weights, bias, out_conv, err);
}

void conv_destroy(struct conv **conv)
{
    if (*conv)
        (*conv)->kind->destroy(*conv);
    *conv = NULL;
}

int conv_run(const struct conv *conv, const struct conv_task *task)
{
    return conv->kind->run(conv, task);
}

bool conv_takes_moments(const struct conv *conv)
{
    return conv->kind->moments;
}

void conv_moments(const struct conv *conv, struct moments *out)
{
    conv->kind->moments(conv, out);
}

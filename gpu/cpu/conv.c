/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/conv.h"

#include "common/err.h"
#include "gpu/cpu/onednn.h"

/* Below this the transforms cost more than the multiplications they save: measured. */
#define WINOGRAD_MIN_CHANNELS 64

bool conv_winograd_pays(const struct conv_machine *machine, int inputs, int outputs)
{
    return machine->winograd && inputs >= WINOGRAD_MIN_CHANNELS &&
           outputs >= WINOGRAD_MIN_CHANNELS &&
           dnnl_get_effective_cpu_isa() >= dnnl_cpu_isa_avx512_core;
}

int conv_create(const struct conv_machine *machine, const struct conv_spec *spec,
                const float *weights, const float *bias, struct conv **out_conv, struct err *err)
{
    const bool winograd = spec->kernel == 3 && spec->stride == 1 &&
                          conv_winograd_pays(machine, spec->inputs, spec->outputs);
    int rc = ERR_UNSUPPORTED;
    if (winograd)
        rc = onednn_create(machine, spec, true, weights, bias, out_conv, err);
    if (rc == ERR_UNSUPPORTED)
        rc = onednn_create(machine, spec, false, weights, bias, out_conv, err);
    return rc;
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

/* SPDX-License-Identifier: MIT
 *
 * One convolution through oneDNN, its weights in the layout that the kernel wants.
 *
 *     rc = conv_create(engine, &spec, weights, bias, &conv, &err);
 *     ... conv->layout says how input and output lie ...
 *     conv_run(conv, stream, src, dst, scratchpad);
 *     conv_destroy(&conv);
 *
 * The input is padded already: whoever writes it does so in passing. A conv belongs to the thread
 * of its plan. */
#ifndef DARKROOM_GPU_CPU_CONV_H
#define DARKROOM_GPU_CPU_CONV_H

#include "gpu/cpu/view.h"

#include <dnnl.h>
#include <stddef.h>

struct err;

struct conv_spec {
    const char *name;    /* borrowed; for errors */
    int inputs, outputs; /* channels as they lie in memory */
    int h, w;            /* of the padded input */
    int kernel, stride;
    bool relu;
    bool winograd; /* F(4x4, 3x3), where the machine has it: else the direct algorithm */
};

struct conv {
    enum view_layout layout; /* blocked or channels-last, of input and output */
    int out_h, out_w;
    size_t scratch_bytes; /* of the memory that conv_run() needs beside */
    size_t weight_bytes;  /* as the kernel wants them */
    dnnl_primitive_t primitive;
    dnnl_memory_t src, weights, bias, dst, scratch; /* src, dst and scratch without data */
    void *weights_data;                             /* owned */
    void *bias_data;                                /* owned */
};

/* `weights` [outputs][inputs][K][K] and `bias` [outputs] (nullable) are borrowed for the call.
 * ERR_NOMEM, ERR_INTERNAL. */
int conv_create(dnnl_engine_t engine, dnnl_stream_t stream, const struct conv_spec *spec,
                const float *weights, const float *bias, struct conv **out_conv, struct err *err);

/* Accepts NULL inside; sets it to NULL. */
void conv_destroy(struct conv **conv);

int conv_run(const struct conv *conv, dnnl_stream_t stream, float *src, float *dst, void *scratch);

/* Whether this machine has the Winograd algorithm for these channels, and it pays. */
bool conv_winograd_pays(int inputs, int outputs);

#endif

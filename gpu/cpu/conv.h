/* SPDX-License-Identifier: MIT
 *
 * One convolution, its weights packed as its kernel wants them.
 *
 *     rc = conv_create(machine, &spec, weights, bias, &conv, &err);
 *     ... conv->form says how the input has to lie, conv->layout how the output will ...
 *     conv_run(conv, &(struct conv_task){.src = …, .dst = …, .scratch = …});
 *     conv_destroy(&conv);
 *
 * There are several kinds: which one computes a layer is conv_create()'s choice, and the compiler
 * sees the answer alone. Unless it says otherwise, the input is padded already: whoever writes it
 * does so in passing. A conv belongs to the thread of its plan. */
#ifndef DARKROOM_GPU_CPU_CONV_H
#define DARKROOM_GPU_CPU_CONV_H

#include "gpu/cpu/view.h"

#include <dnnl.h>

struct err;
struct moments;
struct tile_functions;

/* What convolutions are made on. */
struct conv_machine {
    dnnl_engine_t engine;               /* borrowed */
    dnnl_stream_t stream;               /* borrowed */
    int threads;                        /* 1 or more */
    bool winograd;                      /* may be used, where it pays */
    const struct tile_functions *tiles; /* computes in bf16; NULL: in f32 */
};

struct conv_spec {
    const char *name;    /* borrowed; for errors */
    int inputs, outputs; /* channels as they lie in memory */
    int h, w;            /* of the input as it is seen, without padding */
    int kernel, stride;
    struct padding padding;
    bool nearest; /* the input is seen doubled by nearest neighbour: only for Winograd */
    bool relu;
    bool doubled; /* the four phases of fold.h's 2x2 taps */
    /* Borrowed; nullable: this convolution of a picture of another size, on the same machine, which
     * stays for as long. What it has packed is used. */
    const struct conv *like;
};

/* Behind a picture of bf16: a convolution may read it and write there. */
#define CONV_SLACK_BYTES 64

/* How a picture has to lie for whoever reads it. */
struct form {
    enum tensor_type type;
    enum view_layout layout;
    struct padding padding; /* around it, in memory */
};

struct conv {
    const struct conv_kind *kind;
    struct form form;        /* of the input */
    bool unfinished;         /* the input may lie anyhow, and with a norm still to be applied */
    enum view_layout layout; /* of the output: blocked or channels-last, without padding, f32 */
    int outputs, out_h, out_w;
    size_t scratch_bytes; /* of the memory that conv_run() needs beside */
    size_t weight_bytes;  /* as the kernel wants them; 0: they are another's */
};

struct conv_task {
    const struct view *src; /* data is the padding's corner */
    const struct view *dst;
    void *scratch;
    const float *scale, *shift, *slope; /* where the input is unfinished: as in sweep.h */
};

/* What a kind of convolution has to offer; its struct begins with a struct conv. */
struct conv_kind {
    int (*run)(const struct conv *conv, const struct conv_task *task);
    void (*destroy)(struct conv *conv);
    /* Of the last run's result; NULL where none are taken. */
    void (*moments)(const struct conv *conv, struct moments *out);
};

/* `weights` [outputs][inputs][K][K] and `bias` [outputs] (nullable) are borrowed for the call; both
 * NULL where the spec has a `like`. ERR_NOMEM, ERR_INTERNAL. */
int conv_create(const struct conv_machine *machine, const struct conv_spec *spec,
                const float *weights, const float *bias, struct conv **out_conv, struct err *err);

/* Accepts NULL inside; sets it to NULL. */
void conv_destroy(struct conv **conv);

/* ERR_INTERNAL. */
int conv_run(const struct conv *conv, const struct conv_task *task);

/* Whether a run takes the moments of its result (phases as one picture) in passing. */
bool conv_takes_moments(const struct conv *conv);
void conv_moments(const struct conv *conv, struct moments *out);

/* Whether conv_create() would take the Winograd algorithm for a 3x3 of these channels. */
bool conv_winograd_pays(const struct conv_machine *machine, int inputs, int outputs);

#endif

/* SPDX-License-Identifier: MIT
 *
 * What a device has to offer to run a network; model.c calls nothing else of it.
 *
 * Each backend that the build leaves out is replaced by absent_*.c, whose check() says so: which
 * ones exist is known to gpu/meson.build alone. A state belongs to one thread at a time. */
#ifndef DARKROOM_GPU_BACKEND_H
#define DARKROOM_GPU_BACKEND_H

#include "gpu/model.h"

struct err;
struct network;

struct backend_options {
    enum model_precision precision;
    int threads; /* 1 or more */
};

struct backend {
    /* Can this build, on this machine, compute this network so at all? Cheap. ERR_UNSUPPORTED says
     * what not. */
    int (*check)(const struct network *network, const struct backend_options *options,
                 struct err *err);
    /* After a check. `network` and what it borrows stay until close(). *out_state is owned by the
     * caller. */
    int (*open)(const struct network *network, const struct backend_options *options,
                void **out_state, struct err *err);
    /* Pays now what the first run of this batch size would pay. */
    int (*prepare)(void *state, int batch, struct err *err);
    /* [batch,C,H,W] to [batch,C,H,W]. The result of a picture does not depend on its batch. */
    int (*run)(void *state, int batch, const float *input, float *output, struct err *err);
    void (*close)(void *state); /* accepts NULL */
};

extern const struct backend backend_cpu, backend_cuda, backend_ref;

#endif

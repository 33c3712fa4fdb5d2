/* SPDX-License-Identifier: MIT
 *
 * What a device has to offer to run a network; model.c calls nothing else of it.
 *
 * Each backend that the build leaves out is replaced by absent_*.c, whose check() says so: which
 * ones exist is known to gpu/meson.build alone.
 *
 * A state belongs to one thread at a time, but not always to the same one: a worker opens and
 * prepares a model in one thread, runs it in another and closes it in the first again, while other
 * states run. So every call sets anew what a thread has of its own (OpenMP's number of threads,
 * CUDA's current device), nothing is kept in thread-local variables, and no call makes another
 * state's wait: no device-wide synchronisation, capture of graphs with
 * cudaStreamCaptureModeThreadLocal, streams without the implicit order of the default one.
 * What open() and prepare() take, close() gives back to the system, caches of libraries included.
 */
#ifndef DARKROOM_GPU_BACKEND_H
#define DARKROOM_GPU_BACKEND_H

#include "gpu/model.h"

struct err;
struct network;

struct backend_options {
    enum model_precision precision;
    int threads;      /* 1 or more */
    bool no_winograd; /* see struct model_options */
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
    /* The same network for pictures of another size, with what `state` has packed: that one stays
     * for as long, and belongs to the same thread. NULL where nothing is shared. */
    int (*open_like)(const struct network *network, const void *state, void **out_state,
                     struct err *err);
    /* Pays now what the first run of this batch size would pay; what was prepared before stays. */
    int (*prepare)(void *state, int batch, struct err *err);
    /* [batch,C,H,W] to [batch,C,H,W]. The result of a picture does not depend on its batch. */
    int (*run)(void *state, int batch, const float *input, float *output, struct err *err);
    void (*close)(void *state); /* accepts NULL */
    /* What the state holds now: packed weights, plans, activations. Not the network's tensors. */
    struct model_bytes (*bytes)(const void *state);
    /* What open() and prepare(batch) are going to hold, from the layers' shapes: rather too much
     * than too little. For absent backends NULL, and peak() and memory() too, as nothing passes
     * check(). */
    struct model_bytes (*estimate)(const struct network *network,
                                   const struct backend_options *options, int batch);
    /* What this machine multiplies and adds at most, in FLOP/s, measured for some tenths of a
     * second with as many threads as the options say. ERR_UNSUPPORTED where nobody can tell. */
    int (*peak)(const struct backend_options *options, double *out_flops, struct err *err);
    /* Of the memory that bytes() counts: all that is there, and what is free now. */
    int (*memory)(uint64_t *out_total, uint64_t *out_free, struct err *err);
};

extern const struct backend backend_cpu, backend_cuda, backend_ref;

#endif

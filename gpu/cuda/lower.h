/* SPDX-License-Identifier: MIT
 *
 * While a network is lowered to steps: what each layer gave so far, and who reads it.
 *
 * lower.c walks over the layers, lower_ahead.c tells it what comes next; steps.h is the result. */
#ifndef DARKROOM_GPU_CUDA_LOWER_H
#define DARKROOM_GPU_CUDA_LOWER_H

#include "gpu/cuda/steps.h"

struct err;

enum value_kind {
    VALUE_NONE,    /* not yet, or never on its own: another layer took it in */
    VALUE_PICTURE, /* activations */
    VALUE_VECTOR,  /* floats [C] */
    VALUE_FOLDED   /* the convolution that reads it sees to it */
};

struct value {
    enum value_kind kind;
    int buffer;
    int partials, tiles; /* PICTURE: a buffer, -1 without sums */
};

struct lowering {
    const struct network *network; /* borrowed */
    struct steps *steps;           /* borrowed */
    struct err *err;               /* borrowed; nullable */
    struct value value[NETWORK_MAX_LAYERS];
    bool taken[NETWORK_MAX_LAYERS];                              /* in by an earlier one */
    int readers[NETWORK_MAX_LAYERS], reader[NETWORK_MAX_LAYERS]; /* how many; the last of them */
};

void lower_count_readers(struct lowering *l);

/* The only layer that reads this one, where nobody else needs its values; -1. */
int lower_sole_reader(const struct lowering *l, int layer);
/* The same, if it is of this kind. */
int lower_next(const struct lowering *l, int layer, enum layer_kind kind);
/* The same, if it is a ReLU of either kind: these leave zeros in the channels that only fill up. */
int lower_next_act(const struct lowering *l, int layer);
enum kernel_act lower_act(enum layer_kind kind);

/* Whether its factors come from moments of its input. */
bool lower_is_moment_norm(const struct lowering *l, int layer);
bool lower_a_mean_reads(const struct lowering *l, int layer);
bool lower_only_convolutions_read(const struct lowering *l, int layer);

#endif

/* SPDX-License-Identifier: MIT
 *
 * Small networks of every architecture with random weights, for tests of a backend.
 *
 *     struct networks n;
 *     if (networks_make(&n, "ugatit", "light", 16, &err) == 0)    // n.network, n.input
 *         ...
 *     networks_fini(&n); */
#ifndef DARKROOM_TESTS_NETWORKS_H
#define DARKROOM_TESTS_NETWORKS_H

#include "gpu/network.h"

struct err;

struct networks {
    struct network network;
    float *values[8 * NETWORK_MAX_LAYERS]; /* owned: the tensors' data */
    int value_count;
    float *input; /* owned; [NETWORKS_PICTURES] inputs in [-1,1] */
};

#define NETWORKS_PICTURES 48

struct networks_case {
    const char *architecture; /* NULL: every kind of layer, one behind the other */
    const char *kind, *variant;
    int channels, blocks, size;
};

extern const struct networks_case networks_cases[];
extern const int networks_case_count;

/* "fast-srgan x4": static storage, until the next call. */
const char *networks_name(const struct networks_case *c);

void networks_make(struct networks *n, const struct networks_case *c);
/* Gives the layers that a builder made without weights random ones, and fills the input. */
void networks_fill(struct networks *n);
void networks_fini(struct networks *n);

#endif

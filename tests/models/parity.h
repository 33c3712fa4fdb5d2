/* SPDX-License-Identifier: MIT
 *
 * What the parity tests share: random weights, PyTorch's layers for them, and a network on top.
 *
 *     struct parity p;
 *     parity_init(&p, &(struct parity_case){.channels = 8, .size = 64});   // skips without PyTorch
 *     ... p.network, parity_layer(&p, i) ...
 *     parity_fini(&p);
 *
 * Paths come from the environment that meson sets: DARKROOM_TESTS, DARKROOM_TORCH_PYTHON. */
#ifndef DARKROOM_TESTS_MODELS_PARITY_H
#define DARKROOM_TESTS_MODELS_PARITY_H

#include "gpu/models/ugatit.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

struct parity_case {
    const char *name;
    int channels, blocks, size;
    bool full;
    const char *type; /* of the weights: "F32", "F16", "BF16" */
    bool alone;       /* without PyTorch, which takes seconds to start */
};

struct parity {
    struct parity_case c;
    char directory[64];
    struct weights *weights; /* owned */
    struct weights *golden;  /* owned; NULL without PyTorch */
    struct ugatit_shape shape;
    struct network network;
    float *input; /* owned; 3 x size x size */
};

/* False without PyTorch: then `golden` is NULL and the input is noise of our own. */
bool parity_init(struct parity *p, const struct parity_case *c);
void parity_fini(struct parity *p);

/* PyTorch's values of layer `i`, owned by the caller. */
float *parity_layer(const struct parity *p, int i);

/* Greatest |a - b| over the greatest |b|, but at least over 1. */
double parity_distance(const float *a, const float *b, size_t count);

#endif

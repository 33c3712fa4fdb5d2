/* SPDX-License-Identifier: MIT
 *
 * A network on the CPU backend, cut off after each of its layers, against the oracle.
 *
 *     CHECK(cut_distance("light", &network, input, &options) <= 1e-3);
 *
 * In a header as the tests' helpers are. */
#ifndef DARKROOM_TESTS_MODELS_CUT_H
#define DARKROOM_TESTS_MODELS_CUT_H

#include "common/err.h"
#include "gpu/backend.h"
#include "gpu/ref/ref.h"
#include "tests/models/parity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cut {
    const struct network *network;
    float *values[NETWORK_MAX_LAYERS]; /* the oracle's, owned */
};

static inline void cut_keep(void *context, int layer, const float *values)
{
    struct cut *c = context;
    size_t bytes = layer_values(&c->network->layers[layer]) * sizeof *values;
    c->values[layer] = malloc(bytes);
    memcpy(c->values[layer], values, bytes);
}

static inline int cut_run(const struct network *network, int layers, const float *input,
                          const struct backend_options *options, float *out)
{
    static struct network cut;
    struct err err = {0};
    void *state = NULL;
    cut = *network;
    cut.count = layers;
    int rc = backend_cpu.open(&cut, options, &state, &err);
    if (rc == 0)
        rc = backend_cpu.run(state, 1, input, out, &err);
    if (rc < 0)
        printf("# %d layers: %s\n", layers, err.text);
    if (state)
        backend_cpu.close(state);
    return rc;
}

/* What the CPU folds into a neighbour has no values of its own to end with. */
static inline bool cut_is_folded(const struct layer *layer)
{
    return layer->kind == LAYER_CAM;
}

/* The greatest parity_distance() of all layers; INFINITY where something failed, 0 in a build
 * without this backend. */
static inline double cut_distance(const char *name, const struct network *network,
                                  const float *input, const struct backend_options *options)
{
    struct cut c = {.network = network};
    const int layers = network->count;
    double worst = 0;
    int worst_layer = 0;
    struct err err = {0};
    if (backend_cpu.check(network, options, &err) < 0) {
        printf("# %s\n", err.text);
        return 0;
    }
    float *out = malloc(network_out_values(network) * sizeof *out);
    if (ref_run(network, input, out, cut_keep, &c, NULL) < 0)
        worst = INFINITY;
    free(out);
    for (int i = 1; isfinite(worst) && i < layers; i++) {
        const struct layer *l = &network->layers[i];
        if (cut_is_folded(l))
            continue;
        out = malloc(layer_values(l) * sizeof *out);
        double d = cut_run(network, i + 1, input, options, out) < 0
                       ? INFINITY
                       : parity_distance(out, c.values[i], layer_values(l));
        free(out);
        if (!(d <= worst)) {
            worst = d;
            worst_layer = i;
        }
    }
    printf("# %s on the CPU: worst layer %d (%s) %.2g\n", name, worst_layer,
           network->layers[worst_layer].name, worst);
    for (int i = 0; i < layers; i++)
        free(c.values[i]);
    return worst;
}

#endif

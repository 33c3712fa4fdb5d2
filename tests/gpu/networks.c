/* SPDX-License-Identifier: MIT */
#include "tests/gpu/networks.h"

#include "common/err.h"
#include "gpu/models/architectures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct networks_case networks_cases[] = {
    {"ugatit", "light", "pytorch", 8, 1, 16},
    {"ugatit", "light", "tensorflow", 5, 1, 20},
    {"ugatit", "full", "pytorch", 4, 1, 16},
    {"cgan", "digits", "pytorch", 0, 0, 0},
    {"cartoongan", "cartoon", "pytorch", 4, 8, 16},
    {"fast-style-transfer", "style", "tensorflow", 4, 5, 16},
    {"fast-srgan", "x4", "pytorch", 8, 1, 8},
    {NULL, "odd sizes", "", 0, 0, 0},
#ifndef EMULATED_ARCH
    /* What a GPU has the time for: several tiles each way, channels in several slices. */
    {"ugatit", "light", "pytorch", 40, 2, 64},
    {"ugatit", "full", "pytorch", 16, 1, 64},
    {"cartoongan", "cartoon", "pytorch", 24, 8, 64},
    {"fast-style-transfer", "style", "tensorflow", 32, 5, 64},
    {"fast-srgan", "x4", "pytorch", 64, 2, 40},
#endif
};
const int networks_case_count = sizeof networks_cases / sizeof networks_cases[0];

const char *networks_name(const struct networks_case *c)
{
    static char name[64];
    snprintf(name, sizeof name, "%s %s %s", c->architecture ? c->architecture : "layers", c->kind,
             c->variant);
    return name;
}

static float noise(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / (float)(1 << 23) - 1.0f;
}

/* Values around `middle`, `spread` to either side. */
static void give(struct networks *n, struct tensor *tensor, int rank, const int64_t *dim,
                 float middle, float spread)
{
    uint32_t state = (uint32_t)n->value_count * 77u + 5u;
    *tensor = (struct tensor){.type = TENSOR_F32, .rank = rank};
    memcpy(tensor->dim, dim, (size_t)rank * sizeof *dim);
    const int64_t count = tensor_count(tensor);
    float *values = malloc((size_t)count * sizeof *values);
    if (!values)
        abort();
    for (int64_t i = 0; i < count; i++)
        values[i] = middle + spread * noise(&state);
    n->values[n->value_count++] = values;
    tensor->data = values;
}

static void fill_norm(struct networks *n, struct layer *l)
{
    const int64_t dim[4] = {1, l->c, 1, 1};
    const bool flat = l->norm == NORM_BATCH || l->norm == NORM_INSTANCE;
    if (l->norm == NORM_LAYER_INSTANCE || l->norm == NORM_ADAPTIVE)
        give(n, &l->rho, 4, dim, 0.5f, 0.5f);
    if (l->norm == NORM_ADAPTIVE || (l->norm == NORM_INSTANCE && n->value_count % 3 == 0))
        return;
    give(n, &l->gamma, flat ? 1 : 4, flat ? dim + 1 : dim, 1.0f, 0.3f);
    give(n, &l->beta, flat ? 1 : 4, flat ? dim + 1 : dim, 0.0f, 0.3f);
    if (l->norm != NORM_BATCH)
        return;
    give(n, &l->mean, 1, dim + 1, 0.0f, 0.3f);
    give(n, &l->variance, 1, dim + 1, 1.0f, 0.5f);
}

static void fill_layer(struct networks *n, struct layer *l, const struct layer *from)
{
    const int64_t k = l->kernel, in = from ? from->c : 0;
    const bool deconv = l->kind == LAYER_DECONV;
    const int64_t conv[4] = {deconv ? in : l->c, deconv ? l->c : in, k, k};
    const int64_t connected[2] = {l->c, from ? (int64_t)layer_values(from) : 0};
    const int64_t half[2] = {1, l->c / 2};
    const int64_t slopes[1] = {n->value_count % 2 ? l->c : 1};
    switch (l->kind) {
    case LAYER_CONV:
    case LAYER_DECONV:
        give(n, &l->weight, 4, conv, 0.0f, sqrtf(3.0f / (float)(in * k * k)));
        if (n->value_count % 3)
            give(n, &l->bias, 1, &l->c, 0.0f, 0.2f);
        break;
    case LAYER_CONNECTED:
        give(n, &l->weight, 2, connected, 0.0f, sqrtf(3.0f / (float)connected[1]));
        if (n->value_count % 2)
            give(n, &l->bias, 1, &l->c, 0.2f, 0.2f);
        break;
    case LAYER_CAM:
        give(n, &l->weight, 2, half, 0.0f, 1.0f);
        give(n, &l->second, 2, half, 0.0f, 1.0f);
        break;
    case LAYER_PRELU: give(n, &l->weight, 1, slopes, 0.2f, 0.1f); break;
    case LAYER_NORM: fill_norm(n, l); break;
    case LAYER_INPUT:
    case LAYER_UPSAMPLE:
    case LAYER_RELU:
    case LAYER_TANH:
    case LAYER_ADD:
    case LAYER_MEAN:
    case LAYER_RESHAPE:
    case LAYER_SIGMOID:
    case LAYER_SHUFFLE:
    case LAYER_KIND_COUNT: break;
    }
}

void networks_fill(struct networks *n)
{
    uint32_t state = 9;
    for (int i = 0; i < n->network.count; i++) {
        struct layer *l = &n->network.layers[i];
        fill_layer(n, l, l->input >= 0 ? &n->network.layers[l->input] : NULL);
    }
    const size_t count = NETWORKS_PICTURES * layer_values(&n->network.layers[0]);
    n->input = malloc(count * sizeof *n->input);
    if (!n->input)
        abort();
    for (size_t i = 0; i < count; i++)
        n->input[i] = noise(&state);
}

/* What no architecture has: sides that nothing divides, activations and norms on their own. */
static int build_odd(struct network *network, struct err *err)
{
    struct network_builder builder = {.network = network, .err = err}, *b = &builder;
    memset(network, 0, sizeof *network);
    int x = network_input(b, 3, 17, 13);
    const int first = x = network_relu(
        b, network_conv(b, "first", x,
                        (struct network_conv){.channels = 12, .kernel = 3, .stride = 1, .pad = 1}));
    x = network_batch_norm(b, "batch", x, 1e-3f); /* behind an activation: not folded */
    x = network_prelu(b, "prelu", x);
    x = network_add(b, x, first);
    x = network_relu(b, x);
    x = network_conv(
        b, "down", x,
        (struct network_conv){
            .channels = 10, .kernel = 3, .stride = 2, .pad = 0, .pad_end = 1, .zeros = true});
    x = network_relu(b, network_instance_norm(b, x, 1e-5f));
    x = network_deconv(
        b, "up", x,
        (struct network_deconv){.channels = 9, .kernel = 4, .stride = 2, .pad = 1, .bias = true});
    x = network_tanh(b, x);
    x = network_conv(b, "big", network_upsample(b, x),
                     (struct network_conv){.channels = 5, .kernel = 3, .stride = 1, .pad = 1});
    network_tanh(b, network_instance_norm(b, x, 1e-5f));
    return b->rc;
}

void networks_make(struct networks *n, const struct networks_case *c)
{
    struct err err = {0};
    const struct architecture *a = c->architecture ? architectures_find(c->architecture) : NULL;
    const struct architecture_found found = {.kind = c->kind,
                                             .variant = c->variant,
                                             .channels = c->channels,
                                             .blocks = c->blocks,
                                             .size = c->size};
    memset(n, 0, sizeof *n);
    int rc = a ? a->build(NULL, &found, c->size, &n->network, &err) : build_odd(&n->network, &err);
    if (rc < 0) {
        printf("Bail out! %s: %s\n", networks_name(c), err.text);
        exit(EXIT_FAILURE);
    }
    networks_fill(n);
}

void networks_fini(struct networks *n)
{
    for (int i = 0; i < n->value_count; i++)
        free(n->values[i]);
    free(n->input);
}

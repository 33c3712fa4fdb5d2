/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/lower.h"

void lower_count_readers(struct lowering *l)
{
    for (int i = 0; i < l->network->count; i++) {
        const struct layer *at = &l->network->layers[i];
        const bool adaptive = at->kind == LAYER_NORM && at->norm == NORM_ADAPTIVE;
        const int reads[] = {at->input, at->other, adaptive ? at->gamma_from : -1,
                             adaptive ? at->beta_from : -1};
        for (size_t k = 0; k < sizeof reads / sizeof reads[0]; k++)
            if (reads[k] >= 0) {
                l->readers[reads[k]]++;
                l->reader[reads[k]] = i;
            }
    }
}

int lower_sole_reader(const struct lowering *l, int layer)
{
    if (layer < 0 || (l->network->heat_map && layer == l->network->attention))
        return -1;
    return l->readers[layer] == 1 ? l->reader[layer] : -1;
}

int lower_next(const struct lowering *l, int layer, enum layer_kind kind)
{
    int next = lower_sole_reader(l, layer);
    return next >= 0 && l->network->layers[next].kind == kind ? next : -1;
}

enum kernel_act lower_act(enum layer_kind kind)
{
    static const enum kernel_act acts[LAYER_KIND_COUNT] = {[LAYER_RELU] = KERNEL_RELU,
                                                           [LAYER_PRELU] = KERNEL_PRELU,
                                                           [LAYER_SIGMOID] = KERNEL_SIGMOID,
                                                           [LAYER_TANH] = KERNEL_TANH};
    return acts[kind];
}

int lower_next_act(const struct lowering *l, int layer)
{
    int next = lower_next(l, layer, LAYER_RELU);
    return next >= 0 ? next : lower_next(l, layer, LAYER_PRELU);
}

bool lower_is_moment_norm(const struct lowering *l, int layer)
{
    return layer >= 0 && l->network->layers[layer].kind == LAYER_NORM &&
           l->network->layers[layer].norm != NORM_BATCH;
}

bool lower_a_mean_reads(const struct lowering *l, int layer)
{
    for (int i = layer + 1; i < l->network->count; i++)
        if (l->network->layers[i].kind == LAYER_MEAN && l->network->layers[i].input == layer)
            return true;
    return false;
}

bool lower_only_convolutions_read(const struct lowering *l, int layer)
{
    for (int i = layer + 1; i < l->network->count; i++)
        if ((l->network->layers[i].input == layer || l->network->layers[i].other == layer) &&
            l->network->layers[i].kind != LAYER_CONV)
            return false;
    return l->readers[layer] > 0;
}

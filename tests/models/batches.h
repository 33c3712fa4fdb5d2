/* SPDX-License-Identifier: MIT
 *
 * Batching never changes a picture: the same bytes in a batch of any size and in any slot.
 *
 *     CHECK_INT(batches_differ(model), 0);
 *
 * In a header as the tests' helpers are. */
#ifndef DARKROOM_TESTS_MODELS_BATCHES_H
#define DARKROOM_TESTS_MODELS_BATCHES_H

#include "gpu/model.h"

#include <math.h>
#include <stdlib.h>

enum { BATCHES_MOST = 32 };

static inline uint64_t batches_hash(const float *values, size_t count)
{
    const unsigned char *bytes = (const unsigned char *)values;
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < count * sizeof *values; i++)
        h = (h ^ bytes[i]) * 1099511628211u;
    return h;
}

/* 32 different pictures alone, then in batches of 1 to 32: the n-th batch begins with another
 * picture, so that each has been in many slots. How many outputs were not as alone; -1 where a run
 * failed or all pictures gave the same. */
static inline int batches_differ(struct model *model)
{
    const size_t in_values = model_info(model)->in_values;
    const size_t out_values = model_info(model)->out_values;
    float *in = malloc((size_t)2 * BATCHES_MOST * in_values * sizeof *in);
    float *out = malloc((size_t)BATCHES_MOST * out_values * sizeof *out);
    uint64_t alone[BATCHES_MOST];
    int different = in && out ? 0 : -1;
    for (size_t i = 0; different == 0 && i < 2 * BATCHES_MOST * in_values; i++)
        in[i] = sinf((float)(i % (BATCHES_MOST * in_values)) * 0.37f);
    for (size_t p = 0; different == 0 && p < BATCHES_MOST; p++) {
        if (model_run(model, 1, in + p * in_values, out, NULL) < 0)
            different = -1;
        alone[p] = batches_hash(out, out_values);
    }
    if (different == 0 && alone[0] == alone[1])
        different = -1;
    for (size_t batch = 1; different >= 0 && batch <= BATCHES_MOST; batch++) {
        const size_t first = batch * 11 % BATCHES_MOST;
        if (model_run(model, (int)batch, in + first * in_values, out, NULL) < 0)
            different = -1;
        for (size_t slot = 0; different >= 0 && slot < batch; slot++)
            different += batches_hash(out + slot * out_values, out_values) !=
                         alone[(first + slot) % BATCHES_MOST];
    }
    free(in);
    free(out);
    return different;
}

#endif

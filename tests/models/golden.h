/* SPDX-License-Identifier: MIT
 *
 * The small weights of tests/models/data and what PyTorch made of them once.
 *
 *     rc = model_open(golden_path("light"), &options, &model, &err);
 *     float *want = golden_values("light", "output", count);
 *
 * In a header because CHECK leaves the test that includes it. One thread. */
#ifndef DARKROOM_TESTS_MODELS_GOLDEN_H
#define DARKROOM_TESTS_MODELS_GOLDEN_H

#include "gpu/weights/weights.h"
#include "tests/unit/check.h"

/* The weights file of that name; valid until the next call. */
static inline const char *golden_path(const char *name)
{
    static char path[256];
    const char *tests = getenv("DARKROOM_TESTS");
    snprintf(path, sizeof path, "%s/models/data/%s.safetensors", tests ? tests : "tests", name);
    return path;
}

/* A recorded tensor, which must have `count` values; owned by the caller. */
static inline float *golden_read(const char *path, const char *tensor_name, size_t count)
{
    struct weights *weights = NULL;
    struct tensor tensor;
    CHECK_INT(weights_open(path, &weights, NULL), 0);
    CHECK_INT(weights_find(weights, tensor_name, &tensor), 0);
    CHECK_INT(tensor_count(&tensor), count);
    float *values = malloc(count * sizeof *values);
    tensor_to_f32(&tensor, values);
    weights_close(&weights);
    return values;
}

/* The same from the file beside the weights of that name. */
static inline float *golden_values(const char *name, const char *tensor_name, size_t count)
{
    char file[64];
    snprintf(file, sizeof file, "%s-golden", name);
    return golden_read(golden_path(file), tensor_name, count);
}

#endif

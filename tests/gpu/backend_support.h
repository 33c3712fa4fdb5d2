/* SPDX-License-Identifier: MIT
 *
 * What tests of the CUDA backend share: opening and running a network, and how far two results are
 * apart. In a header because CHECK leaves the test that includes it. */
#ifndef DARKROOM_TESTS_BACKEND_SUPPORT_H
#define DARKROOM_TESTS_BACKEND_SUPPORT_H

#include "common/err.h"
#include "gpu/backend.h"
#include "gpu/ref/ref.h"
#include "tests/gpu/networks.h"
#include "tests/unit/check.h"

#include <math.h>

/* A real GPU leaks and faults less visibly. */
#ifdef EMULATED_ARCH
#include "tests/gpu/emulator/emulator.h"
#else
static inline void emulator_reset(uint64_t seed)
{
}
static inline const char *emulator_fault(void)
{
    return "";
}
static inline int emulator_live_objects(void)
{
    return 0;
}
#define EMULATED_ARCH 0
#endif

static const struct backend_options in_f32 = {.precision = MODEL_F32, .threads = 1};
static const struct backend_options in_f16 = {.precision = MODEL_F16, .threads = 1};
static const struct backend_options in_bf16 = {.precision = MODEL_BF16, .threads = 1};

static inline void *open_network(const struct network *network,
                                 const struct backend_options *options)
{
    struct err err = {0};
    void *state = NULL;
    int rc = backend_cuda.check(network, options, &err);
    if (rc == 0)
        rc = backend_cuda.open(network, options, &state, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    return state;
}

static inline float *run_network(const struct networks *n, void *state, int batch)
{
    struct err err = {0};
    const size_t values = network_out_values(&n->network);
    float *out = malloc((size_t)batch * values * sizeof *out);
    int rc = backend_cuda.run(state, batch, n->input, out, &err);
    if (rc < 0)
        printf("# %s\n", err.text);
    CHECK_INT(rc, 0);
    return out;
}

struct difference {
    double most, decibels; /* decibels of values in [-1,1] */
};

static inline struct difference compare(const float *a, const float *b, size_t count)
{
    struct difference d = {0};
    double squares = 0, scale = 1;
    for (size_t i = 0; i < count; i++)
        scale = fmax(scale, fabs((double)b[i]));
    for (size_t i = 0; i < count; i++) {
        const double by = fabs((double)a[i] - (double)b[i]) / scale;
        d.most = by <= d.most ? d.most : by;
        squares += by * by;
    }
    d.decibels = squares > 0 ? 20 * log10(2 / sqrt(squares / (double)count)) : 200;
    return d;
}

#endif

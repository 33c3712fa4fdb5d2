/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/peak.h"

#include "common/clock.h"
#include "common/err.h"
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/tiles/tile_conv.h"

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>

/* Three matrices of a side that fills every core and stays in the caches' reach. */
#define SIDE 1024
#define MEASURE_US 500000
#define LEAST_RUNS 3

static int measure_f32(float *matrices, double *out_flops)
{
    const size_t count = (size_t)SIDE * SIDE;
    double best = 0;
    int64_t end_us = clock_us() + MEASURE_US;
    for (size_t i = 0; i < 2 * count; i++)
        matrices[i] = (float)(i % 7) - 3;
    for (int runs = 0; runs <= LEAST_RUNS || clock_us() < end_us; runs++) {
        int64_t begin_us = clock_us();
        if (dnnl_sgemm('N', 'N', SIDE, SIDE, SIDE, 1, matrices, SIDE, matrices + count, SIDE, 0,
                       matrices + 2 * count, SIDE) != dnnl_success)
            return ERR_INTERNAL;
        double seconds = (double)(clock_us() - begin_us) / 1e6;
        double flops = 2.0 * SIDE * SIDE * SIDE / seconds;
        /* The first one pays for the threads and the code. */
        best = runs > 0 && flops > best ? flops : best;
    }
    *out_flops = best;
    return 0;
}

/* A 1x1 convolution of SIDE pixels is a product of matrices, and oneDNN must not use the tiles of
 * every machine that has them. */
static int measure_bf16(float *matrices, double *out_flops)
{
    enum { WIDE = 32 };
    const struct tile_conv_spec spec = {
        .inputs = SIDE, .outputs = SIDE, .h = SIDE / WIDE, .w = WIDE, .kernel = 1, .stride = 1};
    struct tile_conv *conv;
    const size_t count = (size_t)SIDE * SIDE;
    uint16_t *src = (uint16_t *)(void *)(matrices + count);
    double best = 0;
    for (size_t i = 0; i < count; i++)
        matrices[i] = (float)(i % 7) - 3;
    if (tile_conv_create(&spec, tiles_functions(), matrices, NULL, &conv) < 0)
        return ERR_NOMEM;
    for (size_t i = 0; i < count; i++)
        src[i] = tensor_f32_to_bf16((float)(i % 5) - 2);
    int64_t end_us = clock_us() + MEASURE_US;
    for (int runs = 0; runs <= LEAST_RUNS || clock_us() < end_us; runs++) {
        int64_t begin_us = clock_us();
        tile_conv_run(conv, src, matrices + 2 * count, NULL);
        double flops = 2.0 * SIDE * SIDE * SIDE / ((double)(clock_us() - begin_us) / 1e6);
        best = runs > 0 && flops > best ? flops : best;
    }
    tile_conv_destroy(&conv);
    *out_flops = best;
    return 0;
}

int peak_measure(const struct backend_options *options, double *out_flops, struct err *err)
{
    if (options->precision == MODEL_F16)
        return err_set(err, ERR_UNSUPPORTED, "precision", "the peak in %s is not measured here",
                       model_precision_name(options->precision));
    float *matrices = aligned_alloc(64, 3 * sizeof(float) * SIDE * SIDE);
    if (!matrices)
        return err_set(err, ERR_NOMEM, NULL, "no memory for matrices");
    isa_limit_onednn();
    omp_set_num_threads(options->threads);
    int rc = options->precision == MODEL_BF16 ? measure_bf16(matrices, out_flops)
                                              : measure_f32(matrices, out_flops);
    omp_pause_resource_all(omp_pause_soft);
    free(matrices);
    return rc < 0 ? err_set(err, rc, "device", "the matrices cannot be multiplied") : 0;
}

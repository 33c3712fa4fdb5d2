/* SPDX-License-Identifier: MIT */
#include "gpu/backend.h"

#include "common/err.h"
#include "common/memory.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/peak.h"
#include "gpu/cpu/plan.h"
#include "gpu/cpu/tiles/tiles.h"
#include "gpu/network.h"

#include <omp.h>
#include <stdlib.h>

struct cpu_state {
    struct plan plan;
    size_t in_values, out_values; /* of one picture */
    bool shares;                  /* engine and stream are another's */
};

/* OpenMP's threads would spin for another 10 ms in case more comes. Starting them again with the
 * next batch takes a tenth of a millisecond. */
static void end_threads(void)
{
    omp_pause_resource_all(omp_pause_soft);
}

/* Else the code of as many as 1,024 primitives stays, whether or not somebody uses them. */
static void empty_cache(void)
{
    int capacity = 0;
    if (dnnl_get_primitive_cache_capacity(&capacity) != dnnl_success)
        return;
    dnnl_set_primitive_cache_capacity(0);
    dnnl_set_primitive_cache_capacity(capacity);
}

static void close_cpu(void *state)
{
    struct cpu_state *s = state;
    if (!s)
        return;
    plan_fini(&s->plan);
    if (!s->shares) {
        dnnl_stream_destroy(s->plan.machine.stream);
        dnnl_engine_destroy(s->plan.machine.engine);
    }
    empty_cache();
    free(s);
}

static int check_cpu(const struct network *network, const struct backend_options *options,
                     struct err *err)
{
    if (options->precision == MODEL_F16)
        return err_set(err, ERR_UNSUPPORTED, "precision",
                       "precision %s is not available on the CPU; f32 and bf16 are",
                       model_precision_name(options->precision));
    return 0;
}

static int compile(struct cpu_state *state, const struct network *network, struct err *err)
{
    /* oneDNN fixes the split of its work when a primitive is made. */
    omp_set_num_threads(state->plan.threads);
    state->in_values = layer_values(&network->layers[0]);
    state->out_values = network_out_values(network);
    int rc = plan_compile(&state->plan, network, err);
    end_threads();
    return rc;
}

static int open_cpu(const struct network *network, const struct backend_options *options,
                    void **out_state, struct err *err)
{
    struct cpu_state *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    int rc = 0;
    isa_limit_onednn();
    s->plan.threads = s->plan.machine.threads = options->threads;
    s->plan.machine.winograd = !options->no_winograd;
    s->plan.machine.tiles = options->precision == MODEL_BF16 ? tiles_functions() : NULL;
    if (dnnl_engine_create(&s->plan.machine.engine, dnnl_cpu, 0) != dnnl_success ||
        dnnl_stream_create(&s->plan.machine.stream, s->plan.machine.engine,
                           dnnl_stream_default_flags) != dnnl_success)
        rc = err_set(err, ERR_INTERNAL, "device", "oneDNN has no CPU engine");
    if (rc == 0)
        rc = compile(s, network, err);
    if (rc < 0)
        close_cpu(s);
    else
        *out_state = s;
    return rc;
}

static int open_like(const struct network *network, const void *state, void **out_state,
                     struct err *err)
{
    const struct cpu_state *like = state;
    struct cpu_state *s = calloc(1, sizeof *s);
    if (!s)
        return ERR_NOMEM;
    s->shares = true;
    s->plan.threads = like->plan.threads;
    s->plan.machine = like->plan.machine;
    s->plan.like = &like->plan;
    int rc = compile(s, network, err);
    if (rc < 0)
        close_cpu(s);
    else
        *out_state = s;
    return rc;
}

static int prepare(void *state, int batch, struct err *err)
{
    struct cpu_state *s = state;
    return plan_prepare(&s->plan, err);
}

static int run(void *state, int batch, const float *input, float *output, struct err *err)
{
    struct cpu_state *s = state;
    int rc = 0;
    omp_set_num_threads(s->plan.threads);
    for (size_t n = 0; rc == 0 && n < (size_t)batch; n++)
        rc = plan_run(&s->plan, input + n * s->in_values, output + n * s->out_values, err);
    end_threads();
    return rc;
}

static struct model_bytes bytes_held(const void *state)
{
    const struct cpu_state *s = state;
    return (struct model_bytes){.host = sizeof *s + plan_bytes(&s->plan)};
}

/* Of a connected layer: its own where a batch norm is folded into it. Of a convolution: as floats,
 * fourfold where Winograd's transform may be chosen; as bf16 in whole tiles, and sixteen taps where
 * folded upsampling or phases have them. */
static size_t weight_bytes(const struct network *network, const struct layer *l,
                           const struct backend_options *options)
{
    const size_t channels = (size_t)view_round_up(l->c), kernel = (size_t)l->kernel;
    if (l->kind == LAYER_CONNECTED)
        return (size_t)tensor_count(&l->weight) * sizeof(float);
    const size_t run = kernel * (size_t)view_round_up(network->layers[l->input].c);
    if (options->precision == MODEL_BF16)
        return channels * kernel * (run + TILE_DEPTH) * sizeof(uint16_t) * (kernel == 3 ? 2 : 1);
    const bool phases = kernel == 3 || l->kind == LAYER_DECONV;
    return channels * kernel * run * sizeof(float) *
           (kernel == 3 && !options->no_winograd ? 4
            : phases                             ? 2
                                                 : 1);
}

#define THREAD_BYTES (2 << 20) /* of Winograd's transform, at most */

/* Of the pictures between the layers not more than four are alive at a time; doubled ones are never
 * written, but read as such. */
static struct model_bytes estimate(const struct network *network,
                                   const struct backend_options *options, int batch)
{
    struct model_bytes bytes = {.host = sizeof(struct cpu_state)};
    size_t most = 0;
    bool folds = false;
    for (int i = 0; i < network->count; i++)
        folds |= network->layers[i].kind == LAYER_NORM && network->layers[i].norm == NORM_BATCH;
    for (int i = 0; i < network->count; i++) {
        const struct layer *l = &network->layers[i];
        const size_t channels = (size_t)view_round_up(l->c);
        const size_t pixels = (size_t)((l->h + 6) * (l->w + 6));
        if (l->kind == LAYER_CONV || l->kind == LAYER_DECONV ||
            (folds && l->kind == LAYER_CONNECTED))
            bytes.host += weight_bytes(network, l, options);
        if (l->kind != LAYER_UPSAMPLE && channels * pixels > most)
            most = channels * pixels;
    }
    bytes.host += 4 * most * sizeof(float) + (size_t)options->threads * THREAD_BYTES;
    return bytes;
}

const struct backend backend_cpu = {
    .check = check_cpu,
    .open = open_cpu,
    .open_like = open_like,
    .prepare = prepare,
    .run = run,
    .close = close_cpu,
    .bytes = bytes_held,
    .estimate = estimate,
    .peak = peak_measure,
    .memory = memory_of_machine,
};

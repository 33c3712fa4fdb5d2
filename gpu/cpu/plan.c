/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/plan.h"

#include "common/err.h"
#include "gpu/cpu/connected.h"
#include "gpu/cpu/pages.h"
#include "gpu/cpu/planes.h"
#include "gpu/cpu/rows.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

static void *allocate(size_t bytes)
{
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT);
}

float *plan_floats(struct plan *plan, int64_t count)
{
    if (plan->owned_count == PLAN_MAX_OWNED)
        return NULL;
    float *floats = allocate((size_t)count * sizeof *floats);
    if (floats) {
        memset(floats, 0, (size_t)count * sizeof *floats);
        plan->owned[plan->owned_count++] = floats;
        plan->owned_bytes += (size_t)count * sizeof *floats;
    }
    return floats;
}

/* A norm is one multiplication and one addition per value once the moments are known. */
static int run_norm(struct plan *plan, const struct step *s, struct err *err)
{
    const struct layer *l = s->layer;
    const double n = (double)(l->h * l->w), eps = (double)l->epsilon;
    const struct moments *m = plan->moments;
    double mean = 0, squares = 0;
    if (s->conv)
        conv_moments(s->conv, plan->moments);
    else
        sweep_moments(&s->src.view, plan->sums, plan->moments);
    for (int64_t c = 0; c < l->c; c++)
        mean += m[c].mean / (double)l->c;
    for (int64_t c = 0; c < l->c; c++)
        squares += m[c].squares + n * (m[c].mean - mean) * (m[c].mean - mean);
    const double all = n * (double)l->c;
    const double layer_rate = 1 / sqrt(squares / (l->unbiased ? all - 1 : all) + eps);
    if (!isfinite(squares))
        return layer_not_finite(l, err);
    for (int64_t c = 0; c < l->c; c++) {
        double rate = 1 / sqrt(m[c].squares / (l->unbiased ? n - 1 : n) + eps);
        double scale = rate, shift = -m[c].mean * rate;
        if (s->rho) {
            double rho = (double)s->rho[c];
            scale = rho * rate + (1 - rho) * layer_rate;
            shift = -rho * m[c].mean * rate - (1 - rho) * mean * layer_rate;
        }
        if (s->gamma) {
            scale *= (double)s->gamma[c];
            shift = (double)s->beta[c] + (double)s->gamma[c] * shift;
        }
        s->scale[c] = (float)scale;
        s->shift[c] = (float)shift;
    }
    return 0;
}

static int run_conv(const struct plan *plan, const struct step *s, struct err *err)
{
    struct conv_task task = {
        .src = &s->src.view,
        .dst = &s->dst.view,
        .scratch = plan->scratch,
        .scale = s->scale,
        .shift = s->shift,
        .slope = s->slope,
    };
    if (conv_run(s->conv, &task) < 0)
        return err_set(err, ERR_INTERNAL, s->layer->name, "layer %s could not be computed",
                       s->layer->name);
    return 0;
}

static int run_mean(struct plan *plan, const struct step *s, struct err *err)
{
    sweep_moments(&s->src.view, plan->sums, plan->moments);
    for (int64_t c = 0; c < s->layer->c; c++) {
        s->out_vector[c] = (float)plan->moments[c].mean;
        if (!isfinite(s->out_vector[c]))
            return layer_not_finite(s->layer, err);
    }
    return 0;
}

/* False where `from` holds NaN or infinity. */
static bool activate(enum activation activation, const float *from, float *to, int64_t n)
{
    bool finite = true;
    if (activation == ACTIVATION_TANH)
        return rows_functions()->tanh(from, to, n);
    for (int64_t i = 0; i < n; i++) {
        finite &= isfinite(from[i]) != 0;
        to[i] =
            activation == ACTIVATION_SIGMOID ? (float)(1 / (1 + exp(-(double)from[i]))) : from[i];
    }
    return finite;
}

static int run_output(const struct step *s, float *output, struct err *err)
{
    enum { PIECE = 4096 };
    const float *from = s->in_vector ? s->in_vector : s->src.view.data;
    int bad = 0;
#pragma omp parallel for schedule(static) reduction(| : bad)
    for (int64_t i = 0; i < s->count; i += PIECE) {
        int64_t n = s->count - i < PIECE ? s->count - i : PIECE;
        bad |= !activate(s->activation, from + i, output + i, n);
    }
    return bad ? layer_not_finite(s->layer, err) : 0;
}

static void run_connected(const struct step *s, const float *input)
{
    const float *from = s->in_vector ? s->in_vector : s->src.buffer >= 0 ? s->src.view.data : input;
    connected_run(&s->layer->weight, &s->layer->bias, from, s->out_vector);
}

static int run_heat_map(const struct step *s, float *output, struct err *err)
{
    const struct layer *l = s->layer;
    const int64_t plane = l->h * l->w;
    const float *from = s->src.view.data;
    int bad = 0;
#pragma omp parallel for schedule(static) reduction(| : bad)
    for (int64_t i = 0; i < plane; i++) {
        double sum = 0;
        for (int64_t c = 0; c < l->c; c++)
            sum += (double)from[c * plane + i];
        bad |= !isfinite(sum);
        output[s->count + i] = (float)sum;
    }
    return bad ? layer_not_finite(l, err) : 0;
}

static struct sweep sweep_of(const struct step *s)
{
    return (struct sweep){
        .src = s->src.view,
        .dst = s->dst.view,
        .other = s->other.view,
        .scale = s->scale,
        .shift = s->shift,
        .slope = s->slope,
        .padding = s->padding,
    };
}

static int run_step(struct plan *plan, const struct step *s, const float *input, float *output,
                    struct err *err)
{
    const struct layer *l = s->layer;
    struct sweep sweep;
    switch (s->kind) {
    case STEP_PACK:
        sweep_from_planes(s->in_vector ? s->in_vector : input, l, s->padding, &s->dst.view);
        return 0;
    case STEP_CONV: return run_conv(plan, s, err);
    case STEP_NORM: return run_norm(plan, s, err);
    case STEP_APPLY:
        sweep = sweep_of(s);
        sweep_apply(&sweep);
        return 0;
    case STEP_PLANES:
        sweep = sweep_of(s);
        sweep_to_planes(&sweep, (int)l->c, s->dst.view.data, s->dst.view.block, s->dst.view.row);
        return 0;
    case STEP_PLANES_CONV:
        planes_conv(l, &s->src.view, s->weight, s->bias, s->dst.view.data);
        return 0;
    case STEP_MEAN: return run_mean(plan, s, err);
    case STEP_CONNECTED: run_connected(s, input); return 0;
    case STEP_RELU:
        for (int64_t i = 0; i < s->count; i++)
            s->out_vector[i] = s->in_vector[i] < 0 ? 0 : s->in_vector[i]; /* NaN stays */
        return 0;
    case STEP_OUTPUT: return run_output(s, output, err);
    case STEP_HEAT_MAP: return run_heat_map(s, output, err);
    }
    return ERR_INTERNAL;
}

int plan_run(struct plan *plan, const float *input, float *output, struct err *err)
{
    int rc = plan_prepare(plan, err);
    omp_set_num_threads(plan->threads);
    for (int i = 0; rc == 0 && i < plan->step_count; i++)
        rc = run_step(plan, &plan->steps[i], input, output, err);
    return rc;
}

static void place(const struct plan *plan, struct operand *operand)
{
    if (operand->buffer < 0)
        return;
    operand->view.data = arena_place(&plan->arena, operand->buffer);
    operand->view.data = view_at(&operand->view, operand->origin);
}

int plan_prepare(struct plan *plan, struct err *err)
{
    if (plan->arena.memory)
        return 0;
    plan->scratch = pages_allocate(plan->scratch_bytes);
    plan->sums = allocate(plan->sums_count * sizeof *plan->sums);
    plan->moments = allocate(plan->moments_count * sizeof *plan->moments);
    if (!plan->scratch || !plan->sums || !plan->moments || arena_lay_out(&plan->arena) < 0)
        return err_set(err, ERR_NOMEM, NULL, "no memory for %zu MB of activations",
                       plan->arena.bytes >> 20);
    for (int i = 0; i < plan->step_count; i++) {
        place(plan, &plan->steps[i].src);
        place(plan, &plan->steps[i].dst);
        place(plan, &plan->steps[i].other);
    }
    return 0;
}

void plan_fini(struct plan *plan)
{
    for (int i = 0; i < NETWORK_MAX_LAYERS; i++)
        conv_destroy(&plan->convs[i]);
    for (int i = 0; i < plan->owned_count; i++)
        free(plan->owned[i]);
    arena_fini(&plan->arena);
    pages_free(plan->scratch, plan->scratch_bytes);
    free(plan->sums);
    free(plan->moments);
}

size_t plan_bytes(const struct plan *plan)
{
    size_t bytes = sizeof *plan + plan->owned_bytes;
    for (int i = 0; i < NETWORK_MAX_LAYERS; i++)
        bytes += plan->convs[i] ? plan->convs[i]->weight_bytes : 0;
    if (plan->arena.memory)
        bytes += plan->arena.bytes + plan->scratch_bytes;
    return bytes;
}

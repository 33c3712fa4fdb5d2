/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/compiler.h"

#include "common/err.h"
#include "gpu/cpu/fold.h"
#include "gpu/cpu/planes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

static struct value compile_planes_conv(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    const struct layer *source = &c->network->layers[l->input];
    const struct value *v = &c->values[l->input];
    struct value settled = v->doubled || v->cam ? value_settle(c, l, v) : *v;
    struct value made = {.kind = VALUE_PLANES};
    float *weight = fold_conv3(l);
    if (!weight || c->plan->owned_count == PLAN_MAX_OWNED) {
        compiler_fail(c, ERR_NOMEM);
        return made;
    }
    c->plan->owned[c->plan->owned_count++] = weight;
    struct operand src = value_planes(c, source, &settled, ahead_form(c, i).padding);
    src.origin = 0; /* the convolution starts in the corner of the padding */
    made.at =
        (struct operand){.buffer = compiler_buffer(c, (int64_t)(layer_values(l) * sizeof(float)))};
    compiler_emit(c, (struct step){.kind = STEP_PLANES_CONV,
                                   .layer = l,
                                   .src = src,
                                   .dst = made.at,
                                   .other = compiler_nothing,
                                   .weight = weight,
                                   .bias = l->bias.data ? compiler_widen(c, &l->bias) : NULL});
    return made;
}

/* The raw result of a convolution that computes four phases: see them as one picture of this size.
 * `apart`: pixels between where phases 0 and 1 begin. */
static void show_phases(const struct layer *shown, int apart, struct operand *at)
{
    struct view *v = &at->view;
    v->blocks /= 4;
    v->phase_x = v->blocks * v->block + apart * v->pixel;
    v->phase_y = 2 * v->blocks * v->block + apart * v->row;
    v->doubled = true;
    v->h = (int)shown->h;
    v->w = (int)shown->w;
}

/* The picture from outside as convolution `i` wants it: channels-last, also for one that reads any
 * layout and goes by the view. */
static struct operand pack(struct compiler *c, int i)
{
    const struct layer *source = &c->network->layers[c->network->layers[i].input];
    struct form form = ahead_form(c, i);
    form.layout = VIEW_CHANNELS_LAST;
    struct operand made = compiler_picture(c, ahead_channels(source), source->h, source->w, form);
    made.origin = 0; /* the padding is written with the rest */
    compiler_emit(c, (struct step){.kind = STEP_PACK,
                                   .layer = source,
                                   .src = compiler_nothing,
                                   .dst = made,
                                   .other = compiler_nothing,
                                   .padding = form.padding});
    return made;
}

/* The input of convolution `i` in the form that it wants; `v`: without what was folded. */
static struct operand finish(struct compiler *c, int i, struct value v)
{
    const struct layer *l = &c->network->layers[i];
    const struct layer *source = &c->network->layers[l->input];
    const struct form form = ahead_form(c, i);
    if (!value_has_form(&v, form)) {
        v = value_apply(c, l, &v, NULL, form);
        /* Whoever reads the same layer later finds it computed. */
        if (source->kind != LAYER_UPSAMPLE && source->kind != LAYER_CAM)
            c->values[l->input] = v;
    }
    v.at.origin = 0;
    return v.at;
}

/* Emits the step of a convolution, transposed or not; what it gives, as it lies. */
static struct operand convolve(struct compiler *c, int i, const struct value *v)
{
    const struct conv *conv = c->plan->convs[i];
    struct step step = {
        .kind = STEP_CONV,
        .layer = &c->network->layers[i],
        .other = compiler_nothing,
        .conv = conv,
    };
    if (v->kind == VALUE_INPUT) {
        step.src = pack(c, i);
    } else if (conv->unfinished) {
        step.src = v->at;
        step.scale = v->scale;
        step.shift = v->shift;
        step.slope = v->slope;
    } else {
        step.src = finish(c, i, *v);
    }
    step.dst = compiler_picture(c, conv->outputs, conv->out_h, conv->out_w,
                                (struct form){.layout = conv->layout});
    compiler_emit(c, step);
    return step.dst;
}

static bool is_picture(struct compiler *c, const struct layer *l, const struct value *v)
{
    if (v->kind != VALUE_PICTURE && v->kind != VALUE_INPUT)
        compiler_refuse(c, l);
    return c->rc == 0;
}

static struct value compile_conv(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value v = c->values[l->input];
    if (!is_picture(c, l, &v))
        return v;
    if (ahead_is_planes_conv(c, i))
        return compile_planes_conv(c, i);
    const struct conv *conv = c->plan->convs[i];
    const bool folded = v.doubled && !conv->unfinished && conv->outputs > view_round_up(l->c);
    if (v.doubled && !folded)
        v = value_double(c, l, &v);
    v.doubled = false; /* folded into the weights, as the attention is */
    v.cam = NULL;
    struct value made = {.kind = VALUE_PICTURE, .at = convolve(c, i, &v)};
    made.form = (struct form){.layout = conv->layout};
    if (folded)
        show_phases(l, 1, &made.at);
    else if (ahead_is_shuffled(c->network, i))
        show_phases(&c->network->layers[i + 1], 0, &made.at);
    return made;
}

static struct value compile_deconv(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value v = c->values[l->input];
    if (v.kind != VALUE_PICTURE || l->stride > 2) {
        compiler_refuse(c, l);
        return v;
    }
    if (v.doubled || v.cam)
        v = value_settle(c, l, &v);
    struct value made = {.kind = VALUE_PICTURE, .at = convolve(c, i, &v)};
    made.form = (struct form){.layout = c->plan->convs[i]->layout};
    if (l->stride == 2)
        show_phases(l, 0, &made.at);
    made.at.view.h = (int)l->h;
    made.at.view.w = (int)l->w;
    return made;
}

/* The convolution before has put its phases where they belong. */
static struct value compile_shuffle(struct compiler *c, const struct layer *l)
{
    if (!ahead_is_shuffled(c->network, l->input))
        compiler_refuse(c, l);
    return c->values[l->input];
}

/* Trained means and variances: scale and shift are known now. */
static void batch_norm(struct compiler *c, const struct layer *l, struct value *v)
{
    float *gamma = compiler_widen(c, &l->gamma), *beta = compiler_widen(c, &l->beta);
    float *mean = compiler_widen(c, &l->mean), *variance = compiler_widen(c, &l->variance);
    for (int64_t i = 0; c->rc == 0 && i < l->c; i++) {
        double rate = (double)gamma[i] / sqrt((double)variance[i] + (double)l->epsilon);
        v->scale[i] = (float)rate;
        v->shift[i] = (float)((double)beta[i] - (double)mean[i] * rate);
    }
}

static struct value compile_norm(struct compiler *c, const struct layer *l)
{
    struct value v = c->values[l->input];
    const struct layer *from = &c->network->layers[l->input];
    struct step step = {
        .kind = STEP_NORM, .layer = l, .dst = compiler_nothing, .other = compiler_nothing};
    if (!value_is_plain(&v) || v.at.view.type != TENSOR_F32)
        v = value_settle(c, l, &v);
    v.scale = compiler_floats(c, view_round_up(l->c));
    v.shift = compiler_floats(c, view_round_up(l->c));
    if (l->norm == NORM_BATCH) {
        batch_norm(c, l, &v);
        return v;
    }
    if (from->kind == LAYER_CONV && conv_takes_moments(c->plan->convs[l->input]))
        step.conv = c->plan->convs[l->input];
    step.src = v.at;
    step.scale = v.scale;
    step.shift = v.shift;
    if (l->rho.data)
        step.rho = compiler_widen(c, &l->rho);
    if (l->norm == NORM_ADAPTIVE) {
        step.gamma = c->values[l->gamma_from].vector;
        step.beta = c->values[l->beta_from].vector;
    } else if (l->gamma.data) {
        step.gamma = compiler_widen(c, &l->gamma);
        step.beta = compiler_widen(c, &l->beta);
    }
    compiler_reserve_moments(c, &v.at.view);
    compiler_emit(c, step);
    return v;
}

static struct value compile_add(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value a = c->values[l->input], b = c->values[l->other];
    int reader = ahead_reader(c->network, i);
    struct form form = value_loose_form();
    if (reader >= 0 && ahead_form(c, reader).layout != VIEW_PLANAR)
        form = ahead_form(c, reader);
    if (a.doubled || a.cam)
        a = value_settle(c, l, &a);
    if (!value_is_plain(&b) || b.at.view.doubled)
        b = value_settle(c, l, &b);
    return value_apply(c, l, &a, &b.at, form);
}

/* Whether the convolution before has applied the ReLU that reads it. */
static bool relu_is_done(const struct compiler *c, const struct layer *l)
{
    const enum layer_kind from = c->network->layers[l->input].kind;
    return (from == LAYER_CONV || from == LAYER_DECONV) && ahead_only_relu(c->network, l->input);
}

/* ReLU is a slope of zero. */
static struct value compile_slope(struct compiler *c, const struct layer *l)
{
    struct value v = c->values[l->input];
    if (v.kind == VALUE_VECTOR && l->kind == LAYER_RELU)
        return vectors_relu(c, l);
    if (l->kind == LAYER_RELU && relu_is_done(c, l))
        return v;
    if (v.kind != VALUE_PICTURE || v.slope || v.doubled || v.cam)
        v = value_settle(c, l, &v);
    float *slope = compiler_floats(c, view_round_up(l->c));
    if (l->kind == LAYER_PRELU && slope) {
        const int64_t count = tensor_count(&l->weight);
        float *own = compiler_widen(c, &l->weight);
        for (int64_t i = 0; own && i < l->c; i++)
            slope[i] = own[count == 1 ? 0 : i];
    }
    v.slope = slope;
    return v;
}

static void compile_output(struct compiler *c)
{
    const int last = c->network->count - 1;
    const struct layer *l = &c->network->layers[last];
    struct value v = c->values[last];
    const enum activation activation = v.activation;
    if (v.kind == VALUE_PICTURE) {
        if (v.doubled || v.cam)
            v = value_settle(c, l, &v);
        v.at = value_planes(c, l, &v, (struct padding){0});
    }
    compiler_emit(c, (struct step){.kind = STEP_OUTPUT,
                                   .layer = l,
                                   .src = v.kind == VALUE_VECTOR ? compiler_nothing : v.at,
                                   .dst = compiler_nothing,
                                   .other = compiler_nothing,
                                   .in_vector = v.vector,
                                   .count = (int64_t)layer_values(l),
                                   .activation = activation});
}

/* While the attention's values are there. */
static void compile_heat_map(struct compiler *c)
{
    const struct network *net = c->network;
    const struct layer *l = &net->layers[net->attention];
    compiler_emit(
        c, (struct step){.kind = STEP_HEAT_MAP,
                         .layer = l,
                         .src = value_planes(c, l, &c->values[net->attention], (struct padding){0}),
                         .dst = compiler_nothing,
                         .other = compiler_nothing,
                         .count = (int64_t)layer_values(&net->layers[net->count - 1])});
}

static struct value compile_layer(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value v = l->input >= 0 ? c->values[l->input] : (struct value){.at = compiler_nothing};
    switch (l->kind) {
    case LAYER_INPUT: return (struct value){.kind = VALUE_INPUT, .at = compiler_nothing};
    case LAYER_CONV: return compile_conv(c, i);
    case LAYER_DECONV: return compile_deconv(c, i);
    case LAYER_SHUFFLE: return compile_shuffle(c, l);
    case LAYER_NORM: return compile_norm(c, l);
    case LAYER_RELU:
    case LAYER_PRELU: return compile_slope(c, l);
    case LAYER_ADD: return compile_add(c, i);
    case LAYER_MEAN: return vectors_mean(c, l);
    case LAYER_CONNECTED: return vectors_connected(c, l);
    case LAYER_RESHAPE: return vectors_reshape(c, l);
    case LAYER_UPSAMPLE: v.doubled = true; return v;
    case LAYER_CAM: v.cam = l; return v;
    case LAYER_TANH: v.activation = ACTIVATION_TANH; return v;
    case LAYER_SIGMOID: v.activation = ACTIVATION_SIGMOID; return v;
    case LAYER_KIND_COUNT: break;
    }
    assert(!"a kind of layer");
    return v;
}

/* A list that no network of ours has, but a caller could build. */
static void check_list(struct compiler *c)
{
    const struct network *net = c->network;
    const struct layer *last = &net->layers[net->count - 1];
    for (int i = 1; i < net->count; i++) {
        const struct layer *l = &net->layers[i];
        const struct layer *from = &net->layers[l->input];
        bool fits =
            from->kind != LAYER_INPUT || l->kind == LAYER_CONV || l->kind == LAYER_CONNECTED;
        if (l->kind == LAYER_TANH || l->kind == LAYER_SIGMOID)
            fits = l == last;
        if (from->kind == LAYER_CAM)
            fits = l->kind == LAYER_CONV && l->kernel == 1;
        if (!fits)
            compiler_refuse(c, l);
    }
    if (net->count < 2 || last->kind == LAYER_CAM)
        compiler_fail(
            c, err_set(c->err, ERR_UNSUPPORTED, NULL, "the network ends too early for the CPU"));
}

int plan_compile(struct plan *plan, const struct network *network, struct err *err)
{
    struct compiler *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    *c = (struct compiler){.plan = plan, .network = network, .err = err};
    plan->sums_count = plan->moments_count = VIEW_BLOCK;
    check_list(c);
    for (int i = 0; c->rc == 0 && i < network->count; i++)
        if (network->layers[i].kind == LAYER_CONV || network->layers[i].kind == LAYER_DECONV)
            ahead_make_conv(c, i);
    for (int i = 0; c->rc == 0 && i < network->count; i++) {
        c->values[i] = compile_layer(c, i);
        if (network->heat_map && i == network->attention)
            compile_heat_map(c);
    }
    if (c->rc == 0)
        compile_output(c);
    int rc = c->rc;
    free(c);
    return rc;
}

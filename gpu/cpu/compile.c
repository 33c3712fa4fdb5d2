/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/compiler.h"

#include "common/err.h"
#include "gpu/cpu/fold.h"
#include "gpu/cpu/planes.h"

#include <assert.h>
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
    struct operand src = value_planes(c, source, &settled, ahead_padding(c->network, i));
    src.origin = 0; /* the convolution starts in the corner of the padding */
    made.at =
        (struct operand){.buffer = compiler_buffer(c, (int64_t)(layer_values(l) * sizeof(float)))};
    compiler_emit(c, (struct step){.kind = STEP_PLANES_CONV,
                                   .layer = l,
                                   .src = src,
                                   .dst = made.at,
                                   .other = compiler_nothing,
                                   .weight = weight});
    return made;
}

/* The raw result of a convolution with folded upsampling: its four phases, seen as one picture, of
 * which phase 1 starts a pixel later. */
static void show_phases(int channels, struct operand *at)
{
    struct view *v = &at->view;
    const int blocks = channels / VIEW_BLOCK;
    v->phase_x = blocks * v->block + v->pixel;
    v->phase_y = 2 * blocks * v->block + v->row;
    v->doubled = true;
    v->blocks = blocks;
    v->h *= 2;
    v->w *= 2;
}

/* The picture from outside, as convolution `i` wants it. */
static struct operand pack(struct compiler *c, int i)
{
    const struct layer *source = &c->network->layers[c->network->layers[i].input];
    const struct form form = ahead_form(c, i);
    const int64_t around = form.padding.before + form.padding.after;
    const int64_t values = (source->h + around) * (source->w + around) * source->c;
    const int64_t bytes = values * (int64_t)tensor_type_size(form.type);
    struct operand made = {.view.type = form.type,
                           .buffer = compiler_buffer(c, bytes + CONV_SLACK_BYTES)};
    compiler_emit(c, (struct step){.kind = STEP_PACK,
                                   .layer = source,
                                   .src = compiler_nothing,
                                   .dst = made,
                                   .other = compiler_nothing,
                                   .padding = form.padding});
    return made;
}

/* The input of convolution `i` in the form that it wants. */
static struct operand finish(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    const struct layer *source = &c->network->layers[l->input];
    const struct form form = ahead_form(c, i);
    struct value v = c->values[l->input];
    v.doubled = false; /* folded into the weights, as the attention is */
    v.cam = NULL;
    if (!value_has_form(&v, form)) {
        v = value_apply(c, l, &v, NULL, form);
        /* Whoever reads the same layer later finds it computed. */
        if (source->kind != LAYER_UPSAMPLE && source->kind != LAYER_CAM)
            c->values[l->input] = v;
    }
    v.at.origin = 0;
    return v.at;
}

static struct value compile_conv(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    const struct conv *conv = c->plan->convs[i];
    struct value v = c->values[l->input];
    struct value made = {.kind = VALUE_PICTURE};
    if (ahead_is_planes_conv(c->network, i))
        return compile_planes_conv(c, i);
    struct step step = {.kind = STEP_CONV, .layer = l, .other = compiler_nothing, .conv = conv};
    const bool folded = v.doubled && !conv->unfinished;
    if (v.kind == VALUE_INPUT) {
        step.src = pack(c, i);
    } else if (conv->unfinished) {
        if (v.doubled)
            v = value_double(c, l, &v);
        step.src = v.at;
        step.scale = v.scale;
        step.shift = v.shift;
        step.slope = v.slope;
    } else {
        step.src = finish(c, i);
    }
    made.form = (struct form){.layout = conv->layout};
    made.at = compiler_picture(c, view_round_up(l->c) * (folded ? 4 : 1), conv->out_h, conv->out_w,
                               made.form);
    step.dst = made.at;
    compiler_emit(c, step);
    if (folded) {
        made.at.view.h = (int)(l->h / 2);
        made.at.view.w = (int)(l->w / 2);
        show_phases(view_round_up(l->c), &made.at);
    }
    return made;
}

/* Reserves what sweep_moments() needs for this view. */
static void reserve_moments(struct plan *plan, const struct view *view)
{
    size_t sums = (size_t)sweep_scratch(view);
    size_t channels = (size_t)view->blocks * VIEW_BLOCK;
    if (sums > plan->sums_count)
        plan->sums_count = sums;
    if (channels > plan->moments_count)
        plan->moments_count = channels;
}

static struct value compile_norm(struct compiler *c, const struct layer *l)
{
    struct value v = c->values[l->input];
    struct step step = {
        .kind = STEP_NORM, .layer = l, .dst = compiler_nothing, .other = compiler_nothing};
    if (!value_is_plain(&v) || v.at.view.type != TENSOR_F32)
        v = value_settle(c, l, &v);
    const struct layer *from = &c->network->layers[l->input];
    if (from->kind == LAYER_CONV && conv_takes_moments(c->plan->convs[l->input]))
        step.conv = c->plan->convs[l->input];
    v.scale = compiler_floats(c, view_round_up(l->c));
    v.shift = compiler_floats(c, view_round_up(l->c));
    step.src = v.at;
    step.scale = v.scale;
    step.shift = v.shift;
    if (l->norm != NORM_INSTANCE)
        step.rho = compiler_widen(c, &l->rho);
    if (l->norm == NORM_LAYER_INSTANCE) {
        step.gamma = compiler_widen(c, &l->gamma);
        step.beta = compiler_widen(c, &l->beta);
    } else if (l->norm == NORM_ADAPTIVE) {
        step.gamma = c->values[l->gamma_from].vector;
        step.beta = c->values[l->beta_from].vector;
    }
    reserve_moments(c->plan, &v.at.view);
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

static struct value compile_relu(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value v = c->values[l->input];
    if (v.kind == VALUE_VECTOR) {
        struct value made = {.kind = VALUE_VECTOR,
                             .vector = compiler_floats(c, view_round_up(l->c))};
        compiler_emit(c, (struct step){.kind = STEP_RELU,
                                       .layer = l,
                                       .src = compiler_nothing,
                                       .dst = compiler_nothing,
                                       .other = compiler_nothing,
                                       .in_vector = v.vector,
                                       .out_vector = made.vector,
                                       .count = l->c});
        return made;
    }
    const struct layer *from = &c->network->layers[l->input];
    bool done = from->kind == LAYER_CONV && ahead_only_relu(c->network, l->input);
    if (done)
        return v;
    v.relu = true;
    v.slope = compiler_floats(c, view_round_up(l->c));
    return v;
}

static struct value compile_mean(struct compiler *c, const struct layer *l)
{
    struct value v = value_settle(c, l, &c->values[l->input]);
    struct value made = {.kind = VALUE_VECTOR, .vector = compiler_floats(c, view_round_up(l->c))};
    reserve_moments(c->plan, &v.at.view);
    compiler_emit(c, (struct step){.kind = STEP_MEAN,
                                   .layer = l,
                                   .src = v.at,
                                   .dst = compiler_nothing,
                                   .other = compiler_nothing,
                                   .out_vector = made.vector});
    return made;
}

static struct value compile_connected(struct compiler *c, const struct layer *l)
{
    struct value v = c->values[l->input];
    struct value made = {.kind = VALUE_VECTOR, .vector = compiler_floats(c, view_round_up(l->c))};
    struct step step = {.kind = STEP_CONNECTED,
                        .layer = l,
                        .src = compiler_nothing,
                        .dst = compiler_nothing,
                        .other = compiler_nothing,
                        .in_vector = v.vector,
                        .out_vector = made.vector};
    if (v.kind == VALUE_PICTURE) {
        struct value settled = v.doubled || v.cam ? value_settle(c, l, &v) : v;
        step.src = value_planes(c, &c->network->layers[l->input], &settled, (struct padding){0});
    }
    compiler_emit(c, step);
    return made;
}

static void compile_output(struct compiler *c)
{
    const int last = c->network->count - 1;
    const struct layer *l = &c->network->layers[last];
    struct value v = c->values[last];
    const bool hyperbolic = v.tanh;
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
                                   .tanh = hyperbolic});
}

static struct value compile_layer(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value v = l->input >= 0 ? c->values[l->input] : (struct value){.at = compiler_nothing};
    switch (l->kind) {
    case LAYER_INPUT: return (struct value){.kind = VALUE_INPUT, .at = compiler_nothing};
    case LAYER_CONV: return compile_conv(c, i);
    case LAYER_NORM: return compile_norm(c, l);
    case LAYER_RELU: return compile_relu(c, i);
    case LAYER_ADD: return compile_add(c, i);
    case LAYER_MEAN: return compile_mean(c, l);
    case LAYER_CONNECTED: return compile_connected(c, l);
    case LAYER_UPSAMPLE: v.doubled = true; return v;
    case LAYER_CAM: v.cam = l; return v;
    case LAYER_TANH: v.tanh = true; return v;
    case LAYER_RESHAPE:
    case LAYER_DECONV:
    case LAYER_SIGMOID: /* chain.c's */
    case LAYER_PRELU:   /* refused by check_cpu() */
    case LAYER_SHUFFLE:
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
        bool fits = from->kind != LAYER_INPUT || l->kind == LAYER_CONV;
        if (l->kind == LAYER_TANH)
            fits = l == last;
        if (l->kind >= LAYER_RESHAPE || l->norm == NORM_BATCH)
            fits = false; /* chain.c's */
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
        if (network->layers[i].kind == LAYER_CONV && !ahead_is_planes_conv(network, i))
            ahead_make_conv(c, i);
    for (int i = 0; c->rc == 0 && i < network->count; i++)
        c->values[i] = compile_layer(c, i);
    if (c->rc == 0)
        compile_output(c);
    int rc = c->rc;
    free(c);
    return rc;
}

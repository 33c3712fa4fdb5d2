/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/plan.h"

#include "common/err.h"
#include "gpu/cpu/fold.h"
#include "gpu/cpu/planes.h"

#include <assert.h>
#include <stdlib.h>

/* How a picture has to lie for whoever reads it. */
struct form {
    enum view_layout layout;
    int pad;
    bool replicate;
};

enum value_kind { VALUE_INPUT, VALUE_PICTURE, VALUE_PLANES, VALUE_VECTOR };

/* What is known of a layer's output while compiling. A picture's true values are
 * relu(at * scale + shift), perhaps doubled, perhaps times the attention's weights. */
struct value {
    enum value_kind kind;
    struct operand at;
    float *scale, *shift; /* NULL: nothing to apply */
    bool relu, tanh;
    bool doubled;            /* by an upsample layer, not by the view */
    const struct layer *cam; /* the attention layer on top, or NULL */
    struct form form;        /* PICTURE: how `at` is padded */
    float *vector;
};

struct compiler {
    struct plan *plan;
    const struct network *network;
    struct value values[NETWORK_MAX_LAYERS];
    struct err *err;
    int rc; /* sticky: 0, or the first error */
};

static const struct operand nothing = {.buffer = -1};

static int round_up(int64_t channels)
{
    return (int)((channels + VIEW_BLOCK - 1) / VIEW_BLOCK * VIEW_BLOCK);
}

static void fail(struct compiler *c, int rc)
{
    if (c->rc == 0)
        c->rc = rc;
}

static float *floats(struct compiler *c, int64_t count)
{
    float *made = plan_floats(c->plan, count);
    if (!made)
        fail(c, ERR_NOMEM);
    return made;
}

static int new_buffer(struct compiler *c, int64_t size)
{
    struct plan *plan = c->plan;
    if (plan->buffer_count == PLAN_MAX_STEPS) {
        fail(c, ERR_LIMIT);
        return -1;
    }
    /* A multiple of 64 bytes keeps every buffer aligned. */
    plan->buffers[plan->buffer_count] = (struct buffer){.size = (size + 15) / 16 * 16, .first = -1};
    return plan->buffer_count++;
}

static void use_buffer(struct plan *plan, int buffer, int step)
{
    if (buffer < 0)
        return;
    struct buffer *b = &plan->buffers[buffer];
    if (b->first < 0)
        b->first = step;
    b->last = step;
}

static void emit(struct compiler *c, struct step step)
{
    struct plan *plan = c->plan;
    if (c->rc < 0)
        return;
    if (plan->step_count == PLAN_MAX_STEPS) {
        fail(c, ERR_LIMIT);
        return;
    }
    use_buffer(plan, step.src.buffer, plan->step_count);
    use_buffer(plan, step.dst.buffer, plan->step_count);
    use_buffer(plan, step.other.buffer, plan->step_count);
    plan->steps[plan->step_count++] = step;
}

/* A new picture of `channels` (whole blocks) in this form; its view shows the inside. */
static struct operand new_picture(struct compiler *c, int channels, int64_t h, int64_t w,
                                  struct form form)
{
    const int64_t tall = h + 2 * form.pad, wide = w + 2 * form.pad;
    struct view view = {.blocks = channels / VIEW_BLOCK, .h = (int)h, .w = (int)w};
    if (form.layout == VIEW_BLOCKED) {
        view.pixel = VIEW_BLOCK;
        view.row = wide * VIEW_BLOCK;
        view.block = tall * view.row;
    } else {
        view.pixel = channels;
        view.row = wide * channels;
        view.block = VIEW_BLOCK;
    }
    return (struct operand){
        .view = view,
        .buffer = new_buffer(c, tall * wide * channels),
        .origin = form.pad * (view.row + view.pixel),
    };
}

/* The first convolution that reads layer `i`, through upsampling and attention; -1: none. */
static int reader_of(const struct network *net, int i)
{
    for (int j = i + 1; j < net->count; j++) {
        const struct layer *l = &net->layers[j];
        if (l->input != i)
            continue;
        if (l->kind == LAYER_CONV)
            return j;
        if (l->kind == LAYER_UPSAMPLE || l->kind == LAYER_CAM)
            return reader_of(net, j);
    }
    return -1;
}

/* The network's last convolution, where it has few outputs and nothing but tanh behind it. */
static bool is_planes_conv(const struct network *net, int i)
{
    const struct layer *l = &net->layers[i];
    const bool last =
        i == net->count - 1 || (i == net->count - 2 && net->layers[i + 1].kind == LAYER_TANH);
    return last && l->c <= PLANES_MAX_OUTPUTS && l->stride == 1 && !l->bias.data &&
           net->layers[l->input].kind != LAYER_INPUT;
}

static bool reads_doubled(const struct network *net, const struct layer *conv)
{
    return net->layers[conv->input].kind == LAYER_UPSAMPLE;
}

/* The form that convolution layer `i` wants its input in. */
static struct form form_of(const struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    if (is_planes_conv(c->network, i))
        return (struct form){VIEW_PLANAR, l->pad, false};
    return (struct form){c->plan->convs[i]->layout, l->pad, reads_doubled(c->network, l)};
}

static bool only_relu_reads(const struct network *net, int i)
{
    for (int j = i + 1; j < net->count; j++) {
        const struct layer *l = &net->layers[j];
        bool reads = l->input == i || l->other == i || l->gamma_from == i || l->beta_from == i;
        if (reads && l->kind != LAYER_RELU)
            return false;
    }
    return i + 1 < net->count && net->layers[i + 1].input == i;
}

/* Makes oneDNN's primitive of layer `i`, weights and all. */
static void make_conv(struct compiler *c, int i)
{
    const struct network *net = c->network;
    const struct layer *l = &net->layers[i], *from = &net->layers[l->input];
    const bool doubled = from->kind == LAYER_UPSAMPLE;
    const struct layer *cam = from->kind == LAYER_CAM ? from : NULL;
    const struct layer *src = doubled || cam ? &net->layers[from->input] : from;
    struct fold fold = {
        /* The picture that comes in from outside is not in blocks. */
        .inputs = src->kind == LAYER_INPUT ? (int)src->c : round_up(src->c),
        .outputs = round_up(l->c),
        .doubled = doubled,
    };
    bool winograd = l->kernel == 3 && l->stride == 1 &&
                    conv_winograd_pays(fold.inputs, fold.outputs * (doubled ? 4 : 1));
    fold.three_taps = winograd;
    struct folded folded;
    int rc = fold_conv(l, cam, &fold, &folded);
    if (rc == 0) {
        struct conv_spec spec = {
            .name = l->name,
            .inputs = fold.inputs,
            .outputs = folded.outputs,
            .h = (int)src->h + 2 * l->pad,
            .w = (int)src->w + 2 * l->pad,
            .kernel = folded.kernel,
            .stride = l->stride,
            .relu = only_relu_reads(net, i),
            .winograd = winograd,
        };
        rc = conv_create(c->plan->engine, c->plan->stream, &spec, folded.weights, folded.bias,
                         &c->plan->convs[i], c->err);
        fold_fini(&folded);
    }
    if (rc == 0 && c->plan->convs[i]->scratch_bytes > c->plan->scratch_bytes)
        c->plan->scratch_bytes = c->plan->convs[i]->scratch_bytes;
    if (rc < 0)
        fail(c, rc);
}

static bool is_plain(const struct value *v)
{
    return v->kind == VALUE_PICTURE && !v->scale && !v->relu && !v->doubled && !v->cam;
}

static bool has_form(const struct value *v, struct form form)
{
    return is_plain(v) && !v->at.view.doubled && v->form.layout == form.layout &&
           v->form.pad == form.pad && (form.pad == 0 || v->form.replicate == form.replicate);
}

/* Step that computes `v`, plus `other` if there is one, in `form`; what it makes is plain. */
static struct value apply(struct compiler *c, const struct layer *layer, const struct value *v,
                          const struct operand *other, struct form form)
{
    const struct view *from = &v->at.view;
    struct value made = {.kind = VALUE_PICTURE, .form = form};
    made.at = new_picture(c, from->blocks * VIEW_BLOCK, from->h, from->w, form);
    emit(c, (struct step){.kind = STEP_APPLY,
                          .layer = layer,
                          .src = v->at,
                          .dst = made.at,
                          .other = other ? *other : nothing,
                          .scale = v->scale,
                          .shift = v->shift,
                          .relu = v->relu,
                          .pad = form.pad,
                          .replicate = form.replicate});
    return made;
}

/* A picture with nothing left to apply. */
static struct value settle(struct compiler *c, const struct layer *layer, const struct value *v)
{
    if (v->kind != VALUE_PICTURE || v->cam) {
        fail(c, err_set(c->err, ERR_UNSUPPORTED, layer->name,
                        "layer %s (%s) cannot follow its input on the CPU", layer->name,
                        layer_kind_name(layer->kind)));
        return *v;
    }
    struct value low = *v;
    low.doubled = false;
    if (!is_plain(&low))
        low = apply(c, layer, &low, NULL, (struct form){VIEW_BLOCKED, 0, false});
    if (v->doubled) {
        /* Nearest neighbour is a way of looking: both phases at distance 0. */
        if (low.at.view.doubled)
            low = apply(c, layer, &low, NULL, (struct form){VIEW_BLOCKED, 0, false});
        low.at.view.doubled = true;
        low.at.view.phase_x = low.at.view.phase_y = 0;
        low.at.view.h *= 2;
        low.at.view.w *= 2;
    }
    return low;
}

/* The values as planes, padded; rows keep the slack that the planes convolution reads. */
static struct operand planes(struct compiler *c, const struct layer *source, const struct value *v,
                             int pad)
{
    const int64_t wide = (source->w + 2 * pad + 15) / 16 * 16 + (pad ? PLANES_SLACK : 0);
    const int64_t row = pad ? wide : source->w;
    struct operand made = {
        .view = {.block = row * (source->h + 2 * pad), .row = row, .pixel = 1},
        .origin = pad * (row + 1),
    };
    made.buffer = new_buffer(c, made.view.block * source->c + PLANES_SLACK);
    emit(c, (struct step){.kind = STEP_PLANES,
                          .layer = source,
                          .src = v->at,
                          .dst = made,
                          .other = nothing,
                          .scale = v->scale,
                          .shift = v->shift,
                          .relu = v->relu,
                          .pad = pad});
    return made;
}

static struct value compile_planes_conv(struct compiler *c, const struct layer *l,
                                        const struct layer *source, const struct value *v)
{
    struct value settled = v->doubled || v->cam ? settle(c, l, v) : *v;
    struct value made = {.kind = VALUE_PLANES};
    float *weight = fold_conv3(l);
    if (!weight || c->plan->owned_count == PLAN_MAX_OWNED) {
        fail(c, ERR_NOMEM);
        return made;
    }
    c->plan->owned[c->plan->owned_count++] = weight;
    struct operand src = planes(c, source, &settled, l->pad);
    src.origin = 0; /* the convolution starts in the corner of the padding */
    made.at = (struct operand){.buffer = new_buffer(c, l->c * l->h * l->w)};
    emit(c, (struct step){.kind = STEP_PLANES_CONV,
                          .layer = l,
                          .src = src,
                          .dst = made.at,
                          .other = nothing,
                          .weight = weight});
    return made;
}

/* The raw result of a convolution with folded upsampling: its four phases, seen as one picture. */
static void show_phases(const struct conv *conv, int channels, struct operand *at)
{
    struct view *v = &at->view;
    const int blocks = channels / VIEW_BLOCK;
    const bool overlap = conv->out_h == v->h + 1; /* 2x2 taps: phase 1 starts a pixel later */
    v->phase_x = blocks * v->block + (overlap ? v->pixel : 0);
    v->phase_y = 2 * blocks * v->block + (overlap ? v->row : 0);
    v->doubled = true;
    v->blocks = blocks;
    v->h *= 2;
    v->w *= 2;
}

static struct value compile_conv(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    const struct layer *source = &c->network->layers[l->input];
    const struct conv *conv = c->plan->convs[i];
    struct value v = c->values[l->input];
    struct value made = {.kind = VALUE_PICTURE};
    if (is_planes_conv(c->network, i))
        return compile_planes_conv(c, l, source, &v);
    const bool doubled = v.doubled;
    struct form form = form_of(c, i);
    v.doubled = false;
    v.cam = NULL;
    struct operand src;
    if (v.kind == VALUE_INPUT) {
        src = (struct operand){.buffer = new_buffer(c, (source->h + 2 * l->pad) *
                                                           (source->w + 2 * l->pad) * source->c)};
        emit(c, (struct step){.kind = STEP_PACK,
                              .layer = source,
                              .src = nothing,
                              .dst = src,
                              .other = nothing,
                              .pad = l->pad});
    } else {
        if (!has_form(&v, form)) {
            v = apply(c, l, &v, NULL, form);
            /* Whoever reads the same layer later finds it computed. */
            if (source->kind != LAYER_UPSAMPLE && source->kind != LAYER_CAM)
                c->values[l->input] = v;
        }
        src = v.at;
        src.origin = 0;
    }
    const int channels = round_up(l->c) * (doubled ? 4 : 1);
    made.form = (struct form){conv->layout, 0, false};
    made.at = new_picture(c, channels, conv->out_h, conv->out_w, made.form);
    emit(c, (struct step){.kind = STEP_CONV,
                          .layer = l,
                          .src = src,
                          .dst = made.at,
                          .other = nothing,
                          .conv = conv});
    if (doubled) {
        made.at.view.h = (int)(l->h / 2);
        made.at.view.w = (int)(l->w / 2);
        show_phases(conv, round_up(l->c), &made.at);
    }
    return made;
}

static float *widen_padded(struct compiler *c, const struct tensor *tensor)
{
    float *values = floats(c, round_up(tensor_count(tensor)));
    if (values)
        tensor_to_f32(tensor, values);
    return values;
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
    struct step step = {.kind = STEP_NORM, .layer = l, .dst = nothing, .other = nothing};
    if (!is_plain(&v))
        v = settle(c, l, &v);
    v.scale = floats(c, round_up(l->c));
    v.shift = floats(c, round_up(l->c));
    step.src = v.at;
    step.scale = v.scale;
    step.shift = v.shift;
    if (l->norm != NORM_INSTANCE)
        step.rho = widen_padded(c, &l->rho);
    if (l->norm == NORM_LAYER_INSTANCE) {
        step.gamma = widen_padded(c, &l->gamma);
        step.beta = widen_padded(c, &l->beta);
    } else if (l->norm == NORM_ADAPTIVE) {
        step.gamma = c->values[l->gamma_from].vector;
        step.beta = c->values[l->beta_from].vector;
    }
    reserve_moments(c->plan, &v.at.view);
    emit(c, step);
    return v;
}

static struct value compile_add(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value a = c->values[l->input], b = c->values[l->other];
    int reader = reader_of(c->network, i);
    struct form form = {VIEW_BLOCKED, 0, false};
    if (reader >= 0 && form_of(c, reader).layout != VIEW_PLANAR)
        form = form_of(c, reader);
    if (a.doubled || a.cam)
        a = settle(c, l, &a);
    if (!is_plain(&b) || b.at.view.doubled)
        b = settle(c, l, &b);
    return apply(c, l, &a, &b.at, form);
}

static struct value compile_relu(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value v = c->values[l->input];
    if (v.kind == VALUE_VECTOR) {
        struct value made = {.kind = VALUE_VECTOR, .vector = floats(c, round_up(l->c))};
        emit(c, (struct step){.kind = STEP_RELU,
                              .layer = l,
                              .src = nothing,
                              .dst = nothing,
                              .other = nothing,
                              .in_vector = v.vector,
                              .out_vector = made.vector,
                              .count = l->c});
        return made;
    }
    const struct layer *from = &c->network->layers[l->input];
    bool done = from->kind == LAYER_CONV && only_relu_reads(c->network, l->input);
    v.relu = v.relu || !done;
    return v;
}

static struct value compile_mean(struct compiler *c, const struct layer *l)
{
    struct value v = settle(c, l, &c->values[l->input]);
    struct value made = {.kind = VALUE_VECTOR, .vector = floats(c, round_up(l->c))};
    reserve_moments(c->plan, &v.at.view);
    emit(c, (struct step){.kind = STEP_MEAN,
                          .layer = l,
                          .src = v.at,
                          .dst = nothing,
                          .other = nothing,
                          .out_vector = made.vector});
    return made;
}

static struct value compile_connected(struct compiler *c, const struct layer *l)
{
    struct value v = c->values[l->input];
    struct value made = {.kind = VALUE_VECTOR, .vector = floats(c, round_up(l->c))};
    struct step step = {.kind = STEP_CONNECTED,
                        .layer = l,
                        .src = nothing,
                        .dst = nothing,
                        .other = nothing,
                        .in_vector = v.vector,
                        .out_vector = made.vector};
    if (v.kind == VALUE_PICTURE) {
        struct value settled = v.doubled || v.cam ? settle(c, l, &v) : v;
        step.src = planes(c, &c->network->layers[l->input], &settled, 0);
    }
    emit(c, step);
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
            v = settle(c, l, &v);
        v.at = planes(c, l, &v, 0);
    }
    emit(c, (struct step){.kind = STEP_OUTPUT,
                          .layer = l,
                          .src = v.kind == VALUE_VECTOR ? nothing : v.at,
                          .dst = nothing,
                          .other = nothing,
                          .in_vector = v.vector,
                          .count = (int64_t)layer_values(l),
                          .tanh = hyperbolic});
}

static struct value compile_layer(struct compiler *c, int i)
{
    const struct layer *l = &c->network->layers[i];
    struct value v = l->input >= 0 ? c->values[l->input] : (struct value){.at = nothing};
    switch (l->kind) {
    case LAYER_INPUT: return (struct value){.kind = VALUE_INPUT, .at = nothing};
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
        if (l->kind >= LAYER_RESHAPE || l->norm == NORM_BATCH ||
            (l->kind == LAYER_CONNECTED && l->bias.data))
            fits = false; /* chain.c's */
        if (from->kind == LAYER_CAM)
            fits = l->kind == LAYER_CONV && l->kernel == 1;
        if (!fits)
            fail(c, err_set(c->err, ERR_UNSUPPORTED, l->name,
                            "layer %s (%s) cannot follow layer %s on the CPU", l->name,
                            layer_kind_name(l->kind), from->name));
    }
    if (net->count < 2 || last->kind == LAYER_CAM)
        fail(c, err_set(c->err, ERR_UNSUPPORTED, NULL, "the network ends too early for the CPU"));
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
        if (network->layers[i].kind == LAYER_CONV && !is_planes_conv(network, i))
            make_conv(c, i);
    for (int i = 0; c->rc == 0 && i < network->count; i++)
        c->values[i] = compile_layer(c, i);
    if (c->rc == 0)
        compile_output(c);
    int rc = c->rc;
    free(c);
    return rc;
}

/* SPDX-License-Identifier: MIT
 *
 * Layers are taken in order; each looks ahead at who reads it, and takes in what a kernel does on
 * the way: a convolution the upsampling before it, a batch norm, an activation and a pixel shuffle
 * behind it; a norm the activation and the sum behind it. */
#include "gpu/cuda/lower.h"

#include "common/err.h"

#include <string.h>

static int refuse(struct lowering *l, int layer, const char *why)
{
    const struct layer *at = &l->network->layers[layer];
    return err_set(l->err, ERR_UNSUPPORTED, at->name, "layer %s (%s) does not run on the GPU: %s",
                   at->name, layer_kind_name(at->kind), why);
}

/* Takes a layer in: it gets no step of its own. */
static int take(struct lowering *l, int layer)
{
    l->taken[layer] = true;
    return layer;
}

static int new_buffer(struct lowering *l, size_t bytes)
{
    struct steps *s = l->steps;
    s->buffer[s->buffer_count] = (struct buffer){.bytes = (bytes + BUFFER_ALIGNMENT - 1) /
                                                          BUFFER_ALIGNMENT * BUFFER_ALIGNMENT,
                                                 .first = s->count,
                                                 .last = s->count};
    return s->buffer_count++;
}

static int new_picture(struct lowering *l, int64_t c, int64_t h, int64_t w)
{
    const size_t size = l->steps->type == KERNEL_F32 ? 4 : 2;
    return new_buffer(l, (size_t)kernel_channels((int)c) * (size_t)(h * w) * size);
}

static struct step *new_step(struct lowering *l, enum step_kind kind, int layer)
{
    struct step *step = &l->steps->step[l->steps->count];
    *step = (struct step){.kind = kind, .layer = layer};
    int *const absent[] = {
        &step->in,        &step->other,      &step->out,        &step->partials,
        &step->scale,     &step->shift,      &step->gamma,      &step->beta,
        &step->weight,    &step->bias,       &step->rho,        &step->gamma_blob,
        &step->beta_blob, &step->scale_blob, &step->shift_blob, &step->slope_blob};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++)
        *absent[i] = -1;
    return step;
}

/* The step counts from here on; what it uses lives at least until now. */
static void end_step(struct lowering *l)
{
    struct steps *s = l->steps;
    const struct step *step = &s->step[s->count];
    const int used[] = {step->in,    step->other, step->out,   step->partials,
                        step->scale, step->shift, step->gamma, step->beta};
    for (size_t i = 0; i < sizeof used / sizeof used[0]; i++)
        if (used[i] >= 0)
            s->buffer[used[i]].last = s->count;
    s->count++;
}

static void finish(struct lowering *l, int layer, struct value value)
{
    end_step(l);
    l->value[layer] = value;
}

static int add_blob(struct lowering *l, struct blob blob)
{
    struct steps *s = l->steps;
    if (blob.kind != BLOB_CONV && blob.kind != BLOB_ROWS)
        blob.bytes = (size_t)blob.count * sizeof(float);
    blob.step = s->count;
    blob.offset = s->weight_bytes;
    s->weight_bytes += (blob.bytes + BUFFER_ALIGNMENT - 1) / BUFFER_ALIGNMENT * BUFFER_ALIGNMENT;
    s->blob[s->blob_count] = blob;
    return s->blob_count++;
}

static int vector_blob(struct lowering *l, int layer, const struct tensor *tensor)
{
    if (!tensor->data)
        return -1;
    return add_blob(l, (struct blob){.kind = BLOB_VECTOR,
                                     .layer = layer,
                                     .tensor = tensor,
                                     .count = kernel_channels((int)tensor_count(tensor))});
}

static int lower_input(struct lowering *l, int i)
{
    const struct layer *at = &l->network->layers[i];
    int reader = lower_sole_reader(l, i);
    if (reader >= 0 && l->network->layers[reader].kind == LAYER_CONNECTED && at->h * at->w == 1) {
        l->value[i] = (struct value){.kind = VALUE_VECTOR, .buffer = BUFFER_INPUT};
        return 0;
    }
    struct step *step = new_step(l, STEP_FROM_PLANES, i);
    step->in = BUFFER_INPUT;
    step->channels = (int)at->c;
    step->pixels = (int)(at->h * at->w);
    step->out = new_picture(l, at->c, at->h, at->w);
    finish(l, i, (struct value){.kind = VALUE_PICTURE, .buffer = step->out, .partials = -1});
    return 0;
}

/* What a convolution takes in: from its input on, and behind it up to layer `end`. */
struct taken {
    int cam, batch, slope, end;
    bool doubled;
    const struct layer *from; /* what is stored */
};

static int look_before(const struct lowering *l, int i, struct taken *t)
{
    const struct layer *layers = l->network->layers;
    int from = layers[i].input;
    t->cam = t->batch = t->slope = -1;
    if (l->value[from].kind == VALUE_FOLDED && layers[from].kind == LAYER_UPSAMPLE) {
        t->doubled = true;
        from = layers[from].input;
    }
    if (l->value[from].kind == VALUE_FOLDED && layers[from].kind == LAYER_CAM) {
        t->cam = from;
        from = layers[from].input;
    }
    t->from = &layers[from];
    return from;
}

static void look_behind(struct lowering *l, int i, struct kernel_conv *conv, struct taken *t)
{
    const struct layer *layers = l->network->layers;
    int next = lower_next(l, i, LAYER_NORM);
    t->end = i;
    if (next >= 0 && layers[next].norm == NORM_BATCH)
        t->end = t->batch = take(l, next);
    if ((next = lower_next(l, t->end, LAYER_SHUFFLE)) >= 0) {
        conv->shuffled = true;
        t->end = take(l, next);
    }
    if ((next = lower_next_act(l, t->end)) >= 0) {
        conv->act = lower_act(layers[next].kind);
        if (conv->act == KERNEL_PRELU)
            t->slope = next;
        t->end = take(l, next);
    }
    conv->statistics =
        lower_is_moment_norm(l, lower_sole_reader(l, t->end)) || lower_a_mean_reads(l, t->end);
}

static int lower_conv(struct lowering *l, int i)
{
    const struct layer *at = &l->network->layers[i];
    struct taken t = {0};
    int from = look_before(l, i, &t);
    if (l->value[from].kind != VALUE_PICTURE)
        return refuse(l, i, "its input is no picture");
    struct kernel_conv conv = {
        .type = l->steps->type,
        .arch = l->steps->arch,
        .inputs = (int)t.from->c,
        .in_h = (int)t.from->h,
        .in_w = (int)t.from->w,
        .outputs = (int)at->c,
        .out_h = (int)at->h,
        .out_w = (int)at->w,
        .kernel = at->kernel,
        .stride = at->stride,
        .pad = at->pad,
        .zeros = at->zeros || at->kind == LAYER_DECONV,
        .doubled = t.doubled,
        .transposed = at->kind == LAYER_DECONV,
    };
    look_behind(l, i, &conv, &t);
    const char *why = kernel_conv_refuses(&conv);
    if (why)
        return refuse(l, i, why);
    const struct layer *end = &l->network->layers[t.end];
    struct step *step = new_step(l, STEP_CONV, i);
    step->conv = conv;
    step->tiles = kernel_conv_tiles(&conv);
    step->in = l->value[from].buffer;
    step->out = new_picture(l, end->c, end->h, end->w);
    if (conv.statistics)
        step->partials =
            new_buffer(l, kernel_partial_floats(step->tiles, (int)at->c) * sizeof(float));
    step->weight = add_blob(l, (struct blob){.kind = BLOB_CONV,
                                             .layer = i,
                                             .cam = t.cam,
                                             .batch = t.batch,
                                             .slope = t.slope,
                                             .bytes = kernel_conv_weight_bytes(&conv)});
    finish(l, t.end,
           (struct value){.kind = VALUE_PICTURE,
                          .buffer = step->out,
                          .partials = step->partials,
                          .tiles = step->tiles});
    return 0;
}

/* A vector of a layer that norms read; -1: it has none. */
static int vector_of(const struct lowering *l, int layer)
{
    return layer >= 0 && l->value[layer].kind == VALUE_VECTOR ? l->value[layer].buffer : -1;
}

static int lower_factors(struct lowering *l, int i, int from)
{
    const struct layer *at = &l->network->layers[i];
    const bool adaptive = at->norm == NORM_ADAPTIVE;
    struct step *step = new_step(l, STEP_FACTORS, i);
    step->partials = l->value[from].partials;
    step->channels = (int)at->c;
    step->gamma = adaptive ? vector_of(l, at->gamma_from) : -1;
    step->beta = adaptive ? vector_of(l, at->beta_from) : -1;
    if (adaptive && (step->gamma == -1 || step->beta == -1))
        return refuse(l, i, "its gamma and beta are no vectors");
    step->rho = vector_blob(l, i, &at->rho);
    step->gamma_blob = adaptive ? -1 : vector_blob(l, i, &at->gamma);
    step->beta_blob = adaptive ? -1 : vector_blob(l, i, &at->beta);
    step->norm = (struct kernel_norm){
        .channels = (int)at->c,
        .tiles = l->value[from].tiles,
        .unbiased = at->unbiased,
        .per_picture = adaptive,
        .epsilon = at->epsilon,
        .layer = i,
    };
    const size_t bytes = (size_t)kernel_channels((int)at->c) * sizeof(float);
    step->scale = new_buffer(l, bytes);
    step->shift = new_buffer(l, bytes);
    end_step(l);
    return 0;
}

/* act(in * scale + shift) + other, as far as the layers from `start` on are that. */
static int lower_apply(struct lowering *l, int start, int from, bool normed)
{
    const struct layer *layers = l->network->layers;
    if (layers[start].c > KERNEL_APPLY_CHANNELS)
        return refuse(l, start, "it has more channels than a pass over pixels takes");
    struct step *step = new_step(l, STEP_APPLY, start);
    const struct step *factors = step - 1;
    int end = start, next;
    step->in = l->value[from].buffer;
    step->channels = (int)layers[start].c;
    step->pixels = (int)(layers[start].h * layers[start].w);
    if (normed && layers[start].norm != NORM_BATCH) {
        step->scale = factors->scale;
        step->shift = factors->shift;
    } else if (normed) {
        struct blob blob = {.kind = BLOB_SCALE,
                            .layer = start,
                            .batch = start,
                            .count = kernel_channels(step->channels)};
        step->scale_blob = add_blob(l, blob);
        blob.kind = BLOB_SHIFT;
        step->shift_blob = add_blob(l, blob);
    }
    next = normed ? lower_next_act(l, end) : layers[start].kind != LAYER_ADD ? start : -1;
    if (next >= 0) {
        step->act = lower_act(layers[next].kind);
        if (step->act == KERNEL_PRELU)
            step->slope_blob = add_blob(l, (struct blob){.kind = BLOB_SLOPE,
                                                         .layer = next,
                                                         .tensor = &layers[next].weight,
                                                         .count = kernel_channels(step->channels)});
        end = take(l, next);
    }
    next = layers[start].kind == LAYER_ADD ? start : lower_next(l, end, LAYER_ADD);
    if (next >= 0) {
        int other =
            layers[next].input == end || next == start ? layers[next].other : layers[next].input;
        if (l->value[other].kind == VALUE_PICTURE) {
            step->other = l->value[other].buffer;
            end = take(l, next);
        }
    }
    /* In place where nobody else reads what comes in. */
    step->out = l->readers[from] == 1 && lower_sole_reader(l, from) >= 0
                    ? step->in
                    : new_picture(l, layers[end].c, layers[end].h, layers[end].w);
    finish(l, end, (struct value){.kind = VALUE_PICTURE, .buffer = step->out, .partials = -1});
    return 0;
}

static int lower_norm(struct lowering *l, int i)
{
    const int from = l->network->layers[i].input;
    if (l->value[from].kind != VALUE_PICTURE)
        return refuse(l, i, "its input is no picture");
    if (lower_is_moment_norm(l, i)) {
        if (l->value[from].partials < 0)
            return refuse(l, i, "it does not follow a convolution");
        int rc = lower_factors(l, i, from);
        if (rc < 0)
            return rc;
    }
    return lower_apply(l, i, from, true);
}

static int lower_plain(struct lowering *l, int i)
{
    const struct layer *at = &l->network->layers[i];
    if (l->value[at->input].kind != VALUE_PICTURE ||
        (at->other >= 0 && l->value[at->other].kind != VALUE_PICTURE))
        return refuse(l, i, "its input is no picture");
    return lower_apply(l, i, at->input, false);
}

static int lower_mean(struct lowering *l, int i)
{
    const struct layer *at = &l->network->layers[i];
    const struct value *from = &l->value[at->input];
    if (from->kind != VALUE_PICTURE || from->partials < 0)
        return refuse(l, i, "it does not follow a convolution");
    struct step *step = new_step(l, STEP_MEAN, i);
    step->partials = from->partials;
    step->tiles = from->tiles;
    step->channels = (int)at->c;
    step->out = new_buffer(l, (size_t)at->c * sizeof(float));
    finish(l, i, (struct value){.kind = VALUE_VECTOR, .buffer = step->out});
    return 0;
}

/* A vector that goes on as a picture. */
static void lower_reshape(struct lowering *l, int layer, int end, int vector)
{
    const struct layer *at = &l->network->layers[layer];
    struct step *step = new_step(l, STEP_FROM_PLANES, layer);
    step->in = vector;
    step->channels = (int)at->c;
    step->pixels = (int)(at->h * at->w);
    step->out = new_picture(l, at->c, at->h, at->w);
    finish(l, end, (struct value){.kind = VALUE_PICTURE, .buffer = step->out, .partials = -1});
}

static int lower_connected(struct lowering *l, int i)
{
    const struct layer *layers = l->network->layers, *at = &layers[i], *from = &layers[at->input];
    const bool picture = l->value[at->input].kind == VALUE_PICTURE;
    if (!picture && l->value[at->input].kind != VALUE_VECTOR)
        return refuse(l, i, "its input is neither picture nor vector");
    int end = i, batch = -1;
    const int reshape = lower_next(l, i, LAYER_RESHAPE);
    int next = reshape >= 0 ? lower_next(l, end = take(l, reshape), LAYER_NORM) : -1;
    if (next >= 0 && layers[next].norm == NORM_BATCH)
        end = batch = take(l, next);
    const int relu = lower_next(l, end, LAYER_RELU);
    end = relu >= 0 ? take(l, relu) : end;
    struct step *step = new_step(l, picture ? STEP_CONNECTED_PICTURE : STEP_CONNECTED, i);
    step->in = l->value[at->input].buffer;
    step->act = relu >= 0 ? KERNEL_RELU : KERNEL_ACT_NONE;
    step->inputs = (int)layer_values(from);
    step->outputs = (int)at->c;
    step->out = new_buffer(l, (size_t)at->c * sizeof(float));
    struct blob weights = {.kind = picture ? BLOB_ROWS : BLOB_MATRIX,
                           .layer = i,
                           .batch = batch,
                           .count = at->c * (int64_t)layer_values(from)};
    if (picture) {
        step->connected = (struct kernel_connected){.type = l->steps->type,
                                                    .channels = (int)from->c,
                                                    .pixels = (int)(from->h * from->w),
                                                    .outputs = (int)at->c,
                                                    .act = step->act};
        weights.bytes = (size_t)at->c * kernel_connected_row_bytes(&step->connected);
        const size_t floats = kernel_connected_workspace(&step->connected);
        if (floats > l->steps->workspace_floats)
            l->steps->workspace_floats = floats;
    }
    step->weight = add_blob(l, weights);
    if (at->bias.data || batch >= 0)
        step->bias = add_blob(
            l, (struct blob){.kind = BLOB_BIAS, .layer = i, .batch = batch, .count = at->c});
    const int vector = step->out;
    finish(l, reshape >= 0 ? i : end, (struct value){.kind = VALUE_VECTOR, .buffer = vector});
    if (reshape >= 0)
        lower_reshape(l, reshape, end, vector);
    return 0;
}

static int lower_folded(struct lowering *l, int i)
{
    if (!lower_only_convolutions_read(l, i))
        return refuse(l, i, "something else than a convolution reads it");
    /* As long as its readers come, what it reads has to stay. */
    l->value[i].kind = VALUE_FOLDED;
    return 0;
}

static int lower_output(struct lowering *l)
{
    const int last = l->network->count - 1;
    const struct layer *at = &l->network->layers[last];
    int from = last;
    enum kernel_act act = KERNEL_ACT_NONE;
    if (l->value[last].kind == VALUE_NONE) {
        act = lower_act(at->kind);
        from = at->input;
    }
    const struct value *value = &l->value[from];
    if (value->kind != VALUE_PICTURE && (value->kind != VALUE_VECTOR || from != last))
        return refuse(l, last, "it is no output");
    struct step *step =
        new_step(l, value->kind == VALUE_PICTURE ? STEP_TO_PLANES : STEP_TO_VECTOR, last);
    step->in = value->buffer;
    step->act = act;
    step->channels = (int)at->c;
    step->pixels = (int)(at->h * at->w);
    end_step(l);
    l->steps->out_values = layer_values(at);
    return 0;
}

static int lower_heat_map(struct lowering *l)
{
    const int attention = l->network->attention;
    const struct layer *at = &l->network->layers[attention];
    if (l->value[attention].kind != VALUE_PICTURE)
        return refuse(l, attention, "its sums are asked for, but it is no picture");
    struct step *step = new_step(l, STEP_HEAT_MAP, attention);
    step->in = l->value[attention].buffer;
    step->channels = (int)at->c;
    step->pixels = (int)(at->h * at->w);
    end_step(l);
    l->steps->heat_values = (size_t)(at->h * at->w);
    return 0;
}

static int lower_layer(struct lowering *l, int i)
{
    const bool last = i == l->network->count - 1;
    switch (l->network->layers[i].kind) {
    case LAYER_INPUT: return lower_input(l, i);
    case LAYER_CONV:
    case LAYER_DECONV: return lower_conv(l, i);
    case LAYER_NORM: return lower_norm(l, i);
    case LAYER_TANH: return last ? 0 : lower_plain(l, i);
    case LAYER_SIGMOID: return last ? 0 : refuse(l, i, "it is not the last layer");
    case LAYER_RELU:
    case LAYER_PRELU:
    case LAYER_ADD: return lower_plain(l, i);
    case LAYER_UPSAMPLE:
    case LAYER_CAM: return lower_folded(l, i);
    case LAYER_MEAN: return lower_mean(l, i);
    case LAYER_CONNECTED: return lower_connected(l, i);
    case LAYER_RESHAPE:
    case LAYER_SHUFFLE: return refuse(l, i, "it follows nothing that could do it on the way");
    case LAYER_KIND_COUNT: break;
    }
    return refuse(l, i, "it is not known");
}

int steps_lower(const struct network *network, enum kernel_type type, int arch,
                struct steps *out_steps, struct err *err)
{
    struct lowering l = {.network = network, .steps = out_steps, .err = err};
    memset(out_steps, 0, sizeof *out_steps);
    out_steps->network = network;
    out_steps->type = type;
    out_steps->arch = arch;
    out_steps->in_values = layer_values(&network->layers[0]);
    lower_count_readers(&l);
    int rc = 0;
    for (int i = 0; rc == 0 && i < network->count; i++) {
        if (!l.taken[i])
            rc = lower_layer(&l, i);
        /* At once: its buffer need not live longer. */
        if (rc == 0 && network->heat_map && i == network->attention)
            rc = lower_heat_map(&l);
    }
    if (rc == 0)
        rc = lower_output(&l);
    if (rc == 0)
        steps_lay_out(out_steps);
    return rc;
}

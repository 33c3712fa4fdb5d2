/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/chain.h"

#include "common/err.h"
#include "gpu/cpu/connected.h"
#include "gpu/cpu/conv.h"
#include "gpu/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINKS 16
#define ALIGNMENT 64

/* A transposed convolution, what was folded into it, and the picture that it reads. */
struct link {
    const struct layer *layer; /* borrowed until chain_create() returns */
    struct conv *conv;         /* owned */
    float *src, *dst;          /* owned: [h + taps - 1][w + taps - 1][inputs], [h][w][outputs] */
    int inputs, outputs;       /* channels as they lie in memory */
    int channels, stride;      /* of the result */
    int h, w, before, taps;    /* before: rows and columns of zeros in front */
};

struct chain {
    struct tensor dense;  /* [F][in] in f32; owned, as data is */
    float *bias, *vector; /* owned: [F] */
    int64_t c, h, w;      /* of the picture that the vector is */
    bool relu;            /* on the vector */
    bool sigmoid;
    struct link links[MAX_LINKS];
    int count;
    void *scratch; /* owned */
};

bool chain_fits(const struct network *network)
{
    for (int i = 0; i < network->count; i++)
        if (network->layers[i].kind == LAYER_DECONV)
            return true;
    return false;
}

/* Zeroed. */
static void *allocate(size_t bytes)
{
    size_t whole = (bytes + ALIGNMENT) / ALIGNMENT * ALIGNMENT;
    void *memory = aligned_alloc(ALIGNMENT, whole);
    if (memory)
        memset(memory, 0, whole);
    return memory;
}

static float *widen(const struct tensor *tensor)
{
    float *values = allocate((size_t)tensor_count(tensor) * sizeof *values);
    if (values)
        tensor_to_f32(tensor, values);
    return values;
}

/* What a batch norm does to each channel: y = scale * x + shift. [C] each, owned. */
struct affine {
    float *scale, *shift;
};

static void affine_fini(struct affine *affine)
{
    free(affine->scale);
    free(affine->shift);
}

/* `norm` may be NULL: then nothing is done. */
static int affine_of(const struct layer *norm, int64_t channels, struct affine *out)
{
    *out = (struct affine){allocate((size_t)channels * sizeof(float)),
                           allocate((size_t)channels * sizeof(float))};
    int rc = out->scale && out->shift ? 0 : ERR_NOMEM;
    for (int64_t c = 0; rc == 0 && c < channels; c++)
        out->scale[c] = 1;
    if (rc < 0 || !norm)
        return rc;
    float *gamma = widen(&norm->gamma), *beta = widen(&norm->beta);
    float *mean = widen(&norm->mean), *variance = widen(&norm->variance);
    rc = gamma && beta && mean && variance ? 0 : ERR_NOMEM;
    for (int64_t c = 0; rc == 0 && c < channels; c++) {
        double rate = (double)gamma[c] / sqrt((double)variance[c] + (double)norm->epsilon);
        out->scale[c] = (float)rate;
        out->shift[c] = (float)((double)beta[c] - (double)mean[c] * rate);
    }
    free(gamma);
    free(beta);
    free(mean);
    free(variance);
    return rc;
}

static int make_dense(struct chain *chain, const struct layer *layer, const struct layer *norm)
{
    struct affine affine = {0};
    const int64_t features = layer->c, plane = chain->h * chain->w, inputs = layer->weight.dim[1];
    float *weight = widen(&layer->weight);
    chain->dense =
        (struct tensor){.type = TENSOR_F32, .rank = 2, .dim = {features, inputs}, .data = weight};
    chain->bias =
        layer->bias.data ? widen(&layer->bias) : allocate((size_t)features * sizeof *chain->bias);
    chain->vector = allocate((size_t)features * sizeof *chain->vector);
    int rc =
        weight && chain->bias && chain->vector ? affine_of(norm, chain->c, &affine) : ERR_NOMEM;
    for (int64_t f = 0; rc == 0 && f < features; f++) {
        float scale = affine.scale[f / plane];
        for (int64_t i = 0; i < inputs; i++)
            weight[f * inputs + i] *= scale;
        chain->bias[f] = chain->bias[f] * scale + affine.shift[f / plane];
    }
    affine_fini(&affine);
    return rc;
}

/* Row stride * y + p of the result takes row y + d of the input through row k of the kernel, where
 * p + pad - k = stride * d; so d goes from -before to taps - 1 - before over all p and k. */
static void measure(struct link *link)
{
    const struct layer *l = link->layer;
    int least = 0, most = 0;
    for (int p = 0; p < l->stride; p++)
        for (int k = 0; k < l->kernel; k++) {
            int far = p + l->pad - k;
            if (far % l->stride != 0)
                continue;
            least = far / l->stride < least ? far / l->stride : least;
            most = far / l->stride > most ? far / l->stride : most;
        }
    link->before = -least;
    link->taps = most - least + 1;
}

/* Which row of the transposed kernel that is; -1: none. */
static int row_of(const struct link *link, int phase, int tap)
{
    const struct layer *l = link->layer;
    int k = phase + l->pad - l->stride * (tap - link->before);
    return k >= 0 && k < l->kernel ? k : -1;
}

/* [I][O][K][K] to [phase, phase, O][I][taps][taps], the norm's scale in it. */
static void rearrange(const struct link *link, const float *from, const float *scale, float *to)
{
    const struct layer *l = link->layer;
    const int64_t in = l->weight.dim[0], out = l->c, k = l->kernel, t = link->taps;
    for (int64_t index = 0; index < l->stride * l->stride * out; index++)
        for (int64_t i = 0; i < in; i++)
            for (int64_t y = 0; y < t; y++)
                for (int64_t x = 0; x < t; x++) {
                    int64_t o = index % out, phase = index / out;
                    int row = row_of(link, (int)phase / l->stride, (int)y);
                    int column = row_of(link, (int)phase % l->stride, (int)x);
                    if (row >= 0 && column >= 0)
                        to[((index * link->inputs + i) * t + y) * t + x] =
                            from[((i * out + o) * k + row) * k + column] * scale[o];
                }
}

static int make_conv(struct link *link, const struct affine *affine, bool relu,
                     const struct conv_machine *machine, struct err *err)
{
    const struct layer *l = link->layer;
    const size_t taps = (size_t)link->taps * (size_t)link->taps;
    float *given = widen(&l->weight), *given_bias = widen(&l->bias);
    float *weight = allocate((size_t)link->outputs * (size_t)link->inputs * taps * sizeof *weight);
    float *bias = allocate((size_t)link->outputs * sizeof *bias);
    int rc = given && given_bias && weight && bias ? 0 : ERR_NOMEM;
    if (rc == 0) {
        rearrange(link, given, affine->scale, weight);
        for (int64_t i = 0; i < l->stride * l->stride * l->c; i++)
            bias[i] = given_bias[i % l->c] * affine->scale[i % l->c] + affine->shift[i % l->c];
        const struct conv_spec spec = {
            .name = l->name,
            .inputs = link->inputs,
            .outputs = link->outputs,
            .h = link->h,
            .w = link->w,
            .kernel = link->taps,
            .stride = 1,
            .padding = {PADDING_ZERO, link->before, link->taps - 1 - link->before},
            .relu = relu,
        };
        rc = conv_create(machine, &spec, weight, bias, &link->conv, err);
    }
    free(given);
    free(given_bias);
    free(weight);
    free(bias);
    return rc;
}

static int make_link(struct link *link, const struct layer *from, const struct layer *norm,
                     bool relu, const struct conv_machine *machine, struct err *err)
{
    const struct layer *l = link->layer;
    struct affine affine = {0};
    measure(link);
    link->stride = l->stride;
    link->channels = (int)l->c;
    link->inputs = view_round_up(from->c);
    link->outputs = view_round_up(l->c * l->stride * l->stride);
    link->h = (int)from->h;
    link->w = (int)from->w;
    size_t pixels = (size_t)(link->h + link->taps - 1) * (size_t)(link->w + link->taps - 1);
    link->src = allocate(pixels * (size_t)link->inputs * sizeof *link->src);
    link->dst =
        allocate((size_t)link->h * (size_t)link->w * (size_t)link->outputs * sizeof *link->dst);
    int rc = link->src && link->dst ? affine_of(norm, l->c, &affine) : ERR_NOMEM;
    if (rc == 0)
        rc = make_conv(link, &affine, relu, machine, err);
    affine_fini(&affine);
    return rc;
}

/* The layer behind *i if it is of that kind, and then *i stands on it. */
static const struct layer *take(const struct network *net, int *i, enum layer_kind kind)
{
    const struct layer *next = *i + 1 < net->count ? &net->layers[*i + 1] : NULL;
    if (!next || next->kind != kind || next->input != *i ||
        (kind == LAYER_NORM && next->norm != NORM_BATCH))
        return NULL;
    (*i)++;
    return next;
}

static int build(struct chain *chain, const struct network *net, const struct conv_machine *machine,
                 struct err *err)
{
    int i = 0;
    const struct layer *dense = take(net, &i, LAYER_CONNECTED);
    const struct layer *shape = dense ? take(net, &i, LAYER_RESHAPE) : NULL;
    int rc = 0;
    if (shape) {
        chain->c = shape->c;
        chain->h = shape->h;
        chain->w = shape->w;
        const struct layer *norm = take(net, &i, LAYER_NORM);
        chain->relu = take(net, &i, LAYER_RELU);
        rc = make_dense(chain, dense, norm);
    }
    while (rc == 0 && shape && chain->count < MAX_LINKS) {
        const struct layer *from = &net->layers[i];
        struct link *link = &chain->links[chain->count];
        if (!(link->layer = take(net, &i, LAYER_DECONV)))
            break;
        chain->count++;
        const struct layer *norm = take(net, &i, LAYER_NORM);
        bool relu = take(net, &i, LAYER_RELU);
        rc = make_link(link, from, norm, relu, machine, err);
    }
    chain->sigmoid = rc == 0 && take(net, &i, LAYER_SIGMOID);
    if (rc == 0 && (i != net->count - 1 || chain->count == 0))
        rc = err_set(err, ERR_UNSUPPORTED, net->layers[i].name,
                     "what follows layer %s cannot be computed there on the CPU",
                     net->layers[i].name);
    return rc;
}

int chain_create(const struct conv_machine *machine, const struct network *network,
                 struct chain **out_chain, struct err *err)
{
    struct chain *chain = calloc(1, sizeof *chain);
    size_t scratch = 0;
    int rc = chain ? build(chain, network, machine, err) : ERR_NOMEM;
    for (int i = 0; rc == 0 && i < chain->count; i++)
        if (chain->links[i].conv->scratch_bytes > scratch)
            scratch = chain->links[i].conv->scratch_bytes;
    if (rc == 0 && !(chain->scratch = allocate(scratch)))
        rc = ERR_NOMEM;
    if (rc < 0)
        chain_destroy(&chain);
    else
        *out_chain = chain;
    return rc;
}

void chain_destroy(struct chain **chain)
{
    struct chain *c = *chain;
    if (!c)
        return;
    for (int i = 0; i < c->count; i++) {
        conv_destroy(&c->links[i].conv);
        free(c->links[i].src);
        free(c->links[i].dst);
    }
    free((void *)(uintptr_t)c->dense.data);
    free(c->bias);
    free(c->vector);
    free(c->scratch);
    free(c);
    *chain = NULL;
}

/* Where pixel (y, x) of the picture inside the zeros begins. */
static float *pixel(const struct link *link, int64_t y, int64_t x)
{
    int64_t wide = link->w + link->taps - 1;
    return link->src + ((y + link->before) * wide + x + link->before) * link->inputs;
}

/* The vector, CHW, into the first link's picture. */
static void fill_first(const struct chain *chain)
{
    const int64_t plane = chain->h * chain->w;
    for (int64_t f = 0; f < chain->c * plane; f++) {
        float value = chain->vector[f] + chain->bias[f];
        int64_t at = f % plane;
        pixel(&chain->links[0], at / chain->w, at % chain->w)[f / plane] =
            chain->relu && value < 0 ? 0 : value;
    }
}

/* The channels of a link's result at (y, x) of all phases together. */
static const float *result(const struct link *link, int64_t y, int64_t x)
{
    const int64_t s = link->stride;
    return link->dst + ((y / s) * link->w + x / s) * link->outputs +
           ((y % s) * s + x % s) * link->channels;
}

static void fill_next(const struct link *from, const struct link *to)
{
    for (int64_t y = 0; y < to->h; y++)
        for (int64_t x = 0; x < to->w; x++)
            memcpy(pixel(to, y, x), result(from, y, x), (size_t)from->channels * sizeof(float));
}

static int write_output(const struct chain *chain, const struct link *last, float *output,
                        struct err *err)
{
    const int64_t h = (int64_t)last->h * last->stride, w = (int64_t)last->w * last->stride;
    for (int64_t c = 0; c < last->channels; c++)
        for (int64_t y = 0; y < h; y++)
            for (int64_t x = 0; x < w; x++) {
                double value = (double)result(last, y, x)[c];
                if (!isfinite(value))
                    return err_set(err, ERR_CORRUPT, "weights", "the network gave NaN or infinity");
                output[(c * h + y) * w + x] =
                    (float)(chain->sigmoid ? 1 / (1 + exp(-value)) : value);
            }
    return 0;
}

int chain_run(struct chain *chain, const float *input, float *output, struct err *err)
{
    connected_run(&chain->dense, &(struct tensor){0}, input, chain->vector);
    fill_first(chain);
    for (int i = 0; i < chain->count; i++) {
        const struct link *link = &chain->links[i];
        struct view src = {.data = link->src}, dst = {.data = link->dst};
        if (conv_run(link->conv, &(struct conv_task){&src, &dst, chain->scratch}) < 0)
            return err_set(err, ERR_INTERNAL, "device",
                           "oneDNN failed in transposed convolution %d", i);
        if (i + 1 < chain->count)
            fill_next(link, &chain->links[i + 1]);
    }
    return write_output(chain, &chain->links[chain->count - 1], output, err);
}

size_t chain_bytes(const struct chain *chain)
{
    size_t bytes = sizeof *chain + (size_t)tensor_count(&chain->dense) * sizeof(float);
    for (int i = 0; i < chain->count; i++) {
        const struct link *l = &chain->links[i];
        const size_t source = (size_t)(l->h + l->taps - 1) * (size_t)(l->w + l->taps - 1);
        bytes += l->conv->weight_bytes + source * (size_t)l->inputs * sizeof(float) +
                 (size_t)l->h * (size_t)l->w * (size_t)l->outputs * sizeof(float);
    }
    return bytes;
}

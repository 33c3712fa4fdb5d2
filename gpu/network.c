/* SPDX-License-Identifier: MIT */
#include "gpu/network.h"

#include "common/err.h"
#include "gpu/weights/weights.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

const char *layer_kind_name(enum layer_kind kind)
{
    static const char *const names[LAYER_KIND_COUNT] = {
        [LAYER_INPUT] = "input",      [LAYER_CONV] = "conv",       [LAYER_UPSAMPLE] = "upsample",
        [LAYER_NORM] = "norm",        [LAYER_RELU] = "relu",       [LAYER_TANH] = "tanh",
        [LAYER_ADD] = "add",          [LAYER_CAM] = "cam",         [LAYER_MEAN] = "mean",
        [LAYER_CONNECTED] = "linear", [LAYER_RESHAPE] = "reshape", [LAYER_DECONV] = "deconv",
        [LAYER_SIGMOID] = "sigmoid",  [LAYER_PRELU] = "prelu",     [LAYER_SHUFFLE] = "shuffle",
    };
    return names[kind];
}

int layer_not_finite(const struct layer *layer, struct err *err)
{
    return err_set(err, ERR_CORRUPT, layer->name, "layer %s (%s) gave NaN or infinity", layer->name,
                   layer_kind_name(layer->kind));
}

size_t network_out_values(const struct network *network)
{
    const struct layer *attention = &network->layers[network->attention];
    return layer_values(&network->layers[network->count - 1]) +
           (network->heat_map ? (size_t)(attention->h * attention->w) : 0);
}

/* A zeroed layer of this kind with its input's shape; NULL after an error. */
static struct layer *append(struct network_builder *b, enum layer_kind kind, const char *name,
                            int input)
{
    struct network *net = b->network;
    if (b->rc < 0)
        return NULL;
    if (net->count == NETWORK_MAX_LAYERS) {
        b->rc = err_set(b->err, ERR_LIMIT, "weights", "more than %d layers", NETWORK_MAX_LAYERS);
        return NULL;
    }
    assert(input < net->count);
    struct layer *layer = &net->layers[net->count];
    const struct layer *from = input >= 0 ? &net->layers[input] : NULL;
    *layer = (struct layer){
        .kind = kind, .input = input, .other = -1, .gamma_from = -1, .beta_from = -1};
    if (from) {
        layer->c = from->c;
        layer->h = from->h;
        layer->w = from->w;
    }
    if (name)
        snprintf(layer->name, sizeof layer->name, "%s", name);
    else
        snprintf(layer->name, sizeof layer->name, "%s%d", layer_kind_name(kind), net->count);
    return layer;
}

/* The layer counts from here on, unless a tensor was missing. */
static int finish(struct network_builder *b)
{
    return b->rc < 0 ? -1 : b->network->count++;
}

/* `full`: the tensor's whole name. */
static void require_full(struct network_builder *b, const char *full, int rank, const int64_t *dim,
                         struct tensor *out)
{
    if (b->rc == 0 && b->weights)
        b->rc = weights_require(b->weights, full, rank, dim, out, b->err);
}

static void require(struct network_builder *b, const char *name, const char *part, int rank,
                    const int64_t *dim, struct tensor *out)
{
    char full[WEIGHTS_MAX_NAME_BYTES];
    snprintf(full, sizeof full, "%s.%s", name, part);
    require_full(b, full, rank, dim, out);
}

int network_input(struct network_builder *b, int64_t channels, int64_t height, int64_t width)
{
    b->network->count = 0;
    b->network->multiply_adds = 0;
    struct layer *layer = append(b, LAYER_INPUT, "input", -1);
    if (layer) {
        layer->c = channels;
        layer->h = height;
        layer->w = width;
    }
    return finish(b);
}

int network_conv(struct network_builder *b, const char *name, int input, struct network_conv conv)
{
    struct layer *layer = append(b, LAYER_CONV, name, input);
    if (!layer)
        return -1;
    const int64_t in = layer->c, k = conv.kernel;
    const int end = conv.pad_end > conv.pad ? conv.pad_end : conv.pad;
    const int64_t tall = layer->h + conv.pad + end, wide = layer->w + conv.pad + end;
    /* A reflection needs something to reflect. */
    const int64_t least = conv.zeros ? 1 : end + 1;
    if (layer->h < least || layer->w < least || tall < k || wide < k) {
        b->rc = err_set(b->err, ERR_INVALID, "size", "the picture is too small for layer %s", name);
        return -1;
    }
    layer->kernel = conv.kernel;
    layer->stride = conv.stride;
    layer->pad = conv.pad;
    layer->pad_end = end;
    layer->zeros = conv.zeros;
    layer->c = conv.channels;
    layer->h = (tall - k) / conv.stride + 1;
    layer->w = (wide - k) / conv.stride + 1;
    require(b, name, "weight", 4, (const int64_t[]){conv.channels, in, k, k}, &layer->weight);
    if (conv.bias)
        require(b, name, "bias", 1, &conv.channels, &layer->bias);
    b->network->multiply_adds += layer->c * layer->h * layer->w * in * k * k;
    return finish(b);
}

int network_upsample(struct network_builder *b, int input)
{
    struct layer *layer = append(b, LAYER_UPSAMPLE, NULL, input);
    if (!layer)
        return -1;
    layer->h *= 2;
    layer->w *= 2;
    return finish(b);
}

int network_instance_norm(struct network_builder *b, int input, float epsilon)
{
    struct layer *layer = append(b, LAYER_NORM, NULL, input);
    if (!layer)
        return -1;
    layer->norm = NORM_INSTANCE;
    layer->epsilon = epsilon;
    return finish(b);
}

int network_affine_norm(struct network_builder *b, int input, struct network_affine affine)
{
    struct layer *layer = append(b, LAYER_NORM, affine.gamma, input);
    if (!layer)
        return -1;
    layer->norm = NORM_INSTANCE;
    layer->epsilon = affine.epsilon;
    require_full(b, affine.gamma, 1, &layer->c, &layer->gamma);
    require_full(b, affine.beta, 1, &layer->c, &layer->beta);
    return finish(b);
}

int network_layer_instance_norm(struct network_builder *b, const char *name, int input,
                                float epsilon)
{
    struct layer *layer = append(b, LAYER_NORM, name, input);
    if (!layer)
        return -1;
    const int64_t dim[4] = {1, layer->c, 1, 1};
    layer->norm = NORM_LAYER_INSTANCE;
    layer->unbiased = !b->biased;
    layer->epsilon = epsilon;
    require(b, name, "rho", 4, dim, &layer->rho);
    require(b, name, "gamma", 4, dim, &layer->gamma);
    require(b, name, "beta", 4, dim, &layer->beta);
    return finish(b);
}

int network_adaptive_norm(struct network_builder *b, const char *name, int input, int gamma_from,
                          int beta_from, float epsilon)
{
    struct layer *layer = append(b, LAYER_NORM, name, input);
    if (!layer)
        return -1;
    layer->norm = NORM_ADAPTIVE;
    layer->unbiased = !b->biased;
    layer->epsilon = epsilon;
    layer->gamma_from = gamma_from;
    layer->beta_from = beta_from;
    require(b, name, "rho", 4, (const int64_t[]){1, layer->c, 1, 1}, &layer->rho);
    return finish(b);
}

int network_relu(struct network_builder *b, int input)
{
    return append(b, LAYER_RELU, NULL, input) ? finish(b) : -1;
}

int network_tanh(struct network_builder *b, int input)
{
    return append(b, LAYER_TANH, NULL, input) ? finish(b) : -1;
}

int network_add(struct network_builder *b, int input, int other)
{
    struct layer *layer = append(b, LAYER_ADD, NULL, input);
    if (!layer)
        return -1;
    layer->other = other;
    return finish(b);
}

int network_cam(struct network_builder *b, const char *gap, const char *gmp, int input)
{
    struct layer *layer = append(b, LAYER_CAM, "cam", input);
    if (!layer)
        return -1;
    const int64_t dim[2] = {1, layer->c};
    require(b, gap, "weight", 2, dim, &layer->weight);
    require(b, gmp, "weight", 2, dim, &layer->second);
    layer->c *= 2;
    return finish(b);
}

int network_mean(struct network_builder *b, int input)
{
    struct layer *layer = append(b, LAYER_MEAN, NULL, input);
    if (!layer)
        return -1;
    layer->h = layer->w = 1;
    return finish(b);
}

int network_connected(struct network_builder *b, const char *name, int input, int64_t features)
{
    struct layer *layer = append(b, LAYER_CONNECTED, name, input);
    if (!layer)
        return -1;
    const int64_t in = layer->c * layer->h * layer->w;
    require(b, name, "weight", 2, (const int64_t[]){features, in}, &layer->weight);
    layer->c = features;
    layer->h = layer->w = 1;
    b->network->multiply_adds += features * in;
    return finish(b);
}

int network_dense(struct network_builder *b, const char *name, int input, int64_t features)
{
    int index = network_connected(b, name, input, features);
    if (index >= 0)
        require(b, name, "bias", 1, &features, &b->network->layers[index].bias);
    return b->rc < 0 ? -1 : index;
}

int network_reshape(struct network_builder *b, int input, int64_t channels, int64_t height,
                    int64_t width)
{
    struct layer *layer = append(b, LAYER_RESHAPE, NULL, input);
    if (!layer)
        return -1;
    assert(channels * height * width == (int64_t)layer_values(layer));
    layer->c = channels;
    layer->h = height;
    layer->w = width;
    return finish(b);
}

int network_batch_norm(struct network_builder *b, const char *name, int input, float epsilon)
{
    struct layer *layer = append(b, LAYER_NORM, name, input);
    if (!layer)
        return -1;
    layer->norm = NORM_BATCH;
    layer->epsilon = epsilon;
    require(b, name, "weight", 1, &layer->c, &layer->gamma);
    require(b, name, "bias", 1, &layer->c, &layer->beta);
    require(b, name, "running_mean", 1, &layer->c, &layer->mean);
    require(b, name, "running_var", 1, &layer->c, &layer->variance);
    return finish(b);
}

int network_deconv(struct network_builder *b, const char *name, int input,
                   struct network_deconv deconv)
{
    struct layer *layer = append(b, LAYER_DECONV, name, input);
    if (!layer)
        return -1;
    const int64_t in = layer->c, k = deconv.kernel, stride = deconv.stride;
    assert(deconv.pad >= 0 && deconv.pad + stride <= k);
    b->network->multiply_adds += in * layer->h * layer->w * deconv.channels * k * k;
    layer->kernel = deconv.kernel;
    layer->stride = deconv.stride;
    layer->pad = deconv.pad;
    layer->c = deconv.channels;
    layer->h *= stride;
    layer->w *= stride;
    require(b, name, "weight", 4, (const int64_t[]){in, deconv.channels, k, k}, &layer->weight);
    if (deconv.bias)
        require(b, name, "bias", 1, &deconv.channels, &layer->bias);
    return finish(b);
}

int network_sigmoid(struct network_builder *b, int input)
{
    return append(b, LAYER_SIGMOID, NULL, input) ? finish(b) : -1;
}

int network_prelu(struct network_builder *b, const char *name, int input)
{
    char full[WEIGHTS_MAX_NAME_BYTES];
    struct tensor slope;
    struct layer *layer = append(b, LAYER_PRELU, name, input);
    if (!layer)
        return -1;
    snprintf(full, sizeof full, "%s.weight", name);
    const int64_t one = 1;
    bool shared = b->weights && weights_find(b->weights, full, &slope) == 0 &&
                  tensor_has_shape(&slope, 1, &one);
    require_full(b, full, 1, shared ? &one : &layer->c, &layer->weight);
    return finish(b);
}

int network_shuffle(struct network_builder *b, int input)
{
    struct layer *layer = append(b, LAYER_SHUFFLE, NULL, input);
    if (!layer)
        return -1;
    assert(layer->c % 4 == 0);
    layer->c /= 4;
    layer->h *= 2;
    layer->w *= 2;
    return finish(b);
}

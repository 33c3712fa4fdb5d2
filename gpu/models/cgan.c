/* SPDX-License-Identifier: MIT */
#include "gpu/models/cgan.h"

#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/models/cgan_keras.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include <assert.h>
#include <string.h>

#define EPSILON 1e-3f /* Keras' default, not PyTorch's */

bool cgan_recognise(const struct weights *weights)
{
    struct tensor tensor;
    return weights_find(weights, "dense.weight", &tensor) == 0 &&
           weights_find(weights, "deconv3.weight", &tensor) == 0;
}

static int norm_relu(struct network_builder *b, const char *name, int x)
{
    return network_relu(b, network_batch_norm(b, name, x, EPSILON));
}

/* Keras' "same" */
static struct network_deconv deconv5(int64_t channels, int stride)
{
    return (struct network_deconv){
        .channels = channels, .kernel = 5, .stride = stride, .pad = (5 - stride) / 2, .bias = true};
}

int cgan_build(const struct weights *weights, struct network *out_network, struct err *err)
{
    struct network_builder builder = {.network = out_network, .weights = weights, .err = err};
    struct network_builder *b = &builder;
    /* [110] -> [128,7,7] */
    int x = network_input(b, CGAN_INPUTS, 1, 1);
    x = network_reshape(b, network_dense(b, "dense", x, 128 * 7 * 7), 128, 7, 7);
    /* -> [128,14,14] -> [64,28,28] -> [32,28,28] -> [1,28,28] */
    x = network_deconv(b, "deconv0", norm_relu(b, "norm0", x), deconv5(128, 2));
    x = network_deconv(b, "deconv1", norm_relu(b, "norm1", x), deconv5(64, 2));
    x = network_deconv(b, "deconv2", norm_relu(b, "norm2", x), deconv5(32, 1));
    x = network_deconv(b, "deconv3", norm_relu(b, "norm3", x), deconv5(1, 1));
    network_sigmoid(b, x);
    return b->rc;
}

void cgan_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c[4], k0 = key[0], k1 = key[1];
    memcpy(c, counter, sizeof c);
    for (int round = 0; round < 10; round++) {
        uint64_t first = (uint64_t)0xd2511f53u * c[0], second = (uint64_t)0xcd9e8d57u * c[2];
        uint32_t next[4] = {(uint32_t)(second >> 32) ^ c[1] ^ k0, (uint32_t)second,
                            (uint32_t)(first >> 32) ^ c[3] ^ k1, (uint32_t)first};
        memcpy(c, next, sizeof c);
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    memcpy(out, c, sizeof c);
}

static_assert(CGAN_LATENT % 4 == 0, "whole blocks");

void cgan_input(uint32_t seed, uint32_t position, int digit, float out[CGAN_INPUTS])
{
    assert(digit >= 0 && digit <= 9);
    for (uint32_t i = 0; i < CGAN_LATENT / 4; i++) {
        uint32_t words[4];
        cgan_philox((const uint32_t[4]){i, position, 0, 0}, (const uint32_t[2]){seed, 0}, words);
        for (uint32_t j = 0; j < 4; j++)
            out[4 * i + j] = (float)((int32_t)(words[j] >> 8) - (1 << 23)) / (float)(1 << 23);
    }
    for (int label = 0; label < 10; label++)
        out[CGAN_LATENT + label] = label == digit ? 1.0f : 0.0f;
}

/* The colour map of the original's plots, which rounds these entries down. */
static unsigned char grey(int index)
{
    static const unsigned char lower[] = {33,  37,  41,  45,  49,  53,  57,  61,
                                          66,  74,  82,  90,  98,  106, 114, 122,
                                          132, 148, 164, 180, 196, 212, 228, 244};
    return (unsigned char)(index - (memchr(lower, index, sizeof lower) != NULL));
}

/* Pixels of the tile that source row or column `i` takes: 6, and of two of them 7, 170 in all. */
static int width_of(int i)
{
    return i == 7 || i == 22 ? 7 : 6;
}

void cgan_paint(const float *output, int position, int count, unsigned char *rgb)
{
    enum { LEFT = 28, TOP = 26, VALUES = CGAN_SIDE * CGAN_SIDE };
    const size_t stride = (size_t)count * CGAN_TILE * 3;
    unsigned char *tile = rgb + (size_t)position * CGAN_TILE * 3;
    float least = output[0], most = output[0];
    for (int i = 1; i < VALUES; i++) {
        least = output[i] < least ? output[i] : least;
        most = output[i] > most ? output[i] : most;
    }
    for (size_t y = 0; y < CGAN_TILE; y++)
        memset(tile + y * stride, 255, (size_t)CGAN_TILE * 3);
    size_t top = TOP;
    for (int y = 0; y < CGAN_SIDE; top += (size_t)width_of(y), y++) {
        size_t left = LEFT;
        for (int x = 0; x < CGAN_SIDE; left += (size_t)width_of(x), x++) {
            float norm = most > least ? (output[y * CGAN_SIDE + x] - least) / (most - least) : 0;
            int index = (int)(norm * 256.0f);
            unsigned char value = grey(index > 255 ? 255 : index);
            for (int row = 0; row < width_of(y); row++)
                memset(tile + (top + (size_t)row) * stride + left * 3, value,
                       (size_t)width_of(x) * 3);
        }
    }
}

static int recognise(const struct weights *weights, struct architecture_found *out_found,
                     struct err *err)
{
    const bool keras = cgan_keras_recognise(weights);
    if (!keras && !cgan_recognise(weights))
        return ERR_NOT_FOUND;
    *out_found = (struct architecture_found){.kind = "digits",
                                             .variant = keras ? "tensorflow" : "pytorch",
                                             .channels = 128,
                                             .size = CGAN_SIDE};
    return 0;
}

static int view(const struct weights *weights, const struct architecture_found *found,
                struct weights **out_view, struct err *err)
{
    return strcmp(found->variant, "tensorflow") == 0 ? cgan_keras_view(weights, out_view, err)
                                                     : weights_view(weights, "", out_view, err);
}

static int build(const struct weights *weights, const struct architecture_found *found, int size,
                 struct network *out_network, struct err *err)
{
    return cgan_build(weights, out_network, err);
}

/* cgan_paint() makes its pictures. */
static struct pixels_format format(const char *variant)
{
    return pixels_format_default();
}

const struct architecture architecture_cgan = {
    .name = "cgan",
    .input = MODEL_FROM_DIGITS,
    .scale = 1,
    .parts = (const char *const[]){"model_weights/", NULL},
    .recognise = recognise,
    .view = view,
    .build = build,
    .format = format,
};

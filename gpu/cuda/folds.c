/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/folds.h"

#include "common/err.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int widen(const struct tensor *tensor, float **out)
{
    if (!tensor->data)
        return 0;
    *out = malloc((size_t)tensor_count(tensor) * sizeof **out);
    if (!*out)
        return ERR_NOMEM;
    tensor_to_f32(tensor, *out);
    return 0;
}

/* A batch norm as x * scale + shift: [channels] each. */
static int batch_factors(const struct network *network, int layer, float **out_scale,
                         float **out_shift)
{
    const struct layer *l = &network->layers[layer];
    float *mean = NULL, *variance = NULL;
    int rc = widen(&l->gamma, out_scale);
    if (rc == 0)
        rc = widen(&l->beta, out_shift);
    if (rc == 0)
        rc = widen(&l->mean, &mean);
    if (rc == 0)
        rc = widen(&l->variance, &variance);
    for (int64_t c = 0; rc == 0 && c < l->c; c++) {
        (*out_scale)[c] =
            (float)((double)(*out_scale)[c] / sqrt((double)variance[c] + (double)l->epsilon));
        (*out_shift)[c] -= (*out_scale)[c] * mean[c];
    }
    free(mean);
    free(variance);
    return rc;
}

/* concat(x gap, x gmp) into a convolution is x into one with W[i] gap[i] + W[C + i] gmp[i]. */
static int fold_attention(const struct layer *cam, const struct layer *conv, float *weight)
{
    const int64_t channels = conv->weight.dim[1] / 2, taps = (int64_t)conv->kernel * conv->kernel;
    float *gap = NULL, *gmp = NULL;
    int rc = widen(&cam->weight, &gap);
    if (rc == 0)
        rc = widen(&cam->second, &gmp);
    for (int64_t i = 0; rc == 0 && i < conv->c * channels * taps; i++) {
        const int64_t o = i / (channels * taps), rest = i % (channels * taps), c = rest / taps;
        const float *own = weight + o * 2 * channels * taps + rest;
        weight[i] = own[0] * gap[c] + own[channels * taps] * gmp[c]; /* never behind `own` */
    }
    free(gap);
    free(gmp);
    return rc;
}

static void fold_batch(const struct layer *conv, const float *scale, const float *shift,
                       struct fold_values *v)
{
    const bool transposed = conv->kind == LAYER_DECONV; /* [I][O][K][K] */
    const int64_t taps = (int64_t)conv->kernel * conv->kernel;
    const int64_t rows = transposed ? conv->c : conv->weight.dim[1];
    for (int64_t i = 0; i < tensor_count(&conv->weight); i++)
        v->weight[i] *= scale[transposed ? i / taps % rows : i / taps / rows];
    for (int64_t o = 0; o < conv->c; o++)
        v->bias[o] = v->bias[o] * scale[o] + shift[o];
}

int folds_conv(const struct network *network, const struct blob *blob, struct fold_values *out)
{
    const struct layer *conv = &network->layers[blob->layer];
    float *scale = NULL, *shift = NULL;
    *out = (struct fold_values){0};
    int rc = widen(&conv->weight, &out->weight);
    if (rc == 0)
        rc = widen(&conv->bias, &out->bias);
    if (rc == 0 && blob->cam >= 0)
        rc = fold_attention(&network->layers[blob->cam], conv, out->weight);
    if (rc == 0 && blob->slope >= 0) {
        const struct tensor *slope = &network->layers[blob->slope].weight;
        rc = widen(slope, &out->slope);
        out->slopes = (int)tensor_count(slope);
    }
    if (rc == 0 && blob->batch >= 0) {
        rc = batch_factors(network, blob->batch, &scale, &shift);
        if (rc == 0 && !out->bias && !(out->bias = calloc((size_t)conv->c, sizeof *out->bias)))
            rc = ERR_NOMEM;
        if (rc == 0)
            fold_batch(conv, scale, shift, out);
    }
    free(scale);
    free(shift);
    if (rc < 0)
        folds_fini(out);
    return rc;
}

void folds_fini(struct fold_values *values)
{
    free(values->weight);
    free(values->bias);
    free(values->slope);
    *values = (struct fold_values){0};
}

/* The channel of a batch norm that output `row` of a connected layer comes to. */
static int64_t channel_of(const struct network *network, const struct blob *blob, int64_t row)
{
    return row * network->layers[blob->batch].c / network->layers[blob->layer].c;
}

int folds_row(const struct network *network, const struct blob *blob, int64_t row, float *out)
{
    const struct tensor *weight = &network->layers[blob->layer].weight;
    struct tensor part = {.type = weight->type, .rank = 1, .dim = {weight->dim[1]}};
    float *scale = NULL, *shift = NULL;
    part.data = (const char *)weight->data + (size_t)row * tensor_bytes(&part);
    tensor_to_f32(&part, out);
    if (blob->batch < 0)
        return 0;
    int rc = batch_factors(network, blob->batch, &scale, &shift);
    for (int64_t i = 0; rc == 0 && i < weight->dim[1]; i++)
        out[i] *= scale[channel_of(network, blob, row)];
    free(scale);
    free(shift);
    return rc;
}

static int connected_bias(const struct network *network, const struct blob *blob, float *out)
{
    const struct tensor *bias = &network->layers[blob->layer].bias;
    float *scale = NULL, *shift = NULL;
    memset(out, 0, (size_t)blob->count * sizeof *out);
    if (bias->data)
        tensor_to_f32(bias, out);
    if (blob->batch < 0)
        return 0;
    int rc = batch_factors(network, blob->batch, &scale, &shift);
    for (int64_t o = 0; rc == 0 && o < blob->count; o++) {
        const int64_t c = channel_of(network, blob, o);
        out[o] = out[o] * scale[c] + shift[c];
    }
    free(scale);
    free(shift);
    return rc;
}

int folds_floats(const struct network *network, const struct blob *blob, float *out)
{
    float *scale = NULL, *shift = NULL;
    int rc = 0;
    if (blob->kind == BLOB_BIAS)
        return connected_bias(network, blob, out);
    memset(out, 0, (size_t)blob->count * sizeof *out);
    if (blob->kind == BLOB_SCALE || blob->kind == BLOB_SHIFT) {
        rc = batch_factors(network, blob->layer, &scale, &shift);
        if (rc == 0)
            memcpy(out, blob->kind == BLOB_SCALE ? scale : shift,
                   (size_t)network->layers[blob->layer].c * sizeof *out);
        free(scale);
        free(shift);
        return rc;
    }
    tensor_to_f32(blob->tensor, out);
    if (blob->kind == BLOB_SLOPE && tensor_count(blob->tensor) == 1)
        for (int64_t i = 1; i < blob->count; i++)
            out[i] = out[0];
    return 0;
}

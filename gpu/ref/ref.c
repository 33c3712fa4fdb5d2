/* SPDX-License-Identifier: MIT */
#include "gpu/ref/ref.h"

#include "common/err.h"
#include "gpu/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A layer's values, and what it reads: everything CHW. */
struct task {
    const struct layer *layer, *in_layer;
    const float *in, *other, *gamma, *beta;
    float *out;
};

/* All values of a tensor as floats; owned by the caller, NULL without data or memory. */
static float *widen(const struct tensor *tensor)
{
    float *values = NULL;
    if (tensor->data && (values = malloc((size_t)tensor_count(tensor) * sizeof *values)))
        tensor_to_f32(tensor, values);
    return values;
}

/* Reflection without repeating the edge: -1 is 1, n is n-2. */
static int64_t reflect(int64_t i, int64_t n)
{
    if (i < 0)
        i = -i;
    return i < n ? i : 2 * (n - 1) - i;
}

/* Adds to a row of sums what one input row gives through one row of taps. `wide` is room for the
 * input row with its padding. */
static void conv_row(const struct task *t, const float *taps, const float *row, double *wide,
                     double *sums)
{
    const struct layer *l = t->layer;
    const int64_t width = t->in_layer->w, pad = l->pad, stride = l->stride;
    for (int64_t x = -pad; x < width + l->pad_end; x++) {
        const bool outside = x < 0 || x >= width;
        wide[x + pad] = l->zeros && outside ? 0 : (double)row[reflect(x, width)];
    }
    for (int64_t kx = 0; kx < t->layer->kernel; kx++)
        for (int64_t x = 0; x < t->layer->w; x++)
            sums[x] += (double)taps[kx] * wide[x * stride + kx];
}

static int conv(const struct task *t)
{
    const struct layer *l = t->layer, *from = t->in_layer;
    const int64_t k = l->kernel;
    float *weight = widen(&l->weight), *bias = widen(&l->bias), *out = t->out;
    double *sums = malloc((size_t)l->w * sizeof *sums);
    double *wide = malloc((size_t)(from->w + l->pad + l->pad_end) * sizeof *wide);
    int rc = weight && sums && wide && (bias || !l->bias.data) ? 0 : ERR_NOMEM;
    for (int64_t o = 0; rc == 0 && o < l->c; o++)
        for (int64_t y = 0; y < l->h; y++) {
            for (int64_t x = 0; x < l->w; x++)
                sums[x] = bias ? (double)bias[o] : 0;
            for (int64_t ky = 0; ky < k; ky++) {
                const int64_t row = y * l->stride + ky - l->pad;
                if (l->zeros && (row < 0 || row >= from->h))
                    continue;
                for (int64_t i = 0; i < from->c; i++)
                    conv_row(t, weight + ((o * from->c + i) * k + ky) * k,
                             t->in + (i * from->h + reflect(row, from->h)) * from->w, wide, sums);
            }
            for (int64_t x = 0; x < l->w; x++)
                *out++ = (float)sums[x];
        }
    free(weight);
    free(bias);
    free(sums);
    free(wide);
    return rc;
}

static int upsample(const struct task *t)
{
    const struct layer *l = t->layer;
    for (int64_t c = 0; c < l->c; c++)
        for (int64_t y = 0; y < l->h; y++)
            for (int64_t x = 0; x < l->w; x++)
                t->out[(c * l->h + y) * l->w + x] =
                    t->in[(c * (l->h / 2) + y / 2) * (l->w / 2) + x / 2];
    return 0;
}

struct moments {
    double mean, variance;
};

static struct moments moments_of(const float *values, size_t n, bool unbiased)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)values[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += ((double)values[i] - mean) * ((double)values[i] - mean);
    return (struct moments){mean, squares / (double)(unbiased ? n - 1 : n)};
}

static int batch_norm(const struct task *t)
{
    const struct layer *l = t->layer;
    const size_t plane = (size_t)(l->h * l->w);
    float *gamma = widen(&l->gamma), *beta = widen(&l->beta);
    float *means = widen(&l->mean), *variance = widen(&l->variance);
    int rc = gamma && beta && means && variance ? 0 : ERR_NOMEM;
    for (size_t i = 0; rc == 0 && i < layer_values(l); i++) {
        size_t c = i / plane;
        double rate = (double)gamma[c] / sqrt((double)variance[c] + (double)l->epsilon);
        t->out[i] = (float)(((double)t->in[i] - (double)means[c]) * rate + (double)beta[c]);
    }
    free(gamma);
    free(beta);
    free(means);
    free(variance);
    return rc;
}

static int norm(const struct task *t)
{
    const struct layer *l = t->layer;
    if (l->norm == NORM_BATCH)
        return batch_norm(t);
    const size_t plane = (size_t)(l->h * l->w);
    const bool mixed = l->norm != NORM_INSTANCE, affine = mixed || l->gamma.data;
    float *rho = widen(&l->rho), *own_gamma = widen(&l->gamma), *own_beta = widen(&l->beta);
    const float *gamma = l->norm == NORM_ADAPTIVE ? t->gamma : own_gamma;
    const float *beta = l->norm == NORM_ADAPTIVE ? t->beta : own_beta;
    int rc = (!mixed || rho) && (!affine || (gamma && beta)) ? 0 : ERR_NOMEM;
    struct moments all = moments_of(t->in, layer_values(l), l->unbiased);
    for (int64_t c = 0; rc == 0 && c < l->c; c++) {
        const float *in = t->in + (size_t)c * plane;
        float *out = t->out + (size_t)c * plane;
        struct moments own = moments_of(in, plane, l->unbiased);
        for (size_t i = 0; i < plane; i++) {
            double x = (double)in[i], eps = (double)l->epsilon;
            double y = (x - own.mean) / sqrt(own.variance + eps);
            if (mixed) {
                double r = (double)rho[c];
                y = r * y + (1 - r) * (x - all.mean) / sqrt(all.variance + eps);
            }
            out[i] = (float)(affine ? (double)gamma[c] * y + (double)beta[c] : y);
        }
    }
    free(rho);
    free(own_gamma);
    free(own_beta);
    return rc;
}

static int relu(const struct task *t)
{
    for (size_t i = 0; i < layer_values(t->layer); i++)
        t->out[i] = t->in[i] < 0 ? 0 : t->in[i]; /* NaN stays */
    return 0;
}

static int hyperbolic_tangent(const struct task *t)
{
    for (size_t i = 0; i < layer_values(t->layer); i++)
        t->out[i] = (float)tanh((double)t->in[i]);
    return 0;
}

static int add(const struct task *t)
{
    for (size_t i = 0; i < layer_values(t->layer); i++)
        t->out[i] = t->in[i] + t->other[i];
    return 0;
}

static int cam(const struct task *t)
{
    const size_t plane = (size_t)(t->layer->h * t->layer->w);
    const int64_t channels = t->in_layer->c;
    float *gap = widen(&t->layer->weight), *gmp = widen(&t->layer->second);
    int rc = gap && gmp ? 0 : ERR_NOMEM;
    for (int64_t c = 0; rc == 0 && c < 2 * channels; c++) {
        float factor = c < channels ? gap[c] : gmp[c - channels];
        for (size_t i = 0; i < plane; i++)
            t->out[(size_t)c * plane + i] = factor * t->in[(size_t)(c % channels) * plane + i];
    }
    free(gap);
    free(gmp);
    return rc;
}

static int mean(const struct task *t)
{
    const size_t plane = (size_t)(t->in_layer->h * t->in_layer->w);
    for (int64_t c = 0; c < t->layer->c; c++)
        t->out[c] = (float)moments_of(t->in + (size_t)c * plane, plane, false).mean;
    return 0;
}

static int connected(const struct task *t)
{
    const size_t inputs = layer_values(t->in_layer);
    float *weight = widen(&t->layer->weight), *bias = widen(&t->layer->bias);
    int rc = weight && (bias || !t->layer->bias.data) ? 0 : ERR_NOMEM;
    for (int64_t f = 0; rc == 0 && f < t->layer->c; f++) {
        double sum = bias ? (double)bias[f] : 0;
        for (size_t i = 0; i < inputs; i++)
            sum += (double)weight[(size_t)f * inputs + i] * (double)t->in[i];
        t->out[f] = (float)sum;
    }
    free(weight);
    free(bias);
    return rc;
}

static int reshape(const struct task *t)
{
    memcpy(t->out, t->in, layer_values(t->layer) * sizeof *t->out);
    return 0;
}

/* Adds to one output channel what one input channel scatters over it. */
static void scatter(const struct task *t, const float *taps, const float *in, double *sums)
{
    const struct layer *l = t->layer, *from = t->in_layer;
    for (int64_t y = 0; y < from->h; y++)
        for (int64_t x = 0; x < from->w; x++)
            for (int64_t ky = 0; ky < l->kernel; ky++)
                for (int64_t kx = 0; kx < l->kernel; kx++) {
                    int64_t row = y * l->stride + ky - l->pad, column = x * l->stride + kx - l->pad;
                    if (row >= 0 && row < l->h && column >= 0 && column < l->w)
                        sums[row * l->w + column] +=
                            (double)taps[ky * l->kernel + kx] * (double)in[y * from->w + x];
                }
}

static int deconv(const struct task *t)
{
    const struct layer *l = t->layer, *from = t->in_layer;
    const int64_t plane = l->h * l->w, taps = (int64_t)l->kernel * l->kernel;
    float *weight = widen(&l->weight), *bias = widen(&l->bias);
    double *sums = malloc((size_t)plane * sizeof *sums);
    int rc = weight && sums && (bias || !l->bias.data) ? 0 : ERR_NOMEM;
    for (int64_t o = 0; rc == 0 && o < l->c; o++) {
        for (int64_t i = 0; i < plane; i++)
            sums[i] = bias ? (double)bias[o] : 0;
        for (int64_t i = 0; i < from->c; i++)
            scatter(t, weight + (i * l->c + o) * taps, t->in + i * from->h * from->w, sums);
        for (int64_t i = 0; i < plane; i++)
            t->out[o * plane + i] = (float)sums[i];
    }
    free(weight);
    free(bias);
    free(sums);
    return rc;
}

static int sigmoid(const struct task *t)
{
    for (size_t i = 0; i < layer_values(t->layer); i++)
        t->out[i] = (float)(1 / (1 + exp(-(double)t->in[i])));
    return 0;
}

static int prelu(const struct task *t)
{
    const size_t plane = (size_t)(t->layer->h * t->layer->w);
    const bool shared = tensor_count(&t->layer->weight) == 1;
    float *slope = widen(&t->layer->weight);
    for (size_t i = 0; slope && i < layer_values(t->layer); i++)
        t->out[i] = t->in[i] > 0 ? t->in[i] : slope[shared ? 0 : i / plane] * t->in[i];
    int rc = slope ? 0 : ERR_NOMEM;
    free(slope);
    return rc;
}

static int shuffle(const struct task *t)
{
    const struct layer *l = t->layer, *from = t->in_layer;
    for (int64_t c = 0; c < l->c; c++)
        for (int64_t y = 0; y < l->h; y++)
            for (int64_t x = 0; x < l->w; x++)
                t->out[(c * l->h + y) * l->w + x] =
                    t->in[((4 * c + 2 * (y % 2) + x % 2) * from->h + y / 2) * from->w + x / 2];
    return 0;
}

static int compute(const struct task *t)
{
    static int (*const functions[LAYER_KIND_COUNT])(const struct task *) = {
        [LAYER_CONV] = conv,
        [LAYER_UPSAMPLE] = upsample,
        [LAYER_NORM] = norm,
        [LAYER_RELU] = relu,
        [LAYER_TANH] = hyperbolic_tangent,
        [LAYER_ADD] = add,
        [LAYER_CAM] = cam,
        [LAYER_MEAN] = mean,
        [LAYER_CONNECTED] = connected,
        [LAYER_RESHAPE] = reshape,
        [LAYER_DECONV] = deconv,
        [LAYER_SIGMOID] = sigmoid,
        [LAYER_PRELU] = prelu,
        [LAYER_SHUFFLE] = shuffle,
    };
    return functions[t->layer->kind](t);
}

static int check_finite(const struct layer *layer, const float *values, struct err *err)
{
    for (size_t i = 0; i < layer_values(layer); i++)
        if (!isfinite(values[i]))
            return layer_not_finite(layer, err);
    return 0;
}

static void channel_sums(const struct layer *l, const float *values, float *out)
{
    const size_t plane = (size_t)(l->h * l->w);
    for (size_t i = 0; i < plane; i++) {
        double sum = 0;
        for (size_t c = 0; c < (size_t)l->c; c++)
            sum += (double)values[c * plane + i];
        out[i] = (float)sum;
    }
}

int ref_run(const struct network *network, const float *input, float *out, ref_observer *observer,
            void *context, struct err *err)
{
    float *values[NETWORK_MAX_LAYERS] = {0};
    int rc = 0;
    for (int i = 0; rc == 0 && i < network->count; i++) {
        const struct layer *l = &network->layers[i];
        values[i] = malloc(layer_values(l) * sizeof *values[i]);
        if (!values[i]) {
            rc = ERR_NOMEM;
            break;
        }
        if (l->kind == LAYER_INPUT)
            memcpy(values[i], input, layer_values(l) * sizeof *input);
        else
            rc = compute(&(struct task){
                .layer = l,
                .in_layer = &network->layers[l->input],
                .in = values[l->input],
                .other = l->other >= 0 ? values[l->other] : NULL,
                .gamma = l->gamma_from >= 0 ? values[l->gamma_from] : NULL,
                .beta = l->beta_from >= 0 ? values[l->beta_from] : NULL,
                .out = values[i],
            });
        if (rc == 0)
            rc = check_finite(l, values[i], err);
        if (rc == 0 && observer)
            observer(context, i, values[i]);
    }
    const struct layer *last = &network->layers[network->count - 1];
    if (rc == 0)
        memcpy(out, values[network->count - 1], layer_values(last) * sizeof *out);
    if (rc == 0 && network->heat_map)
        channel_sums(&network->layers[network->attention], values[network->attention],
                     out + layer_values(last));
    for (int i = 0; i < network->count; i++)
        free(values[i]);
    return rc;
}

/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/fold.h"

#include "common/err.h"
#include "gpu/network.h"

#include <stdlib.h>
#include <string.h>

static float *widen(const struct tensor *tensor)
{
    float *values = malloc((size_t)tensor_count(tensor) * sizeof *values);
    if (values)
        tensor_to_f32(tensor, values);
    return values;
}

/* concat(x gap, x gmp) into a 1x1 convolution is x into one with W[i] gap[i] + W[C+i] gmp[i]. */
static int fold_attention(const struct layer *cam, int64_t outputs, int64_t channels,
                          float **weights)
{
    float *gap = widen(&cam->weight), *gmp = widen(&cam->second);
    float *folded = malloc((size_t)(outputs * channels) * sizeof *folded);
    int rc = gap && gmp && folded ? 0 : ERR_NOMEM;
    for (int64_t o = 0; rc == 0 && o < outputs; o++)
        for (int64_t i = 0; i < channels; i++)
            folded[o * channels + i] = (*weights)[o * 2 * channels + i] * gap[i] +
                                       (*weights)[(o * 2 + 1) * channels + i] * gmp[i];
    free(gap);
    free(gmp);
    free(*weights);
    *weights = folded;
    return rc;
}

/* The taps of phase (py, px) from the nine of a kernel. */
static void phase_taps(const float *taps, int py, int px, float *out)
{
    for (int i = 0; i < 4; i++)
        out[i] = 0;
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 3; x++) {
            /* Which small row the tap falls on, counted from the first that this phase reads. */
            int row = (y + 1 - py) / 2, column = (x + 1 - px) / 2;
            out[row * 2 + column] += taps[y * 3 + x];
        }
}

static void spread(const struct layer *layer, int64_t inputs, const float *own,
                   const struct fold *fold, struct folded *out)
{
    const int64_t phases = fold->doubled || fold->shuffled ? 4 : 1;
    const int64_t channels = fold->shuffled ? layer->c / 4 : layer->c;
    const int64_t from = layer->kernel * layer->kernel, to = out->kernel * out->kernel;
    for (int64_t phase = 0; phase < phases; phase++)
        for (int64_t o = 0; o < channels; o++)
            for (int64_t i = 0; i < inputs; i++) {
                const int64_t row = fold->shuffled ? 4 * o + phase : o;
                const float *taps = own + (row * inputs + i) * from;
                float *dst = out->own + ((phase * fold->outputs + o) * fold->inputs + i) * to;
                if (fold->doubled)
                    phase_taps(taps, (int)phase / 2, (int)phase % 2, dst);
                else
                    memcpy(dst, taps, (size_t)from * sizeof *taps);
            }
}

/* Each phase has the bias of its channel. */
static void spread_bias(const struct layer *layer, const struct fold *fold, const float *own,
                        struct folded *out)
{
    for (int o = 0; o < out->outputs; o++) {
        const int64_t phase = o / fold->outputs, channel = o % fold->outputs;
        const int64_t from = fold->shuffled ? 4 * channel + phase : channel;
        out->bias[o] = channel < (fold->shuffled ? layer->c / 4 : layer->c) ? own[from] : 0;
    }
}

/* Whether the tensor's own bytes are what the kernel is given. */
static bool is_as_wanted(const struct layer *layer, const struct fold *fold,
                         const struct folded *out)
{
    const struct tensor *w = &layer->weight;
    return layer->kind == LAYER_CONV && w->type == TENSOR_F32 && w->dim[0] == out->outputs &&
           w->dim[1] == fold->inputs && !fold->doubled && !fold->shuffled &&
           (uintptr_t)w->data % sizeof(float) == 0;
}

/* Zeroed room for what is folded, if anything is, the bias set. */
static int make_room(const struct layer *layer, const struct fold *fold, struct folded *out)
{
    const size_t taps = (size_t)out->kernel * (size_t)out->kernel;
    if (!is_as_wanted(layer, fold, out)) {
        out->own = calloc((size_t)out->outputs * (size_t)fold->inputs * taps, sizeof(float));
        if (!out->own)
            return ERR_NOMEM;
    }
    out->weights = out->own ? out->own : layer->weight.data;
    if (!layer->bias.data)
        return 0;
    float *own = widen(&layer->bias);
    out->bias = malloc((size_t)out->outputs * sizeof *out->bias);
    int rc = own && out->bias ? 0 : ERR_NOMEM;
    if (rc == 0)
        spread_bias(layer, fold, own, out);
    free(own);
    return rc;
}

int fold_conv(const struct layer *layer, const struct layer *cam, const struct fold *fold,
              struct folded *out)
{
    int64_t inputs = layer->weight.dim[1];
    *out = (struct folded){
        .outputs = fold->outputs * (fold->doubled || fold->shuffled ? 4 : 1),
        .kernel = fold->doubled ? 2 : layer->kernel,
    };
    if (fold->shape_only)
        return 0;
    int rc = make_room(layer, fold, out);
    if (rc < 0 || !out->own) {
        if (rc < 0)
            fold_fini(out);
        return rc;
    }
    float *given = widen(&layer->weight);
    rc = given ? 0 : ERR_NOMEM;
    if (rc == 0 && cam) {
        inputs /= 2;
        rc = fold_attention(cam, layer->c, inputs, &given);
    }
    if (rc == 0)
        spread(layer, inputs, given, fold, out);
    free(given);
    if (rc < 0)
        fold_fini(out);
    return rc;
}

/* Row s * y + p of the result takes row y + d of the input through row k of the kernel, where
 * p + pad - k = s * d; so d goes from -before to taps - 1 - before over all p and k. */
static void measure(const struct layer *l, struct folded *out)
{
    int least = 0, most = 0;
    for (int p = 0; p < l->stride; p++)
        for (int k = 0; k < l->kernel; k++) {
            int far = p + l->pad - k;
            if (far % l->stride != 0)
                continue;
            least = far / l->stride < least ? far / l->stride : least;
            most = far / l->stride > most ? far / l->stride : most;
        }
    out->before = -least;
    out->kernel = most - least + 1;
}

/* Which row of the transposed kernel that is; -1: none. */
static int64_t row_of(const struct layer *l, const struct folded *out, int64_t phase, int64_t tap)
{
    int64_t k = phase + l->pad - l->stride * (tap - out->before);
    return k >= 0 && k < l->kernel ? k : -1;
}

/* [I][O][K][K] to [phase, phase, O][I][taps][taps] */
static void spread_deconv(const struct layer *l, const float *own, const struct fold *fold,
                          struct folded *out)
{
    const int64_t inputs = l->weight.dim[0], k = l->kernel, taps = out->kernel, s = l->stride;
    for (int64_t phase = 0; phase < s * s; phase++)
        for (int64_t o = 0; o < l->c; o++)
            for (int64_t i = 0; i < inputs; i++)
                for (int64_t tap = 0; tap < taps * taps; tap++) {
                    const int64_t row = row_of(l, out, phase / s, tap / taps);
                    const int64_t column = row_of(l, out, phase % s, tap % taps);
                    const int64_t at = (phase * fold->outputs + o) * fold->inputs + i;
                    if (row >= 0 && column >= 0)
                        out->own[at * taps * taps + tap] =
                            own[((i * l->c + o) * k + row) * k + column];
                }
}

int fold_deconv(const struct layer *layer, const struct fold *fold, struct folded *out)
{
    *out = (struct folded){.outputs = fold->outputs * layer->stride * layer->stride};
    measure(layer, out);
    if (fold->shape_only)
        return 0;
    float *own = widen(&layer->weight);
    int rc = own ? make_room(layer, fold, out) : ERR_NOMEM;
    if (rc == 0)
        spread_deconv(layer, own, fold, out);
    free(own);
    if (rc < 0)
        fold_fini(out);
    return rc;
}

void fold_fini(struct folded *folded)
{
    free(folded->own);
    free(folded->bias);
    *folded = (struct folded){0};
}

float *fold_conv3(const struct layer *layer)
{
    const int64_t inputs = layer->weight.dim[1], k = layer->kernel;
    float *own = widen(&layer->weight);
    float *out = calloc((size_t)(inputs * k * k * 3), sizeof *out);
    if (own && out)
        for (int64_t o = 0; o < layer->c; o++)
            for (int64_t i = 0; i < inputs; i++)
                for (int64_t y = 0; y < k; y++)
                    for (int64_t x = 0; x < k; x++)
                        out[((i * k + x) * k + y) * 3 + o] =
                            own[((o * inputs + i) * k + y) * k + x];
    if (!own) {
        free(out);
        out = NULL;
    }
    free(own);
    return out;
}

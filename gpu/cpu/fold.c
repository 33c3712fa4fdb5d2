/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/fold.h"

#include "common/err.h"
#include "gpu/network.h"

#include <stdlib.h>

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
    const int phases = fold->doubled ? 4 : 1;
    const int64_t from = layer->kernel * layer->kernel, to = out->kernel * out->kernel;
    for (int phase = 0; phase < phases; phase++)
        for (int64_t o = 0; o < layer->c; o++)
            for (int64_t i = 0; i < inputs; i++) {
                const float *taps = own + (o * inputs + i) * from;
                float *dst =
                    out->weights + ((phase * (int64_t)fold->outputs + o) * fold->inputs + i) * to;
                if (fold->doubled)
                    phase_taps(taps, phase / 2, phase % 2, dst);
                else
                    for (int64_t t = 0; t < from; t++)
                        dst[t] = taps[t];
            }
}

int fold_conv(const struct layer *layer, const struct layer *cam, const struct fold *fold,
              struct folded *out)
{
    int64_t inputs = layer->weight.dim[1];
    float *own = widen(&layer->weight);
    *out = (struct folded){
        .outputs = fold->outputs * (fold->doubled ? 4 : 1),
        .kernel = fold->doubled ? 2 : layer->kernel,
    };
    int rc = own ? 0 : ERR_NOMEM;
    if (rc == 0 && cam) {
        inputs /= 2;
        rc = fold_attention(cam, layer->c, inputs, &own);
    }
    size_t count =
        (size_t)out->outputs * (size_t)fold->inputs * (size_t)out->kernel * (size_t)out->kernel;
    if (rc == 0 && !(out->weights = calloc(count, sizeof *out->weights)))
        rc = ERR_NOMEM;
    if (rc == 0)
        spread(layer, inputs, own, fold, out);
    if (rc == 0 && layer->bias.data) {
        out->bias = calloc((size_t)out->outputs, sizeof *out->bias);
        if (!out->bias)
            rc = ERR_NOMEM;
        for (int group = 0; rc == 0 && group < out->outputs; group += fold->outputs)
            tensor_to_f32(&layer->bias, out->bias + group);
    }
    free(own);
    if (rc < 0)
        fold_fini(out);
    return rc;
}

void fold_fini(struct folded *folded)
{
    free(folded->weights);
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

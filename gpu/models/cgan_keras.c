/* SPDX-License-Identifier: MIT */
#include "gpu/models/cgan_keras.h"

#include "common/err.h"
#include "gpu/models/cgan.h"
#include "gpu/weights/table.h"

#include <stdio.h>
#include <string.h>

#define STAGES 4
#define MAX_LAYERS 64   /* of a file that is worth looking at */
#define MAX_TENSORS 256 /* likewise */

enum { NAME_SIZE = WEIGHTS_MAX_NAME_BYTES + 1, SIDE = 7 };

static const int64_t widths[STAGES + 1] = {128, 128, 64, 32, 1};

struct layers {
    char dense[NAME_SIZE], norms[STAGES][NAME_SIZE], deconvs[STAGES][NAME_SIZE];
    int dense_count, norm_count, deconv_count;
};

/* "LAYER/…/PART:0", into `out`. */
static bool find_part(const struct weights *weights, const char *layer, const char *part,
                      struct tensor *out_tensor, char out[NAME_SIZE])
{
    char suffix[32];
    const size_t start = strlen(layer);
    const size_t end = (size_t)snprintf(suffix, sizeof suffix, "/%s:0", part);
    for (size_t i = 0; i < weights_count(weights); i++) {
        const char *name = weights_at(weights, i, out_tensor);
        const size_t length = strlen(name);
        if (length >= start + end && strncmp(name, layer, start) == 0 && name[start] == '/' &&
            strcmp(name + length - end, suffix) == 0) {
            snprintf(out, NAME_SIZE, "%s", name);
            return true;
        }
    }
    return false;
}

static void sort_in(struct layers *layers, const struct weights *weights, const char *layer)
{
    struct tensor t;
    char name[NAME_SIZE];
    char *to = NULL;
    if (find_part(weights, layer, "gamma", &t, name))
        to = layers->norm_count++ < STAGES ? layers->norms[layers->norm_count - 1] : NULL;
    else if (find_part(weights, layer, "kernel", &t, name) && t.rank == 4)
        to = layers->deconv_count++ < STAGES ? layers->deconvs[layers->deconv_count - 1] : NULL;
    else if (find_part(weights, layer, "kernel", &t, name))
        to = layers->dense_count++ < 1 ? layers->dense : NULL;
    if (to)
        snprintf(to, NAME_SIZE, "%s", layer);
}

/* False where it is another network, or a list of layers is missing. */
static bool find_layers(const struct weights *weights, struct layers *out)
{
    struct weights_attribute order;
    struct layers layers = {0};
    if (weights_count(weights) > MAX_TENSORS ||
        weights_attribute(weights, "layer_names", &order) < 0 || !order.text)
        return false;
    const char *line = order.text;
    for (int i = 0; *line && i < MAX_LAYERS; i++) {
        char layer[NAME_SIZE];
        const size_t length = strcspn(line, "\n");
        if (length >= sizeof layer)
            return false;
        snprintf(layer, sizeof layer, "%.*s", (int)length, line);
        sort_in(&layers, weights, layer);
        line += length + (line[length] == '\n');
    }
    *out = layers;
    return layers.dense_count == 1 && layers.norm_count == STAGES && layers.deconv_count == STAGES;
}

bool cgan_keras_recognise(const struct weights *weights)
{
    struct layers layers;
    return find_layers(weights, &layers);
}

/* Sticky. */
struct mapping {
    const struct weights *from;
    struct table *to;
    struct err *err;
    int rc;
};

static bool require(struct mapping *m, const char *layer, const char *part, int rank,
                    const int64_t *dim, struct tensor *out)
{
    char name[NAME_SIZE];
    if (m->rc == 0 && !find_part(m->from, layer, part, out, name))
        m->rc = err_set(m->err, ERR_CORRUPT, part, "layer %.100s has no %s", layer, part);
    if (m->rc == 0)
        m->rc = weights_require(m->from, name, rank, dim, out, m->err);
    return m->rc == 0;
}

static void add(struct mapping *m, const char *to, const char *part, const struct tensor *tensor)
{
    char name[32];
    snprintf(name, sizeof name, "%s.%s", to, part);
    if (m->rc == 0)
        m->rc = table_add(m->to, name, tensor, m->err);
}

static void map_vector(struct mapping *m, const char *layer, const char *part, const char *to,
                       const char *to_part, int64_t size)
{
    struct tensor t;
    if (require(m, layer, part, 1, &size, &t))
        add(m, to, to_part, &t);
}

static void map_dense(struct mapping *m, const char *layer)
{
    static const int kernel_turn[4] = {3, 1, 2, 0}, bias_turn[3] = {2, 0, 1};
    const int64_t channels = widths[0], outputs = SIDE * SIDE * channels;
    struct tensor t;
    if (!require(m, layer, "kernel", 2, (const int64_t[]){CGAN_INPUTS, outputs}, &t))
        return;
    t = (struct tensor){t.type, 4, {CGAN_INPUTS, SIDE, SIDE, channels}, t.data};
    m->rc = table_transpose(m->to, &t, kernel_turn, &t, m->err);
    t = (struct tensor){t.type, 2, {outputs, CGAN_INPUTS}, t.data};
    add(m, "dense", "weight", &t);
    if (!require(m, layer, "bias", 1, &outputs, &t))
        return;
    t = (struct tensor){t.type, 3, {SIDE, SIDE, channels}, t.data};
    m->rc = table_transpose(m->to, &t, bias_turn, &t, m->err);
    t = (struct tensor){t.type, 1, {outputs}, t.data};
    add(m, "dense", "bias", &t);
}

static void map_stage(struct mapping *m, const struct layers *layers, int i)
{
    static const int turn[4] = {3, 2, 0, 1};
    const int64_t in = widths[i], out = widths[i + 1];
    struct tensor t;
    char norm[16], deconv[16];
    snprintf(norm, sizeof norm, "norm%d", i);
    snprintf(deconv, sizeof deconv, "deconv%d", i);
    map_vector(m, layers->norms[i], "gamma", norm, "weight", in);
    map_vector(m, layers->norms[i], "beta", norm, "bias", in);
    map_vector(m, layers->norms[i], "moving_mean", norm, "running_mean", in);
    map_vector(m, layers->norms[i], "moving_variance", norm, "running_var", in);
    if (!require(m, layers->deconvs[i], "kernel", 4, (const int64_t[]){5, 5, out, in}, &t))
        return;
    m->rc = table_transpose(m->to, &t, turn, &t, m->err);
    add(m, deconv, "weight", &t);
    map_vector(m, layers->deconvs[i], "bias", deconv, "bias", out);
}

int cgan_keras_view(const struct weights *weights, struct weights **out_view, struct err *err)
{
    struct layers layers;
    if (!find_layers(weights, &layers))
        return ERR_NOT_FOUND;
    struct weights *view = table_view_create(weights);
    if (!view)
        return ERR_NOMEM;
    struct mapping m = {.from = weights, .to = table_of(view), .err = err};
    map_dense(&m, layers.dense);
    for (int i = 0; i < STAGES; i++)
        map_stage(&m, &layers, i);
    return table_view_finish(&view, m.rc, out_view, err);
}

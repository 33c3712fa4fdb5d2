/* SPDX-License-Identifier: MIT */
#include "gpu/models/ugatit_tensorflow.h"

#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/models/ugatit.h"
#include "gpu/network.h"
#include "gpu/weights/table.h"

#include <stdio.h>

enum { NAME_SIZE = 96, FULL_NAME_SIZE = 128 };

/* Sticky, as the builder of networks is: after the first error nothing happens any more. */
struct mapping {
    const struct weights *from;
    struct table *to;
    bool smoothing;
    int64_t parameters;
    struct err *err;
    int rc;
};

static const int kernel_turn[4] = {3, 2, 0, 1}; /* HWIO -> OIHW */

/* Finds FROM/PART with the shape that TensorFlow has it in. False after an error. */
static bool require(struct mapping *m, const char *from, const char *part, int rank,
                    const int64_t *dim, struct tensor *out)
{
    char name[FULL_NAME_SIZE + 16];
    snprintf(name, sizeof name, "%s/%s", from, part);
    if (m->rc == 0)
        m->rc = weights_require(m->from, name, rank, dim, out, m->err);
    if (m->rc == 0)
        m->parameters += tensor_count(out);
    return m->rc == 0;
}

static void add(struct mapping *m, const char *to, const char *part, const struct tensor *tensor)
{
    char name[FULL_NAME_SIZE];
    snprintf(name, sizeof name, "%s.%s", to, part);
    if (m->rc == 0)
        m->rc = table_add(m->to, name, tensor, m->err);
}

static void turn(struct mapping *m, struct tensor *tensor, const int *order)
{
    if (m->rc == 0)
        m->rc = table_transpose(m->to, tensor, order, tensor, m->err);
}

/* One value for each channel; as [1,C,1,1] where PyTorch has it so. */
static void map_vector(struct mapping *m, const char *from, const char *part, const char *to,
                       const char *to_part, int64_t channels, bool as_picture)
{
    struct tensor t;
    if (!require(m, from, part, 1, &channels, &t))
        return;
    if (as_picture)
        t = (struct tensor){t.type, 4, {1, channels, 1, 1}, t.data};
    add(m, to, to_part, &t);
}

static void map_conv(struct mapping *m, const char *from, const char *to, int64_t kernel,
                     int64_t inputs, int64_t outputs)
{
    struct tensor t;
    char scope[FULL_NAME_SIZE];
    snprintf(scope, sizeof scope, "%s/conv2d", from);
    if (!require(m, scope, "kernel", 4, (const int64_t[]){kernel, kernel, inputs, outputs}, &t))
        return;
    turn(m, &t, kernel_turn);
    add(m, to, "weight", &t);
    map_vector(m, scope, "bias", to, "bias", outputs, false);
}

static void map_norm(struct mapping *m, const char *from, const char *to, int64_t channels)
{
    map_vector(m, from, "gamma", to, "weight", channels, false);
    map_vector(m, from, "beta", to, "bias", channels, false);
}

/* `side` by `side` pixels are flattened as [H][W][C] there and as [C][H][W] here; 1: none are. */
static void map_dense(struct mapping *m, const char *from, const char *to, int64_t channels,
                      int64_t side, int64_t outputs)
{
    struct tensor t;
    char scope[NAME_SIZE];
    snprintf(scope, sizeof scope, "MLP/%s/dense", from);
    const int64_t inputs = side * side * channels;
    if (!require(m, scope, "kernel", 2, (const int64_t[]){inputs, outputs}, &t))
        return;
    t = (struct tensor){t.type, 4, {side, side, channels, outputs}, t.data};
    turn(m, &t, kernel_turn);
    t = (struct tensor){t.type, 2, {outputs, inputs}, t.data};
    add(m, to, "weight", &t);
    map_vector(m, scope, "bias", to, "bias", outputs, false);
}

/* A vector of our own, as floats; NULL after an error. */
static float *compute(struct mapping *m, const struct tensor *from)
{
    if (m->rc < 0)
        return NULL;
    float *values =
        table_alloc(m->to, (uint64_t)tensor_count(from) * sizeof *values, &m->rc, m->err);
    if (values)
        tensor_to_f32(from, values);
    return values;
}

static void map_rho(struct mapping *m, const char *from, const char *to, int64_t channels)
{
    struct tensor t;
    if (!m->smoothing) {
        map_vector(m, from, "rho", to, "rho", channels, true);
        return;
    }
    float *rho = require(m, from, "rho", 1, &channels, &t) ? compute(m, &t) : NULL;
    for (int64_t c = 0; rho && c < channels; c++) {
        rho[c] -= 0.1f;
        rho[c] = rho[c] < 0 ? 0 : rho[c] > 1 ? 1 : rho[c];
    }
    add(m, to, "rho", &(struct tensor){TENSOR_F32, 4, {1, channels, 1, 1}, rho});
}

/* Files of before August 2019 have CAM_logit/dense as well: the classifier in training, which an
 * inference does not read. */
static void map_attention(struct mapping *m, int64_t channels)
{
    struct tensor kernel, bias;
    float shift, *factors = NULL;
    if (require(m, "CAM_logit", "kernel", 2, (const int64_t[]){channels, 1}, &kernel) &&
        require(m, "CAM_logit", "bias", 1, (const int64_t[]){1}, &bias))
        factors = compute(m, &kernel);
    if (!factors)
        return;
    tensor_to_f32(&bias, &shift);
    for (int64_t c = 0; c < channels; c++)
        factors[c] += shift;
    const struct tensor t = {TENSOR_F32, 2, {1, channels}, factors};
    add(m, "gap_fc", "weight", &t);
    add(m, "gmp_fc", "weight", &t);
}

static void map_encoder(struct mapping *m, int64_t ch, int blocks)
{
    char from[NAME_SIZE], to[NAME_SIZE];
    map_conv(m, "conv", "DownBlock.1", 7, 3, ch);
    map_norm(m, "ins_norm", "DownBlock.2", ch);
    map_conv(m, "conv_0", "DownBlock.5", 3, ch, 2 * ch);
    map_norm(m, "ins_norm_0", "DownBlock.6", 2 * ch);
    map_conv(m, "conv_1", "DownBlock.9", 3, 2 * ch, 4 * ch);
    map_norm(m, "ins_norm_1", "DownBlock.10", 4 * ch);
    for (int i = 0; i < 2 * blocks; i++) {
        const int block = i / 2, half = i % 2;
        snprintf(from, sizeof from, "resblock_%d/res%d/conv_0", block, half + 1);
        snprintf(to, sizeof to, "DownBlock.%d.conv_block.%d", UGATIT_FIRST_BLOCK + block,
                 1 + 4 * half);
        map_conv(m, from, to, 3, 4 * ch, 4 * ch);
        snprintf(from, sizeof from, "resblock_%d/res%d/instance_norm", block, half + 1);
        snprintf(to, sizeof to, "DownBlock.%d.conv_block.%d", UGATIT_FIRST_BLOCK + block,
                 2 + 4 * half);
        map_norm(m, from, to, 4 * ch);
    }
}

static void map_decoder(struct mapping *m, int64_t ch, int blocks)
{
    static const char *const parts[] = {"rho", "gamma", "beta"};
    char from[NAME_SIZE], to[NAME_SIZE];
    for (int i = 0; i < 2 * blocks; i++) {
        const int block = i / 2, half = i % 2 + 1;
        snprintf(from, sizeof from, "adaptive_resblock%d/res%d/conv_0", block, half);
        snprintf(to, sizeof to, "UpBlock1_%d.conv%d", block + 1, half);
        map_conv(m, from, to, 3, 4 * ch, 4 * ch);
        snprintf(from, sizeof from, "adaptive_resblock%d/res%d/instance_layer_norm", block, half);
        snprintf(to, sizeof to, "UpBlock1_%d.norm%d", block + 1, half);
        map_rho(m, from, to, 4 * ch);
    }
    map_conv(m, "up_conv_0", "UpBlock2.2", 3, 4 * ch, 2 * ch);
    map_conv(m, "up_conv_1", "UpBlock2.7", 3, 2 * ch, ch);
    for (int i = 0; i < 3; i++) {
        map_vector(m, "layer_ins_norm_0", parts[i], "UpBlock2.3", parts[i], 2 * ch, true);
        map_vector(m, "layer_ins_norm_1", parts[i], "UpBlock2.8", parts[i], ch, true);
    }
    map_conv(m, "G_logit", "UpBlock2.11", 7, ch, 3);
}

int ugatit_tensorflow_view(const struct weights *weights, const struct ugatit_shape *shape,
                           bool smoothing, struct weights **out_view, struct err *err)
{
    const int64_t ch = shape->channels, inner = 4 * ch;
    struct weights *view = table_view_create(weights);
    if (!view)
        return ERR_NOMEM;
    struct mapping m = {.from = weights, .to = table_of(view), .smoothing = smoothing, .err = err};
    map_encoder(&m, ch, shape->blocks);
    map_attention(&m, inner);
    map_conv(&m, "conv_1x1", "conv1x1", 1, 2 * inner, inner);
    map_dense(&m, "linear_0", "FC.0", inner, shape->light ? 1 : shape->size / 4, inner);
    map_dense(&m, "linear_1", "FC.2", inner, 1, inner);
    map_dense(&m, "gamma", "gamma", inner, 1, inner);
    map_dense(&m, "beta", "beta", inner, 1, inner);
    map_decoder(&m, ch, shape->blocks);
    if (m.rc == 0)
        m.rc = table_add_number(m.to, ARCHITECTURE_PARAMETERS, (double)m.parameters, err);
    return table_view_finish(&view, m.rc, out_view, err);
}

static int count_blocks(const struct weights *weights)
{
    struct tensor t;
    char name[NAME_SIZE];
    int blocks = 0;
    do
        snprintf(name, sizeof name, "adaptive_resblock%d/res1/conv_0/conv2d/kernel", blocks);
    while (weights_find(weights, name, &t) == 0 && ++blocks < UGATIT_MAX_BLOCKS);
    return blocks;
}

int ugatit_tensorflow_recognise(const struct weights *weights, struct ugatit_shape *out_shape,
                                struct err *err)
{
    static const char first_name[] = "conv/conv2d/kernel";
    static const char connected_name[] = "MLP/linear_0/dense/kernel";
    struct tensor first, t;
    char have[TENSOR_SHAPE_SIZE];
    if (weights_find(weights, first_name, &first) < 0 ||
        weights_find(weights, "CAM_logit/kernel", &t) < 0 ||
        weights_find(weights, "G_logit/conv2d/kernel", &t) < 0)
        return ERR_NOT_FOUND;
    tensor_shape_text(first.rank, first.dim, have);
    if (first.rank != 4 || first.dim[3] > NETWORK_MAX_CHANNELS / 8)
        return err_set(err, ERR_CORRUPT, first_name,
                       "tensor %s is %s, but this network needs 7x7x3xC with C up to %d",
                       first_name, have, NETWORK_MAX_CHANNELS / 8);
    if (weights_find(weights, connected_name, &t) < 0)
        return err_set(err, ERR_CORRUPT, connected_name, "tensor %s is missing", connected_name);
    struct ugatit_shape shape = {
        .channels = (int)first.dim[3], .blocks = count_blocks(weights), .tensorflow = true};
    const int inner = 4 * shape.channels;
    shape.light = t.rank == 2 && t.dim[0] == inner;
    if (t.rank == 2 && !shape.light)
        shape.size = ugatit_full_size(t.dim[0], inner);
    tensor_shape_text(t.rank, t.dim, have);
    if (!shape.light && shape.size == 0)
        return err_set(err, ERR_CORRUPT, connected_name,
                       "tensor %s is %s, but with %d channels light needs %dx%d and full "
                       "(S/4*S/4*%d)x%d",
                       connected_name, have, shape.channels, inner, inner, inner, inner);
    *out_shape = shape;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "gpu/models/ugatit.h"

#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/models/ugatit_tensorflow.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include <stdio.h>
#include <string.h>

#define EPSILON 1e-5f

/* Which of the two implementations is being built. */
struct style {
    struct network_builder *b;
    bool tensorflow;
};

static int conv(const struct style *s, const char *name, int x, int64_t channels, int kernel,
                int stride)
{
    return network_conv(s->b, name, x,
                        (struct network_conv){
                            .channels = channels,
                            .kernel = kernel,
                            .stride = stride,
                            .pad = kernel / 2,
                            .bias = s->tensorflow || kernel == 1,
                        });
}

/* The instance norm at a position of its own, which only TensorFlow's has tensors for. */
static int norm(const struct style *s, const char *module, int position, int x)
{
    char gamma[64], beta[64];
    if (!s->tensorflow)
        return network_instance_norm(s->b, x, EPSILON);
    snprintf(gamma, sizeof gamma, "%s.%d.weight", module, position);
    snprintf(beta, sizeof beta, "%s.%d.bias", module, position);
    return network_affine_norm(
        s->b, x, (struct network_affine){.gamma = gamma, .beta = beta, .epsilon = EPSILON});
}

/* convolution, IN, ReLU */
static int down(const struct style *s, int position, int x, int64_t channels, int kernel,
                int stride)
{
    char name[32];
    snprintf(name, sizeof name, "DownBlock.%d", position);
    int y = norm(s, "DownBlock", position + 1, conv(s, name, x, channels, kernel, stride));
    return network_relu(s->b, y);
}

/* x + (conv3 IN ReLU conv3 IN); no ReLU after the sum */
static int residual_block(const struct style *s, int position, int x, int64_t channels)
{
    char block[40], name[48];
    snprintf(block, sizeof block, "DownBlock.%d.conv_block", position);
    snprintf(name, sizeof name, "%s.1", block);
    int y = network_relu(s->b, norm(s, block, 2, conv(s, name, x, channels, 3, 1)));
    snprintf(name, sizeof name, "%s.5", block);
    y = norm(s, block, 6, conv(s, name, y, channels, 3, 1));
    return network_add(s->b, y, x);
}

/* conv3 AdaILN, steered by the gamma and beta that all blocks share */
static int adaptive_half(const struct style *s, const char *name, int part, int x, int64_t channels,
                         int gamma, int beta)
{
    char conv_name[48], norm_name[48];
    snprintf(conv_name, sizeof conv_name, "%s.conv%d", name, part);
    snprintf(norm_name, sizeof norm_name, "%s.norm%d", name, part);
    return network_adaptive_norm(s->b, norm_name, conv(s, conv_name, x, channels, 3, 1), gamma,
                                 beta, EPSILON);
}

/* nearest x2, conv3, ILN, ReLU */
static int up_block(const struct style *s, int position, int x, int64_t channels)
{
    char name[32], norm_name[32];
    snprintf(name, sizeof name, "UpBlock2.%d", position);
    snprintf(norm_name, sizeof norm_name, "UpBlock2.%d", position + 1);
    int y = conv(s, name, network_upsample(s->b, x), channels, 3, 1);
    return network_relu(s->b, network_layer_instance_norm(s->b, norm_name, y, EPSILON));
}

static int connected(const struct style *s, const char *name, int x, int64_t features)
{
    return s->tensorflow ? network_dense(s->b, name, x, features)
                         : network_connected(s->b, name, x, features);
}

int ugatit_build(const struct weights *weights, const struct ugatit_shape *shape, int size,
                 struct network *out_network, struct err *err)
{
    struct network_builder builder = {
        .network = out_network, .weights = weights, .err = err, .biased = shape->tensorflow};
    struct network_builder *b = &builder;
    const struct style style = {b, shape->tensorflow}, *s = &style;
    const int64_t ch = shape->channels;
    char name[32];
    if (size < 1 || size % 4 != 0)
        return err_set(err, ERR_INVALID, "size", "%d is not a multiple of 4", size);
    if (!shape->light && shape->size != size)
        return err_set(err, ERR_INVALID, "size", "these full weights fit %d pixels only, not %d",
                       shape->size, size);

    /* encoder: [3,H,W] -> [4ch,H/4,W/4] */
    int x = network_input(b, 3, size, size);
    x = down(s, 1, x, ch, 7, 1);
    x = down(s, 5, x, 2 * ch, 3, 2);
    x = down(s, 9, x, 4 * ch, 3, 2);
    for (int i = 0; i < shape->blocks; i++)
        x = residual_block(s, UGATIT_FIRST_BLOCK + i, x, 4 * ch);

    /* attention: features times the weights of the two auxiliary classifiers */
    x = network_cam(b, "gap_fc", "gmp_fc", x);
    x = network_relu(b, conv(s, "conv1x1", x, 4 * ch, 1, 1));
    out_network->attention = x > 0 ? x : 0;

    /* gamma and beta: [4ch,1,1] each */
    int f = shape->light ? network_mean(b, x) : x;
    f = network_relu(b, connected(s, "FC.0", f, 4 * ch));
    f = network_relu(b, connected(s, "FC.2", f, 4 * ch));
    int gamma = connected(s, "gamma", f, 4 * ch);
    int beta = connected(s, "beta", f, 4 * ch);

    /* decoder: [4ch,H/4,W/4] -> [3,H,W] */
    for (int i = 0; i < shape->blocks; i++) {
        snprintf(name, sizeof name, "UpBlock1_%d", i + 1);
        int y = network_relu(b, adaptive_half(s, name, 1, x, 4 * ch, gamma, beta));
        y = adaptive_half(s, name, 2, y, 4 * ch, gamma, beta);
        x = network_add(b, y, x);
    }
    x = up_block(s, 2, x, 2 * ch);
    x = up_block(s, 7, x, ch);
    network_tanh(b, conv(s, "UpBlock2.11", x, 3, 7, 1));
    return b->rc;
}

static int count_blocks(const struct weights *weights)
{
    struct tensor t;
    char name[48];
    int blocks = 0;
    do
        snprintf(name, sizeof name, "UpBlock1_%d.conv1.weight", blocks + 1);
    while (weights_find(weights, name, &t) == 0 && ++blocks < UGATIT_MAX_BLOCKS);
    return blocks;
}

int ugatit_full_size(int64_t inputs, int64_t channels)
{
    for (int quarter = 2; quarter <= 512; quarter++)
        if (inputs == channels * quarter * quarter)
            return 4 * quarter;
    return 0;
}

int ugatit_recognise(const struct weights *weights, struct ugatit_shape *out_shape, struct err *err)
{
    struct tensor first, mix, connected;
    if (weights_find(weights, "DownBlock.1.weight", &first) < 0 ||
        weights_find(weights, "conv1x1.weight", &mix) < 0 ||
        weights_find(weights, "UpBlock2.11.weight", &connected) < 0)
        return ERR_NOT_FOUND;
    if (first.rank != 4 || first.dim[0] > NETWORK_MAX_CHANNELS / 8) {
        char have[TENSOR_SHAPE_SIZE];
        tensor_shape_text(first.rank, first.dim, have);
        return err_set(err, ERR_CORRUPT, "DownBlock.1.weight",
                       "tensor DownBlock.1.weight is %s, but this network needs Cx3x7x7 with C up "
                       "to %d",
                       have, NETWORK_MAX_CHANNELS / 8);
    }
    struct ugatit_shape shape = {.channels = (int)first.dim[0], .blocks = count_blocks(weights)};
    const int64_t inner = 4 * first.dim[0];
    if (weights_find(weights, "FC.0.weight", &connected) < 0)
        return err_set(err, ERR_CORRUPT, "FC.0.weight", "tensor FC.0.weight is missing");
    if (connected.rank == 2)
        shape.light = connected.dim[1] == inner;
    if (!shape.light && connected.rank == 2)
        shape.size = ugatit_full_size(connected.dim[1], inner);
    if (!shape.light && shape.size == 0) {
        char have[TENSOR_SHAPE_SIZE];
        tensor_shape_text(connected.rank, connected.dim, have);
        return err_set(err, ERR_CORRUPT, "FC.0.weight",
                       "tensor FC.0.weight is %s, but with %d channels light needs %dx%d and full "
                       "%dx(%d*S/4*S/4)",
                       have, shape.channels, (int)inner, (int)inner, (int)inner, (int)inner);
    }
    *out_shape = shape;
    return 0;
}

static int recognise(const struct weights *weights, struct architecture_found *out_found,
                     struct err *err)
{
    struct ugatit_shape shape;
    int rc = ugatit_recognise(weights, &shape, err);
    if (rc == ERR_NOT_FOUND)
        rc = ugatit_tensorflow_recognise(weights, &shape, err);
    if (rc == 0)
        *out_found = (struct architecture_found){
            .kind = shape.light ? "light" : "full",
            .variant = shape.tensorflow ? "tensorflow" : "pytorch",
            .channels = shape.channels,
            .blocks = shape.blocks,
            .size = shape.size,
        };
    return rc;
}

static struct ugatit_shape shape_of(const struct architecture_found *found)
{
    return (struct ugatit_shape){
        .channels = found->channels,
        .blocks = found->blocks,
        .light = strcmp(found->kind, "light") == 0,
        .size = found->size,
        .tensorflow = strcmp(found->variant, "tensorflow") == 0,
    };
}

static int view(const struct weights *weights, const struct architecture_found *found,
                struct weights **out_view, struct err *err)
{
    const struct ugatit_shape shape = shape_of(found);
    if (!shape.tensorflow)
        return weights_view(weights, "", out_view, err);
    return ugatit_tensorflow_view(weights, &shape, !found->no_smoothing, out_view, err);
}

static int build(const struct weights *weights, const struct architecture_found *found, int size,
                 struct network *out_network, struct err *err)
{
    const struct ugatit_shape shape = shape_of(found);
    return ugatit_build(weights, &shape, size, out_network, err);
}

/* TensorFlow's test resizes with cv2, which does not antialias, and lets numpy cut to bytes. */
static struct pixels_format format(const char *variant)
{
    struct pixels_format made = pixels_format_default();
    if (strcmp(variant, "tensorflow") == 0) {
        made.resize = PICTURE_BILINEAR;
        made.rounding = PIXELS_TRUNCATE;
    }
    return made;
}

const struct architecture architecture_ugatit = {
    .name = "ugatit",
    .input = MODEL_FROM_PICTURE,
    .default_size = 256,
    .scale = 1,
    .parts = (const char *const[]){"genA2B.", "generator_B/", NULL},
    .recognise = recognise,
    .view = view,
    .build = build,
    .format = format,
};

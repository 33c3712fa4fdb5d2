/* SPDX-License-Identifier: MIT */
#include "gpu/models/ugatit.h"

#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include <stdio.h>
#include <string.h>

#define EPSILON 1e-5f
#define MAX_BLOCKS 16

/* The names are positions in the original's nn.Sequential: paddings and norms count as well. */
#define DOWN_BLOCK_FIRST 12

static struct network_conv conv7(int64_t channels)
{
    return (struct network_conv){.channels = channels, .kernel = 7, .stride = 1, .pad = 3};
}

static struct network_conv conv3(int64_t channels, int stride)
{
    return (struct network_conv){.channels = channels, .kernel = 3, .stride = stride, .pad = 1};
}

static int in_relu(struct network_builder *b, int x)
{
    return network_relu(b, network_instance_norm(b, x, EPSILON));
}

/* x + (conv3 IN ReLU conv3 IN); no ReLU after the sum */
static int residual_block(struct network_builder *b, const char *name, int x, int64_t channels)
{
    char conv[48];
    snprintf(conv, sizeof conv, "%s.conv_block.1", name);
    int y = in_relu(b, network_conv(b, conv, x, conv3(channels, 1)));
    snprintf(conv, sizeof conv, "%s.conv_block.5", name);
    y = network_instance_norm(b, network_conv(b, conv, y, conv3(channels, 1)), EPSILON);
    return network_add(b, y, x);
}

/* conv3 AdaILN, steered by the gamma and beta that all blocks share */
static int adaptive_half(struct network_builder *b, const char *name, int part, int x,
                         int64_t channels, int gamma, int beta)
{
    char conv[48], norm[48];
    snprintf(conv, sizeof conv, "%s.conv%d", name, part);
    snprintf(norm, sizeof norm, "%s.norm%d", name, part);
    return network_adaptive_norm(b, norm, network_conv(b, conv, x, conv3(channels, 1)), gamma, beta,
                                 EPSILON);
}

/* nearest x2, conv3, ILN, ReLU */
static int up_block(struct network_builder *b, int position, int x, int64_t channels)
{
    char conv[32], norm[32];
    snprintf(conv, sizeof conv, "UpBlock2.%d", position);
    snprintf(norm, sizeof norm, "UpBlock2.%d", position + 1);
    int y = network_conv(b, conv, network_upsample(b, x), conv3(channels, 1));
    return network_relu(b, network_layer_instance_norm(b, norm, y, EPSILON));
}

int ugatit_build(const struct weights *weights, const struct ugatit_shape *shape, int size,
                 struct network *out_network, struct err *err)
{
    struct network_builder builder = {.network = out_network, .weights = weights, .err = err};
    struct network_builder *b = &builder;
    const int64_t ch = shape->channels;
    char name[32];
    if (size < 1 || size % 4 != 0)
        return err_set(err, ERR_INVALID, "size", "%d is not a multiple of 4", size);
    if (!shape->light && shape->size != size)
        return err_set(err, ERR_INVALID, "size", "these full weights fit %d pixels only, not %d",
                       shape->size, size);

    /* encoder: [3,H,W] -> [4ch,H/4,W/4] */
    int x = network_input(b, 3, size, size);
    x = in_relu(b, network_conv(b, "DownBlock.1", x, conv7(ch)));
    x = in_relu(b, network_conv(b, "DownBlock.5", x, conv3(2 * ch, 2)));
    x = in_relu(b, network_conv(b, "DownBlock.9", x, conv3(4 * ch, 2)));
    for (int i = 0; i < shape->blocks; i++) {
        snprintf(name, sizeof name, "DownBlock.%d", DOWN_BLOCK_FIRST + i);
        x = residual_block(b, name, x, 4 * ch);
    }

    /* attention: features times the weights of the two auxiliary classifiers */
    x = network_cam(b, "gap_fc", "gmp_fc", x);
    x = network_conv(
        b, "conv1x1", x,
        (struct network_conv){.channels = 4 * ch, .kernel = 1, .stride = 1, .bias = true});
    x = network_relu(b, x);
    out_network->attention = x > 0 ? x : 0;

    /* gamma and beta: [4ch,1,1] each */
    int f = shape->light ? network_mean(b, x) : x;
    f = network_relu(b, network_connected(b, "FC.0", f, 4 * ch));
    f = network_relu(b, network_connected(b, "FC.2", f, 4 * ch));
    int gamma = network_connected(b, "gamma", f, 4 * ch);
    int beta = network_connected(b, "beta", f, 4 * ch);

    /* decoder: [4ch,H/4,W/4] -> [3,H,W] */
    for (int i = 0; i < shape->blocks; i++) {
        snprintf(name, sizeof name, "UpBlock1_%d", i + 1);
        int y = network_relu(b, adaptive_half(b, name, 1, x, 4 * ch, gamma, beta));
        y = adaptive_half(b, name, 2, y, 4 * ch, gamma, beta);
        x = network_add(b, y, x);
    }
    x = up_block(b, 2, x, 2 * ch);
    x = up_block(b, 7, x, ch);
    network_tanh(b, network_conv(b, "UpBlock2.11", x, conv7(3)));
    return b->rc;
}

static int count_blocks(const struct weights *weights)
{
    struct tensor t;
    char name[48];
    int blocks = 0;
    do
        snprintf(name, sizeof name, "UpBlock1_%d.conv1.weight", blocks + 1);
    while (weights_find(weights, name, &t) == 0 && ++blocks < MAX_BLOCKS);
    return blocks;
}

/* Full's first connected layer sees all of [4ch,S/4,S/4]: its width tells S. */
static int full_size(int64_t inputs, int64_t channels)
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
        shape.size = full_size(connected.dim[1], inner);
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
    if (rc == 0)
        *out_found = (struct architecture_found){
            .kind = shape.light ? "light" : "full",
            .variant = "pytorch",
            .channels = shape.channels,
            .blocks = shape.blocks,
            .size = shape.size,
        };
    return rc;
}

static int build(const struct weights *weights, const struct architecture_found *found, int size,
                 struct network *out_network, struct err *err)
{
    const struct ugatit_shape shape = {
        .channels = found->channels,
        .blocks = found->blocks,
        .light = strcmp(found->kind, "light") == 0,
        .size = found->size,
    };
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
    .recognise = recognise,
    .build = build,
    .format = format,
};

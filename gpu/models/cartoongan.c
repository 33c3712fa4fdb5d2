/* SPDX-License-Identifier: MIT */
#include "gpu/models/cartoongan.h"

#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include <stdio.h>

#define EPSILON 1e-9f
#define FIRST_BLOCK 4 /* conv04 to conv11: the names count on from the encoder's */
#define LAST_BLOCK 11

static struct network_conv reflected(int64_t channels, int kernel)
{
    return (struct network_conv){
        .channels = channels, .kernel = kernel, .stride = 1, .pad = kernel / 2, .bias = true};
}

/* Only the residual blocks and the outermost layers reflect. */
static struct network_conv zeros3(int64_t channels, int stride)
{
    return (struct network_conv){
        .channels = channels, .kernel = 3, .stride = stride, .pad = 1, .zeros = true, .bias = true};
}

/* `part` of layer `number`, as "in01_1". */
static int norm(struct network_builder *b, int number, int part, int x)
{
    char gamma[24], beta[24];
    snprintf(gamma, sizeof gamma, "in%02d_%d.scale", number, part);
    snprintf(beta, sizeof beta, "in%02d_%d.shift", number, part);
    return network_affine_norm(
        b, x, (struct network_affine){.gamma = gamma, .beta = beta, .epsilon = EPSILON});
}

static int norm_relu(struct network_builder *b, int number, int x)
{
    return network_relu(b, norm(b, number, 1, x));
}

/* conv3 at every second pixel, conv3, IN, ReLU: [C,H,W] -> [channels,H/2,W/2] */
static int down(struct network_builder *b, int number, int x, int64_t channels)
{
    char first[24], second[24];
    snprintf(first, sizeof first, "conv%02d_1", number);
    snprintf(second, sizeof second, "conv%02d_2", number);
    x = network_conv(b, first, x, zeros3(channels, 2));
    return norm_relu(b, number, network_conv(b, second, x, zeros3(channels, 1)));
}

/* x + (conv3 IN ReLU conv3 IN) */
static int residual_block(struct network_builder *b, int number, int x, int64_t channels)
{
    char first[24], second[24];
    snprintf(first, sizeof first, "conv%02d_1", number);
    snprintf(second, sizeof second, "conv%02d_2", number);
    int y = norm_relu(b, number, network_conv(b, first, x, reflected(channels, 3)));
    y = norm(b, number, 2, network_conv(b, second, y, reflected(channels, 3)));
    return network_add(b, y, x);
}

/* Transposed conv3 (PyTorch's padding 1, output_padding 1), conv3, IN, ReLU: twice as large.
 * Its norm is the network's `in`th. */
static int up(struct network_builder *b, int number, int in, int x, int64_t channels)
{
    const struct network_deconv twice = {
        .channels = channels, .kernel = 3, .stride = 2, .pad = 1, .bias = true};
    char first[24], second[24];
    snprintf(first, sizeof first, "deconv%02d_1", number);
    snprintf(second, sizeof second, "deconv%02d_2", number);
    x = network_deconv(b, first, x, twice);
    return norm_relu(b, in, network_conv(b, second, x, zeros3(channels, 1)));
}

static int build(const struct weights *weights, const struct architecture_found *found, int size,
                 struct network *out_network, struct err *err)
{
    struct network_builder builder = {.network = out_network, .weights = weights, .err = err};
    struct network_builder *b = &builder;
    const int64_t ch = found->channels;
    if (size % 4 != 0)
        return err_set(err, ERR_INVALID, "size", "%d is not a multiple of 4", size);
    /* [3,H,W] -> [4ch,H/4,W/4] */
    int x = network_input(b, 3, size, size);
    x = norm_relu(b, 1, network_conv(b, "conv01_1", x, reflected(ch, 7)));
    x = down(b, 2, x, 2 * ch);
    x = down(b, 3, x, 4 * ch);
    for (int i = FIRST_BLOCK; i <= LAST_BLOCK; i++)
        x = residual_block(b, i, x, 4 * ch);
    /* -> [3,H,W] */
    x = up(b, 1, LAST_BLOCK + 1, x, 2 * ch);
    x = up(b, 2, LAST_BLOCK + 2, x, ch);
    network_tanh(b, network_conv(b, "deconv03_1", x, reflected(3, 7)));
    return b->rc;
}

static int recognise(const struct weights *weights, struct architecture_found *out_found,
                     struct err *err)
{
    struct tensor first, last;
    if (weights_find(weights, "conv01_1.weight", &first) < 0 ||
        weights_find(weights, "deconv03_1.weight", &last) < 0)
        return ERR_NOT_FOUND;
    const int64_t most = NETWORK_MAX_CHANNELS / 4;
    int rc = architecture_check_first("conv01_1.weight", &first, 0, most, "Cx3x7x7", err);
    if (rc == 0)
        *out_found = (struct architecture_found){
            .kind = "cartoon",
            .variant = "pytorch",
            .channels = (int)first.dim[0],
            .blocks = LAST_BLOCK - FIRST_BLOCK + 1,
        };
    return rc;
}

/* torchvision's save_image() rounds. */
static struct pixels_format format(const char *variant)
{
    struct pixels_format made = pixels_format_default();
    made.bgr = true;
    return made;
}

const struct architecture architecture_cartoongan = {
    .name = "cartoongan",
    .input = MODEL_FROM_PICTURE,
    .default_size = 256,
    .scale = 1,
    .recognise = recognise,
    .build = build,
    .format = format,
};

/* SPDX-License-Identifier: MIT */
#include "gpu/models/fast_srgan.h"

#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/network.h"
#include "gpu/weights/weights.h"

#include <stdio.h>

#define EPSILON 1e-5f

static struct network_conv conv3(int64_t channels, bool bias)
{
    return (struct network_conv){
        .channels = channels, .kernel = 3, .stride = 1, .pad = 1, .zeros = true, .bias = bias};
}

/* conv3 IN; the norm would take a bias away */
static int conv_norm(struct network_builder *b, const char *name, int x, int64_t channels)
{
    return network_instance_norm(b, network_conv(b, name, x, conv3(channels, false)), EPSILON);
}

/* x + (conv3 IN PReLU conv3 IN) */
static int residual_block(struct network_builder *b, int number, int x, int64_t channels)
{
    char conv1[32], relu1[32], conv2[32];
    snprintf(conv1, sizeof conv1, "stem.%d.conv1", number);
    snprintf(relu1, sizeof relu1, "stem.%d.relu1", number);
    snprintf(conv2, sizeof conv2, "stem.%d.conv2", number);
    int y = network_prelu(b, relu1, conv_norm(b, conv1, x, channels));
    return network_add(b, conv_norm(b, conv2, y, channels), x);
}

/* conv3 to four values for each pixel, which become its 2 x 2, PReLU */
static int up(struct network_builder *b, int number, int x, int64_t channels)
{
    char conv[32], relu[32];
    snprintf(conv, sizeof conv, "upsampling.%d.conv", number);
    snprintf(relu, sizeof relu, "upsampling.%d.relu", number);
    x = network_conv(b, conv, x, conv3(4 * channels, true));
    return network_prelu(b, relu, network_shuffle(b, x));
}

static int build(const struct weights *weights, const struct architecture_found *found, int size,
                 struct network *out_network, struct err *err)
{
    struct network_builder builder = {.network = out_network, .weights = weights, .err = err};
    struct network_builder *b = &builder;
    const int64_t ch = found->channels;
    /* [3,H,W] -> [ch,H,W] */
    int x = network_input(b, 3, size, size);
    x = network_prelu(b, "neck.1", network_conv(b, "neck.0", x, conv3(ch, true)));
    const int neck = x;
    for (int i = 0; i < found->blocks; i++)
        x = residual_block(b, i, x, ch);
    x = network_add(b, conv_norm(b, "bottleneck.0", x, ch), neck);
    /* -> [3,4H,4W] */
    x = up(b, 0, x, ch);
    x = up(b, 1, x, ch);
    network_tanh(b, network_conv(b, "head.0", x, conv3(3, true)));
    return b->rc;
}

static int count_blocks(const struct weights *weights)
{
    struct tensor conv;
    char name[32];
    int blocks = 0;
    do
        snprintf(name, sizeof name, "stem.%d.conv1.weight", blocks);
    while (weights_find(weights, name, &conv) == 0 && ++blocks);
    return blocks;
}

static int recognise(const struct weights *weights, struct architecture_found *out_found,
                     struct err *err)
{
    struct tensor neck, other;
    if (weights_find(weights, "neck.0.weight", &neck) < 0 ||
        weights_find(weights, "bottleneck.0.weight", &other) < 0 ||
        weights_find(weights, "upsampling.1.conv.weight", &other) < 0)
        return ERR_NOT_FOUND;
    const int64_t most = NETWORK_MAX_CHANNELS / 4;
    int rc = architecture_check_first("neck.0.weight", &neck, 0, most, "Cx3x3x3", err);
    if (rc == 0)
        *out_found = (struct architecture_found){
            .kind = "x4",
            .variant = "pytorch",
            .channels = (int)neck.dim[0],
            .blocks = count_blocks(weights),
        };
    return rc;
}

/* numpy cuts the result to bytes. */
static struct pixels_format format(const char *variant)
{
    struct pixels_format made = pixels_format_default();
    made.rounding = PIXELS_TRUNCATE;
    return made;
}

const struct architecture architecture_fast_srgan = {
    .name = "fast-srgan",
    .input = MODEL_FROM_PICTURE,
    .default_size = 128,
    .scale = 4,
    .parts = (const char *const[]){"_orig_mod.", NULL}, /* torch.compile() puts it in front */
    .recognise = recognise,
    .build = build,
    .format = format,
};

/* SPDX-License-Identifier: MIT */
#include "gpu/models/fast_style_transfer.h"

#include "common/err.h"
#include "gpu/models/architectures.h"
#include "gpu/network.h"
#include "gpu/weights/table.h"

#include <stdio.h>

#define EPSILON 1e-3f
#define BLOCKS 5
#define LAYERS 16 /* three, two in each block, three */
#define VARIABLES (3 * LAYERS)

enum { NAME_SIZE = 24 };

/* TensorFlow numbers from the second on. */
static void variable_name(int number, char out[NAME_SIZE])
{
    snprintf(out, NAME_SIZE, number > 0 ? "Variable_%d" : "Variable", number);
}

/* Layer k's instance norm. */
static int norm(struct network_builder *b, int k, int x)
{
    char beta[NAME_SIZE], gamma[NAME_SIZE];
    variable_name(3 * k + 1, beta);
    variable_name(3 * k + 2, gamma);
    return network_affine_norm(
        b, x, (struct network_affine){.gamma = gamma, .beta = beta, .epsilon = EPSILON});
}

/* Layer k: a convolution with TensorFlow's "SAME" padding, which puts the greater half behind, and
 * its norm. */
static int conv(struct network_builder *b, int k, int x, int64_t channels, int kernel, int stride)
{
    char name[NAME_SIZE];
    variable_name(3 * k, name);
    const struct network_conv same = {
        .channels = channels,
        .kernel = kernel,
        .stride = stride,
        .pad = (kernel - stride) / 2,
        .pad_end = (kernel - stride + 1) / 2,
        .zeros = true,
    };
    return norm(b, k, network_conv(b, name, x, same));
}

/* x + (conv3 IN ReLU conv3 IN) of layers k and k + 1 */
static int residual_block(struct network_builder *b, int k, int x, int64_t channels)
{
    int y = network_relu(b, conv(b, k, x, channels, 3, 1));
    return network_add(b, conv(b, k + 1, y, channels, 3, 1), x);
}

/* Layer k: a transposed convolution to twice the size, "SAME" as well, its norm and ReLU. */
static int up(struct network_builder *b, int k, int x, int64_t channels)
{
    char name[NAME_SIZE];
    variable_name(3 * k, name);
    const struct network_deconv twice = {.channels = channels, .kernel = 3, .stride = 2, .pad = 0};
    return network_relu(b, norm(b, k, network_deconv(b, name, x, twice)));
}

static int build(const struct weights *weights, const struct architecture_found *found, int size,
                 struct network *out_network, struct err *err)
{
    struct network_builder builder = {.network = out_network, .weights = weights, .err = err};
    struct network_builder *b = &builder;
    const int64_t ch = found->channels;
    int k = 0;
    if (size % 4 != 0)
        return err_set(err, ERR_INVALID, "size", "%d is not a multiple of 4", size);
    /* [3,H,W] -> [4ch,H/4,W/4] */
    int x = network_input(b, 3, size, size);
    x = network_relu(b, conv(b, k++, x, ch, 9, 1));
    x = network_relu(b, conv(b, k++, x, 2 * ch, 3, 2));
    x = network_relu(b, conv(b, k++, x, 4 * ch, 3, 2));
    for (int i = 0; i < BLOCKS; i++, k += 2)
        x = residual_block(b, k, x, 4 * ch);
    /* -> [3,H,W] */
    x = up(b, k++, x, 2 * ch);
    x = up(b, k++, x, ch);
    network_tanh(b, conv(b, k, x, 3, 9, 1));
    return b->rc;
}

static int recognise(const struct weights *weights, struct architecture_found *out_found,
                     struct err *err)
{
    struct tensor first, last;
    /* Any TensorFlow program may call its variables so: these have the right shapes as well. */
    if (weights_find(weights, "Variable", &first) < 0 ||
        weights_find(weights, "Variable_45", &last) < 0 || first.rank != 4 || last.rank != 4 ||
        first.dim[0] != 9 || last.dim[0] != 9)
        return ERR_NOT_FOUND;
    const int64_t most = NETWORK_MAX_CHANNELS / 4;
    int rc = architecture_check_first("Variable", &first, 3, most, "9x9x3xC", err);
    if (rc == 0)
        *out_found = (struct architecture_found){
            .kind = "style",
            .variant = "tensorflow",
            .channels = (int)first.dim[3],
            .blocks = BLOCKS,
        };
    return rc;
}

/* The kernels as NAME.weight, [H][W][I][O] turned into OIKK; those of the transposed convolutions
 * are [H][W][O][I], and become IOKK by the same turn. Shifts and scales stay as they are. */
static int view(const struct weights *weights, const struct architecture_found *found,
                struct weights **out_view, struct err *err)
{
    static const int turn[4] = {3, 2, 0, 1};
    struct weights *made = table_view_create(weights);
    int rc = made ? 0 : ERR_NOMEM;
    for (int i = 0; rc == 0 && i < VARIABLES; i++) {
        char name[NAME_SIZE], kernel[NAME_SIZE + 8];
        struct tensor tensor;
        variable_name(i, name);
        if (weights_find(weights, name, &tensor) < 0)
            continue; /* build() says that it is missing */
        snprintf(kernel, sizeof kernel, tensor.rank == 4 ? "%s.weight" : "%s", name);
        if (tensor.rank == 4)
            rc = table_transpose(table_of(made), &tensor, turn, &tensor, err);
        if (rc == 0)
            rc = table_add(table_of(made), kernel, &tensor, err);
    }
    return table_view_finish(&made, rc, out_view, err);
}

/* Bytes go in as they are; tanh * 150 + 127.5 comes out, and numpy cuts it to bytes. */
static struct pixels_format format(const char *variant)
{
    struct pixels_format made = pixels_format_default();
    made.in_scale = 1.0f;
    made.in_shift = 0.0f;
    made.out_scale = 150.0f;
    made.rounding = PIXELS_TRUNCATE;
    return made;
}

const struct architecture architecture_fast_style_transfer = {
    .name = "fast-style-transfer",
    .input = MODEL_FROM_PICTURE,
    .default_size = 256,
    .scale = 1,
    .recognise = recognise,
    .view = view,
    .build = build,
    .format = format,
};

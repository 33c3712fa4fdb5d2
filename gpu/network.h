/* SPDX-License-Identifier: MIT
 *
 * A network as a list of layers: what a backend turns into a plan, and what ref/ just computes.
 *
 *     struct network net;
 *     struct network_builder b = {.network = &net, .weights = weights, .err = err};
 *     int x = network_input(&b, 3, 256, 256);
 *     x = network_conv(&b, "DownBlock.1", x, (struct network_conv){.channels = 64, .kernel = 7,
 *                                                                  .stride = 1, .pad = 3});
 *     x = network_relu(&b, x);
 *     if (b.rc < 0) ...                                 // err names the tensor
 *
 * Layers are in an order in which each reads only earlier ones; the last is the output. Shapes
 * are of one picture; the batch is the backend's business. The builder is sticky: after the first
 * error every call does nothing, so that a network reads without a check on each line.
 * A network borrows the tensors' bytes from its weights; as a value it needs no destruction. */
#ifndef DARKROOM_GPU_NETWORK_H
#define DARKROOM_GPU_NETWORK_H

#include "gpu/tensor.h"

struct err;
struct weights;

#define NETWORK_MAX_LAYERS 256
#define NETWORK_MAX_CHANNELS 4096

enum layer_kind {
    LAYER_INPUT,
    LAYER_CONV,     /* padding, then K x K with a stride; bias where there is one */
    LAYER_UPSAMPLE, /* nearest, twice as high and wide */
    LAYER_NORM,     /* see enum norm_kind */
    LAYER_RELU,
    LAYER_TANH,
    LAYER_ADD,       /* input + other */
    LAYER_CAM,       /* concat(x * gap weight, x * gmp weight): [C,H,W] -> [2C,H,W] */
    LAYER_MEAN,      /* global average: [C,H,W] -> [C,1,1] */
    LAYER_CONNECTED, /* fully connected over the input flattened as CHW; bias where there is one */
    LAYER_RESHAPE,   /* the same values as another [C,H,W] */
    LAYER_DECONV,    /* transposed convolution, zeros around: see network_deconv() */
    LAYER_SIGMOID,
    LAYER_PRELU,   /* x where it is positive, else slope * x: one slope, or one for each channel */
    LAYER_SHUFFLE, /* PyTorch's PixelShuffle by 2: [4C,H,W] -> [C,2H,2W], see network_shuffle() */
    LAYER_KIND_COUNT
};

/* With m, v the moments over H,W and M, V those over C,H,W:
 *     instance        (x - m) / sqrt(v + eps), then perhaps * gamma + beta, both trained
 *     batch           gamma * (x - mean) / sqrt(variance + eps) + beta, all four trained
 *     layer-instance  gamma * (rho * instance + (1 - rho) * (x - M) / sqrt(V + eps)) + beta
 * where gamma and beta are trained, or computed by other layers (adaptive: U-GAT-IT's AdaLIN). */
enum norm_kind { NORM_INSTANCE, NORM_LAYER_INSTANCE, NORM_ADAPTIVE, NORM_BATCH };

struct layer {
    enum layer_kind kind;
    char name[40];    /* as in the weights where it has any, else after its input */
    int input, other; /* layers that it reads; -1: none */
    int64_t c, h, w;  /* of the output */
    int kernel, stride;
    int pad;     /* rows and columns in front; deconv: that many of the scatter are cut off there */
    int pad_end; /* conv: rows and columns behind */
    bool zeros;  /* conv: the padding is zeros, not a reflection */
    enum norm_kind norm;
    bool unbiased; /* V and, but for NORM_INSTANCE, v divide by n - 1 */
    float epsilon;
    int gamma_from, beta_from; /* NORM_ADAPTIVE: layers of shape [C,1,1] */
    /* Absent where data is NULL. */
    struct tensor weight; /* conv OIKK; deconv IOKK; connected [F out][F in]; CAM: gap [1,C];
                             PReLU: the slope, [C] or [1] */
    struct tensor second; /* CAM: gmp [1,C] */
    struct tensor bias;   /* [O] */
    struct tensor rho, gamma, beta; /* [1,C,1,1]; NORM_BATCH, NORM_INSTANCE: [C] */
    struct tensor mean, variance;   /* NORM_BATCH: [C] */
};

struct network {
    struct layer layers[NETWORK_MAX_LAYERS];
    int count;
    int attention; /* the layer whose sums over its channels, [H,W], show where the network looks;
                      0: it has none */
    bool heat_map; /* those sums are put out behind the last layer's values */
    int64_t multiply_adds; /* of all convolutions and connected layers, as written */
};

struct network_builder {
    struct network *network;       /* borrowed */
    const struct weights *weights; /* borrowed; NULL builds shapes only, without data */
    struct err *err;               /* borrowed; nullable */
    int rc;                        /* 0, or the first error */
    /* V, and v of a norm that mixes both, divide by n as TensorFlow does, not by n - 1. */
    bool biased;
};

struct network_conv {
    int64_t channels;
    int kernel, stride;
    int pad;     /* rows and columns around */
    int pad_end; /* behind, where that is more than in front; else 0 */
    bool zeros;  /* the padding is zeros, not a reflection */
    bool bias;
};

struct network_deconv {
    int64_t channels;
    int kernel, stride;
    int pad; /* rows and columns cut off in front */
    bool bias;
};

/* Full names of tensors of shape [C]. */
struct network_affine {
    const char *gamma, *beta;
    float epsilon;
};

/* Each appends a layer and returns its index, or -1 after an error. `name` is where its tensors
 * are found: NAME.weight, NAME.bias, NAME.rho … */
int network_input(struct network_builder *b, int64_t channels, int64_t height, int64_t width);
int network_conv(struct network_builder *b, const char *name, int input, struct network_conv conv);
int network_upsample(struct network_builder *b, int input);
int network_instance_norm(struct network_builder *b, int input, float epsilon);
int network_affine_norm(struct network_builder *b, int input, struct network_affine affine);
int network_layer_instance_norm(struct network_builder *b, const char *name, int input,
                                float epsilon);
int network_adaptive_norm(struct network_builder *b, const char *name, int input, int gamma_from,
                          int beta_from, float epsilon);
int network_relu(struct network_builder *b, int input);
int network_tanh(struct network_builder *b, int input);
int network_add(struct network_builder *b, int input, int other);
int network_cam(struct network_builder *b, const char *gap, const char *gmp, int input);
int network_mean(struct network_builder *b, int input);
int network_connected(struct network_builder *b, const char *name, int input, int64_t features);
int network_dense(struct network_builder *b, const char *name, int input,
                  int64_t features); /* the same with a bias */
int network_reshape(struct network_builder *b, int input, int64_t channels, int64_t height,
                    int64_t width);
/* NAME.weight, .bias, .running_mean and .running_var, as PyTorch has them. */
int network_batch_norm(struct network_builder *b, const char *name, int input, float epsilon);
/* Every value is scattered over K x K, stride apart; the sums of what overlaps make
 * (n - 1) * stride + K rows, of which n * stride are kept after the first `pad`. So "same" of Keras
 * and TensorFlow has a pad of (K - stride) / 2, and PyTorch's padding is the pad where its
 * output_padding makes the picture as large as that. */
int network_deconv(struct network_builder *b, const char *name, int input,
                   struct network_deconv deconv);
int network_sigmoid(struct network_builder *b, int input);
/* NAME.weight: [1] or [C]. */
int network_prelu(struct network_builder *b, const char *name, int input);
/* out[c][2y + i][2x + j] = in[4c + 2i + j][y][x] */
int network_shuffle(struct network_builder *b, int input);

/* Values of one picture in this layer's output. */
static inline size_t layer_values(const struct layer *layer)
{
    return (size_t)(layer->c * layer->h * layer->w);
}

/* Values that one picture gives: the last layer's, and the heat map's behind them. */
size_t network_out_values(const struct network *network);

const char *layer_kind_name(enum layer_kind kind);

/* Says that this layer gave NaN or infinity; always ERR_CORRUPT. */
int layer_not_finite(const struct layer *layer, struct err *err);

#endif

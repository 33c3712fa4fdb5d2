/* SPDX-License-Identifier: MIT
 *
 * The generator of U-GAT-IT (Kim, Kim, Kang, Lee: "U-GAT-IT: Unsupervised Generative Attentional
 * Networks with Adaptive Layer-Instance Normalization for Image-to-Image Translation", 2020), as
 * its PyTorch and TensorFlow implementations compute it, light and full, from PyTorch's tensor
 * names; ugatit_tensorflow.h gives TensorFlow's tensors these.
 *
 *     struct ugatit_shape shape;
 *     if (ugatit_recognise(weights, &shape, &err) == 0)
 *         ugatit_build(weights, &shape, 256, &network, &err);
 *
 * Models are opened through its row in architectures.h. Pure functions of the weights; any thread.
 */
#ifndef DARKROOM_GPU_MODELS_UGATIT_H
#define DARKROOM_GPU_MODELS_UGATIT_H

#include <stdbool.h>
#include <stdint.h>

struct architecture;
struct err;
struct network;
struct weights;

struct ugatit_shape {
    int channels; /* of the first layer: 64 in the paper */
    int blocks;   /* residual blocks on either side of the attention: 4 in the paper */
    bool light;   /* gamma and beta from the global average instead of every pixel */
    int size;     /* full: the side of the only picture that fits; light: 0, any */
    /* Biases everywhere, instance norms with a trained scale and shift, and variances that divide
     * by n. (Its convolutions with stride 2 pad in front only, which gives the same for sizes that
     * are multiples of 4.) */
    bool tensorflow;
};

#define UGATIT_MAX_BLOCKS 16
/* The names are positions in the original's nn.Sequential: paddings and norms count as well. */
#define UGATIT_FIRST_BLOCK 12

/* ERR_NOT_FOUND without a text: these are not a U-GAT-IT generator's tensors. ERR_CORRUPT names
 * the tensor whose shape contradicts the others. */
int ugatit_recognise(const struct weights *weights, struct ugatit_shape *out_shape,
                     struct err *err);

/* `size`: side of the picture, a multiple of 4. The network borrows from `weights`. ERR_CORRUPT
 * names the tensor and both shapes; ERR_INVALID for a size that full weights cannot do. */
int ugatit_build(const struct weights *weights, const struct ugatit_shape *shape, int size,
                 struct network *out_network, struct err *err);

/* Full's first connected layer sees all of [channels,S/4,S/4]: its width tells S; 0: none. */
int ugatit_full_size(int64_t inputs, int64_t channels);

extern const struct architecture architecture_ugatit;

#endif

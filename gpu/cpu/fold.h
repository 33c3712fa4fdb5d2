/* SPDX-License-Identifier: MIT
 *
 * Convolution weights as they are run: channels rounded up to whole blocks, and the layer before
 * folded in where that is exact.
 *
 *     struct folded folded;
 *     rc = fold_conv(layer, cam, &(struct fold){.inputs = 256, .outputs = 256}, &folded);
 *     ... conv_create(…, folded.weights, folded.bias …) ...
 *     fold_fini(&folded);
 *
 * Upsampling folds like this. A picture doubled by nearest neighbour holds each row twice, so of
 * three taps two always fall on the same row of the small picture x:
 *     even rows 2i:   w0 x[i-1] + (w1 + w2) x[i]
 *     odd rows 2i+1:  (w0 + w1) x[i] + w2 x[i+1]
 * and the same across. One convolution over the small picture with four times the outputs, one
 * group for each phase (py, px), computes it with 2x2 taps where 3x3 were. Reflection of the big
 * picture (row -1 is row 1) falls on x[0]: the small one is padded with its edge.
 * Pure functions; any thread. */
#ifndef DARKROOM_GPU_CPU_FOLD_H
#define DARKROOM_GPU_CPU_FOLD_H

#include <stdbool.h>

struct layer;

struct fold {
    int inputs, outputs; /* channels in memory, outputs of one phase: at least the layer's own */
    bool doubled;        /* the input is an upsampled picture */
    bool shape_only;     /* no weights and no bias are wanted */
    bool shuffled;       /* a pixel shuffle follows: outputs 4c + 2i + j are phase (i, j) of c */
};

struct folded {
    int outputs, kernel;  /* with phases: outputs are groups of fold.outputs, py the slower */
    int before;           /* of a transposed convolution: rows and columns of zeros in front */
    const float *weights; /* [outputs][inputs][K][K]: `own`, or the tensor's bytes as they are */
    float *own;           /* owned; NULL where nothing had to be folded */
    float *bias;          /* owned; [outputs]; NULL without */
};

/* `cam`: the attention layer between, or NULL. A layer that upsamples and shuffles at once is not
 * for this. ERR_NOMEM. */
int fold_conv(const struct layer *layer, const struct layer *cam, const struct fold *fold,
              struct folded *out);
/* A transposed convolution of stride s as an ordinary one whose outputs are the s x s phases of
 * each pixel (the sub-pixel convolution of Shi et al., 2016). ERR_NOMEM. */
int fold_deconv(const struct layer *layer, const struct fold *fold, struct folded *out);
void fold_fini(struct folded *folded);

/* For rows.h' conv3: [inputs][kernel x][kernel y][3]; owned by the caller, NULL without memory. */
float *fold_conv3(const struct layer *layer);

#endif

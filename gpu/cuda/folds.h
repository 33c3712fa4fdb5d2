/* SPDX-License-Identifier: MIT
 *
 * The values of a blob on the host, with what is folded in: plain arithmetic, no GPU.
 *
 *     struct fold_values values;
 *     rc = folds_conv(network, blob, &values);
 *     kernel_conv_pack(&shape, &(struct kernel_conv_values){values.weight, values.bias, …}, out);
 *     folds_fini(&values); */
#ifndef DARKROOM_GPU_CUDA_FOLDS_H
#define DARKROOM_GPU_CUDA_FOLDS_H

#include "gpu/cuda/steps.h"

struct fold_values {
    float *weight; /* owned */
    float *bias;   /* owned; NULL: none */
    float *slope;  /* owned; NULL: none */
    int slopes;
};

/* A convolution's weights with the attention before it and the batch norm behind it. ERR_NOMEM. */
int folds_conv(const struct network *network, const struct blob *blob, struct fold_values *out);
void folds_fini(struct fold_values *values);

/* One row of a connected layer's weights, [inputs], with its share of a batch norm. ERR_NOMEM. */
int folds_row(const struct network *network, const struct blob *blob, int64_t row, float *out);

/* BLOB_VECTOR, SLOPE, BIAS, SCALE and SHIFT: blob->count floats. ERR_NOMEM. */
int folds_floats(const struct network *network, const struct blob *blob, float *out);

#endif

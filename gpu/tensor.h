/* SPDX-License-Identifier: MIT
 *
 * A tensor as a value: type, shape, and where its bytes lie.
 *
 *     struct tensor t;
 *     if (weights_find(weights, "conv1x1.bias", &t) == 0) ...   // t.data is borrowed
 *
 * The letters of every shape comment in gpu/:
 *     N  pictures in a batch        C  channels (I in, O out, where a layer has both)
 *     H  rows, W  columns           K  rows and columns of a convolution's kernel
 *     F  features of a fully connected layer
 * Activations are NCHW, convolution weights OIKK, fully connected weights [F out][F in].
 *
 * A tensor never frees: `data` is borrowed from whoever made it. Shapes are positive. */
#ifndef DARKROOM_GPU_TENSOR_H
#define DARKROOM_GPU_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The first four may be a network's weights; files hold the others beside them. */
enum tensor_type {
    TENSOR_F32,
    TENSOR_F16,
    TENSOR_BF16,
    TENSOR_F64,
    TENSOR_I64,
    TENSOR_I32,
    TENSOR_I16,
    TENSOR_I8,
    TENSOR_U8,
    TENSOR_BOOL, /* one byte: zero or not */
    TENSOR_TYPE_COUNT
};

#define TENSOR_MAX_RANK 8

struct tensor {
    enum tensor_type type;
    int rank;                     /* 0 (a scalar) to TENSOR_MAX_RANK */
    int64_t dim[TENSOR_MAX_RANK]; /* slowest first */
    const void *data;             /* borrowed; packed, little endian, perhaps unaligned */
};

size_t tensor_type_size(enum tensor_type type);
const char *tensor_type_name(enum tensor_type type); /* "F32"; static storage */
bool tensor_type_is_weight(enum tensor_type type);   /* F32, F16, BF16, F64 */

/* How many values, respectively bytes. Both fit: whoever fills a tensor has checked that. */
int64_t tensor_count(const struct tensor *tensor);
size_t tensor_bytes(const struct tensor *tensor);

bool tensor_has_shape(const struct tensor *tensor, int rank, const int64_t *dim);

/* "256x512x1x1", or "scalar". */
#define TENSOR_SHAPE_SIZE 176
void tensor_shape_text(int rank, const int64_t *dim, char out[TENSOR_SHAPE_SIZE]);

/* Writes all values as the nearest float; `out` holds tensor_count() of them. */
void tensor_to_f32(const struct tensor *tensor, float *out);
/* The same for `count` values from the index `first` on. */
void tensor_part_to_f32(const struct tensor *tensor, int64_t first, int64_t count, float *out);

/* One half-precision value each; exact. */
float tensor_f16_to_f32(uint16_t bits);
float tensor_bf16_to_f32(uint16_t bits);
/* To the nearest half, ties to even; what is too large becomes infinity. */
uint16_t tensor_f16_from_f32(float value);

/* The nearest, of two equally near the even one. NaN stays NaN, what is too large is infinite. */
uint16_t tensor_f32_to_bf16(float value);

#endif

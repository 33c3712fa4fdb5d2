/* SPDX-License-Identifier: MIT */
#include "gpu/tensor.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

size_t tensor_type_size(enum tensor_type type)
{
    return type == TENSOR_F32 ? 4 : 2;
}

const char *tensor_type_name(enum tensor_type type)
{
    static const char *const names[] = {
        [TENSOR_F32] = "F32", [TENSOR_F16] = "F16", [TENSOR_BF16] = "BF16"};
    return names[type];
}

int64_t tensor_count(const struct tensor *tensor)
{
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->dim[i];
    return count;
}

size_t tensor_bytes(const struct tensor *tensor)
{
    return (size_t)tensor_count(tensor) * tensor_type_size(tensor->type);
}

bool tensor_has_shape(const struct tensor *tensor, int rank, const int64_t *dim)
{
    if (tensor->rank != rank)
        return false;
    for (int i = 0; i < rank; i++)
        if (tensor->dim[i] != dim[i])
            return false;
    return true;
}

void tensor_shape_text(int rank, const int64_t *dim, char out[TENSOR_SHAPE_SIZE])
{
    assert(rank >= 0 && rank <= TENSOR_MAX_RANK);
    size_t used = 0;
    snprintf(out, TENSOR_SHAPE_SIZE, "scalar");
    for (int i = 0; i < rank; i++)
        used += (size_t)snprintf(out + used, TENSOR_SHAPE_SIZE - used, "%s%" PRId64, i ? "x" : "",
                                 dim[i]);
}

float tensor_bf16_to_f32(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
float tensor_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = bits >> 10 & 0x1f;
    uint32_t fraction = bits & 0x3ff;
    uint32_t wide;
    if (exponent == 0x1f) /* infinity, NaN */
        wide = sign | 0x7f800000 | fraction << 13;
    else if (exponent != 0)
        wide = sign | (exponent + 127 - 15) << 23 | fraction << 13;
    else { /* zero, subnormal: a multiple of 2^-24 */
        float small = (float)fraction * 0x1p-24f;
        return sign ? -small : small;
    }
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

void tensor_to_f32(const struct tensor *tensor, float *out)
{
    size_t count = (size_t)tensor_count(tensor);
    const unsigned char *bytes = tensor->data;
    if (tensor->type == TENSOR_F32) {
        memcpy(out, bytes, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        uint16_t bits = (uint16_t)(bytes[2 * i] | bytes[2 * i + 1] << 8);
        out[i] = tensor->type == TENSOR_F16 ? tensor_f16_to_f32(bits) : tensor_bf16_to_f32(bits);
    }
}

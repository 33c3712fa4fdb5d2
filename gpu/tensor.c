/* SPDX-License-Identifier: MIT */
#include "gpu/tensor.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    size_t size;
    bool is_weight;
} types[TENSOR_TYPE_COUNT] = {
    [TENSOR_F32] = {"F32", 4, true},   [TENSOR_F16] = {"F16", 2, true},
    [TENSOR_BF16] = {"BF16", 2, true}, [TENSOR_F64] = {"F64", 8, true},
    [TENSOR_I64] = {"I64", 8, false},  [TENSOR_I32] = {"I32", 4, false},
    [TENSOR_I16] = {"I16", 2, false},  [TENSOR_I8] = {"I8", 1, false},
    [TENSOR_U8] = {"U8", 1, false},    [TENSOR_BOOL] = {"BOOL", 1, false},
};

size_t tensor_type_size(enum tensor_type type)
{
    return types[type].size;
}

const char *tensor_type_name(enum tensor_type type)
{
    return types[type].name;
}

bool tensor_type_is_weight(enum tensor_type type)
{
    return types[type].is_weight;
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

uint16_t tensor_f32_to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) >
        0x7f800000) /* NaN: the bits that stay must not be those of infinity */
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
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

uint16_t tensor_f16_from_f32(float value)
{
    uint32_t wide;
    memcpy(&wide, &value, sizeof wide);
    const uint16_t sign = (uint16_t)(wide >> 16 & 0x8000);
    wide &= 0x7fffffff;
    if (wide > 0x7f800000) /* NaN stays one */
        return sign | 0x7e00;
    if (wide >= 0x477ff000) /* 65520: the half way to what would be 65536 */
        return sign | 0x7c00;
    if (wide < 0x38800000) { /* below 2^-14: a multiple of 2^-24, rounded by the addition */
        float small;
        memcpy(&small, &wide, sizeof small);
        small += 0.5f; /* has a last bit of 2^-24 */
        memcpy(&wide, &small, sizeof wide);
        return sign | (uint16_t)(wide - 0x3f000000);
    }
    wide += 0xfff + (wide >> 13 & 1); /* ties to even; a carry goes on into the exponent */
    return sign | (uint16_t)((wide >> 13) - ((127 - 15) << 10));
}

static uint64_t little_endian(const unsigned char *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

static float value_at(enum tensor_type type, const unsigned char *bytes)
{
    const uint64_t bits = little_endian(bytes, types[type].size);
    double wide;
    switch (type) {
    case TENSOR_F16: return tensor_f16_to_f32((uint16_t)bits);
    case TENSOR_BF16: return tensor_bf16_to_f32((uint16_t)bits);
    case TENSOR_F64: memcpy(&wide, &bits, sizeof wide); return (float)wide;
    case TENSOR_I64: return (float)(int64_t)bits;
    case TENSOR_I32: return (float)(int32_t)bits;
    case TENSOR_I16: return (float)(int16_t)bits;
    case TENSOR_I8: return (float)(int8_t)bits;
    case TENSOR_U8: return (float)bits;
    case TENSOR_BOOL: return bits ? 1.0f : 0.0f;
    case TENSOR_F32: /* copied as it lies */
    case TENSOR_TYPE_COUNT: break;
    }
    return 0;
}

void tensor_part_to_f32(const struct tensor *tensor, int64_t first, int64_t count, float *out)
{
    assert(first >= 0 && count >= 0 && first + count <= tensor_count(tensor));
    const size_t size = tensor_type_size(tensor->type);
    const unsigned char *bytes = (const unsigned char *)tensor->data + (size_t)first * size;
    if (tensor->type == TENSOR_F32) {
        memcpy(out, bytes, (size_t)count * sizeof *out);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        out[i] = value_at(tensor->type, bytes + (size_t)i * size);
}

void tensor_to_f32(const struct tensor *tensor, float *out)
{
    tensor_part_to_f32(tensor, 0, tensor_count(tensor), out);
}

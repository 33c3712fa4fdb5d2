/* SPDX-License-Identifier: MIT
 *
 * Compiled once for each instruction set: meson sets ROWS_TABLE to the table's name and adds the
 * machine flags. Only constants and these functions are in this object file, so that no code of
 * a wide instruction set can end up where it must not run. */
#include "gpu/cpu/rows.h"

#include "gpu/cpu/view.h"

#include <string.h>

/* 16 floats, whatever the machine's registers hold; `loose` may lie anywhere. */
typedef float vec __attribute__((vector_size(64), may_alias));
typedef int mask __attribute__((vector_size(64)));
typedef uint32_t word __attribute__((vector_size(64)));
typedef uint16_t half __attribute__((vector_size(32), may_alias));
typedef float loose __attribute__((vector_size(64), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define AT(pointer) (*(const vec *)(const void *)(pointer))

/* The 16 values of a block of a pixel. */
INLINE void load(const void *from, const bool narrow, vec *out)
{
    if (narrow)
        *out = (vec)(__builtin_convertvector(*(const half *)from, word) << 16);
    else
        *out = AT(from);
}

/* Narrow: to the nearest, of two equally near the even one; NaN stays NaN. */
INLINE void store(const vec *value, void *to, const bool narrow)
{
    if (!narrow) {
        *(vec *)to = *value;
        return;
    }
    const word bits = (word)*value, not_a_number = (word)((bits & 0x7fffffff) > 0x7f800000);
    const word nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    *(half *)to = __builtin_convertvector((nearest & ~not_a_number) | (quiet & not_a_number), half);
}

INLINE void apply_as(const struct row_apply *t, const bool src_narrow, const bool other_narrow,
                     const bool dst_narrow)
{
    const vec scale = AT(t->scale), shift = AT(t->shift), zero = {0};
    const char *src = t->src, *other = t->other;
    char *dst = t->dst;
    for (int x = 0; x < t->n; x++) {
        vec v, added;
        load(src, src_narrow, &v);
        v = v * scale + shift;
        if (t->slope) {
            const mask positive = v > zero;
            const vec negative = v * AT(t->slope);
            v = (vec)(((mask)v & positive) | ((mask)negative & ~positive));
        }
        if (other) {
            load(other, other_narrow, &added);
            v += added;
            other += t->other_pixel * (other_narrow ? 2 : 4);
        }
        store(&v, dst, dst_narrow);
        src += t->src_pixel * (src_narrow ? 2 : 4);
        dst += t->dst_pixel * (dst_narrow ? 2 : 4);
    }
}

static void apply(const struct row_apply *t)
{
    const bool other_narrow = t->other && t->other_type == TENSOR_BF16;
    const bool src_narrow = t->src_type == TENSOR_BF16, dst_narrow = t->dst_type == TENSOR_BF16;
    switch (src_narrow * 4 + other_narrow * 2 + dst_narrow) {
    case 0: apply_as(t, false, false, false); break;
    case 1: apply_as(t, false, false, true); break;
    case 2: apply_as(t, false, true, false); break;
    case 3: apply_as(t, false, true, true); break;
    case 4: apply_as(t, true, false, false); break;
    case 5: apply_as(t, true, false, true); break;
    case 6: apply_as(t, true, true, false); break;
    default: apply_as(t, true, true, true);
    }
}

static void moments(const float *src, int64_t pixel, int n, const float *origin, double *sum,
                    double *squares)
{
    const vec o = AT(origin);
    vec s0 = {0}, s1 = {0}, q0 = {0}, q1 = {0};
    int x = 0;
    for (; x + 2 <= n; x += 2) {
        vec a = AT(src + x * pixel) - o, b = AT(src + (x + 1) * pixel) - o;
        s0 += a;
        s1 += b;
        q0 += a * a;
        q1 += b * b;
    }
    if (x < n) {
        vec a = AT(src + x * pixel) - o;
        s0 += a;
        q0 += a * a;
    }
    s0 += s1;
    q0 += q1;
    for (int c = 0; c < VIEW_BLOCK; c++) {
        sum[c] += (double)s0[c];
        squares[c] += (double)q0[c];
    }
}

/* A step holds all rows of the picture that it needs in registers: with 6 rows of output and a
 * kernel of 7 there are 12, beside 18 sums, and each weight is fetched once for 6 uses. */
INLINE void conv3_rows(const struct row_conv *t, const int rows, const int k)
{
    vec sum[ROWS_CONV_ROWS][3] = {0};
    const float *weight = t->weight;
    for (int c = 0; c < t->inputs; c++)
        for (int kx = 0; kx < k; kx++, weight += 3 * k) {
            const float *src = t->src + c * t->plane + kx;
            vec v[ROWS_CONV_ROWS + ROWS_CONV_KERNEL - 1];
            /* The next plane's rows lie too far away for the processor to foresee. */
            if (kx == 0)
                for (int y = 0; y < rows + k - 1; y++)
                    __builtin_prefetch(src + t->plane + y * t->row + ROWS_CONV_PIXELS);
#pragma GCC unroll 12
            for (int y = 0; y < rows + k - 1; y++)
                v[y] = *(const loose *)(const void *)(src + y * t->row);
#pragma GCC unroll 7
            for (int ky = 0; ky < k; ky++)
#pragma GCC unroll 3
                for (int o = 0; o < 3; o++) {
                    const vec w = weight[3 * ky + o] - (vec){0};
#pragma GCC unroll 6
                    for (int y = 0; y < rows; y++)
                        sum[y][o] += v[y + ky] * w; /* cppcheck-suppress uninitvar */
                }
        }
    for (int y = 0; y < rows; y++)
        for (int o = 0; o < 3; o++)
            *(loose *)(void *)(t->dst[o] + y * t->dst_row) = sum[y][o];
}

static void conv3(const struct row_conv *t)
{
    if (t->rows == ROWS_CONV_ROWS && t->kernel == ROWS_CONV_KERNEL) {
        conv3_rows(t, ROWS_CONV_ROWS, ROWS_CONV_KERNEL);
        return;
    }
    for (int y = 0; y < t->rows; y++) {
        struct row_conv one = *t;
        one.src += y * t->row;
        for (int o = 0; o < 3; o++)
            one.dst[o] += y * t->dst_row;
        conv3_rows(&one, 1, t->kernel);
    }
}

/* 16 values of any type as floats. Half precision by moving its exponent and fraction to where
 * float has them, times the ratio of the biases: exact, subnormals included. */
INLINE void widen(enum tensor_type type, const unsigned char *from, vec *out)
{
    if (type == TENSOR_F32) {
        memcpy(out, from, sizeof *out);
        return;
    }
    half narrow;
    memcpy(&narrow, from, sizeof narrow);
    const word bits = __builtin_convertvector(narrow, word);
    if (type == TENSOR_BF16) {
        *out = (vec)(bits << 16);
        return;
    }
    const word rest = (bits & 0x7fff) << 13;
    const vec value = (vec)rest * 0x1p112f;
    const word special = (word)(rest >= 0x0f800000) & 0x7f800000; /* infinity, NaN */
    *out = (vec)((word)value | special | (bits & 0x8000) << 16);
}

INLINE float dot_of(enum tensor_type type, size_t size, const unsigned char *a, const float *b,
                    int64_t n)
{
    vec sums[2] = {0}, x, y;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
        for (int half_of = 0; half_of < 2; half_of++) {
            const int64_t at = i + 16 * half_of;
            widen(type, a + (size_t)at * size, &x);
            memcpy(&y, b + at, sizeof y);
            sums[half_of] += x * y;
        }
    for (; i < n; i += 16) {
        const size_t part = (size_t)(n - i < 16 ? n - i : 16);
        unsigned char rest[sizeof x] = {0};
        y = (vec){0};
        memcpy(rest, a + (size_t)i * size, part * size);
        memcpy(&y, b + i, part * sizeof *b);
        widen(type, rest, &x);
        sums[0] += x * y;
    }
    sums[0] += sums[1];
    float sum = 0;
    for (int c = 0; c < 16; c++)
        sum += sums[0][c];
    return sum;
}

/* Rare enough to stay simple. */
static float dot_of_doubles(const unsigned char *a, const float *b, int64_t n)
{
    double sum = 0, x;
    for (int64_t i = 0; i < n; i++) {
        memcpy(&x, a + (size_t)i * sizeof x, sizeof x);
        sum += x * (double)b[i];
    }
    return (float)sum;
}

static float dot(enum tensor_type type, const void *a, const float *b, int64_t n)
{
    switch (type) {
    case TENSOR_F32: return dot_of(TENSOR_F32, 4, a, b, n);
    case TENSOR_F16: return dot_of(TENSOR_F16, 2, a, b, n);
    case TENSOR_BF16: return dot_of(TENSOR_BF16, 2, a, b, n);
    case TENSOR_F64: return dot_of_doubles(a, b, n);
    case TENSOR_I64: /* no weights: refused where networks are built */
    case TENSOR_I32:
    case TENSOR_I16:
    case TENSOR_I8:
    case TENSOR_U8:
    case TENSOR_BOOL:
    case TENSOR_TYPE_COUNT: break;
    }
    return 0;
}

/* exp(y) for y in [-20, 20]: 2^n times a polynomial on [-ln2/2, ln2/2]; relative error 2e-7. */
INLINE void exponential(vec *y)
{
    const vec shift = (vec){0} + 0x1.8p23f; /* adding it rounds to a whole number */
    const vec n = (*y * 1.44269504f + shift) - shift;
    const vec r = (*y - n * 0.693359375f) + n * 2.12194440e-4f; /* ln2 in two parts */
    vec p = r * (1.0f / 720) + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const mask power = (__builtin_convertvector(n, mask) + 127) << 23;
    *y = p * (vec)power;
}

/* tanh(x) = 1 - 2 / (exp(2x) + 1): absolute error below 2e-7, which is what an output needs. */
static bool hyperbolic_tangent(const float *in, float *out, int64_t n)
{
    mask bad = {0};
    for (int64_t i = 0; i < n; i += 16) {
        const int64_t part = n - i < 16 ? n - i : 16;
        vec x = {0};
        memcpy(&x, in + i, (size_t)part * sizeof *in);
        const vec difference = x - x; /* not 0 for NaN and infinity */
        bad |= difference != (vec){0};
        const vec limit = (vec){0} + 10.0f;
        x = (vec)(((mask)x & (x < limit)) | ((mask)limit & (x >= limit)));
        x = (vec)(((mask)x & (x > -limit)) | ((mask)-limit & (x <= -limit)));
        x += x;
        exponential(&x);
        x = 1.0f - 2.0f / (x + 1.0f);
        memcpy(out + i, &x, (size_t)part * sizeof *out);
    }
    int any = 0;
    for (int c = 0; c < 16; c++)
        any |= bad[c];
    return any == 0;
}

const struct row_functions ROWS_TABLE = {apply, moments, conv3, dot, hyperbolic_tangent};

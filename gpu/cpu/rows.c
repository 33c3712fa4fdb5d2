/* SPDX-License-Identifier: MIT
 *
 * Compiled once for each instruction set: meson sets ROWS_TABLE to the table's name and adds the
 * machine flags. Only constants and these functions are in this object file, so that no code of
 * a wide instruction set can end up where it must not run. */
#include "gpu/cpu/rows.h"

#include "gpu/cpu/view.h"

/* 16 floats, whatever the machine's registers hold; `loose` may lie anywhere. */
typedef float vec __attribute__((vector_size(64), may_alias));
typedef int mask __attribute__((vector_size(64)));
typedef float loose __attribute__((vector_size(64), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define AT(pointer) (*(const vec *)(const void *)(pointer))

static void apply(const struct row_apply *t)
{
    const vec scale = AT(t->scale), shift = AT(t->shift), zero = {0};
    const float *src = t->src, *other = t->other;
    float *dst = t->dst;
    for (int x = 0; x < t->n; x++) {
        vec v = AT(src) * scale + shift;
        if (t->relu)
            v = (vec)((mask)v & (v > zero));
        if (other) {
            v += AT(other);
            other += t->other_pixel;
        }
        *(vec *)(void *)dst = v;
        src += t->src_pixel;
        dst += t->dst_pixel;
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

/* Each loaded row of the picture serves every row of the output that it touches: with 6 rows and
 * a kernel of 7, 12 loads feed 126 multiply-adds. 18 sums stay in registers. */
INLINE void conv3_rows(const struct row_conv *t, const int rows, const int k)
{
    vec sum[ROWS_CONV_ROWS][3] = {0};
    const float *weight = t->weight;
    for (int c = 0; c < t->inputs; c++)
        for (int kx = 0; kx < k; kx++, weight += 3 * k) {
            const float *src = t->src + c * t->plane + kx;
#pragma GCC unroll 12
            for (int sy = 0; sy < rows + k - 1; sy++) {
                const vec v = *(const loose *)(const void *)(src + sy * t->row);
#pragma GCC unroll 6
                for (int y = 0; y < rows; y++) {
                    const int ky = sy - y;
                    if (ky < 0 || ky >= k)
                        continue;
                    sum[y][0] += v * weight[3 * ky];
                    sum[y][1] += v * weight[3 * ky + 1];
                    sum[y][2] += v * weight[3 * ky + 2];
                }
            }
        }
    for (int y = 0; y < rows; y++)
        for (int o = 0; o < 3; o++)
            *(loose *)(void *)(t->dst[o] + y * t->dst_row) = sum[y][o];
}

static void conv3(const struct row_conv *t)
{
    if (t->rows == ROWS_CONV_ROWS && t->kernel == 7) {
        conv3_rows(t, ROWS_CONV_ROWS, 7);
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

static float dot(const float *a, const float *b, int64_t n)
{
    vec s0 = {0}, s1 = {0};
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        s0 += *(const loose *)(const void *)(a + i) * *(const loose *)(const void *)(b + i);
        s1 +=
            *(const loose *)(const void *)(a + i + 16) * *(const loose *)(const void *)(b + i + 16);
    }
    s0 += s1;
    float sum = 0;
    for (int c = 0; c < 16; c++)
        sum += s0[c];
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

const struct row_functions ROWS_TABLE = {apply, moments, conv3, dot};

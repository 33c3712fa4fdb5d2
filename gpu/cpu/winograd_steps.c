/* SPDX-License-Identifier: MIT
 *
 * Compiled once for each instruction set, as rows.c: meson sets WINOGRAD_TABLE to the table's name.
 */
#include "gpu/cpu/winograd_steps.h"

#include "gpu/cpu/view.h"

#include <stddef.h>

/* 16 floats, whatever the machine's registers hold. */
typedef float vec __attribute__((vector_size(64), may_alias));
typedef int mask __attribute__((vector_size(64)));

#define INLINE static inline __attribute__((always_inline))
#define AT(pointer) (*(const vec *)(const void *)(pointer))
#define PUT(pointer) (*(vec *)(void *)(pointer))

enum { IN = WINOGRAD_INPUT, OUT = WINOGRAD_OUTPUT };

/* The points but for 0 and infinity: see the header. */
#define P_OF(doubled) ((doubled) ? 1.0f : 0.625f)
#define Q 1.5f

/* B^T of one column or row; of a doubled one the product of -p is left out. */
INLINE void transform_in(const vec x[IN], vec out[IN], const bool doubled)
{
    const float p = P_OF(doubled), pp = p * p, qq = Q * Q;
    const vec even = x[4] - qq * x[2], odd = p * (x[3] - qq * x[1]);
    const vec even_q = x[4] - pp * x[2], odd_q = Q * (x[3] - pp * x[1]);
    int i = 0;
    out[i++] = x[4] + (pp * qq * x[0] - (pp + qq) * x[2]);
    out[i++] = even + odd;
    if (!doubled)
        out[i++] = even - odd;
    out[i++] = even_q + odd_q;
    out[i++] = even_q - odd_q;
    out[i++] = x[5] + (pp * qq * x[1] - (pp + qq) * x[3]);
}

/* A^T of one column or row. */
INLINE void transform_out(const vec m[IN], vec out[OUT], const bool doubled)
{
    const float p = P_OF(doubled), pp = p * p, qq = Q * Q;
    const int last = doubled ? 4 : 5;
    vec sum = m[1], difference = m[1];
    if (!doubled) {
        sum = m[1] + m[2];
        difference = m[1] - m[2];
    }
    const vec sum_q = m[last - 2] + m[last - 1], difference_q = m[last - 2] - m[last - 1];
    out[0] = m[0] + sum + sum_q;
    out[1] = p * difference + Q * difference_q;
    out[2] = pp * sum + qq * sum_q;
    out[3] = m[last] + (pp * p * difference + qq * Q * difference_q);
}

/* G of one column or row. */
INLINE void transform_weights(const vec g[3], vec out[IN], const bool doubled)
{
    const float p = P_OF(doubled), pp = p * p, qq = Q * Q;
    const float at_p = 1 / (2 * pp * (pp - qq)), at_q = 1 / (2 * qq * (qq - pp));
    const vec even = at_p * g[0] + at_p * pp * g[2], odd = at_p * p * g[1];
    const vec even_q = at_q * g[0] + at_q * qq * g[2], odd_q = at_q * Q * g[1];
    int i = 0;
    out[i++] = g[0] * (1 / (pp * qq));
    out[i++] = even + odd;
    if (!doubled)
        out[i++] = even - odd;
    out[i++] = even_q + odd_q;
    out[i++] = even_q - odd_q;
    out[i++] = g[2];
}

/* A value of the picture with what is still to be applied. */
INLINE void finish(const struct winograd_load *t, int y, int x, vec *out)
{
    const vec zero = {0};
    *out = zero;
    if (!t->row[y] || t->column[x] < 0)
        return;
    vec v = AT(t->row[y] + t->column[x]);
    if (t->scale)
        v = v * AT(t->scale) + AT(t->shift);
    if (t->slope) {
        const mask positive = v > zero;
        const vec negative = v * AT(t->slope);
        v = (vec)(((mask)v & positive) | ((mask)negative & ~positive));
    }
    *out = v;
}

INLINE void load_as(const struct winograd_load *t, const bool doubled)
{
    const int points = doubled ? IN - 1 : IN;
    vec columns[IN][IN];
#pragma GCC unroll 6
    for (int x = 0; x < IN; x++) {
        vec d[IN], out[IN];
#pragma GCC unroll 6
        for (int y = 0; y < IN; y++)
            finish(t, y, x, &d[y]);
        transform_in(d, out, doubled);
#pragma GCC unroll 6
        for (int i = 0; i < points; i++)
            columns[i][x] = out[i];
    }
#pragma GCC unroll 6
    for (int i = 0; i < points; i++) {
        vec out[IN];
        transform_in(columns[i], out, doubled);
#pragma GCC unroll 6
        for (int j = 0; j < points; j++)
            PUT(t->out + (i * points + j) * t->point) = out[j];
    }
}

static void load(const struct winograd_load *t)
{
    if (t->doubled)
        load_as(t, true);
    else
        load_as(t, false);
}

/* All sums stay in registers; each weight is fetched once for 16 uses. */
static void multiply(const struct winograd_multiply *t)
{
    vec sum[WINOGRAD_TILES] = {0};
    const float *in = t->in, *weight = t->weight;
    for (int k = 0; k < t->channels; k += VIEW_BLOCK, in += WINOGRAD_TILES * VIEW_BLOCK) {
#pragma GCC unroll 16
        for (int i = 0; i < VIEW_BLOCK; i++, weight += VIEW_BLOCK) {
            const vec w = AT(weight);
#pragma GCC unroll 16
            for (int tile = 0; tile < WINOGRAD_TILES; tile++)
                sum[tile] += in[tile * VIEW_BLOCK + i] * w;
        }
    }
#pragma GCC unroll 16
    for (int tile = 0; tile < WINOGRAD_TILES; tile++)
        PUT(t->out + tile * VIEW_BLOCK) = sum[tile];
}

/* Sum, and squares around the tile's own mean: exact enough in floats, as it is a few values. */
INLINE void add_moments(const struct winograd_store *t, vec y[OUT][OUT], int rows, int columns)
{
    const float n = (float)(rows * columns);
    vec sum = {0}, squares = {0};
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            sum += y[i][j];
    const vec mean = sum * (1 / n);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            squares += (y[i][j] - mean) * (y[i][j] - mean);
    for (int c = 0; c < VIEW_BLOCK; c++) {
        const double s = (double)sum[c];
        t->sum[c] += s;
        t->squares[c] += (double)squares[c] + s * s / (double)n;
    }
}

INLINE void store_as(const struct winograd_store *t, const bool doubled)
{
    const int points = doubled ? IN - 1 : IN;
    const vec bias = AT(t->bias), zero = {0};
    vec columns[OUT][IN], y[OUT][OUT];
#pragma GCC unroll 6
    for (int j = 0; j < points; j++) {
        vec m[IN], out[OUT];
#pragma GCC unroll 6
        for (int i = 0; i < points; i++)
            m[i] = AT(t->in + (i * points + j) * t->point);
        transform_out(m, out, doubled);
#pragma GCC unroll 4
        for (int i = 0; i < OUT; i++)
            columns[i][j] = out[i];
    }
#pragma GCC unroll 4
    for (int i = 0; i < OUT; i++) {
        transform_out(columns[i], y[i], doubled);
#pragma GCC unroll 4
        for (int j = 0; j < OUT; j++) {
            y[i][j] += bias;
            if (t->relu)
                y[i][j] = (vec)((mask)y[i][j] & ~(y[i][j] < zero));
        }
    }
    if (t->rows == OUT && t->columns == OUT) {
#pragma GCC unroll 4
        for (int i = 0; i < OUT; i++)
#pragma GCC unroll 4
            for (int j = 0; j < OUT; j++)
                PUT(t->dst + i * t->row + j * t->pixel) = y[i][j];
        add_moments(t, y, OUT, OUT);
        return;
    }
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->columns; j++)
            PUT(t->dst + i * t->row + j * t->pixel) = y[i][j];
    add_moments(t, y, t->rows, t->columns);
}

static void store(const struct winograd_store *t)
{
    if (t->doubled)
        store_as(t, true);
    else
        store_as(t, false);
}

INLINE void weights_as(const float *kernels, int64_t stride, float *out, int64_t point,
                       const bool doubled)
{
    const int points = doubled ? IN - 1 : IN;
    float taps[9][VIEW_BLOCK] __attribute__((aligned(64)));
    vec rows[IN][3];
    for (int o = 0; o < VIEW_BLOCK; o++)
        for (int i = 0; i < 9; i++)
            taps[i][o] = kernels[o * stride + i];
    for (int x = 0; x < 3; x++) {
        vec g[3] = {AT(taps[x]), AT(taps[3 + x]), AT(taps[6 + x])}, made[IN];
        transform_weights(g, made, doubled);
        for (int i = 0; i < points; i++)
            rows[i][x] = made[i];
    }
    for (int i = 0; i < points; i++) {
        vec made[IN];
        transform_weights(rows[i], made, doubled);
        for (int j = 0; j < points; j++)
            PUT(out + (i * points + j) * point) = made[j];
    }
}

static void weights(const float *kernels, int64_t stride, bool doubled, float *out, int64_t point)
{
    if (doubled)
        weights_as(kernels, stride, out, point, true);
    else
        weights_as(kernels, stride, out, point, false);
}

const struct winograd_steps WINOGRAD_TABLE = {load, multiply, store, weights};

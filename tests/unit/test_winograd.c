/* SPDX-License-Identifier: MIT
 *
 * Winograd's three steps on one tile, with each instruction set that this machine has, against the
 * nine products and sums that they stand for. */
#include "gpu/cpu/isa.h"
#include "gpu/cpu/view.h"
#include "gpu/cpu/winograd_steps.h"
#include "tests/unit/check.h"

#include <math.h>

enum {
    IN = WINOGRAD_INPUT,
    OUT = WINOGRAD_OUTPUT,
    CHANNELS = 32,
    BLOCKS = CHANNELS / VIEW_BLOCK,
    POINTS = IN * IN,
    TILE_VALUES = WINOGRAD_TILES * VIEW_BLOCK
};

#define ALIGNED __attribute__((aligned(64)))

/* The input [IN][IN][CHANNELS], one kernel of every channel for each of 16 outputs. */
static float input[IN * IN * CHANNELS] ALIGNED, kernels[VIEW_BLOCK * CHANNELS * 9] ALIGNED;
static float scale[CHANNELS] ALIGNED, shift[CHANNELS] ALIGNED, slope[CHANNELS] ALIGNED;
static float bias[VIEW_BLOCK] ALIGNED;
static float points[POINTS * CHANNELS * WINOGRAD_TILES] ALIGNED;
static float weights[POINTS * CHANNELS * VIEW_BLOCK] ALIGNED;
static float products[POINTS * TILE_VALUES] ALIGNED, got[OUT * OUT * VIEW_BLOCK] ALIGNED;

struct variant {
    bool doubled, pending, border, relu;
    int rows, columns;
};

static void fill(float *values, int count, unsigned seed)
{
    for (int i = 0; i < count; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
}

static void fill_all(void)
{
    fill(input, IN * IN * CHANNELS, 1);
    fill(kernels, VIEW_BLOCK * CHANNELS * 9, 2);
    fill(scale, CHANNELS, 3);
    fill(shift, CHANNELS, 4);
    fill(slope, CHANNELS, 5);
    fill(bias, VIEW_BLOCK, 6);
}

/* Which pixel of the input a tile's row or column shows: in pairs where it is doubled, and none in
 * front where there is a border of zeros. */
static int shown(const struct variant *v, int i)
{
    if (v->border && i == 0)
        return -1;
    return v->doubled ? (i + 1) / 2 : i;
}

static double value_at(const struct variant *v, int y, int x, int c)
{
    const int row = shown(v, y), column = shown(v, x);
    if (row < 0 || column < 0)
        return 0;
    double value = (double)input[(row * IN + column) * CHANNELS + c];
    if (!v->pending)
        return value;
    value = value * (double)scale[c] + (double)shift[c];
    return value > 0 ? value : value * (double)slope[c];
}

static double directly(const struct variant *v, int o, int y, int x)
{
    double sum = (double)bias[o];
    for (int c = 0; c < CHANNELS; c++)
        for (int t = 0; t < 9; t++)
            sum +=
                (double)kernels[(o * CHANNELS + c) * 9 + t] * value_at(v, y + t / 3, x + t % 3, c);
    return v->relu && sum < 0 ? 0 : sum;
}

/* The tile's place among 16 is `tile`. */
static void by_steps(const struct winograd_steps *s, const struct variant *v, int tile, double *sum,
                     double *squares)
{
    const int side = IN - v->doubled, count = side * side;
    struct winograd_load load = {.point = BLOCKS * TILE_VALUES, .doubled = v->doubled};
    for (int c = 0; c < CHANNELS; c++)
        s->weights(kernels + c * 9, CHANNELS * 9, v->doubled, weights + c * VIEW_BLOCK,
                   CHANNELS * VIEW_BLOCK);
    for (int b = 0; b < BLOCKS; b++) {
        for (int i = 0; i < IN; i++) {
            const int at = shown(v, i);
            load.row[i] = at < 0 ? NULL : input + at * IN * CHANNELS + b * VIEW_BLOCK;
            load.column[i] = at < 0 ? -1 : at * CHANNELS;
        }
        load.scale = v->pending ? scale + b * VIEW_BLOCK : NULL;
        load.shift = v->pending ? shift + b * VIEW_BLOCK : NULL;
        load.slope = v->pending ? slope + b * VIEW_BLOCK : NULL;
        load.out = points + b * TILE_VALUES + tile * VIEW_BLOCK;
        s->load(&load);
    }
    for (int p = 0; p < count; p++)
        s->multiply(&(struct winograd_multiply){
            .in = points + p * BLOCKS * TILE_VALUES,
            .weight = weights + p * CHANNELS * VIEW_BLOCK,
            .channels = CHANNELS,
            .out = products + p * TILE_VALUES,
        });
    s->store(&(struct winograd_store){
        .in = products + tile * VIEW_BLOCK,
        .point = TILE_VALUES,
        .bias = bias,
        .dst = got,
        .row = OUT * VIEW_BLOCK,
        .pixel = VIEW_BLOCK,
        .rows = v->rows,
        .columns = v->columns,
        .sum = sum,
        .squares = squares,
        .doubled = v->doubled,
        .relu = v->relu,
    });
}

static void check_table(const struct winograd_steps *s, const struct variant *v)
{
    double sum[VIEW_BLOCK] = {0}, squares[VIEW_BLOCK] = {0}, worst = 0;
    const double n = v->rows * v->columns;
    memset(got, 0x7f, sizeof got);
    const float untouched = got[0];
    by_steps(s, v, 5, sum, squares);
    for (int o = 0; o < VIEW_BLOCK; o++) {
        double mean = 0, around = 0;
        for (int y = 0; y < OUT; y++)
            for (int x = 0; x < OUT; x++) {
                const float value = got[(y * OUT + x) * VIEW_BLOCK + o];
                if (y >= v->rows || x >= v->columns) {
                    CHECK(value == untouched);
                    continue;
                }
                worst = fmax(worst, fabs((double)value - directly(v, o, y, x)));
                mean += (double)value / n;
            }
        for (int y = 0; y < v->rows; y++)
            for (int x = 0; x < v->columns; x++)
                around += pow((double)got[(y * OUT + x) * VIEW_BLOCK + o] - mean, 2);
        CHECK(fabs(sum[o] / n - mean) < 1e-5);
        CHECK(fabs(squares[o] - sum[o] * sum[o] / n - around) < 1e-3 * fmax(1, around));
    }
    CHECK(worst < 1e-4);
}

static void check_variant(struct variant v)
{
    fill_all();
    check_table(&winograd_plain, &v);
#if defined __x86_64__
    if (isa_vectors() >= ISA_AVX2)
        check_table(&winograd_avx2, &v);
    if (isa_vectors() >= ISA_AVX512)
        check_table(&winograd_avx512, &v);
#endif
}

static void a_tile_equals_its_products_and_sums(void)
{
    check_variant((struct variant){.rows = 4, .columns = 4});
    check_variant((struct variant){.rows = 4, .columns = 4, .relu = true});
}

static void norm_and_slope_are_applied_while_loading(void)
{
    check_variant((struct variant){.rows = 4, .columns = 4, .pending = true});
    /* Zeros around the picture are zeros behind its norm. */
    check_variant((struct variant){.rows = 4, .columns = 4, .pending = true, .border = true});
}

static void a_doubled_picture_needs_fewer_products(void)
{
    check_variant((struct variant){.rows = 4, .columns = 4, .doubled = true});
    check_variant((struct variant){.rows = 4, .columns = 4, .doubled = true, .pending = true});
}

static void what_sticks_out_is_not_written(void)
{
    for (int rows = 1; rows <= 4; rows++)
        for (int columns = 1; columns <= 4; columns++)
            check_variant((struct variant){.rows = rows, .columns = columns});
}

static void nan_and_infinity_stay(void)
{
    const struct variant v = {.rows = 4, .columns = 4, .relu = true};
    const float bad[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        double sum[VIEW_BLOCK] = {0}, squares[VIEW_BLOCK] = {0};
        fill_all();
        input[2 * IN * CHANNELS + 2 * CHANNELS] = bad[i];
        by_steps(winograd_steps(), &v, 0, sum, squares);
        CHECK(!isfinite(squares[0]));
    }
}

int main(void)
{
    RUN(a_tile_equals_its_products_and_sums);
    RUN(norm_and_slope_are_applied_while_loading);
    RUN(a_doubled_picture_needs_fewer_products);
    RUN(what_sticks_out_is_not_written);
    RUN(nan_and_infinity_stay);
    return check_report();
}

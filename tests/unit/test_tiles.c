/* SPDX-License-Identifier: MIT
 *
 * Convolutions by tiles: every block kernel that runs here, and AMX's with its instructions
 * computed in C, against the sum as it is defined. */
#include "gpu/cpu/tiles/tile_conv.h"

#include "gpu/tensor.h"
#include "tests/unit/check.h"

#include <math.h>
#include <omp.h>

extern const struct tile_functions tiles_amx_emulated;

struct shape {
    int inputs, outputs, h, w, kernel, stride;
    bool relu, phases;
};

/* Widths that fill no tile, a tile and a bit, two; runs that fill no tile of depth. */
static const struct shape shapes[] = {
    {16, 16, 5, 7, 3, 1, false, false},   {32, 32, 6, 18, 3, 1, true, false},
    {48, 48, 11, 35, 3, 1, false, false}, {3, 64, 14, 41, 7, 1, false, false},
    {5, 16, 11, 23, 9, 1, false, false},  {64, 80, 13, 37, 3, 2, true, false},
    {32, 128, 10, 20, 2, 1, false, true}, {16, 64, 8, 66, 2, 1, false, true},
    {96, 32, 3, 40, 1, 1, true, false},   {1, 16, 9, 9, 3, 1, false, false},
};

#define SHAPES ((int)(sizeof shapes / sizeof *shapes))

struct picture {
    struct tile_conv *conv;
    uint16_t *src;
    float *weights, *bias, *dst;
    struct tile_part *parts;
    size_t values; /* of dst */
};

static uint32_t seed;

static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / 8388608.0f - 1.0f;
}

static void *allocate(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    CHECK(memory != NULL);
    memset(memory, 0xff, (bytes + 63) / 64 * 64); /* NaN: nobody may count it */
    return memory;
}

static struct picture make(const struct shape *s, const struct tile_functions *f)
{
    struct picture p = {0};
    const struct tile_conv_spec spec = {s->inputs, s->outputs, s->h,    s->w,
                                        s->kernel, s->stride,  s->relu, s->phases};
    const size_t count = (size_t)(s->outputs * s->inputs * s->kernel * s->kernel);
    const size_t pixels = (size_t)(s->h * s->w * s->inputs);
    seed = 7;
    p.weights = allocate(count * sizeof *p.weights);
    p.bias = allocate((size_t)s->outputs * sizeof *p.bias);
    p.src = allocate((pixels + TILE_CONV_SLACK) * sizeof *p.src);
    /* Taps of nothing, as a transposed convolution has them, and an output without any weights. */
    for (size_t i = 0; i < count; i++) {
        const size_t tap = i % (size_t)(s->kernel * s->kernel);
        p.weights[i] = s->phases && tap % 4 == 3 ? 0 : noise();
    }
    if (s->outputs > 64)
        memset(p.weights, 0, count / (size_t)s->outputs * 32 * sizeof *p.weights);
    for (int i = 0; i < s->outputs; i++)
        p.bias[i] = noise();
    for (size_t i = 0; i < pixels; i++)
        p.src[i] = tensor_f32_to_bf16(noise() + 0.25f);
    memset(p.src + pixels, 0, TILE_CONV_SLACK * sizeof *p.src);
    CHECK_INT(tile_conv_create(&spec, f, p.weights, p.bias, &p.conv), 0);
    p.values = (size_t)(p.conv->out_h * p.conv->out_w * s->outputs);
    p.dst = allocate(p.values * sizeof *p.dst);
    p.parts = allocate(tile_conv_parts(p.conv) * sizeof *p.parts);
    return p;
}

static void drop(struct picture *p)
{
    tile_conv_destroy(&p->conv);
    free(p->weights);
    free(p->bias);
    free(p->src);
    free(p->dst);
    free(p->parts);
}

static double rounded(float value)
{
    return (double)tensor_bf16_to_f32(tensor_f32_to_bf16(value));
}

/* Output o of pixel (y, x) as it is defined, and the sum of the magnitudes that it is made of. */
static double defined(const struct picture *p, int o, int y, int x, double *magnitude)
{
    const struct tile_conv_spec *s = &p->conv->spec;
    double sum = (double)p->bias[o];
    *magnitude = fabs(sum);
    for (int ky = 0; ky < s->kernel; ky++)
        for (int kx = 0; kx < s->kernel; kx++)
            for (int i = 0; i < s->inputs; i++) {
                const uint16_t *at =
                    p->src + ((y * s->stride + ky) * s->w + x * s->stride + kx) * s->inputs + i;
                const double product =
                    (double)tensor_bf16_to_f32(*at) *
                    rounded(p->weights[((o * s->inputs + i) * s->kernel + ky) * s->kernel + kx]);
                sum += product;
                *magnitude += fabs(product);
            }
    return s->relu && sum < 0 ? 0 : sum;
}

static float *at(const struct picture *p, int o, int y, int x)
{
    return p->dst + ((int64_t)(o / 16 * p->conv->out_h + y) * p->conv->out_w + x) * 16 + o % 16;
}

static void check_values(const struct tile_functions *f)
{
    for (int i = 0; i < SHAPES; i++) {
        struct picture p = make(&shapes[i], f);
        tile_conv_run(p.conv, p.src, p.dst, NULL);
        double worst = 0;
        for (int o = 0; o < shapes[i].outputs; o++)
            for (int y = 0; y < p.conv->out_h; y++)
                for (int x = 0; x < p.conv->out_w; x++) {
                    double magnitude, want = defined(&p, o, y, x, &magnitude);
                    double off = fabs((double)*at(&p, o, y, x) - want) / magnitude;
                    worst = off >= 0 && off < worst ? worst : off;
                }
        if (!(worst < 1e-6))
            printf("# %s, shape %d: %g\n", f->name, i, worst);
        CHECK(worst < 1e-6);
        drop(&p);
    }
}

/* With the moments taken from the result, channel by channel and phase by phase. */
static void check_moments(const struct tile_functions *f)
{
    for (int i = 0; i < SHAPES; i++) {
        struct picture p = make(&shapes[i], f);
        struct moments out[128];
        tile_conv_run(p.conv, p.src, p.dst, p.parts);
        tile_conv_moments(p.conv, p.parts, out);
        const int groups = shapes[i].phases ? 4 : 1, own = shapes[i].outputs / groups;
        const int cut = shapes[i].phases ? 1 : 0; /* rows and columns that a phase does not have */
        for (int c = 0; c < own; c++) {
            double sum = 0, squares = 0, n = 0;
            for (int g = 0; g < groups; g++)
                for (int y = g / 2; y < p.conv->out_h - cut + g / 2; y++)
                    for (int x = g % 2; x < p.conv->out_w - cut + g % 2; x++) {
                        const double value = (double)*at(&p, g * own + c, y, x);
                        sum += value;
                        squares += value * value;
                        n++;
                    }
            const double mean = sum / n;
            CHECK(fabs(out[c].mean - mean) < 1e-4);
            CHECK(fabs(out[c].squares - (squares - n * mean * mean)) < 1e-5 * squares + 1e-5);
        }
        drop(&p);
    }
}

static void check_threads(const struct tile_functions *f)
{
    for (int i = 0; i < SHAPES; i++) {
        struct picture one = make(&shapes[i], f), many = make(&shapes[i], f);
        omp_set_num_threads(1);
        tile_conv_run(one.conv, one.src, one.dst, one.parts);
        omp_set_num_threads(3);
        tile_conv_run(many.conv, many.src, many.dst, many.parts);
        CHECK(memcmp(one.dst, many.dst, one.values * sizeof *one.dst) == 0);
        CHECK(memcmp(one.parts, many.parts, tile_conv_parts(one.conv) * sizeof *one.parts) == 0);
        drop(&one);
        drop(&many);
    }
}

static void each(void (*check)(const struct tile_functions *))
{
    const struct tile_functions *all[TILES_MAX_FUNCTIONS];
    const int count = tiles_available(all);
    omp_set_num_threads(2);
    for (int i = 0; i < count; i++)
        check(all[i]);
    check(&tiles_amx_emulated);
}

static void every_kernel_adds_what_a_convolution_is_defined_as(void)
{
    each(check_values);
}

static void moments_are_those_of_what_was_written(void)
{
    each(check_moments);
}

static void bytes_do_not_depend_on_the_number_of_threads(void)
{
    each(check_threads);
}

static void the_fastest_kernel_is_one_that_runs_here(void)
{
    const struct tile_functions *all[TILES_MAX_FUNCTIONS];
    const int count = tiles_available(all);
    CHECK(count >= 1 && count <= TILES_MAX_FUNCTIONS);
    CHECK(tiles_functions() == all[count - 1]);
}

int main(void)
{
    RUN(every_kernel_adds_what_a_convolution_is_defined_as);
    RUN(moments_are_those_of_what_was_written);
    RUN(bytes_do_not_depend_on_the_number_of_threads);
    RUN(the_fastest_kernel_is_one_that_runs_here);
    return check_report();
}

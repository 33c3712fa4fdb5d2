/* SPDX-License-Identifier: MIT
 *
 * The innermost loops: each instruction set that this machine has against the plain one, and the
 * plain one against what the functions are meant to compute. */
#include "gpu/cpu/rows.h"

#include "gpu/cpu/isa.h"
#include "gpu/cpu/view.h"
#include "gpu/tensor.h"
#include "tests/unit/check.h"

#include <math.h>

#define COUNT 8192

static float a[COUNT] __attribute__((aligned(64))), b[COUNT] __attribute__((aligned(64)));
static float out[COUNT] __attribute__((aligned(64))), want[COUNT] __attribute__((aligned(64)));

static void fill(float *values, unsigned seed)
{
    for (int i = 0; i < COUNT; i++) {
        seed = seed * 1664525u + 1013904223u;
        values[i] = (float)(seed >> 8) / 8388608.0f - 1.0f;
    }
}

static double distance(const float *x, const float *y, int n)
{
    double worst = 0;
    for (int i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)x[i] - (double)y[i]));
    return worst;
}

/* Runs a check on every table that works here. */
static void each_table(void (*check)(const struct row_functions *))
{
    fill(a, 1);
    fill(b, 2);
    check(&rows_plain);
#if defined __x86_64__
    if (isa_vectors() >= ISA_AVX2)
        check(&rows_avx2);
    if (isa_vectors() >= ISA_AVX512)
        check(&rows_avx512);
#endif
}

static void check_apply(const struct row_functions *f)
{
    const int64_t in_pixel = 32, out_pixel = 48, other_pixel = 16;
    const int n = 37;
    for (int variant = 0; variant < 4; variant++) {
        const bool sloped = variant & 1, other = variant & 2;
        memset(out, 0, sizeof out);
        memset(want, 0, sizeof want);
        f->apply(&(struct row_apply){.src = a,
                                     .other = other ? b : NULL,
                                     .dst = out,
                                     .src_pixel = in_pixel,
                                     .other_pixel = other_pixel,
                                     .dst_pixel = out_pixel,
                                     .scale = b + 4096,
                                     .shift = b + 4112,
                                     .n = n,
                                     .slope = sloped ? b + 4128 : NULL});
        for (int x = 0; x < n; x++)
            for (int c = 0; c < VIEW_BLOCK; c++) {
                float v = a[x * in_pixel + c] * b[4096 + c] + b[4112 + c];
                v = sloped && v < 0 ? v * b[4128 + c] : v;
                want[x * out_pixel + c] = v + (other ? b[x * other_pixel + c] : 0);
            }
        CHECK(distance(out, want, COUNT) < 1e-6);
    }
}

static void apply_scales_shifts_slopes_and_adds(void)
{
    each_table(check_apply);
}

/* The same in bf16, in any mixture: rounded on the way in, computed in f32, rounded again. */
static void check_narrow(const struct row_functions *f)
{
    static uint16_t narrow_a[COUNT] __attribute__((aligned(64)));
    static uint16_t narrow_b[COUNT] __attribute__((aligned(64)));
    static uint16_t narrow_out[COUNT] __attribute__((aligned(64)));
    const int n = 21;
    for (int i = 0; i < COUNT; i++) {
        narrow_a[i] = tensor_f32_to_bf16(a[i]);
        narrow_b[i] = tensor_f32_to_bf16(b[i]);
    }
    for (int variant = 0; variant < 8; variant++) {
        const bool from = variant & 1, other = variant & 2, to = variant & 4;
        memset(narrow_out, 0, sizeof narrow_out);
        memset(out, 0, sizeof out);
        f->apply(&(struct row_apply){.src = from ? (const void *)narrow_a : a,
                                     .src_type = from ? TENSOR_BF16 : TENSOR_F32,
                                     .src_pixel = 32,
                                     .other = other ? (const void *)narrow_b : b,
                                     .other_type = other ? TENSOR_BF16 : TENSOR_F32,
                                     .other_pixel = 16,
                                     .dst = to ? (void *)narrow_out : out,
                                     .dst_type = to ? TENSOR_BF16 : TENSOR_F32,
                                     .dst_pixel = 48,
                                     .scale = b + 4096,
                                     .shift = b + 4112,
                                     .n = n});
        for (int x = 0; x < n; x++)
            for (int c = 0; c < VIEW_BLOCK; c++) {
                const int i = x * 32 + c, j = x * 16 + c, k = x * 48 + c;
                const float v = from ? tensor_bf16_to_f32(narrow_a[i]) : a[i];
                const float w = other ? tensor_bf16_to_f32(narrow_b[j]) : b[j];
                const float sum = v * b[4096 + c] + b[4112 + c] + w;
                const float got = to ? tensor_bf16_to_f32(narrow_out[k]) : out[k];
                CHECK(fabsf(got - sum) < (to ? fabsf(sum) / 256 + 1e-6f : 1e-6f));
            }
        for (int i = 0; i < COUNT; i++) /* between the pixels */
            CHECK(i % 48 < VIEW_BLOCK || (narrow_out[i] == 0 && out[i] == 0));
    }
}

static void apply_mixes_floats_and_bf16(void)
{
    each_table(check_narrow);
}

static void check_rounding(const struct row_functions *f)
{
    uint16_t narrow[VIEW_BLOCK] __attribute__((aligned(64)));
    float one[VIEW_BLOCK] __attribute__((aligned(64)));
    float zero[VIEW_BLOCK] __attribute__((aligned(64))) = {0};
    uint32_t bits[VIEW_BLOCK] __attribute__((aligned(64))) = {
        0x3f808000, 0x3f818000, 0x3f807fff, 0xbf808001, 0x7f7fffff, 0x7f800000, 0xff800000,
        0x7f800001, 0x7fffffff, 0xffffffff, 0x00000000, 0x80000000, 0x47ffffff, 0x00800000};
    float values[VIEW_BLOCK] __attribute__((aligned(64)));
    memcpy(values, bits, sizeof values);
    for (int c = 0; c < VIEW_BLOCK; c++)
        one[c] = 1;
    f->apply(&(struct row_apply){.src = values,
                                 .dst = narrow,
                                 .dst_type = TENSOR_BF16,
                                 .scale = one,
                                 .shift = zero,
                                 .n = 1});
    for (int c = 0; c < VIEW_BLOCK; c++) {
        /* -0 plus 0 is 0; a NaN may keep other bits. */
        const float nearest = tensor_bf16_to_f32(tensor_f32_to_bf16(values[c] + 0.0f));
        const float got = tensor_bf16_to_f32(narrow[c]);
        CHECK(isnan(nearest) ? isnan(got) : nearest == got);
    }
}

static void apply_rounds_as_the_tensors_do(void)
{
    each_table(check_rounding);
}

static void check_moments(const struct row_functions *f)
{
    for (int n = 1; n < 70; n += 17) {
        double sum[VIEW_BLOCK] = {1}, squares[VIEW_BLOCK] = {2};
        f->moments(a, 48, n, b, sum, squares);
        for (int c = 0; c < VIEW_BLOCK; c++) {
            double s = c == 0 ? 1 : 0, q = c == 0 ? 2 : 0;
            for (int x = 0; x < n; x++) {
                double d = (double)a[x * 48 + c] - (double)b[c];
                s += d;
                q += d * d;
            }
            CHECK(fabs(sum[c] - s) < 1e-4 && fabs(squares[c] - q) < 1e-4);
        }
    }
}

static void moments_add_to_what_is_there(void)
{
    each_table(check_moments);
}

static void check_conv(const struct row_functions *f)
{
    enum { INPUTS = 3, ROW = 40, PLANE = 600 };
    for (int kernel = 3; kernel <= 7; kernel += 2)
        for (int rows = 1; rows <= ROWS_CONV_ROWS; rows += 5) {
            memset(out, 0, sizeof out);
            f->conv3(&(struct row_conv){.src = a + 1,
                                        .plane = PLANE,
                                        .row = ROW,
                                        .inputs = INPUTS,
                                        .kernel = kernel,
                                        .weight = b,
                                        .dst = {out, out + 1000, out + 2000},
                                        .dst_row = ROWS_CONV_PIXELS,
                                        .rows = rows});
            for (int i = 0; i < 3 * rows * ROWS_CONV_PIXELS; i++) {
                int o = i / (rows * ROWS_CONV_PIXELS), y = i / ROWS_CONV_PIXELS % rows;
                int x = i % ROWS_CONV_PIXELS;
                double sum = 0;
                for (int c = 0; c < INPUTS; c++)
                    for (int kx = 0; kx < kernel; kx++)
                        for (int ky = 0; ky < kernel; ky++)
                            sum += (double)a[1 + c * PLANE + (y + ky) * ROW + x + kx] *
                                   (double)b[((c * kernel + kx) * kernel + ky) * 3 + o];
                CHECK(fabs((double)out[o * 1000 + y * ROWS_CONV_PIXELS + x] - sum) < 1e-4);
            }
        }
}

static void a_convolution_of_three_outputs_sums_every_tap(void)
{
    each_table(check_conv);
}

static void check_dot(const struct row_functions *f)
{
    static const enum tensor_type types[] = {TENSOR_F32, TENSOR_F16, TENSOR_BF16};
    static unsigned char weights[4 * 256 + 1];
    for (int t = 0; t < 3; t++)
        for (int n = 0; n < 200; n += 33) {
            struct tensor tensor = {.type = types[t], .rank = 1, .dim = {n}, .data = weights + 1};
            static float wide[256];
            double sum = 0;
            for (size_t i = 0; i + 1 < sizeof weights; i++) /* no infinity in any type */
                weights[1 + i] = (unsigned char)((i * 37 ^ i >> 3) & 0xb7);
            tensor_to_f32(&tensor, wide);
            for (int i = 0; i < n; i++)
                sum += (double)wide[i] * (double)b[i + 3];
            double got = (double)f->dot(types[t], weights + 1, b + 3, n);
            CHECK(fabs(got - sum) <= 1e-5 * fabs(sum) + 1e-4);
        }
}

static void check_half(const struct row_functions *f)
{
    const float one[1] = {1.0f};
    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        uint16_t narrow = (uint16_t)bits;
        float got = f->dot(TENSOR_F16, &narrow, one, 1), exact = tensor_f16_to_f32(narrow);
        CHECK(isnan(exact) ? isnan(got) : got == exact);
    }
}

static void every_half_precision_value_widens_exactly(void)
{
    each_table(check_half);
}

static void a_dot_product_has_every_term_once(void)
{
    each_table(check_dot);
}

static void check_tanh(const struct row_functions *f)
{
    float in[301], got[301];
    for (int n = 1; n <= 301; n += 100) {
        for (int i = 0; i < n; i++)
            in[i] = (float)(i - 150) * (i % 7 == 0 ? 10.0f : 0.02f);
        CHECK(f->tanh(in, got, n));
        for (int i = 0; i < n; i++)
            CHECK(fabs((double)got[i] - tanh((double)in[i])) < 3e-7);
    }
    in[300] = NAN;
    CHECK(!f->tanh(in, got, 301));
    in[300] = -INFINITY;
    CHECK(!f->tanh(in, got, 301));
}

static void tanh_is_exact_to_float_and_notices_nonsense(void)
{
    each_table(check_tanh);
}

int main(void)
{
    RUN(apply_scales_shifts_slopes_and_adds);
    RUN(apply_mixes_floats_and_bf16);
    RUN(apply_rounds_as_the_tensors_do);
    RUN(moments_add_to_what_is_there);
    RUN(a_convolution_of_three_outputs_sums_every_tap);
    RUN(a_dot_product_has_every_term_once);
    RUN(every_half_precision_value_widens_exactly);
    RUN(tanh_is_exact_to_float_and_notices_nonsense);
    return check_report();
}

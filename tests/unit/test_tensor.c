/* SPDX-License-Identifier: MIT */
#include "gpu/pixels.h"
#include "gpu/tensor.h"

#include "tests/unit/check.h"

#include <math.h>

static void half_precision_values_widen_exactly(void)
{
    CHECK(tensor_f16_to_f32(0x3c00) == 1.0f);
    CHECK(tensor_f16_to_f32(0xc000) == -2.0f);
    CHECK(tensor_f16_to_f32(0x7bff) == 65504.0f);
    CHECK(tensor_f16_to_f32(0x0400) == 0x1p-14f);
    CHECK(tensor_f16_to_f32(0x0001) == 0x1p-24f);
    CHECK(tensor_f16_to_f32(0x83ff) == -0x3ffp-24f);
    CHECK(signbit(tensor_f16_to_f32(0x8000)) && tensor_f16_to_f32(0x8000) == 0);
    CHECK(isinf(tensor_f16_to_f32(0xfc00)) && tensor_f16_to_f32(0xfc00) < 0);
    CHECK(isnan(tensor_f16_to_f32(0x7e00)));
    CHECK(tensor_bf16_to_f32(0x3f80) == 1.0f);
    CHECK(tensor_bf16_to_f32(0xc049) == -3.140625f);
}

static void a_float_becomes_the_nearest_bf16(void)
{
    CHECK_INT(tensor_f32_to_bf16(1.0f), 0x3f80);
    CHECK_INT(tensor_f32_to_bf16(1.00390625f), 0x3f80); /* half way: the even one */
    CHECK_INT(tensor_f32_to_bf16(1.01171875f), 0x3f82);
    CHECK_INT(tensor_f32_to_bf16(-1.004f), 0xbf81);
    CHECK_INT(tensor_f32_to_bf16(3.4e38f), 0x7f80); /* past the greatest */
    CHECK_INT(tensor_f32_to_bf16(-INFINITY), 0xff80);
    const uint32_t bits[] = {0x7f800001, 0x7fffffff, 0xffffffff};
    for (int i = 0; i < 3; i++) {
        float nan;
        memcpy(&nan, &bits[i], sizeof nan);
        CHECK(isnan(tensor_bf16_to_f32(tensor_f32_to_bf16(nan))));
    }
}

static void every_type_converts_from_unaligned_bytes(void)
{
    unsigned char half[1 + 4] = {0, 0x00, 0x3c, 0x00, 0xc0};
    unsigned char full[1 + 8] = {0};
    const float want[2] = {1.0f, -2.0f};
    float got[2];
    memcpy(full + 1, want, sizeof want);
    struct tensor t = {.type = TENSOR_F16, .rank = 1, .dim = {2}, .data = half + 1};
    CHECK_INT(tensor_bytes(&t), 4);
    tensor_to_f32(&t, got);
    CHECK(memcmp(got, want, sizeof want) == 0);
    t = (struct tensor){.type = TENSOR_F32, .rank = 1, .dim = {2}, .data = full + 1};
    tensor_to_f32(&t, got);
    CHECK(memcmp(got, want, sizeof want) == 0);
}

static void every_half_comes_back_from_a_float_and_others_go_to_the_nearest(void)
{
    for (uint32_t bits = 0; bits < 65536; bits++) {
        float wide = tensor_f16_to_f32((uint16_t)bits);
        if (!isnan(wide))
            CHECK_INT(tensor_f16_from_f32(wide), bits);
        if (bits >= 0x7c00 || (bits & 0xff) > 3)
            continue;
        /* Half way to the next one: to the even. A little more or less: to the nearer. */
        float next = tensor_f16_to_f32((uint16_t)(bits + 1)), middle = (wide + next) / 2;
        if (isinf(next))
            middle = 65520;
        CHECK_INT(tensor_f16_from_f32(middle), bits + (bits & 1));
        CHECK_INT(tensor_f16_from_f32(nextafterf(middle, 0)), bits);
        CHECK_INT(tensor_f16_from_f32(-nextafterf(middle, 1e9f)), 0x8000 + bits + 1);
    }
    CHECK(isnan(tensor_f16_to_f32(tensor_f16_from_f32(NAN))));
    CHECK_INT(tensor_f16_from_f32(-1e-9f), 0x8000);
    CHECK_INT(tensor_f16_from_f32(65519.99f), 0x7bff);
    CHECK_INT(tensor_f16_from_f32(65520), 0x7c00);
}

static void integers_and_doubles_become_floats(void)
{
    static const struct {
        enum tensor_type type;
        unsigned char bytes[8];
        float want;
    } rows[] = {
        {TENSOR_F64, {0, 0, 0, 0, 0, 0, 0xf8, 0xbf}, -1.5f},
        {TENSOR_I64, {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, -2},
        {TENSOR_I32, {0, 0, 1, 0}, 65536},
        {TENSOR_I16, {0, 0x80}, -32768},
        {TENSOR_I8, {0xff}, -1},
        {TENSOR_U8, {0xff}, 255},
        {TENSOR_BOOL, {2}, 1},
        {TENSOR_BOOL, {0}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tensor t = {.type = rows[i].type, .rank = 0, .data = rows[i].bytes};
        float got = 99;
        tensor_to_f32(&t, &got);
        CHECK(got == rows[i].want);
    }
}

static void a_shape_prints_as_people_write_it(void)
{
    char text[TENSOR_SHAPE_SIZE];
    const int64_t dim[4] = {256, 512, 1, 1};
    tensor_shape_text(4, dim, text);
    CHECK_TEXT(text, "256x512x1x1");
    tensor_shape_text(0, dim, text);
    CHECK_TEXT(text, "scalar");
}

static void every_byte_survives_the_way_to_floats_and_back(void)
{
    const struct pixels_format format = pixels_format_default();
    unsigned char rgb[3 * 256], back[3 * 256];
    float chw[3 * 256];
    for (int i = 0; i < 3 * 256; i++)
        rgb[i] = (unsigned char)(i * 7);
    pixels_to_tensor(rgb, 16, 16, &format, chw);
    CHECK(chw[0] == -1.0f);
    pixels_from_tensor(chw, 16, 16, &format, back);
    CHECK(memcmp(rgb, back, sizeof rgb) == 0);
}

static void floats_round_half_to_even_or_truncate_and_saturate(void)
{
    /* One pixel a row: red is what is looked at. 0.5 of a level is x = -1 + 1/255. */
    float chw[3 * 5] = {-1.0f + 1.0f / 255.0f, -1.0f + 1.9f / 255.0f, -9.0f, 9.0f, NAN};
    struct pixels_format format = pixels_format_default();
    unsigned char rgb[3 * 5];
    pixels_from_tensor(chw, 1, 5, &format, rgb);
    CHECK_INT(rgb[3], 1);
    CHECK_INT(rgb[6], 0);
    CHECK_INT(rgb[9], 255);
    CHECK_INT(rgb[12], 0);
    format.rounding = PIXELS_TRUNCATE;
    pixels_from_tensor(chw, 1, 5, &format, rgb);
    CHECK_INT(rgb[0], 0);
    CHECK_INT(rgb[3], 0);
    CHECK_INT(rgb[9], 255);
}

static void a_format_says_the_order_of_the_planes_and_the_range(void)
{
    const struct pixels_format format = {
        .bgr = true, .in_scale = 1, .out_scale = 150, .out_shift = 127.5f};
    const unsigned char rgb[3 * 2] = {10, 20, 30, 40, 50, 60};
    unsigned char back[3 * 2];
    float chw[3 * 2];
    pixels_to_tensor(rgb, 2, 1, &format, chw);
    const float want[3 * 2] = {30, 60, 20, 50, 10, 40};
    CHECK(memcmp(chw, want, sizeof want) == 0);
    /* blue, green and red of the first pixel: 127.5 + 150 x */
    const float out[3 * 2] = {0.5f, 0, -0.25f, 0, -0.9f, 0};
    pixels_from_tensor(out, 2, 1, &format, back);
    CHECK_INT(back[0], 0);
    CHECK_INT(back[1], 90);
    CHECK_INT(back[2], 202);
    CHECK_INT(back[3], 128);
}

int main(void)
{
    RUN(half_precision_values_widen_exactly);
    RUN(a_float_becomes_the_nearest_bf16);
    RUN(every_type_converts_from_unaligned_bytes);
    RUN(every_half_comes_back_from_a_float_and_others_go_to_the_nearest);
    RUN(integers_and_doubles_become_floats);
    RUN(a_shape_prints_as_people_write_it);
    RUN(every_byte_survives_the_way_to_floats_and_back);
    RUN(floats_round_half_to_even_or_truncate_and_saturate);
    RUN(a_format_says_the_order_of_the_planes_and_the_range);
    return check_report();
}

/* SPDX-License-Identifier: MIT
 *
 * Two ways to another size, because a translator's first layer sees the difference.
 *
 * PICTURE_ANTIALIAS: bilinear resampling with antialiasing, bit for bit what PIL's Image.resize
 * does with 8-bit channels. Rows are resampled first, then columns; the result of the first pass is
 * rounded to 8 bits. A weight is a fixed-point number of 22 bits behind the point: 8 bits of pixel
 * and the sum of the weights, 1, then fit 32 bits with two to spare. The reference vectors in
 * tests/data/resize were made with PIL itself.
 *
 * PICTURE_BILINEAR: the four nearest pixels and no others, pixel centres at halves, bit for bit
 * what OpenCV's resize does with 8-bit channels: weights of 11 bits, the rows' sums kept whole, and
 * 4 and then 16 of their lower bits dropped on the way down. */
#include "common/picture.h"

#include "common/err.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { PRECISION_BITS = 32 - 8 - 2 };

/* For each output pixel, which input pixels it sees and how much of each. */
struct kernel {
    int taps;        /* room for each output pixel */
    int *first;      /* owned: [out] the first input pixel */
    int *count;      /* owned: [out] how many, <= taps */
    int32_t *weight; /* owned: [out][taps] */
};

static void kernel_fini(struct kernel *kernel)
{
    free(kernel->first);
    free(kernel->count);
    free(kernel->weight);
}

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

static void fill_weights(struct kernel *kernel, int out, double center, double scale,
                         double support, int in_size, double *exact)
{
    /* Truncation, not floor: below zero both are clamped. */
    int first = (int)(center - support + 0.5), last = (int)(center + support + 0.5);
    first = first < 0 ? 0 : first;
    last = last > in_size ? in_size : last;
    double sum = 0;
    for (int i = 0; i < last - first; i++) {
        exact[i] = triangle((i + first - center + 0.5) * (1.0 / scale));
        sum += exact[i];
    }
    int32_t *weight = kernel->weight + (size_t)out * (size_t)kernel->taps;
    for (int i = 0; i < last - first; i++) {
        double share = sum != 0.0 ? exact[i] / sum : exact[i];
        weight[i] = (int32_t)(0.5 + share * (1 << PRECISION_BITS));
    }
    kernel->first[out] = first;
    kernel->count[out] = last - first;
}

static int kernel_init(struct kernel *kernel, int in_size, int out_size)
{
    double ratio = (double)in_size / out_size;
    double scale = ratio < 1.0 ? 1.0 : ratio; /* a triangle of one pixel when growing */
    double support = scale;
    kernel->taps = (int)ceil(support) * 2 + 1;
    size_t out = (size_t)out_size, taps = (size_t)kernel->taps;
    double *exact = malloc(taps * sizeof *exact);
    kernel->first = malloc(out * sizeof *kernel->first);
    kernel->count = malloc(out * sizeof *kernel->count);
    kernel->weight = malloc(out * taps * sizeof *kernel->weight);
    bool ready = exact && kernel->first && kernel->count && kernel->weight;
    for (int i = 0; ready && i < out_size; i++)
        fill_weights(kernel, i, (i + 0.5) * ratio, scale, support, in_size, exact);
    free(exact);
    return ready ? 0 : ERR_NOMEM;
}

/* Weights are never negative and sum to 1 within rounding, so only the upper end can overflow. */
static uint8_t round_sum(uint32_t sum)
{
    uint32_t value = sum >> PRECISION_BITS;
    return (uint8_t)(value > 255 ? 255 : value);
}

static void resample_row(const uint8_t *in, const struct kernel *kernel, int out_width,
                         uint8_t *out)
{
    const uint32_t half = (uint32_t)1 << (PRECISION_BITS - 1);
    for (int x = 0; x < out_width; x++, out += 3) {
        const int32_t *weight = kernel->weight + (size_t)x * (size_t)kernel->taps;
        const uint8_t *pixel = in + 3 * (size_t)kernel->first[x];
        uint32_t r = half, g = half, b = half;
        for (int i = 0; i < kernel->count[x]; i++, pixel += 3) {
            uint32_t w = (uint32_t)weight[i];
            r += pixel[0] * w;
            g += pixel[1] * w;
            b += pixel[2] * w;
        }
        out[0] = round_sum(r);
        out[1] = round_sum(g);
        out[2] = round_sum(b);
    }
}

/* One output row from `count` input rows that lie `stride` bytes apart. */
static void resample_columns(const uint8_t *in, size_t stride, const int32_t *weight, int count,
                             uint32_t *sums, uint8_t *out)
{
    const uint32_t half = (uint32_t)1 << (PRECISION_BITS - 1);
    for (size_t i = 0; i < stride; i++)
        sums[i] = half;
    for (int y = 0; y < count; y++, in += stride)
        for (size_t i = 0; i < stride; i++)
            sums[i] += in[i] * (uint32_t)weight[y];
    for (size_t i = 0; i < stride; i++)
        out[i] = round_sum(sums[i]);
}

static int resize_columns(const struct picture *in, struct picture *out)
{
    struct kernel kernel = {0};
    size_t stride = (size_t)in->width * 3;
    uint32_t *sums = malloc(stride * sizeof *sums);
    int rc = sums ? kernel_init(&kernel, in->height, out->height) : ERR_NOMEM;
    for (int y = 0; rc == 0 && y < out->height; y++)
        resample_columns(in->pixels + (size_t)kernel.first[y] * stride, stride,
                         kernel.weight + (size_t)y * (size_t)kernel.taps, kernel.count[y], sums,
                         out->pixels + (size_t)y * stride);
    kernel_fini(&kernel);
    free(sums);
    return rc;
}

static int resize_rows(const struct picture *in, struct picture *out)
{
    struct kernel kernel = {0};
    int rc = kernel_init(&kernel, in->width, out->width);
    for (int y = 0; rc == 0 && y < in->height; y++)
        resample_row(in->pixels + (size_t)y * (size_t)in->width * 3, &kernel, out->width,
                     out->pixels + (size_t)y * (size_t)out->width * 3);
    kernel_fini(&kernel);
    return rc;
}

static int resize_antialiased(const struct picture *in, struct picture *out)
{
    struct picture wide = {0};
    int rc = picture_init(&wide, out->width, in->height, NULL);
    /* A pass that would change nothing multiplies by 1 exactly, so it needs no special case. */
    if (rc == 0)
        rc = resize_rows(in, &wide);
    if (rc == 0)
        rc = resize_columns(&wide, out);
    picture_fini(&wide);
    return rc;
}

/* An output pixel lies between input pixels `first` and `second`. */
struct between {
    int first, second;
    int weight[2]; /* their sum is 2048 */
};

/* Past an edge both are the edge. The weights stay as they are there, for they round apart. */
static struct between find_between(int out, int in_size, double ratio)
{
    const float at = (float)((out + 0.5) * ratio - 0.5);
    const int below = (int)floorf(at), above = below + 1;
    const float part = at - (float)below;
    return (struct between){
        .first = below < 0 ? 0 : below,
        .second = above < in_size ? above : in_size - 1,
        .weight = {(int)lrintf((1.0f - part) * 2048.0f), (int)lrintf(part * 2048.0f)},
    };
}

static int mix_row(const uint8_t *row, const struct between *x, size_t channel)
{
    return row[3 * (size_t)x->first + channel] * x->weight[0] +
           row[3 * (size_t)x->second + channel] * x->weight[1];
}

static int resize_bilinear(const struct picture *in, struct picture *out)
{
    const size_t stride = (size_t)in->width * 3;
    struct between *columns = malloc((size_t)out->width * sizeof *columns);
    uint8_t *pixel = out->pixels;
    if (!columns)
        return ERR_NOMEM;
    for (int x = 0; x < out->width; x++)
        columns[x] = find_between(x, in->width, (double)in->width / out->width);
    for (int y = 0; y < out->height; y++) {
        struct between row = find_between(y, in->height, (double)in->height / out->height);
        const uint8_t *upper = in->pixels + (size_t)row.first * stride;
        const uint8_t *lower = in->pixels + (size_t)row.second * stride;
        for (int x = 0; x < out->width; x++)
            for (size_t c = 0; c < 3; c++) {
                int a = (mix_row(upper, &columns[x], c) >> 4) * row.weight[0] >> 16;
                int b = (mix_row(lower, &columns[x], c) >> 4) * row.weight[1] >> 16;
                *pixel++ = (uint8_t)((a + b + 2) >> 2);
            }
    }
    free(columns);
    return 0;
}

int picture_resize(const struct picture *picture, int width, int height, enum picture_filter filter,
                   struct picture *out_picture, struct err *err)
{
    assert(width > 0 && height > 0 && !out_picture->pixels && picture != out_picture);
    struct picture result = {0};
    int rc = picture_init(&result, width, height, err);
    if (rc == 0 && filter == PICTURE_BILINEAR)
        rc = resize_bilinear(picture, &result);
    else if (rc == 0)
        rc = resize_antialiased(picture, &result);
    if (rc < 0) {
        picture_fini(&result);
        return err_set(err, rc, "input", "no memory to resize a picture");
    }
    *out_picture = result;
    return 0;
}

/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/sweep.h"

#include "gpu/cpu/rows.h"
#include "gpu/network.h"

#include <stddef.h>
#include <string.h>

/* A part of the work: these rows of these blocks. Enough parts for a dozen cores, and each large
 * enough to be worth a thread's while. */
#define PART_ROWS 8
#define PART_BLOCKS 4

struct parts {
    int down, across; /* along the rows, along the blocks */
};

static struct parts parts_of(int rows, int blocks)
{
    return (struct parts){(rows + PART_ROWS - 1) / PART_ROWS,
                          (blocks + PART_BLOCKS - 1) / PART_BLOCKS};
}

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

int64_t sweep_scratch(const struct view *src)
{
    return (int64_t)parts_of(src->h, src->blocks).down * src->blocks * 2 * VIEW_BLOCK;
}

/* Sums of the rows of one part of one block, around the block's first pixel. */
static void moments_of_part(const struct view *src, int block, int first, double *sum)
{
    const struct row_functions *f = rows_functions();
    const float *origin = view_row(src, block, 0);
    double *squares = sum + VIEW_BLOCK;
    memset(sum, 0, 2 * VIEW_BLOCK * sizeof *sum);
    for (int y = first; y < min_int(first + PART_ROWS, src->h); y++) {
        const float *row = view_row(src, block, y);
        if (!src->doubled) {
            f->moments(row, src->pixel, src->w, origin, sum, squares);
            continue;
        }
        f->moments(row, src->pixel, (src->w + 1) / 2, origin, sum, squares);
        f->moments(row + src->phase_x, src->pixel, src->w / 2, origin, sum, squares);
    }
}

void sweep_moments(const struct view *src, double *scratch, struct moments *out)
{
    const struct parts parts = parts_of(src->h, src->blocks);
    const double n = (double)src->h * (double)src->w;
#pragma omp parallel for schedule(static)
    for (int part = 0; part < parts.down * parts.across; part++) {
        int down = part / parts.across, across = part % parts.across;
        for (int b = across * PART_BLOCKS; b < min_int((across + 1) * PART_BLOCKS, src->blocks);
             b++)
            moments_of_part(src, b, down * PART_ROWS,
                            scratch + ((int64_t)down * src->blocks + b) * 2 * VIEW_BLOCK);
    }
    for (int b = 0; b < src->blocks; b++) {
        const float *origin = view_row(src, b, 0);
        for (int c = 0; c < VIEW_BLOCK; c++) {
            double sum = 0, squares = 0;
            for (int down = 0; down < parts.down; down++) {
                const double *part = scratch + ((int64_t)down * src->blocks + b) * 2 * VIEW_BLOCK;
                sum += part[c];
                squares += part[VIEW_BLOCK + c];
            }
            double shifted = sum / n;
            out[b * VIEW_BLOCK + c] = (struct moments){
                .mean = (double)origin[c] + shifted,
                .squares = squares - sum * shifted,
            };
        }
    }
}

static const float identity_scale[VIEW_BLOCK]
    __attribute__((aligned(64))) = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float identity_shift[VIEW_BLOCK] __attribute__((aligned(64)));

/* Bytes of this many values. */
static int64_t bytes_of(enum tensor_type type, int64_t values)
{
    return values * (int64_t)tensor_type_size(type);
}

/* One row of one block from `y` of the source to `dst`, without padding. */
static void apply_row(const struct sweep *s, int block, int y, void *dst, enum tensor_type type,
                      int64_t dst_pixel)
{
    const struct row_functions *f = rows_functions();
    struct row_apply task = {
        .src = view_row(&s->src, block, y),
        .src_type = s->src.type,
        .src_pixel = s->src.pixel,
        .dst = dst,
        .dst_type = type,
        .dst_pixel = dst_pixel,
        .scale = s->scale ? s->scale + block * VIEW_BLOCK : identity_scale,
        .shift = s->scale ? s->shift + block * VIEW_BLOCK : identity_shift,
        .n = s->src.w,
        .slope = s->slope ? s->slope + block * VIEW_BLOCK : NULL,
    };
    if (s->other.data) {
        task.other = view_row(&s->other, block, y);
        task.other_type = s->other.type;
        task.other_pixel = s->other.pixel;
    }
    if (!s->src.doubled) {
        f->apply(&task);
        return;
    }
    task.n = (s->src.w + 1) / 2;
    task.dst_pixel *= 2;
    task.other_pixel *= 2;
    f->apply(&task);
    task.n = s->src.w / 2;
    task.src = (const char *)task.src + bytes_of(s->src.type, s->src.phase_x);
    task.dst = (char *)dst + bytes_of(type, dst_pixel);
    if (task.other)
        task.other = (const char *)task.other + bytes_of(s->other.type, s->other.pixel);
    f->apply(&task);
}

/* One pixel of the padding, from the row that it belongs to. */
static void pad_pixel(const struct sweep *s, char *row, int x)
{
    const int64_t pixel = bytes_of(s->dst.type, s->dst.pixel);
    const size_t bytes = VIEW_BLOCK * tensor_type_size(s->dst.type);
    int from = padding_source(s->padding, x, s->src.w);
    if (from < 0)
        memset(row + x * pixel, 0, bytes);
    else
        memcpy(row + x * pixel, row + from * pixel, bytes);
}

static void apply_part(const struct sweep *s, int block, int first, int end)
{
    const int64_t pixel = bytes_of(s->dst.type, s->dst.pixel);
    const int w = s->src.w;
    for (int y = first; y < end; y++) {
        char *row = view_row(&s->dst, block, y);
        int from = padding_source(s->padding, y, s->src.h);
        if (from >= 0)
            apply_row(s, block, from, row, s->dst.type, s->dst.pixel);
        else
            for (int x = 0; x < w; x++)
                memset(row + x * pixel, 0, VIEW_BLOCK * tensor_type_size(s->dst.type));
        for (int i = 0; i < s->padding.before + s->padding.after; i++)
            pad_pixel(s, row, i < s->padding.before ? -1 - i : w + i - s->padding.before);
    }
}

void sweep_apply(const struct sweep *s)
{
    const int blocks = s->src.blocks, end = s->src.h + s->padding.after;
    const struct parts parts = parts_of(end + s->padding.before, blocks);
#pragma omp parallel for schedule(static)
    for (int part = 0; part < parts.down * parts.across; part++) {
        int first = part / parts.across * PART_ROWS - s->padding.before;
        int across = part % parts.across;
        for (int b = across * PART_BLOCKS; b < min_int((across + 1) * PART_BLOCKS, blocks); b++)
            apply_part(s, b, first, min_int(first + PART_ROWS, end));
    }
}

/* Sixteen pixels at a time: computed side by side, stored as sixteen planes. */
static void planes_row(const struct sweep *s, int block, int y, int channels, float *out,
                       int64_t plane)
{
    enum { PIXELS = 16 };
    float tile[PIXELS * VIEW_BLOCK] __attribute__((aligned(64)));
    struct sweep part = *s;
    for (int x = 0; x < s->src.w; x += PIXELS) {
        int n = min_int(PIXELS, s->src.w - x);
        part.src.w = n;
        /* An even x keeps its phase. */
        part.src.data = view_at(&s->src, (s->src.doubled ? x / 2 : x) * s->src.pixel);
        apply_row(&part, block, y, tile, TENSOR_F32, VIEW_BLOCK);
        for (int c = 0; c < channels; c++)
            for (int i = 0; i < n; i++)
                out[c * plane + x + i] = tile[i * VIEW_BLOCK + c];
    }
}

/* The padding left and right of one row of one plane. */
static void pad_line(const struct sweep *s, float *line)
{
    const int w = s->src.w;
    const int count = s->padding.before + s->padding.after;
    for (int i = 0; i < count; i++) {
        int x = i < s->padding.before ? -1 - i : w + i - s->padding.before;
        int from = padding_source(s->padding, x, w);
        line[x] = from < 0 ? 0 : line[from];
    }
}

void sweep_to_planes(const struct sweep *s, int channels, float *out, int64_t plane, int64_t row)
{
    const int h = s->src.h, before = s->padding.before, end = h + s->padding.after;
    const struct parts parts = parts_of(end + before, s->src.blocks);
#pragma omp parallel for schedule(static)
    for (int part = 0; part < parts.down * s->src.blocks; part++) {
        int first = part / s->src.blocks * PART_ROWS - before, b = part % s->src.blocks;
        int count = min_int(VIEW_BLOCK, channels - b * VIEW_BLOCK);
        float *planes = out + b * VIEW_BLOCK * plane;
        for (int y = first; y < min_int(first + PART_ROWS, end); y++) {
            int from = padding_source(s->padding, y, h);
            if (from >= 0)
                planes_row(s, b, from, count, planes + y * row, plane);
            for (int c = 0; c < count; c++) {
                float *line = planes + c * plane + y * row;
                if (from < 0)
                    memset(line, 0, (size_t)s->src.w * sizeof *line);
                pad_line(s, line);
            }
        }
    }
}

void sweep_from_planes(const float *in, const struct layer *layer, struct padding padding,
                       const struct view *dst)
{
    const int h = (int)layer->h, w = (int)layer->w;
    const int64_t wide = w + padding.before + padding.after;
#pragma omp parallel for schedule(static)
    for (int y = -padding.before; y < h + padding.after; y++)
        for (int64_t c = 0; c < dst->pixel; c++) {
            const int from = c < layer->c ? padding_source(padding, y, h) : -1;
            const float *src = in + (c * h + from) * w;
            const int64_t line = ((y + padding.before) * wide + padding.before) * dst->pixel + c;
            for (int x = -padding.before; x < w + padding.after; x++) {
                const int column = padding_source(padding, x, w);
                const int64_t at = line + x * dst->pixel;
                const float value = from < 0 || column < 0 ? 0 : src[column];
                if (dst->type == TENSOR_BF16)
                    ((uint16_t *)dst->data)[at] = tensor_f32_to_bf16(value);
                else
                    ((float *)dst->data)[at] = value;
            }
        }
}

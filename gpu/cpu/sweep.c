/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/sweep.h"

#include "gpu/cpu/rows.h"

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
    const float *origin = src->data + block * src->block;
    double *squares = sum + VIEW_BLOCK;
    memset(sum, 0, 2 * VIEW_BLOCK * sizeof *sum);
    for (int y = first; y < min_int(first + PART_ROWS, src->h); y++) {
        const float *row = view_row(src, block, y);
        if (!src->doubled) {
            f->moments(row, src->pixel, src->w, origin, sum, squares);
            continue;
        }
        f->moments(row, src->pixel, src->w / 2, origin, sum, squares);
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
    for (int b = 0; b < src->blocks; b++)
        for (int c = 0; c < VIEW_BLOCK; c++) {
            double sum = 0, squares = 0;
            for (int down = 0; down < parts.down; down++) {
                const double *part = scratch + ((int64_t)down * src->blocks + b) * 2 * VIEW_BLOCK;
                sum += part[c];
                squares += part[VIEW_BLOCK + c];
            }
            double shifted = sum / n;
            out[b * VIEW_BLOCK + c] = (struct moments){
                .mean = (double)src->data[b * src->block + c] + shifted,
                .squares = squares - sum * shifted,
            };
        }
}

/* Where row or column i of the padded picture comes from. */
static int padded_source(int i, int n, bool replicate)
{
    if (i < 0)
        return replicate ? 0 : -i;
    if (i >= n)
        return replicate ? n - 1 : 2 * (n - 1) - i;
    return i;
}

static const float identity_scale[VIEW_BLOCK]
    __attribute__((aligned(64))) = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
static const float identity_shift[VIEW_BLOCK] __attribute__((aligned(64)));

/* One row of one block from `y` of the source to `dst`, without padding. */
static void apply_row(const struct sweep *s, int block, int y, float *dst, int64_t dst_pixel)
{
    const struct row_functions *f = rows_functions();
    struct row_apply task = {
        .src = view_row(&s->src, block, y),
        .src_pixel = s->src.pixel,
        .dst = dst,
        .dst_pixel = dst_pixel,
        .scale = s->scale ? s->scale + block * VIEW_BLOCK : identity_scale,
        .shift = s->scale ? s->shift + block * VIEW_BLOCK : identity_shift,
        .n = s->src.w,
        .relu = s->relu,
    };
    if (s->other.data) {
        task.other = view_row(&s->other, block, y);
        task.other_pixel = s->other.pixel;
    }
    if (!s->src.doubled) {
        f->apply(&task);
        return;
    }
    task.n /= 2;
    task.dst_pixel *= 2;
    task.other_pixel *= 2;
    f->apply(&task);
    task.src += s->src.phase_x;
    task.dst += dst_pixel;
    if (task.other)
        task.other += s->other.pixel;
    f->apply(&task);
}

static void apply_part(const struct sweep *s, int block, int first, int end)
{
    const int w = s->src.w;
    for (int y = first; y < end; y++) {
        float *row = s->dst.data + block * s->dst.block + y * s->dst.row;
        apply_row(s, block, padded_source(y, s->src.h, s->replicate), row, s->dst.pixel);
        for (int x = 1; x <= s->pad; x++) {
            memcpy(row - x * s->dst.pixel, row + padded_source(-x, w, s->replicate) * s->dst.pixel,
                   VIEW_BLOCK * sizeof *row);
            memcpy(row + (w - 1 + x) * s->dst.pixel,
                   row + padded_source(w - 1 + x, w, s->replicate) * s->dst.pixel,
                   VIEW_BLOCK * sizeof *row);
        }
    }
}

void sweep_apply(const struct sweep *s)
{
    const int blocks = s->src.blocks, end = s->src.h + s->pad;
    const struct parts parts = parts_of(end + s->pad, blocks);
#pragma omp parallel for schedule(static)
    for (int part = 0; part < parts.down * parts.across; part++) {
        int first = part / parts.across * PART_ROWS - s->pad, across = part % parts.across;
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
        part.src.data = s->src.data + (s->src.doubled ? x / 2 : x) * s->src.pixel;
        apply_row(&part, block, y, tile, VIEW_BLOCK);
        for (int c = 0; c < channels; c++)
            for (int i = 0; i < n; i++)
                out[c * plane + x + i] = tile[i * VIEW_BLOCK + c];
    }
}

void sweep_to_planes(const struct sweep *s, int channels, float *out, int64_t plane, int64_t row)
{
    const int h = s->src.h, w = s->src.w, pad = s->pad, end = h + pad;
    const struct parts parts = parts_of(end + pad, s->src.blocks);
#pragma omp parallel for schedule(static)
    for (int part = 0; part < parts.down * s->src.blocks; part++) {
        int first = part / s->src.blocks * PART_ROWS - pad, b = part % s->src.blocks;
        int count = min_int(VIEW_BLOCK, channels - b * VIEW_BLOCK);
        float *planes = out + b * VIEW_BLOCK * plane;
        for (int y = first; y < min_int(first + PART_ROWS, end); y++) {
            planes_row(s, b, padded_source(y, h, s->replicate), count, planes + y * row, plane);
            for (int c = 0; c < count; c++) {
                float *line = planes + c * plane + y * row;
                for (int x = 1; x <= pad; x++) {
                    line[-x] = line[padded_source(-x, w, s->replicate)];
                    line[w - 1 + x] = line[padded_source(w - 1 + x, w, s->replicate)];
                }
            }
        }
    }
}

void sweep_from_planes(const float *in, int channels, int h, int w, int pad, float *out)
{
    const int64_t wide = w + 2 * (int64_t)pad;
#pragma omp parallel for schedule(static)
    for (int y = -pad; y < h + pad; y++)
        for (int c = 0; c < channels; c++) {
            const float *src = in + ((int64_t)c * h + padded_source(y, h, false)) * w;
            float *dst = out + ((int64_t)(y + pad) * wide + pad) * channels + c;
            for (int x = -pad; x < w + pad; x++)
                dst[(int64_t)x * channels] = src[padded_source(x, w, false)];
        }
}

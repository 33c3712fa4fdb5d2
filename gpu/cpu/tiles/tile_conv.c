/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/tiles/tile_conv.h"

#include "common/err.h"
#include "gpu/cpu/rows.h"
#include "gpu/tensor.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define ALIGNMENT 64

/* Rows of a stripe: enough to use a panel of weights often, few enough for the cache. */
#define STRIPE_ROWS 8
#define STRIPE_BYTES (512 << 10)

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int stripes_of(const struct tile_conv *conv)
{
    return (conv->out_h + conv->stripe - 1) / conv->stripe;
}

static void *allocate(size_t bytes)
{
    return aligned_alloc(ALIGNMENT, (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
}

/* The tile of weights at this row of the kernel and step of its run; false where all are zero. */
static bool pack_tile(const struct tile_conv_spec *s, const float *weights, int output, int row,
                      int step, uint16_t *out)
{
    const int64_t taps = (int64_t)s->kernel * s->kernel;
    unsigned any = 0;
    memset(out, 0, TILE_WEIGHTS * sizeof *out);
    for (int i = 0; i < TILE_DEPTH; i++) {
        const int at = step * TILE_DEPTH + i, column = at / s->inputs;
        if (column >= s->kernel)
            break;
        const float *from = weights + ((int64_t)output * s->inputs + at % s->inputs) * taps +
                            (int64_t)row * s->kernel + column;
        for (int o = 0; o < TILE_OUTPUTS; o++) {
            const uint16_t value = tensor_f32_to_bf16(from[o * s->inputs * taps]);
            out[(i / 2 * TILE_OUTPUTS + o) * 2 + i % 2] = value;
            any |= value & 0x7fff;
        }
    }
    return any;
}

static void pack_panel(const struct tile_conv *conv, const float *weights, int index)
{
    const struct tile_conv_spec *s = &conv->spec;
    const int64_t room = (int64_t)index * s->kernel * conv->steps;
    const int first = index * BLOCK_OUTPUTS, end = min_int(first + BLOCK_OUTPUTS, s->outputs);
    uint16_t *out = conv->weights + room * BLOCK_OUTPUTS * TILE_DEPTH;
    int32_t *offset = conv->offsets + room;
    struct tile_panel *panel = &conv->panels[index];
    *panel = (struct tile_panel){.weights = out, .offsets = offset};
    for (int row = 0; row < s->kernel; row++)
        for (int step = 0; step < conv->steps; step++) {
            bool any = false;
            for (int o = first; o < end; o += TILE_OUTPUTS)
                any |= pack_tile(s, weights, o, row, step, out + (o - first) * TILE_DEPTH);
            if (!any)
                continue; /* the next step takes the place */
            offset[panel->steps++] = row * s->w * s->inputs + step * TILE_DEPTH;
            out += (end - first) * TILE_DEPTH;
        }
}

static void pack(const struct tile_conv *conv, const float *weights)
{
#pragma omp parallel for schedule(static)
    for (int panel = 0; panel < conv->panel_count; panel++)
        pack_panel(conv, weights, panel);
}

/* Where a step of a panel lies in the window goes by the picture's width, the weights do not. */
static void share(struct tile_conv *conv, const struct tile_conv *like)
{
    const int64_t room = (int64_t)conv->spec.kernel * conv->steps;
    const int32_t row = conv->spec.w * conv->spec.inputs, old = like->spec.w * like->spec.inputs;
    assert(like->spec.inputs == conv->spec.inputs && like->spec.outputs == conv->spec.outputs &&
           like->spec.kernel == conv->spec.kernel && like->functions == conv->functions);
    conv->weights = like->weights;
    conv->bias = like->bias;
    for (int i = 0; i < conv->panel_count; i++) {
        const struct tile_panel *from = &like->panels[i];
        int32_t *offsets = conv->offsets + i * room;
        conv->panels[i] = (struct tile_panel){from->weights, offsets, from->steps};
        for (int step = 0; step < from->steps; step++)
            offsets[step] = from->offsets[step] / old * row + from->offsets[step] % old;
    }
}

int tile_conv_create(const struct tile_conv_spec *spec, const struct tile_functions *functions,
                     const float *weights, const float *bias, struct tile_conv **out_conv)
{
    struct tile_conv *conv = calloc(1, sizeof *conv);
    if (!conv)
        return ERR_NOMEM;
    conv->spec = *spec;
    conv->functions = functions;
    conv->out_h = (spec->h - spec->kernel) / spec->stride + 1;
    conv->out_w = (spec->w - spec->kernel) / spec->stride + 1;
    conv->steps = (spec->kernel * spec->inputs + TILE_DEPTH - 1) / TILE_DEPTH;
    const int64_t row = (int64_t)spec->w * spec->inputs * spec->stride * 2;
    conv->stripe = row * STRIPE_ROWS <= STRIPE_BYTES ? STRIPE_ROWS
                   : row < STRIPE_BYTES              ? (int)(STRIPE_BYTES / row)
                                                     : 1;
    conv->panel_count = (spec->outputs + BLOCK_OUTPUTS - 1) / BLOCK_OUTPUTS;
    const size_t outputs = (size_t)spec->outputs, panels = (size_t)conv->panel_count;
    const size_t steps = (size_t)spec->kernel * (size_t)conv->steps;
    conv->offsets = allocate(panels * steps * sizeof *conv->offsets);
    conv->panels = allocate(panels * sizeof *conv->panels);
    if (!spec->like) {
        conv->weights = allocate(outputs * steps * TILE_DEPTH * sizeof *conv->weights);
        conv->bias = allocate(outputs * sizeof *conv->bias);
    }
    if (!conv->offsets || !conv->panels || (!spec->like && !(conv->weights && conv->bias))) {
        tile_conv_destroy(&conv);
        return ERR_NOMEM;
    }
    if (spec->like) {
        share(conv, spec->like);
    } else {
        pack(conv, weights);
        for (size_t o = 0; o < outputs; o++)
            conv->bias[o] = bias ? bias[o] : 0;
    }
    *out_conv = conv;
    return 0;
}

void tile_conv_destroy(struct tile_conv **conv)
{
    struct tile_conv *c = *conv;
    if (!c)
        return;
    if (!c->spec.like) {
        free(c->weights);
        free(c->bias);
    }
    free(c->offsets);
    free(c->panels);
    free(c);
    *conv = NULL;
}

size_t tile_conv_bytes(const struct tile_conv *conv)
{
    size_t steps = 0;
    for (int i = 0; i < conv->panel_count; i++)
        steps += (size_t)conv->panels[i].steps;
    const size_t own = sizeof *conv + (size_t)conv->panel_count * sizeof *conv->panels +
                       steps * sizeof *conv->offsets;
    if (conv->spec.like)
        return own;
    return own + (size_t)conv->spec.outputs * sizeof *conv->bias +
           steps * BLOCK_OUTPUTS * TILE_DEPTH * sizeof *conv->weights;
}

size_t tile_conv_parts(const struct tile_conv *conv)
{
    return (size_t)stripes_of(conv) * (size_t)(conv->spec.outputs / VIEW_BLOCK);
}

/* The rows [first, end) of the outputs of one panel. */
static void compute(const struct tile_conv *conv, int panel, int first, int end,
                    const uint16_t *src, float *dst)
{
    const struct tile_conv_spec *s = &conv->spec;
    const int64_t src_row = (int64_t)s->w * s->inputs, dst_row = (int64_t)conv->out_w * VIEW_BLOCK;
    const int64_t plane = conv->out_h * dst_row; /* of 16 channels */
    struct tile_block block = {
        .src_pixel = (int64_t)s->stride * s->inputs,
        .offsets = conv->panels[panel].offsets,
        .weights = conv->panels[panel].weights,
        .bias = conv->bias + (int64_t)panel * BLOCK_OUTPUTS,
        .dst_pixel = VIEW_BLOCK,
        .dst_tile = plane,
        .steps = conv->panels[panel].steps,
        .outputs = min_int(BLOCK_OUTPUTS, s->outputs - panel * BLOCK_OUTPUTS),
    };
    for (int y = first; y < end; y++)
        for (int x = 0; x < conv->out_w; x += BLOCK_PIXELS) {
            block.src = src + y * s->stride * src_row + x * block.src_pixel;
            block.dst = dst + (BLOCK_OUTPUTS / VIEW_BLOCK) * panel * plane + y * dst_row +
                        (int64_t)x * VIEW_BLOCK;
            block.pixels = min_int(BLOCK_PIXELS, conv->out_w - x);
            conv->functions->block(&block);
        }
}

/* What is seen of the outputs' rows or columns: all, or what belongs to the phase. */
static void seen(const struct tile_conv *conv, int size, int phase, int *first, int *end)
{
    *first = conv->spec.phases ? phase : 0;
    *end = conv->spec.phases ? size - 1 + phase : size;
}

/* Rows [first, end) of one block of 16 channels are computed: they are still near. */
static void finish(const struct tile_conv *conv, int block, int first, int end, float *dst,
                   struct tile_part *part)
{
    const struct row_functions *f = rows_functions();
    const int64_t row = (int64_t)conv->out_w * VIEW_BLOCK;
    const int phase = conv->spec.phases ? block / (conv->spec.outputs / 4 / VIEW_BLOCK) : 0;
    int y, y_end, x, x_end;
    float *plane = dst + block * conv->out_h * row;
    seen(conv, conv->out_h, phase / 2, &y, &y_end);
    seen(conv, conv->out_w, phase % 2, &x, &x_end);
    y = y > first ? y : first;
    y_end = y_end < end ? y_end : end;
    if (conv->spec.relu)
        for (float *value = plane + first * row; value < plane + end * row; value++)
            *value = *value < 0 ? 0 : *value; /* NaN stays */
    if (!part)
        return;
    *part = (struct tile_part){.count = y < y_end ? (int64_t)(y_end - y) * (x_end - x) : 0};
    if (part->count == 0)
        return;
    memcpy(part->origin, plane + y * row + (int64_t)x * VIEW_BLOCK, sizeof part->origin);
    float origin[VIEW_BLOCK] __attribute__((aligned(ALIGNMENT)));
    memcpy(origin, part->origin, sizeof origin);
    for (; y < y_end; y++)
        f->moments(plane + y * row + (int64_t)x * VIEW_BLOCK, VIEW_BLOCK, x_end - x, origin,
                   part->sum, part->squares);
}

void tile_conv_run(const struct tile_conv *conv, const uint16_t *src, float *dst,
                   struct tile_part *parts)
{
    const int panels = conv->panel_count, items = stripes_of(conv) * panels;
    const int blocks = conv->spec.outputs / VIEW_BLOCK, wide = BLOCK_OUTPUTS / VIEW_BLOCK;
#pragma omp parallel
    {
        conv->functions->begin();
#pragma omp for schedule(dynamic)
        for (int item = 0; item < items; item++) {
            const int stripe = item / panels, panel = item % panels;
            const int first = stripe * conv->stripe;
            const int end = min_int(first + conv->stripe, conv->out_h);
            compute(conv, panel, first, end, src, dst);
            for (int b = wide * panel; b < min_int(wide * (panel + 1), blocks); b++)
                finish(conv, b, first, end, dst, parts ? parts + stripe * blocks + b : NULL);
        }
        conv->functions->end();
    }
}

void tile_conv_moments(const struct tile_conv *conv, const struct tile_part *parts,
                       struct moments *out)
{
    const int stripes = stripes_of(conv), blocks = conv->spec.outputs / VIEW_BLOCK;
    const int groups = conv->spec.phases ? 4 : 1, own = blocks / groups;
    for (int c = 0; c < own * VIEW_BLOCK; c++) {
        double count = 0, sum = 0, squares = 0;
        for (int i = 0; i < stripes * groups; i++) {
            const struct tile_part *p =
                &parts[i / groups * blocks + i % groups * own + c / VIEW_BLOCK];
            if (p->count == 0)
                continue;
            count += (double)p->count;
            sum += (double)p->count * (double)p->origin[c % VIEW_BLOCK] + p->sum[c % VIEW_BLOCK];
        }
        const double mean = sum / count;
        for (int i = 0; i < stripes * groups; i++) {
            const struct tile_part *p =
                &parts[i / groups * blocks + i % groups * own + c / VIEW_BLOCK];
            if (p->count == 0)
                continue;
            const double n = (double)p->count, shifted = p->sum[c % VIEW_BLOCK] / n;
            const double away = (double)p->origin[c % VIEW_BLOCK] + shifted - mean;
            squares += p->squares[c % VIEW_BLOCK] - n * shifted * shifted + n * away * away;
        }
        out[c] = (struct moments){.mean = mean, .squares = squares};
    }
}

/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/winograd.h"

#include "common/err.h"
#include "gpu/cpu/pages.h"
#include "gpu/cpu/sweep.h"
#include "gpu/cpu/winograd_steps.h"

#include <assert.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* Blocks of outputs whose points are computed before they are stored. */
#define GROUP_BLOCKS 4
/* Values of one point of 16 tiles in one block. */
#define POINT_VALUES (WINOGRAD_TILES * VIEW_BLOCK)

struct winograd_conv {
    struct conv conv; /* first */
    struct conv_spec spec;
    const struct winograd_steps *steps;
    int points;       /* 36, or 25 of a doubled picture */
    int down, across; /* tiles */
    int threads;
    bool shares;         /* weights and bias are another's */
    float *weights;      /* [blocks / 4][points][4][inputs][16 outputs] */
    float *bias;         /* [outputs] */
    double *sums;        /* owned; [groups of tiles][blocks][2][16]: of the last run's result */
    size_t loaded_bytes; /* of a group's points, before what they are multiplied to */
};

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

/* Blocks of outputs in the group that begins with block `first`. */
static int group_blocks(const struct winograd_conv *c, int first)
{
    return min_int(GROUP_BLOCKS, c->spec.outputs / VIEW_BLOCK - first);
}

/* Where the weights of block `first` begin, the first of its group. */
static size_t weights_at(const struct winograd_conv *c, int first)
{
    return (size_t)first * (size_t)c->points * (size_t)c->spec.inputs * VIEW_BLOCK;
}

static void pack(const struct winograd_conv *c, const float *weights)
{
    const int inputs = c->spec.inputs, blocks = c->spec.outputs / VIEW_BLOCK;
#pragma omp parallel for schedule(static)
    for (int block = 0; block < blocks; block++) {
        const int first = block / GROUP_BLOCKS * GROUP_BLOCKS, count = group_blocks(c, first);
        const int64_t kernel = (int64_t)inputs * VIEW_BLOCK;
        float *out = c->weights + weights_at(c, first) + (block - first) * kernel;
        for (int i = 0; i < inputs; i++)
            c->steps->weights(weights + ((int64_t)block * VIEW_BLOCK * inputs + i) * 9,
                              (int64_t)inputs * 9, c->spec.nearest, out + i * VIEW_BLOCK,
                              count * kernel);
    }
}

/* Row or column `i` of the input, as it is shown; -1: zeros. What no output needs is like its
 * neighbour, which a doubled picture's transform relies on. */
static int source(const struct winograd_conv *c, int i, int n)
{
    const struct padding padding = c->spec.padding;
    return padding_source(padding, min_int(i, n - 1 + padding.after), n);
}

/* Where the six rows and columns of a tile lie in block 0. */
static void locate(const struct winograd_conv *c, const struct view *src, int tile,
                   struct winograd_load *out)
{
    const int before = c->spec.padding.before;
    const int top = tile / c->across * WINOGRAD_OUTPUT - before;
    const int left = tile % c->across * WINOGRAD_OUTPUT - before;
    for (int i = 0; i < WINOGRAD_INPUT; i++) {
        const int y = source(c, top + i, c->spec.h), x = source(c, left + i, c->spec.w);
        out->row[i] = y < 0 ? NULL : view_row(src, 0, y);
        out->column[i] = x < 0 ? -1 : view_column(src, x);
    }
}

static void load_tiles(const struct winograd_conv *c, const struct conv_task *task, int first,
                       float *points)
{
    const int blocks = c->spec.inputs / VIEW_BLOCK, tiles = c->down * c->across;
    const int64_t point = (int64_t)blocks * POINT_VALUES;
    for (int i = 0; i < WINOGRAD_TILES; i++) {
        struct winograd_load place = {.doubled = c->spec.nearest, .point = point};
        /* The last group may have fewer: what is computed beside them is not stored. */
        locate(c, task->src, min_int(first + i, tiles - 1), &place);
        for (int b = 0; b < blocks; b++) {
            struct winograd_load one = place;
            for (int y = 0; y < WINOGRAD_INPUT; y++)
                one.row[y] = place.row[y] ? place.row[y] + b * task->src->block : NULL;
            one.scale = task->scale ? task->scale + b * VIEW_BLOCK : NULL;
            one.shift = task->scale ? task->shift + b * VIEW_BLOCK : NULL;
            one.slope = task->slope ? task->slope + b * VIEW_BLOCK : NULL;
            one.out = points + (b * WINOGRAD_TILES + i) * VIEW_BLOCK;
            c->steps->load(&one);
        }
    }
}

static void multiply_points(const struct winograd_conv *c, int first, const float *points,
                            float *products)
{
    const int count = group_blocks(c, first), inputs = c->spec.inputs;
    const float *weight = c->weights + weights_at(c, first);
    for (int p = 0; p < c->points; p++)
        for (int b = 0; b < count; b++, weight += (int64_t)inputs * VIEW_BLOCK)
            c->steps->multiply(&(struct winograd_multiply){
                .in = points + (int64_t)p * inputs * WINOGRAD_TILES,
                .weight = weight,
                .channels = inputs,
                .out = products + ((int64_t)p * GROUP_BLOCKS + b) * POINT_VALUES,
            });
}

/* `sums`: this group's, [blocks][2][16]. */
static void store_tiles(const struct winograd_conv *c, const struct conv_task *task, int first,
                        int block, const float *products, double *sums)
{
    const int count = group_blocks(c, block);
    const int end = min_int(first + WINOGRAD_TILES, c->down * c->across);
    for (int b = 0; b < count; b++) {
        double *sum = sums + (int64_t)(block + b) * 2 * VIEW_BLOCK;
        for (int tile = first; tile < end; tile++) {
            const int y = tile / c->across * WINOGRAD_OUTPUT;
            const int x = tile % c->across * WINOGRAD_OUTPUT;
            float *row = view_row(task->dst, block + b, y);
            c->steps->store(&(struct winograd_store){
                .in = products + b * POINT_VALUES + (tile - first) * VIEW_BLOCK,
                .point = (int64_t)GROUP_BLOCKS * POINT_VALUES,
                .bias = c->bias + (block + b) * VIEW_BLOCK,
                .dst = row + x * task->dst->pixel,
                .row = task->dst->row,
                .pixel = task->dst->pixel,
                .rows = min_int(WINOGRAD_OUTPUT, c->conv.out_h - y),
                .columns = min_int(WINOGRAD_OUTPUT, c->conv.out_w - x),
                .sum = sum,
                .squares = sum + VIEW_BLOCK,
                .doubled = c->spec.nearest,
                .relu = c->spec.relu,
            });
        }
    }
}

static int groups_of(const struct winograd_conv *c)
{
    return (c->down * c->across + WINOGRAD_TILES - 1) / WINOGRAD_TILES;
}

/* Adds up what the groups of tiles found, in their order. */
static void take_moments(const struct conv *conv, struct moments *out)
{
    const struct winograd_conv *c = (const struct winograd_conv *)conv;
    const double n = (double)conv->out_h * (double)conv->out_w;
    const int64_t stride = (int64_t)c->spec.outputs * 2;
    for (int o = 0; o < c->spec.outputs; o++) {
        const double *from = c->sums + o / VIEW_BLOCK * 2 * VIEW_BLOCK + o % VIEW_BLOCK;
        double sum = 0, squares = 0;
        for (int group = 0; group < groups_of(c); group++) {
            sum += from[group * stride];
            squares += from[group * stride + VIEW_BLOCK];
        }
        out[o] = (struct moments){sum / n, squares - sum * sum / n};
    }
}

/* Pieces of all outputs' weights that are read one after the other. */
static int steps_of(const struct winograd_conv *c)
{
    return (c->spec.outputs / VIEW_BLOCK + GROUP_BLOCKS - 1) / GROUP_BLOCKS;
}

/* A small picture has fewer groups of tiles than there are threads: each then computes a part of a
 * group's outputs, and loads the tiles for itself. */
static int parts_of(const struct winograd_conv *c)
{
    return min_int((c->threads + groups_of(c) - 1) / groups_of(c), steps_of(c));
}

static int run(const struct conv *conv, const struct conv_task *task)
{
    const struct winograd_conv *c = (const struct winograd_conv *)conv;
    const int groups = groups_of(c), parts = parts_of(c), steps = steps_of(c);
    const size_t share = conv->scratch_bytes / (size_t)c->threads;
    const int64_t group_sums = (int64_t)c->spec.outputs * 2;
    memset(c->sums, 0, (size_t)(groups * group_sums) * sizeof *c->sums);
#pragma omp parallel for schedule(static)
    for (int i = 0; i < groups * parts; i++) {
        const int group = i / parts, part = i % parts;
        char *mine = (char *)task->scratch + (size_t)omp_get_thread_num() * share;
        float *points = (float *)(void *)mine;
        float *products = (float *)(void *)(mine + c->loaded_bytes);
        load_tiles(c, task, group * WINOGRAD_TILES, points);
        for (int step = part * steps / parts; step < (part + 1) * steps / parts; step++) {
            multiply_points(c, step * GROUP_BLOCKS, points, products);
            store_tiles(c, task, group * WINOGRAD_TILES, step * GROUP_BLOCKS, products,
                        c->sums + group * group_sums);
        }
    }
    return 0;
}

static void destroy(struct conv *conv)
{
    struct winograd_conv *c = (struct winograd_conv *)conv;
    if (!c->shares) {
        pages_free(c->weights, conv->weight_bytes);
        free(c->bias);
    }
    free(c->sums);
    free(c);
}

static const struct conv_kind winograd_kind = {run, destroy, take_moments};

static int pack_own(struct winograd_conv *c, const float *weights, const float *bias)
{
    const size_t outputs = (size_t)c->spec.outputs;
    c->conv.weight_bytes =
        (size_t)c->points * (size_t)c->spec.inputs * outputs * sizeof *c->weights;
    c->weights = pages_allocate(c->conv.weight_bytes);
    c->bias = aligned_alloc(64, outputs * sizeof *c->bias);
    if (!c->weights || !c->bias)
        return ERR_NOMEM;
    if (bias)
        memcpy(c->bias, bias, outputs * sizeof *c->bias);
    else
        memset(c->bias, 0, outputs * sizeof *c->bias);
    pack(c, weights);
    return 0;
}

static void share(struct winograd_conv *c, const struct winograd_conv *like)
{
    assert(like->conv.kind == &winograd_kind && like->spec.nearest == c->spec.nearest &&
           like->spec.inputs == c->spec.inputs && like->spec.outputs == c->spec.outputs);
    c->shares = true;
    c->weights = like->weights;
    c->bias = like->bias;
}

int winograd_create(const struct conv_machine *machine, const struct conv_spec *spec,
                    const float *weights, const float *bias, struct conv **out_conv)
{
    assert(spec->inputs % VIEW_BLOCK == 0 && spec->outputs % VIEW_BLOCK == 0);
    struct winograd_conv *c = calloc(1, sizeof *c);
    if (!c)
        return ERR_NOMEM;
    const int around = spec->padding.before + spec->padding.after - 2;
    const int side = WINOGRAD_INPUT - spec->nearest;
    c->spec = *spec;
    c->spec.name = NULL;
    c->spec.like = NULL;
    c->threads = machine->threads;
    c->steps = winograd_steps();
    c->points = side * side;
    c->conv = (struct conv){
        .kind = &winograd_kind,
        .unfinished = true,
        .form = {TENSOR_F32, VIEW_BLOCKED, {0}},
        .layout = VIEW_BLOCKED,
        .outputs = spec->outputs,
        .out_h = spec->h + around,
        .out_w = spec->w + around,
    };
    c->down = (c->conv.out_h + WINOGRAD_OUTPUT - 1) / WINOGRAD_OUTPUT;
    c->across = (c->conv.out_w + WINOGRAD_OUTPUT - 1) / WINOGRAD_OUTPUT;
    const size_t points = (size_t)c->points, outputs = (size_t)spec->outputs;
    c->loaded_bytes = points * (size_t)spec->inputs * WINOGRAD_TILES * sizeof(float);
    c->conv.scratch_bytes =
        (size_t)machine->threads *
        (c->loaded_bytes + points * GROUP_BLOCKS * POINT_VALUES * sizeof(float));
    c->sums = calloc((size_t)groups_of(c) * outputs * 2, sizeof *c->sums);
    int rc = c->sums ? 0 : ERR_NOMEM;
    if (rc == 0 && spec->like)
        share(c, (const struct winograd_conv *)spec->like);
    else if (rc == 0)
        rc = pack_own(c, weights, bias);
    if (rc == 0)
        *out_conv = &c->conv;
    else
        destroy(&c->conv);
    return rc;
}

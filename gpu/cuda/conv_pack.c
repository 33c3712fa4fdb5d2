/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/conv_plan.h"

#include "gpu/cuda/store.h"

#include <string.h>

/* What a stage's value stands for; `input` is -1 behind the last tap. */
struct place {
    int tap_y, tap_x, input;
};

static struct place place_of(const struct conv_plan *p, const struct conv_phase *f, int slice,
                             int piece, int channel)
{
    const int taps = f->taps_y * f->taps_x;
    struct place at = {.input = -1};
    int tap, from;
    if (p->in_pieces % p->slice_pieces == 0) { /* all taps of the first channels first */
        tap = slice % taps;
        from = slice / taps * p->slice_pieces + piece;
    } else {
        tap = (slice * p->slice_pieces + piece) / p->in_pieces;
        from = (slice * p->slice_pieces + piece) % p->in_pieces;
    }
    if (tap < taps)
        at = (struct place){tap / f->taps_x, tap % f->taps_x, from * CONV_PIECE + channel};
    return at;
}

static float weight_at(const struct kernel_conv *s, const float *weight, int output, int input,
                       int y, int x)
{
    const int64_t plane =
        s->transposed ? (int64_t)input * s->outputs + output : (int64_t)output * s->inputs + input;
    return weight[(plane * s->kernel + y) * s->kernel + x];
}

/* Sum of the kernel's rows first_y … last_y and columns: more than one where they are folded. */
static float weights_at(const struct kernel_conv *s, const float *weight, int output, int input,
                        int (*range)[2])
{
    float sum = 0.0f;
    for (int y = range[0][0]; y <= range[0][1]; y++)
        for (int x = range[1][0]; x <= range[1][1]; x++)
            sum += weight_at(s, weight, output, input, y, x);
    return sum;
}

/* Rows (or columns) of the kernel that tap i of a phase's rows stands for. */
static void rows_of_tap(const struct kernel_conv *s, const struct conv_plan *p, int tap, int first,
                        int parity, int out_range[2])
{
    if (s->transposed) {
        out_range[0] = out_range[1] = parity + s->pad - s->stride * (first + tap);
    } else if (s->doubled && !p->doubled) { /* folded: 0 and 1, 2; or 0, 1 and 2 */
        out_range[0] = tap == 0 ? 0 : 1 + parity;
        out_range[1] = tap == 0 ? parity : 2;
    } else {
        out_range[0] = out_range[1] = tap;
    }
}

/* The layer's output that computed output n is: stored order is that of the shuffled picture. */
static int output_of(const struct kernel_conv *s, int n)
{
    const int quarter = s->outputs / 4;
    return s->shuffled ? n % quarter * 4 + n / quarter : n;
}

static float value_of(const struct kernel_conv *s, const struct conv_plan *p,
                      const struct conv_phase *f, const float *weight, int n, struct place at)
{
    int range[2][2];
    const int limit = p->head ? p->head * s->outputs : s->outputs;
    if (n >= limit || at.input < 0 || at.input >= s->inputs)
        return 0.0f;
    rows_of_tap(s, p, at.tap_y, f->first_y, f->out_y, range[0]);
    rows_of_tap(s, p, at.tap_x, f->first_x, f->out_x, range[1]);
    if (p->head)
        range[1][0] = range[1][1] = n / s->outputs;
    return weights_at(s, weight, p->head ? n % s->outputs : output_of(s, n), at.input, range);
}

/* Where a stage has the value of output n, piece j, channel e. For tensor cores rows of outputs
 * whose 16-byte pieces are exchanged so that eight rows' pieces of one number lie in different
 * banks; for plain multiplications the outputs of one channel side by side. */
static size_t place_in_stage(const struct conv_plan *p, int n, int j, int e)
{
    switch (p->engine) {
    case CONV_WGMMA: return ((size_t)n * 8 + (size_t)(j ^ (n & 7))) * CONV_PIECE + (size_t)e;
    case CONV_MMA: return ((size_t)n * 4 + (size_t)(j ^ (n >> 1 & 3))) * CONV_PIECE + (size_t)e;
    case CONV_FMA: break;
    }
    return (size_t)(j * CONV_PIECE + e) * (size_t)p->tile_outputs + (size_t)n;
}

static void pack_stage(const struct kernel_conv *s, const struct conv_plan *p,
                       const struct conv_phase *f, const float *weight, int tile, int slice,
                       void *out)
{
    for (int j = 0; j < p->slice_pieces; j++)
        for (int e = 0; e < CONV_PIECE; e++) {
            const struct place at = place_of(p, f, slice, j, e);
            for (int n = 0; n < p->tile_outputs; n++)
                store_value(s->type, out, place_in_stage(p, n, j, e),
                            value_of(s, p, f, weight, tile * p->tile_outputs + n, at));
        }
}

/* What values below zero are multiplied by. */
static float slope_of(const struct kernel_conv *s, const struct kernel_conv_values *values, int n)
{
    if (s->act != KERNEL_PRELU)
        return s->act == KERNEL_RELU ? 0.0f : 1.0f;
    const int stored = s->shuffled ? n % (s->outputs / 4) : n;
    return values->slope[values->slopes == 1 ? 0 : stored];
}

/* Bias and slopes of the outputs as computed, zeros behind them. */
static void pack_vectors(const struct kernel_conv *s, const struct kernel_conv_values *values,
                         float *bias, float *slope)
{
    for (int n = 0; n < s->outputs; n++) {
        if (values->bias)
            bias[n] = values->bias[output_of(s, n)];
        slope[n] = slope_of(s, values, n);
    }
}

static size_t vector_floats(const struct conv_plan *p)
{
    return (size_t)p->output_tiles * (size_t)p->tile_outputs;
}

size_t kernel_conv_weight_bytes(const struct kernel_conv *shape)
{
    struct conv_plan plan;
    conv_plan_make(shape, &plan);
    return (size_t)plan.stages * conv_plan_stage_values(&plan) * store_size(shape->type) +
           2 * vector_floats(&plan) * sizeof(float);
}

void kernel_conv_pack(const struct kernel_conv *shape, const struct kernel_conv_values *values,
                      void *out_host)
{
    struct conv_plan plan;
    conv_plan_make(shape, &plan);
    const size_t stage = conv_plan_stage_values(&plan) * store_size(shape->type);
    char *to = out_host;
    for (int i = 0; i < plan.phases; i++)
        for (int tile = 0; tile < plan.output_tiles; tile++)
            for (int slice = 0; slice < plan.phase[i].slices; slice++, to += stage)
                pack_stage(shape, &plan, &plan.phase[i], values->weight, tile, slice, to);
    float *vectors = (float *)(void *)to;
    memset(vectors, 0, 2 * vector_floats(&plan) * sizeof(float));
    pack_vectors(shape, values, vectors, vectors + vector_floats(&plan));
}

/* SPDX-License-Identifier: MIT */
#include "gpu/cuda/conv_plan.h"

#include <assert.h>

#define TILE_PIXELS 128
#define TILE_PIXELS_FMA 64
/* wgmma: of a phase with so many pixels that one picture has blocks for some multiprocessors. */
#define TILE_PIXELS_MANY 256
#define MANY_PIXELS 2048
#define MAX_OFFSET (1 << 30) /* pieces of a picture, that kernels add up as int */

static int up(int a, int b)
{
    return (a + b - 1) / b;
}

static bool is_head(const struct kernel_conv *s)
{
    return s->stride == 1 && !s->doubled && !s->transposed && !s->shuffled && s->kernel > 1 &&
           s->outputs <= CONV_PIECE && s->outputs * s->kernel <= CONV_HEAD_OUTPUTS;
}

/* Of a doubled input, a 3×3 sees only 2×2 different pixels: rows 2q - 1, 2q, 2q + 1 are q - 1, q, q
 * and rows 2q, 2q + 1, 2q + 2 are q, q, q + 1. The weights that meet the same pixel are added, four
 * ninths of the work remain. A reflection without the edge in the doubled is the edge itself. */
static bool is_folded(const struct kernel_conv *s)
{
    return s->doubled && s->kernel == 3 && s->pad == 1 && s->stride == 1 &&
           s->out_h == 2 * s->in_h && s->out_w == 2 * s->in_w;
}

/* Does the farthest reflection fall into the picture? */
static bool reflects(int in, int out, const struct kernel_conv *s)
{
    const int beyond = (out - 1) * s->stride - s->pad + s->kernel - 1 - (in - 1);
    return s->pad < in && beyond < in;
}

const char *kernel_conv_refuses(const struct kernel_conv *s)
{
    const int seen = s->doubled ? 2 : 1;
    const int64_t in = (int64_t)s->in_h * s->in_w, out = (int64_t)s->out_h * s->out_w;
    if (!kernel_type_runs(s->type, s->arch))
        return "the GPU is too old for this precision";
    if (s->inputs < 1 || s->outputs < 1 || s->in_h < 1 || s->in_w < 1 || s->out_h < 1 ||
        s->out_w < 1 || s->pad < 0)
        return "a shape without values";
    if (s->kernel < 1 || s->kernel > CONV_MAX_KERNEL)
        return "a kernel of more than 11 rows";
    if (s->stride < 1 || s->stride > 2 || s->kernel < s->stride)
        return "a stride other than 1 and 2";
    if (in * (kernel_channels(s->inputs) / CONV_PIECE) > MAX_OFFSET ||
        out * (kernel_channels(s->outputs) / CONV_PIECE) > MAX_OFFSET)
        return "a picture of more than 2^33 values";
    if (s->transposed && s->doubled)
        return "a transposed convolution of a doubled picture";
    if (s->shuffled && (s->outputs % 32 != 0 || s->transposed))
        return "a pixel shuffle of channels that are no multiple of 32";
    if (s->shuffled && s->statistics)
        return "a norm behind a pixel shuffle";
    if (s->act != KERNEL_ACT_NONE && s->act != KERNEL_RELU && s->act != KERNEL_PRELU)
        return "an activation of which zero is not zero";
    if (!s->zeros && !s->transposed &&
        (!reflects(seen * s->in_h, s->out_h, s) || !reflects(seen * s->in_w, s->out_w, s)))
        return "a reflection of more than the picture";
    return NULL;
}

static void choose_engine(const struct kernel_conv *s, struct conv_plan *p)
{
    const int columns = p->head ? CONV_HEAD_OUTPUTS : s->outputs;
    p->engine = s->type == KERNEL_F32 ? CONV_FMA : s->arch == 90 ? CONV_WGMMA : CONV_MMA;
    p->tile_pixels = p->engine == CONV_FMA ? TILE_PIXELS_FMA : TILE_PIXELS;
    p->tile_outputs = columns <= 32 ? 32 : columns <= 64 || p->engine == CONV_FMA ? 64 : 128;
    if (p->engine == CONV_WGMMA && p->tile_outputs > CONV_HEAD_OUTPUTS &&
        (int64_t)s->out_h * s->out_w / (p->step * p->step) >= MANY_PIXELS)
        p->tile_pixels = TILE_PIXELS_MANY;
    p->slice_pieces = p->engine == CONV_FMA ? 2 : p->engine == CONV_MMA ? 4 : 8;
}

/* Rows of the output with parity r, of which tap i reads row q + *first + i of the input. */
static void transposed_taps(const struct kernel_conv *s, int r, int *out_first, int *out_taps)
{
    const int least = (r + s->pad) % s->stride; /* of the kernel's rows that meet this parity */
    const int last = least + (s->kernel - 1 - least) / s->stride * s->stride;
    *out_first = (r + s->pad - last) / s->stride;
    *out_taps = (last - least) / s->stride + 1;
}

static void shape_phase(const struct kernel_conv *s, const struct conv_plan *p, int number,
                        struct conv_phase *f)
{
    f->out_y = number / p->step;
    f->out_x = number % p->step;
    f->rows = up(s->out_h - f->out_y, p->step);
    f->columns = up(s->out_w - f->out_x, p->step);
    if (s->transposed) {
        transposed_taps(s, f->out_y, &f->first_y, &f->taps_y);
        transposed_taps(s, f->out_x, &f->first_x, &f->taps_x);
    } else if (is_folded(s)) {
        f->taps_y = f->taps_x = 2;
        f->first_y = f->out_y - 1;
        f->first_x = f->out_x - 1;
    } else {
        f->taps_y = s->kernel;
        f->taps_x = p->head ? 1 : s->kernel;
        f->first_y = f->first_x = -s->pad;
    }
}

static int phase_tiles(const struct conv_plan *p, const struct conv_phase *f)
{
    if (p->head) /* a tile is of one row, and sums reach beyond its end */
        return f->rows * up(f->columns, p->tile_pixels - (p->head - 1));
    return up(f->rows * f->columns, p->tile_pixels);
}

void conv_plan_make(const struct kernel_conv *s, struct conv_plan *p)
{
    const bool folded = is_folded(s);
    assert(!kernel_conv_refuses(s));
    *p = (struct conv_plan){
        .outside = s->transposed || s->zeros ? CONV_ZEROS
                   : folded                  ? CONV_EDGE
                                             : CONV_REFLECT,
        .in_h = s->in_h,
        .in_w = s->in_w,
        .in_pieces = kernel_channels(s->inputs) / CONV_PIECE,
        .out_h = s->out_h,
        .out_w = s->out_w,
        .out_pieces = kernel_channels(s->outputs) / CONV_PIECE,
        .stride = s->transposed ? 1 : s->stride,
        .step = folded          ? 2
                : s->transposed ? s->stride
                                : 1,
        .doubled = s->doubled && !folded,
        .shuffled = s->shuffled,
        .head = is_head(s) ? s->kernel : 0,
        .head_outputs = s->outputs,
    };
    choose_engine(s, p);
    p->output_tiles = p->head ? 1 : up(s->outputs, p->tile_outputs);
    p->phases = p->step * p->step;
    for (int i = 0; i < p->phases; i++) {
        struct conv_phase *f = &p->phase[i];
        shape_phase(s, p, i, f);
        f->first_tile = p->tiles;
        f->first_stage = p->stages;
        f->slices = up(f->taps_y * f->taps_x * p->in_pieces, p->slice_pieces);
        p->tiles += phase_tiles(p, f);
        p->stages += f->slices * p->output_tiles;
    }
}

int kernel_conv_tiles(const struct kernel_conv *shape)
{
    struct conv_plan plan;
    conv_plan_make(shape, &plan);
    return plan.tiles;
}

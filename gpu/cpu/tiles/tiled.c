/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/tiles/tiled.h"

#include "common/err.h"
#include "gpu/cpu/tiles/tile_conv.h"

#include <stdlib.h>
#include <string.h>

struct tiled {
    struct conv conv;        /* first */
    struct tile_conv *tiles; /* owned */
    struct tile_part *parts; /* owned; of the last run */
};

static int run(const struct conv *conv, const struct conv_task *task)
{
    const struct tiled *t = (const struct tiled *)conv;
    const struct tile_conv_spec *s = &t->tiles->spec;
    uint16_t *src = task->src->data;
    memset(src + (int64_t)s->h * s->w * s->inputs, 0, CONV_SLACK_BYTES);
    tile_conv_run(t->tiles, src, task->dst->data, t->parts);
    return 0;
}

static void destroy(struct conv *conv)
{
    struct tiled *t = (struct tiled *)conv;
    tile_conv_destroy(&t->tiles);
    free(t->parts);
    free(t);
}

static void moments(const struct conv *conv, struct moments *out)
{
    const struct tiled *t = (const struct tiled *)conv;
    tile_conv_moments(t->tiles, t->parts, out);
}

static const struct conv_kind tiled_kind = {run, destroy, moments};

int tiled_create(const struct tile_functions *functions, const struct conv_spec *spec,
                 const float *weights, const float *bias, struct conv **out_conv)
{
    _Static_assert(TILE_CONV_SLACK * sizeof(uint16_t) <= CONV_SLACK_BYTES, "room behind");
    const int around = spec->padding.before + spec->padding.after;
    const struct tile_conv_spec tile_spec = {
        .inputs = spec->inputs,
        .outputs = spec->outputs,
        .h = spec->h + around,
        .w = spec->w + around,
        .kernel = spec->kernel,
        .stride = spec->stride,
        .relu = spec->relu,
        .phases = spec->doubled,
        .like = spec->like ? ((const struct tiled *)spec->like)->tiles : NULL,
    };
    struct tiled *t = calloc(1, sizeof *t);
    int rc = t ? tile_conv_create(&tile_spec, functions, weights, bias, &t->tiles) : ERR_NOMEM;
    if (rc == 0 && !(t->parts = calloc(tile_conv_parts(t->tiles), sizeof *t->parts)))
        rc = ERR_NOMEM;
    if (rc < 0) {
        if (t)
            destroy(&t->conv);
        return rc;
    }
    t->conv = (struct conv){
        .kind = &tiled_kind,
        .form = {TENSOR_BF16, VIEW_CHANNELS_LAST, spec->padding},
        .layout = VIEW_BLOCKED,
        .outputs = spec->outputs,
        .out_h = t->tiles->out_h,
        .out_w = t->tiles->out_w,
        .weight_bytes = tile_conv_bytes(t->tiles) + tile_conv_parts(t->tiles) * sizeof *t->parts,
    };
    *out_conv = &t->conv;
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * One convolution of bf16 values by tiles: the blocking that all kinds of machine share.
 *
 *     rc = tile_conv_create(&spec, weights, bias, &conv);
 *     tile_conv_run(conv, src, dst, parts);           // parts: tile_conv_parts() of them, or NULL
 *     tile_conv_moments(conv, parts, moments);        // what a norm behind it wants to know
 *     tile_conv_destroy(&conv);
 *
 * The picture comes padded, channels-last in bf16, and goes out as f32 in blocks of 16 channels
 * (view.h: nChw16c), so that a tile of sums is one piece of memory. Work is cut into stripes of
 * rows by panels of 32 outputs: a stripe of the input and a panel of weights stay in the second
 * level of the cache (2 MiB on machines with AMX) while each block of 32 pixels passes over the
 * panel. The cut depends on the layer alone; a sum is never shared by two threads. So a picture
 * has the same bytes with any number of threads.
 * A conv does not change after it is made: any thread may run it. */
#ifndef DARKROOM_GPU_CPU_TILE_CONV_H
#define DARKROOM_GPU_CPU_TILE_CONV_H

#include "gpu/cpu/sweep.h"
#include "gpu/cpu/tiles/tiles.h"

#include <stddef.h>

struct tile_conv_spec {
    int inputs;  /* channels as they lie in memory: any number */
    int outputs; /* a multiple of 16 */
    int h, w;    /* of the padded input */
    int kernel, stride;
    bool relu;
    /* The outputs are four groups, the phases (py, px) of a picture twice as high and wide, with
     * 2x2 taps (fold.h): phase 1 starts a pixel later, phase 0 ends one earlier. */
    bool phases;
    /* Borrowed; nullable: the same of another height and width, which stays for as long. Its packed
     * weights are used. */
    const struct tile_conv *like;
};

/* The weights of 32 outputs: steps that have any. */
struct tile_panel {
    const uint16_t *weights;
    const int32_t *offsets;
    int steps;
};

struct tile_conv {
    struct tile_conv_spec spec;
    const struct tile_functions *functions;
    int out_h, out_w;
    int steps;                 /* pieces of a run */
    int stripe;                /* rows of output at once */
    int panel_count;           /* the last may be half */
    struct tile_panel *panels; /* owned */
    uint16_t *weights;         /* owned, or like's; room for the steps of all panels */
    int32_t *offsets;          /* owned; the same */
    float *bias;               /* owned, or like's; [outputs] */
};

/* Sums over a part of a block of 16 channels, around its first pixel. */
struct tile_part {
    float origin[VIEW_BLOCK];
    double sum[VIEW_BLOCK], squares[VIEW_BLOCK];
    int64_t count; /* of pixels; 0: the rest means nothing */
};

/* Values behind the padded input that have to be readable and finite. */
#define TILE_CONV_SLACK TILE_DEPTH

/* `weights` [outputs][inputs][K][K] and `bias` [outputs] (nullable) are borrowed for the call.
 * Both NULL with a `like`. ERR_NOMEM. */
int tile_conv_create(const struct tile_conv_spec *spec, const struct tile_functions *functions,
                     const float *weights, const float *bias, struct tile_conv **out_conv);
void tile_conv_destroy(struct tile_conv **conv); /* accepts NULL inside */

/* Bytes that the conv holds, for those who count. */
size_t tile_conv_bytes(const struct tile_conv *conv);

/* How many parts tile_conv_run() writes. */
size_t tile_conv_parts(const struct tile_conv *conv);

/* `parts` may be NULL. */
void tile_conv_run(const struct tile_conv *conv, const uint16_t *src, float *dst,
                   struct tile_part *parts);

/* Of each channel, phases taken together: out has `outputs`, with phases a quarter of them. */
void tile_conv_moments(const struct tile_conv *conv, const struct tile_part *parts,
                       struct moments *out);

#endif

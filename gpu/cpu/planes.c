/* SPDX-License-Identifier: MIT */
#include "gpu/cpu/planes.h"

#include "gpu/cpu/rows.h"
#include "gpu/network.h"

/* The rows [y, y + rows) of all outputs, one window of 16 pixels after the other. The last window
 * moves to a buffer: it may stick out. */
static void stripe(const struct layer *l, const struct view *src, const float *weight,
                   const float *bias, int y, int rows, float *out)
{
    const int64_t plane = l->h * l->w;
    float window[PLANES_MAX_OUTPUTS][ROWS_CONV_ROWS * ROWS_CONV_PIXELS];
    for (int64_t x = 0; x < l->w; x += ROWS_CONV_PIXELS) {
        struct row_conv task = {
            .src = view_at(src, y * src->row + x),
            .plane = src->block,
            .row = src->row,
            .inputs = (int)l->weight.dim[1],
            .kernel = l->kernel,
            .weight = weight,
            .dst = {window[0], window[1], window[2]},
            .dst_row = ROWS_CONV_PIXELS,
            .rows = rows,
        };
        rows_functions()->conv3(&task);
        int64_t n = l->w - x < ROWS_CONV_PIXELS ? l->w - x : ROWS_CONV_PIXELS;
        for (int64_t o = 0; o < l->c; o++)
            for (int i = 0; i < rows; i++) {
                float *to = out + o * plane + (y + i) * l->w + x;
                const float *from = window[o] + i * ROWS_CONV_PIXELS;
                for (int64_t j = 0; j < n; j++)
                    to[j] = bias ? from[j] + bias[o] : from[j];
            }
    }
}

void planes_conv(const struct layer *layer, const struct view *src, const float *weight,
                 const float *bias, float *out)
{
    const int stripes = ((int)layer->h + ROWS_CONV_ROWS - 1) / ROWS_CONV_ROWS;
#pragma omp parallel for schedule(dynamic)
    for (int i = 0; i < stripes; i++) {
        int y = i * ROWS_CONV_ROWS;
        int rows = (int)layer->h - y < ROWS_CONV_ROWS ? (int)layer->h - y : ROWS_CONV_ROWS;
        stripe(layer, src, weight, bias, y, rows, out);
    }
}

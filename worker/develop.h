/* SPDX-License-Identifier: MIT
 *
 * What happens to one picture on either side of the network, the same in `run` and in the
 * pipeline, so that both give the same bytes.
 *
 *     rc = develop_input(data, size, &manifest->limits, NULL, side, &square, &err);
 *     pixels_to_tensor(square.pixels, side, side, tensor);  // and the network
 *     rc = develop_output(tensor, side, &png, &err);
 *
 * Pure functions; any thread. */
#ifndef DARKROOM_WORKER_DEVELOP_H
#define DARKROOM_WORKER_DEVELOP_H

#include "common/picture.h"

struct buf;
struct err;

/* Decodes a file of PNG, JPEG or WebP within the limits, crops (`crop` is NULL for the whole
 * picture) and squeezes it to side x side. `*out_square` is owned by the caller and empty before.
 * Codes as picture_decode(); ERR_INVALID for a crop outside the picture. */
int develop_input(const void *data, size_t size, const struct picture_limits *limits,
                  const struct picture_rect *crop, int side, struct picture *out_square,
                  struct err *err);

/* Rounds [3][side][side] in [-1,1] to bytes and appends them to `out` as a PNG. */
int develop_output(const float *chw, int side, struct buf *out, struct err *err);

#endif

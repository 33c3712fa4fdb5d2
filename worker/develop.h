/* SPDX-License-Identifier: MIT
 *
 * What happens to one picture on either side of the network, the same in `run` and in the
 * pipeline, so that both give the same bytes.
 *
 *     struct pixels_format format = develop_format(manifest, info);
 *     rc = develop_input(data, size, &manifest->limits, NULL, side, format.resize, &square, &err);
 *     pixels_to_tensor(square.pixels, side, side, &format, tensor);  // and the network
 *     rc = develop_describe(&subject, &metadata, &err);
 *     rc = develop_output(info, &format, &digits, values, &metadata, &png, &err);
 *
 * Pure functions; any thread. */
#ifndef DARKROOM_WORKER_DEVELOP_H
#define DARKROOM_WORKER_DEVELOP_H

#include "common/picture.h"

struct buf;
struct digits;
struct err;
struct manifest;
struct model_info;
struct picture_metadata;
struct pixels_format;

/* Between pictures and tensors: as the network's original does it, but for what the manifest says
 * (NULL: there is none). */
struct pixels_format develop_format(const struct manifest *manifest, const struct model_info *info);

/* Decodes a file of PNG, JPEG or WebP within the limits, crops (`crop` is NULL for the whole
 * picture) and squeezes it to side x side. `*out_square` is owned by the caller and empty before.
 * Codes as picture_decode(); ERR_INVALID for a crop outside the picture. */
int develop_input(const void *data, size_t size, const struct picture_limits *limits,
                  const struct picture_rect *crop, int side, enum picture_filter filter,
                  struct picture *out_square, struct err *err);

/* What made a picture. All borrowed. */
struct develop_subject {
    const struct manifest *manifest; /* NULL: a bare file of weights */
    const struct model_info *info;
    const char *weights_sha256;
    const char *params; /* text of the job's parameters, checked; NULL: none */
    int64_t created_ms; /* of the job; 0: there is none */
};

/* Says it (docs/decisions/0036). Where a job brings no picture the time is left out, so that the
 * same parameters give the same file. *out_metadata is owned by the caller
 * (picture_metadata_fini). */
int develop_describe(const struct develop_subject *subject, struct picture_metadata *out_metadata,
                     struct err *err);

/* The most bytes that a PNG of this model, of its input or of its output, may have. */
size_t develop_max_bytes(const struct model_info *info);

/* Makes a picture of what the network gave and appends it to `out` as a PNG that says `metadata`:
 * [3][out_size][out_size] as `format` has it, or with MODEL_FROM_DIGITS a row for each of `digits`,
 * which is nothing to other models. */
int develop_output(const struct model_info *info, const struct pixels_format *format,
                   const struct digits *digits, const float *values,
                   const struct picture_metadata *metadata, struct buf *out, struct err *err);

/* The same of where the network looked, which lies behind the picture in `values`: from the least
 * (blue) to the greatest (red), as large as the picture. info->heat_side must not be 0. */
int develop_heat_map(const struct model_info *info, const float *values,
                     const struct picture_metadata *metadata, struct buf *out, struct err *err);

#endif

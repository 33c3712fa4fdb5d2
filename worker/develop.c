/* SPDX-License-Identifier: MIT */
#include "worker/develop.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/job.h"
#include "common/json.h"
#include "common/manifest.h"
#include "gpu/model.h"
#include "gpu/pixels.h"
#include "worker/digits.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct pixels_format develop_format(const struct manifest *manifest, const struct model_info *info)
{
    struct pixels_format format = info->format;
    if (manifest && manifest->resize)
        format.resize =
            strcmp(manifest->resize, "bilinear") == 0 ? PICTURE_BILINEAR : PICTURE_ANTIALIAS;
    if (manifest && manifest->rounding)
        format.rounding =
            strcmp(manifest->rounding, "truncate") == 0 ? PIXELS_TRUNCATE : PIXELS_ROUND;
    return format;
}

int develop_input(const void *data, size_t size, const struct picture_limits *limits,
                  const struct picture_rect *crop, int side, enum picture_filter filter,
                  struct picture *out_square, struct err *err)
{
    struct picture photo = {0};
    int rc = picture_decode(data, size, limits, &photo, err);
    if (rc == 0 && crop)
        rc = picture_crop(&photo, crop, err);
    if (rc == 0)
        rc = picture_resize(&photo, side, side, filter, out_square, err);
    picture_fini(&photo);
    return rc;
}

static int describe_params(const struct develop_subject *subject, struct picture_metadata *metadata,
                           struct err *err)
{
    static const struct json_limits limits = {.max_bytes = JOB_PARAMS_MAX, .max_depth = 8};
    json_t *params = NULL;
    if (!subject->params)
        return 0;
    int rc = json_parse(subject->params, strlen(subject->params), limits, &params, err);
    if (rc == 0)
        picture_metadata_set_seed(metadata, params);
    if (rc == 0 && !(subject->manifest && subject->manifest->withhold_params))
        rc = picture_metadata_set_params(metadata, params, err);
    json_decref(params);
    return rc;
}

int develop_describe(const struct develop_subject *subject, struct picture_metadata *out_metadata,
                     struct err *err)
{
    const struct manifest *manifest = subject->manifest;
    struct picture_metadata metadata = {
        .version = DARKROOM_VERSION,
        .source = manifest ? manifest->source : PICTURE_SOURCE_TRAINED,
        .created_ms = manifest && !manifest->has_input ? 0 : subject->created_ms,
    };
    if (manifest)
        snprintf(metadata.model, sizeof metadata.model, "%s", manifest->name);
    snprintf(metadata.weights_sha256, sizeof metadata.weights_sha256, "%s",
             subject->weights_sha256);
    snprintf(metadata.backend, sizeof metadata.backend, "%s-%s",
             model_device_name(subject->info->device),
             model_precision_name(subject->info->precision));
    int rc = describe_params(subject, &metadata, err);
    if (rc < 0)
        picture_metadata_fini(&metadata);
    else
        *out_metadata = metadata;
    return rc;
}

size_t develop_max_bytes(const struct model_info *info)
{
    const int side = info->out_size > info->size ? info->out_size : info->size;
    size_t width = (size_t)side, height = width;
    if (info->input == MODEL_FROM_DIGITS) {
        width = (size_t)CGAN_MAX_DIGITS * CGAN_TILE;
        height = CGAN_TILE;
    }
    return 4 * width * height + 65536 + 2 * PICTURE_XMP_MAX;
}

static int make_picture(const struct model_info *info, const struct pixels_format *format,
                        const struct digits *digits, const float *values,
                        struct picture *out_picture, struct err *err)
{
    if (info->input == MODEL_FROM_DIGITS)
        return digits_paint(digits, values, out_picture, err);
    int rc = picture_init(out_picture, info->out_size, info->out_size, err);
    if (rc == 0)
        pixels_from_tensor(values, info->out_size, info->out_size, format, out_picture->pixels);
    return rc;
}

int develop_output(const struct model_info *info, const struct pixels_format *format,
                   const struct digits *digits, const float *values,
                   const struct picture_metadata *metadata, struct buf *out, struct err *err)
{
    struct picture picture = {0};
    int rc = make_picture(info, format, digits, values, &picture, err);
    if (rc == 0)
        rc = picture_encode(&picture, PICTURE_PNG, 0, metadata, out, err);
    picture_fini(&picture);
    return rc;
}

/* The colours that OpenCV calls "jet", in which the original's test program shows it: `heat` from 0
 * to 1 over blue, cyan, yellow and red. */
static void colour(float heat, unsigned char *out_rgb)
{
    static const float middle[] = {3, 2, 1};
    for (int i = 0; i < 3; i++) {
        float value = 1.5f - fabsf(4 * heat - middle[i]);
        out_rgb[i] = (unsigned char)lrintf(255 * fminf(fmaxf(value, 0), 1));
    }
}

static void paint_heat(const float *heat, size_t count, unsigned char *out_rgb)
{
    float least = heat[0], most = heat[0];
    for (size_t i = 1; i < count; i++) {
        least = fminf(least, heat[i]);
        most = fmaxf(most, heat[i]);
    }
    for (size_t i = 0; i < count; i++)
        colour(most > least ? (heat[i] - least) / (most - least) : 0, out_rgb + 3 * i);
}

int develop_heat_map(const struct model_info *info, const float *values,
                     const struct picture_metadata *metadata, struct buf *out, struct err *err)
{
    const size_t side = (size_t)info->heat_side;
    struct picture small = {0}, large = {0};
    int rc = picture_init(&small, info->heat_side, info->heat_side, err);
    if (rc == 0) {
        paint_heat(values + info->out_values - side * side, side * side, small.pixels);
        rc = picture_resize(&small, info->out_size, info->out_size, PICTURE_BILINEAR, &large, err);
    }
    if (rc == 0)
        rc = picture_encode(&large, PICTURE_PNG, 0, metadata, out, err);
    picture_fini(&large);
    picture_fini(&small);
    return rc;
}

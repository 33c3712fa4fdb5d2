/* SPDX-License-Identifier: MIT */
#include "worker/develop.h"

#include "common/buf.h"
#include "common/err.h"
#include "gpu/pixels.h"

int develop_input(const void *data, size_t size, const struct picture_limits *limits,
                  const struct picture_rect *crop, int side, struct picture *out_square,
                  struct err *err)
{
    struct picture photo = {0};
    int rc = picture_decode(data, size, limits, &photo, err);
    if (rc == 0 && crop)
        rc = picture_crop(&photo, crop, err);
    if (rc == 0)
        rc = picture_resize(&photo, side, side, out_square, err);
    picture_fini(&photo);
    return rc;
}

int develop_output(const float *chw, int side, struct buf *out, struct err *err)
{
    struct picture picture = {0};
    int rc = picture_init(&picture, side, side, err);
    if (rc == 0) {
        pixels_from_tensor(chw, side, side, PIXELS_ROUND, picture.pixels);
        rc = picture_encode(&picture, PICTURE_PNG, 0, NULL, out, err);
    }
    picture_fini(&picture);
    return rc;
}

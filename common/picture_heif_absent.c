/* SPDX-License-Identifier: MIT
 *
 * What stands in for picture_heif.c where Darkroom was built without libheif. */
#include "common/picture_codec.h"

#include "common/err.h"

static int refuse(struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "input",
                   "HEIC is not taken here (built without libheif): send a JPEG, PNG or WebP");
}

int picture_heif_read_header(const uint8_t *data, size_t size, struct picture_header *out_header,
                             struct err *err)
{
    return refuse(err);
}

int picture_heif_decode(const uint8_t *data, size_t size, struct picture *picture, struct err *err)
{
    return refuse(err);
}

/* SPDX-License-Identifier: MIT
 *
 * Any bytes as a picture: what decodes has the size that the probe said, and can be resized. */
#include "common/err.h"
#include "common/picture.h"

#include "tests/fuzz/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct picture_limits limits = {
        .max_bytes = 1 << 20, .max_pixels = 300 * 300, .max_side = 2000};
    struct picture_info info;
    struct picture picture = {0}, small = {0};
    struct err err = {0};
    int probed = picture_probe(data, size, &limits, &info, &err);
    int rc = picture_decode(data, size, &limits, &picture, &err);
    fuzz_check(probed == 0 || rc < 0);
    if (rc == 0) {
        fuzz_check(picture.width == info.width && picture.height == info.height);
        fuzz_check(picture_resize(&picture, 7, 5, PICTURE_ANTIALIAS, &small, NULL) == 0);
        struct picture_rect crop = {info.width / 2, info.height / 2, 1, 1};
        fuzz_check(picture_crop(&picture, &crop, NULL) == 0);
    } else {
        fuzz_check(picture.pixels == NULL && err.text[0]);
    }
    picture_fini(&small);
    picture_fini(&picture);
    return 0;
}

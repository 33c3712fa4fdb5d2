/* SPDX-License-Identifier: MIT */
#include "dispatcher/notifier/thumbnail.h"

#include "common/err.h"
#include "common/picture.h"
#include "tests/unit/check.h"

#define MAX_BYTES 30720

/* A PNG whose pixels say nothing, which is the worst for a JPEG. */
static struct buf noise(int width, int height)
{
    struct picture picture = {0};
    struct buf png;
    uint32_t state = 1;
    buf_init(&png, 64u << 20);
    CHECK_INT(picture_init(&picture, width, height, NULL), 0);
    for (size_t i = 0; i < (size_t)width * (size_t)height * 3; i++) {
        state = state * 1664525 + 1013904223;
        picture.pixels[i] = (uint8_t)(state >> 24);
    }
    CHECK_INT(picture_encode(&picture, PICTURE_PNG, 0, NULL, &png, NULL), 0);
    picture_fini(&picture);
    return png;
}

static void check_small(int width, int height, int shown_width, int shown_height)
{
    struct buf png = noise(width, height), jpeg = {0};
    struct picture_info info;
    const struct picture_limits limits = {MAX_BYTES, 1000000, 1000};
    int w = 0, h = 0;
    CHECK_INT(thumbnail_make(png.data, png.size, 320, MAX_BYTES, &jpeg, &w, &h, NULL), 0);
    CHECK(jpeg.size > 0 && jpeg.size <= MAX_BYTES);
    CHECK_INT(w, shown_width);
    CHECK_INT(h, shown_height);
    CHECK_INT(picture_probe(jpeg.data, jpeg.size, &limits, &info, NULL), 0);
    CHECK_INT(info.format, PICTURE_JPEG);
    CHECK(info.width <= 640 && info.height <= 640);
    buf_fini(&jpeg);
    buf_fini(&png);
}

static void any_picture_becomes_a_small_one_within_its_bytes(void)
{
    check_small(2000, 1000, 320, 160);
    check_small(300, 900, 106, 320);
    check_small(256, 256, 256, 256);
    check_small(1, 1, 1, 1);
    check_small(4000, 1, 320, 1);
}

static void what_is_no_picture_has_none(void)
{
    static const char *const texts[] = {"", "{\"a\": 1}", "GIF89a", "\x89PNG\r\n\x1a\n",
                                        "\xff\xd8\xff\xe0"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct buf jpeg = {0};
        struct err err = {0};
        int w, h;
        CHECK(thumbnail_make(texts[i], strlen(texts[i]), 320, MAX_BYTES, &jpeg, &w, &h, &err) < 0);
        buf_fini(&jpeg);
    }
}

static void a_picture_that_was_cut_off_has_none(void)
{
    struct buf png = noise(40, 40);
    for (size_t size = 0; size < png.size; size += 97) {
        struct buf jpeg = {0};
        int w, h;
        CHECK(thumbnail_make(png.data, size, 320, MAX_BYTES, &jpeg, &w, &h, NULL) < 0);
        buf_fini(&jpeg);
    }
    buf_fini(&png);
}

int main(void)
{
    RUN(any_picture_becomes_a_small_one_within_its_bytes);
    RUN(what_is_no_picture_has_none);
    RUN(a_picture_that_was_cut_off_has_none);
    return check_report();
}

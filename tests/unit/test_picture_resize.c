/* SPDX-License-Identifier: MIT
 *
 * picture_resize() against vectors that PIL and OpenCV made: tests/data/make_pictures.py and
 * make_bilinear.py. */
#include "common/err.h"
#include "common/picture.h"
#include "tests/unit/check.h"

/* The same bytes as pseudo_random() in the script. */
static void fill_pseudo_random(struct picture *picture, uint32_t seed)
{
    uint32_t state = seed;
    size_t size = (size_t)picture->width * (size_t)picture->height * 3;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        uint8_t value = (uint8_t)(state >> 24);
        picture->pixels[i] = seed % 3 ? value : value > 40 ? 255 : 0;
    }
}

static uint64_t fnv1a(const uint8_t *data, size_t size)
{
    uint64_t value = 0xcbf29ce484222325;
    for (size_t i = 0; i < size; i++)
        value = (value ^ data[i]) * 0x100000001b3;
    return value;
}

static void equals_vectors(const char *name, enum picture_filter filter)
{
    char path[512], line[256];
    int rows = 0;
    snprintf(path, sizeof path, "%s/%s", getenv("DARKROOM_TEST_DATA"), name);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    while (fgets(line, sizeof line, file)) {
        int in_width, in_height, width, height;
        uint32_t seed;
        uint64_t want;
        struct picture in = {0}, out = {0};
        if (line[0] == '#')
            continue;
        CHECK_INT(sscanf(line, "%d %d %d %d %" SCNu32 " %" SCNx64, &in_width, &in_height, &width,
                         &height, &seed, &want),
                  6);
        CHECK_INT(picture_init(&in, in_width, in_height, NULL), 0);
        fill_pseudo_random(&in, seed);
        CHECK_INT(picture_resize(&in, width, height, filter, &out, NULL), 0);
        uint64_t got = fnv1a(out.pixels, (size_t)width * (size_t)height * 3);
        if (got != want)
            printf("# %d x %d to %d x %d differs\n", in_width, in_height, width, height);
        CHECK(got == want);
        picture_fini(&in);
        picture_fini(&out);
        rows++;
    }
    fclose(file);
    CHECK(rows >= 10);
}

static void every_bit_equals_pil(void)
{
    equals_vectors("resize.txt", PICTURE_ANTIALIAS);
}

static void every_bit_equals_opencv(void)
{
    equals_vectors("bilinear.txt", PICTURE_BILINEAR);
}

static void an_even_surface_stays_even(void)
{
    for (int value = 0; value < 256; value += 51) {
        struct picture in = {0};
        CHECK_INT(picture_init(&in, 301, 77, NULL), 0);
        memset(in.pixels, value, 301 * 77 * 3);
        for (int filter = PICTURE_ANTIALIAS; filter <= PICTURE_BILINEAR; filter++) {
            struct picture out = {0};
            CHECK_INT(picture_resize(&in, 64, 64, (enum picture_filter)filter, &out, NULL), 0);
            for (size_t i = 0; i < 64 * 64 * 3; i++)
                CHECK_INT(out.pixels[i], value);
            picture_fini(&out);
        }
        picture_fini(&in);
    }
}

int main(void)
{
    RUN(every_bit_equals_pil);
    RUN(every_bit_equals_opencv);
    RUN(an_even_surface_stays_even);
    return check_report();
}

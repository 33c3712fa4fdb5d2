/* SPDX-License-Identifier: MIT */
#include "common/picture.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/picture_codec.h"
#include "tests/unit/check.h"

static const struct picture_limits limits = {
    .max_bytes = 1 << 20, .max_pixels = 1000000, .max_side = 2000};

static void load(const char *name, struct buf *buf)
{
    char path[512];
    snprintf(path, sizeof path, "%s/pictures/%s", getenv("DARKROOM_TEST_DATA"), name);
    buf_init(buf, 1 << 20);
    CHECK_INT(buf_read_file(buf, path, NULL), 0);
}

static void decode_file(const char *name, struct picture *picture)
{
    struct buf file;
    struct err err = {0};
    load(name, &file);
    int rc = picture_decode(file.data, file.size, &limits, picture, &err);
    if (rc < 0)
        printf("# %s: %s\n", name, err.text);
    CHECK_INT(rc, 0);
    buf_fini(&file);
}

static int greatest_difference(const uint8_t *a, const uint8_t *b, size_t size)
{
    int greatest = 0;
    for (size_t i = 0; i < size; i++)
        if (abs(a[i] - b[i]) > greatest)
            greatest = abs(a[i] - b[i]);
    return greatest;
}

/* The decoded file must be the PPM's pixels, give or take `tolerance` where a format loses. */
static void check_decodes_to(const char *name, const char *ppm, int tolerance)
{
    struct picture picture = {0};
    struct buf want;
    decode_file(name, &picture);
    load(ppm, &want);
    char header[32];
    snprintf(header, sizeof header, "P6 %d %d 255\n", picture.width, picture.height);
    size_t skip = strlen(header), size = (size_t)picture.width * (size_t)picture.height * 3;
    CHECK(want.size == skip + size && memcmp(want.data, header, skip) == 0);
    int difference = greatest_difference(want.data + skip, picture.pixels, size);
    if (difference > tolerance)
        printf("# %s differs from %s by up to %d\n", name, ppm, difference);
    CHECK(difference <= tolerance);
    buf_fini(&want);
    picture_fini(&picture);
}

static void every_kind_of_png_decodes_to_rgb_on_white(void)
{
    static const struct {
        const char *file, *want;
        int tolerance;
    } rows[] = {
        {"rgb8.png", "scene.ppm", 0},
        {"rgb16.png", "scene.ppm", 0},
        {"interlaced.png", "scene.ppm", 0},
        {"grey8.png", "grey.ppm", 0},
        {"grey16.png", "grey.ppm", 0},
        {"grey1.png", "bits.ppm", 0},
        {"palette.png", "palette.ppm", 0},
        {"palette_clear.png", "palette_clear.ppm", 0},
        {"rgba8.png", "alpha.ppm", 0},
        {"rgba16.png", "alpha.ppm", 0},
        {"grey_alpha.png", "grey_alpha.ppm", 0},
        {"turned6.png", "scene.ppm", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check_decodes_to(rows[i].file, rows[i].want, rows[i].tolerance);
}

static void every_kind_of_jpeg_decodes_to_rgb(void)
{
    check_decodes_to("baseline.jpg", "scene.ppm", 6);
    check_decodes_to("progressive.jpg", "scene.ppm", 6);
    check_decodes_to("subsampled.jpg", "scene.ppm", 24);
    check_decodes_to("cmyk.jpg", "scene.ppm", 8);
    check_decodes_to("grey.jpg", "grey.ppm", 4);
}

static void every_kind_of_webp_decodes_to_rgb_on_white(void)
{
    check_decodes_to("lossless.webp", "scene.ppm", 0);
    check_decodes_to("lossy.webp", "scene.ppm", 30);
    check_decodes_to("alpha.webp", "alpha.ppm", 0);
    check_decodes_to("turned6.webp", "scene.ppm", 0);
    check_decodes_to("turned6_prefixed.webp", "scene.ppm", 0);
}

static void all_eight_orientations_show_the_same_scene(void)
{
    for (int orientation = 1; orientation <= 8; orientation++) {
        char name[32];
        struct buf file;
        struct picture_info info;
        snprintf(name, sizeof name, "turned%d.jpg", orientation);
        load(name, &file);
        CHECK_INT(picture_probe(file.data, file.size, &limits, &info, NULL), 0);
        CHECK_INT(info.orientation, orientation);
        CHECK_INT(info.width, 24);
        CHECK_INT(info.height, 16);
        CHECK_INT(info.format, PICTURE_JPEG);
        check_decodes_to(name, "scene.ppm", 6);
        buf_fini(&file);
    }
}

/* TIFF header, one directory of one entry. */
static const uint8_t sound_exif[] = {'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 1, 3,
                                     0,   1,   0,  0, 0, 6, 0, 0, 0, 0, 0,    0, 0};

static void malformed_exif_means_upright(void)
{
    CHECK_INT(picture_exif_orientation(sound_exif, sizeof sound_exif), 6);
    for (size_t size = 0; size < 20; size++)
        CHECK_INT(picture_exif_orientation(sound_exif, size), 1);
    static const struct {
        size_t at;
        uint8_t value;
    } faults[] = {{0, 'X'}, {1, 'M'}, {2, 43}, {4, 200}, {7, 255}, {8, 0},
                  {10, 0},  {12, 4},  {14, 2}, {18, 0},  {18, 9},  {19, 1}};
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        uint8_t copy[sizeof sound_exif];
        memcpy(copy, sound_exif, sizeof copy);
        copy[faults[i].at] = faults[i].value;
        CHECK_INT(picture_exif_orientation(copy, sizeof copy), 1);
    }
}

/* Both the probe and the decoder must refuse, with a line about "input". */
static void check_refused(const char *name, int probe_code, int decode_code, const char *part)
{
    struct buf file;
    struct picture_info info;
    struct picture picture = {0};
    struct err err = {0};
    load(name, &file);
    CHECK_INT(picture_probe(file.data, file.size, &limits, &info, &err), probe_code);
    err = (struct err){0};
    int rc = picture_decode(file.data, file.size, &limits, &picture, &err);
    printf("# %s: %s\n", name, err.text);
    CHECK_INT(rc, decode_code);
    CHECK(picture.pixels == NULL);
    CHECK_TEXT(err.field, "input");
    CHECK_HAS(err.text, part);
    buf_fini(&file);
}

static void bad_pictures_are_refused_with_a_reason(void)
{
    check_refused("bad_100_megapixels.png", ERR_LIMIT, ERR_LIMIT, "2000");
    check_refused("bad_checksum.png", 0, ERR_CORRUPT, "damaged");
    check_refused("bad_short_rows.png", 0, ERR_CORRUPT, "damaged");
    check_refused("bad_no_pixels.png", ERR_CORRUPT, ERR_CORRUPT, "no pixels");
    check_refused("bad_zero_width.png", ERR_CORRUPT, ERR_CORRUPT, "0 x 16");
    check_refused("bad_depth.png", 0, ERR_CORRUPT, "damaged");
    check_refused("bad_scans.jpg", 0, ERR_LIMIT, "64 scans");
    check_refused("bad_scan_cut.jpg", 0, ERR_CORRUPT, "damaged");
    check_refused("bad_process.jpg", ERR_UNSUPPORTED, ERR_UNSUPPORTED, "not taken");
    check_refused("bad_animated.webp", ERR_UNSUPPORTED, ERR_UNSUPPORTED, "animated");
    check_refused("bad.gif", ERR_UNSUPPORTED, ERR_UNSUPPORTED, "GIF");
}

/* Its own boxes turn a HEIC. Lossless is RGB through a matrix: give or take one. */
static void every_kind_of_heic_decodes_to_rgb_on_white(void)
{
    if (!getenv("DARKROOM_HEIF")) {
        check_refused("scene.heic", ERR_UNSUPPORTED, ERR_UNSUPPORTED, "built without libheif");
        return;
    }
    check_decodes_to("scene.heic", "scene.ppm", 1);
    check_decodes_to("lossy.heic", "scene.ppm", 30);
    check_decodes_to("alpha.heic", "heic_alpha.ppm", 2);
    check_decodes_to("tiles.heic", "heic_tiles.ppm", 1);
    static const char *const turned[] = {"turned3.heic", "turned6.heic", "mirrored.heic",
                                         "transposed.heic"};
    for (size_t i = 0; i < sizeof turned / sizeof turned[0]; i++) {
        struct buf file;
        struct picture_info info;
        load(turned[i], &file);
        CHECK_INT(picture_probe(file.data, file.size, &limits, &info, NULL), 0);
        CHECK_INT(info.format, PICTURE_HEIC);
        CHECK_INT(info.width, 24);
        CHECK_INT(info.height, 16);
        CHECK_INT(info.orientation, 1);
        check_decodes_to(turned[i], "scene.ppm", 1);
        buf_fini(&file);
    }
}

/* What a decoder would believe and we do not let it see. */
static void a_heic_that_holds_more_than_it_says_is_refused_by_the_probe(void)
{
    if (!getenv("DARKROOM_HEIF"))
        return; /* nothing is let through then */
    check_refused("bad_frame.heic", ERR_CORRUPT, ERR_CORRUPT, "larger than it should be");
    check_refused("bad_frames.heic", ERR_CORRUPT, ERR_CORRUPT, "not one frame");
    check_refused("bad_parameters.heic", ERR_UNSUPPORTED, ERR_UNSUPPORTED, "parameters");
    check_refused("bad_grid.heic", ERR_CORRUPT, ERR_CORRUPT, "grid");
    check_refused("bad_100_megapixels.heic", ERR_LIMIT, ERR_LIMIT, "2000");
    check_refused("bad_kind.heic", ERR_UNSUPPORTED, ERR_UNSUPPORTED, "not taken");
    check_refused("bad_twice.heic", ERR_CORRUPT, ERR_CORRUPT, "infe");
}

static void a_hundred_megapixels_are_refused_from_the_header(void)
{
    struct buf file;
    struct picture_info info;
    struct err err = {0};
    struct picture_limits wide = {.max_bytes = 1 << 20, .max_pixels = 40000000, .max_side = 20000};
    load("bad_100_megapixels.png", &file);
    CHECK_INT(picture_probe(file.data, file.size, &wide, &info, &err), ERR_LIMIT);
    CHECK_TEXT(err.field, "input");
    CHECK_HAS(err.text, "100.0 megapixels");
    CHECK_HAS(err.text, "40.0 are allowed");
    buf_fini(&file);
}

static void what_is_no_picture_is_refused_whatever_it_claims(void)
{
    static const struct {
        const char *data;
        size_t size;
        const char *part;
    } rows[] = {{"", 0, "0 bytes"},
                {"<svg xmlns='http://www.w3.org/2000/svg'/>", 41, "not a picture"},
                {"\0\0\0\x18"
                 "ftypheic\0\0\0\0",
                 16, "video"},
                {"\0\0\0\x10"
                 "ftypheic\0\0\0\0",
                 16, "no meta"},
                {"\xff\xd8", 2, "not a picture"},
                {"\xff\xd8\xff", 3, "cut off"},
                {"\xff\xd8\xff\xd9", 4, "no pixels"},
                {"\xff\xd8\xff\xe0\0\1", 6, "without length"},
                {"RIFF\xff\xff\xff\xffWEBP", 12, "cut off"},
                {"RIFF\4\0\0\0WEBP", 12, "damaged"},
                {"RIFF\0\0\0\0WEBP", 12, "damaged"},
                {"\x89PNG\r\n\x1a\n", 8, "cut off"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct picture_info info;
        struct picture picture = {0};
        struct err err = {0};
        CHECK(picture_probe(rows[i].data, rows[i].size, &limits, &info, &err) < 0);
        CHECK_TEXT(err.field, "input");
        CHECK(strstr(err.text, rows[i].part) || strstr(err.text, "without libheif"));
        CHECK(picture_decode(rows[i].data, rows[i].size, &limits, &picture, NULL) < 0);
    }
}

static void too_many_bytes_are_refused_before_anything_is_read(void)
{
    struct picture_info info;
    struct err err = {0};
    struct picture_limits tight = {.max_bytes = 10, .max_pixels = 100, .max_side = 100};
    CHECK_INT(picture_probe("not a picture", 13, &tight, &info, &err), ERR_LIMIT);
    CHECK_HAS(err.text, "13 bytes; 10 are allowed");
}

/* Copies each prefix to memory of its own size, so that a sanitizer sees a read past its end. */
static void every_prefix_is_refused(void)
{
    static const char *const files[] = {
        "rgb8.png",        "rgba16.png",  "palette_clear.png", "turned6.png",   "baseline.jpg",
        "progressive.jpg", "turned8.jpg", "cmyk.jpg",          "lossless.webp", "lossy.webp",
        "turned6.webp",    "alpha.webp",  "alpha.heic",        "turned6.heic",  "tiles.heic"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct buf file;
        load(files[i], &file);
        for (size_t size = 0; size < file.size; size++) {
            struct picture picture = {0};
            struct err err = {0};
            uint8_t *prefix = malloc(size + 1);
            memcpy(prefix + 1, file.data, size);
            int rc = picture_decode(prefix + 1, size, &limits, &picture, &err);
            free(prefix);
            if (rc == 0)
                printf("# %s: %zu of %zu bytes decode\n", files[i], size, file.size);
            CHECK(rc < 0);
            CHECK(picture.pixels == NULL);
            CHECK_TEXT(err.field, "input");
        }
        buf_fini(&file);
    }
}

static void a_cut_file_is_mostly_refused_by_the_probe_alone(void)
{
    static const char *const files[] = {"rgb8.png",   "baseline.jpg", "turned6.jpg", "lossy.webp",
                                        "scene.heic", "alpha.heic",   "tiles.heic"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct buf file;
        struct picture_info info;
        load(files[i], &file);
        for (size_t size = 0; size < file.size; size++)
            CHECK(picture_probe(file.data, size, &limits, &info, NULL) < 0);
        buf_fini(&file);
    }
}

static void compressed_text_is_skipped_unread(void)
{
    struct picture picture = {0};
    decode_file("text_bomb.png", &picture);
    CHECK_INT(picture.width, 2);
    picture_fini(&picture);
}

/* 4 x 3 pixels whose red counts up. */
static void make_counting(struct picture *picture)
{
    CHECK_INT(picture_init(picture, 4, 3, NULL), 0);
    for (int i = 0; i < 12; i++)
        memcpy(picture->pixels + 3 * i, (uint8_t[3]){(uint8_t)i, 100, 200}, 3);
}

static void a_crop_keeps_its_rectangle(void)
{
    struct picture picture = {0};
    make_counting(&picture);
    CHECK_INT(picture_crop(&picture, &(struct picture_rect){1, 1, 2, 2}, NULL), 0);
    CHECK_INT(picture.width, 2);
    CHECK_INT(picture.height, 2);
    static const uint8_t want[4] = {5, 6, 9, 10};
    for (int i = 0; i < 4; i++) {
        CHECK_INT(picture.pixels[3 * i], want[i]);
        CHECK_INT(picture.pixels[3 * i + 2], 200);
    }
    CHECK_INT(picture_crop(&picture, &(struct picture_rect){0, 0, 2, 2}, NULL), 0);
    picture_fini(&picture);
}

static void a_crop_outside_is_refused_and_names_the_size(void)
{
    static const struct picture_rect crops[] = {
        {0, 0, 5, 3},  {0, 0, 4, 4},         {1, 0, 4, 3},         {0, 1, 4, 3},
        {-1, 0, 2, 2}, {0, -1, 2, 2},        {0, 0, 0, 1},         {0, 0, 1, 0},
        {4, 0, 1, 1},  {0, 0, -1, -1},       {INT32_MAX, 0, 1, 1}, {1, 1, INT32_MAX, 1},
        {0, 3, 1, 1},  {1, INT32_MAX, 1, 1}, {INT32_MIN, 0, 1, 1}, {0, 0, INT32_MIN, 1}};
    struct picture picture = {0};
    make_counting(&picture);
    for (size_t i = 0; i < sizeof crops / sizeof crops[0]; i++) {
        struct err err = {0};
        CHECK_INT(picture_crop(&picture, &crops[i], &err), ERR_INVALID);
        CHECK_TEXT(err.field, "crop");
        CHECK_HAS(err.text, "4 x 3 pixels");
        CHECK_INT(picture.width, 4);
    }
    picture_fini(&picture);
}

static void lossless_encoders_give_back_every_pixel(void)
{
    struct picture scene = {0}, again = {0};
    struct buf out;
    decode_file("rgb8.png", &scene);
    buf_init(&out, 1 << 20);
    CHECK_INT(buf_append_text(&out, "kept"), 0);
    CHECK_INT(picture_encode(&scene, PICTURE_PNG, 0, NULL, &out, NULL), 0);
    CHECK(memcmp(out.data, "kept", 4) == 0);
    CHECK_INT(picture_decode(out.data + 4, out.size - 4, &limits, &again, NULL), 0);
    CHECK_INT(again.width, scene.width);
    CHECK(memcmp(scene.pixels, again.pixels, 24 * 16 * 3) == 0);
    buf_fini(&out);
    picture_fini(&again);
    picture_fini(&scene);
}

static void check_lossy(enum picture_format format, int tolerance)
{
    struct picture scene = {0}, again = {0};
    struct picture_info info;
    struct buf good, poor;
    decode_file("rgb8.png", &scene);
    buf_init(&good, 1 << 20);
    buf_init(&poor, 1 << 20);
    CHECK_INT(picture_encode(&scene, format, 97, NULL, &good, NULL), 0);
    CHECK_INT(picture_encode(&scene, format, 10, NULL, &poor, NULL), 0);
    CHECK(poor.size < good.size);
    CHECK_INT(picture_probe(good.data, good.size, &limits, &info, NULL), 0);
    CHECK_INT(info.format, format);
    CHECK_INT(picture_decode(good.data, good.size, &limits, &again, NULL), 0);
    CHECK(greatest_difference(scene.pixels, again.pixels, 24 * 16 * 3) <= tolerance);
    buf_fini(&good);
    buf_fini(&poor);
    picture_fini(&again);
    picture_fini(&scene);
}

static void lossy_encoders_stay_near_and_obey_quality(void)
{
    check_lossy(PICTURE_JPEG, 24);
    check_lossy(PICTURE_WEBP, 30);
}

/* Noise, so that the output is as long as it can be. */
static void an_encoder_that_does_not_fit_takes_back_what_it_wrote(void)
{
    static const enum picture_format formats[] = {PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP};
    struct picture noise = {0};
    uint32_t state = 1;
    CHECK_INT(picture_init(&noise, 200, 200, NULL), 0);
    for (size_t i = 0; i < 200 * 200 * 3; i++)
        noise.pixels[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
    for (int i = 0; i < 3; i++)
        for (size_t room = 4; room < 20000; room += 1999) {
            struct buf out;
            struct err err = {0};
            buf_init(&out, room);
            CHECK_INT(buf_append_text(&out, "kept"), 0);
            CHECK_INT(picture_encode(&noise, formats[i], 90, NULL, &out, &err), ERR_LIMIT);
            CHECK_TEXT(buf_text(&out), "kept");
            CHECK_HAS(err.text, "larger than");
            buf_fini(&out);
        }
    picture_fini(&noise);
}

static void turning_there_and_back_changes_nothing(void)
{
    static const int inverse[] = {0, 1, 2, 3, 4, 5, 8, 7, 6};
    for (int orientation = 1; orientation <= 8; orientation++) {
        struct picture picture = {0}, want = {0};
        make_counting(&picture);
        make_counting(&want);
        CHECK_INT(picture_orient(&picture, orientation, NULL), 0);
        CHECK_INT(picture.width, orientation >= 5 ? 3 : 4);
        CHECK_INT(picture_orient(&picture, inverse[orientation], NULL), 0);
        CHECK(memcmp(picture.pixels, want.pixels, 36) == 0);
        picture_fini(&picture);
        picture_fini(&want);
    }
}

int main(void)
{
    RUN(every_kind_of_png_decodes_to_rgb_on_white);
    RUN(every_kind_of_jpeg_decodes_to_rgb);
    RUN(every_kind_of_webp_decodes_to_rgb_on_white);
    RUN(every_kind_of_heic_decodes_to_rgb_on_white);
    RUN(all_eight_orientations_show_the_same_scene);
    RUN(malformed_exif_means_upright);
    RUN(bad_pictures_are_refused_with_a_reason);
    RUN(a_heic_that_holds_more_than_it_says_is_refused_by_the_probe);
    RUN(a_hundred_megapixels_are_refused_from_the_header);
    RUN(what_is_no_picture_is_refused_whatever_it_claims);
    RUN(too_many_bytes_are_refused_before_anything_is_read);
    RUN(every_prefix_is_refused);
    RUN(a_cut_file_is_mostly_refused_by_the_probe_alone);
    RUN(compressed_text_is_skipped_unread);
    RUN(a_crop_keeps_its_rectangle);
    RUN(a_crop_outside_is_refused_and_names_the_size);
    RUN(lossless_encoders_give_back_every_pixel);
    RUN(lossy_encoders_stay_near_and_obey_quality);
    RUN(an_encoder_that_does_not_fit_takes_back_what_it_wrote);
    RUN(turning_there_and_back_changes_nothing);
    return check_report();
}

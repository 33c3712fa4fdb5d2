/* SPDX-License-Identifier: MIT */
#include "common/picture_metadata.h"

#include "common/buf.h"
#include "common/err.h"
#include "common/json.h"
#include "common/picture.h"
#include "tests/unit/check.h"

static const enum picture_format formats[] = {PICTURE_PNG, PICTURE_JPEG, PICTURE_WEBP};

/* Everything that can be said, with every character that XML or JSON escapes. */
static void fill(struct picture_metadata *metadata)
{
    json_t *params = json_pack("{s:s, s:I, s:s}", "number", "0123", "seed", (json_int_t)4294967295,
                               "text", "a<b>&\"c' \xd0\xb6\xe7\x94\xbb\xf0\x9f\x8e\xa8\n]]>");
    *metadata = (struct picture_metadata){.model = "digits",
                                          .version = "0.1.0",
                                          .backend = "cpu-f32",
                                          .source = PICTURE_SOURCE_TRAINED,
                                          .created_ms = INT64_C(1795000000123)};
    memset(metadata->weights_sha256, 'a', 64);
    CHECK_INT(picture_metadata_set_params(metadata, params, NULL), 0);
    picture_metadata_set_seed(metadata, params);
    json_decref(params);
}

static void check_same(const struct picture_metadata *a, const struct picture_metadata *b)
{
    CHECK_TEXT(a->model, b->model);
    CHECK_TEXT(a->weights_sha256, b->weights_sha256);
    CHECK_TEXT(a->version, b->version);
    CHECK_TEXT(a->backend, b->backend);
    CHECK_INT(a->source, b->source);
    CHECK_INT(a->created_ms, b->created_ms);
    CHECK_INT(a->has_seed, b->has_seed);
    CHECK_INT(a->seed, b->seed);
    CHECK_TEXT(a->params ? a->params : "(none)", b->params ? b->params : "(none)");
}

static void encode(enum picture_format format, const struct picture_metadata *metadata,
                   struct buf *out)
{
    struct picture picture = {0};
    struct err err = {0};
    CHECK_INT(picture_init(&picture, 9, 5, &err), 0);
    for (int i = 0; i < 9 * 5 * 3; i++)
        picture.pixels[i] = (uint8_t)(i * 7);
    buf_init(out, 1 << 20);
    CHECK_INT(picture_encode(&picture, format, 90, metadata, out, &err), 0);
    picture_fini(&picture);
}

static void what_was_written_is_read_back_in_each_format(void)
{
    struct picture_metadata metadata, again = {0};
    static const struct picture_limits limits = {
        .max_bytes = 1 << 20, .max_pixels = 1000, .max_side = 100};
    fill(&metadata);
    for (int i = 0; i < 3; i++) {
        struct picture picture = {0};
        struct picture_info info;
        struct buf file;
        encode(formats[i], &metadata, &file);
        CHECK_INT(picture_metadata_read(file.data, file.size, &again, NULL), 0);
        check_same(&again, &metadata);
        /* And it is still a picture. */
        CHECK_INT(picture_probe(file.data, file.size, &limits, &info, NULL), 0);
        CHECK_INT(info.width, 9);
        CHECK_INT(info.height, 5);
        CHECK_INT(picture_decode(file.data, file.size, &limits, &picture, NULL), 0);
        picture_fini(&picture);
        picture_metadata_fini(&again);
        buf_fini(&file);
    }
    picture_metadata_fini(&metadata);
}

static void what_is_not_known_or_withheld_stays_unsaid(void)
{
    struct picture_metadata metadata = {.version = "0.1.0"}, again = {0};
    for (int i = 0; i < 3; i++) {
        struct buf file;
        encode(formats[i], &metadata, &file);
        CHECK_INT(picture_metadata_read(file.data, file.size, &again, NULL), 0);
        check_same(&again, &metadata);
        CHECK(!memmem(file.data, file.size, "Parameters", 10));
        CHECK(!memmem(file.data, file.size, "Seed", 4));
        CHECK(!memmem(file.data, file.size, "Creat", 5) ||
              memmem(file.data, file.size, "CreatorTool", 11));
        picture_metadata_fini(&again);
        buf_fini(&file);
    }
}

static void a_picture_without_metadata_says_nothing_and_reads_as_foreign(void)
{
    struct picture_metadata again = {0};
    for (int i = 0; i < 3; i++) {
        struct buf file;
        struct err err = {0};
        encode(formats[i], NULL, &file);
        CHECK(!memmem(file.data, file.size, "arkroom", 7));
        CHECK_INT(picture_metadata_read(file.data, file.size, &again, &err), ERR_NOT_FOUND);
        CHECK_TEXT(err.field, "input");
        CHECK_HAS(err.text, "does not say that Darkroom made it");
        buf_fini(&file);
    }
}

static void what_is_no_picture_is_refused_as_such(void)
{
    struct picture_metadata again = {0};
    struct err err = {0};
    CHECK_INT(picture_metadata_read("", 0, &again, &err), ERR_CORRUPT);
    CHECK_INT(picture_metadata_read("hello", 5, &again, NULL), ERR_UNSUPPORTED);
}

/* The bytes lie at the end of their own memory, so that a sanitizer sees a read behind them. */
static void no_prefix_of_a_file_is_read_past_its_end(void)
{
    struct picture_metadata metadata, again = {0};
    fill(&metadata);
    for (int i = 0; i < 3; i++) {
        struct buf file;
        encode(formats[i], &metadata, &file);
        for (size_t size = 0; size < file.size; size++) {
            unsigned char *copy = malloc(size ? size : 1);
            memcpy(copy, file.data, size);
            int rc = picture_metadata_read(copy, size, &again, NULL);
            /* A JPEG has said it all before its pixels. */
            CHECK(rc < 0 || formats[i] != PICTURE_WEBP);
            if (rc == 0)
                check_same(&again, &metadata);
            picture_metadata_fini(&again);
            free(copy);
        }
        buf_fini(&file);
    }
    picture_metadata_fini(&metadata);
}

static int parse(const char *text, struct picture_metadata *out)
{
    return picture_metadata_parse_xmp(text, strlen(text), out, NULL);
}

#define PACKET(inner)                                                                              \
    "<x:xmpmeta xmlns:x='adobe:ns:meta/'><rdf:Description "                                        \
    "xmlns:darkroom='http://ns.darkroom.example/provenance/1.0/' " inner "</rdf:Description>"

static void attributes_written_by_another_program_are_read_too(void)
{
    struct picture_metadata again = {0};
    CHECK_INT(parse(PACKET("darkroom:Version=\"0.1.0\"\n darkroom:Model = 'digits' "
                           "darkroom:Seed='7' darkroom:Parameters='{&quot;seed&quot;: &#x37;}' "
                           "Iptc4xmpExt:DigitalSourceType='http://cv.iptc.org/newscodes/"
                           "digitalsourcetype/trainedAlgorithmicMedia'>"),
                    &again),
              0);
    CHECK_TEXT(again.model, "digits");
    CHECK_INT(again.seed, 7);
    CHECK_TEXT(again.params, "{\"seed\":7}");
    CHECK_INT(again.source, PICTURE_SOURCE_TRAINED);
    picture_metadata_fini(&again);
}

static void nonsense_in_our_name_is_refused(void)
{
    static const char *const packets[] = {
        PACKET(">"), /* not even a version */
        PACKET("darkroom:Version='<script>'>"),
        PACKET("darkroom:Version='1' darkroom:Model='../../etc/passwd'>"),
        PACKET("darkroom:Version='1' darkroom:Model='&#0;'>"),
        PACKET("darkroom:Version='1' darkroom:Model='&unknown;'>"),
        PACKET("darkroom:Version='1' darkroom:Model='&amp'>"),
        PACKET("darkroom:Version='1' darkroom:Model='"
               "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'>"),
        PACKET("darkroom:Version='1' darkroom:Weights='abc'>"),
        PACKET("darkroom:Version='1' darkroom:Seed='7-7'>"),
        PACKET("darkroom:Version='1' darkroom:Seed='99999999999999999999'>"),
        PACKET("darkroom:Version='1' darkroom:Parameters='[]'>"),
        PACKET("darkroom:Version='1' darkroom:Parameters='{'>"),
        PACKET(
            "darkroom:Version='1' darkroom:Parameters='{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":"
            "{\"a\":{\"a\":{\"a\":1}}}}}}}}}'>"),
    };
    for (size_t i = 0; i < sizeof packets / sizeof packets[0]; i++) {
        struct picture_metadata again = {0};
        int rc = parse(packets[i], &again);
        if (rc != ERR_CORRUPT)
            printf("# %s\n", packets[i]);
        CHECK_INT(rc, ERR_CORRUPT);
        CHECK(again.params == NULL);
    }
    struct picture_metadata again = {0};
    CHECK_INT(parse("<x:xmpmeta darkroom:Version='1'>", &again), ERR_NOT_FOUND);
}

static void a_packet_that_is_too_long_is_not_searched(void)
{
    struct picture_metadata again = {0};
    char *packet = calloc(1, PICTURE_XMP_MAX + 1);
    CHECK_INT(picture_metadata_parse_xmp(packet, PICTURE_XMP_MAX + 1, &again, NULL), ERR_LIMIT);
    free(packet);
}

static void parameters_that_fit_no_segment_are_refused_before_anything_is_written(void)
{
    struct picture_metadata metadata = {.version = "1"};
    char *text = malloc(PICTURE_PARAMS_MAX);
    memset(text, '&', PICTURE_PARAMS_MAX - 1);
    text[PICTURE_PARAMS_MAX - 100] = 0;
    json_t *params = json_pack("{s:s}", "text", text);
    CHECK_INT(picture_metadata_set_params(&metadata, params, NULL), 0);
    struct picture picture = {0};
    struct buf out;
    struct err err = {0};
    buf_init(&out, 1 << 20);
    CHECK_INT(picture_init(&picture, 2, 2, NULL), 0);
    memset(picture.pixels, 0, 12);
    CHECK_INT(picture_encode(&picture, PICTURE_JPEG, 90, &metadata, &out, &err), ERR_LIMIT);
    CHECK_INT(out.size, 0);
    CHECK_TEXT(err.field, "params");
    memset(text, '&', PICTURE_PARAMS_MAX - 1);
    text[PICTURE_PARAMS_MAX - 1] = 0;
    json_t *longer = json_pack("{s:s}", "text", text);
    CHECK_INT(picture_metadata_set_params(&metadata, longer, NULL), ERR_LIMIT);
    json_decref(longer);
    json_decref(params);
    picture_fini(&picture);
    picture_metadata_fini(&metadata);
    buf_fini(&out);
    free(text);
}

static void a_request_of_the_greatest_size_fits_into_every_format(void)
{
    /* JOB_PARAMS_MAX bytes, of what grows most on its way: & is five bytes in XML. */
    struct picture_metadata metadata = {.version = "1"}, again = {0};
    char text[8192 - 16];
    memset(text, '&', sizeof text - 1);
    text[sizeof text - 1] = 0;
    json_t *params = json_pack("{s:s}", "text", text);
    CHECK_INT(picture_metadata_set_params(&metadata, params, NULL), 0);
    for (int i = 0; i < 3; i++) {
        struct buf file;
        encode(formats[i], &metadata, &file);
        CHECK_INT(picture_metadata_read(file.data, file.size, &again, NULL), 0);
        check_same(&again, &metadata);
        picture_metadata_fini(&again);
        buf_fini(&file);
    }
    json_decref(params);
    picture_metadata_fini(&metadata);
}

static void the_view_for_programs_has_what_is_known(void)
{
    struct picture_metadata metadata;
    fill(&metadata);
    json_t *view = picture_metadata_json(&metadata);
    CHECK_TEXT(json_string_value(json_object_get(view, "model")), "digits");
    CHECK_TEXT(json_string_value(json_object_get(view, "created_at")), "2026-11-18T11:06:40.123Z");
    CHECK_INT(json_integer_value(json_object_get(view, "seed")), 4294967295);
    CHECK_TEXT(json_string_value(json_object_get(json_object_get(view, "params"), "number")),
               "0123");
    json_decref(view);
    picture_metadata_fini(&metadata);
}

int main(void)
{
    RUN(what_was_written_is_read_back_in_each_format);
    RUN(what_is_not_known_or_withheld_stays_unsaid);
    RUN(a_picture_without_metadata_says_nothing_and_reads_as_foreign);
    RUN(what_is_no_picture_is_refused_as_such);
    RUN(no_prefix_of_a_file_is_read_past_its_end);
    RUN(attributes_written_by_another_program_are_read_too);
    RUN(nonsense_in_our_name_is_refused);
    RUN(a_packet_that_is_too_long_is_not_searched);
    RUN(parameters_that_fit_no_segment_are_refused_before_anything_is_written);
    RUN(a_request_of_the_greatest_size_fits_into_every_format);
    RUN(the_view_for_programs_has_what_is_known);
    return check_report();
}

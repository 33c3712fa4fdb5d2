/* SPDX-License-Identifier: MIT */
#include "gpu/weights/weights.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <unistd.h>

#define TWO                                                                                        \
    "{\"__metadata__\":{\"format\":\"pt\"},"                                                       \
    "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"                            \
    "\"a\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[8,12]}}"

/* Builds a file from a header's text and `data_size` counting bytes. */
static size_t build(unsigned char *out, const char *header, size_t data_size)
{
    size_t length = strlen(header);
    for (size_t i = 0; i < 8; i++)
        out[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(out + 8, header, length);
    for (size_t i = 0; i < data_size; i++)
        out[8 + length + i] = (unsigned char)i;
    return 8 + length + data_size;
}

static int open_text(const char *header, size_t data_size, struct err *err)
{
    static unsigned char file[4096];
    struct weights *weights = NULL;
    *err = (struct err){0};
    int rc = weights_open_memory(file, build(file, header, data_size), &weights, err);
    weights_close(&weights);
    return rc;
}

static void tensors_are_found_by_name_with_shape_and_data(void)
{
    unsigned char file[512];
    struct weights *weights = NULL;
    struct tensor t;
    struct err err = {0};
    size_t size = build(file, TWO, 12);
    CHECK_INT(weights_open_memory(file, size, &weights, &err), 0);
    CHECK_INT(weights_count(weights), 2);
    CHECK_TEXT(weights_at(weights, 0, &t), "a");
    CHECK_INT(t.type, TENSOR_F16);
    CHECK_INT(*(const unsigned char *)t.data, 8);
    CHECK_INT(weights_find(weights, "b", &t), 0);
    CHECK_INT(t.rank, 2);
    CHECK_INT(t.dim[0], 2);
    CHECK_INT(weights_find(weights, "c", &t), ERR_NOT_FOUND);
    weights_close(&weights);
    weights_close(&weights);
}

static void every_prefix_of_a_file_is_an_error_in_words(void)
{
    unsigned char file[512];
    size_t size = build(file, TWO, 12);
    for (size_t cut = 0; cut < size; cut++) {
        struct weights *weights = NULL;
        struct err err = {0};
        unsigned char *copy = malloc(cut + 1); /* so that a sanitizer sees a read behind it */
        memcpy(copy, file, cut);
        CHECK_INT(weights_open_memory(copy, cut, &weights, &err), ERR_CORRUPT);
        CHECK(weights == NULL && err.text[0] != 0);
        free(copy);
    }
}

static void a_cut_off_tensor_is_named(void)
{
    struct err err;
    CHECK_INT(open_text(TWO, 11, &err), ERR_CORRUPT);
    CHECK_TEXT(err.field, "a");
    CHECK_HAS(err.text, "cut off");
}

static void a_wrong_shape_names_the_tensor_and_both_shapes(void)
{
    unsigned char file[512];
    struct weights *weights = NULL;
    struct tensor t;
    struct err err = {0};
    CHECK_INT(weights_open_memory(file, build(file, TWO, 12), &weights, &err), 0);
    CHECK_INT(weights_require(weights, "b", 2, (const int64_t[]){4, 1}, &t, &err), ERR_CORRUPT);
    CHECK_TEXT(err.field, "b");
    CHECK_HAS(err.text, "2x1");
    CHECK_HAS(err.text, "4x1");
    err = (struct err){0};
    CHECK_INT(weights_require(weights, "zz", 1, (const int64_t[]){4}, &t, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "zz (4) is missing");
    weights_close(&weights);
}

#define ONE(fields) "{\"t\":{" fields "}}"

static void contradictions_are_refused(void)
{
    static const struct {
        const char *header;
        int code;
        const char *says;
    } cases[] = {
        {"[]", ERR_CORRUPT, "object"},
        {"{\"t\":", ERR_CORRUPT, "JSON"},
        {"{\"t\":1}", ERR_CORRUPT, "t is not described"},
        {"{\"\":{}}", ERR_CORRUPT, "name"},
        {"{\"a\\u0007\":{}}", ERR_CORRUPT, "name"},
        {ONE("\"shape\":[1],\"data_offsets\":[0,4]"), ERR_CORRUPT, "dtype"},
        {ONE("\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]"), ERR_UNSUPPORTED, "I64"},
        {ONE("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), ERR_CORRUPT, "shape"},
        {ONE("\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]"), ERR_CORRUPT, "dimension 0"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), ERR_CORRUPT, "dimension"},
        {ONE("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), ERR_CORRUPT, "dimension"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1],\"data_offsets\":[0,4]"), ERR_UNSUPPORTED,
         "5 dimensions"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1099511627776,1099511627776],\"data_offsets\":[0,4]"),
         ERR_CORRUPT, "dimension 1"},
        {ONE("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), ERR_CORRUPT, "needs 8"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), ERR_CORRUPT, "positions"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), ERR_CORRUPT, "positions"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), ERR_CORRUPT, "positions"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{}"), ERR_CORRUPT, "positions"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[16,20]"), ERR_CORRUPT, "cut off"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}",
         ERR_CORRUPT, "overlap"},
        {"{\"a\":{\"x\":{\"y\":{\"z\":{}}}}}", ERR_CORRUPT, "JSON"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct err err;
        int rc = open_text(cases[i].header, 16, &err);
        if (rc != cases[i].code || !strstr(err.text, cases[i].says))
            printf("# case %zu: %d \"%s\"\n", i, rc, err.text);
        CHECK_INT(rc, cases[i].code);
        CHECK_HAS(err.text, cases[i].says);
    }
}

static void a_header_of_absurd_length_is_not_read(void)
{
    unsigned char file[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct weights *weights = NULL;
    struct err err = {0};
    CHECK_INT(weights_open_memory(file, sizeof file, &weights, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "not a safetensors file");
}

static void a_file_is_mapped_and_a_missing_one_is_told_apart(void)
{
    char path[] = "/tmp/darkroom-weights-XXXXXX";
    unsigned char file[512];
    struct weights *weights = NULL;
    struct err err = {0};
    size_t size = build(file, TWO, 12);
    int fd = mkstemp(path);
    CHECK_INT(write(fd, file, size), size);
    close(fd);
    CHECK_INT(weights_open(path, &weights, &err), 0);
    CHECK_INT(weights_count(weights), 2);
    weights_close(&weights);
    unlink(path);
    CHECK_INT(weights_open(path, &weights, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, path);
    err = (struct err){0};
    CHECK_INT(weights_open("/tmp", &weights, &err), ERR_INVALID);
}

int main(void)
{
    RUN(tensors_are_found_by_name_with_shape_and_data);
    RUN(every_prefix_of_a_file_is_an_error_in_words);
    RUN(a_cut_off_tensor_is_named);
    RUN(a_wrong_shape_names_the_tensor_and_both_shapes);
    RUN(contradictions_are_refused);
    RUN(a_header_of_absurd_length_is_not_read);
    RUN(a_file_is_mapped_and_a_missing_one_is_told_apart);
    return check_report();
}

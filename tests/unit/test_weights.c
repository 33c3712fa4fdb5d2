/* SPDX-License-Identifier: MIT */
#include "gpu/weights/table.h"

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
        {"[]", ERR_CORRUPT, "known format"},
        {"{\"t\":", ERR_CORRUPT, "JSON"},
        {"{\"t\":1}", ERR_CORRUPT, "t is not described"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", ERR_CORRUPT, "name"},
        {"{\"a\\u0007\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", ERR_CORRUPT,
         "name"},
        {ONE("\"shape\":[1],\"data_offsets\":[0,4]"), ERR_CORRUPT, "dtype"},
        {ONE("\"dtype\":\"U64\",\"shape\":[1],\"data_offsets\":[0,8]"), ERR_UNSUPPORTED, "U64"},
        {ONE("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), ERR_CORRUPT, "shape"},
        {ONE("\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]"), ERR_CORRUPT, "dimension 0"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), ERR_CORRUPT, "dimension"},
        {ONE("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), ERR_CORRUPT, "dimension"},
        {ONE("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"),
         ERR_UNSUPPORTED, "9 dimensions"},
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

#define MANY                                                                                       \
    "{\"__metadata__\":{\"a.license\":\"MIT\"},"                                                   \
    "\"a.x\":{\"dtype\":\"F32\",\"shape\":[3,2],\"data_offsets\":[0,24]},"                         \
    "\"a.y\":{\"dtype\":\"I16\",\"shape\":[2],\"data_offsets\":[24,28]},"                          \
    "\"b.x\":{\"dtype\":\"BOOL\",\"shape\":[2,1,2],\"data_offsets\":[28,32]}}"

static struct weights *open_many(void)
{
    static unsigned char file[1024];
    struct weights *weights = NULL;
    CHECK_INT(weights_open_memory(file, build(file, MANY, 32), &weights, NULL), 0);
    return weights;
}

static void a_view_shows_what_is_below_a_prefix(void)
{
    struct weights *weights = open_many(), *view = NULL;
    struct weights_attribute attribute;
    struct tensor t;
    struct err err = {0};
    CHECK_TEXT(weights_format(weights), "safetensors");
    CHECK_INT(weights_attribute(weights, "a.license", &attribute), 0);
    CHECK_TEXT(attribute.text, "MIT");
    CHECK_INT(weights_attribute(weights, "license", &attribute), ERR_NOT_FOUND);
    CHECK_INT(weights_view(weights, "a.", &view, &err), 0);
    CHECK_INT(weights_count(view), 2);
    CHECK_TEXT(weights_at(view, 1, &t), "y");
    CHECK_INT(weights_find(view, "a.x", &t), ERR_NOT_FOUND);
    CHECK_INT(weights_find(view, "x", &t), 0);
    CHECK_INT(((const unsigned char *)t.data)[5], 5);
    CHECK_INT(weights_attribute_count(view), 1);
    CHECK_TEXT(weights_attribute_at(view, 0, &attribute), "license");
    CHECK_TEXT(weights_format(view), "safetensors");
    CHECK_INT(weights_require(view, "y", 1, (const int64_t[]){2}, &t, &err), ERR_UNSUPPORTED);
    CHECK_HAS(err.text, "I16");
    weights_close(&view);
    err = (struct err){0};
    CHECK_INT(weights_view(weights, "genA2B.", &view, &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "begins with genA2B.");
    CHECK(view == NULL);
    weights_close(&weights);
}

/* Axes in every order, of every size of a value, against the definition. */
static void transposed_tensors_have_every_value_in_its_place(void)
{
    enum { A = 3, B = 19, C = 2, D = 21 };
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 0, 1}, {2, 3, 0, 1}, {3, 2, 1, 0},
                                    {0, 2, 1, 3}, {1, 0, 3, 2}, {0, 1, 3, 2}};
    static const enum tensor_type types[] = {TENSOR_U8, TENSOR_F16, TENSOR_F32, TENSOR_F64};
    static unsigned char values[A * B * C * D * 8];
    struct weights *weights = open_many();
    for (size_t i = 0; i < sizeof values; i++)
        values[i] = (unsigned char)(i * 2654435761u >> 13);
    for (size_t o = 0; o < 7; o++)
        for (size_t k = 0; k < 4; k++) {
            struct tensor from = {types[k], 4, {A, B, C, D}, values}, to;
            const size_t size = tensor_type_size(types[k]);
            struct weights *view = table_view_create(weights);
            CHECK_INT(table_transpose(table_of(view), &from, orders[o], &to, NULL), 0);
            CHECK_INT(tensor_count(&to), A * B * C * D);
            int64_t at[4], strides[4] = {B * C * D, C * D, D, 1};
            const unsigned char *next = to.data;
            for (at[0] = 0; at[0] < to.dim[0]; at[0]++)
                for (at[1] = 0; at[1] < to.dim[1]; at[1]++)
                    for (at[2] = 0; at[2] < to.dim[2]; at[2]++)
                        for (at[3] = 0; at[3] < to.dim[3]; at[3]++, next += size) {
                            int64_t source = 0;
                            for (int i = 0; i < 4; i++)
                                source += at[i] * strides[orders[o][i]];
                            CHECK(memcmp(next, values + (size_t)source * size, size) == 0);
                        }
            CHECK_INT(to.data == from.data, o == 0);
            weights_close(&view);
        }
    weights_close(&weights);
}

static void a_header_of_absurd_length_is_not_read(void)
{
    unsigned char file[16] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct weights *weights = NULL;
    struct err err = {0};
    CHECK_INT(weights_open_memory(file, sizeof file, &weights, &err), ERR_CORRUPT);
    CHECK_HAS(err.text, "known format");
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

/* Pages of mapped files in this process's memory. */
static long mapped_pages(void)
{
    long size, resident, shared = -1;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file && fscanf(file, "%ld %ld %ld", &size, &resident, &shared) != 3)
        shared = -1;
    if (file)
        fclose(file);
    return shared;
}

static void released_pages_leave_the_process_and_come_back_when_read(void)
{
    enum { BYTES = 8 << 20, HEADER = 8 + 80 };
    char path[] = "/tmp/darkroom-weights-XXXXXX", header[81];
    struct weights *weights = NULL;
    struct tensor t;
    unsigned char *file = malloc(HEADER + BYTES);
    CHECK(file != NULL);
    snprintf(header, sizeof header, "%-80s",
             "{\"a\":{\"dtype\":\"U8\",\"shape\":[8388608],\"data_offsets\":[0,8388608]}}");
    const size_t size = build(file, header, BYTES);
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    CHECK(write(fd, file, size) == (ssize_t)size);
    close(fd);
    CHECK_INT(weights_open(path, &weights, NULL), 0);
    unlink(path);
    CHECK_INT(weights_find(weights, "a", &t), 0);
    CHECK(memcmp(t.data, file + HEADER, BYTES) == 0);
    const long before = mapped_pages();
    weights_release_pages(weights);
    const long after = mapped_pages();
    CHECK(before - after > BYTES / sysconf(_SC_PAGESIZE) / 2);
    CHECK(memcmp(t.data, file + HEADER, BYTES) == 0);
    weights_close(&weights);
    free(file);
}

int main(void)
{
    RUN(tensors_are_found_by_name_with_shape_and_data);
    RUN(every_prefix_of_a_file_is_an_error_in_words);
    RUN(a_cut_off_tensor_is_named);
    RUN(a_wrong_shape_names_the_tensor_and_both_shapes);
    RUN(contradictions_are_refused);
    RUN(a_view_shows_what_is_below_a_prefix);
    RUN(transposed_tensors_have_every_value_in_its_place);
    RUN(a_header_of_absurd_length_is_not_read);
    RUN(a_file_is_mapped_and_a_missing_one_is_told_apart);
    RUN(released_pages_leave_the_process_and_come_back_when_read);
    return check_report();
}

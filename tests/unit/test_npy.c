/* SPDX-License-Identifier: MIT */
#include "worker/npy.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

static void the_file_is_npy_1_0_with_aligned_data(void)
{
    const float data[6] = {-1, 0.5f, 0, 0.25f, 1, 2};
    struct err err = {0};
    struct buf file;
    buf_init(&file, 4096);
    CHECK_INT(npy_append_f32(&file, (const size_t[]){1, 2, 3}, 3, data, &err), 0);
    CHECK(memcmp(file.data, "\x93NUMPY\x01\x00", 8) == 0);
    size_t header = file.data[8] + 256u * file.data[9];
    CHECK_INT((10 + header) % 64, 0);
    CHECK_INT(file.size, 10 + header + sizeof data);
    CHECK_INT(file.data[10 + header - 1], '\n');
    CHECK_HAS((const char *)file.data + 10,
              "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }");
    CHECK(memcmp(file.data + 10 + header, data, sizeof data) == 0);
    buf_fini(&file);
}

static void one_dimension_is_a_tuple_too(void)
{
    const float data[2] = {0};
    struct buf file;
    buf_init(&file, 4096);
    CHECK_INT(npy_append_f32(&file, (const size_t[]){2}, 1, data, NULL), 0);
    CHECK_HAS((const char *)file.data + 10, "'shape': (2,), }");
    buf_fini(&file);
}

static void an_array_over_the_limit_is_refused(void)
{
    const float data[64] = {0};
    struct err err = {0};
    struct buf file;
    buf_init(&file, 200);
    CHECK_INT(npy_append_f32(&file, (const size_t[]){64}, 1, data, &err), ERR_LIMIT);
    CHECK_TEXT(err.field, "raw");
    CHECK_HAS(err.text, "200 bytes");
    buf_fini(&file);
}

static void too_many_dimensions_are_refused(void)
{
    const size_t shape[NPY_MAX_DIMENSIONS + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const float data[1] = {0};
    struct err err = {0};
    struct buf file;
    buf_init(&file, 4096);
    CHECK_INT(npy_append_f32(&file, shape, NPY_MAX_DIMENSIONS + 1, data, &err), ERR_LIMIT);
    CHECK_INT(file.size, 0);
}

int main(void)
{
    RUN(the_file_is_npy_1_0_with_aligned_data);
    RUN(one_dimension_is_a_tuple_too);
    RUN(an_array_over_the_limit_is_refused);
    RUN(too_many_dimensions_are_refused);
    return check_report();
}

/* SPDX-License-Identifier: MIT */
#include "worker/npy.h"

#include "common/buf.h"
#include "common/err.h"
#include "tests/unit/check.h"

#include <unistd.h>

static char directory[] = "/tmp/darkroom-npy-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static void the_file_is_npy_1_0_with_aligned_data(void)
{
    const float data[6] = {-1, 0.5f, 0, 0.25f, 1, 2};
    struct err err = {0};
    CHECK_INT(npy_write_f32(path_of("a.npy"), (const size_t[]){1, 2, 3}, 3, data, &err), 0);

    struct buf file;
    buf_init(&file, 4096);
    CHECK_INT(buf_read_file(&file, path_of("a.npy"), &err), 0);
    CHECK(memcmp(file.data, "\x93NUMPY\x01\x00", 8) == 0);
    size_t header = file.data[8] + 256u * file.data[9];
    CHECK_INT((10 + header) % 64, 0);
    CHECK_INT(file.size, 10 + header + sizeof data);
    CHECK_INT(file.data[10 + header - 1], '\n');
    CHECK_HAS((const char *)file.data + 10,
              "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }");
    CHECK(memcmp(file.data + 10 + header, data, sizeof data) == 0);
    buf_fini(&file);
    unlink(path_of("a.npy"));
}

static void a_path_that_cannot_be_written_is_named(void)
{
    const float data[1] = {0};
    struct err err = {0};
    CHECK_INT(npy_write_f32(path_of("none/a.npy"), (const size_t[]){1}, 1, data, &err), ERR_IO);
    CHECK_HAS(err.text, "none/a.npy");
    CHECK_TEXT(err.field, "raw");
}

static void a_full_disk_is_an_error(void)
{
    static const float data[65536];
    struct err err = {0};
    if (access("/dev/full", W_OK) != 0)
        return;
    CHECK_INT(npy_write_f32("/dev/full", (const size_t[]){65536}, 1, data, &err), ERR_IO);
    CHECK(access("/dev/full", F_OK) == 0);
}

static void too_many_dimensions_are_refused(void)
{
    const size_t shape[NPY_MAX_DIMENSIONS + 1] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    const float data[1] = {0};
    struct err err = {0};
    CHECK_INT(npy_write_f32(path_of("b.npy"), shape, NPY_MAX_DIMENSIONS + 1, data, &err),
              ERR_LIMIT);
    CHECK(access(path_of("b.npy"), F_OK) != 0);
}

int main(void)
{
    if (!mkdtemp(directory))
        return EXIT_FAILURE;
    RUN(the_file_is_npy_1_0_with_aligned_data);
    RUN(a_path_that_cannot_be_written_is_named);
    RUN(a_full_disk_is_an_error);
    RUN(too_many_dimensions_are_refused);
    rmdir(directory);
    return check_report();
}

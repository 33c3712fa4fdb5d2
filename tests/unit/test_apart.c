/* SPDX-License-Identifier: MIT */
#include "gpu/weights/apart.h"

#include "common/err.h"
#include "gpu/weights/table_inside.h"
#include "tests/unit/check.h"

#include <fcntl.h>
#include <unistd.h>

static const struct weights_source source = {.data = (const unsigned char *)"file", .size = 4};

static int read_two(const struct weights_source *from, struct table *table, struct err *err)
{
    static const float values[] = {1.5f, -2};
    const struct tensor pair = {.type = TENSOR_F32, .rank = 1, .dim = {2}, .data = values};
    const struct tensor scalar = {.type = TENSOR_U8, .data = from->data};
    int rc = table_add(table, "pair", &pair, err);
    if (rc == 0)
        rc = table_add(table, "first", &scalar, err);
    if (rc == 0)
        rc = table_add_number(table, "count", 2, err);
    return rc < 0 ? rc : table_add_text(table, "word", "text", 4, err);
}

static void what_the_child_reads_is_in_the_table(void)
{
    struct table table = {0};
    CHECK_INT(apart_read(read_two, &source, &table, NULL), 0);
    CHECK_INT(table_seal(&table, NULL), 0);
    CHECK_INT(table.count, 2);
    const struct table_entry *pair = table_find(&table, "pair");
    CHECK(pair && pair->tensor.dim[0] == 2);
    CHECK(memcmp(pair->tensor.data, (const float[]){1.5f, -2}, 8) == 0);
    CHECK_INT(*(const unsigned char *)table_find(&table, "first")->tensor.data, 'f');
    CHECK(table_find_attribute(&table, "count")->number == 2);
    CHECK_TEXT(table_find_attribute(&table, "word")->text, "text");
    table_fini(&table);
}

static int read_none(const struct weights_source *from, struct table *table, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "tensor", "%zu bytes of nothing", from->size);
}

static int read_and_crash(const struct weights_source *from, struct table *table, struct err *err)
{
    abort();
    return 0;
}

static int read_forever(const struct weights_source *from, struct table *table, struct err *err)
{
    volatile bool forever = true;
    while (forever)
        ;
    return 0;
}

static int read_and_leave(const struct weights_source *from, struct table *table, struct err *err)
{
    _exit(0);
    return 0;
}

/* ERR_INTERNAL where a descriptor of the parent's is still open. */
static int read_descriptors(const struct weights_source *from, struct table *table, struct err *err)
{
    for (int fd = 1; fd < 64; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            return err_set(err, ERR_INTERNAL, NULL, "descriptor %d", fd);
    return err_set(err, ERR_NOT_FOUND, NULL, "none");
}

static void check_failure(apart_reader *read, int code, const char *part)
{
    struct table table = {0};
    struct err err = {0};
    CHECK_INT(apart_read(read, &source, &table, &err), code);
    CHECK_HAS(err.text, part);
    table_fini(&table);
}

static void the_childs_error_is_the_parents(void)
{
    struct table table = {0};
    struct err err = {0};
    CHECK_INT(apart_read(read_none, &source, &table, &err), ERR_UNSUPPORTED);
    CHECK_TEXT(err.text, "4 bytes of nothing");
    CHECK_TEXT(err.field, "tensor");
    table_fini(&table);
}

static void a_child_that_crashes_or_leaves_is_an_error(void)
{
    check_failure(read_and_crash, ERR_CORRUPT, "crash");
    check_failure(read_and_leave, ERR_CORRUPT, "out of memory");
}

static void a_child_that_never_ends_is_ended(void)
{
    check_failure(read_forever, ERR_CORRUPT, "busy for more than 2 s");
}

static void the_child_has_no_descriptor_of_its_parents(void)
{
    check_failure(read_descriptors, ERR_NOT_FOUND, "none");
}

int main(void)
{
    RUN(what_the_child_reads_is_in_the_table);
    RUN(the_childs_error_is_the_parents);
    RUN(a_child_that_crashes_or_leaves_is_an_error);
    RUN(a_child_that_never_ends_is_ended);
    RUN(the_child_has_no_descriptor_of_its_parents);
    return check_report();
}

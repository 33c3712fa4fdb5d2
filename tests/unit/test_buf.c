/* SPDX-License-Identifier: MIT */
#include "common/buf.h"

#include "common/err.h"
#include "tests/unit/check.h"

#include <inttypes.h>

static void holds_what_was_appended(void)
{
    struct buf buf;
    buf_init(&buf, 100);
    CHECK_TEXT(buf_text(&buf), "");
    CHECK_INT(buf_append_text(&buf, "one "), 0);
    CHECK_INT(buf_printf(&buf, "%s-%d", "two", 3), 0);
    CHECK_TEXT(buf_text(&buf), "one two-3");
    CHECK_INT(buf.size, 9);
    buf_fini(&buf);
}

static void refuses_to_grow_past_its_maximum_and_keeps_its_contents(void)
{
    struct buf buf;
    buf_init(&buf, 8);
    CHECK_INT(buf_append_text(&buf, "12345678"), 0);
    CHECK_INT(buf_append_text(&buf, "9"), ERR_LIMIT);
    CHECK_INT(buf_printf(&buf, "%d", 9), ERR_LIMIT);
    CHECK_TEXT(buf_text(&buf), "12345678");
    buf_fini(&buf);
}

static void texts_and_numbers_are_joined_or_nothing_is_added(void)
{
    struct buf buf;
    char want[64];
    static const int64_t numbers[] = {0, 7, -1, 1234567890123, INT64_MAX, INT64_MIN};
    buf_init(&buf, 24);
    CHECK_INT(buf_join(&buf, "ab", "", "cd", NULL), 0);
    CHECK_TEXT(buf_text(&buf), "abcd");
    CHECK_INT(buf_join(&buf, "0123456789", "0123456789x", NULL), ERR_LIMIT);
    CHECK_TEXT(buf_text(&buf), "abcd");
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        buf_clear(&buf);
        snprintf(want, sizeof want, "%" PRId64, numbers[i]);
        CHECK_INT(buf_append_int(&buf, numbers[i]), 0);
        CHECK_TEXT(buf_text(&buf), want);
    }
    buf_fini(&buf);
}

static void stolen_memory_belongs_to_the_caller(void)
{
    struct buf buf;
    size_t size;
    buf_init(&buf, 8);
    CHECK_INT(buf_append_text(&buf, "abc"), 0);
    char *data = buf_steal(&buf, &size);
    CHECK_INT(size, 3);
    CHECK_TEXT(data, "abc");
    CHECK_INT(buf.size, 0);
    free(data);
    buf_fini(&buf);
}

static void reading_a_missing_file_says_which(void)
{
    struct buf buf;
    struct err err = {0};
    buf_init(&buf, 8);
    CHECK_INT(buf_read_file(&buf, "/nonexistent/file", &err), ERR_NOT_FOUND);
    CHECK_HAS(err.text, "/nonexistent/file");
    buf_fini(&buf);
}

int main(void)
{
    RUN(holds_what_was_appended);
    RUN(refuses_to_grow_past_its_maximum_and_keeps_its_contents);
    RUN(texts_and_numbers_are_joined_or_nothing_is_added);
    RUN(stolen_memory_belongs_to_the_caller);
    RUN(reading_a_missing_file_says_which);
    return check_report();
}

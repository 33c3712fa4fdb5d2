/* SPDX-License-Identifier: MIT */
#include "common/trace.h"

#include "tests/unit/check.h"

#define ID "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"

static void a_header_is_read_and_written(void)
{
    struct trace trace;
    char text[TRACE_TEXT_SIZE];
    CHECK(trace_parse("00-" ID "-" SPAN "-01", &trace));
    CHECK_TEXT(trace.id, ID);
    CHECK_TEXT(trace.span, SPAN);
    CHECK(trace.sampled);
    trace_format(&trace, text);
    CHECK_TEXT(text, "00-" ID "-" SPAN "-01");
    CHECK(trace_parse("00-" ID "-" SPAN "-fe", &trace));
    CHECK(!trace.sampled); /* of the flags only the lowest is known */
}

static void a_later_version_is_taken_as_far_as_it_is_known(void)
{
    struct trace trace;
    CHECK(trace_parse("01-" ID "-" SPAN "-01", &trace));
    CHECK(trace_parse("cc-" ID "-" SPAN "-01-what the future will be like", &trace));
    CHECK(!trace_parse("cc-" ID "-" SPAN "-01.what the future will be like", &trace));
    CHECK(!trace_parse("00-" ID "-" SPAN "-01-what the future will be like", &trace));
}

static void what_is_not_valid_is_ignored(void)
{
    static const char *const texts[] = {
        "",
        "00",
        "ff-" ID "-" SPAN "-01",
        "0-" ID "-" SPAN "-01",
        "00-00000000000000000000000000000000-" SPAN "-01",
        "00-" ID "-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01",
        "00-" ID "-00f067aa0ba902bg-01",
        "00-" ID "-" SPAN "-0",
        "00-" ID "-" SPAN "-0g",
        "00-" ID "-" SPAN "_01",
        "00_" ID "-" SPAN "-01",
        "00-" ID "-" SPAN "-01 ",
    };
    struct trace trace = {.sampled = true};
    CHECK(!trace_parse(NULL, &trace));
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CHECK(!trace_parse(texts[i], &trace));
    /* Every beginning of a valid one. */
    char text[TRACE_TEXT_SIZE] = "00-" ID "-" SPAN "-01";
    for (size_t size = strlen(text); size-- > 0;) {
        text[size] = 0;
        CHECK(!trace_parse(text, &trace));
    }
    CHECK(trace.sampled);
}

static void each_step_has_a_span_of_its_own_in_the_same_trace(void)
{
    const char *text = "00-" ID "-" SPAN "-01";
    char one[TRACE_TEXT_SIZE], two[TRACE_TEXT_SIZE], id[TRACE_ID_SIZE];
    CHECK(trace_below(text, one));
    CHECK(trace_below(text, two));
    CHECK(strncmp(one, text, 36) == 0);
    CHECK(strcmp(one, text) != 0);
    CHECK(strcmp(one, two) != 0);
    CHECK_TEXT(one + 53, "01");
    trace_id_of(one, id);
    CHECK_TEXT(id, ID);
    CHECK(!trace_below("", one));
    trace_id_of("nothing", id);
    CHECK_TEXT(id, "");
}

static void a_trace_that_begins_here_is_sampled_and_valid(void)
{
    struct trace one, two, read;
    char text[TRACE_TEXT_SIZE];
    CHECK_INT(trace_begin(&one), 0);
    CHECK_INT(trace_begin(&two), 0);
    CHECK(strcmp(one.id, two.id) != 0);
    CHECK(strcmp(one.span, two.span) != 0);
    trace_format(&one, text);
    CHECK(trace_parse(text, &read));
    CHECK_TEXT(read.id, one.id);
    CHECK(read.sampled);
}

int main(void)
{
    RUN(a_header_is_read_and_written);
    RUN(a_later_version_is_taken_as_far_as_it_is_known);
    RUN(what_is_not_valid_is_ignored);
    RUN(a_trace_that_begins_here_is_sampled_and_valid);
    RUN(each_step_has_a_span_of_its_own_in_the_same_trace);
    return check_report();
}

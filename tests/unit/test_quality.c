/* SPDX-License-Identifier: MIT */
#include "common/quality.h"

#include "tests/unit/check.h"

static void a_weight_is_of_the_name_or_of_the_star(void)
{
    CHECK_INT(quality_of("gzip, deflate, br;q=0.9", "gzip"), 1000);
    CHECK_INT(quality_of("gzip, deflate, BR;q=0.9", "br"), 900);
    CHECK_INT(quality_of("gzip;q=0, *;q=0.125", "br"), 125);
    CHECK_INT(quality_of("gzip;q=0, *;q=0.125", "gzip"), 0);
    CHECK_INT(quality_of("gzip", "br"), 0);
    CHECK_INT(quality_of("", "br"), 0);
    CHECK_INT(quality_of(NULL, "br"), 0);
}

static void parameters_beside_the_weight_are_passed_over(void)
{
    CHECK_INT(quality_of("text/html;level=1;q=0.5, */*;q=0.1", "text/html"), 500);
    CHECK(quality_names("application/xhtml+xml,text/html ; q=0.001", "text/html"));
    CHECK(!quality_names("*/*, text/html;q=0", "text/html"));
    CHECK(!quality_names(NULL, "text/html"));
}

static void items_that_cannot_be_read_are_no_items(void)
{
    const char *at = " , a b, c;q=1.1, d;q=0.1234, e;q=.5, ;q=1, f;q=, g ;  q=0.5 ";
    struct quality_item item;
    CHECK(quality_next(&at, &item));
    CHECK(item.size == 1 && *item.name == 'g');
    CHECK_INT(item.weight, 500);
    CHECK(!quality_next(&at, &item));
    CHECK(!quality_next(&at, &item));
}

static void a_long_list_is_not_read_to_its_end(void)
{
    char text[QUALITY_MAX_ITEMS * 2 + 3];
    for (int i = 0; i < QUALITY_MAX_ITEMS; i++)
        memcpy(text + 2 * i, "x,", 2);
    memcpy(text + 2 * QUALITY_MAX_ITEMS, "br", 3);
    CHECK_INT(quality_of(text, "br"), 0);
    CHECK_INT(quality_of(text + 2, "br"), 1000);
}

int main(void)
{
    RUN(a_weight_is_of_the_name_or_of_the_star);
    RUN(parameters_beside_the_weight_are_passed_over);
    RUN(items_that_cannot_be_read_are_no_items);
    RUN(a_long_list_is_not_read_to_its_end);
    return check_report();
}

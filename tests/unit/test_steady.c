/* SPDX-License-Identifier: MIT */
#include "dispatcher/cli/steady.h"

#include "tests/unit/check.h"

static void more_is_told_at_once(void)
{
    struct steady steady = {.down_after_ms = 20000};
    CHECK_INT(steady_take(&steady, 2, 0), 2);
    CHECK_INT(steady_take(&steady, 9, 1), 9);
}

static void fewer_only_after_a_while_and_then_the_most_of_it(void)
{
    struct steady steady = {.down_after_ms = 20000};
    CHECK_INT(steady_take(&steady, 9, 0), 9);
    CHECK_INT(steady_take(&steady, 4, 15000), 9);
    CHECK_INT(steady_take(&steady, 6, 30000), 9);
    CHECK_INT(steady_take(&steady, 3, 34999), 9);
    CHECK_INT(steady_take(&steady, 3, 35000), 6);
    CHECK_INT(steady_take(&steady, 3, 36000), 6);
    CHECK_INT(steady_take(&steady, 0, 56000), 3);
}

static void one_look_at_as_many_begins_the_while_anew(void)
{
    struct steady steady = {.down_after_ms = 20000};
    steady_take(&steady, 5, 0);
    steady_take(&steady, 1, 10000);
    CHECK_INT(steady_take(&steady, 5, 29000), 5);
    CHECK_INT(steady_take(&steady, 1, 30000), 5);
    CHECK_INT(steady_take(&steady, 1, 49999), 5);
    CHECK_INT(steady_take(&steady, 1, 50000), 1);
}

static void without_a_while_fewer_is_told_at_once(void)
{
    struct steady steady = {.down_after_ms = 0};
    steady_take(&steady, 5, 0);
    CHECK_INT(steady_take(&steady, 0, 1), 0);
}

int main(void)
{
    RUN(more_is_told_at_once);
    RUN(fewer_only_after_a_while_and_then_the_most_of_it);
    RUN(one_look_at_as_many_begins_the_while_anew);
    RUN(without_a_while_fewer_is_told_at_once);
    return check_report();
}

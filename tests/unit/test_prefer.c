/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/prefer.h"

#include "tests/unit/check.h"

static void a_wait_is_found_among_others(void)
{
    CHECK_INT(prefer_wait("wait=10", 50), 10);
    CHECK_INT(prefer_wait("respond-async, wait=10", 50), 10);
    CHECK_INT(prefer_wait("respond-async,WAIT = \"7\" ; hard", 50), 7);
    CHECK_INT(prefer_wait("return=minimal; note=\"a, wait=9 \\\" \", wait=3", 50), 3);
    CHECK_INT(prefer_wait("wait-for-it=1, wait=4,", 50), 4);
}

static void it_is_bounded(void)
{
    CHECK_INT(prefer_wait("wait=600", 50), 50);
    CHECK_INT(prefer_wait("wait=99999999999999999999999", 50), 50);
    CHECK_INT(prefer_wait("wait=0", 50), 0);
}

static void only_the_first_counts(void)
{
    CHECK_INT(prefer_wait("wait=5, wait=40", 50), 5);
    CHECK_INT(prefer_wait("wait, wait=40", 50), 0);
    CHECK_INT(prefer_wait("wait=never, wait=40", 50), 0);
}

static void what_cannot_be_read_is_ignored(void)
{
    static const char *const lists[] = {
        "",         ",",        "wait",      "wait=",    "wait=-1",
        "wait=1s",  "wait=\"1", "wait=\"\"", "awaits=3", "waiting=3",
        "\"wait=3", "wait==3",  "wait=1.5",  "x=\"\\",   "; wait=3"};
    CHECK_INT(prefer_wait(NULL, 50), 0);
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        CHECK_INT(prefer_wait(lists[i], 50), 0);
}

int main(void)
{
    RUN(a_wait_is_found_among_others);
    RUN(it_is_bounded);
    RUN(only_the_first_counts);
    RUN(what_cannot_be_read_is_ignored);
    return check_report();
}

/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/etag.h"

#include "tests/unit/check.h"

#define TAG "\"0123\""

static void the_same_bytes_have_the_same_tag(void)
{
    char one[ETAG_SIZE], same[ETAG_SIZE], other[ETAG_SIZE];
    CHECK_INT(etag_of("abc", 3, one), 0);
    CHECK_INT(etag_of("abc", 3, same), 0);
    CHECK_INT(etag_of("abd", 3, other), 0);
    CHECK_TEXT(one, "\"ba7816bf8f01cfea414140de5dae2223\"");
    CHECK_TEXT(one, same);
    CHECK(strcmp(one, other) != 0);
}

static void a_list_is_searched_weakly(void)
{
    CHECK(etag_in_list(TAG, TAG));
    CHECK(etag_in_list("W/" TAG, TAG));
    CHECK(etag_in_list("\"a\", \"b,c\" ,W/" TAG, TAG));
    CHECK(etag_in_list(" * ", TAG));
}

static void what_does_not_name_it_does_not_match(void)
{
    static const char *const lists[] = {"",      "0123",   "\"012\"",  "\"01234\"", "\"x" TAG,
                                        "\"012", "w/" TAG, "*, \"a\"", "W/",        "x, " TAG};
    CHECK(!etag_in_list(NULL, TAG));
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        CHECK(!etag_in_list(lists[i], TAG));
}

int main(void)
{
    RUN(the_same_bytes_have_the_same_tag);
    RUN(a_list_is_searched_weakly);
    RUN(what_does_not_name_it_does_not_match);
    return check_report();
}

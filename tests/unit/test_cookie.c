/* SPDX-License-Identifier: MIT */
#include "dispatcher/http/cookie.h"

#include "tests/unit/check.h"

static void a_cookie_is_found_by_its_whole_name(void)
{
    char value[8];
    const char *header = "xlang=a; lang=nl ;lang=en; langx=b; empty=; bad=a\"b; long=123456789";
    CHECK(cookie_find(header, "lang", value, sizeof value));
    CHECK_TEXT(value, "nl");
    CHECK(cookie_find(header, "langx", value, sizeof value));
    CHECK_TEXT(value, "b");
    CHECK(cookie_find(header, "empty", value, sizeof value));
    CHECK_TEXT(value, "");
    CHECK(!cookie_find(header, "lan", value, sizeof value));
    CHECK(!cookie_find(header, "bad", value, sizeof value));
    CHECK(!cookie_find(header, "long", value, sizeof value));
    CHECK(!cookie_find("", "lang", value, sizeof value));
    CHECK(!cookie_find("lang", "lang", value, sizeof value));
    CHECK(!cookie_find(NULL, "lang", value, sizeof value));
}

static void a_cookie_is_written_with_its_flags(void)
{
    char line[COOKIE_LINE_MAX];
    struct cookie cookie = {.name = "lang", .value = "nl", .path = "/", .max_age_s = 60};
    CHECK(cookie_write(&cookie, line, sizeof line));
    CHECK_TEXT(line, "lang=nl; Path=/; Max-Age=60; SameSite=Lax");
    cookie = (struct cookie){.name = "manage",
                             .value = "T",
                             .path = "/j/12",
                             .max_age_s = -1,
                             .hidden = true,
                             .strict = true,
                             .secure = true};
    CHECK(cookie_write(&cookie, line, sizeof line));
    CHECK_TEXT(line, "manage=T; Path=/j/12; HttpOnly; Secure; SameSite=Strict");
    CHECK(!cookie_write(&cookie, line, 20));
}

static void nothing_breaks_out_of_its_part(void)
{
    char line[COOKIE_LINE_MAX];
    const char *bad[] = {"a;b", "a\r\nSet-Cookie: x=y", "a b", "a\"", "a,b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!cookie_write(&(struct cookie){.name = "n", .value = bad[i], .path = "/"}, line,
                            sizeof line));
        CHECK(!cookie_write(&(struct cookie){.name = bad[i], .value = "v", .path = "/"}, line,
                            sizeof line));
        CHECK(!cookie_write(&(struct cookie){.name = "n", .value = "v", .path = bad[i]}, line,
                            sizeof line));
    }
}

int main(void)
{
    RUN(a_cookie_is_found_by_its_whole_name);
    RUN(a_cookie_is_written_with_its_flags);
    RUN(nothing_breaks_out_of_its_part);
    return check_report();
}

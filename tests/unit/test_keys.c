/* SPDX-License-Identifier: MIT */
#include "common/keys.h"

#include "common/err.h"
#include "tests/unit/check.h"

static const struct key good = {
    .scopes = SCOPE_SUBMIT, .ceiling = JOB_PRIORITY_NORMAL, .weight = 1};

static void a_key_has_its_form(void)
{
    char text[] = "dk_0123456789abcdefghijABCDEFGHIJ-_0123456789abc";
    CHECK(!key_text_valid(text));
    text[KEY_TEXT_SIZE - 1] = 0;
    CHECK(key_text_valid(text));
    for (size_t i = 0; i < KEY_TEXT_SIZE - 1; i++) { /* every prefix, every character spoilt */
        char spoilt[KEY_TEXT_SIZE];
        memcpy(spoilt, text, sizeof spoilt);
        spoilt[i] = '+';
        CHECK(!key_text_valid(spoilt));
        spoilt[i] = 0;
        CHECK(!key_text_valid(spoilt));
    }
}

static void only_base64url_stands_in_a_key(void)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char text[] = "dk_0123456789abcdefghijABCDEFGHIJ-_0123456789a";
    for (int c = 1; c < 256; c++) {
        text[20] = (char)c;
        CHECK_INT(key_text_valid(text), strchr(digits, c) != NULL);
    }
}

static void scopes_go_back_and_forth(void)
{
    char text[KEY_SCOPES_SIZE];
    unsigned bits = 0;
    CHECK_INT(key_scopes_parse("operate, submit,read", &bits, NULL), 0);
    CHECK_INT(bits, SCOPE_SUBMIT | SCOPE_READ | SCOPE_OPERATE);
    key_scopes_format(bits, text);
    CHECK_TEXT(text, "submit read operate");
    CHECK_INT(key_scopes_parse("scale", &bits, NULL), 0);
    CHECK_INT(bits, SCOPE_SCALE);
    CHECK_INT(key_scopes_parse("", &bits, NULL), ERR_INVALID);
    CHECK_INT(key_scopes_parse("reads", &bits, NULL), ERR_INVALID);
    CHECK_INT(key_scopes_parse("read;submit", &bits, NULL), ERR_INVALID);
}

static void an_origin_is_scheme_host_and_port(void)
{
    static const char *const fine[] = {"https://example.org", "http://localhost:3000",
                                       "https://xn--bcher-kva.example", "http://[::1]:8080",
                                       "https://192.0.2.1"};
    static const char *const wrong[] = {"",
                                        "*",
                                        "null",
                                        "example.org",
                                        "https://",
                                        "https://*",
                                        "https://*.example.org",
                                        "https://example.org/",
                                        "https://example.org/path",
                                        "https://Example.org",
                                        "https://user@example.org",
                                        "https://example.org:",
                                        "https://example.org:123456",
                                        "https://example.org:80x",
                                        "ftp://example.org",
                                        "https://example.org?x",
                                        "https://[::1",
                                        "https://exa mple.org",
                                        "https://example.org\r\nX: y"};
    for (size_t i = 0; i < sizeof fine / sizeof fine[0]; i++)
        CHECK(key_origin_valid(fine[i], strlen(fine[i])));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CHECK(!key_origin_valid(wrong[i], strlen(wrong[i])));
}

static void an_origin_is_allowed_as_a_whole_only(void)
{
    struct key key = good;
    CHECK(!key_allows_origin(&key, "https://example.org"));
    CHECK(!key_allows_origin(&key, ""));
    snprintf(key.origins, sizeof key.origins, "%s",
             "https://one.example  https://two.example:8443");
    CHECK(key_allows_origin(&key, "https://one.example"));
    CHECK(key_allows_origin(&key, "https://two.example:8443"));
    CHECK(!key_allows_origin(&key, "https://two.example"));
    CHECK(!key_allows_origin(&key, "https://one.example.evil.example"));
    CHECK(!key_allows_origin(&key, "https://one.exampl"));
    CHECK(!key_allows_origin(&key, "http://one.example"));
    CHECK(!key_allows_origin(&key, "null"));
    CHECK(!key_allows_origin(&key, ""));
}

static void members_keep_their_limits(void)
{
    struct err err = {0};
    struct key key = good;
    CHECK_INT(key_check(&key, NULL), 0);
    key.scopes = 0;
    CHECK_INT(key_check(&key, &err), ERR_INVALID);
    CHECK_TEXT(err.field, "scopes");
    key = good;
    key.weight = 0;
    CHECK_INT(key_check(&key, NULL), ERR_INVALID);
    key = good;
    key.per_minute = 60; /* a bucket that holds nothing */
    CHECK_INT(key_check(&key, NULL), ERR_LIMIT);
    key = good;
    snprintf(key.account, sizeof key.account, "%s", "a0123456789ABCDEF");
    CHECK_INT(key_check(&key, NULL), ERR_INVALID);
    key = good;
    snprintf(key.name, sizeof key.name, "%s", "two\nlines");
    CHECK_INT(key_check(&key, NULL), ERR_INVALID);
    key = good;
    snprintf(key.origins, sizeof key.origins, "%s", "https://good.example javascript:alert(1)");
    CHECK_INT(key_check(&key, NULL), ERR_INVALID);
}

int main(void)
{
    RUN(a_key_has_its_form);
    RUN(only_base64url_stands_in_a_key);
    RUN(scopes_go_back_and_forth);
    RUN(an_origin_is_scheme_host_and_port);
    RUN(an_origin_is_allowed_as_a_whole_only);
    RUN(members_keep_their_limits);
    return check_report();
}

/* SPDX-License-Identifier: MIT */
#include "common/address.h"

#include "common/err.h"
#include "common/secret.h"
#include "tests/unit/check.h"

#define ID "00112233445566778899aabbccddeeff00"

static const struct secret secret = {{1, 2, 3}};
static struct address_keys *keys;

#define X63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void usual_addresses_pass_with_their_domain_in_lower_case(void)
{
    static const char *const pairs[][2] = {
        {"somebody@example.org", "somebody@example.org"},
        {"Some.Body+tag@EXAMPLE.Org", "Some.Body+tag@example.org"},
        {"o'neil_1-2@a-b.xn--mnchen-3ya.de", "o'neil_1-2@a-b.xn--mnchen-3ya.de"},
        {"x@1.2.c3", "x@1.2.c3"},
        {"x" X63 "@" X63 "." X63 "."
         "x" X63,
         NULL},
        {"x@" X63 "." X63 "." X63 ".org", "x@" X63 "." X63 "." X63 ".org"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char address[ADDRESS_SIZE];
        CHECK_INT(address_check(pairs[i][0], address, NULL), pairs[i][1] ? 0 : ERR_INVALID);
        if (pairs[i][1])
            CHECK_TEXT(address, pairs[i][1]);
    }
}

static void everything_else_is_refused_by_name_of_the_field_and_not_repeated(void)
{
    static const char *const bad[] = {
        "=?utf-8?Q?Bcc=3A?=@b.example",
        "",
        "@",
        "marker",
        "marker@",
        "@example.org",
        "marker@localhost",
        "marker@@example.org",
        "a@b@example.org",
        "marker@example.org\n",
        "marker@example.org\r\nBcc: x@example.org",
        "mar ker@example.org",
        "marker@exam ple.org",
        " marker@example.org",
        "marker@example.org ",
        "marker@.example.org",
        "marker@example..org",
        "marker@example.org.",
        "marker@-example.org",
        "marker@example-.org",
        "marker@example.org-",
        "marker@127.0.0.1",
        "marker@[127.0.0.1]",
        ".marker@example.org",
        "marker.@example.org",
        "mar..ker@example.org",
        "\"marker\"@example.org",
        "marker(comment)@example.org",
        "<marker@example.org>",
        "marker,other@example.org",
        "marker;other@example.org",
        "marker:x@example.org",
        "mar\\ker@example.org",
        "m\xc3\xa4rker@example.org",
        "marker@m\xc3\xbcnchen.de",
        "marker@exa_mple.org",
        "marker\x7f@example.org",
        "marker\t@example.org",
        "mx" X63 "@example.org",
        "marker@x" X63 ".org",
        "marker@" X63 "." X63 "." X63 "." X63 ".org",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char address[ADDRESS_SIZE];
        struct err err = {0};
        CHECK_INT(address_check(bad[i], address, &err), ERR_INVALID);
        CHECK_TEXT(err.field, "email");
        CHECK(strstr(err.text, "marker") == NULL);
    }
}

static void a_sealed_address_opens_only_for_its_own_job(void)
{
    char sealed[ADDRESS_SEALED_SIZE], address[ADDRESS_SIZE], longest[ADDRESS_SIZE];
    CHECK_INT(address_seal(keys, "a@example.org", ID, sealed), 0);
    CHECK_INT(address_open(keys, sealed, ID, address), 0);
    CHECK_TEXT(address, "a@example.org");
    CHECK_INT(address_open(keys, sealed, "01" ID, address), ERR_DENIED);
    CHECK_INT(address_open(keys, "no sealed text", ID, address), ERR_INVALID);
    CHECK_INT(address_open(keys, "", ID, address), ERR_DENIED);
    sealed[20] = sealed[20] == 'A' ? 'B' : 'A';
    CHECK_INT(address_open(keys, sealed, ID, address), ERR_DENIED);

    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    CHECK_INT(address_seal(keys, longest, ID, sealed), 0);
    CHECK_INT(address_open(keys, sealed, ID, address), 0);
    CHECK_TEXT(address, longest);
}

static void an_overlong_sealed_text_is_refused(void)
{
    char sealed[2000], address[ADDRESS_SIZE];
    memset(sealed, 'A', sizeof sealed - 1);
    sealed[sizeof sealed - 1] = 0;
    CHECK_INT(address_open(keys, sealed, ID, address), ERR_INVALID);
}

static void the_hash_ignores_case_and_nothing_else(void)
{
    char one[ADDRESS_HASH_SIZE], two[ADDRESS_HASH_SIZE];
    CHECK_INT(address_hash(keys, "Some.Body@example.org", one), 0);
    CHECK_INT(address_hash(keys, "some.body@EXAMPLE.org", two), 0);
    CHECK_TEXT(one, two);
    CHECK_INT(strlen(one), 32);
    CHECK_INT(address_hash(keys, "somebody@example.org", two), 0);
    CHECK(strcmp(one, two) != 0);
}

int main(void)
{
    if (address_keys_create(&secret, &keys) < 0)
        return EXIT_FAILURE;
    RUN(usual_addresses_pass_with_their_domain_in_lower_case);
    RUN(everything_else_is_refused_by_name_of_the_field_and_not_repeated);
    RUN(a_sealed_address_opens_only_for_its_own_job);
    RUN(an_overlong_sealed_text_is_refused);
    RUN(the_hash_ignores_case_and_nothing_else);
    address_keys_destroy(&keys);
    return check_report();
}

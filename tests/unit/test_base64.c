/* SPDX-License-Identifier: MIT */
#include "common/base64.h"

#include "common/err.h"
#include "tests/unit/check.h"

static int decode(enum base64_alphabet alphabet, const char *text, char *out, size_t max)
{
    size_t size = 0;
    int rc = base64_decode(alphabet, text, strlen(text), out, max, &size);
    if (rc == 0)
        out[size] = 0;
    return rc;
}

static void matches_the_vectors_of_rfc_4648(void)
{
    static const char *const pairs[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        char text[16], plain[16];
        size_t length = base64_encode(BASE64_STANDARD, pairs[i][0], strlen(pairs[i][0]), text);
        CHECK_INT(length, strlen(text));
        CHECK_TEXT(text, pairs[i][1]);
        CHECK_INT(decode(BASE64_STANDARD, text, plain, 15), 0);
        CHECK_TEXT(plain, pairs[i][0]);
    }
}

static void the_url_alphabet_has_no_padding(void)
{
    char text[16], plain[16];
    base64_encode(BASE64_URL, "\xfb\xff", 2, text);
    CHECK_TEXT(text, "-_8");
    base64_encode(BASE64_STANDARD, "\xfb\xff", 2, text);
    CHECK_TEXT(text, "+/8=");
    CHECK_INT(decode(BASE64_URL, "-_8", plain, 15), 0);
    CHECK_INT(decode(BASE64_URL, "-_8=", plain, 15), ERR_INVALID);
    CHECK_INT(decode(BASE64_URL, "+/8", plain, 15), ERR_INVALID);
    CHECK_INT(decode(BASE64_STANDARD, "-_8=", plain, 15), ERR_INVALID);
}

static void every_other_text_is_refused(void)
{
    static const char *const bad[] = {"Z",        "Zg",      "Zg=",  "Zg===", "=",
                                      "====",     "Zh==",    "Zm9=", "Zm 9v", "Zm9v\n",
                                      "Zg==Zg==", "Z\xff==", "Zm=v"};
    char plain[16];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CHECK_INT(decode(BASE64_STANDARD, bad[i], plain, 15), ERR_INVALID);
}

static void every_byte_survives_at_every_length(void)
{
    unsigned char data[300], back[300];
    char text[BASE64_LENGTH(300) + 1];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (unsigned char)(i * 37 + 11);
    for (size_t size = 0; size <= sizeof data; size++)
        for (int alphabet = BASE64_STANDARD; alphabet <= BASE64_URL; alphabet++) {
            size_t length = base64_encode((enum base64_alphabet)alphabet, data, size, text);
            size_t got = 0;
            CHECK(length <= BASE64_LENGTH(size) && size <= BASE64_MAX_DECODED(length));
            CHECK_INT(base64_decode((enum base64_alphabet)alphabet, text, length, back, size, &got),
                      0);
            CHECK_INT(got, size);
            CHECK(memcmp(back, data, size) == 0);
        }
}

static void more_bytes_than_the_caller_has_room_for_are_a_limit(void)
{
    char plain[4];
    size_t size;
    CHECK_INT(base64_decode(BASE64_STANDARD, "Zm9vYg==", 8, plain, 3, &size), ERR_LIMIT);
    CHECK_INT(base64_decode(BASE64_STANDARD, "Zm9vYg==", 8, plain, 4, &size), 0);
}

static void hex_goes_both_ways_and_refuses_the_rest(void)
{
    unsigned char bytes[3];
    char text[7];
    CHECK_INT(hex_decode("00aFf9", 6, bytes, 3), 0);
    hex_encode(bytes, 3, text);
    CHECK_TEXT(text, "00aff9");
    CHECK_INT(hex_decode("00aFf", 5, bytes, 3), ERR_INVALID);
    CHECK_INT(hex_decode("00aFg9", 6, bytes, 3), ERR_INVALID);
    CHECK_INT(hex_decode("00aFf9aa", 8, bytes, 3), ERR_INVALID);
}

int main(void)
{
    RUN(matches_the_vectors_of_rfc_4648);
    RUN(the_url_alphabet_has_no_padding);
    RUN(every_other_text_is_refused);
    RUN(every_byte_survives_at_every_length);
    RUN(more_bytes_than_the_caller_has_room_for_are_a_limit);
    RUN(hex_goes_both_ways_and_refuses_the_rest);
    return check_report();
}

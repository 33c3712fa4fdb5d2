/* SPDX-License-Identifier: MIT */
#include "common/base64.h"

#include "common/err.h"

#include <stdint.h>

static const char digits[2][65] = {
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

#define BAD 0x80

/* The value of a digit, BAD for anything else. */
static unsigned value_of(enum base64_alphabet alphabet, unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26u;
    if (c >= '0' && c <= '9')
        return c - '0' + 52u;
    if (c == (unsigned char)digits[alphabet][62])
        return 62;
    if (c == (unsigned char)digits[alphabet][63])
        return 63;
    return BAD;
}

size_t base64_encode(enum base64_alphabet alphabet, const void *data, size_t size, char *out)
{
    const unsigned char *in = data;
    const char *digit = digits[alphabet];
    char *start = out;
    for (; size >= 3; size -= 3, in += 3) {
        *out++ = digit[in[0] >> 2];
        *out++ = digit[(in[0] & 3) << 4 | in[1] >> 4];
        *out++ = digit[(in[1] & 15) << 2 | in[2] >> 6];
        *out++ = digit[in[2] & 63];
    }
    if (size) {
        unsigned second = size == 2 ? in[1] : 0;
        *out++ = digit[in[0] >> 2];
        *out++ = digit[(in[0] & 3) << 4 | second >> 4];
        if (size == 2)
            *out++ = digit[(second & 15) << 2];
        for (size_t i = size; alphabet == BASE64_STANDARD && i < 3; i++)
            *out++ = '=';
    }
    *out = 0;
    return (size_t)(out - start);
}

/* Takes the padding off `length`. */
static int strip_padding(enum base64_alphabet alphabet, const char *text, size_t *length)
{
    if (alphabet == BASE64_STANDARD) {
        if (*length % 4)
            return ERR_INVALID;
        for (int i = 0; i < 2 && *length && text[*length - 1] == '='; i++)
            --*length;
    }
    return *length % 4 == 1 ? ERR_INVALID : 0;
}

int base64_decode(enum base64_alphabet alphabet, const char *text, size_t length, void *out,
                  size_t max_size, size_t *out_size)
{
    int rc = strip_padding(alphabet, text, &length);
    if (rc < 0)
        return rc;
    size_t size = length / 4 * 3 + (length % 4 ? length % 4 - 1 : 0);
    if (size > max_size)
        return ERR_LIMIT;

    uint8_t table[256];
    for (unsigned c = 0; c < 256; c++)
        table[c] = (uint8_t)value_of(alphabet, (unsigned char)c);
    const unsigned char *in = (const unsigned char *)text;
    unsigned char *to = out;
    unsigned seen = 0;
    for (size_t i = length / 4; i > 0; i--, in += 4) {
        unsigned a = table[in[0]], b = table[in[1]], c = table[in[2]], d = table[in[3]];
        seen |= a | b | c | d;
        *to++ = (unsigned char)(a << 2 | b >> 4);
        *to++ = (unsigned char)(b << 4 | c >> 2);
        *to++ = (unsigned char)(c << 6 | d);
    }
    if (length % 4) {
        unsigned a = table[in[0]], b = table[in[1]], c = length % 4 == 3 ? table[in[2]] : 0;
        seen |= a | b | c;
        /* Bits past the last byte must be zero, or two texts would mean the same bytes. */
        if (length % 4 == 3 ? c & 3 : b & 15)
            return ERR_INVALID;
        *to++ = (unsigned char)(a << 2 | b >> 4);
        if (length % 4 == 3)
            *to++ = (unsigned char)(b << 4 | c >> 2);
    }
    if (seen & BAD)
        return ERR_INVALID;
    *out_size = size;
    return 0;
}

void hex_encode(const void *data, size_t size, char *out)
{
    const unsigned char *in = data;
    for (size_t i = 0; i < size; i++) {
        *out++ = "0123456789abcdef"[in[i] >> 4];
        *out++ = "0123456789abcdef"[in[i] & 15];
    }
    *out = 0;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int hex_decode(const char *text, size_t length, void *out, size_t size)
{
    unsigned char *to = out;
    if (length != 2 * size)
        return ERR_INVALID;
    for (size_t i = 0; i < size; i++) {
        int high = hex_value(text[2 * i]), low = hex_value(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return ERR_INVALID;
        to[i] = (unsigned char)(high << 4 | low);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Bytes as text: base64 and base64url (RFC 4648), and hex.
 *
 *     char text[BASE64_LENGTH(16) + 1];
 *     base64_encode(BASE64_URL, bytes, 16, text);
 *     rc = base64_decode(BASE64_URL, text, strlen(text), bytes, sizeof bytes, &size);
 *
 * Decoding is strict: one text for each value. BASE64_STANDARD wants its padding, BASE64_URL wants
 * none; white space, characters of the other alphabet and spare bits are ERR_INVALID. Any
 * thread; every pointer is borrowed. */
#ifndef DARKROOM_COMMON_BASE64_H
#define DARKROOM_COMMON_BASE64_H

#include <stddef.h>

enum base64_alphabet { BASE64_STANDARD, BASE64_URL };

/* Characters for `size` bytes, with padding and without the terminating zero: enough for both
 * alphabets. */
#define BASE64_LENGTH(size) (((size) + 2) / 3 * 4)

/* Bytes that `length` characters hold at most. */
#define BASE64_MAX_DECODED(length) (((length) + 3) / 4 * 3)

/* Writes the text and a zero into `out` (BASE64_LENGTH(size) + 1); returns the text's length. */
size_t base64_encode(enum base64_alphabet alphabet, const void *data, size_t size, char *out);

/* ERR_INVALID, or ERR_LIMIT where more than `max_size` bytes come out. */
int base64_decode(enum base64_alphabet alphabet, const char *text, size_t length, void *out,
                  size_t max_size, size_t *out_size);

/* Lower-case digits and a zero into `out` (2 * size + 1). */
void hex_encode(const void *data, size_t size, char *out);

/* Exactly 2 * size digits of either case make `size` bytes; otherwise ERR_INVALID. */
int hex_decode(const char *text, size_t length, void *out, size_t size);

#endif

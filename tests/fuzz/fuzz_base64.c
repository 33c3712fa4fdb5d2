/* SPDX-License-Identifier: MIT
 *
 * Base64 of either alphabet: what decodes is the one text of its bytes. */
#include "common/base64.h"

#include "tests/fuzz/target.h"

#include <string.h>

static void try_alphabet(enum base64_alphabet alphabet, const char *text, size_t length)
{
    size_t max = BASE64_MAX_DECODED(length), size = 0;
    unsigned char *bytes = malloc(max + 1);
    char *again = malloc(BASE64_LENGTH(max) + 1);
    fuzz_check(bytes && again);
    if (base64_decode(alphabet, text, length, bytes, max, &size) == 0) {
        fuzz_check(base64_encode(alphabet, bytes, size, again) == length);
        fuzz_check(memcmp(again, text, length) == 0);
    }
    free(again);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_alphabet(BASE64_STANDARD, (const char *)data, size);
    try_alphabet(BASE64_URL, (const char *)data, size);
    return 0;
}

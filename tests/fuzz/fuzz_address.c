/* SPDX-License-Identifier: MIT
 *
 * What a visitor types as an address: one that passes can stand in a mail's headers and envelope
 * as it is. */
#include "common/address.h"
#include "common/err.h"

#include "tests/fuzz/target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char address[ADDRESS_SIZE], again[ADDRESS_SIZE];
    struct err err = {0};
    char *text = strndup((const char *)data, size);
    fuzz_check(text != NULL);
    if (address_check(text, address, &err) == 0) {
        const char *at = strchr(address, '@');
        fuzz_check(at && at == strrchr(address, '@') && !strpbrk(address, " \r\n\t<>,;:\"\\()[]"));
        fuzz_check(address_check(address, again, NULL) == 0 && strcmp(address, again) == 0);
    } else {
        fuzz_check(err.text[0] != 0 && strcmp(err.field, "email") == 0);
    }
    free(text);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * Any Accept-Language leads to a language, and the same one each time. */
#include "common/catalogue.h"

#include "tests/fuzz/target.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct catalogue *catalogue;
    char *header = strndup((const char *)data, size);
    fuzz_check(header && (catalogue || catalogue_open(&catalogue, NULL) == 0));
    const struct catalogue_language *found = catalogue_negotiate(catalogue, header);
    fuzz_check(found && found == catalogue_negotiate(catalogue, header));
    fuzz_check(catalogue_find(catalogue, found->tag) == found);
    free(header);
    return 0;
}

/* SPDX-License-Identifier: MIT
 *
 * The query of a link to the local store, one member a line: method, key, expiry, greatest length,
 * type, signature. Without our key nothing is permitted; and what is signed here is. */
#include "common/crypto.h"
#include "common/store_link.h"

#include "tests/fuzz/target.h"

#include <string.h>

#define NOW 1000

/* A link for the same key and type comes back as its own permit. */
static void try_signed(const struct crypto_mac *mac, const struct store_link_query *query)
{
    struct store_link_request request = {STORE_PUT, query->key, 60, 4096, query->type};
    struct store_link link;
    struct store_permit permit;
    if (!query->key || !query->type || !store_key_is_valid(query->key) ||
        !store_type_is_valid(query->type))
        return;
    fuzz_check(store_link_make(mac, "http://h", &request, NOW, &link) == 0);
    const struct store_link_query own = {.method = "PUT",
                                         .key = query->key,
                                         .expires = "1060",
                                         .max_bytes = "4096",
                                         .type = query->type,
                                         .signature = strstr(link.url, "&s=") + 3};
    fuzz_check(store_link_check(mac, &own, NOW, &permit, NULL) == 0);
    fuzz_check(strcmp(permit.key, query->key) == 0 && permit.max_bytes == 4096);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned char key[CRYPTO_KEY_SIZE];
    struct crypto_mac *mac = NULL;
    struct store_permit permit;
    char *text = strndup((const char *)data, size), *rest = text;
    fuzz_check(text && crypto_random(key, sizeof key) == 0 &&
               crypto_mac_create(key, sizeof key, &mac) == 0);
    struct store_link_query query = {.method = strsep(&rest, "\n")};
    query.key = strsep(&rest, "\n");
    query.expires = strsep(&rest, "\n");
    query.max_bytes = strsep(&rest, "\n");
    query.type = strsep(&rest, "\n");
    query.signature = strsep(&rest, "\n");
    fuzz_check(store_link_check(mac, &query, NOW, &permit, NULL) < 0);
    try_signed(mac, &query);
    crypto_mac_destroy(&mac);
    free(text);
    return 0;
}

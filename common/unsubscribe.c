/* SPDX-License-Identifier: MIT */
#include "common/unsubscribe.h"

#include "common/base64.h"
#include "common/err.h"
#include "common/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HASH_BYTES 16

static_assert(UNSUBSCRIBE_TOKEN_SIZE == 2 * HASH_BYTES + 22 + 1, "the id, then the MAC");

struct unsubscribe_keys {
    struct crypto_mac *id, *link; /* owned */
};

int unsubscribe_keys_create(const struct secret *secret, struct unsubscribe_keys **out_keys)
{
    struct unsubscribe_keys *keys = calloc(1, sizeof *keys);
    int rc = keys ? 0 : ERR_NOMEM;
    if (rc == 0)
        rc = secret_mac(secret, SECRET_UNSUBSCRIBE_ID, &keys->id);
    if (rc == 0)
        rc = secret_mac(secret, SECRET_UNSUBSCRIBE_LINK, &keys->link);
    if (rc < 0) {
        unsubscribe_keys_destroy(&keys);
        return rc;
    }
    *out_keys = keys;
    return 0;
}

void unsubscribe_keys_destroy(struct unsubscribe_keys **keys)
{
    if (!*keys)
        return;
    crypto_mac_destroy(&(*keys)->id);
    crypto_mac_destroy(&(*keys)->link);
    free(*keys);
    *keys = NULL;
}

int unsubscribe_id(const struct unsubscribe_keys *keys, const char *address_hash,
                   char out[UNSUBSCRIBE_ID_SIZE])
{
    unsigned char tag[CRYPTO_SHA256_SIZE];
    int rc = crypto_mac_sign(keys->id, address_hash, strlen(address_hash), tag);
    if (rc == 0)
        hex_encode(tag, HASH_BYTES, out);
    return rc;
}

/* The token of an id. */
static int sign(const struct unsubscribe_keys *keys, const char *id,
                char out[UNSUBSCRIBE_TOKEN_SIZE])
{
    unsigned char tag[CRYPTO_SHA256_SIZE];
    int rc = crypto_mac_sign(keys->link, id, UNSUBSCRIBE_ID_SIZE - 1, tag);
    if (rc < 0)
        return rc;
    memcpy(out, id, UNSUBSCRIBE_ID_SIZE - 1);
    base64_encode(BASE64_URL, tag, HASH_BYTES, out + UNSUBSCRIBE_ID_SIZE - 1);
    return 0;
}

int unsubscribe_token(const struct unsubscribe_keys *keys, const char *address_hash,
                      char out[UNSUBSCRIBE_TOKEN_SIZE])
{
    char id[UNSUBSCRIBE_ID_SIZE];
    int rc = unsubscribe_id(keys, address_hash, id);
    return rc == 0 ? sign(keys, id, out) : rc;
}

bool unsubscribe_open(const struct unsubscribe_keys *keys, const char *token,
                      char out_id[UNSUBSCRIBE_ID_SIZE])
{
    char wanted[UNSUBSCRIBE_TOKEN_SIZE];
    if (strnlen(token, UNSUBSCRIBE_TOKEN_SIZE) != UNSUBSCRIBE_TOKEN_SIZE - 1 ||
        strspn(token, "0123456789abcdef") < UNSUBSCRIBE_ID_SIZE - 1 ||
        sign(keys, token, wanted) < 0 || !crypto_equal(wanted, token, UNSUBSCRIBE_TOKEN_SIZE))
        return false;
    memcpy(out_id, token, UNSUBSCRIBE_ID_SIZE - 1);
    out_id[UNSUBSCRIBE_ID_SIZE - 1] = 0;
    return true;
}

/* SPDX-License-Identifier: MIT */
#include "common/token.h"

#include "common/base64.h"
#include "common/err.h"
#include "common/secret.h"

#include <stdlib.h>
#include <string.h>

#define RIGHTS 4
#define TOKEN_BYTES 16

struct token_keys {
    struct crypto_mac *macs[RIGHTS]; /* owned, by enum token_right */
};

int token_keys_create(const struct secret *secret, struct token_keys **out_keys)
{
    static const char *const labels[RIGHTS] = {
        [TOKEN_VIEW] = SECRET_VIEW,
        [TOKEN_MANAGE] = SECRET_MANAGE,
        [TOKEN_DELETE] = SECRET_DELETE,
        [TOKEN_SHARE] = SECRET_SHARE,
    };
    struct token_keys *keys = calloc(1, sizeof *keys);
    int rc = keys ? 0 : ERR_NOMEM;
    for (int i = 0; rc == 0 && i < RIGHTS; i++)
        rc = secret_mac(secret, labels[i], &keys->macs[i]);
    if (rc < 0) {
        token_keys_destroy(&keys);
        return rc;
    }
    *out_keys = keys;
    return 0;
}

void token_keys_destroy(struct token_keys **keys)
{
    for (int i = 0; *keys && i < RIGHTS; i++)
        crypto_mac_destroy(&(*keys)->macs[i]);
    free(*keys);
    *keys = NULL;
}

int token_make(const struct token_keys *keys, enum token_right right, const char *public_id,
               char out[TOKEN_SIZE])
{
    unsigned char tag[CRYPTO_SHA256_SIZE];
    char text[BASE64_LENGTH(TOKEN_BYTES) + 1];
    int rc = crypto_mac_sign(keys->macs[right], public_id, strlen(public_id), tag);
    if (rc < 0)
        return rc;
    base64_encode(BASE64_URL, tag, TOKEN_BYTES, text);
    memcpy(out, text, TOKEN_SIZE);
    return 0;
}

static bool matches(const struct token_keys *keys, enum token_right right, const char *public_id,
                    const char *token)
{
    char wanted[TOKEN_SIZE];
    return token_make(keys, right, public_id, wanted) == 0 &&
           crypto_equal(wanted, token, TOKEN_SIZE);
}

bool token_allows(const struct token_keys *keys, enum token_right right, const char *public_id,
                  const char *token)
{
    if (!token || strnlen(token, TOKEN_SIZE) != TOKEN_SIZE - 1)
        return false;
    bool sees = right == TOKEN_VIEW || right == TOKEN_SHARE;
    return matches(keys, right, public_id, token) ||
           (right == TOKEN_SHARE && matches(keys, TOKEN_VIEW, public_id, token)) ||
           (sees && matches(keys, TOKEN_MANAGE, public_id, token));
}

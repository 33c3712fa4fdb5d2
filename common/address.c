/* SPDX-License-Identifier: MIT */
#include "common/address.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/secret.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LOCAL 64
#define MAX_LABEL 63
#define MAX_SEALED_BYTES (ADDRESS_SIZE - 1 + CRYPTO_SEAL_OVERHEAD)
#define HASH_BYTES 16

static_assert(BASE64_LENGTH(MAX_SEALED_BYTES) < ADDRESS_SEALED_SIZE, "the longest one fits");
static_assert(2 * HASH_BYTES + 1 == ADDRESS_HASH_SIZE, "as the header says");

struct address_keys {
    unsigned char seal[CRYPTO_KEY_SIZE];
    struct crypto_mac *index; /* owned */
};

/* Not isalnum(): these must not depend on the locale. */
static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int refuse(struct err *err, const char *why)
{
    return err_set(err, ERR_INVALID, "email", "email: %s", why);
}

/* RFC 5322 dot-atom. */
static int check_local(const char *local, size_t length, struct err *err)
{
    if (length == 0)
        return refuse(err, "nothing stands before the @");
    if (length > MAX_LOCAL)
        return refuse(err, "more than 64 characters stand before the @");
    for (size_t i = 0; i < length; i++) {
        bool dot = local[i] == '.';
        if (dot && (i == 0 || i + 1 == length || local[i - 1] == '.'))
            return refuse(err, "a dot before the @ must stand between two characters");
        if (!dot && !is_letter_or_digit(local[i]) && !strchr("!#$%&'*+-/=?^_`{|}~", local[i]))
            return refuse(err, "a character before the @ is not allowed");
        /* RFC 2047 has no encoded words in an address, but mail programs decode them there. */
        if (local[i] == '=' && i + 1 < length && local[i + 1] == '?')
            return refuse(err, "=? may not stand before the @");
    }
    return 0;
}

static int check_domain(const char *domain, struct err *err)
{
    size_t label = 0, labels = 1;
    bool letter = false; /* in the last label: 127.0.0.1 is no domain */
    for (const char *c = domain; *c; c++) {
        if (*c == '.') {
            if (label == 0 || c[-1] == '-')
                return refuse(err, "the domain has an empty label or one that ends in a hyphen");
            label = 0;
            labels++;
            letter = false;
            continue;
        }
        if (!is_letter_or_digit(*c) && *c != '-')
            return refuse(err, "a character of the domain is not allowed");
        if (*c == '-' && label == 0)
            return refuse(err, "a part of the domain begins with a hyphen");
        if (++label > MAX_LABEL)
            return refuse(err, "a part of the domain is longer than 63 characters");
        letter = letter || *c < '0' || *c > '9';
    }
    if (label == 0 || domain[strlen(domain) - 1] == '-' || labels < 2 || !letter)
        return refuse(err, "the domain must look like example.org");
    return 0;
}

int address_check(const char *text, char out[ADDRESS_SIZE], struct err *err)
{
    size_t length = strnlen(text, ADDRESS_SIZE);
    if (length == ADDRESS_SIZE)
        return refuse(err, "longer than 254 characters");
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] >= 0x80)
            return refuse(err, "only ASCII is supported; write such a domain in its xn-- form");
        if (text[i] <= ' ' || text[i] == 0x7f)
            return refuse(err, "spaces and control characters are not allowed");
    }
    const char *at = strchr(text, '@');
    if (!at || strchr(at + 1, '@'))
        return refuse(err, "exactly one @ is wanted");
    int rc = check_local(text, (size_t)(at - text), err);
    if (rc == 0)
        rc = check_domain(at + 1, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i <= length; i++)
        out[i] = text + i > at ? lower(text[i]) : text[i];
    return 0;
}

int address_keys_create(const struct secret *secret, struct address_keys **out_keys)
{
    struct address_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return ERR_NOMEM;
    int rc = secret_derive(secret, SECRET_ADDRESS, keys->seal);
    if (rc == 0)
        rc = secret_mac(secret, SECRET_ADDRESS_INDEX, &keys->index);
    if (rc < 0) {
        address_keys_destroy(&keys);
        return rc;
    }
    *out_keys = keys;
    return 0;
}

void address_keys_destroy(struct address_keys **keys)
{
    if (!*keys)
        return;
    crypto_mac_destroy(&(*keys)->index);
    crypto_wipe(*keys, sizeof **keys);
    free(*keys);
    *keys = NULL;
}

int address_seal(const struct address_keys *keys, const char *address, const char *public_id,
                 char out[ADDRESS_SEALED_SIZE])
{
    struct buf sealed;
    buf_init(&sealed, MAX_SEALED_BYTES);
    int rc =
        crypto_seal(keys->seal, address, strlen(address), public_id, strlen(public_id), &sealed);
    if (rc == 0)
        base64_encode(BASE64_URL, sealed.data, sealed.size, out);
    buf_fini(&sealed);
    return rc;
}

int address_open(const struct address_keys *keys, const char *sealed, const char *public_id,
                 char out[ADDRESS_SIZE])
{
    unsigned char bytes[BASE64_MAX_DECODED(ADDRESS_SEALED_SIZE)];
    size_t size, length = strnlen(sealed, ADDRESS_SEALED_SIZE);
    struct buf plain;
    buf_init(&plain, ADDRESS_SIZE - 1);
    int rc = base64_decode(BASE64_URL, sealed, length, bytes, MAX_SEALED_BYTES, &size);
    if (rc < 0)
        return ERR_INVALID;
    rc = crypto_open(keys->seal, bytes, size, public_id, strlen(public_id), &plain);
    if (rc == 0)
        memcpy(out, buf_text(&plain), plain.size + 1);
    if (plain.data)
        crypto_wipe(plain.data, plain.size);
    buf_fini(&plain);
    return rc;
}

int address_hash(const struct address_keys *keys, const char *address, char out[ADDRESS_HASH_SIZE])
{
    char folded[ADDRESS_SIZE];
    unsigned char tag[CRYPTO_SHA256_SIZE];
    size_t length = strnlen(address, ADDRESS_SIZE);
    if (length == ADDRESS_SIZE)
        return ERR_LIMIT;
    for (size_t i = 0; i < length; i++)
        folded[i] = lower(address[i]);
    int rc = crypto_mac_sign(keys->index, folded, length, tag);
    if (rc == 0)
        hex_encode(tag, HASH_BYTES, out);
    return rc;
}

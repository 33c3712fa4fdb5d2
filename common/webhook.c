/* SPDX-License-Identifier: MIT */
#include "common/webhook.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/err.h"
#include "common/network.h"
#include "common/secret.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_HOST 253
#define MAX_PORT 65535
#define FIRST_FREE_PORT 1024
#define SECRET_PREFIX "whsec_"
#define SECRET_BYTES 32
#define MAX_SECRET_BYTES 64 /* of the standard; ours have 32 */
#define TARGET_BYTES 8

static_assert(BASE64_LENGTH(WEBHOOK_URL_SIZE - 1 + CRYPTO_SEAL_OVERHEAD) < WEBHOOK_SEALED_SIZE,
              "the longest one fits");
static_assert(sizeof SECRET_PREFIX + BASE64_LENGTH(SECRET_BYTES) == WEBHOOK_SECRET_SIZE, "fits");
static_assert(4 + BASE64_LENGTH(CRYPTO_SHA256_SIZE) == WEBHOOK_SIGNATURE_SIZE, "fits");

struct webhook_keys {
    unsigned char seal[CRYPTO_KEY_SIZE];
    struct crypto_mac *job, *host; /* owned */
};

/* ---- URLs ------------------------------------------------------------------------------------ */

static int refuse(struct err *err, const char *why)
{
    return err_set(err, ERR_INVALID, "webhook", "webhook: %s", why);
}

/* The host and the port of a URL that begins with https://; `host` points into it. */
static void split(const char *url, const char **host, size_t *host_size, const char **port,
                  size_t *port_size)
{
    const char *start = url + 8;
    size_t size = strcspn(start, "/?#");
    const char *colon = memchr(start, ':', size);
    if (size && *start == '[') {
        const char *close = memchr(start, ']', size);
        const char *behind = close ? close + 1 : start + size;
        colon = behind < start + size && *behind == ':' ? behind : NULL;
    }
    *host = start;
    *host_size = colon ? (size_t)(colon - start) : size;
    *port = colon ? colon + 1 : NULL;
    *port_size = colon ? size - *host_size - 1 : 0;
}

static int check_port(const char *port, size_t size, struct err *err)
{
    long number = 0;
    if (!port)
        return 0;
    for (size_t i = 0; i < size; i++) {
        if (port[i] < '0' || port[i] > '9' || number > MAX_PORT)
            return refuse(err, "the port is not a number up to 65535");
        number = number * 10 + port[i] - '0';
    }
    if (size == 0 || number > MAX_PORT)
        return refuse(err, "the port is not a number up to 65535");
    if (number != 443 && number < FIRST_FREE_PORT)
        return refuse(err, "the port must be 443 or above 1023");
    return 0;
}

static int check_address(const unsigned char address[NETWORK_ADDRESS_SIZE],
                         const struct network_set *allowed, struct err *err)
{
    if (network_is_public(address) || (allowed && network_set_contains(allowed, address)))
        return 0;
    return refuse(err, "the host is not on the public internet");
}

static int check_host(const char *host, size_t size, const struct network_set *allowed,
                      struct err *err)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    unsigned char address[NETWORK_ADDRESS_SIZE];
    if (size == 0 || size > MAX_HOST)
        return refuse(err, "there is no host, or it is longer than 253 characters");
    /* IPv6 stands in brackets, IPv4 does not. */
    if ((*host == '[') == (memchr(host, ':', size) != NULL) &&
        network_read_address(host, size, address))
        return check_address(address, allowed, err);
    if (strspn(host, letters) < size)
        return refuse(err, "the host holds a character that is not allowed");
    /* Whose last label begins with a digit is an address in some other notation (RFC 3696). */
    size_t last = size;
    while (last > 0 && host[last - 1] != '.')
        last--;
    if (last == size || (host[last] >= '0' && host[last] <= '9'))
        return refuse(err, "the host must be a name or an address in its usual form");
    return 0;
}

int webhook_url_check(const char *url, const struct network_set *allowed, struct err *err)
{
    const char *host, *port;
    size_t host_size, port_size, length = strnlen(url, WEBHOOK_URL_SIZE);
    if (length == WEBHOOK_URL_SIZE)
        return err_set(err, ERR_LIMIT, "webhook", "webhook: longer than %d characters",
                       WEBHOOK_URL_SIZE - 1);
    for (const char *c = url; *c; c++)
        if (*c <= ' ' || *c >= 0x7f || strchr("\\\"<>^`{|}", *c))
            return refuse(err, "the URL holds a character that must be percent-encoded");
    if (strncmp(url, "https://", 8))
        return refuse(err, "the URL must begin with https://");
    if (memchr(url + 8, '@', strcspn(url + 8, "/?#")))
        return refuse(err, "a user or password must not stand in the URL");
    if (strchr(url, '#'))
        return refuse(err, "the URL must not have a fragment");
    split(url, &host, &host_size, &port, &port_size);
    int rc = check_port(port, port_size, err);
    return rc == 0 ? check_host(host, host_size, allowed, err) : rc;
}

/* ---- keys ------------------------------------------------------------------------------------ */

int webhook_keys_create(const struct secret *secret, struct webhook_keys **out_keys)
{
    struct webhook_keys *keys = calloc(1, sizeof *keys);
    if (!keys)
        return ERR_NOMEM;
    int rc = secret_derive(secret, SECRET_WEBHOOK, keys->seal);
    if (rc == 0)
        rc = secret_mac(secret, SECRET_WEBHOOK_JOB, &keys->job);
    if (rc == 0)
        rc = secret_mac(secret, SECRET_WEBHOOK_HOST, &keys->host);
    if (rc < 0) {
        webhook_keys_destroy(&keys);
        return rc;
    }
    *out_keys = keys;
    return 0;
}

void webhook_keys_destroy(struct webhook_keys **keys)
{
    if (!*keys)
        return;
    crypto_mac_destroy(&(*keys)->job);
    crypto_mac_destroy(&(*keys)->host);
    crypto_wipe(*keys, sizeof **keys);
    free(*keys);
    *keys = NULL;
}

int webhook_seal(const struct webhook_keys *keys, const char *text, const char *owner,
                 char out[WEBHOOK_SEALED_SIZE])
{
    struct buf sealed;
    size_t length = strnlen(text, WEBHOOK_URL_SIZE);
    if (length == WEBHOOK_URL_SIZE)
        return ERR_LIMIT;
    buf_init(&sealed, WEBHOOK_URL_SIZE + CRYPTO_SEAL_OVERHEAD);
    int rc = crypto_seal(keys->seal, text, length, owner, strlen(owner), &sealed);
    if (rc == 0)
        base64_encode(BASE64_URL, sealed.data, sealed.size, out);
    buf_fini(&sealed);
    return rc;
}

int webhook_open(const struct webhook_keys *keys, const char *sealed, const char *owner, char *out,
                 size_t size)
{
    unsigned char bytes[BASE64_MAX_DECODED(WEBHOOK_SEALED_SIZE)];
    size_t byte_count, length = strnlen(sealed, WEBHOOK_SEALED_SIZE);
    struct buf plain;
    if (base64_decode(BASE64_URL, sealed, length, bytes, sizeof bytes, &byte_count) < 0)
        return ERR_INVALID;
    buf_init(&plain, size - 1);
    int rc = crypto_open(keys->seal, bytes, byte_count, owner, strlen(owner), &plain);
    if (rc == 0)
        memcpy(out, buf_text(&plain), plain.size + 1);
    secret_wipe_buf(&plain);
    buf_fini(&plain);
    return rc;
}

int webhook_target(const struct webhook_keys *keys, const char *flow, const char *url,
                   char out[WEBHOOK_TARGET_SIZE])
{
    char text[WEBHOOK_URL_SIZE + 80];
    unsigned char tag[CRYPTO_SHA256_SIZE];
    const char *host, *port;
    size_t host_size, port_size;
    split(url, &host, &host_size, &port, &port_size);
    snprintf(text, sizeof text, "%.64s %.*s", flow, (int)host_size, host);
    for (char *c = text; *c; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    int rc = crypto_mac_sign(keys->host, text, strlen(text), tag);
    if (rc < 0)
        return rc;
    out[0] = 'u';
    hex_encode(tag, TARGET_BYTES, out + 1);
    return 0;
}

/* ---- secrets and signatures ------------------------------------------------------------------ */

static void format_secret(const unsigned char bytes[SECRET_BYTES], char out[WEBHOOK_SECRET_SIZE])
{
    memcpy(out, SECRET_PREFIX, sizeof SECRET_PREFIX);
    base64_encode(BASE64_STANDARD, bytes, SECRET_BYTES, out + strlen(SECRET_PREFIX));
}

int webhook_secret_create(char out[WEBHOOK_SECRET_SIZE])
{
    unsigned char bytes[SECRET_BYTES];
    int rc = crypto_random(bytes, sizeof bytes);
    if (rc == 0)
        format_secret(bytes, out);
    crypto_wipe(bytes, sizeof bytes);
    return rc;
}

int webhook_job_secret(const struct webhook_keys *keys, const char *public_id,
                       char out[WEBHOOK_SECRET_SIZE])
{
    unsigned char tag[CRYPTO_SHA256_SIZE];
    int rc = crypto_mac_sign(keys->job, public_id, strlen(public_id), tag);
    if (rc == 0)
        format_secret(tag, out);
    crypto_wipe(tag, sizeof tag);
    return rc;
}

int webhook_sign(const char *secret, const char *id, int64_t timestamp_s, const void *body,
                 size_t size, char out[WEBHOOK_SIGNATURE_SIZE])
{
    unsigned char key[MAX_SECRET_BYTES], tag[CRYPTO_SHA256_SIZE];
    size_t key_size;
    struct buf text;
    if (strncmp(secret, SECRET_PREFIX, strlen(SECRET_PREFIX)) ||
        base64_decode(BASE64_STANDARD, secret + strlen(SECRET_PREFIX),
                      strlen(secret) - strlen(SECRET_PREFIX), key, sizeof key, &key_size) < 0)
        return ERR_INVALID;
    buf_init(&text, size + 256);
    int rc = buf_printf(&text, "%.128s.%" PRId64 ".", id, timestamp_s);
    if (rc == 0)
        rc = buf_append(&text, body, size);
    if (rc == 0)
        rc = crypto_hmac(key, key_size, text.data, text.size, tag);
    if (rc == 0) {
        memcpy(out, "v1,", 3);
        base64_encode(BASE64_STANDARD, tag, sizeof tag, out + 3);
    }
    crypto_wipe(key, sizeof key);
    buf_fini(&text);
    return rc;
}

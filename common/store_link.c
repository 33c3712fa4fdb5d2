/* SPDX-License-Identifier: MIT */
#include "common/store_link.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/sigv4.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SIGNATURE_BYTES 16
#define SIGNATURE_LENGTH 22
#define MAX_DIGITS 15

/* What is signed. Neither keys nor types can hold a newline, so no two grants share a text. */
struct grant {
    const char *method, *key, *type;
    int64_t expires_s, max_bytes;
};

static int sign(const struct crypto_mac *mac, const struct grant *grant,
                char out[SIGNATURE_LENGTH + 1])
{
    char text[STORE_KEY_SIZE + STORE_TYPE_SIZE + 64];
    char encoded[BASE64_LENGTH(SIGNATURE_BYTES) + 1];
    unsigned char tag[CRYPTO_SHA256_SIZE];
    int length = snprintf(text, sizeof text, "%s\n%s\n%" PRId64 "\n%" PRId64 "\n%s", grant->method,
                          grant->key, grant->expires_s, grant->max_bytes, grant->type);
    if (length >= (int)sizeof text)
        return ERR_LIMIT;
    int rc = crypto_mac_sign(mac, text, (size_t)length, tag);
    if (rc < 0)
        return rc;
    base64_encode(BASE64_URL, tag, SIGNATURE_BYTES, encoded);
    memcpy(out, encoded, SIGNATURE_LENGTH + 1);
    return 0;
}

static int write_url(const char *base_url, const struct grant *grant, const char *signature,
                     struct buf *url)
{
    int rc = buf_printf(url, "%s/o/%s?e=%" PRId64, base_url, grant->key, grant->expires_s);
    if (rc == 0 && grant->max_bytes)
        rc = buf_printf(url, "&n=%" PRId64, grant->max_bytes);
    if (rc == 0 && *grant->type) {
        rc = buf_append_text(url, "&t=");
        if (rc == 0)
            rc = sigv4_encode(grant->type, 0, url);
    }
    return rc < 0 ? rc : buf_printf(url, "&s=%s", signature);
}

int store_link_make(const struct crypto_mac *mac, const char *base_url,
                    const struct store_link_request *request, int64_t now_s,
                    struct store_link *out_link)
{
    bool put = request->method == STORE_PUT;
    const struct grant grant = {
        .method = put ? "PUT" : "GET",
        .key = request->key,
        .type = request->content_type ? request->content_type : "",
        .expires_s = now_s + request->lifetime_s,
        .max_bytes = put ? request->max_bytes : 0,
    };
    char signature[SIGNATURE_LENGTH + 1];
    struct buf url;
    buf_init(&url, sizeof out_link->url - 1);
    int rc = sign(mac, &grant, signature);
    if (rc == 0)
        rc = write_url(base_url, &grant, signature, &url);
    if (rc == 0) {
        snprintf(out_link->url, sizeof out_link->url, "%s", buf_text(&url));
        snprintf(out_link->content_type, sizeof out_link->content_type, "%s",
                 put ? grant.type : "");
    }
    buf_fini(&url);
    return rc;
}

/* Digits only, and few enough not to overflow; a missing number is 0. */
static bool parse_number(const char *text, int64_t *out)
{
    int64_t number = 0;
    size_t length = text ? strnlen(text, MAX_DIGITS + 1) : 0;
    if (length > MAX_DIGITS || (text && !length))
        return false;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (text[i] - '0');
    }
    *out = number;
    return true;
}

int store_link_check(const struct crypto_mac *mac, const struct store_link_query *query,
                     int64_t now_s, struct store_permit *out_permit, struct err *err)
{
    static const char refusal[] = "the link's signature does not fit";
    struct grant grant = {.key = query->key, .type = query->type ? query->type : ""};
    bool put = query->method && !strcmp(query->method, "PUT");
    bool get = query->method && (!strcmp(query->method, "GET") || !strcmp(query->method, "HEAD"));
    grant.method = put ? "PUT" : "GET";
    char wanted[SIGNATURE_LENGTH + 1];
    if ((!put && !get) || !query->key || !query->signature || !store_key_is_valid(query->key) ||
        (*grant.type && !store_type_is_valid(grant.type)) ||
        !parse_number(query->expires, &grant.expires_s) ||
        !parse_number(query->max_bytes, &grant.max_bytes) ||
        strnlen(query->signature, SIGNATURE_LENGTH + 1) != SIGNATURE_LENGTH)
        return err_set(err, ERR_DENIED, NULL, refusal);
    int rc = sign(mac, &grant, wanted);
    if (rc < 0)
        return rc;
    if (!crypto_equal(wanted, query->signature, SIGNATURE_LENGTH))
        return err_set(err, ERR_DENIED, NULL, refusal);
    /* Only now: who cannot sign learns nothing about time. */
    if (now_s >= grant.expires_s)
        return err_set(err, ERR_DENIED, NULL, "the link has expired");
    *out_permit =
        (struct store_permit){.method = put ? STORE_PUT : STORE_GET, .max_bytes = grant.max_bytes};
    snprintf(out_permit->key, sizeof out_permit->key, "%s", grant.key);
    snprintf(out_permit->content_type, sizeof out_permit->content_type, "%s", grant.type);
    return 0;
}

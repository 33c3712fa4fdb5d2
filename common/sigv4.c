/* SPDX-License-Identifier: MIT */
#include "common/sigv4.h"

#include "common/base64.h"
#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define MAX_TEXT 16384
#define MAX_SCOPE 128
#define DATE_LENGTH 8

void sigv4_time(int64_t time_s, char out[SIGV4_TIME_SIZE])
{
    time_t seconds = (time_t)time_s;
    struct tm utc;
    gmtime_r(&seconds, &utc);
    strftime(out, SIGV4_TIME_SIZE, "%Y%m%dT%H%M%SZ", &utc);
}

int sigv4_encode(const char *text, int keep_slash, struct buf *out)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    int rc = 0;
    for (const char *c = text; rc == 0 && *c; c++) {
        if (strchr(plain, *c) || (*c == '/' && keep_slash))
            rc = buf_append(out, c, 1);
        else
            rc = buf_printf(out, "%%%02X", (unsigned char)*c);
    }
    return rc;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct sigv4_pair *)a)->name, ((const struct sigv4_pair *)b)->name);
}

int sigv4_query(const struct sigv4_pair *query, size_t query_count, struct buf *out)
{
    struct sigv4_pair sorted[SIGV4_MAX_QUERY] = {0};
    if (query_count > SIGV4_MAX_QUERY)
        return ERR_LIMIT;
    if (query_count)
        memcpy(sorted, query, query_count * sizeof *query);
    qsort(sorted, query_count, sizeof *sorted, by_name);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < query_count; i++) {
        rc = i ? buf_append_text(out, "&") : 0;
        if (rc == 0)
            rc = sigv4_encode(sorted[i].name, 0, out);
        if (rc == 0)
            rc = buf_append_text(out, "=");
        if (rc == 0)
            rc = sigv4_encode(sorted[i].value, 0, out);
    }
    return rc;
}

/* "host;range;x-amz-date" */
static int append_signed_names(const struct sigv4_request *request, struct buf *out)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < request->header_count; i++)
        rc = buf_printf(out, "%s%s", i ? ";" : "", request->headers[i].name);
    return rc;
}

/* The request in the one form that both sides hash. */
static int canonical_request(const struct sigv4_request *request, const struct sigv4_pair *query,
                             size_t query_count, struct buf *out)
{
    int rc = buf_printf(out, "%s\n", request->method);
    if (rc == 0)
        rc = sigv4_encode(request->path, 1, out);
    if (rc == 0)
        rc = buf_append_text(out, "\n");
    if (rc == 0)
        rc = sigv4_query(query, query_count, out);
    if (rc == 0)
        rc = buf_append_text(out, "\n");
    for (size_t i = 0; rc == 0 && i < request->header_count; i++)
        rc = buf_printf(out, "%s:%s\n", request->headers[i].name, request->headers[i].value);
    if (rc == 0)
        rc = buf_append_text(out, "\n");
    if (rc == 0)
        rc = append_signed_names(request, out);
    if (rc == 0)
        rc = buf_printf(out, "\n%s", request->payload_hash);
    return rc;
}

/* "20130524/us-east-1/s3/aws4_request" */
static int scope_text(const struct sigv4_scope *scope, const char *time, char out[MAX_SCOPE])
{
    int length = snprintf(out, MAX_SCOPE, "%.*s/%s/%s/aws4_request", DATE_LENGTH, time,
                          scope->region, scope->service);
    return length < MAX_SCOPE ? 0 : ERR_LIMIT;
}

/* A key that is good for one day, region and service. */
static int signing_key(const struct sigv4_scope *scope, const char *time,
                       unsigned char out[CRYPTO_SHA256_SIZE])
{
    char first[4 + sizeof scope->credentials->secret_key];
    char date[DATE_LENGTH + 1];
    snprintf(first, sizeof first, "AWS4%s", scope->credentials->secret_key);
    snprintf(date, sizeof date, "%.*s", DATE_LENGTH, time);
    const char *const steps[] = {date, scope->region, scope->service, "aws4_request"};
    const void *key = first;
    size_t key_size = strlen(first);
    int rc = 0;
    for (int i = 0; rc == 0 && i < 4; i++) {
        unsigned char next[CRYPTO_SHA256_SIZE];
        rc = crypto_hmac(key, key_size, steps[i], strlen(steps[i]), next);
        memcpy(out, next, sizeof next);
        key = out;
        key_size = CRYPTO_SHA256_SIZE;
    }
    crypto_wipe(first, sizeof first);
    return rc;
}

static int sign_canonical(const struct sigv4_scope *scope, const char *time,
                          const struct buf *canonical, char out[CRYPTO_SHA256_HEX_SIZE])
{
    char scope_line[MAX_SCOPE], hash[CRYPTO_SHA256_HEX_SIZE], text[512];
    unsigned char key[CRYPTO_SHA256_SIZE], signature[CRYPTO_SHA256_SIZE];
    int rc = scope_text(scope, time, scope_line);
    if (rc == 0)
        rc = crypto_sha256_hex(canonical->data, canonical->size, hash);
    if (rc == 0)
        rc = signing_key(scope, time, key);
    if (rc < 0)
        return rc;
    int length = snprintf(text, sizeof text, ALGORITHM "\n%s\n%s\n%s", time, scope_line, hash);
    rc = crypto_hmac(key, sizeof key, text, (size_t)length, signature);
    if (rc == 0)
        hex_encode(signature, sizeof signature, out);
    crypto_wipe(key, sizeof key);
    return rc;
}

int sigv4_sign(const struct sigv4_scope *scope, const struct sigv4_request *request,
               struct buf *out)
{
    char time[SIGV4_TIME_SIZE], scope_line[MAX_SCOPE], signature[CRYPTO_SHA256_HEX_SIZE];
    struct buf canonical;
    buf_init(&canonical, MAX_TEXT);
    sigv4_time(scope->time_s, time);
    int rc = canonical_request(request, request->query, request->query_count, &canonical);
    if (rc == 0)
        rc = scope_text(scope, time, scope_line);
    if (rc == 0)
        rc = sign_canonical(scope, time, &canonical, signature);
    if (rc == 0)
        rc = buf_printf(out, ALGORITHM " Credential=%s/%s,SignedHeaders=",
                        scope->credentials->access_key, scope_line);
    if (rc == 0)
        rc = append_signed_names(request, out);
    if (rc == 0)
        rc = buf_printf(out, ",Signature=%s", signature);
    buf_fini(&canonical);
    return rc;
}

int sigv4_presign(const struct sigv4_scope *scope, const struct sigv4_request *request,
                  int64_t expires_s, struct buf *out)
{
    char time[SIGV4_TIME_SIZE], scope_line[MAX_SCOPE], signature[CRYPTO_SHA256_HEX_SIZE];
    char credential[MAX_SCOPE + sizeof scope->credentials->access_key + 1], expires[24];
    struct sigv4_pair query[SIGV4_MAX_QUERY];
    struct sigv4_request unsigned_payload = *request;
    struct buf canonical, names;
    size_t count = 0;
    buf_init(&canonical, MAX_TEXT);
    buf_init(&names, MAX_TEXT);
    sigv4_time(scope->time_s, time);
    snprintf(expires, sizeof expires, "%" PRId64, expires_s);
    int rc = request->query_count + 6 > SIGV4_MAX_QUERY ? ERR_LIMIT : 0;
    if (rc == 0)
        rc = scope_text(scope, time, scope_line);
    if (rc == 0)
        rc = append_signed_names(request, &names);
    if (rc < 0)
        goto out;
    snprintf(credential, sizeof credential, "%s/%s", scope->credentials->access_key, scope_line);
    for (; count < request->query_count; count++)
        query[count] = request->query[count];
    query[count++] = (struct sigv4_pair){"X-Amz-Algorithm", ALGORITHM};
    query[count++] = (struct sigv4_pair){"X-Amz-Credential", credential};
    query[count++] = (struct sigv4_pair){"X-Amz-Date", time};
    query[count++] = (struct sigv4_pair){"X-Amz-Expires", expires};
    query[count++] = (struct sigv4_pair){"X-Amz-SignedHeaders", buf_text(&names)};
    if (*scope->credentials->session_token)
        query[count++] =
            (struct sigv4_pair){"X-Amz-Security-Token", scope->credentials->session_token};
    unsigned_payload.payload_hash = SIGV4_UNSIGNED_PAYLOAD;
    rc = canonical_request(&unsigned_payload, query, count, &canonical);
    if (rc == 0)
        rc = sign_canonical(scope, time, &canonical, signature);
    if (rc == 0)
        rc = sigv4_query(query, count, out);
    if (rc == 0)
        rc = buf_printf(out, "&X-Amz-Signature=%s", signature);
out:
    buf_fini(&canonical);
    buf_fini(&names);
    return rc;
}

/* SPDX-License-Identifier: MIT */
#include "common/store_link.h"

#include "common/crypto.h"
#include "common/err.h"
#include "tests/unit/check.h"

#define NOW 1000000

static struct crypto_mac *mac;
static const struct store_link_request put_request = {STORE_PUT, "results/ab/1/result.png", 60,
                                                      5000, "image/png"};
static const struct store_link_request get_request = {STORE_GET, "inputs/ab", 60, 0, NULL};

/* The members of a link's query, cut out of its URL as an HTTP server does it. */
struct parts {
    char e[32], n[32], t[64], s[64];
};

static void member(const char *url, const char *name, char *out)
{
    const char *at = strstr(url, name);
    *out = 0;
    if (!at)
        return;
    at += strlen(name);
    size_t length = strcspn(at, "&");
    memcpy(out, at, length);
    out[length] = 0;
    char *slash = strstr(out, "%2F");
    if (slash) {
        *slash = '/';
        memmove(slash + 1, slash + 3, strlen(slash + 3) + 1);
    }
}

static struct store_link_query query_of(const struct store_link_request *request,
                                        struct parts *parts)
{
    struct store_link link;
    CHECK_INT(store_link_make(mac, "http://127.0.0.1:8080", request, NOW, &link), 0);
    member(link.url, "?e=", parts->e);
    member(link.url, "&n=", parts->n);
    member(link.url, "&t=", parts->t);
    member(link.url, "&s=", parts->s);
    return (struct store_link_query){.method = request->method == STORE_PUT ? "PUT" : "GET",
                                     .key = request->key,
                                     .expires = parts->e,
                                     .max_bytes = *parts->n ? parts->n : NULL,
                                     .type = *parts->t ? parts->t : NULL,
                                     .signature = parts->s};
}

static int check_at(const struct store_link_query *query, int64_t now_s)
{
    struct store_permit permit;
    return store_link_check(mac, query, now_s, &permit, NULL);
}

static void a_link_reads_as_documented(void)
{
    struct store_link link;
    CHECK_INT(store_link_make(mac, "https://lab.example/x", &put_request, NOW, &link), 0);
    CHECK_HAS(link.url, "https://lab.example/x/o/results/ab/1/result.png"
                        "?e=1000060&n=5000&t=image%2Fpng&s=");
    CHECK_TEXT(link.content_type, "image/png");
    CHECK_INT(store_link_make(mac, "https://lab.example", &get_request, NOW, &link), 0);
    CHECK_HAS(link.url, "https://lab.example/o/inputs/ab?e=1000060&s=");
    CHECK_TEXT(link.content_type, "");
}

static void what_was_signed_is_permitted(void)
{
    struct parts parts;
    struct store_permit permit;
    struct store_link_query query = query_of(&put_request, &parts);
    CHECK_INT(store_link_check(mac, &query, NOW, &permit, NULL), 0);
    CHECK_INT(permit.method, STORE_PUT);
    CHECK_TEXT(permit.key, put_request.key);
    CHECK_TEXT(permit.content_type, "image/png");
    CHECK_INT(permit.max_bytes, 5000);
    query = query_of(&get_request, &parts);
    CHECK_INT(check_at(&query, NOW + 59), 0);
    query.method = "HEAD";
    CHECK_INT(store_link_check(mac, &query, NOW, &permit, NULL), 0);
    CHECK_INT(permit.method, STORE_GET);
    CHECK_TEXT(permit.content_type, "");
}

static void an_old_link_is_denied(void)
{
    struct parts parts;
    struct err err = {0};
    struct store_permit permit;
    struct store_link_query query = query_of(&get_request, &parts);
    CHECK_INT(store_link_check(mac, &query, NOW + 60, &permit, &err), ERR_DENIED);
    CHECK_HAS(err.text, "expired");
}

static void any_change_to_a_link_is_denied(void)
{
    struct parts parts;
    const struct store_link_query good = query_of(&put_request, &parts);
    CHECK_INT(check_at(&good, NOW), 0);
    struct store_link_query bad[14];
    for (size_t i = 0; i < 14; i++)
        bad[i] = good;
    bad[0].method = "GET";
    bad[1].method = "POST";
    bad[2].method = NULL;
    bad[3].key = "results/ab/2/result.png";
    bad[4].key = "results/ab/1/../../../etc/passwd";
    bad[5].key = NULL;
    bad[6].expires = "1000061";
    bad[7].expires = "99999999999999999999999";
    bad[8].expires = NULL;
    bad[9].max_bytes = "5001";
    bad[10].max_bytes = NULL;
    bad[11].type = "text/html";
    bad[12].type = NULL;
    bad[13].signature = NULL;
    for (size_t i = 0; i < 14; i++)
        CHECK_INT(check_at(&bad[i], NOW), ERR_DENIED);
}

static void any_other_signature_is_denied(void)
{
    struct parts parts;
    struct store_link_query query = query_of(&get_request, &parts);
    for (size_t i = 0; parts.s[i]; i++) {
        char kept = parts.s[i];
        parts.s[i] = kept == 'A' ? 'B' : 'A';
        CHECK_INT(check_at(&query, NOW), ERR_DENIED);
        parts.s[i] = 0;
        CHECK_INT(check_at(&query, NOW), ERR_DENIED);
        parts.s[i] = kept;
    }
    size_t length = strlen(parts.s);
    memcpy(parts.s + length, "A", 2);
    CHECK_INT(check_at(&query, NOW), ERR_DENIED);
}

static void numbers_are_digits_only(void)
{
    static const char *const bad[] = {"", "+1000060", " 1000060", "1000060 ", "0x10", "1e6", "-1"};
    struct parts parts;
    struct store_link_query query = query_of(&get_request, &parts);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        query.expires = bad[i];
        CHECK_INT(check_at(&query, 0), ERR_DENIED);
    }
}

static void a_url_that_does_not_fit_is_a_limit(void)
{
    char base[STORE_URL_SIZE];
    struct store_link link;
    memset(base, 'a', sizeof base - 1);
    base[sizeof base - 1] = 0;
    CHECK_INT(store_link_make(mac, base, &get_request, NOW, &link), ERR_LIMIT);
}

int main(void)
{
    if (crypto_mac_create("key", 3, &mac) < 0)
        return EXIT_FAILURE;
    RUN(a_link_reads_as_documented);
    RUN(what_was_signed_is_permitted);
    RUN(an_old_link_is_denied);
    RUN(any_change_to_a_link_is_denied);
    RUN(any_other_signature_is_denied);
    RUN(numbers_are_digits_only);
    RUN(a_url_that_does_not_fit_is_a_limit);
    crypto_mac_destroy(&mac);
    return check_report();
}

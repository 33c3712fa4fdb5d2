/* SPDX-License-Identifier: MIT */
#include "dispatcher/limits.h"

#include "common/err.h"
#include "dispatcher/client.h"
#include "tests/unit/check.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct client_key key_of(const char *proxies_text, const char *peer, const char *forwarded)
{
    struct client_proxies proxies;
    struct client_key key;
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    CHECK_INT(client_proxies_parse(proxies_text, &proxies, NULL), 0);
    if (inet_pton(AF_INET, peer, &v4.sin_addr) == 1) {
        client_key(&proxies, (struct sockaddr *)&v4, forwarded, &key);
    } else {
        CHECK_INT(inet_pton(AF_INET6, peer, &v6.sin6_addr), 1);
        client_key(&proxies, (struct sockaddr *)&v6, forwarded, &key);
    }
    return key;
}

static bool same(struct client_key a, struct client_key b)
{
    return memcmp(&a, &b, sizeof a) == 0;
}

static void a_bucket_empties_and_fills_with_time(void)
{
    struct limits *limits = NULL;
    struct client_key key = key_of(NULL, "192.0.2.1", NULL);
    int64_t wait_ms, now_ms = 5000;
    CHECK_INT(limits_create(&(struct limits_options){.per_minute = 60, .burst = 3}, &limits), 0);
    for (int i = 0; i < 3; i++)
        CHECK(limits_take(limits, &key, now_ms, &wait_ms));
    CHECK(!limits_take(limits, &key, now_ms, &wait_ms));
    CHECK_INT(wait_ms, 1000);
    CHECK(!limits_take(limits, &key, now_ms + 999, &wait_ms));
    CHECK_INT(wait_ms, 1);
    CHECK(limits_take(limits, &key, now_ms + 1000, &wait_ms));
    CHECK(!limits_take(limits, &key, now_ms + 1000, &wait_ms));
    now_ms += 3600 * 1000;
    for (int i = 0; i < 3; i++)
        CHECK(limits_take(limits, &key, now_ms, &wait_ms));
    CHECK(!limits_take(limits, &key, now_ms, &wait_ms));
    limits_destroy(&limits);
}

static void clients_do_not_share_a_bucket(void)
{
    struct limits *limits = NULL;
    int64_t wait_ms;
    CHECK_INT(limits_create(&(struct limits_options){.per_minute = 1, .burst = 1}, &limits), 0);
    struct client_key one = key_of(NULL, "192.0.2.1", NULL);
    struct client_key two = key_of(NULL, "192.0.2.2", NULL);
    CHECK(limits_take(limits, &one, 0, &wait_ms));
    CHECK(limits_take(limits, &two, 0, &wait_ms));
    CHECK(!limits_take(limits, &one, 0, &wait_ms));
    limits_destroy(&limits);
}

static void a_flood_of_clients_does_not_free_the_greedy_one(void)
{
    struct limits *limits = NULL;
    int64_t wait_ms;
    CHECK_INT(limits_create(&(struct limits_options){.per_minute = 1, .burst = 2}, &limits), 0);
    struct client_key greedy = key_of(NULL, "192.0.2.1", NULL);
    CHECK(limits_take(limits, &greedy, 0, &wait_ms));
    CHECK(limits_take(limits, &greedy, 0, &wait_ms));
    for (uint32_t i = 0; i < 100000; i++) {
        struct client_key other = {{0x20, 0x01}};
        memcpy(other.bytes + 4, &i, sizeof i);
        limits_take(limits, &other, 0, &wait_ms);
    }
    CHECK(!limits_take(limits, &greedy, 0, &wait_ms));
    limits_destroy(&limits);
}

static void zero_means_no_limit(void)
{
    struct limits *limits = NULL;
    struct client_key key = key_of(NULL, "192.0.2.1", NULL);
    int64_t wait_ms;
    CHECK_INT(limits_create(&(struct limits_options){0}, &limits), 0);
    for (int i = 0; i < 1000; i++)
        CHECK(limits_take(limits, &key, 0, &wait_ms));
    limits_destroy(&limits);
}

static void forwarded_for_is_believed_from_trusted_proxies_only(void)
{
    struct client_key direct = key_of(NULL, "203.0.113.9", NULL);
    CHECK(same(key_of(NULL, "203.0.113.9", "198.51.100.1"), direct));
    CHECK(same(key_of("10.0.0.0/8", "203.0.113.9", "198.51.100.1"), direct));
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", "203.0.113.9"), direct));
    /* What the client wrote itself stands further left and counts for nothing. */
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", "1.2.3.4, 203.0.113.9"), direct));
    CHECK(same(key_of("10.0.0.0/8, 192.0.2.7", "10.1.2.3", "203.0.113.9,192.0.2.7"), direct));
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", "junk"), key_of(NULL, "10.1.2.3", NULL)));
    CHECK(same(key_of("10.0.0.0/8", "10.1.2.3", ""), key_of(NULL, "10.1.2.3", NULL)));
    CHECK(same(key_of("::1", "::1", "203.0.113.9"), direct));
}

static void a_key_is_the_v4_address_or_the_v6_network(void)
{
    CHECK(same(key_of(NULL, "2001:db8::1", NULL), key_of(NULL, "2001:db8::ffff:1", NULL)));
    CHECK(!same(key_of(NULL, "2001:db8::1", NULL), key_of(NULL, "2001:db8:0:1::1", NULL)));
    CHECK(!same(key_of(NULL, "192.0.2.1", NULL), key_of(NULL, "192.0.2.2", NULL)));
    CHECK(same(key_of(NULL, "192.0.2.1", NULL), key_of(NULL, "::ffff:192.0.2.1", NULL)));
}

static void bad_proxies_are_refused(void)
{
    static const char *const texts[] = {"x",           "10.0.0.0/33", "10.0.0.0/",  "::/129",
                                        "10.0.0.0/-1", "1.2.3",       "10.0.0.0/8x"};
    struct client_proxies proxies;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct err err = {0};
        CHECK_INT(client_proxies_parse(texts[i], &proxies, &err), ERR_INVALID);
        CHECK_TEXT(err.field, "trusted-proxies");
    }
}

int main(void)
{
    RUN(a_bucket_empties_and_fills_with_time);
    RUN(clients_do_not_share_a_bucket);
    RUN(a_flood_of_clients_does_not_free_the_greedy_one);
    RUN(zero_means_no_limit);
    RUN(forwarded_for_is_believed_from_trusted_proxies_only);
    RUN(a_key_is_the_v4_address_or_the_v6_network);
    RUN(bad_proxies_are_refused);
    return check_report();
}
